/*
 * Scenario `crowd`: thousands of nodes for an hour. Each hub has many spokes; some of those talk
 * all the time, some now and then, some only keep their session alive. One hub crashes, and one is
 * cut off for a while: then all of its spokes come at once.
 */
#include "world.h"

enum {
    NODES = 10000,
    SPOKES = 999, /* per hub */
};

static struct world_node *add_node(struct world *world, unsigned max_peers)
{
    struct world_node *node = world_add_node(world);
    node->max_peers = max_peers;
    node->peers = world_alloc(max_peers * sizeof(struct world_peer));
    return node;
}

static void add_flow(struct world_peer *peer, cq_time interval, bool by_turns)
{
    struct world_flow *flow = &peer->flow;
    struct world *world = peer->node->world;
    world_stream(&flow->rng, world, "flow", peer->node->number, peer->other->number);
    flow->interval = interval;
    if (by_turns) {
        flow->on_time = world_between(&flow->rng, SECS(30), SECS(90));
        flow->off_time = world_between(&flow->rng, SECS(300), SECS(900));
    }
    world_flow_begin(flow, world->now + world_between(&flow->rng, MS(1), SECS(120)));
}

static void add_spoke(struct world *world, struct world_node *hub)
{
    struct world_node *spoke = add_node(world, 1);
    struct world_pair *pair = world_connect(spoke, hub);
    struct lab_rng rng;
    world_stream(&rng, world, "spoke", spoke->number, 0);
    pair->links[0].delay = pair->links[1].delay = world_between(&rng, MS(1), MS(200));
    pair->links[0].loss = pair->links[1].loss = world_chance(&rng, 0.2) ? 0.01 : 0;
    pair->usual[0] = pair->links[0];
    pair->usual[1] = pair->links[1];
    pair->peers[1]->no_endpoint = true;
    if (spoke->number % 10 >= 7)
        pair->peers[0]->persistent_keepalive = 25;
}

static void start_flows(struct world_pair *pair)
{
    unsigned kind = pair->ends[0]->number % 10;
    if (kind < 4)
        add_flow(pair->peers[0], SECS(20), false);
    else if (kind < 7)
        add_flow(pair->peers[0], SECS(5), true);
    if (kind < 2)
        add_flow(pair->peers[1], SECS(20), false);
}

static void add_fault(struct world *world, enum world_fault_kind kind, unsigned node, cq_time begin,
                      cq_time length)
{
    struct world_fault *f = &world->faults[world->num_faults];
    *f = (struct world_fault){.world = world,
                              .number = world->num_faults,
                              .kind = kind,
                              .node = node,
                              .begin = world->began + begin,
                              .length = length};
    world_stream(&f->rng, world, "fault", f->number, 0);
    if ((world->options.without >> world->num_faults++ & 1) == 0)
        world_queue(world, f->begin, WORLD_FAULT_BEGIN, f);
}

void world_crowd_build(struct world *world)
{
    unsigned num_nodes = world->options.max_nodes > 1 ? world->options.max_nodes : NODES;
    unsigned num_hubs = (num_nodes + SPOKES) / (SPOKES + 1), spokes = num_nodes - num_hubs;
    world->light = true;
    world->num_regular = num_nodes;
    for (unsigned i = 0; i < num_hubs; i++)
        add_node(world, SPOKES)->load_per_second = 0;
    for (unsigned i = 0; i < spokes; i++)
        add_spoke(world, world->nodes[i / SPOKES]);
    for (unsigned i = 0; i < world->num_nodes; i++)
        world_start(world->nodes[i]);
    for (unsigned i = 0; i < world->num_pairs; i++)
        start_flows(world->pairs[i]);
    add_fault(world, FAULT_CRASH, 0, SECS(1200), SECS(10));
    add_fault(world, FAULT_ISOLATION, num_hubs - 1, SECS(2000), SECS(400));
    world_queue(world, world->now + SECS(1), WORLD_SECOND, NULL);
    if (world->options.length == 0)
        world->options.length = SECS(3600);
}
