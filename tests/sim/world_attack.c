/*
 * The attacker: on the path of pairs that he taps (he writes down, damages, holds back, takes over)
 * and off it (he replays what he wrote down, forges from what is public, floods). He knows every
 * node's ID, public key and address.
 */
#include "world.h"

#include "base/bytes.h"
#include "proto/mac.h"
#include "proto/record.h"
#include "proto/wire.h"

#include <stdlib.h>
#include <string.h>

enum {
    NOTES = 64,
    OWN_NUMBER = 0xe00000, /* of his addresses */
    OWN_ADDRESSES = 4,
    FLOOD_BURST = 6,
};

struct note {
    cq_time when;
    struct cq_addr from, to;
    size_t len;
    uint8_t data[WORLD_MAX_DATAGRAM];
};

struct world_attacker {
    struct note notes[NOTES];
    unsigned num_notes, next_note;
};

struct world_attacker *world_attacker_new(struct world *world)
{
    (void)world;
    return world_alloc(sizeof(struct world_attacker));
}

void world_attacker_free(struct world_attacker *attacker)
{
    free(attacker);
}

static struct cq_addr own_address(struct world_fault *f)
{
    unsigned n = OWN_NUMBER + (unsigned)lab_rng_below(&f->rng, OWN_ADDRESSES);
    struct cq_addr addr = world_address(f->world, n, 0);
    addr.port = (uint16_t)(1024 + lab_rng_below(&f->rng, 4));
    return addr;
}

static void fill(struct lab_rng *rng, uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(lab_rng_next(rng) >> 32);
}

/* ---- on the path ---- */

static void write_down(struct world_attacker *a, const struct world *world,
                       const struct world_datagram *d)
{
    struct note *note = &a->notes[a->next_note];
    a->next_note = (a->next_note + 1) % NOTES;
    a->num_notes += a->num_notes < NOTES;
    note->when = world->now;
    note->from = d->from;
    note->to = d->to;
    note->len = d->len;
    memcpy(note->data, d->data, d->len);
}

bool world_attacker_sees(struct world *world, struct world_datagram *d)
{
    write_down(world->attacker, world, d);
    for (unsigned i = 0; i < world->num_faults; i++) {
        struct world_fault *f = &world->faults[i];
        if (!f->on || world->pairs[f->pair] != d->pair)
            continue;
        if (f->kind == FAULT_DAMAGE && world_chance(&f->rng, 0.1 + 0.4 * f->amount)) {
            d->data[lab_rng_below(&f->rng, d->len)] ^= (uint8_t)(1u << lab_rng_below(&f->rng, 8));
            d->copy = true;
        } else if (f->kind == FAULT_HOLD && world_chance(&f->rng, 0.2)) {
            d->copy = true;
            world_fly(world, d, world_between(&f->rng, MS(100), SECS(90)));
            return false;
        } else if (f->kind == FAULT_STEAL && world_chance(&f->rng, 0.2)) {
            d->copy = true;
            d->from = own_address(f);
        }
    }
    return true;
}

/* ---- off the path ---- */

static const struct note *old_note(struct world_fault *f)
{
    struct world_attacker *a = f->world->attacker;
    if (a->num_notes == 0)
        return NULL;
    const struct note *note = &a->notes[lab_rng_below(&f->rng, a->num_notes)];
    return note->when + SECS(3) < f->world->now ? note : NULL; /* none that is still under way */
}

static void replay(struct world_fault *f)
{
    const struct note *note = old_note(f);
    struct world *world = f->world;
    uint8_t data[WORLD_MAX_DATAGRAM];
    if (note == NULL)
        return;
    struct cq_addr from = note->from, to = note->to;
    size_t len = note->len;
    memcpy(data, note->data, len);
    if (world_chance(&f->rng, 0.3))
        from = own_address(f);
    if (world_chance(&f->rng, 0.2))
        to = world->nodes[lab_rng_below(&f->rng, world->num_nodes)]->address;
    if (world_chance(&f->rng, 0.3))
        data[lab_rng_below(&f->rng, len)] ^= (uint8_t)(1u << lab_rng_below(&f->rng, 8));
    if (world_chance(&f->rng, 0.05))
        len = (size_t)lab_rng_below(&f->rng, len);
    world_inject(world, &from, &to, data, len, MS(10));
}

static size_t forge_init(struct world_fault *f, const struct world_node *victim, uint8_t *msg)
{
    struct cq_mac_keys macs;
    fill(&f->rng, msg, CQ_INIT_LEN);
    msg[0] = CQ_MSG_INIT;
    msg[1] = msg[2] = CQ_PROTOCOL_VERSION;
    memset(msg + CQ_INIT_MAC2, 0, CQ_MAC_LEN);
    if (cq_mac_keys_init(&macs, victim->identity.id) != CQ_OK ||
        cq_mac_write(msg, CQ_INIT_LEN, &macs, NULL) != CQ_OK)
        lab_die("no mac");
    return CQ_INIT_LEN;
}

static size_t forge_key_message(struct world_fault *f, const struct world_node *victim,
                                uint8_t *msg)
{
    struct cq_mac_keys macs;
    struct world *world = f->world;
    struct world_node *other = world->nodes[lab_rng_below(&f->rng, world->num_nodes)];
    bool push = world_chance(&f->rng, 0.5);
    struct cq_public_key key = other->identity.public_key;
    if (world_chance(&f->rng, 0.5))
        key.ek[lab_rng_below(&f->rng, sizeof(key.ek))] ^= 1;
    if (cq_mac_keys_init(&macs, victim->identity.id) != CQ_OK)
        lab_die("no mac");
    if (push) {
        if (cq_key_push_write(msg, &macs, &key) != CQ_OK)
            lab_die("no mac");
        return CQ_KEY_PUSH_LEN;
    }
    if (world_chance(&f->rng, 0.5)) {
        cq_key_response_write(msg, (uint32_t)lab_rng_next(&f->rng), &key);
        return CQ_KEY_RESPONSE_LEN;
    }
    if (cq_key_request_write(msg, &macs, (uint32_t)lab_rng_next(&f->rng), NULL) != CQ_OK)
        lab_die("no mac");
    return CQ_KEY_REQUEST_LEN;
}

/* A message of any type of the right length, with an index that was seen somewhere. */
static size_t forge_typed(struct world_fault *f, uint8_t *msg)
{
    static const struct {
        uint8_t type;
        size_t len;
    } types[] = {
        {CQ_MSG_REPLY, CQ_REPLY_LEN},
        {CQ_MSG_OFFER, CQ_OFFER_LEN},
        {CQ_MSG_ACCEPT, CQ_ACCEPT_LEN},
        {CQ_MSG_COOKIE, CQ_COOKIE_MSG_LEN},
        {CQ_MSG_KEY_PUSH, CQ_KEY_PUSH_LEN},
        {CQ_MSG_DATA, 80},
        {CQ_MSG_CONTROL, CQ_RECORD_OVERHEAD + 3},
    };
    const struct note *note = old_note(f);
    unsigned t = (unsigned)lab_rng_below(&f->rng, sizeof(types) / sizeof(types[0]));
    fill(&f->rng, msg, types[t].len);
    msg[0] = types[t].type;
    msg[1] = CQ_PROTOCOL_VERSION;
    msg[2] = msg[3] = 0;
    if (note != NULL && note->len >= 16)
        memcpy(msg + 4, note->data + 4, 8);
    return types[t].len;
}

static void forge(struct world_fault *f)
{
    struct world *world = f->world;
    uint8_t msg[WORLD_MAX_DATAGRAM];
    size_t len = 0;
    struct world_node *victim = world->nodes[f->node];
    struct cq_addr from = own_address(f);
    if (victim->num_peers > 0 && world_chance(&f->rng, 0.5))
        from = victim->peers[lab_rng_below(&f->rng, victim->num_peers)].other->address;
    switch (lab_rng_below(&f->rng, 4)) {
    case 0:
        len = (size_t)lab_rng_below(&f->rng, 1400);
        fill(&f->rng, msg, len);
        if (world_chance(&f->rng, 0.5) && len > 2) {
            msg[0] = (uint8_t)lab_rng_below(&f->rng, 18);
            msg[1] = CQ_PROTOCOL_VERSION;
        }
        break;
    case 1:
        len = forge_init(f, victim, msg);
        break;
    case 2:
        len = forge_key_message(f, victim, msg);
        break;
    default:
        len = forge_typed(f, msg);
        break;
    }
    struct cq_addr to = victim->nat != NULL ? victim->nat->address : victim->address;
    if (victim->nat != NULL && victim->nat->num_mappings > 0)
        to.port = victim->nat->mappings[0].port;
    world_inject(world, &from, &to, msg, len, MS(10));
}

static void flood(struct world_fault *f)
{
    struct world_node *victim = f->world->nodes[f->node];
    uint8_t msg[CQ_INIT_LEN];
    for (unsigned i = 0; i < FLOOD_BURST; i++) {
        size_t len = forge_init(f, victim, msg);
        struct cq_addr from = own_address(f);
        world_inject(f->world, &from, &victim->address, msg, len, MS(10));
    }
}

void world_attack_step(struct world_fault *f)
{
    cq_time wait = world_between(&f->rng, MS(50), SECS(2));
    if (f->kind == FAULT_REPLAY) {
        replay(f);
    } else if (f->kind == FAULT_FORGE) {
        forge(f);
    } else if (f->kind == FAULT_FLOOD) {
        flood(f);
        wait = MS(100);
    } else {
        return; /* on the path alone */
    }
    world_queue(f->world, f->world->now + wait, WORLD_FAULT_STEP, f);
}
