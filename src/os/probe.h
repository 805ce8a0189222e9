/*
 * A UDP socket of its own toward one address, for commands that look into why a peer does not
 * answer: don't-fragment is set, and what routers and the other machine report by ICMP comes back
 * as errors. Also an ICMP echo, and the route that the kernel would take. Bytes only. One thread;
 * no privileges are needed but for a mark and, on most machines, the echo.
 */
#ifndef CQ_OS_PROBE_H
#define CQ_OS_PROBE_H

#include "base/addr.h"
#include "base/err.h"
#include "base/time.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cq_probe {
    int fd; /* -1: closed */
    struct cq_addr to;
    int error;         /* the last errno that sending or an ICMP message brought; 0: none */
    bool by_icmp;      /* it came from outside */
    unsigned path_mtu; /* what an EMSGSIZE told; 0: nothing */
};

/* CQ_ERR_PERM: the mark may not be set; CQ_ERR_IO (errno). */
CQ_MUST_CHECK enum cq_err cq_probe_open(struct cq_probe *probe, const struct cq_addr *to,
                                        uint32_t mark);
/* One that was not opened must have fd -1. */
void cq_probe_close(struct cq_probe *probe);

/* CQ_ERR_IO: *probe says why. */
CQ_MUST_CHECK enum cq_err cq_probe_send(struct cq_probe *probe, const uint8_t *data, size_t len);

/* Waits until the time for a datagram from anywhere. CQ_ERR_EXPIRED; CQ_ERR_IO: *probe says what
 * was reported. */
CQ_MUST_CHECK enum cq_err cq_probe_receive(struct cq_probe *probe, uint8_t *out, size_t size,
                                           size_t *out_len, struct cq_addr *out_from,
                                           cq_time until);

/* One ICMP echo, and the time until its answer. CQ_ERR_EXPIRED: none by then; CQ_ERR_PERM;
 * CQ_ERR_IO (errno). */
CQ_MUST_CHECK enum cq_err cq_probe_echo(const struct cq_ip *to, cq_time until, cq_time *out_took);

#endif
