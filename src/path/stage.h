/*
 * Packets that wait for a session: per worker and peer a queue, those of a peer together at most 64
 * packets or 128 kB, a worker's oldest dropped first, nothing older than 5 s. The packets lie in
 * slots of a pool per worker, which is bounded and gets its memory in chunks when first needed; it
 * never gives it back.
 *
 * A pool and its queues belong to one worker, except: the total of a peer is all workers', and when
 * a peer is destroyed (nobody can see it any more) the control thread returns what is in its
 * queues.
 */
#ifndef CQ_PATH_STAGE_H
#define CQ_PATH_STAGE_H

#include "base/counter.h"
#include "base/mem.h"
#include "base/time.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CQ_STAGE_MAX_PACKETS = 64,
    CQ_STAGE_MAX_BYTES = 128 * 1024,
    CQ_STAGE_POOL_BYTES = 1024 * 1024, /* of all workers together */
    CQ_STAGE_CHUNK_BYTES = 16 * 1024,
};

#define CQ_STAGE_MAX_AGE (5 * CQ_NS_PER_S)

struct cq_staged {
    struct cq_staged *next;
    cq_time when;
    uint32_t len;
    uint8_t ecn;
    bool elided;
    uint8_t data[]; /* with CQ_PATH_SLACK bytes to spare */
};

/* What waits in all queues of a peer. */
struct cq_stage_total {
    _Atomic uint32_t num;
    _Atomic uint32_t bytes;
};

struct cq_stage_queue {
    struct cq_stage_total *total; /* constant */
    struct cq_staged *first, *last;
};

struct cq_stage_chunk;

struct cq_stage_pool {
    const struct cq_allocator *allocator;
    size_t slot_bytes, chunk_bytes;
    unsigned num_chunks, max_chunks;
    struct cq_stage_chunk *chunks;
    struct cq_staged *free;
    _Atomic(struct cq_staged *) returned;
};

/* For packets of at most mtu bytes; one of num_workers pools. Allocates nothing yet. */
void cq_stage_init(struct cq_stage_pool *pool, const struct cq_allocator *allocator, uint16_t mtu,
                   unsigned num_workers);
void cq_stage_wipe(struct cq_stage_pool *pool);

/* A slot for a packet of len <= mtu bytes, not queued yet; NULL: the pool is used up. */
struct cq_staged *cq_stage_take(struct cq_stage_pool *pool);
void cq_stage_give(struct cq_stage_pool *pool, struct cq_staged *slot);

/* Drops what has waited too long. */
void cq_stage_expire(struct cq_stage_pool *pool, struct cq_stage_queue *queue,
                     struct cq_counters *counters, cq_time now);
/* Takes the room for another packet of len bytes, which cq_stage_push or cq_stage_release uses up;
 * drops the queue's oldest until there is some. False: what fills it waits with other workers. */
bool cq_stage_reserve(struct cq_stage_pool *pool, struct cq_stage_queue *queue, size_t len,
                      struct cq_counters *counters);
void cq_stage_release(struct cq_stage_queue *queue, size_t len);
void cq_stage_push(struct cq_stage_queue *queue, struct cq_staged *slot);
/* The oldest, NULL when there is none; the caller gives it back to the pool. */
struct cq_staged *cq_stage_pop(struct cq_stage_queue *queue);

/* Control thread: the queue of a peer that nobody can see any more. */
void cq_stage_return(struct cq_stage_pool *pool, struct cq_stage_queue *queue);

#endif
