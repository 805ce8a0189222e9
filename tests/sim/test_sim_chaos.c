/*
 * Chaos, then calm: bad links, restarts, a client that moves, handshakes at odd moments, and
 * somebody who sends old datagrams again, whole or damaged, from here and there. When all that ends
 * the two must find together again, and no packet may come twice meanwhile.
 *
 * CRYPRQ_SIM_CHAOS sets how many runs there are (30).
 */
#include "duo.h"

#include "proto/wire.h"

#include <stdlib.h>

enum { KEPT = 64 };

struct chaos {
    struct duo duo;
    struct lab_rng rng;
    struct lab_datagram kept[KEPT]; /* what the attacker wrote down */
    unsigned num_kept;
    bool may_move;
    uint16_t port;
};

static bool write_down(void *ctx, const struct lab_node *from, struct lab_datagram *d)
{
    struct chaos *c = ctx;
    (void)from;
    if (c->num_kept < KEPT)
        c->kept[c->num_kept++] = *d;
    else if (lab_rng_below(&c->rng, 4) == 0)
        c->kept[lab_rng_below(&c->rng, KEPT)] = *d;
    return true;
}

static void attack(struct chaos *c)
{
    if (c->num_kept == 0)
        return;
    struct lab_datagram d = c->kept[lab_rng_below(&c->rng, c->num_kept)];
    struct cq_addr from = d.from;
    struct lab_node *to = lab_rng_below(&c->rng, 2) == 0 ? c->duo.a : c->duo.b;
    if (lab_rng_below(&c->rng, 2) == 0)
        d.data[lab_rng_below(&c->rng, d.len)] ^= (uint8_t)(1u << lab_rng_below(&c->rng, 8));
    if (lab_rng_below(&c->rng, 2) == 0)
        from = (struct cq_addr){{CQ_FAMILY_IPV4, {203, 0, 113, 9}}, 999, 0};
    lab_deliver(to, &from, d.data, d.len);
}

static void restart(struct chaos *c, struct lab_node *node)
{
    lab_crash(node);
    lab_run_for(c->duo.lab, (cq_time)lab_rng_below(&c->rng, (uint64_t)SECS(5)));
    assert_true(lab_start(node));
}

static void change_links(struct chaos *c)
{
    struct lab_link link = {
        .delay = (cq_time)lab_rng_below(&c->rng, (uint64_t)MS(400)),
        .jitter = (cq_time)lab_rng_below(&c->rng, (uint64_t)MS(300)),
        .loss = lab_rng_unit(&c->rng) * (lab_rng_below(&c->rng, 5) == 0 ? 1.0 : 0.5),
        .duplicate = lab_rng_unit(&c->rng) * 0.3,
    };
    if (lab_rng_below(&c->rng, 2) == 0)
        c->duo.a->link = link;
    else
        c->duo.b->link = link;
}

static void something(struct chaos *c)
{
    struct cq_addr next = c->duo.a->address;
    switch (lab_rng_below(&c->rng, 12)) {
    case 0:
        restart(c, lab_rng_below(&c->rng, 2) == 0 ? c->duo.a : c->duo.b);
        break;
    case 1:
        next.port = c->port++;
        if (c->may_move)
            lab_move(c->duo.a, &next);
        break;
    case 2:
    case 3:
        change_links(c);
        break;
    case 4:
        lab_rotate(c->duo.a, c->duo.b);
        break;
    case 5:
        lab_rotate(c->duo.b, c->duo.a);
        break;
    case 6:
        cq_engine_note_overload(c->duo.b->engine, c->duo.lab->now);
        break;
    default:
        for (uint64_t i = lab_rng_below(&c->rng, 20); i > 0; i--)
            attack(c);
        break;
    }
}

static void check_chaos(uint64_t seed)
{
    static struct chaos c;
    memset(&c, 0, sizeof(c));
    c.port = 2000;
    c.may_move = seed % 2 == 0;
    lab_rng_seed(&c.rng, seed);
    c.duo = duo_new(&(struct duo_config){
        .seed = seed,
        .a.rotate_secs = seed % 3 == 0 ? 300 : 60,
        .of_a = {.no_key = seed % 4 == 1, .persistent_keepalive = seed % 5 == 2 ? 25 : 0},
        .of_b = {.no_key = seed % 4 >= 2},
    });
    c.duo.lab->filter = write_down;
    c.duo.lab->filter_ctx = &c;
    cq_time gap = MS(50) << lab_rng_below(&c.rng, 6);
    struct lab_flow *ab = lab_flow(c.duo.a, c.duo.b, gap, CQ_TIME_NEVER);
    struct lab_flow *ba = lab_flow(c.duo.b, c.duo.a, seed % 7 == 3 ? SECS(20) : gap, CQ_TIME_NEVER);
    for (unsigned i = 0; i < 150; i++) {
        lab_run_for(c.duo.lab, (cq_time)lab_rng_below(&c.rng, (uint64_t)SECS(4)));
        something(&c);
    }
    /* Calm. What may be under way: dead-peer time, an attempt that holds back, a stage. */
    c.duo.lab->filter = NULL;
    c.duo.a->link = c.duo.b->link = (struct lab_link){.delay = MS(20)};
    lab_run_for(c.duo.lab, SECS(45));
    assert_true(lab_are_connected(c.duo.a, c.duo.b));
    uint64_t of_ab = lab_flow_missing(ab), of_ba = lab_flow_missing(ba);
    uint64_t staged = ab->staged + ba->staged;
    lab_run_for(c.duo.lab, SECS(150));
    assert_int_equal(ab->staged + ba->staged, staged);
    assert_true(lab_flow_missing(ab) <= of_ab + 1 && lab_flow_missing(ba) <= of_ba + 1);
    assert_int_equal(ab->duplicates + ba->duplicates, 0);
    assert_true(ab->received > 0 && ba->received > 0);
    struct cq_peer_status status = lab_status(c.duo.b, c.duo.a);
    assert_true(cq_addr_equal(&status.endpoint, &c.duo.a->address));
    duo_free(&c.duo);
}

static void test_chaos(void **state)
{
    const char *wanted = getenv("CRYPRQ_SIM_CHAOS");
    unsigned long runs = wanted != NULL ? strtoul(wanted, NULL, 10) : 30;
    (void)state;
    for (unsigned long seed = 0; seed < runs; seed++) {
        print_message("# seed %lu\n", seed);
        check_chaos(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_chaos)};
    return cmocka_run_group_tests_name("sim_chaos", tests, NULL, NULL);
}
