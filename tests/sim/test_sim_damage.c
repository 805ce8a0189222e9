/*
 * Damaged, replayed and meaningless datagrams: they change nothing and get no answer.
 */
#include "craft.h"
#include "duo.h"

#include "proto/wire.h"

#include <stdlib.h>

/* Rates above what the tests do at one moment of virtual time. */
#define NO_LOAD .load_per_second = 100000000

/* ---- damage ---- */

struct damage {
    struct duo duo;
    bool tried[LAB_TYPES]; /* each type once */
    bool repaired;         /* mac1 is made right again */
    bool inside;
};

/* Where damage goes unnoticed, because nobody looks there yet: mac2 of an INIT while there is no
 * load, and of a KEY_REQUEST, which counts as having none then. */
static bool is_mac2(const struct lab_datagram *d, size_t at)
{
    return (d->data[0] == CQ_MSG_INIT || d->data[0] == CQ_MSG_KEY_REQUEST) && at >= CQ_INIT_MAC2;
}

static bool has_mac1(uint8_t type)
{
    return type == CQ_MSG_INIT || type == CQ_MSG_KEY_PUSH;
}

static void try_damaged(struct damage *t, struct lab_node *to, const struct lab_datagram *d,
                        size_t at, uint8_t flip)
{
    struct lab_datagram copy = *d;
    struct duo_state before;
    copy.data[at] ^= flip;
    if (t->repaired)
        craft_repair_mac1(copy.data, copy.len, to);
    if (memcmp(copy.data, d->data, d->len) == 0)
        return; /* mac1 itself, repaired */
    duo_snapshot(&t->duo, &before);
    uint64_t drops = lab_all_drops(to);
    lab_deliver(to, &copy.from, copy.data, copy.len);
    duo_assert_unchanged(&t->duo, &before);
    if (lab_all_drops(to) != drops + 1)
        fail_msg("type %u, byte %zu: %lu drops", d->data[0], at,
                 (unsigned long)(lab_all_drops(to) - drops));
}

static bool damage_all(void *ctx, const struct lab_node *from, struct lab_datagram *d)
{
    struct damage *t = ctx;
    uint8_t type = d->data[0];
    struct lab_node *to = from == t->duo.a ? t->duo.b : t->duo.a;
    if (t->inside || t->tried[type] || (t->repaired && !has_mac1(type)))
        return true;
    t->tried[type] = t->inside = true;
    for (size_t at = 0; at < d->len; at++) {
        if (is_mac2(d, at))
            continue;
        for (unsigned bit = 0; bit < (at < 16 ? 8u : 1u); bit++)
            if (!(t->repaired && at == 0)) /* another type has its mac1 elsewhere */
                try_damaged(t, to, d, at, (uint8_t)(1u << (at < 16 ? bit : at % 8)));
    }
    /* Cut and extended. */
    for (unsigned k = 0; k < 4 && !t->repaired; k++) {
        struct lab_datagram copy = *d;
        const size_t lens[4] = {0, 1, d->len - 1, d->len + 1};
        struct duo_state before;
        duo_snapshot(&t->duo, &before);
        copy.data[d->len] = 0;
        lab_deliver(to, &copy.from, copy.data, lens[k]);
        duo_assert_unchanged(&t->duo, &before);
    }
    t->inside = false;
    return true;
}

static void check_damage(bool repaired)
{
    struct damage t = {.repaired = repaired};
    t.duo = duo_new(&(struct duo_config){
        .a = {NO_LOAD}, .b = {NO_LOAD}, .of_a.no_key = true, .of_b.no_key = true});
    t.duo.lab->filter = damage_all;
    t.duo.lab->filter_ctx = &t;
    duo_establish(&t.duo);
    /* Nothing was needed twice: the undamaged ones worked at once. */
    assert_int_equal(t.duo.a->sent[CQ_MSG_INIT], 1);
    assert_int_equal(t.duo.a->sent[CQ_MSG_OFFER], 1);
    assert_true(lab_send_packet(lab_flow(t.duo.b, t.duo.a, 0, 0)));
    lab_run_for(t.duo.lab, SECS(1));
    assert_int_equal(duo_missing(&t.duo), 0);
    for (unsigned type = CQ_MSG_INIT; type <= CQ_MSG_KEY_PUSH; type++)
        assert_true(t.tried[type] || (repaired && !has_mac1((uint8_t)type)));
    assert_true(repaired || (t.tried[CQ_MSG_DATA] && t.tried[CQ_MSG_CONTROL]));
    duo_free(&t.duo);
}

static void test_damage(void **state)
{
    (void)state;
    check_damage(false);
}

static void test_damage_by_one_who_knows_the_id(void **state)
{
    (void)state;
    check_damage(true);
}

/* ---- replay ---- */

/* Everything that both ever sent comes once more, from where it came and from elsewhere. */
static void replay_all(struct duo *duo)
{
    static const struct cq_addr elsewhere = {{CQ_FAMILY_IPV4, {203, 0, 113, 9}}, 999, 0};
    size_t num = duo->lab->num_sent;
    for (size_t i = 0; i < num; i++) {
        const struct lab_datagram *d = duo->lab->sent[i].datagram;
        struct lab_node *to = lab_node_at(duo->lab, &d->to);
        lab_deliver(to, &d->from, d->data, d->len);
        lab_deliver(to, &elsewhere, d->data, d->len);
    }
    assert_int_equal(duo->lab->num_sent, num);
}

static void test_replay_changes_nothing(void **state)
{
    struct duo duo = duo_new(&(struct duo_config){
        .a = {NO_LOAD}, .b = {NO_LOAD}, .of_a.no_key = true, .of_b.no_key = true});
    struct duo_state before;
    (void)state;
    lab_record(duo.lab, true);
    duo_establish(&duo);
    assert_true(lab_send_packet(lab_flow(duo.b, duo.a, 0, 0)));
    lab_run_for(duo.lab, SECS(1));
    /* KEY_REQUEST is answered as often as somebody with its cookie asks. */
    for (size_t i = 0; i < duo.lab->num_sent; i++)
        if (duo.lab->sent[i].datagram->data[0] == CQ_MSG_KEY_REQUEST)
            duo.lab->sent[i].datagram->data[1] = 0;
    duo_snapshot(&duo, &before);
    replay_all(&duo);
    duo_assert_unchanged(&duo, &before);
    assert_true(lab_drops(duo.b, CQ_DROP_REPLAYED_INIT) > 0);
    assert_true(lab_drops(duo.b, CQ_DROP_REPLAYED_RECORD) > 0);
    duo_free(&duo);
}

/* An INIT that is older than what the responder remembers gets a REPLY, and that is all. */
static void test_late_replay_of_init(void **state)
{
    struct duo duo = duo_new(NULL);
    struct duo_state before, after;
    (void)state;
    lab_record(duo.lab, true);
    duo_establish(&duo);
    const struct lab_datagram *d = lab_find_sent(duo.lab, duo.a, CQ_MSG_INIT, 0)->datagram;
    struct lab_datagram init = *d;
    lab_run_for(duo.lab, SECS(238));
    duo_snapshot(&duo, &before);
    lab_deliver(duo.b, &init.from, init.data, init.len);
    duo_assert_unchanged(&duo, &before);
    assert_int_equal(lab_drops(duo.b, CQ_DROP_REPLAYED_INIT), 1);
    lab_run_for(duo.lab, SECS(2));
    duo_snapshot(&duo, &before);
    lab_deliver(duo.b, &init.from, init.data, init.len);
    lab_run_for(duo.lab, SECS(5));
    duo_snapshot(&duo, &after);
    assert_int_equal(after.engine_b.num_pending, 1);
    assert_int_equal(after.sent_b, before.sent_b + 1);
    assert_memory_equal(after.a.sid, before.a.sid, 8);
    assert_memory_equal(after.b.sid, before.b.sid, 8);
    assert_int_equal(after.b.num_sessions, before.b.num_sessions);
    assert_int_equal(lab_drops(duo.a, CQ_DROP_UNKNOWN_INDEX), 1); /* the REPLY */
    lab_run_for(duo.lab, SECS(15));
    assert_int_equal(lab_engine_status(duo.b).num_pending, 0);
    assert_true(lab_send_packet(lab_flow(duo.b, duo.a, 0, 0)));
    lab_run_for(duo.lab, SECS(1));
    assert_int_equal(duo_missing(&duo), 0);
    duo_free(&duo);
}

/* ---- garbage ---- */

static void random_bytes(struct lab_rng *rng, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)lab_rng_next(rng);
}

static struct cq_addr random_address(struct lab_rng *rng)
{
    struct cq_addr addr = {.port = (uint16_t)lab_rng_next(rng)};
    addr.ip.family = lab_rng_below(rng, 2) == 0 ? CQ_FAMILY_IPV4 : CQ_FAMILY_IPV6;
    random_bytes(rng, addr.ip.bytes, cq_ip_len(addr.ip.family));
    return addr;
}

static const size_t exact[] = {0, 1232, 1172, 1220, 1132, 64, 1232, 1224, 1232,
                               0, 0,    0,    0,    0,    0,  0,    80,   35};

/* All types and all lengths, half of them with a right version, a right length and a right mac1. */
static void test_garbage_gets_no_answer(void **state)
{
    struct duo duo = duo_new(&(struct duo_config){.a = {NO_LOAD}, .b = {NO_LOAD}});
    struct lab_rng rng;
    struct duo_state before;
    uint8_t buf[1500];
    (void)state;
    lab_rng_seed(&rng, 77);
    duo_establish(&duo);
    /* And with a handshake of b's pending at a, one of b's own in flight. */
    uint64_t lost = TYPE_BIT(CQ_MSG_REPLY);
    duo.lab->filter = filter_types;
    duo.lab->filter_ctx = &lost;
    lab_rotate(duo.b, duo.a);
    lab_run_for(duo.lab, MS(100));
    duo_snapshot(&duo, &before);
    assert_int_equal(before.engine_a.num_pending, 1);
    for (unsigned i = 0; i < 20000; i++) {
        struct lab_node *to = i % 2 == 0 ? duo.a : duo.b;
        struct cq_addr from = i % 3 == 0 ? to->peers[0].node->address : random_address(&rng);
        size_t len = lab_rng_below(&rng, sizeof(buf));
        random_bytes(&rng, buf, sizeof(buf));
        buf[0] = (uint8_t)lab_rng_below(&rng, i % 5 == 0 ? 256 : 18);
        if (i % 4 >= 2) {
            buf[1] = 1;
            buf[2] = buf[3] = buf[0] == CQ_MSG_INIT ? 3 : 0;
            if (buf[0] < 18 && exact[buf[0]] > 0)
                len = exact[buf[0]];
            if (has_mac1(buf[0]))
                craft_repair_mac1(buf, len, to);
        }
        lab_deliver(to, &from, buf, len);
    }
    duo_assert_unchanged(&duo, &before);
    duo_free(&duo);
}

/* Every short and every long datagram of every type. */
static void test_every_type_and_length(void **state)
{
    struct duo duo = duo_new(NULL);
    struct duo_state before;
    static const uint8_t zeros[1500];
    uint8_t buf[1500];
    (void)state;
    duo_establish(&duo);
    duo_snapshot(&duo, &before);
    for (unsigned type = 0; type < 256; type++)
        for (size_t len = 0; len <= sizeof(buf); len += len < 80 || len > 1120 ? 1 : 97) {
            memcpy(buf, zeros, sizeof(buf));
            buf[0] = (uint8_t)type;
            buf[1] = 1;
            lab_deliver(duo.b, &duo.a->address, buf, len);
        }
    duo_assert_unchanged(&duo, &before);
    duo_free(&duo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_damage_by_one_who_knows_the_id),
        cmocka_unit_test(test_replay_changes_nothing),
        cmocka_unit_test(test_late_replay_of_init),
        cmocka_unit_test(test_garbage_gets_no_answer),
        cmocka_unit_test(test_every_type_and_length),
    };
    return cmocka_run_group_tests_name("sim_damage", tests, NULL, NULL);
}
