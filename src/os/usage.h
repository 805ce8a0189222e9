/*
 * What the unprivileged process of a node uses, seen from a client of its control socket. Any
 * thread.
 */
#ifndef CQ_OS_USAGE_H
#define CQ_OS_USAGE_H

#include "base/err.h"
#include "base/time.h"

#include <stdint.h>

struct cq_usage {
    cq_time cpu; /* of all its threads since its start */
    uint64_t rss_bytes;
};

/* Of the node at the other end of a connection of cq_unix_connect. CQ_ERR_NOTFOUND: this process
 * cannot see it (another PID namespace, a hidden /proc). */
CQ_MUST_CHECK enum cq_err cq_usage_of_node(int fd, struct cq_usage *out);

#endif
