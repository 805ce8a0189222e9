/*
 * Per-thread counters. Each thread owns one `struct cq_counters` and is its only writer; readers
 * sum all of them. Values are monotonic 64-bit numbers, read and written relaxed.
 */
#ifndef CQ_BASE_COUNTER_H
#define CQ_BASE_COUNTER_H

#include "base/drop.h"

#include <stdatomic.h>
#include <stdint.h>

struct cq_counters {
    _Atomic uint64_t drops[CQ_DROP_COUNT];
};

/* Adds n to a counter that this thread alone writes: a plain load and store, no locked instruction.
 */
static inline void cq_counter_add(_Atomic uint64_t *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline uint64_t cq_counter_get(const _Atomic uint64_t *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

static inline void cq_drop_count(struct cq_counters *c, enum cq_drop drop, uint64_t n)
{
    cq_counter_add(&c->drops[drop], n);
}

#endif
