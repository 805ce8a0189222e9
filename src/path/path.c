#include "path/internal.h"

#include <assert.h>
#include <string.h>

enum { FIRST_MAP_SIZE = 4 };

static size_t map_bytes(uint32_t size)
{
    return sizeof(struct cq_peer_map) + size * sizeof(struct cq_path_peer *);
}

static void destroy_map(const struct cq_allocator *allocator, struct cq_retired *object)
{
    cq_free(allocator, object, map_bytes(((struct cq_peer_map *)object)->size));
}

static void destroy_endpoint(const struct cq_allocator *allocator, struct cq_retired *object)
{
    cq_free(allocator, object, sizeof(struct cq_endpoint));
}

static size_t peer_bytes(unsigned num_lanes)
{
    return sizeof(struct cq_path_peer) + num_lanes * sizeof(struct cq_peer_lane);
}

static void destroy_peer(const struct cq_allocator *allocator, struct cq_retired *object)
{
    struct cq_path_peer *peer = (struct cq_path_peer *)object;

    for (unsigned i = 0; i < peer->num_lanes; i++)
        cq_stage_return(&peer->path->workers[i]->stage, &peer->lanes[i].staged);
    cq_free(allocator, peer->prefixes, peer->num_prefixes * sizeof(struct cq_prefix));
    cq_free(allocator, peer, peer_bytes(peer->num_lanes));
}

static enum cq_err make_workers(struct cq_path *path)
{
    for (unsigned i = 0; i < path->num_workers; i++) {
        struct cq_path_worker *worker = cq_alloc(path->allocator, sizeof(*worker));
        if (worker == NULL)
            return CQ_ERR_NOMEM;
        worker->path = path;
        worker->number = i;
        cq_stage_init(&worker->stage, path->allocator, path->mtu, path->num_workers);
        path->workers[i] = worker;
    }
    return CQ_OK;
}

enum cq_err cq_path_new(struct cq_path **out, const struct cq_path_config *config)
{
    *out = NULL;
    if (config->num_workers < 1 || config->num_workers > CQ_PATH_MAX_WORKERS ||
        config->mtu < CQ_PATH_MTU_MIN || config->mtu > CQ_PATH_MTU_MAX)
        return CQ_ERR_RANGE;
    struct cq_path *path = cq_alloc(config->allocator, sizeof(*path));
    if (path == NULL)
        return CQ_ERR_NOMEM;
    path->allocator = config->allocator;
    path->num_workers = config->num_workers;
    path->mtu = config->mtu;
    cq_reclaim_init(&path->reclaim, path->allocator);
    cq_table_init(&path->table, &path->reclaim);
    cq_index_init(&path->index, &path->reclaim);
    if (make_workers(path) != CQ_OK) {
        cq_path_free(path);
        return CQ_ERR_NOMEM;
    }
    *out = path;
    return CQ_OK;
}

void cq_path_free(struct cq_path *path)
{
    if (path == NULL)
        return;
    while (path->peers != NULL)
        cq_path_peer_remove(path, path->peers);
    cq_reclaim_finish(&path->reclaim);
    cq_farewell_wipe(path);
    cq_table_wipe(&path->table);
    cq_index_wipe(&path->index);
    if (cq_see(&path->map) != NULL)
        destroy_map(path->allocator, &cq_see(&path->map)->retired);
    for (unsigned i = 0; i < path->num_workers; i++) {
        if (path->workers[i] == NULL)
            continue;
        cq_stage_wipe(&path->workers[i]->stage);
        cq_free(path->allocator, path->workers[i], sizeof(struct cq_path_worker));
    }
    cq_free(path->allocator, path, sizeof(*path));
}

static enum cq_err grow_map(struct cq_path *path, uint32_t number)
{
    struct cq_peer_map *old = cq_see(&path->map);
    uint32_t size = old != NULL ? old->size : FIRST_MAP_SIZE;

    if (old != NULL && number < old->size)
        return CQ_OK;
    while (size <= number) {
        if (size > UINT32_MAX / 2)
            return CQ_ERR_NOMEM;
        size *= 2;
    }
    struct cq_peer_map *map = cq_alloc(path->allocator, map_bytes(size));
    if (map == NULL)
        return CQ_ERR_NOMEM;
    map->size = size;
    for (uint32_t i = 0; old != NULL && i < old->size; i++)
        atomic_init(&map->peers[i], cq_see(&old->peers[i]));
    cq_publish(&path->map, map);
    if (old != NULL)
        cq_reclaim_retire(&path->reclaim, &old->retired, destroy_map);
    return CQ_OK;
}

struct cq_path_peer *cq_path_find_peer(struct cq_path *path, uint32_t number)
{
    struct cq_peer_map *map = cq_see(&path->map);

    return map != NULL && number < map->size ? cq_see(&map->peers[number]) : NULL;
}

enum cq_err cq_path_peer_add(struct cq_path *path, uint32_t number, struct cq_path_peer **out)
{
    *out = NULL;
    assert(cq_path_find_peer(path, number) == NULL);
    if (grow_map(path, number) != CQ_OK)
        return CQ_ERR_NOMEM;
    struct cq_path_peer *peer = cq_alloc(path->allocator, peer_bytes(path->num_workers));
    if (peer == NULL)
        return CQ_ERR_NOMEM;
    peer->path = path;
    peer->number = number;
    peer->num_lanes = path->num_workers;
    for (unsigned i = 0; i < peer->num_lanes; i++)
        peer->lanes[i].staged.total = &peer->staged;
    cq_set_time(&peer->unanswered_since, CQ_TIME_NEVER);
    cq_set_time(&peer->unreplied_since, CQ_TIME_NEVER);
    cq_set_time(&peer->last_received, CQ_TIME_NEVER);
    cq_set_time(&peer->last_sent, CQ_TIME_NEVER);
    cq_set_time(&peer->need_reported, CQ_TIME_NEVER);
    cq_set_flag(&peer->unanswered_armed, true);
    cq_set_flag(&peer->unreplied_armed, true);
    atomic_init(&peer->mtu, path->mtu);
    peer->next = path->peers;
    if (path->peers != NULL)
        path->peers->previous = peer;
    path->peers = peer;
    cq_publish(&cq_see(&path->map)->peers[number], peer);
    *out = peer;
    return CQ_OK;
}

static void unlink_peer(struct cq_path *path, struct cq_path_peer *peer)
{
    if (peer->previous != NULL)
        peer->previous->next = peer->next;
    else
        path->peers = peer->next;
    if (peer->next != NULL)
        peer->next->previous = peer->previous;
    cq_publish(&cq_see(&path->map)->peers[peer->number], NULL);
}

void cq_path_peer_remove(struct cq_path *path, struct cq_path_peer *peer)
{
    enum cq_err err = cq_table_reserve(&path->table, 0);
    assert(err == CQ_OK);
    (void)err;
    for (size_t i = 0; i < peer->num_prefixes; i++)
        cq_table_remove(&path->table, &peer->prefixes[i], peer);
    unlink_peer(path, peer);
    while (peer->keypairs != NULL)
        cq_path_keypair_remove(path, peer->keypairs);
    struct cq_endpoint *endpoint = cq_see(&peer->endpoint);
    cq_publish(&peer->endpoint, NULL);
    if (endpoint != NULL)
        cq_reclaim_retire(&path->reclaim, &endpoint->retired, destroy_endpoint);
    cq_reclaim_retire(&path->reclaim, &peer->retired, destroy_peer);
    (void)cq_path_reclaim(path);
}

static void free_copies(const struct cq_path *path, const struct cq_path_prefixes *changes,
                        size_t num)
{
    for (size_t i = 0; i < num; i++)
        cq_free(path->allocator, changes[i].copy, changes[i].num * sizeof(struct cq_prefix));
}

static enum cq_err copy_prefixes(const struct cq_path *path, struct cq_path_prefixes *changes,
                                 size_t num_changes)
{
    for (size_t i = 0; i < num_changes; i++) {
        struct cq_path_prefixes *c = &changes[i];
        c->copy = NULL;
        if (c->num == 0)
            continue;
        c->copy = cq_alloc(path->allocator, c->num * sizeof(*c->copy));
        if (c->copy == NULL) {
            free_copies(path, changes, i);
            return CQ_ERR_NOMEM;
        }
        memcpy(c->copy, c->prefixes, c->num * sizeof(*c->copy));
    }
    return CQ_OK;
}

enum cq_err cq_path_set_prefixes(struct cq_path *path, struct cq_path_prefixes *changes,
                                 size_t num_changes)
{
    size_t num = 0;
    enum cq_err err = copy_prefixes(path, changes, num_changes);

    if (err != CQ_OK)
        return err;
    for (size_t i = 0; i < num_changes; i++)
        num += changes[i].num;
    err = cq_table_reserve(&path->table, num);
    if (err != CQ_OK) {
        free_copies(path, changes, num_changes);
        return err;
    }
    /* New ones first, so that a prefix that stays or moves is never missing. */
    for (size_t i = 0; i < num_changes; i++)
        for (size_t k = 0; k < changes[i].num; k++)
            cq_table_set(&path->table, &changes[i].copy[k], changes[i].peer);
    for (size_t i = 0; i < num_changes; i++) {
        struct cq_path_peer *peer = changes[i].peer;
        for (size_t k = 0; k < peer->num_prefixes; k++)
            cq_table_remove(&path->table, &peer->prefixes[k], peer);
        cq_free(path->allocator, peer->prefixes, peer->num_prefixes * sizeof(struct cq_prefix));
        peer->prefixes = changes[i].copy;
        peer->num_prefixes = changes[i].num;
    }
    cq_table_release(&path->table);
    (void)cq_path_reclaim(path);
    return CQ_OK;
}

enum cq_err cq_path_peer_set_prefixes(struct cq_path *path, struct cq_path_peer *peer,
                                      const struct cq_prefix *prefixes, size_t num)
{
    struct cq_path_prefixes change = {.peer = peer, .prefixes = prefixes, .num = num};

    return cq_path_set_prefixes(path, &change, 1);
}

/* What was sent to an unproven address counts on when its endpoint is set anew. */
static void carry_budget(struct cq_endpoint *fresh, const struct cq_endpoint *old)
{
    uint64_t received = fresh->config.received_bytes;

    if (old != NULL && old->config.validating && fresh->config.validating &&
        cq_addr_equal(&old->config.route.remote, &fresh->config.route.remote)) {
        if (cq_relaxed(&old->received) > received)
            received = cq_relaxed(&old->received);
        atomic_init(&fresh->sent, cq_relaxed(&old->sent));
    }
    atomic_init(&fresh->received, received);
}

enum cq_err cq_path_peer_set_endpoint(struct cq_path *path, struct cq_path_peer *peer,
                                      const struct cq_path_endpoint *endpoint)
{
    struct cq_endpoint *old = cq_see(&peer->endpoint);
    struct cq_endpoint *fresh = NULL;

    if (endpoint->route.remote.ip.family != CQ_FAMILY_NONE) {
        fresh = cq_alloc(path->allocator, sizeof(*fresh));
        if (fresh == NULL)
            return CQ_ERR_NOMEM;
        fresh->config = *endpoint;
        path->last_serial += 2; /* route and previous */
        fresh->serial = path->last_serial;
        carry_budget(fresh, old);
    }
    cq_publish(&peer->endpoint, fresh);
    if (old != NULL)
        cq_reclaim_retire(&path->reclaim, &old->retired, destroy_endpoint);
    (void)cq_path_reclaim(path);
    return CQ_OK;
}

void cq_path_peer_set_current(struct cq_path *path, struct cq_path_peer *peer,
                              struct cq_keypair *keypair)
{
    (void)path;
    assert(keypair == NULL || keypair->peer == peer);
    cq_publish(&peer->current, keypair);
}

void cq_path_peer_set_mtu(struct cq_path_peer *peer, uint16_t mtu)
{
    atomic_store_explicit(&peer->mtu, mtu < peer->path->mtu ? mtu : peer->path->mtu,
                          memory_order_relaxed);
}

void cq_path_peer_arm_large(struct cq_path_peer *peer)
{
    cq_set_flag(&peer->large_armed, true);
}

uint16_t cq_path_mtu(const struct cq_path *path)
{
    return path->mtu;
}

void cq_path_peer_get_status(const struct cq_path_peer *peer, struct cq_path_peer_status *out)
{
    *out = (struct cq_path_peer_status){
        .unanswered_since = cq_relaxed_time(&peer->unanswered_since),
        .unreplied_since = cq_relaxed_time(&peer->unreplied_since),
        .last_received = cq_relaxed_time(&peer->last_received),
        .last_sent = cq_relaxed_time(&peer->last_sent),
        .num_staged = atomic_load_explicit(&peer->staged.num, memory_order_relaxed),
    };
    for (unsigned i = 0; i < peer->num_lanes; i++) {
        const struct cq_peer_lane *lane = &peer->lanes[i];
        out->rx_bytes += cq_relaxed(&lane->rx_bytes);
        out->tx_bytes += cq_relaxed(&lane->tx_bytes);
        out->rx_packets += cq_relaxed(&lane->rx_packets);
        out->tx_packets += cq_relaxed(&lane->tx_packets);
    }
}

void cq_path_peer_arm_unanswered(struct cq_path_peer *peer)
{
    cq_set_flag(&peer->unanswered_armed, true);
}

void cq_path_peer_arm_unreplied(struct cq_path_peer *peer)
{
    cq_set_flag(&peer->unreplied_armed, true);
}

bool cq_path_reclaim(struct cq_path *path)
{
    return cq_reclaim_run(&path->reclaim);
}

struct cq_path_worker *cq_path_get_worker(struct cq_path *path, unsigned number)
{
    assert(number < path->num_workers);
    return path->workers[number];
}

struct cq_counters *cq_path_worker_counters(struct cq_path_worker *worker)
{
    return &worker->counters;
}

const struct cq_path_totals *cq_path_worker_totals(const struct cq_path_worker *worker)
{
    return &worker->totals;
}

void cq_path_enter(struct cq_path_worker *worker)
{
    worker->reported = false;
    cq_reclaim_enter(&worker->path->reclaim, worker->number);
}

bool cq_path_leave(struct cq_path_worker *worker)
{
    cq_reclaim_leave(&worker->path->reclaim, worker->number);
    return worker->reported;
}
