/*
 * The monitor: the privileged process of an interface. It sets everything up, starts keeper and
 * node, does for the node what needs privileges, and puts everything back when the node or itself
 * is to end. It reads nothing that came from the network. Single-threaded.
 */
#ifndef CQ_NODE_MONITOR_H
#define CQ_NODE_MONITOR_H

#include "conf/config.h"
#include "node/failure.h"
#include "node/handover.h"
#include "os/notify.h"

#include <stdbool.h>

struct cq_monitor_options {
    const struct cq_conf *conf;   /* without secrets */
    const char *config_path;      /* absolute; NULL: there is no file */
    struct cq_handover *handover; /* wiped as soon as the node has it */
    enum cq_notify_sink sink;     /* where log lines of processes go that outlive the terminal */
    void (*ready)(void *ctx);     /* called when the interface is ready; may be NULL */
    void *ctx;
};

/* Runs the interface from beginning to end. True: it was ready and was then stopped by a signal.
 * False: *failure says why it did not start or why it ended. Everything is put back in either case.
 */
bool cq_monitor_run(const struct cq_monitor_options *options, struct cq_failure *failure);

#endif
