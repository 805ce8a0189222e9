/*
 * What the commands of the program share: the command's description, exit statuses, messages on
 * standard error, and standard output that is checked. One thread.
 */
#ifndef CQ_CLI_CLI_H
#define CQ_CLI_CLI_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    CQ_EXIT_OK = 0,
    CQ_EXIT_FAILURE = 1,
    CQ_EXIT_USAGE = 2,
};

/* One command. Its file defines it, cli/main.c lists it. */
struct cq_cli_command {
    const char *name;
    const char *arguments;             /* what follows the name in its usage line */
    const char *summary;               /* one line for the general help */
    const char *help;                  /* the rest of its own help */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; gives the exit status */
};

extern const struct cq_cli_command cq_cmd_genkey, cq_cmd_genpsk, cq_cmd_pubkey, cq_cmd_show,
    cq_cmd_rotate, cq_cmd_up, cq_cmd_down, cq_cmd_run, cq_cmd_version, cq_cmd_ping, cq_cmd_diagnose,
    cq_cmd_watch, cq_cmd_top, cq_cmd_bench, cq_cmd_set, cq_cmd_reload, cq_cmd_syncconf,
    cq_cmd_showconf, cq_cmd_save;

/* Writes one line, "cryprq: " and the text with control characters replaced. Returns
 * CQ_EXIT_FAILURE. */
int cq_cli_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same for wrong arguments of a command ("cryprq COMMAND: "), with a hint at its help. Returns
 * CQ_EXIT_USAGE. */
int cq_cli_usage(const char *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The form of log lines by an option or variable called `source`. CQ_EXIT_OK, or another status
 * after a message. */
int cq_cli_log_format(const char *command, const char *source, const char *text);

/* To be called once after the last output: whether everything really got out. Gives `status`, or
 * CQ_EXIT_FAILURE after a message. */
int cq_cli_finish(int status);

/* Options of a command: "--name VALUE", "--name=VALUE", "--name". "--" ends them; order does not
 * matter. */
struct cq_cli_option {
    const char *name; /* without the dashes; NULL ends the list */
    bool has_value;
};

struct cq_cli_args {
    const char *command;
    int argc;
    char **argv;
    int at;            /* next argument to look at; start with 1 */
    bool ended;        /* "--" was there */
    const char *value; /* of the option or argument just returned */
};

enum {
    CQ_CLI_ARGUMENT = -1, /* no option: value is the argument */
    CQ_CLI_END = -2,
    CQ_CLI_BAD = -3, /* a message was written: return CQ_EXIT_USAGE */
};

/* The index of the next option in the list, or one of the above. */
int cq_cli_next(struct cq_cli_args *args, const struct cq_cli_option *options);

/* For commands without options: takes min to max arguments into out[], the rest NULL.
 * CQ_ERR_INVALID after a message. */
CQ_MUST_CHECK enum cq_err cq_cli_arguments(const char *command, int argc, char **argv, size_t min,
                                           size_t max, const char **out);

#endif
