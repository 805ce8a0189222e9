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
    cq_set_time(&peer->unanswered_since, CQ_TIME_NEVER);
    cq_set_time(&peer->unreplied_since, CQ_TIME_NEVER);
    cq_set_time(&peer->last_received, CQ_TIME_NEVER);
    cq_set_time(&peer->last_sent, CQ_TIME_NEVER);
    cq_set_time(&peer->need_reported, CQ_TIME_NEVER);
    cq_set_flag(&peer->unanswered_armed, true);
    cq_set_flag(&peer->unreplied_armed, true);
    peer->next = path->peers;
    path->peers = peer;
    cq_publish(&cq_see(&path->map)->peers[number], peer);
    *out = peer;
    return CQ_OK;
}

static void unlink_peer(struct cq_path *path, struct cq_path_peer *peer)
{
    struct cq_path_peer **link = &path->peers;

    while (*link != peer) {
        assert(*link != NULL);
        link = &(*link)->next;
    }
    *link = peer->next;
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

enum cq_err cq_path_peer_set_prefixes(struct cq_path *path, struct cq_path_peer *peer,
                                      const struct cq_prefix *prefixes, size_t num)
{
    struct cq_prefix *copy = NULL;

    if (num > 0) {
        copy = cq_alloc(path->allocator, num * sizeof(*copy));
        if (copy == NULL)
            return CQ_ERR_NOMEM;
        memcpy(copy, prefixes, num * sizeof(*copy));
    }
    if (cq_table_reserve(&path->table, num) != CQ_OK) {
        cq_free(path->allocator, copy, num * sizeof(*copy));
        return CQ_ERR_NOMEM;
    }
    /* New ones first, so that a prefix that stays is never missing. */
    for (size_t i = 0; i < num; i++)
        cq_table_set(&path->table, &copy[i], peer);
    for (size_t i = 0; i < peer->num_prefixes; i++)
        cq_table_remove(&path->table, &peer->prefixes[i], peer);
    cq_table_release(&path->table);
    cq_free(path->allocator, peer->prefixes, peer->num_prefixes * sizeof(*copy));
    peer->prefixes = copy;
    peer->num_prefixes = num;
    (void)cq_path_reclaim(path);
    return CQ_OK;
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

void cq_path_peer_get_status(const struct cq_path_peer *peer, struct cq_path_peer_status *out)
{
    *out = (struct cq_path_peer_status){
        .unanswered_since = cq_relaxed_time(&peer->unanswered_since),
        .unreplied_since = cq_relaxed_time(&peer->unreplied_since),
        .last_received = cq_relaxed_time(&peer->last_received),
        .last_sent = cq_relaxed_time(&peer->last_sent),
    };
    for (unsigned i = 0; i < peer->num_lanes; i++) {
        const struct cq_peer_lane *lane = &peer->lanes[i];
        out->rx_bytes += cq_relaxed(&lane->rx_bytes);
        out->tx_bytes += cq_relaxed(&lane->tx_bytes);
        out->rx_packets += cq_relaxed(&lane->rx_packets);
        out->tx_packets += cq_relaxed(&lane->tx_packets);
        out->num_staged += atomic_load_explicit(&lane->staged.num, memory_order_relaxed);
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
