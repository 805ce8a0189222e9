/*
 * When may memory be freed that lock-free readers could still look at: epochs. The control thread
 * unlinks an object, retires it with the next epoch, and frees it once every reader is either
 * outside or entered at that epoch or later.
 *
 * All published pointers are stored and loaded sequentially consistent (cq_publish, cq_see): either
 * the control thread sees that a reader is inside, or the reader sees that the object is gone. On
 * x86 such loads cost nothing extra.
 */
#ifndef CQ_PATH_RECLAIM_H
#define CQ_PATH_RECLAIM_H

#include "base/mem.h"
#include "path/path.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define cq_publish(where, value) atomic_store_explicit((where), (value), memory_order_seq_cst)
#define cq_see(where) atomic_load_explicit((where), memory_order_seq_cst)

/* One per worker. */
struct cq_reader_epoch {
    _Atomic uint64_t seen; /* 0: outside */
};

/* First member of everything that is retired. */
struct cq_retired {
    struct cq_retired *next;
    uint64_t epoch;
    void (*destroy)(const struct cq_allocator *allocator, struct cq_retired *object);
};

struct cq_reclaim {
    const struct cq_allocator *allocator;
    _Atomic uint64_t epoch; /* from 1 on */
    struct cq_retired *first, *last;
    struct cq_reader_epoch readers[CQ_PATH_MAX_WORKERS];
};

void cq_reclaim_init(struct cq_reclaim *r, const struct cq_allocator *allocator);

/* Reader: from enter to leave it may follow published pointers. */
static inline void cq_reclaim_enter(struct cq_reclaim *r, unsigned reader)
{
    uint64_t epoch = atomic_load_explicit(&r->epoch, memory_order_seq_cst);

    atomic_store_explicit(&r->readers[reader].seen, epoch, memory_order_seq_cst);
}

static inline void cq_reclaim_leave(struct cq_reclaim *r, unsigned reader)
{
    atomic_store_explicit(&r->readers[reader].seen, 0, memory_order_release);
}

/* Control thread: object is unlinked and will be destroyed by `destroy` when nobody can see it.
 * Never fails. */
void cq_reclaim_retire(struct cq_reclaim *r, struct cq_retired *object,
                       void (*destroy)(const struct cq_allocator *allocator,
                                       struct cq_retired *object));

/* Control thread: destroys what can be; whether something still waits. */
bool cq_reclaim_run(struct cq_reclaim *r);

/* Destroys everything; no reader is inside or will be. */
void cq_reclaim_finish(struct cq_reclaim *r);

#endif
