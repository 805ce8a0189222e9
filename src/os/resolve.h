/*
 * Looking a host name up without waiting: an unprivileged child process asks, since answers of name
 * servers come from the network. Single-threaded callers.
 */
#ifndef CQ_OS_RESOLVE_H
#define CQ_OS_RESOLVE_H

#include "base/addr.h"
#include "base/err.h"
#include "os/sandbox.h"

#include <sys/types.h>

enum { CQ_RESOLVE_TIMEOUT_S = 20 }; /* after which the child ends by itself */

struct cq_resolve {
    pid_t pid; /* to be waited for by cq_resolve_finish */
    int fd;    /* readable once the answer is there or the child has ended */
};

/* Starts looking `host` up as `user` (NULL: as the one who calls). CQ_ERR_IO. */
CQ_MUST_CHECK enum cq_err cq_resolve_start(struct cq_resolve *out, const char *host, uint16_t port,
                                           const struct cq_sandbox_user *user);

/* To be called when fd is readable: gives the address, or CQ_ERR_NOTFOUND with *reason (static
 * storage). The child is waited for, the descriptor closed. */
CQ_MUST_CHECK enum cq_err cq_resolve_finish(struct cq_resolve *resolve, struct cq_addr *out,
                                            const char **reason);

/* Ends the child without an answer. */
void cq_resolve_cancel(struct cq_resolve *resolve);

#endif
