/*
 * Datagrams at the entry point of a node that has two peers, one with a live session, the other
 * with a handshake pending in either direction. The world is the same, down to every random byte,
 * for every input.
 *
 * An input is a list of steps: op(1) || length(2, big-endian) || bytes. The lower three bits of op:
 *
 *   0  the bytes come from the peer with the session       1  ... from the one with the handshakes
 *   2  ... from a stranger
 *   3  what a peer last sent of a type comes, with changes: kind(1) || (offset(2) || xor(1))*
 *   4  that peer gets what the node last sent of a type: kind(1)
 *   5  the peer with the session seals the bytes as CONTROL and sends them
 *   6  the same with an IP packet of its flow               7  the node sends one
 *
 * kind: the message type; 0x80: the peer with the handshakes, else the one with the session.
 * Further bits of op: 8 makes mac1 right again, 16 has 100 ms pass before, 32 has 10 s pass, 64
 * lets steps 3, 5 and 6 come from the stranger.
 */
#include "../sim/lab.h"

#include "base/bytes.h"
#include "crypto/hash.h"
#include "proto/wire.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { MAX_STEPS = 24, KIND_PENDING = 0x80 };

enum { OP_REPAIR = 8, OP_WAIT = 16, OP_WAIT_LONG = 32, OP_STRANGER = 64 };

static const struct cq_addr stranger = {{CQ_FAMILY_IPV4, {203, 0, 113, 9}}, 999, 0};

static struct world {
    struct lab *lab;
    struct lab_node *node, *live, *pending;
    struct lab_datagram last[3][LAB_TYPES]; /* of each node and type; len 0: none yet */
    size_t to_stranger;                     /* bytes */
} world;

/* The network loses everything; what was sent is remembered. */
static bool catch_all(void *ctx, const struct lab_node *from, struct lab_datagram *d)
{
    (void)ctx;
    struct lab_datagram *last = &world.last[from->number][d->data[0] % LAB_TYPES];
    last->len = d->len;
    memcpy(last->data, d->data, d->len);
    if (cq_addr_equal(&d->to, &stranger))
        world.to_stranger += d->len;
    return false;
}

static bool catch_replies(void *ctx, const struct lab_node *from, struct lab_datagram *d)
{
    (void)catch_all(ctx, from, d);
    return d->data[0] != CQ_MSG_REPLY;
}

static void make_world(void)
{
    memset(&world, 0, sizeof(world));
    world.lab = lab_new(1);
    world.node = lab_add_node(world.lab, NULL);
    world.live = lab_add_node(world.lab, NULL);
    world.pending = lab_add_node(world.lab, NULL);
    lab_connect(world.node, NULL, world.live, NULL);
    lab_connect(world.node, NULL, world.pending, NULL);
    lab_rotate(world.live, world.node);
    lab_run_for(world.lab, 15 * CQ_NS_PER_S);
    (void)lab_send_packet(lab_flow(world.live, world.node, 0, 0));
    (void)lab_send_packet(lab_flow(world.node, world.live, 0, 0));
    lab_run_for(world.lab, CQ_NS_PER_S);

    /* The larger ID first: it would hold back for the other's handshake. */
    world.lab->filter = catch_replies;
    bool larger = memcmp(world.node->identity.id, world.pending->identity.id, 32) > 0;
    struct lab_node *first = larger ? world.node : world.pending;
    struct lab_node *second = larger ? world.pending : world.node;
    lab_rotate(first, second);
    lab_run_for(world.lab, 50 * CQ_NS_PER_MS);
    lab_rotate(second, first);
    lab_run_for(world.lab, 50 * CQ_NS_PER_MS);
    world.lab->filter = catch_all;
    if (lab_engine_status(world.node).num_pending != 1 ||
        !lab_status(world.node, world.pending).handshaking ||
        !lab_are_connected(world.node, world.live))
        lab_die("the world is not what it should be");
}

static void repair_mac1(uint8_t *msg, size_t len)
{
    struct cq_mac_keys macs;
    uint8_t full[CQ_HASH_LEN];
    bool push = len > 0 && msg[0] == CQ_MSG_KEY_PUSH;
    size_t at = push ? CQ_KEY_PUSH_MAC1 : CQ_INIT_MAC1;
    if (len != CQ_INIT_LEN || cq_mac_keys_init(&macs, world.node->identity.id) != CQ_OK ||
        cq_hmac(full, macs.mac1, 32, CQ_SPANS({msg, at})) != CQ_OK)
        return;
    memcpy(msg + at, full, push ? CQ_PUSH_MAC_LEN : CQ_MAC_LEN);
}

/* The node gets a datagram. Toward the stranger there is one answer, not larger; three times the
 * bytes of a record. */
static void deliver(uint8_t op, const struct cq_addr *from, const uint8_t *data, size_t len)
{
    uint8_t copy[LAB_MAX_DATAGRAM] = {0};
    if (len > sizeof(copy))
        len = sizeof(copy);
    if (len > 0)
        memcpy(copy, data, len);
    if ((op & OP_REPAIR) != 0)
        repair_mac1(copy, len);
    world.to_stranger = 0;
    lab_deliver(world.node, from, copy, len);
    bool record = len > 0 && copy[0] >= CQ_MSG_DATA;
    if (cq_addr_equal(from, &stranger) && world.to_stranger > (record ? 3 : 1) * len)
        lab_die("an answer larger than its request");
    struct cq_engine_status status = lab_engine_status(world.node);
    if (status.num_pending > 8 || status.num_sessions > 24)
        lab_die("more handshakes or sessions than there may be");
}

/* What the peer of that kind last sent of that type. */
static const struct lab_datagram *last_of(uint8_t kind)
{
    struct lab_node *peer = (kind & KIND_PENDING) != 0 ? world.pending : world.live;
    return &world.last[peer->number][kind % LAB_TYPES];
}

static void deliver_changed(uint8_t op, const struct cq_addr *from, struct cq_reader *r)
{
    struct lab_datagram d = *last_of(cq_read_u8(r));
    while (r->len >= 3) {
        uint16_t offset = cq_read_u16(r);
        uint8_t flip = cq_read_u8(r);
        if (offset < d.len)
            d.data[offset] ^= flip;
    }
    deliver(op, from, d.data, d.len);
}

static void answer_peer(uint8_t kind)
{
    struct lab_node *peer = (kind & KIND_PENDING) != 0 ? world.pending : world.live;
    const struct lab_datagram *d = &world.last[world.node->number][kind % LAB_TYPES];
    struct lab_datagram copy = *d;
    lab_deliver(peer, &world.node->address, copy.data, copy.len);
}

static void step(uint8_t op, const uint8_t *data, size_t len)
{
    struct cq_reader r = cq_reader_make(data, len);
    const struct cq_addr *from = (op & OP_STRANGER) != 0 ? &stranger : &world.live->address;
    bool alive = lab_keypair(world.live, world.node) != NULL;
    if ((op & OP_WAIT) != 0)
        lab_run_for(world.lab, 100 * CQ_NS_PER_MS);
    if ((op & OP_WAIT_LONG) != 0)
        lab_run_for(world.lab, 10 * CQ_NS_PER_S);
    switch (op & 7) {
    case 0:
        deliver(op, &world.live->address, data, len);
        break;
    case 1:
        deliver(op, &world.pending->address, data, len);
        break;
    case 2:
        deliver(op, &stranger, data, len);
        break;
    case 3:
        deliver_changed(op, from, &r);
        break;
    case 4:
        answer_peer(cq_read_u8(&r));
        break;
    case 5:
        if (alive && len <= CQ_PATH_CONTROL_MAX) {
            lab_send_control(world.live, world.node, data, (uint16_t)len, NULL);
            deliver(0, from, last_of(CQ_MSG_CONTROL)->data, last_of(CQ_MSG_CONTROL)->len);
        }
        break;
    case 6:
        if (lab_send_packet(&world.live->flows[0]))
            deliver(0, from, last_of(CQ_MSG_DATA)->data, last_of(CQ_MSG_DATA)->len);
        break;
    default:
        (void)lab_send_packet(&world.node->flows[0]);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct cq_reader r = cq_reader_make(data, len);
    make_world();
    for (unsigned i = 0; i < MAX_STEPS && r.len > 0; i++) {
        uint8_t op = cq_read_u8(&r);
        size_t want = cq_read_u16(&r);
        if (r.failed)
            break;
        if (want > r.len)
            want = r.len;
        step(op, cq_read_span(&r, want), want);
    }
    lab_free(world.lab); /* which finds leaks */
    return 0;
}
