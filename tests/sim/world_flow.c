/*
 * The traffic inside the tunnels: UDP over IPv4 with a number, so that every packet is accounted
 * for.
 */
#include "world.h"

#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

enum {
    IP_LEN = 20,
    HEADERS_LEN = 28,
    SENDER = HEADERS_LEN + 4,
    PEER = SENDER + 4,
    SEQ = PEER + 4,
    PACKET_LEN = SEQ + 8,
    PORT = 7000,
    MAGIC = 0x776f726c,
    LARGE_EVERY = 8, /* one packet of so many is as large as the interface allows */
};

static uint16_t ip_checksum(const uint8_t *header)
{
    uint32_t sum = 0;
    for (unsigned i = 0; i < IP_LEN; i += 2)
        sum += cq_load_be16(header + i);
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void write_packet(uint8_t *p, const struct world_flow *flow, size_t len)
{
    const struct world_peer *peer = flow->peer;
    memset(p, 0, len);
    p[0] = 0x45;
    cq_store_be16(p + 2, (uint16_t)len);
    cq_store_be16(p + 6, 0x4000); /* DF */
    p[8] = 64;
    p[9] = 17;
    memcpy(p + 12, world_inner_ip(peer->node->identity_number).bytes, 4);
    memcpy(p + 16, world_inner_ip(peer->other->identity_number).bytes, 4);
    cq_store_be16(p + 10, ip_checksum(p));
    cq_store_be16(p + IP_LEN, PORT);
    cq_store_be16(p + IP_LEN + 2, PORT);
    cq_store_be16(p + IP_LEN + 4, (uint16_t)(len - IP_LEN)); /* checksum 0: none */
    cq_store_be32(p + HEADERS_LEN, MAGIC);
    cq_store_be32(p + SENDER, peer->node->number);
    cq_store_be32(p + PEER, (uint32_t)(peer - peer->node->peers));
    cq_store_be64(p + SEQ, flow->sent);
}

void world_flow_begin(struct world_flow *flow, cq_time at)
{
    flow->on = true;
    flow->on_since = at;
    flow->off_at = flow->off_time > 0 ? at + flow->on_time : CQ_TIME_NEVER;
    flow->next = at;
    world_queue(flow->peer->node->world, at, WORLD_FLOW, flow);
}

static void send_packet(struct world_flow *flow)
{
    struct world_node *node = flow->peer->node;
    struct world *world = node->world;
    uint8_t packet[WORLD_MTU + CQ_PATH_SLACK];
    bool large = !world->light && flow->sent % LARGE_EVERY == LARGE_EVERY - 1;
    size_t len = large ? WORLD_MTU : PACKET_LEN;
    write_packet(packet, flow, len);
    flow->sent++;
    world->totals.packets++;
    if (flow->waiting_since == CQ_TIME_NEVER)
        flow->waiting_since = world->now;
    bool refused = false;
    if (!world_send_packet(node, packet, len, &refused)) {
        flow->staged++;
        world_check_staged(flow);
    }
    flow->refused += refused;
}

void world_flow_tick(struct world_flow *flow)
{
    struct world_node *node = flow->peer->node;
    struct world *world = node->world;
    cq_time wait = flow->interval;
    if (world->now != flow->next)
        return; /* changed meanwhile */
    if (flow->on && world->now >= flow->off_at) {
        flow->on = false;
        flow->waiting_since = CQ_TIME_NEVER;
        flow->last_arrival = CQ_TIME_NEVER;
        wait = world_between(&flow->rng, flow->off_time / 2, flow->off_time * 2);
    } else if (!flow->on) {
        flow->on = true;
        flow->on_since = world->now;
        flow->off_at = world->now + flow->on_time;
    }
    if (flow->on) {
        if (world_is_up(node)) {
            world_check_waiting(flow);
            send_packet(flow);
        } else {
            flow->waiting_since = CQ_TIME_NEVER;
        }
        wait = world_between(&flow->rng, flow->interval * 3 / 4, flow->interval * 5 / 4);
    }
    flow->next = world->now + wait;
    world_queue(world, flow->next, WORLD_FLOW, flow);
}

/* Notes the packet; whether it is new. */
static bool note_seq(struct world_flow *flow, uint64_t seq)
{
    if (seq >= flow->seen_bits) {
        uint64_t bits = (seq + 1) * 2 + 256;
        size_t old_len = (size_t)(flow->seen_bits / 8), len = (size_t)(bits / 8);
        flow->seen = world_grow(flow->seen, len);
        memset(flow->seen + old_len, 0, len - old_len);
        flow->seen_bits = (uint64_t)len * 8;
    }
    uint8_t bit = (uint8_t)(1u << seq % 8);
    bool fresh = (flow->seen[seq / 8] & bit) == 0;
    flow->seen[seq / 8] |= bit;
    return fresh;
}

static void take(struct world_node *node, const uint8_t *packet, size_t len)
{
    struct world *world = node->world;
    uint32_t sender = 0, peer = 0;
    bool ours =
        len >= PACKET_LEN && packet[0] == 0x45 && cq_load_be32(packet + HEADERS_LEN) == MAGIC;
    if (ours) {
        sender = cq_load_be32(packet + SENDER);
        peer = cq_load_be32(packet + PEER);
    }
    if (!ours || sender >= world->num_nodes || peer >= world->nodes[sender]->num_peers) {
        world_violate(world, WORLD_ONCE, "%u takes a packet of nobody", node->number);
        return;
    }
    struct world_flow *flow = &world->nodes[sender]->peers[peer].flow;
    uint64_t seq = cq_load_be64(packet + SEQ);
    if (seq >= flow->sent || flow->peer->other->identity_number != node->identity_number) {
        world_violate(world, WORLD_ONCE, "%u takes packet %llu of %u, which did not send it",
                      node->number, (unsigned long long)seq, sender);
        return;
    }
    if (!note_seq(flow, seq)) {
        world_violate(world, WORLD_ONCE, "%u takes packet %llu of %u twice", node->number,
                      (unsigned long long)seq, sender);
        return;
    }
    world_mix_number(world, (uint64_t)world->now ^ seq << 32 ^ sender << 8 ^ node->number);
    if (flow->last_arrival != CQ_TIME_NEVER)
        flow->worst_gap = cq_time_max(flow->worst_gap, world->now - flow->last_arrival);
    if (flow->first_arrival == CQ_TIME_NEVER)
        flow->first_arrival = world->now;
    world_check_waiting(flow);
    world_note_taken(flow);
    flow->waiting_since = CQ_TIME_NEVER;
    flow->last_arrival = world->now;
    flow->received++;
}

void world_packet_received(struct world_node *node, const uint8_t *packet, size_t len)
{
    struct world *world = node->world;
    uint8_t forged[PACKET_LEN];
    take(node, packet, len);
    if (world->now < world->began + SECS(200) || world->planted || len < PACKET_LEN)
        return;
    if (world->options.plant == WORLD_PLANT_TWICE) {
        world->planted = true;
        take(node, packet, len);
    } else if (world->options.plant == WORLD_PLANT_NEVER_SENT) {
        world->planted = true;
        memcpy(forged, packet, sizeof(forged));
        cq_store_be64(forged + SEQ, cq_load_be64(packet + SEQ) + 100000);
        take(node, forged, sizeof(forged));
    }
}
