/*
 * The program: a table of commands, general help, and nothing else. Exit status 0 is success, 1 a
 * failure, 2 wrong use.
 */
#include "base/log.h"
#include "cli/cli.h"
#include "cli/run.h"
#include "crypto/aead.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct cq_cli_command *const commands[] = {
    &cq_cmd_genkey,   &cq_cmd_pubkey,   &cq_cmd_genpsk, &cq_cmd_up,      &cq_cmd_down,
    &cq_cmd_run,      &cq_cmd_show,     &cq_cmd_rotate, &cq_cmd_ping,    &cq_cmd_diagnose,
    &cq_cmd_watch,    &cq_cmd_top,      &cq_cmd_bench,  &cq_cmd_set,     &cq_cmd_reload,
    &cq_cmd_syncconf, &cq_cmd_showconf, &cq_cmd_save,   &cq_cmd_version,
};
enum { NUM_COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static const struct cq_cli_command *find_command(const char *name)
{
    for (size_t i = 0; i < NUM_COMMANDS; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int print_general_help(void)
{
    printf("usage: cryprq COMMAND [ARGUMENTS]\n"
           "\n"
           "CrypRQ is a VPN whose keys hold as long as either X25519 or ML-KEM-768 holds.\n"
           "\n"
           "Commands:\n");
    for (size_t i = 0; i < NUM_COMMANDS; i++)
        printf("  %-8s  %s\n", commands[i]->name, commands[i]->summary);
    printf("\n"
           "cryprq COMMAND --help explains a command; the manual is in cryprq(8) and "
           "cryprq.conf(5).\n");
    return CQ_EXIT_OK;
}

static int print_help(const struct cq_cli_command *command)
{
    printf("usage: cryprq %s%s%s\n\n%s.\n", command->name, command->arguments[0] != '\0' ? " " : "",
           command->arguments, command->summary);
    if (command->help[0] != '\0')
        printf("\n%s", command->help);
    return CQ_EXIT_OK;
}

static bool is_help(const char *text)
{
    return strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0;
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (is_help(argv[i]))
            return true;
    return false;
}

/* A standard descriptor that is closed would be taken by the next file opened, and written to as if
 * it were the terminal. Opened the wrong way round, using it stays an error. */
static void occupy_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            _exit(CQ_EXIT_FAILURE);
}

static int set_log(void)
{
    const char *text = getenv("CRYPRQ_LOG"), *format = getenv("CRYPRQ_LOG_FORMAT");
    enum cq_level level;

    if (text != NULL && text[0] != '\0') {
        if (cq_log_level_parse(text, &level) != CQ_OK)
            return cq_cli_usage("", "CRYPRQ_LOG is not error, warn, info or debug");
        cq_log_set_level(level);
    }
    if (format != NULL && format[0] != '\0')
        return cq_cli_log_format("", "CRYPRQ_LOG_FORMAT", format);
    return CQ_EXIT_OK;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2)
        return cq_cli_usage("", "a command is missing");
    if (is_help(argv[1]))
        return print_general_help();
    if (strcmp(argv[1], "--version") == 0)
        return cq_cmd_version.run(1, argv + 1);
    if (strcmp(argv[1], "help") == 0 && argc == 2)
        return print_general_help();
    bool help = strcmp(argv[1], "help") == 0;
    const struct cq_cli_command *command = find_command(argv[help ? 2 : 1]);
    if (command == NULL)
        return cq_cli_usage("", "there is no command %.40s", argv[help ? 2 : 1]);
    if (help || asks_for_help(argc - 1, argv + 1))
        return print_help(command);
    if (cq_aead_marker()[0] != '\0')
        cq_cli_fail("WARNING: %s: what it sends can be read and forged by anybody",
                    cq_aead_marker());
    int status = set_log();
    return status == CQ_EXIT_OK ? command->run(argc - 1, argv + 1) : status;
}

int main(int argc, char **argv)
{
    if (cq_cli_is_node(argc, argv))
        return cq_cli_node();
    occupy_standard_descriptors();
    return cq_cli_finish(dispatch(argc, argv));
}
