/*
 * One deadline per peer in a binary heap. A peer without anything due is not in the heap, so idle
 * peers cost nothing.
 */
#include "engine/internal.h"

static void place(struct cq_engine *e, uint32_t at, struct cq_peer *peer)
{
    e->heap[at] = peer;
    peer->heap_at = at + 1;
}

static void sift_up(struct cq_engine *e, uint32_t at)
{
    struct cq_peer *peer = e->heap[at];
    while (at > 0) {
        uint32_t parent = (at - 1) / 2;
        if (e->heap[parent]->deadline <= peer->deadline)
            break;
        place(e, at, e->heap[parent]);
        at = parent;
    }
    place(e, at, peer);
}

static void sift_down(struct cq_engine *e, uint32_t at)
{
    struct cq_peer *peer = e->heap[at];
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= e->heap_len)
            break;
        if (child + 1 < e->heap_len && e->heap[child + 1]->deadline < e->heap[child]->deadline)
            child++;
        if (peer->deadline <= e->heap[child]->deadline)
            break;
        place(e, at, e->heap[child]);
        at = child;
    }
    place(e, at, peer);
}

void cq_timer_remove(struct cq_engine *e, struct cq_peer *peer)
{
    if (peer->heap_at == 0)
        return;
    uint32_t at = peer->heap_at - 1;
    peer->heap_at = 0;
    struct cq_peer *last = e->heap[--e->heap_len];
    if (last == peer)
        return;
    place(e, at, last);
    sift_up(e, at);
    sift_down(e, last->heap_at - 1);
}

void cq_timer_update(struct cq_engine *e, struct cq_peer *peer)
{
    cq_time t = peer->closing ? 0 : cq_attempt_deadline(peer);
    t = cq_time_min(t, cq_pending_deadline(peer));
    t = cq_time_min(t, cq_session_deadline(peer));
    t = cq_time_min(t, cq_liveness_deadline(peer));
    t = cq_time_min(t, cq_address_deadline(peer));
    t = cq_time_min(t, cq_pmtu_deadline(peer));
    peer->deadline = t;
    if (t == CQ_TIME_NEVER) {
        cq_timer_remove(e, peer);
        return;
    }
    if (peer->heap_at == 0) {
        place(e, e->heap_len++, peer);
    }
    sift_up(e, peer->heap_at - 1);
    sift_down(e, peer->heap_at - 1);
}
