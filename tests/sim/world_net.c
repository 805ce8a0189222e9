/*
 * The network of the simulator: addresses, ways between nodes, address translation.
 */
#include "world.h"

#include "base/bytes.h"
#include "proto/wire.h"

#include <stdlib.h>
#include <string.h>

enum {
    NAT_BASE = 0xf00000, /* numbers of what stands outside */
    FIRST_OCTET = 20,    /* the generation of an address counts from there */
    NUM_GENERATIONS = 80,
    PORT = 51820,
    NAT_FIRST_PORT = 20000,
    IP_UDP_LEN = 28,
    IPV6_UDP_LEN = 48,
};

/* ---- addresses ---- */

struct cq_addr world_address(const struct world *world, unsigned number, unsigned generation)
{
    struct cq_addr addr = {.port = PORT};
    uint32_t word = (uint32_t)(FIRST_OCTET + generation % NUM_GENERATIONS) << 24 | number;
    if (world->ipv6) {
        addr.ip = (struct cq_ip){.family = CQ_FAMILY_IPV6, .bytes = {0x20, 0x01, 0x0d, 0xb8}};
        cq_store_be32(addr.ip.bytes + 4, word); /* a /64 each */
        addr.ip.bytes[15] = 1;
    } else {
        addr.ip = (struct cq_ip){.family = CQ_FAMILY_IPV4};
        cq_store_be32(addr.ip.bytes, word);
    }
    return addr;
}

static unsigned number_of(const struct cq_addr *address)
{
    return cq_load_be32(address->ip.bytes + (address->ip.family == CQ_FAMILY_IPV6 ? 4 : 0)) &
           0xffffff;
}

static bool same_ip(const struct cq_addr *a, const struct cq_addr *b)
{
    return cq_ip_equal(&a->ip, &b->ip);
}

/* ---- address translation ---- */

struct world_nat *world_add_nat(struct world *world)
{
    unsigned n = world->num_nats++;
    if (world->nats == NULL)
        world->nats = world_alloc(64 * sizeof(*world->nats));
    if (n >= 64)
        lab_die("too many translators");
    struct world_nat *nat = &world->nats[n];
    nat->address = world_address(world, NAT_BASE + n, 0);
    nat->next_port = NAT_FIRST_PORT;
    nat->timeout = SECS(60);
    return nat;
}

void world_reset_nat(struct world *world, struct world_nat *nat)
{
    unsigned n = number_of(&nat->address);
    unsigned generation = nat->address.ip.bytes[world->ipv6 ? 4 : 0] - FIRST_OCTET + 1u;
    nat->address = world_address(world, n, generation);
    nat->num_mappings = 0;
}

static void note_remote(struct world_mapping *m, const struct cq_addr *to)
{
    for (unsigned i = 0; i < m->num_remotes && i < WORLD_NAT_REMOTES; i++)
        if (cq_addr_equal(&m->remotes[i], to))
            return;
    m->remotes[m->num_remotes++ % WORLD_NAT_REMOTES] = *to;
}

/* The source address that the outside sees. */
static struct cq_addr translate_out(struct world_node *node, const struct cq_addr *to)
{
    struct world_nat *nat = node->nat;
    cq_time now = node->world->now;
    struct world_mapping *m = NULL;
    for (unsigned i = 0; i < nat->num_mappings; i++) {
        struct world_mapping *c = &nat->mappings[i];
        if (c->node == node && now < c->used + nat->timeout &&
            (!nat->mapping_by_remote || cq_addr_equal(&c->remote, to)))
            m = c;
    }
    if (m == NULL) {
        nat->mappings = world_grow(nat->mappings, (nat->num_mappings + 1) * sizeof(*nat->mappings));
        m = &nat->mappings[nat->num_mappings++];
        *m = (struct world_mapping){.node = node, .port = nat->next_port++, .remote = *to};
    }
    m->used = now;
    note_remote(m, to);
    struct cq_addr seen = nat->address;
    seen.port = m->port;
    return seen;
}

/* Which node a datagram to this outside address belongs to; from NULL: whatever its source. */
static struct world_node *translate_in(const struct world *world, const struct cq_addr *to,
                                       const struct cq_addr *from)
{
    unsigned n = number_of(to) - NAT_BASE;
    if (n >= world->num_nats || !same_ip(&world->nats[n].address, to))
        return NULL;
    const struct world_nat *nat = &world->nats[n];
    for (unsigned i = 0; i < nat->num_mappings; i++) {
        const struct world_mapping *m = &nat->mappings[i];
        if (m->port != to->port || world->now >= m->used + nat->timeout)
            continue;
        if (from == NULL || !nat->filtering)
            return m->node;
        for (unsigned k = 0; k < m->num_remotes && k < WORLD_NAT_REMOTES; k++)
            if (cq_addr_equal(&m->remotes[k], from))
                return m->node;
    }
    return NULL;
}

static struct world_node *node_at(const struct world *world, const struct cq_addr *to,
                                  const struct cq_addr *from)
{
    unsigned n = number_of(to);
    if (n >= NAT_BASE)
        return translate_in(world, to, from);
    if (n >= world->num_nodes || world->nodes[n]->nat != NULL ||
        !cq_addr_equal(&world->nodes[n]->address, to))
        return NULL;
    return world->nodes[n];
}

bool world_is_direct(const struct world_node *node)
{
    return node->nat == NULL;
}

/* ---- ways ---- */

static struct world_peer *find_peer(struct world_node *from, const struct world_node *to)
{
    if (to != NULL && to->original != NULL)
        to = to->original;
    if (from->world->light && to != NULL && to->num_peers == 1 && to->peers[0].other == from)
        return &from->peers[from->num_peers > 1 ? to->number - from->peers[0].other->number : 0];
    for (unsigned i = 0; i < from->num_peers; i++)
        if (from->peers[i].other == to)
            return &from->peers[i];
    return NULL;
}

static struct world_datagram *make_datagram(const struct cq_addr *from, const struct cq_addr *to,
                                            const uint8_t *data, size_t len)
{
    struct world_datagram *d = malloc(sizeof(*d) + len);
    if (d == NULL)
        lab_die("no memory");
    *d = (struct world_datagram){.from = *from, .to = *to, .len = len};
    if (len > 0)
        memcpy(d->data, data, len);
    return d;
}

void world_fly(struct world *world, struct world_datagram *datagram, cq_time delay)
{
    world_queue(world, world->now + delay, WORLD_ARRIVAL, datagram);
}

void world_inject(struct world *world, const struct cq_addr *from, const struct cq_addr *to,
                  const uint8_t *data, size_t len, cq_time delay)
{
    struct world_datagram *d = make_datagram(from, to, data, len);
    d->copy = true;
    world_mix(world, data, len);
    world_fly(world, d, delay);
}

static cq_time draw_delay(struct world_link *link)
{
    cq_time delay = link->delay;
    if (link->jitter > 0)
        delay += (cq_time)lab_rng_below(&link->rng, (uint64_t)link->jitter);
    return delay;
}

static void send_over(struct world *world, struct world_link *link, struct world_datagram *d)
{
    bool lost = link->loss > 0 && world_chance(&link->rng, link->loss);
    bool twice = link->duplicate > 0 && world_chance(&link->rng, link->duplicate);
    unsigned overhead = world->ipv6 ? IPV6_UDP_LEN : IP_UDP_LEN;
    if (lost || link->blocked > 0 || (link->mtu > 0 && d->len + overhead > link->mtu)) {
        link->lost_data += d->data[0] == CQ_MSG_DATA;
        free(d);
        return;
    }
    if (d->pair != NULL && d->pair->tapped > 0 && !world_attacker_sees(world, d))
        return;
    if (twice) {
        struct world_datagram *second = make_datagram(&d->from, &d->to, d->data, d->len);
        second->sender = d->sender;
        second->pair = d->pair;
        second->copy = true;
        d->counts = false; /* whichever comes first is taken */
        world_fly(world, second, draw_delay(link));
    }
    world_fly(world, d, draw_delay(link));
}

static void trace_datagram(struct world_node *from, const struct world_node *receiver,
                           const uint8_t *data)
{
    static const char *const names[] = {"",        "INIT",   "REPLY",       "OFFER",
                                        "ACCEPT",  "COOKIE", "KEY_REQUEST", "KEY_RESPONSE",
                                        "KEY_PUSH"};
    if (from->world->options.trace == NULL || data[0] == 0 || data[0] > CQ_MSG_KEY_PUSH)
        return;
    world_trace(from->world, "%u: %s to %d", from->number, names[data[0]],
                receiver != NULL ? (int)receiver->number : -1);
}

/* The self-test's wrong messages; whether one took the place of this one. */
static bool plant_message(struct world_node *from, const struct cq_addr *to, const uint8_t *data,
                          size_t len)
{
    struct world *world = from->world;
    uint8_t longer[CQ_INIT_LEN + 1] = {0};
    if (world->planted)
        return false;
    if (world->options.plant == WORLD_PLANT_LARGE_REPLY && data[0] == CQ_MSG_COOKIE) {
        world->planted = true;
        for (unsigned i = 0; i < CQ_KEY_REQUEST_LEN / CQ_COOKIE_MSG_LEN; i++)
            world_transmit(from, to, data, len);
    } else if (world->options.plant == WORLD_PLANT_LONG_INIT && data[0] == CQ_MSG_INIT) {
        world->planted = true;
        memcpy(longer, data, len);
        world_transmit(from, to, longer, sizeof(longer));
        return true;
    }
    return false;
}

void world_transmit(struct world_node *from, const struct cq_addr *to, const uint8_t *data,
                    size_t len)
{
    struct world *world = from->world;
    if (world->mute)
        return;
    if (plant_message(from, to, data, len))
        return;
    world_note_sent(from, to, data, len);
    world_keys_sent(from, data, len);
    world->totals.datagrams++;
    world_mix_number(world, (uint64_t)world->now ^ (uint64_t)from->number << 48);
    world_mix(world, data, len);
    struct cq_addr source = from->nat != NULL ? translate_out(from, to) : from->address;
    struct world_node *receiver = node_at(world, to, NULL);
    struct world_peer *peer = find_peer(from, receiver);
    struct world_datagram *d = make_datagram(&source, to, data, len);
    d->sender = from;
    d->sender_epoch = from->epoch;
    d->receiver_epoch = receiver != NULL ? receiver->epoch : 0;
    trace_datagram(from, receiver, data);
    if (peer == NULL) {
        world_fly(world, d, MS(20));
        return;
    }
    d->pair = peer->pair;
    d->side = peer->side;
    d->counts = data[0] == CQ_MSG_DATA && world_continuity_holds(peer->pair, peer->side);
    send_over(world, &peer->pair->links[peer->side], d);
}

void world_arrive(struct world *world, struct world_datagram *d)
{
    struct world_node *node = node_at(world, &d->to, &d->from);
    if (node != NULL && world_is_up(node)) {
        bool counts = d->counts && !d->copy && node->epoch == d->receiver_epoch &&
                      d->sender->epoch == d->sender_epoch &&
                      world_continuity_holds(d->pair, d->side);
        if (d->sender != NULL && find_peer(d->sender, node) != NULL)
            world_note_reached(d->sender, &d->to);
        bool swallowed = world->options.plant == WORLD_PLANT_SWALLOW && counts &&
                         world->now > world->began + SECS(400) && !world->planted;
        world->request_origin = world_keys_origin(world, d->data, d->len);
        world->accepted = false;
        if (swallowed)
            world->planted = true;
        else
            world_deliver(node, &d->from, d->data, d->len);
        world->request_origin = 0;
        if (counts && !world->accepted)
            world_violate(world, WORLD_CONTINUITY, "%u does not take a packet of %u", node->number,
                          d->sender->number);
    }
    free(d);
}
