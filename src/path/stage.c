#include "path/stage.h"

#include "path/worker.h"

struct cq_stage_chunk {
    struct cq_stage_chunk *next;
};

enum { ALIGN = 16 };

static size_t round_up(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

void cq_stage_init(struct cq_stage_pool *pool, const struct cq_allocator *allocator, uint16_t mtu,
                   unsigned num_workers)
{
    size_t slot = round_up(sizeof(struct cq_staged) + mtu + CQ_PATH_SLACK);
    size_t chunk = CQ_STAGE_CHUNK_BYTES;

    if (chunk < ALIGN + slot)
        chunk = ALIGN + slot;
    *pool = (struct cq_stage_pool){
        .allocator = allocator,
        .slot_bytes = slot,
        .chunk_bytes = chunk,
        .max_chunks = (unsigned)(CQ_STAGE_POOL_BYTES / chunk / num_workers),
    };
    if (pool->max_chunks == 0)
        pool->max_chunks = 1;
}

void cq_stage_wipe(struct cq_stage_pool *pool)
{
    while (pool->chunks != NULL) {
        struct cq_stage_chunk *chunk = pool->chunks;
        pool->chunks = chunk->next;
        cq_free(pool->allocator, chunk, pool->chunk_bytes);
    }
}

static bool add_chunk(struct cq_stage_pool *pool)
{
    if (pool->num_chunks >= pool->max_chunks)
        return false;
    struct cq_stage_chunk *chunk = cq_alloc(pool->allocator, pool->chunk_bytes);
    if (chunk == NULL)
        return false;
    chunk->next = pool->chunks;
    pool->chunks = chunk;
    pool->num_chunks++;
    uint8_t *p = (uint8_t *)chunk + ALIGN;
    for (size_t left = pool->chunk_bytes - ALIGN; left >= pool->slot_bytes;
         left -= pool->slot_bytes) {
        cq_stage_give(pool, (struct cq_staged *)(void *)p);
        p += pool->slot_bytes;
    }
    return true;
}

struct cq_staged *cq_stage_take(struct cq_stage_pool *pool)
{
    if (pool->free == NULL)
        pool->free = atomic_exchange_explicit(&pool->returned, NULL, memory_order_acquire);
    if (pool->free == NULL && !add_chunk(pool))
        return NULL;
    struct cq_staged *slot = pool->free;
    pool->free = slot->next;
    slot->next = NULL;
    return slot;
}

void cq_stage_give(struct cq_stage_pool *pool, struct cq_staged *slot)
{
    slot->next = pool->free;
    pool->free = slot;
}

static void drop_first(struct cq_stage_pool *pool, struct cq_stage_queue *queue,
                       struct cq_counters *counters, enum cq_drop reason)
{
    struct cq_staged *slot = cq_stage_pop(queue);

    if (slot == NULL)
        return;
    cq_stage_give(pool, slot);
    cq_drop_count(counters, reason, 1);
}

void cq_stage_expire(struct cq_stage_pool *pool, struct cq_stage_queue *queue,
                     struct cq_counters *counters, cq_time now)
{
    while (queue->first != NULL && now - queue->first->when >= CQ_STAGE_MAX_AGE)
        drop_first(pool, queue, counters, CQ_DROP_STAGED_EXPIRED);
}

/* First taken, then looked at, so that workers together never exceed it. */
static bool take_room(struct cq_stage_queue *queue, size_t len)
{
    struct cq_stage_total *total = queue->total;
    uint32_t num = atomic_fetch_add_explicit(&total->num, 1, memory_order_relaxed) + 1;
    size_t bytes =
        atomic_fetch_add_explicit(&total->bytes, (uint32_t)len, memory_order_relaxed) + len;

    if (num <= CQ_STAGE_MAX_PACKETS && bytes <= CQ_STAGE_MAX_BYTES)
        return true;
    cq_stage_release(queue, len);
    return false;
}

bool cq_stage_reserve(struct cq_stage_pool *pool, struct cq_stage_queue *queue, size_t len,
                      struct cq_counters *counters)
{
    while (!take_room(queue, len)) {
        if (queue->first == NULL)
            return false;
        drop_first(pool, queue, counters, CQ_DROP_STAGED_FULL);
    }
    return true;
}

void cq_stage_release(struct cq_stage_queue *queue, size_t len)
{
    atomic_fetch_sub_explicit(&queue->total->num, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&queue->total->bytes, (uint32_t)len, memory_order_relaxed);
}

void cq_stage_push(struct cq_stage_queue *queue, struct cq_staged *slot)
{
    slot->next = NULL;
    if (queue->last != NULL)
        queue->last->next = slot;
    else
        queue->first = slot;
    queue->last = slot;
}

struct cq_staged *cq_stage_pop(struct cq_stage_queue *queue)
{
    struct cq_staged *slot = queue->first;

    if (slot == NULL)
        return NULL;
    queue->first = slot->next;
    if (queue->first == NULL)
        queue->last = NULL;
    cq_stage_release(queue, slot->len);
    return slot;
}

void cq_stage_return(struct cq_stage_pool *pool, struct cq_stage_queue *queue)
{
    if (queue->first == NULL)
        return;
    struct cq_staged *old = atomic_load_explicit(&pool->returned, memory_order_relaxed);
    do {
        queue->last->next = old;
    } while (!atomic_compare_exchange_weak_explicit(&pool->returned, &old, queue->first,
                                                    memory_order_release, memory_order_relaxed));
    queue->first = queue->last = NULL;
}
