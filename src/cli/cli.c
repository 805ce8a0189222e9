#include "cli/cli.h"

#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_LEN = 2048 };

/* One write, so that lines of several processes do not mix. What came from arguments or files
 * cannot act on a terminal. */
static void write_line(char *line, size_t size, int len)
{
    size_t end = len < 0 ? 0 : (size_t)len < size - 1 ? (size_t)len : size - 2;

    for (size_t i = 0; i < end; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = '?';
    line[end] = '\n';
    fflush(stdout);
    (void)!write(STDERR_FILENO, line, end + 1);
}

int cq_cli_fail(const char *format, ...)
{
    static const char prefix[] = "cryprq: ";
    char line[LINE_MAX_LEN] = "cryprq: ";
    size_t used = strlen(prefix);
    va_list args;

    va_start(args, format);
    int len = vsnprintf(line + used, sizeof(line) - used, format, args);
    va_end(args);
    write_line(line, sizeof(line), len < 0 ? len : len + (int)used);
    return CQ_EXIT_FAILURE;
}

int cq_cli_usage(const char *command, const char *format, ...)
{
    char text[LINE_MAX_LEN / 2], line[LINE_MAX_LEN];
    const char *blank = command[0] != '\0' ? " " : "";
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    int len = snprintf(line, sizeof(line), "cryprq%s%s: %s (see cryprq%s%s --help)", blank, command,
                       text, blank, command);
    write_line(line, sizeof(line), len);
    return CQ_EXIT_USAGE;
}

int cq_cli_log_format(const char *command, const char *source, const char *text)
{
    enum cq_log_format format;

    if (cq_log_format_parse(text, &format) != CQ_OK)
        return cq_cli_usage(command, "%s is neither kv nor json", source);
    cq_log_set_format(format);
    return CQ_EXIT_OK;
}

int cq_cli_finish(int status)
{
    bool failed = fflush(stdout) != 0;

    failed |= ferror(stdout) != 0;
    /* A file system may report only now that there was no room. */
    if (close(STDOUT_FILENO) != 0 && errno != EBADF)
        failed = true;
    if (!failed)
        return status;
    return cq_cli_fail("cannot write to standard output: %s",
                       errno != 0 ? strerror(errno) : "output error");
}

static int take_value(struct cq_cli_args *a, const struct cq_cli_option *option, const char *equals)
{
    if (!option->has_value && equals != NULL) {
        cq_cli_usage(a->command, "--%s takes no value", option->name);
        return -1;
    }
    if (!option->has_value)
        return 0;
    a->value = equals != NULL ? equals + 1 : a->at < a->argc ? a->argv[a->at++] : NULL;
    if (a->value != NULL && a->value[0] != '\0')
        return 0;
    cq_cli_usage(a->command, "--%s needs a value", option->name);
    return -1;
}

int cq_cli_next(struct cq_cli_args *a, const struct cq_cli_option *options)
{
    a->value = NULL;
    if (a->at >= a->argc)
        return CQ_CLI_END;
    const char *text = a->argv[a->at++];
    if (!a->ended && strcmp(text, "--") == 0) {
        a->ended = true;
        return cq_cli_next(a, options);
    }
    if (a->ended || text[0] != '-' || text[1] == '\0') {
        a->value = text;
        return CQ_CLI_ARGUMENT;
    }
    const char *equals = strchr(text, '=');
    size_t len = equals != NULL ? (size_t)(equals - text) : strlen(text);
    for (int i = 0; options != NULL && options[i].name != NULL; i++)
        if (len == strlen(options[i].name) + 2 && strncmp(text, "--", 2) == 0 &&
            strncmp(text + 2, options[i].name, len - 2) == 0)
            return take_value(a, &options[i], equals) == 0 ? i : CQ_CLI_BAD;
    cq_cli_usage(a->command, "unknown option %.*s", (int)(len < 40 ? len : 40), text);
    return CQ_CLI_BAD;
}

enum cq_err cq_cli_arguments(const char *command, int argc, char **argv, size_t min, size_t max,
                             const char **out)
{
    struct cq_cli_args args = {.command = command, .argc = argc, .argv = argv, .at = 1};
    size_t num = 0;
    int kind;

    for (size_t i = 0; i < max; i++)
        out[i] = NULL;
    while ((kind = cq_cli_next(&args, NULL)) == CQ_CLI_ARGUMENT) {
        if (num == max) {
            /* Not repeated: it might be a key. */
            if (max == 0)
                cq_cli_usage(command, "it takes no arguments");
            else
                cq_cli_usage(command, "too many arguments");
            return CQ_ERR_INVALID;
        }
        out[num++] = args.value;
    }
    if (kind == CQ_CLI_BAD)
        return CQ_ERR_INVALID;
    if (num >= min)
        return CQ_OK;
    cq_cli_usage(command, "too few arguments");
    return CQ_ERR_INVALID;
}
