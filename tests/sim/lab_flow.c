/*
 * The traffic inside the tunnels: UDP over IPv4 with a sequence number, so that every packet is
 * accounted for: received, lost by the network, or missing.
 */
#include "lab.h"

#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

enum {
    IP_LEN = 20,
    UDP_LEN = 8,
    PACKET_LEN = IP_LEN + UDP_LEN + 12,
    PORT = 7000,
    DONT_FRAGMENT = 0x4000,
    MAGIC = 0x6c616266,
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

static uint16_t packet_len(const struct lab_flow *flow)
{
    return flow->len > PACKET_LEN ? flow->len : PACKET_LEN;
}

static void write_packet(uint8_t *p, const struct lab_flow *flow, uint64_t seq)
{
    uint16_t len = packet_len(flow);
    memset(p, 0, len);
    p[0] = 0x45;
    cq_store_be16(p + 2, len);
    if (len > PACKET_LEN)
        cq_store_be16(p + 6, DONT_FRAGMENT);
    p[8] = 64;
    p[9] = 17;
    memcpy(p + 12, lab_inner_ip(flow->from).bytes, 4);
    memcpy(p + 16, lab_inner_ip(flow->to).bytes, 4);
    cq_store_be16(p + 10, ip_checksum(p));
    cq_store_be16(p + IP_LEN, PORT);
    cq_store_be16(p + IP_LEN + 2, PORT);
    cq_store_be16(p + IP_LEN + 4, (uint16_t)(len - IP_LEN)); /* checksum 0: none */
    cq_store_be32(p + IP_LEN + UDP_LEN, MAGIC);
    cq_store_be64(p + IP_LEN + UDP_LEN + 4, seq);
}

static struct lab_flow *find_flow(struct lab_node *from, const struct lab_node *to)
{
    for (unsigned i = 0; i < from->num_flows; i++)
        if (from->flows[i].to == to)
            return &from->flows[i];
    return NULL;
}

static void tick_at(struct lab_flow *flow, cq_time when)
{
    flow->next = when;
    lab_queue(flow->from->lab, &(struct lab_entry){.when = when, .kind = LAB_FLOW, .flow = flow});
}

struct lab_flow *lab_flow(struct lab_node *from, struct lab_node *to, cq_time interval,
                          cq_time until)
{
    struct lab_flow *flow = find_flow(from, to);
    if (flow == NULL) {
        if (from->num_flows == LAB_MAX_FLOWS)
            lab_die("too many flows");
        flow = &from->flows[from->num_flows++];
        *flow = (struct lab_flow){.from = from, .to = to, .last_received = CQ_TIME_NEVER};
    }
    flow->interval = interval;
    flow->until = until;
    if (interval > 0)
        tick_at(flow, from->lab->now);
    return flow;
}

/* As path MTU discovery of a host does (RFC 1191). */
static void hear_too_big(struct lab_flow *flow)
{
    uint8_t *icmp;
    size_t len;
    if (!cq_path_take_reply(flow->from->worker, &icmp, &len))
        return;
    if (len < 56 || icmp[9] != 1 || icmp[20] != 3 || icmp[21] != 4)
        lab_die("a reply that is not what it should be");
    flow->refused++;
    flow->len = flow->told_mtu = cq_load_be16(icmp + 26);
}

bool lab_send_packet(struct lab_flow *flow)
{
    struct lab_node *node = flow->from;
    struct lab *lab = node->lab;
    uint8_t packet[LAB_MTU + CQ_PATH_SLACK];
    if (node->engine == NULL) /* a node that is down sends nothing */
        return false;
    write_packet(packet, flow, flow->sent++);
    struct cq_path_frame frame = {.data = packet, .len = packet_len(flow)};
    cq_path_enter(node->worker);
    bool done = cq_path_seal(node->worker, &lab->out, &frame, lab->now);
    lab_leave(node);
    if (!done)
        lab_die("no room for a packet");
    bool left = lab->out.num_sends > 0;
    hear_too_big(flow);
    flow->staged += !left && flow->refused == 0;
    lab_flush(node);
    lab_settle(node);
    return left;
}

void lab_flow_tick(struct lab_flow *flow)
{
    struct lab *lab = flow->from->lab;
    if (flow->interval == 0 || lab->now >= flow->until || lab->now != flow->next)
        return; /* over, or changed meanwhile */
    (void)lab_send_packet(flow);
    tick_at(flow, lab->now + flow->interval);
}

/* Notes the packet; whether it is new. */
static bool note_seq(struct lab_flow *flow, uint64_t seq)
{
    if (seq >= flow->seen_bits) {
        uint64_t bits = (seq + 1) * 2 + 1024;
        size_t old_len = (size_t)(flow->seen_bits / 8), len = (size_t)(bits / 8);
        flow->seen = realloc(flow->seen, len);
        if (flow->seen == NULL)
            lab_die("no memory");
        memset(flow->seen + old_len, 0, len - old_len);
        flow->seen_bits = (uint64_t)len * 8;
    }
    uint8_t bit = (uint8_t)(1u << seq % 8);
    bool fresh = (flow->seen[seq / 8] & bit) == 0;
    flow->seen[seq / 8] |= bit;
    return fresh;
}

void lab_flow_received(struct lab_node *node, const uint8_t *packet, size_t len)
{
    if (len < PACKET_LEN || packet[0] != 0x45 || cq_load_be32(packet + IP_LEN + UDP_LEN) != MAGIC) {
        node->frames++;
        return;
    }
    unsigned from = cq_load_be16(packet + 14) - 1u;
    struct lab_flow *flow =
        from < node->lab->num_nodes ? find_flow(node->lab->nodes[from], node) : NULL;
    if (flow == NULL)
        lab_die("a packet of no flow");
    uint64_t seq = cq_load_be64(packet + IP_LEN + UDP_LEN + 4);
    if (seq >= flow->sent)
        lab_die("a packet that was never sent");
    if (!note_seq(flow, seq)) {
        flow->duplicates++;
        return;
    }
    cq_time now = node->lab->now;
    if (flow->last_received != CQ_TIME_NEVER)
        flow->longest_gap = cq_time_max(flow->longest_gap, now - flow->last_received);
    flow->last_received = now;
    flow->received++;
}

void lab_flow_lost(struct lab_node *from, const struct lab_node *to)
{
    struct lab_flow *flow = find_flow(from, to);
    if (flow != NULL)
        flow->link_lost++;
}

uint64_t lab_flow_missing(const struct lab_flow *flow)
{
    return flow->sent - flow->received - flow->link_lost;
}
