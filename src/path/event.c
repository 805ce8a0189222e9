#include "path/internal.h"

static bool is_one_shot(enum cq_path_event_type type)
{
    return type == CQ_PATH_PING || type == CQ_PATH_PONG || type == CQ_PATH_CLOSE;
}

bool cq_event_push(struct cq_path_worker *worker, const struct cq_path_event *event)
{
    struct cq_event_ring *ring = &worker->events;
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint32_t used = head - atomic_load_explicit(&ring->tail, memory_order_acquire);
    uint32_t room = is_one_shot(event->type) ? CQ_EVENT_RING - CQ_EVENT_RING_KEPT : CQ_EVENT_RING;

    /* Also when it is full: somebody must look. */
    worker->reported = true;
    if (used >= room)
        return false;
    ring->slots[head % CQ_EVENT_RING] = *event;
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return true;
}

static bool pop_event(struct cq_event_ring *ring, struct cq_path_event *out)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

    if (tail == atomic_load_explicit(&ring->head, memory_order_acquire))
        return false;
    *out = ring->slots[tail % CQ_EVENT_RING];
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return true;
}

bool cq_path_next_event(struct cq_path *path, struct cq_path_event *out)
{
    for (unsigned i = 0; i < path->num_workers; i++) {
        if (pop_event(&path->workers[path->next_event]->events, out))
            return true;
        path->next_event = (path->next_event + 1) % path->num_workers;
    }
    return false;
}
