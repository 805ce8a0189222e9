#include "node/undo.h"

#include "base/log.h"
#include "base/secret.h"
#include "os/file.h"
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    LINE_BYTES = 16 * 1024,
    JOURNAL_MAX_BYTES = 8 * 1024 * 1024,
    JOURNAL_MAX_LINES = 4096,
};

static const char first_line[] = "cryprq-undo 1\n";
static const cq_time hook_timeout = 60 * CQ_NS_PER_S;

static enum cq_err append(const struct cq_undo *undo, const char *line)
{
    return cq_file_write_all(undo->fd, line, strlen(line));
}

enum cq_err cq_undo_open(struct cq_undo *undo, const char *name)
{
    char path[CQ_FILE_PATH_MAX];
    enum cq_err err = cq_file_runtime_path(path, name, ".undo");

    undo->fd = -1;
    if (err != CQ_OK)
        return err;
    undo->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (undo->fd < 0)
        return errno == EEXIST ? CQ_ERR_EXISTS : CQ_ERR_IO;
    return append(undo, first_line);
}

void cq_undo_close(struct cq_undo *undo)
{
    if (undo->fd >= 0)
        close(undo->fd);
    undo->fd = -1;
}

/* Appends text with line ends and backslashes escaped. False: no room. */
static bool escape(char *out, size_t size, const char *text)
{
    size_t len = strlen(out);

    for (; *text != '\0'; text++) {
        if (len + 3 > size)
            return false;
        if (*text == '\n' || *text == '\\') {
            out[len++] = '\\';
            out[len++] = (char)(*text == '\n' ? 'n' : '\\');
        } else {
            out[len++] = *text;
        }
    }
    out[len] = '\0';
    return true;
}

static void unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from != '\0'; from++) {
        if (from[0] == '\\' && from[1] != '\0') {
            from++;
            *to++ = (char)(*from == 'n' ? '\n' : *from);
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

static enum cq_err append_text(const struct cq_undo *undo, const char *kind, const char *text)
{
    char line[LINE_BYTES];

    if (snprintf(line, sizeof(line), "%s ", kind) >= LINE_BYTES ||
        !escape(line, sizeof(line) - 1, text))
        return CQ_ERR_RANGE;
    size_t len = strlen(line);
    line[len] = '\n';
    line[len + 1] = '\0';
    return append(undo, line);
}

enum cq_err cq_undo_file(const struct cq_undo *undo, const char *path)
{
    return append_text(undo, "file", path);
}

enum cq_err cq_undo_hook(const struct cq_undo *undo, const char *kind, const char *command)
{
    char start[64];

    if (snprintf(start, sizeof(start), "hook %s", kind) >= (int)sizeof(start))
        return CQ_ERR_RANGE;
    return append_text(undo, start, command);
}

enum cq_err cq_undo_rule(const struct cq_undo *undo, const struct cq_rule *rule)
{
    char line[128];

    snprintf(line, sizeof(line),
             "rule %u %" PRIu32 " %" PRIu32 " %" PRIu32 " %d %d %u %" PRIu32 "\n", rule->family,
             rule->priority, rule->table, rule->mark, rule->not_mark, rule->no_default,
             rule->udp_source, rule->uid);
    return append(undo, line);
}

enum cq_err cq_undo_device(const struct cq_undo *undo)
{
    return append(undo, "device\n");
}

/* As lines, last one first: the journal runs backwards. */
static bool print_hooks(FILE *out, const char *kind, char *const *commands, size_t num)
{
    char line[LINE_BYTES];

    for (size_t i = num; i-- > 0;) {
        line[0] = '\0';
        if (!escape(line, sizeof(line) - 1, commands[i]))
            return false;
        fprintf(out, "hook %s %s\n", kind, line);
    }
    return true;
}

/* The hooks of the end stand behind the files, which go last of all. */
static bool print_journal(FILE *out, const char *old, char *const *post_down, size_t num_post_down,
                          char *const *pre_down, size_t num_pre_down)
{
    bool done = false;
    const char *end;

    for (const char *line = old; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        bool is_front = strncmp(line, "file ", 5) == 0 || line == old;
        if (strncmp(line, "hook ", 5) == 0)
            continue;
        if (!is_front && !done) {
            if (!print_hooks(out, "PostDown", post_down, num_post_down))
                return false;
            done = true;
        }
        fwrite(line, 1, (size_t)(end - line) + 1, out);
    }
    return (done || print_hooks(out, "PostDown", post_down, num_post_down)) &&
           print_hooks(out, "PreDown", pre_down, num_pre_down);
}

enum cq_err cq_undo_replace_hooks(struct cq_undo *undo, const char *name, char *const *post_down,
                                  size_t num_post_down, char *const *pre_down, size_t num_pre_down)
{
    char path[CQ_FILE_PATH_MAX], *old = NULL, *text = NULL;
    size_t len, text_len = 0;
    enum cq_err err = cq_file_runtime_path(path, name, ".undo");

    if (err == CQ_OK)
        err = cq_file_read(path, JOURNAL_MAX_BYTES, true, &old, &len, NULL);
    if (err != CQ_OK)
        return err;
    FILE *out = open_memstream(&text, &text_len);
    bool good =
        out != NULL && print_journal(out, old, post_down, num_post_down, pre_down, num_pre_down);
    if (out != NULL && fclose(out) != 0)
        good = false;
    err = good ? cq_file_replace(path, text, text_len, 0600) : CQ_ERR_RANGE;
    free(text);
    cq_secret_free(old);
    int fd = err == CQ_OK ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (fd >= 0) {
        cq_undo_close(undo);
        undo->fd = fd;
    }
    return err;
}

bool cq_undo_exists(const char *name)
{
    char path[CQ_FILE_PATH_MAX];

    return cq_file_runtime_path(path, name, ".undo") == CQ_OK && access(path, F_OK) == 0;
}

bool cq_undo_run_hook(const char *name, const char *kind, const char *command, int interrupt_fd)
{
    int status;
    enum cq_err err = cq_process_run_hook(command, name, interrupt_fd, hook_timeout, &status);

    if (err == CQ_OK)
        return true;
    const struct cq_field interface = cq_field_text("interface", name);
    const struct cq_field hook = cq_field_text("hook", kind),
                          what = cq_field_text("command", command);
    if (err == CQ_ERR_EXPIRED)
        cq_log(CQ_EVENT_HOOK_FAILED, interface, hook, what,
               cq_field_text("reason", "ended: interrupted or too slow"));
    else if (WIFSIGNALED(status))
        cq_log(CQ_EVENT_HOOK_FAILED, interface, hook, what,
               cq_field_int("signal", WTERMSIG(status)));
    else
        cq_log(CQ_EVENT_HOOK_FAILED, interface, hook, what,
               cq_field_int("status", WEXITSTATUS(status)));
    return false;
}

/* Exactly the numbers of a rule, separated by spaces. False: it is half a line, or damaged. */
static bool parse_rule(const char *fields, struct cq_rule *out)
{
    unsigned long numbers[8];
    char *end = NULL;

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        errno = 0;
        numbers[i] = strtoul(fields, &end, 10);
        if (errno != 0 || end == fields || numbers[i] > UINT32_MAX)
            return false;
        fields = end;
    }
    *out = (struct cq_rule){.family = (uint8_t)numbers[0],
                            .priority = (uint32_t)numbers[1],
                            .table = (uint32_t)numbers[2],
                            .mark = (uint32_t)numbers[3],
                            .not_mark = numbers[4] != 0,
                            .no_default = numbers[5] != 0,
                            .udp_source = (uint16_t)numbers[6],
                            .uid = (uint32_t)numbers[7]};
    return *end == '\0';
}

static bool undo_rule(const char *name, const char *fields)
{
    struct cq_rule rule;
    struct cq_netlink *nl = NULL;

    if (!parse_rule(fields, &rule))
        return true; /* the rule was not made */
    enum cq_err err = cq_netlink_open(&nl);
    if (err == CQ_OK)
        err = cq_netlink_rule_delete(nl, &rule);
    if (err != CQ_OK && err != CQ_ERR_NOTFOUND)
        cq_log(CQ_EVENT_UNDO_FAILED, cq_field_text("interface", name),
               cq_field_text("rule", fields),
               cq_field_text("reason", nl != NULL ? cq_netlink_reason(nl) : strerror(errno)));
    cq_netlink_close(nl);
    return err == CQ_OK || err == CQ_ERR_NOTFOUND;
}

static bool undo_file(const char *name, char *path)
{
    unescape(path);
    if (cq_file_remove(path) == CQ_OK)
        return true;
    cq_log(CQ_EVENT_UNDO_FAILED, cq_field_text("interface", name), cq_field_text("file", path),
           cq_field_text("reason", strerror(errno)));
    return false;
}

static bool undo_hook(const char *name, char *fields)
{
    char *command = strchr(fields, ' ');

    if (command == NULL)
        return true;
    *command++ = '\0';
    unescape(command);
    return cq_undo_run_hook(name, fields, command, -1);
}

static bool undo_line(const char *name, char *line, void (*device)(void *), void *ctx)
{
    char *fields = strchr(line, ' ');

    if (fields == NULL) {
        if (strcmp(line, "device") == 0 && device != NULL)
            device(ctx);
        return true;
    }
    *fields++ = '\0';
    if (strcmp(line, "rule") == 0)
        return undo_rule(name, fields);
    if (strcmp(line, "file") == 0)
        return undo_file(name, fields);
    if (strcmp(line, "hook") == 0)
        return undo_hook(name, fields);
    return true;
}

/* Splits at line ends; a last line without one is left out. Gives the number of lines. */
static size_t split(char *text, char **lines, size_t max)
{
    size_t num = 0;

    for (char *end = strchr(text, '\n'); end != NULL && num < max; end = strchr(text, '\n')) {
        *end = '\0';
        lines[num++] = text;
        text = end + 1;
    }
    return num;
}

unsigned cq_undo_run(const char *name, void (*device)(void *ctx), void *ctx)
{
    char path[CQ_FILE_PATH_MAX];
    char *text = NULL;
    size_t len, num = 0;
    unsigned failures = 0;

    if (cq_file_runtime_path(path, name, ".undo") != CQ_OK)
        return 1;
    enum cq_err err = cq_file_read(path, JOURNAL_MAX_BYTES, true, &text, &len, NULL);
    if (err == CQ_ERR_NOTFOUND)
        return 0;
    char **lines = err == CQ_OK ? calloc(JOURNAL_MAX_LINES, sizeof(*lines)) : NULL;
    if (lines == NULL) {
        cq_log(CQ_EVENT_UNDO_FAILED, cq_field_text("interface", name), cq_field_text("file", path),
               cq_field_text("reason", cq_err_text(err == CQ_OK ? CQ_ERR_NOMEM : err)));
        cq_secret_free(text);
        return 1;
    }
    if (strncmp(text, first_line, strlen(first_line)) == 0)
        num = split(text, lines, JOURNAL_MAX_LINES);
    while (num-- > 1) /* the first one is the header */
        failures += !undo_line(name, lines[num], device, ctx);
    free(lines);
    cq_secret_free(text);
    if (cq_file_remove(path) != CQ_OK)
        failures++;
    return failures;
}
