/*
 * The node's unprivileged process, from its start by the monitor (node/monitor.h) to its end.
 */
#ifndef CQ_NODE_CHILD_H
#define CQ_NODE_CHILD_H

#define CQ_CHILD_NAME                                                                              \
    "cryprq-node" /* what it is executed as, and first argument; then interface, handover and      \
                     channel */

/* Takes the handover (node/handover.h) from a descriptor, gives privileges up, serves until the
 * monitor at the other end of the channel (node/channel.h) wants the end. Ends the
 * process. */
_Noreturn void cq_child_run(const char *interface, int handover_fd, int channel);

#endif
