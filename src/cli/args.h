/*
 * A configuration from the arguments of `cryprq run` and the environment instead of a file. Nothing
 * secret comes this way: the private key is named by its file.
 */
#ifndef CQ_CLI_ARGS_H
#define CQ_CLI_ARGS_H

#include "cli/cli.h"
#include "conf/config.h"

/* Long options, in the order of enum cq_args_option; the list ends as cq_cli_next wants. */
extern const struct cq_cli_option cq_args_options[];

enum { CQ_ARGS_TUNINGS = 4 }; /* settings of the packet path */

struct cq_args {
    struct cq_conf conf; /* the caller's, also after an error */
    const char *key_file;
    bool used; /* an option was given that a file would stand for */
    bool has_rotate_secs, has_metrics_addr;
    bool has_tuning[CQ_ARGS_TUNINGS];
};

/* Sets defaults. */
void cq_args_init(struct cq_args *args);

/* Takes one option. CQ_EXIT_OK, or another status after a message. */
int cq_args_take(struct cq_args *args, int option, const char *value);

/* Adds the environment (docs/configuration.md), fills in
 * allowed IPs where they follow from the addresses, reads the key and checks the whole. The same
 * results. */
int cq_args_finish(struct cq_args *args);

#endif
