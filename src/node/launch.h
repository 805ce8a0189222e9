/*
 * Starting and ending the node's process from the monitor's side.
 */
#ifndef CQ_NODE_LAUNCH_H
#define CQ_NODE_LAUNCH_H

#include "base/time.h"
#include "node/failure.h"
#include "node/handover.h"
#include "os/notify.h"

#include <stdbool.h>
#include <sys/types.h>

struct cq_launched {
    pid_t pid;   /* 0: none */
    int channel; /* node/channel.h; ours */
    int watch;   /* readable when the process has ended */
};

/* In a process just forked: executes this program again with these arguments, our own variables of
 * the environment, these descriptors (negative: none) and no others. Returns only when that fails:
 * errno. */
enum { CQ_LAUNCH_MAX_FDS = 7 + (CQ_TUN_MAX_LINES + 2) * CQ_CONF_MAX_WORKERS };
int cq_launch_become(char *const argv[], const int *fds, size_t num_fds);

/* Executes this program again as the node (node/child.h) with the descriptors of `start` and of the
 * handover, and no
 * others; its log lines go to `sink`. False: *failure says why. */
bool cq_launch(struct cq_launched *out, const char *interface, struct cq_handover *handover,
               const struct cq_handover_start *start, enum cq_notify_sink sink,
               struct cq_failure *failure);

/* Asks it to end, ends it when it has not done so in time, and waits for it. Its status as of
 * wait(2). */
int cq_launch_end(struct cq_launched *node, cq_time patience);

#endif
