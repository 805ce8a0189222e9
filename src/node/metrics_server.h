/*
 * The metrics server's process, from its start by the monitor (node/metrics.h) to its end. It holds
 * no key, sees the node through shared memory that it can only read, and gives up every privilege
 * before it takes a connection.
 */
#ifndef CQ_NODE_METRICS_SERVER_H
#define CQ_NODE_METRICS_SERVER_H

#define CQ_METRICS_SERVER_NAME                                                                     \
    "cryprq-metrics" /* what it is executed as, and first argument; then interface and channel */

/* Takes the start message from the channel to the monitor and serves until the monitor or the node
 * is gone. Ends the process. */
_Noreturn void cq_metrics_server_run(const char *interface, int channel);

#endif
