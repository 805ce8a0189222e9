/*
 * Look-ups and what the control thread publishes for them: allowed-ips/, index/, replay/, publish/.
 */
#include "bench/nodes.h"
#include "bench/suite.h"

#include "base/bytes.h"
#include "base/secret.h"
#include "path/internal.h"

#include <stdlib.h>
#include <string.h>

/* Numbers that look random and are the same in every run. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* ---- a path with peers ---- */

enum { NUM_KEYS = 4096 /* addresses or indices that are looked up in turn */ };

struct tables {
    struct cq_path *path;
    unsigned num_peers;
    struct cq_path_peer **peers;
    uint8_t (*addresses)[16]; /* of random peers */
    unsigned at;
};

static void free_tables(void *ctx)
{
    struct tables *t = ctx;

    if (t == NULL)
        return;
    cq_path_free(t->path);
    free(t->peers);
    free(t->addresses);
    free(t);
}

/* 10.x.y.0/24 and fd00:0:x:y::/64 of peer i, as a server with many sites has them. */
static void prefixes_of(unsigned i, struct cq_prefix out[2])
{
    out[0] = (struct cq_prefix){{CQ_FAMILY_IPV4, {10}}, 24};
    out[1] = (struct cq_prefix){{CQ_FAMILY_IPV6, {0xfd}}, 64};
    cq_store_be16(out[0].ip.bytes + 1, (uint16_t)i);
    cq_store_be32(out[1].ip.bytes + 4, i);
}

static bool add_peers(struct tables *t)
{
    for (unsigned i = 0; i < t->num_peers; i++) {
        struct cq_prefix prefixes[2];
        prefixes_of(i, prefixes);
        if (cq_path_peer_add(t->path, i, &t->peers[i]) != CQ_OK ||
            cq_path_peer_set_prefixes(t->path, t->peers[i], prefixes, 2) != CQ_OK)
            return false;
    }
    return true;
}

/* Addresses of peers in no order, IPv4 in the first four bytes. */
static void make_addresses(struct tables *t, bool ipv6)
{
    uint64_t state = 1;

    for (unsigned i = 0; i < NUM_KEYS; i++) {
        struct cq_prefix prefixes[2];
        prefixes_of((unsigned)(next_random(&state) % t->num_peers), prefixes);
        memcpy(t->addresses[i], prefixes[ipv6].ip.bytes, 16);
        t->addresses[i][ipv6 ? 15 : 3] = 1;
    }
}

static struct tables *new_tables(const struct cq_bench_params *params, bool ipv6)
{
    struct cq_path_config config = {
        .allocator = &cq_heap_allocator,
        .num_workers = 1,
        .mtu = CQ_BENCH_MTU,
    };
    struct tables *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return NULL;
    t->num_peers = params->count;
    t->peers = calloc(t->num_peers, sizeof(struct cq_path_peer *));
    t->addresses = calloc(NUM_KEYS, sizeof(*t->addresses));
    if (t->peers == NULL || t->addresses == NULL || cq_path_new(&t->path, &config) != CQ_OK ||
        !add_peers(t)) {
        free_tables(t);
        return NULL;
    }
    make_addresses(t, ipv6);
    return t;
}

static void *setup_ipv4(const struct cq_bench_params *params)
{
    return new_tables(params, false);
}

static void *setup_ipv6(const struct cq_bench_params *params)
{
    return new_tables(params, true);
}

static bool run_find4(void *ctx, uint64_t ops)
{
    struct tables *t = ctx;
    bool ok = true;

    for (uint64_t i = 0; i < ops; i++)
        ok &= cq_table_find4(&t->path->table, t->addresses[i % NUM_KEYS]) != NULL;
    return ok;
}

static bool run_find6(void *ctx, uint64_t ops)
{
    struct tables *t = ctx;
    bool ok = true;

    for (uint64_t i = 0; i < ops; i++)
        ok &= cq_table_find6(&t->path->table, t->addresses[i % NUM_KEYS]) != NULL;
    return ok;
}

/* ---- index ---- */

struct indices {
    struct cq_reclaim reclaim;
    struct cq_index index;
    uint32_t keys[NUM_KEYS];
};

static void free_indices(void *ctx)
{
    struct indices *x = ctx;

    if (x == NULL)
        return;
    cq_index_wipe(&x->index);
    cq_reclaim_finish(&x->reclaim);
    free(x);
}

/* The table only keeps the pointers. */
static void *setup_indices(const struct cq_bench_params *params)
{
    struct indices *x = calloc(1, sizeof(*x));
    uint32_t *all = calloc(params->count, sizeof(*all));
    uint64_t state = 2;
    bool ok = x != NULL && all != NULL;

    if (ok) {
        cq_reclaim_init(&x->reclaim, &cq_heap_allocator);
        cq_index_init(&x->index, &x->reclaim);
    }
    for (unsigned i = 0; ok && i < params->count; i++) {
        all[i] = (uint32_t)next_random(&state);
        ok = cq_index_add(&x->index, all[i], (struct cq_keypair *)(void *)x) == CQ_OK;
    }
    for (unsigned i = 0; ok && i < NUM_KEYS; i++)
        x->keys[i] = all[next_random(&state) % params->count];
    free(all);
    if (ok)
        return x;
    free_indices(x);
    return NULL;
}

static bool run_index(void *ctx, uint64_t ops)
{
    struct indices *x = ctx;
    bool ok = true;

    for (uint64_t i = 0; i < ops; i++)
        ok &= cq_index_find(&x->index, x->keys[i % NUM_KEYS]) != NULL;
    return ok;
}

/* ---- replay window ---- */

struct window {
    struct cq_replay *replay;
    uint64_t next;
};

static void free_window(void *ctx)
{
    struct window *w = ctx;

    if (w == NULL)
        return;
    free(w->replay);
    free(w);
}

static void *setup_window(const struct cq_bench_params *params)
{
    struct window *w = calloc(1, sizeof(*w));

    (void)params;
    if (w == NULL)
        return NULL;
    w->replay = calloc(1, cq_replay_bytes(CQ_REPLAY_WINDOW_FIRST));
    if (w->replay == NULL) {
        free(w);
        return NULL;
    }
    cq_replay_init(w->replay, CQ_REPLAY_WINDOW_FIRST);
    return w;
}

static bool take(struct window *w, uint64_t seq)
{
    bool newest;

    return cq_replay_look(w->replay, seq) && cq_replay_commit(w->replay, seq, &newest);
}

static bool run_in_order(void *ctx, uint64_t ops)
{
    struct window *w = ctx;
    bool ok = true;

    for (uint64_t i = 0; i < ops; i++)
        ok &= take(w, w->next++);
    return ok;
}

/* Pairs of batches of 32 that have overtaken each other. */
static bool run_reordered(void *ctx, uint64_t ops)
{
    struct window *w = ctx;
    bool ok = true;

    for (uint64_t i = 0; i < ops; i++)
        ok &= take(w, w->next++ ^ 32);
    return ok;
}

/* ---- what the control thread publishes ---- */

static bool run_publish_endpoint(void *ctx, uint64_t ops)
{
    struct tables *t = ctx;
    struct cq_path_endpoint endpoint = {
        .route.remote = {.ip = {CQ_FAMILY_IPV4, {192, 0, 2, 1}}, .port = 51820},
    };
    bool ok = true;

    for (uint64_t i = 0; i < ops; i++)
        ok &= cq_path_peer_set_endpoint(t->path, t->peers[t->at++ % t->num_peers], &endpoint) ==
              CQ_OK;
    return ok;
}

static bool run_publish_prefixes(void *ctx, uint64_t ops)
{
    struct tables *t = ctx;
    bool ok = true;

    for (uint64_t i = 0; i < ops; i++) {
        struct cq_prefix prefixes[2];
        unsigned peer = t->at++ % t->num_peers;
        prefixes_of(peer, prefixes);
        ok &= cq_path_peer_set_prefixes(t->path, t->peers[peer], prefixes, 2) == CQ_OK;
    }
    return ok;
}

/* A session from its keys to its end: both contexts, its window, in and out of the tables. */
static bool run_publish_keypair(void *ctx, uint64_t ops)
{
    struct tables *t = ctx;
    struct cq_keypair_params params = {
        .suite = CQ_SUITE_AES_256_GCM,
        .send_key = {1},
        .recv_key = {2},
        .send_until = CQ_TIME_NEVER,
        .recv_until = CQ_TIME_NEVER,
        .rotate_at = CQ_TIME_NEVER,
    };
    struct cq_keypair *keypair;

    for (uint64_t i = 0; i < ops; i++) {
        struct cq_path_peer *peer = t->peers[t->at++ % t->num_peers];
        params.local_idx = params.remote_idx = t->at;
        if (cq_path_keypair_add(t->path, peer, &params, &keypair) != CQ_OK)
            return false;
        cq_path_peer_set_current(t->path, peer, keypair);
        cq_path_keypair_remove(t->path, keypair);
    }
    return true;
}

/* ---- the list ---- */

#define KIND(name, what, set, function, end)                                                       \
    static const struct cq_bench_kind name = {                                                     \
        .unit = "ns/op",                                                                           \
        .things = (what),                                                                          \
        .setup = (set),                                                                            \
        .run = (function),                                                                         \
        .teardown = (end),                                                                         \
    };

KIND(find4_kind, "look-ups", setup_ipv4, run_find4, free_tables)
KIND(find6_kind, "look-ups", setup_ipv6, run_find6, free_tables)
KIND(index_kind, "look-ups", setup_indices, run_index, free_indices)
KIND(in_order_kind, "records", setup_window, run_in_order, free_window)
KIND(reordered_kind, "records", setup_window, run_reordered, free_window)
KIND(endpoint_kind, "changes", setup_ipv4, run_publish_endpoint, free_tables)
KIND(prefixes_kind, "changes", setup_ipv4, run_publish_prefixes, free_tables)
KIND(keypair_kind, "sessions", setup_ipv4, run_publish_keypair, free_tables)

void cq_bench_add_tables(struct cq_bench_suite *suite)
{
    static const unsigned counts[] = {1, 10000};

    for (int i = 0; i < 2; i++) {
        struct cq_bench_params p = {.count = counts[i]};
        cq_bench_add(suite, &find4_kind, &p, "allowed-ips/ipv4/%u", p.count);
        cq_bench_add(suite, &find6_kind, &p, "allowed-ips/ipv6/%u", p.count);
        cq_bench_add(suite, &index_kind, &p, "index/%u", p.count);
        cq_bench_add(suite, &endpoint_kind, &p, "publish/endpoint/%u", p.count);
        cq_bench_add(suite, &prefixes_kind, &p, "publish/prefixes/%u", p.count);
        cq_bench_add(suite, &keypair_kind, &p, "publish/session/%u", p.count);
    }
    cq_bench_add(suite, &in_order_kind, NULL, "replay/in-order");
    cq_bench_add(suite, &reordered_kind, NULL, "replay/reordered");
}
