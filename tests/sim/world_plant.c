/*
 * Violations that the self-test plants: where possible in the product's own state, so that it does
 * wrong by itself, else in what the simulator does around it.
 */
#include "world.h"

#include "path/internal.h"
#include "proto/record.h"
#include "proto/wire.h"

#include <string.h>

/* Somebody with a session whose flow runs. */
static struct world_peer *find_talker(struct world *world)
{
    for (unsigned i = 0; i < world->num_nodes; i++)
        for (unsigned k = 0; k < world->nodes[i]->num_peers; k++) {
            struct world_peer *peer = &world->nodes[i]->peers[k];
            if (peer->flow.on && world_current_keypair(peer) != NULL)
                return peer;
        }
    lab_die("nobody talks");
}

static void let_send_longer(struct world_peer *peer)
{
    for (unsigned side = 0; side < 2; side++) {
        struct cq_keypair *keypair = world_current_keypair(peer->pair->peers[side]);
        keypair->send_until += SECS(100);
        cq_path_keypair_set_rotate_at(keypair, CQ_TIME_NEVER);
    }
}

static void reflect(struct world_node *node)
{
    struct cq_addr nobody = world_address(node->world, 0xe00099, 0);
    uint8_t record[CQ_RECORD_OVERHEAD + 16] = {CQ_MSG_DATA, CQ_PROTOCOL_VERSION};
    world_transmit(node, &nobody, record, sizeof(record));
}

static void hoard(struct world_node *node, size_t size)
{
    node->world->hoarded = cq_alloc(&node->allocator, size);
}

void world_plant(struct world *world)
{
    struct world_peer *peer = find_talker(world);
    struct world_node *node = peer->node;
    struct cq_keypair *keypair = world_current_keypair(peer);
    switch (world->options.plant) {
    case WORLD_PLANT_SILENCE:
        peer->pair->links[0].blocked++;
        peer->pair->links[1].blocked++;
        break;
    case WORLD_PLANT_NO_SESSION:
        cq_engine_wipe(node->engine, world_local_time(node));
        break;
    case WORLD_PLANT_LATE_SEND:
        let_send_longer(peer);
        break;
    case WORLD_PLANT_STUCK_TIMERS:
        node->stuck = true;
        break;
    case WORLD_PLANT_COUNTER_BACK:
        atomic_fetch_sub(&keypair->lanes[0].seq, 1);
        break;
    case WORLD_PLANT_REFLECTION:
        reflect(node);
        break;
    case WORLD_PLANT_HOARD:
        hoard(node, 1024 * 1024);
        break;
    case WORLD_PLANT_LEAK:
        hoard(node, 100);
        world_crash(node);
        break;
    case WORLD_PLANT_STRANGER:
        peer->stranger = true;
        break;
    case WORLD_PLANT_NONE:
    case WORLD_PLANT_SWALLOW:
    case WORLD_PLANT_TWICE:
    case WORLD_PLANT_NEVER_SENT:
    case WORLD_PLANT_LARGE_REPLY:
    case WORLD_PLANT_OTHER_KEYS:
    case WORLD_PLANT_OTHER_INDEX:
    case WORLD_PLANT_LONG_INIT:
    case WORLD_NUM_PLANTS:
        break; /* where it happens */
    }
}
