/*
 * The door to the daemon: the one file of this folder that knows node/. Locked memory and libcrypto
 * are set up (cq_keys_init) before a configuration is loaded.
 */
#ifndef CQ_CLI_RUN_H
#define CQ_CLI_RUN_H

#include "conf/config.h"

#include <stdbool.h>

/* Whether this process was started by a node to be its unprivileged half, and doing that. */
bool cq_cli_is_node(int argc, char **argv);
int cq_cli_node(void);

/* Runs a complete configuration; path names it in messages (NULL: none). Gives the exit status.
 * conf stays the caller's, its secrets gone. */
int cq_cli_run(struct cq_conf *conf, const char *path, bool foreground);

/* Stops the node of an interface. Gives the exit status. */
int cq_cli_stop(const char *interface);

#endif
