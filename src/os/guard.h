/*
 * The guard of an interface's addresses: packets for them that arrive over any other interface are
 * dropped, so that neighbours cannot speak to (or find out about) what is behind the tunnel. Two
 * tables of the kernel's packet filter (nf_tables) that belong to a socket of this process: the
 * kernel removes them when the process ends, however it ends.
 */
#ifndef CQ_OS_GUARD_H
#define CQ_OS_GUARD_H

#include "base/addr.h"
#include "base/err.h"

#include <stddef.h>

struct cq_guard;

/*
 * Puts up the guard for `addresses` of the interface. CQ_ERR_IO: errno as the kernel gave it;
 * ENOENT, EOPNOTSUPP or EPROTONOSUPPORT where the kernel has no nf_tables or none with tables that
 * belong to a socket (before Linux 5.12); CQ_ERR_NOMEM. Nothing is left then.
 */
CQ_MUST_CHECK enum cq_err cq_guard_open(struct cq_guard **out, const char *interface,
                                        const struct cq_ip *addresses, size_t num);
/* Takes it down. NULL is allowed. */
void cq_guard_close(struct cq_guard *guard);

#endif
