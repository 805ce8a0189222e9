#include "path/internal.h"

#include <assert.h>
#include <string.h>

/* Bytes that all lanes may have sealed beyond what they reported. */
static uint64_t unreported_max(unsigned num_lanes)
{
    return (uint64_t)num_lanes * (CQ_KEYPAIR_RESERVE + 1) * CQ_RECORD_PLAINTEXT_MAX;
}

static uint32_t window_size(unsigned lane)
{
    return lane == 0 ? CQ_REPLAY_WINDOW_FIRST : CQ_REPLAY_WINDOW_OTHER;
}

void cq_keypair_destroy(const struct cq_allocator *allocator, struct cq_retired *object)
{
    struct cq_keypair *keypair = (struct cq_keypair *)object;

    if (keypair == NULL)
        return;
    if (keypair->farewell != NULL)
        cq_farewell_seal(keypair);
    for (unsigned i = 0; i < keypair->num_lanes; i++) {
        cq_aead_free(keypair->lanes[i].seal);
        cq_aead_free(keypair->lanes[i].open);
    }
    for (unsigned i = 0; i < CQ_RECORD_NUM_LANES; i++)
        cq_free(allocator, cq_see(&keypair->windows[i]), cq_replay_bytes(window_size(i)));
    cq_free(allocator, keypair, keypair->size);
}

static enum cq_err make_contexts(struct cq_keypair *keypair, const struct cq_keypair_params *params)
{
    enum cq_err err = CQ_OK;

    for (unsigned i = 0; i < keypair->num_lanes && err == CQ_OK; i++) {
        struct cq_keypair_lane *lane = &keypair->lanes[i];
        err = cq_aead_new(&lane->seal, params->suite, CQ_AEAD_SEAL, params->send_key);
        if (err == CQ_OK)
            err = cq_aead_new(&lane->open, params->suite, CQ_AEAD_OPEN, params->recv_key);
    }
    return err;
}

static struct cq_keypair *new_keypair(struct cq_path *path, struct cq_path_peer *peer,
                                      const struct cq_keypair_params *params)
{
    size_t size = sizeof(struct cq_keypair) + path->num_workers * sizeof(struct cq_keypair_lane);
    struct cq_keypair *keypair = cq_alloc(path->allocator, size);

    if (keypair == NULL)
        return NULL;
    keypair->size = size;
    keypair->peer = peer;
    keypair->local_idx = params->local_idx;
    keypair->remote_idx = params->remote_idx;
    keypair->send_until = params->send_until;
    keypair->recv_until = params->recv_until;
    memcpy(keypair->send_iv, params->send_iv, sizeof(keypair->send_iv));
    memcpy(keypair->recv_iv, params->recv_iv, sizeof(keypair->recv_iv));
    keypair->num_lanes = path->num_workers;
    keypair->limits = cq_record_limits(params->suite);
    if (keypair->limits.bytes != UINT64_MAX)
        keypair->limits.bytes -= unreported_max(keypair->num_lanes);
    cq_set_time(&keypair->rotate_at, params->rotate_at);
    cq_set_time(&keypair->first_opened, CQ_TIME_NEVER);
    cq_set_time(&keypair->last_opened, CQ_TIME_NEVER);
    cq_set_time(&keypair->lane0_used, CQ_TIME_NEVER);
    return keypair;
}

enum cq_err cq_path_keypair_add(struct cq_path *path, struct cq_path_peer *peer,
                                const struct cq_keypair_params *params, struct cq_keypair **out)
{
    enum cq_err err = CQ_ERR_NOMEM;

    *out = NULL;
    if (cq_index_find(&path->index, params->local_idx) != NULL)
        return CQ_ERR_EXISTS;
    struct cq_keypair *keypair = new_keypair(path, peer, params);
    if (keypair != NULL)
        err = make_contexts(keypair, params);
    if (err == CQ_OK && cq_keypair_make_window(keypair, 0) == NULL)
        err = CQ_ERR_NOMEM;
    if (err == CQ_OK)
        err = cq_index_add(&path->index, params->local_idx, keypair);
    if (err != CQ_OK) {
        if (keypair != NULL)
            cq_keypair_destroy(path->allocator, &keypair->retired);
        return err;
    }
    keypair->next = peer->keypairs;
    peer->keypairs = keypair;
    *out = keypair;
    return CQ_OK;
}

void cq_path_keypair_remove(struct cq_path *path, struct cq_keypair *keypair)
{
    struct cq_path_peer *peer = keypair->peer;
    struct cq_keypair **link = &peer->keypairs;

    while (*link != keypair) {
        assert(*link != NULL);
        link = &(*link)->next;
    }
    *link = keypair->next;
    if (cq_see(&peer->current) == keypair)
        cq_publish(&peer->current, NULL);
    cq_index_remove(&path->index, keypair->local_idx);
    cq_reclaim_retire(&path->reclaim, &keypair->retired, cq_keypair_destroy);
    (void)cq_path_reclaim(path);
}

void cq_path_keypair_set_rotate_at(struct cq_keypair *keypair, cq_time at)
{
    cq_set_time(&keypair->rotate_at, at);
}

bool cq_keypair_may_send(const struct cq_keypair *keypair, cq_time now)
{
    return now < keypair->send_until && !cq_flag(&keypair->exhausted);
}

/* Takes the next CQ_KEYPAIR_RESERVE records out of what the key may seal. */
static bool refill(struct cq_keypair *keypair, struct cq_keypair_lane *lane)
{
    uint64_t before =
        atomic_fetch_add_explicit(&keypair->reserved, CQ_KEYPAIR_RESERVE, memory_order_relaxed);
    uint64_t bytes = atomic_fetch_add_explicit(&keypair->reported_bytes, lane->unreported_bytes,
                                               memory_order_relaxed) +
                     lane->unreported_bytes;

    lane->unreported_bytes = 0;
    if (before + CQ_KEYPAIR_RESERVE > keypair->limits.records || bytes > keypair->limits.bytes) {
        cq_set_flag(&keypair->exhausted, true);
        return false;
    }
    lane->budget = CQ_KEYPAIR_RESERVE;
    return true;
}

bool cq_keypair_reserve(struct cq_keypair *keypair, unsigned lane, size_t bytes,
                        uint64_t *out_counter)
{
    struct cq_keypair_lane *l = &keypair->lanes[lane];
    uint64_t seq = cq_relaxed(&l->seq);

    if (cq_flag(&keypair->exhausted) || (l->budget == 0 && !refill(keypair, l)))
        return false;
    if (seq > CQ_RECORD_SEQ_MAX) {
        cq_set_flag(&keypair->exhausted, true);
        return false;
    }
    /* Gone for good before anything is sealed with it. */
    atomic_store_explicit(&l->seq, seq + 1, memory_order_relaxed);
    l->budget--;
    l->unreported_bytes += bytes;
    cq_counter_add(&l->sealed_bytes, bytes);
    *out_counter = cq_record_counter(lane, seq);
    return true;
}

bool cq_keypair_is_half_used(const struct cq_keypair *keypair)
{
    return cq_relaxed(&keypair->reserved) >= keypair->limits.records / 2 ||
           cq_relaxed(&keypair->reported_bytes) >= keypair->limits.bytes / 2;
}

struct cq_replay *cq_keypair_window(const struct cq_keypair *keypair, unsigned lane)
{
    return cq_see(&keypair->windows[lane]);
}

struct cq_replay *cq_keypair_make_window(struct cq_keypair *keypair, unsigned lane)
{
    struct cq_replay *window = cq_see(&keypair->windows[lane]);
    const struct cq_allocator *allocator = keypair->peer->path->allocator;
    uint32_t size = window_size(lane);

    if (window != NULL)
        return window;
    struct cq_replay *fresh = cq_alloc(allocator, cq_replay_bytes(size));
    if (fresh == NULL)
        return NULL;
    cq_replay_init(fresh, size);
    if (atomic_compare_exchange_strong_explicit(&keypair->windows[lane], &window, fresh,
                                                memory_order_seq_cst, memory_order_seq_cst))
        return fresh;
    /* Another worker was first. */
    cq_free(allocator, fresh, cq_replay_bytes(size));
    return window;
}

void cq_keypair_get_status(const struct cq_keypair *keypair, struct cq_keypair_status *out)
{
    *out = (struct cq_keypair_status){
        .failed_tags = cq_relaxed(&keypair->failed_tags),
        .exhausted = cq_flag(&keypair->exhausted),
        .carried_data = cq_flag(&keypair->carried_data),
        .first_opened = cq_relaxed_time(&keypair->first_opened),
        .last_opened = cq_relaxed_time(&keypair->last_opened),
    };
    for (unsigned i = 0; i < keypair->num_lanes; i++) {
        out->sealed += cq_relaxed(&keypair->lanes[i].seq);
        out->sealed_bytes += cq_relaxed(&keypair->lanes[i].sealed_bytes);
        out->opened += cq_relaxed(&keypair->lanes[i].opened);
    }
}
