#include "path/reclaim.h"

void cq_reclaim_init(struct cq_reclaim *r, const struct cq_allocator *allocator)
{
    *r = (struct cq_reclaim){.allocator = allocator};
    atomic_init(&r->epoch, 1);
}

void cq_reclaim_retire(struct cq_reclaim *r, struct cq_retired *object,
                       void (*destroy)(const struct cq_allocator *allocator,
                                       struct cq_retired *object))
{
    object->next = NULL;
    object->destroy = destroy;
    object->epoch = atomic_fetch_add_explicit(&r->epoch, 1, memory_order_seq_cst) + 1;
    if (r->last != NULL)
        r->last->next = object;
    else
        r->first = object;
    r->last = object;
}

/* The oldest epoch at which a reader that is inside entered. */
static uint64_t find_oldest(struct cq_reclaim *r)
{
    uint64_t oldest = UINT64_MAX;

    for (unsigned i = 0; i < CQ_PATH_MAX_WORKERS; i++) {
        uint64_t seen = atomic_load_explicit(&r->readers[i].seen, memory_order_seq_cst);
        if (seen != 0 && seen < oldest)
            oldest = seen;
    }
    return oldest;
}

/* Objects are retired with rising epochs, so the list is in order. */
static void destroy_until(struct cq_reclaim *r, uint64_t epoch)
{
    while (r->first != NULL && r->first->epoch <= epoch) {
        struct cq_retired *object = r->first;
        r->first = object->next;
        if (r->first == NULL)
            r->last = NULL;
        object->destroy(r->allocator, object);
    }
}

bool cq_reclaim_run(struct cq_reclaim *r)
{
    if (r->first == NULL)
        return false;
    destroy_until(r, find_oldest(r));
    return r->first != NULL;
}

void cq_reclaim_finish(struct cq_reclaim *r)
{
    destroy_until(r, UINT64_MAX);
}
