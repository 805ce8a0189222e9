/*
 * Memory. memory/allocations/: blocks that the packet path takes from the memory of a node per
 * packet. It counts all there are: the layers of this path call no allocator but the one they are
 * given (tools/check_layers holds them to it), and libcrypto allocates from the same arena. The
 * others start a process of their own (bench/probe.h).
 */
#include "bench/nodes.h"
#include "bench/probe.h"
#include "bench/suite.h"

#include "base/secret.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- allocations ---- */

enum { PACKETS = 20000 };

static void *setup_nodes(const struct cq_bench_params *params)
{
    struct cq_bench_nodes *nodes = cq_bench_nodes_new(params->suite, true);

    if (nodes != NULL && cq_bench_nodes_send(nodes))
        return nodes;
    cq_bench_nodes_free(nodes);
    return NULL;
}

static void free_nodes(void *ctx)
{
    cq_bench_nodes_free(ctx);
}

/* From one TUN to the other. */
static bool count_allocations(void *ctx, double *out)
{
    uint64_t before = cq_secret_num_allocations();

    for (int i = 0; i < PACKETS; i++)
        if (!cq_bench_nodes_send(ctx))
            return false;
    *out = (double)(cq_secret_num_allocations() - before) / PACKETS;
    return true;
}

static const struct cq_bench_kind allocations_kind = {
    .unit = "allocations/op",
    .things = "packets",
    .setup = setup_nodes,
    .value = count_allocations,
    .teardown = free_nodes,
};

/* ---- processes ---- */

struct probe {
    char what[32];
};

static void *new_probe(const char *what)
{
    struct probe *probe = calloc(1, sizeof(*probe));

    if (probe != NULL)
        snprintf(probe->what, sizeof(probe->what), "%s", what);
    return probe;
}

static void *setup_peer(const struct cq_bench_params *params)
{
    (void)params;
    return new_probe("peer");
}

static void *setup_session(const struct cq_bench_params *params)
{
    (void)params;
    return new_probe("session");
}

static void *setup_rss(const struct cq_bench_params *params)
{
    char what[32];

    snprintf(what, sizeof(what), "rss/%u", params->count);
    return new_probe(what);
}

static bool run_probe(void *ctx, double *out)
{
    const struct probe *probe = ctx;

    return cq_bench_probe_child(probe->what, out);
}

#define PROBE(name, set)                                                                           \
    static const struct cq_bench_kind name = {                                                     \
        .unit = "bytes",                                                                           \
        .things = "bytes",                                                                         \
        .setup = (set),                                                                            \
        .value = run_probe,                                                                        \
        .teardown = free,                                                                          \
    };

PROBE(peer_kind, setup_peer)
PROBE(session_kind, setup_session)
PROBE(rss_kind, setup_rss)

void cq_bench_add_memory(struct cq_bench_suite *suite)
{
    static const unsigned suites[] = {CQ_SUITE_AES_256_GCM, CQ_SUITE_CHACHA20_POLY1305};
    static const unsigned counts[] = {1, 100, 10000};

    for (int i = 0; i < 2; i++) {
        struct cq_bench_params p = {.suite = suites[i]};
        cq_bench_add(suite, &allocations_kind, &p, "memory/allocations/%s", cq_suite_name(p.suite))
            ->promise = 0;
    }
    cq_bench_add(suite, &peer_kind, NULL, "memory/peer");
    cq_bench_add(suite, &session_kind, NULL, "memory/session");
    for (int i = 0; i < 3; i++) {
        struct cq_bench_params p = {.count = counts[i]};
        struct cq_bench_case *c = cq_bench_add(suite, &rss_kind, &p, "memory/engine/%u", p.count);
        c->promise = 50e6;
    }
}
