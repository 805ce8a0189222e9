/*
 * Bookkeeping of a bounded queue between one writing and one reading thread; the slots are the
 * caller's array.
 */
#ifndef CQ_NODE_RING_H
#define CQ_NODE_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct cq_ring {
    _Atomic uint32_t head, tail; /* next to write, next to read */
};

/* Writer: the slot to fill, then cq_ring_commit. False: the queue is full. size is a power of two.
 */
static inline bool cq_ring_reserve(struct cq_ring *ring, uint32_t size, uint32_t *out_slot)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

    if (head - atomic_load_explicit(&ring->tail, memory_order_acquire) >= size)
        return false;
    *out_slot = head & (size - 1);
    return true;
}

static inline void cq_ring_commit(struct cq_ring *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

/* Reader: the oldest slot, to be given back with cq_ring_release. False: the queue is empty. */
static inline bool cq_ring_peek(struct cq_ring *ring, uint32_t size, uint32_t *out_slot)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

    if (tail == atomic_load_explicit(&ring->head, memory_order_acquire))
        return false;
    *out_slot = tail & (size - 1);
    return true;
}

static inline void cq_ring_release(struct cq_ring *ring)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
}

/* Any thread: how many wait, as of some moment just now. */
static inline uint32_t cq_ring_count(const struct cq_ring *ring)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

    return atomic_load_explicit(&ring->head, memory_order_relaxed) - tail;
}

#endif
