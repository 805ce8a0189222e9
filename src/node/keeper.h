/*
 * The keeper: a small process beside the monitor that does nothing until the monitor is gone
 * without having put everything back (kill -9); then it ends the node and runs the undo journal
 * (node/undo.h). Called by the monitor.
 */
#ifndef CQ_NODE_KEEPER_H
#define CQ_NODE_KEEPER_H

#include "base/err.h"
#include "node/lock.h"
#include "os/notify.h"

#include <sys/types.h>

struct cq_keeper {
    pid_t pid;   /* 0: none */
    int pipe_fd; /* -1: none */
};

/* Forks it. It shares `lock`, so the interface counts as in use until it is done. sink: where its
 * log lines go. CQ_ERR_IO (errno). */
CQ_MUST_CHECK enum cq_err cq_keeper_start(struct cq_keeper *keeper, const char *name,
                                          const struct cq_lock *lock, enum cq_notify_sink sink);

/* Tells it which process the node is. */
void cq_keeper_set_node(const struct cq_keeper *keeper, pid_t node);

/* Everything is put back: it ends, and is waited for. A zeroed keeper is allowed. */
void cq_keeper_dismiss(struct cq_keeper *keeper);

#endif
