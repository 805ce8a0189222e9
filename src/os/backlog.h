/*
 * How much waits in each line of a TUN device, and a bound on it. The device's own queues count
 * packets, and one packet of a bulk transfer has 61 kB: a single TCP stream fills them with all
 * that its window allows, which makes it late for itself and pushes its data out of the CPU's
 * caches before it is sealed. Here the kernel counts bytes as they are queued (a program as in
 * os/bpf.h, with memory that it shares with the node), the worker counts those that it took, and
 * while a line stays above the bound for longer
 * than an interval, one TCP packet in each interval is dropped, which is how TCP is told to slow
 * down. A burst is let through.
 *
 * The memory is written by the kernel and one worker per line; it holds no secret.
 */
#ifndef CQ_OS_BACKLOG_H
#define CQ_OS_BACKLOG_H

#include "base/err.h"
#include "os/tun.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CQ_BACKLOG_MAX_LINES = 128,
    CQ_BACKLOG_BYTES = 1280 * 1024, /* that may wait in a line for longer than */
    CQ_BACKLOG_INTERVAL_NS = 20000000,
};

struct cq_backlog_line {
    _Atomic uint64_t queued;      /* bytes; the kernel's */
    _Atomic uint64_t above_since; /* when the bound was exceeded, or the last packet dropped; 0:
                                     below; the kernel's */
    _Atomic uint64_t dropped;     /* packets; the kernel's */
    uint64_t unused[5];
    _Atomic uint64_t taken; /* bytes; the worker's */
    uint64_t unused_too[7]; /* what two sides write lies in cache lines of its own */
};

/* Bounds all lines of the device. *out_fd is the memory's descriptor, the caller's. CQ_ERR_PERM,
 * CQ_ERR_IO (errno): lines are bounded by their number of packets alone. */
CQ_MUST_CHECK enum cq_err cq_backlog_attach(const struct cq_tun *tun, int *out_fd);

/* Maps the memory of CQ_BACKLOG_MAX_LINES lines; NULL: errno. */
struct cq_backlog_line *cq_backlog_map(int fd);
void cq_backlog_unmap(struct cq_backlog_line *lines);

/* Worker: a packet was read. */
static inline void cq_backlog_take(struct cq_backlog_line *line, size_t bytes)
{
    atomic_store_explicit(&line->taken,
                          atomic_load_explicit(&line->taken, memory_order_relaxed) + bytes,
                          memory_order_relaxed);
}

/* Worker: what had been queued at a moment before a read that found nothing is gone, whatever the
 * counters say (a full queue drops what was counted). */
static inline uint64_t cq_backlog_queued(const struct cq_backlog_line *line)
{
    return atomic_load_explicit(&line->queued, memory_order_relaxed);
}

static inline void cq_backlog_found_empty(struct cq_backlog_line *line, uint64_t queued_before)
{
    if (atomic_load_explicit(&line->taken, memory_order_relaxed) < queued_before)
        atomic_store_explicit(&line->taken, queued_before, memory_order_relaxed);
}

#endif
