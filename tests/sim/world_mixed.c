/*
 * Scenarios of a few nodes. `mixed`: two to eight nodes for half an hour, all kinds of faults.
 * `calm`: three nodes without faults, which the self-test plants its violations in. Others have one
 * group of faults each.
 */
#include "world.h"

#include <string.h>

enum { CALM_NODES = 3, MAX_NODES = 8 };

static bool is_named(const struct world *world, const char *name)
{
    return strcmp(world->options.scenario, name) == 0;
}

/* ---- nodes ---- */

static void configure_node(struct world *world, struct world_node *node)
{
    static const uint16_t periods[] = {300, 300, 300, 300, 600, 180, 120, 60};
    struct lab_rng rng;
    world_stream(&rng, world, "config", node->number, 0);
    node->rotate_secs = periods[lab_rng_below(&rng, 8)];
    node->preferred_suite =
        world_chance(&rng, 0.5) ? CQ_SUITE_AES_256_GCM : CQ_SUITE_CHACHA20_POLY1305;
    if (world_chance(&rng, 0.2))
        node->suites = CQ_SUITE_CHACHA20_POLY1305 | (node->number % 2 == 0);
    node->load_per_second = 25;
    if (is_named(world, "calm")) {
        node->rotate_secs = 60;
        node->suites = CQ_SUITE_AES_256_GCM | CQ_SUITE_CHACHA20_POLY1305;
    } else if (node->number > 0 && world_chance(&rng, 0.3)) {
        node->nat = world_add_nat(world);
        node->nat->mapping_by_remote = world_chance(&rng, 0.5);
        node->nat->filtering = world_chance(&rng, 0.7);
        node->nat->timeout = world_between(&rng, SECS(30), SECS(300));
    }
}

static void configure_link(struct world *world, struct world_pair *pair)
{
    static const double losses[] = {0, 0, 0, 0, 0.01, 0.01, 0.05, 0.2};
    struct lab_rng rng;
    world_stream(&rng, world, "way", pair->ends[0]->number, pair->ends[1]->number);
    double loss = losses[lab_rng_below(&rng, 8)];
    for (unsigned i = 0; i < 2; i++) {
        struct world_link *link = &pair->links[i];
        link->delay = world_between(&rng, MS(1), world_chance(&rng, 0.1) ? SECS(2) : MS(150));
        link->jitter = world_chance(&rng, 0.5) ? world_between(&rng, 0, MS(100)) : 0;
        if (!is_named(world, "calm"))
            link->loss = loss;
        pair->usual[i] = *link;
    }
}

static void configure_flow(struct world *world, struct world_peer *peer)
{
    struct world_flow *flow = &peer->flow;
    world_stream(&flow->rng, world, "flow", peer->node->number, peer->other->number);
    flow->interval = world_between(&flow->rng, MS(300), SECS(5));
    bool calm = is_named(world, "calm");
    if (calm)
        flow->interval = SECS(1);
    if (!calm && world_chance(&flow->rng, 0.35)) {
        flow->on_time = world_between(&flow->rng, SECS(60), SECS(400));
        flow->off_time = world_between(&flow->rng, SECS(20), SECS(500));
    }
    if (calm || world_chance(&flow->rng, 0.75))
        world_flow_begin(flow, world->now + world_between(&flow->rng, MS(1), SECS(30)));
    else
        flow->interval = 0;
}

static void configure_peer(struct world *world, struct world_peer *peer)
{
    struct lab_rng rng;
    world_stream(&rng, world, "peering", peer->node->number, peer->other->number);
    peer->no_key = world_chance(&rng, 0.3);
    peer->by_name = world_chance(&rng, 0.4);
    peer->no_endpoint = peer->other->nat != NULL || (world_chance(&rng, 0.3) && !peer->by_name);
    if (world_chance(&rng, 0.2) || (peer->node->nat != NULL && world_chance(&rng, 0.5)))
        peer->persistent_keepalive = (uint16_t)(10 + lab_rng_below(&rng, 30));
    if (is_named(world, "calm")) { /* so that first contacts and cookies are among it */
        peer->no_key = true;
        peer->no_endpoint = peer->node->number < peer->other->number;
        peer->by_name = false;
    }
}

/* Somebody who knows a node's key and address, but whom nobody has configured. */
static void add_stranger(struct world *world, struct world_node *of)
{
    struct world_node *node = world_add_node(world);
    node->peers = world_alloc(sizeof(struct world_peer));
    node->max_peers = 1;
    struct world_pair *pair = world_connect(node, of);
    of->num_peers--;
    pair->peers[1] = pair->peers[0];
    pair->disturbed = 1; /* for ever */
    node->peers[0].stranger = true;
    node->peers[0].flow.interval = SECS(10);
    configure_link(world, pair);
    world_flow_begin(&node->peers[0].flow, world->now + SECS(5));
}

/* ---- faults ---- */

static enum world_fault_kind draw_kind(const struct world *world, struct lab_rng *rng)
{
    static const struct {
        const char *name;
        enum world_fault_kind first, last;
    } groups[] = {
        {"links", FAULT_LOSS, FAULT_MTU},         {"restarts", FAULT_CRASH, FAULT_SLEEP},
        {"roaming", FAULT_ROAM, FAULT_NAT_RESET}, {"clones", FAULT_RESTORE, FAULT_TWIN},
        {"attack", FAULT_ROTATE, FAULT_FLOOD},
    };
    for (unsigned i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
        if (is_named(world, groups[i].name))
            return groups[i].first +
                   (unsigned)lab_rng_below(rng, groups[i].last - groups[i].first + 1u);
    return (enum world_fault_kind)lab_rng_below(rng, FAULT_NUM_KINDS);
}

static cq_time draw_length(enum world_fault_kind kind, struct lab_rng *rng)
{
    switch (kind) {
    case FAULT_ROAM:
    case FAULT_NAT_RESET:
    case FAULT_RESTORE:
    case FAULT_ROTATE:
        return MS(1);
    case FAULT_CRASH:
    case FAULT_CRASH_NO_CACHE:
    case FAULT_SHUTDOWN:
        return world_between(rng, MS(50), world_chance(rng, 0.8) ? SECS(20) : SECS(400));
    case FAULT_SLEEP:
        return world_between(rng, SECS(1), SECS(500));
    case FAULT_FLOOD:
        return world_between(rng, SECS(1), SECS(6));
    case FAULT_FORGE:
    case FAULT_OVERLOAD:
        return world_between(rng, SECS(2), SECS(60));
    default:
        return world_between(rng, SECS(1), world_chance(rng, 0.7) ? SECS(40) : SECS(350));
    }
}

static void add_fault(struct world *world, unsigned n, cq_time length, unsigned num_nodes,
                      unsigned num_pairs)
{
    struct world_fault *f = &world->faults[world->num_faults];
    struct lab_rng rng;
    world_stream(&rng, world, "fault", n, 0);
    f->kind = draw_kind(world, &rng);
    f->begin = world->began + world_between(&rng, SECS(1), length - SECS(100));
    f->length = draw_length(f->kind, &rng);
    f->node = (unsigned)lab_rng_below(&rng, num_nodes);
    f->pair = (unsigned)lab_rng_below(&rng, num_pairs);
    f->amount = lab_rng_unit(&rng);
    f->rng = rng;
    f->number = n;
    f->world = world;
    if (f->kind == FAULT_RESTORE)
        f->amount *= 100;
    if (f->kind == FAULT_FLOOD && world->nodes[f->node]->nat != NULL)
        f->kind = FAULT_FORGE;
    world->num_faults++;
}

/* A second machine with the identity of the first, which is down until it is needed. */
static void add_twin(struct world *world, struct world_fault *f)
{
    struct world_node *node = world->nodes[f->node];
    struct world_node *twin = world_add_node(world);
    cq_identity_wipe(&twin->identity);
    twin->identity = node->identity;
    twin->identity_number = node->identity_number;
    twin->original = node;
    twin->rotate_secs = node->rotate_secs;
    twin->suites = node->suites;
    twin->preferred_suite = node->preferred_suite;
    twin->load_per_second = node->load_per_second;
    twin->peers = world_alloc(node->num_peers * sizeof(*twin->peers));
    twin->max_peers = node->num_peers;
    for (unsigned i = 0; i < node->num_peers; i++) {
        const struct world_peer *p = &node->peers[i];
        struct world_peer *copy = world_add_peer(twin, p->other, p->pair, p->side);
        copy->no_key = p->no_key;
        copy->no_endpoint = p->no_endpoint;
        copy->persistent_keepalive = p->persistent_keepalive;
        world_stream(&copy->flow.rng, world, "twin flow", f->number, i);
        copy->flow.interval = SECS(2);
    }
    f->twin = twin;
}

/* ---- the whole ---- */

static void connect_nodes(struct world *world, unsigned num_nodes, struct lab_rng *rng)
{
    bool hub = world_chance(rng, 0.5);
    for (unsigned i = 1; i < num_nodes; i++) {
        struct lab_rng own;
        world_stream(&own, world, "edges", i, 0);
        unsigned first = hub ? 0 : (unsigned)lab_rng_below(&own, i);
        world_connect(world->nodes[i], world->nodes[first]);
        unsigned second = (unsigned)lab_rng_below(&own, i);
        if (second != first && world_chance(&own, 0.3))
            world_connect(world->nodes[second], world->nodes[i]);
    }
}

static void add_faults(struct world *world, struct lab_rng *rng, cq_time length, unsigned num_nodes)
{
    unsigned num_faults = 4 + (unsigned)lab_rng_below(rng, 14), num_pairs = world->num_pairs;
    unsigned num_twins = 0;
    for (unsigned i = 0; i < num_faults && !is_named(world, "calm"); i++)
        if ((world->options.without >> i & 1) == 0)
            add_fault(world, i, length, num_nodes, num_pairs);
    for (unsigned i = 0; i < world->num_faults; i++) {
        struct world_fault *f = &world->faults[i];
        if (f->kind == FAULT_TWIN && num_twins++ == 0)
            add_twin(world, f);
        if (f->kind == FAULT_TWIN || f->kind == FAULT_RESTORE)
            world->nodes[f->node]->logging = true;
        world_queue(world, f->begin, WORLD_FAULT_BEGIN, f);
    }
}

static void start_all(struct world *world)
{
    for (unsigned i = 0; i < world->num_nodes; i++)
        if (world->nodes[i]->original == NULL)
            world_start(world->nodes[i]);
}

void world_mixed_build(struct world *world)
{
    struct lab_rng rng;
    world_stream(&rng, world, "world", 0, 0);
    bool calm = is_named(world, "calm");
    unsigned num_nodes = calm ? CALM_NODES : 2 + (unsigned)lab_rng_below(&rng, MAX_NODES - 1);
    cq_time length = SECS(1800);
    world->ipv6 = world_chance(&rng, 0.2);
    bool stranger = world_chance(&rng, 0.2);
    if (world->options.max_nodes > 1 && world->options.max_nodes < num_nodes)
        num_nodes = world->options.max_nodes;
    for (unsigned i = 0; i < num_nodes; i++) {
        struct world_node *node = world_add_node(world);
        configure_node(world, node);
        node->max_peers = MAX_NODES;
        node->peers = world_alloc(MAX_NODES * sizeof(struct world_peer));
    }
    world->num_regular = num_nodes;
    connect_nodes(world, num_nodes, &rng);
    for (unsigned i = 0; i < world->num_pairs; i++) {
        configure_link(world, world->pairs[i]);
        for (unsigned k = 0; k < 2; k++)
            configure_peer(world, world->pairs[i]->peers[k]);
    }
    add_faults(world, &rng, length, num_nodes);
    if (stranger && !calm)
        add_stranger(world, world->nodes[0]);
    start_all(world);
    for (unsigned i = 0; i < world->num_nodes; i++)
        for (unsigned k = 0; k < world->nodes[i]->num_peers; k++)
            if (world->nodes[i]->original == NULL && !world->nodes[i]->peers[k].stranger)
                configure_flow(world, &world->nodes[i]->peers[k]);
    world_queue(world, world->now + SECS(1), WORLD_SECOND, NULL);
    if (world->options.length == 0)
        world->options.length = length;
}
