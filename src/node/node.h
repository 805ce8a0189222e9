/*
 * A node as a whole: what `cryprq run`, `up` and `down` call. Starts the processes of one interface
 * (monitor, node, keeper: docs/architecture.md) and ends them. Called from the main thread of a
 * program that has no other thread.
 */
#ifndef CQ_NODE_NODE_H
#define CQ_NODE_NODE_H

#include "conf/config.h"

#include <stdbool.h>

struct cq_node_run_options {
    bool foreground; /* this process becomes the monitor and returns when the node has ended;
                        otherwise the call returns as soon as the interface is ready, or with the
                        reason why not */
    const char *config_path; /* for messages; NULL: there is no file */
};

/*
 * Brings the interface conf->interface up and (in the foreground) runs it until SIGTERM or SIGINT.
 * conf is complete (cq_conf_load); its secrets are taken over and wiped, the rest stays the
 * caller's. Gives the exit status: 0 when the node was stopped by a signal (in the background: when
 * it is ready), 1 after an error, which has then been written to standard error as one line, with
 * everything put back.
 */
int cq_node_run(struct cq_conf *conf, const struct cq_node_run_options *options);

/* Stops the interface `name` and waits until everything is put back. 0, or 1 after one line on
 * standard error (not running, not allowed, or not finished within 75 s). */
int cq_node_down(const char *name);

/*
 * The unprivileged processes are this program executed again, so that nothing of the privileged one
 * is left in its memory. main() calls cq_node_is_child first, before anything else, and where it
 * says so returns cq_node_child().
 */
bool cq_node_is_child(int argc, char **argv);
int cq_node_child(void);

#endif
