/*
 * A request for a change of a running node (conf/admin.h) and its answer. One thread.
 */
#ifndef CQ_CLI_ADMIN_H
#define CQ_CLI_ADMIN_H

#include "base/bytes.h"
#include "conf/admin.h"

/* Sends a request with its body to interface `name` and prints what comes back, to standard output
 * or, where it was refused, as an error. Gives the exit status. */
int cq_cli_admin_ask(const char *name, enum cq_admin_command command, bool dry_run,
                     const void *body, size_t body_len);

/* For commands that take [--dry-run] and num arguments, the first of which names an interface.
 * CQ_EXIT_OK, or CQ_EXIT_USAGE after a message. */
int cq_cli_admin_arguments(const char *command, int argc, char **argv, size_t num, const char **out,
                           bool *out_dry_run);

/* Absolute form of a path that is there, for a process elsewhere; malloc'ed. NULL after a message.
 */
char *cq_cli_admin_path(const char *path);

#endif
