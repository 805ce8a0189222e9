/*
 * Rules of sessions, addresses and liveness (docs/protocol.md sections 5 and 6) that no other
 * program of this folder holds the nodes to, one by one: each of these tests fails with a certain
 * mutant of tests/mutants. Rules of handshakes are in test_sim_rules.c.
 */
#include "duo.h"

#include "path/internal.h"
#include "proto/control.h"
#include "proto/wire.h"

static const struct cq_addr elsewhere = {{CQ_FAMILY_IPV4, {203, 0, 113, 9}}, 999, 0};
static const struct cq_addr third = {{CQ_FAMILY_IPV4, {203, 0, 113, 10}}, 999, 0};

/* The next packet of the flow, caught on its way. */
static struct lab_datagram catch_packet(struct duo *duo, struct lab_flow *flow)
{
    lab_filter filter = duo->lab->filter;
    duo->lab->filter = filter_nothing_passes;
    lab_record(duo->lab, true);
    assert_true(lab_send_packet(flow));
    duo->lab->filter = filter;
    return *lab_find_sent(duo->lab, flow->from, CQ_MSG_DATA, 0)->datagram;
}

static void deliver(struct lab_node *to, const struct lab_datagram *d)
{
    lab_deliver(to, &d->from, d->data, d->len);
}

/* ---- keys that should be gone ---- */

/* What erases a session takes its keys out of the packet path: a record that was on its way opens
 * no more, and its memory is given back. */
static void test_erased_keys_open_nothing(void **state)
{
    uint8_t close[] = {CQ_CONTROL_CLOSE, 0, 1, CQ_CLOSE_SHUTDOWN};
    (void)state;
    for (unsigned early = 0; early < 2; early++) {
        struct duo duo = duo_new(NULL);
        duo_establish(&duo);
        struct lab_flow *flow = &duo.a->flows[0];
        struct lab_datagram caught = catch_packet(&duo, flow);
        long live = duo.lab->memory.live;
        if (early == 1) {
            lab_rotate(duo.a, duo.b);
            lab_run_for(duo.lab, SECS(20));
            assert_int_equal(lab_status(duo.b, duo.a).num_sessions, 1);
            assert_int_equal(duo.lab->memory.live, live);
        } else {
            lab_send_control(duo.a, duo.b, close, sizeof(close), NULL);
            lab_run_for(duo.lab, MS(50));
            assert_int_equal(lab_status(duo.b, duo.a).num_sessions, 0);
            assert_true(duo.lab->memory.live < live);
        }
        uint64_t received = flow->received, unknown = lab_drops(duo.b, CQ_DROP_UNKNOWN_INDEX);
        deliver(duo.b, &caught);
        assert_int_equal(flow->received, received);
        assert_int_equal(lab_drops(duo.b, CQ_DROP_UNKNOWN_INDEX), unknown + 1);
        duo_free(&duo);
    }
}

/* CLOSE ends the session that carried it, and no other one. */
static void test_close_ends_one_session(void **state)
{
    struct duo duo = duo_new(NULL);
    uint8_t close[] = {CQ_CONTROL_CLOSE, 0, 1, 77}; /* whatever the reason */
    uint8_t first[8], second[8];
    (void)state;
    duo_establish(&duo);
    memcpy(first, lab_status(duo.a, duo.b).sid, 8);
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, SECS(1));
    memcpy(second, lab_status(duo.b, duo.a).sid, 8);
    assert_memory_not_equal(first, second, 8);
    assert_int_equal(lab_status(duo.b, duo.a).num_sessions, 2);
    lab_send_control(duo.a, duo.b, close, sizeof(close), NULL);
    lab_run_for(duo.lab, MS(50));
    assert_int_equal(lab_status(duo.b, duo.a).num_sessions, 1);
    assert_memory_equal(lab_status(duo.b, duo.a).sid, first, 8);
    duo_free(&duo);
}

/* A session ends at 2^36 failed tags. */
static void test_failed_tags_erase(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    duo_establish(&duo);
    struct lab_datagram bad = catch_packet(&duo, &duo.a->flows[0]);
    bad.data[40] ^= 1;
    atomic_store(&lab_keypair(duo.b, duo.a)->failed_tags, CQ_RECORD_MAX_FAILED_TAGS - 2);
    deliver(duo.b, &bad);
    assert_int_equal(lab_status(duo.b, duo.a).num_sessions, 1);
    deliver(duo.b, &bad);
    assert_int_equal(lab_drops(duo.b, CQ_DROP_BAD_TAG), 2);
    assert_int_equal(lab_status(duo.b, duo.a).num_sessions, 0);
    deliver(duo.b, &bad);
    assert_int_equal(lab_drops(duo.b, CQ_DROP_UNKNOWN_INDEX), 1);
    duo_free(&duo);
}

/* ---- counters ---- */

/* A session that is sent on again, since the newer one was closed, goes on counting: no counter is
 * used twice under one key. */
static void test_counters_go_on(void **state)
{
    struct duo duo = duo_new(NULL);
    uint8_t close[] = {CQ_CONTROL_CLOSE, 0, 1, CQ_CLOSE_SHUTDOWN};
    (void)state;
    duo_establish(&duo);
    struct lab_flow *flow = &duo.a->flows[0];
    for (unsigned i = 0; i < 200; i++)
        assert_true(lab_send_packet(flow));
    lab_run_for(duo.lab, SECS(1));
    struct cq_keypair *keypair = lab_keypair(duo.a, duo.b);
    uint64_t used = cq_relaxed(&keypair->lanes[0].seq);
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, SECS(1));
    assert_ptr_not_equal(lab_keypair(duo.a, duo.b), keypair);
    lab_send_control(duo.b, duo.a, close, sizeof(close), NULL);
    lab_send_control(duo.a, duo.b, close, sizeof(close), NULL);
    lab_run_for(duo.lab, MS(100));
    assert_ptr_equal(lab_keypair(duo.a, duo.b), keypair);
    assert_true(cq_relaxed(&keypair->lanes[0].seq) >= used);
    for (unsigned i = 0; i < 200; i++)
        assert_true(lab_send_packet(flow));
    lab_run_for(duo.lab, SECS(1));
    assert_int_equal(duo_missing(&duo), 0);
    assert_int_equal(lab_drops(duo.b, CQ_DROP_REPLAYED_RECORD), 0);
    duo_free(&duo);
}

/* The window of lane 0 has 65,536 records, so much may be overtaken. */
static void test_width_of_the_window(void **state)
{
    (void)state;
    for (unsigned outside = 0; outside < 2; outside++) {
        struct duo duo = duo_new(NULL);
        duo_establish(&duo);
        struct lab_flow *flow = &duo.a->flows[0];
        struct lab_datagram late = catch_packet(&duo, flow);
        struct cq_keypair *keypair = lab_keypair(duo.a, duo.b);
        atomic_fetch_add(&keypair->lanes[0].seq, 65534 + outside);
        assert_true(lab_send_packet(flow));
        lab_run_for(duo.lab, MS(100));
        uint64_t received = flow->received;
        deliver(duo.b, &late);
        assert_int_equal(flow->received, received + (outside == 0));
        assert_int_equal(lab_drops(duo.b, CQ_DROP_REPLAYED_RECORD), outside);
        duo_free(&duo);
    }
}

/* ---- rotation ---- */

/* A rotation that could not begin is asked for again by the next DATA, a second later. */
static void test_rotation_is_asked_for_again(void **state)
{
    struct duo duo = duo_new(&(struct duo_config){.a.rotate_secs = 60, .b.rotate_secs = 60});
    (void)state;
    duo_establish(&duo);
    cq_time due = lab_status(duo.a, duo.b).rotate_at;
    (void)lab_flow(duo.a, duo.b, MS(100), CQ_TIME_NEVER);
    lab_run_until(duo.lab, due - 1);
    duo.lab->memory.countdown = 0; /* no memory for the attempt */
    lab_run_for(duo.lab, MS(200));
    assert_true(duo.lab->memory.failed);
    assert_false(lab_status(duo.a, duo.b).handshaking);
    lab_run_for(duo.lab, SECS(2));
    assert_int_equal(lab_status(duo.a, duo.b).completed, 2);
    duo_free(&duo);
}

/* The same where a limit is half used up and the handshake that it started came to nothing. */
static void test_limit_is_asked_for_again(void **state)
{
    struct duo duo = duo_new(&(struct duo_config){.a.rotate_secs = 3600, .b.rotate_secs = 3600});
    (void)state;
    duo_establish(&duo);
    lab_keypair(duo.a, duo.b)->limits.records = 20000;
    atomic_store(&lab_keypair(duo.a, duo.b)->reserved, 10000);
    duo.lab->filter = filter_no_handshakes;
    struct lab_flow *flow = lab_flow(duo.a, duo.b, MS(100), CQ_TIME_NEVER);
    (void)lab_flow(duo.b, duo.a, SECS(1), CQ_TIME_NEVER);
    lab_run_for(duo.lab, SECS(89));
    assert_true(lab_status(duo.a, duo.b).handshaking);
    lab_run_for(duo.lab, SECS(9));
    assert_int_equal(lab_status(duo.a, duo.b).failed, 1);
    duo.lab->filter = NULL;
    lab_run_for(duo.lab, SECS(10));
    assert_int_equal(lab_status(duo.a, duo.b).completed, 2);
    assert_int_equal(flow->staged, 1); /* the very first packet: the limit itself was not met */
    duo_free(&duo);
}

/* Records that open on a session that has been replaced start no rotation. */
static void test_old_session_does_not_rotate(void **state)
{
    struct duo duo = duo_new(&(struct duo_config){.a.rotate_secs = 60, .b.rotate_secs = 60});
    struct lab_datagram caught[12];
    (void)state;
    duo_establish(&duo);
    lab_run_for(duo.lab, SECS(20));
    cq_time due = lab_status(duo.b, duo.a).rotate_at;
    for (unsigned i = 0; i < 12; i++)
        caught[i] = catch_packet(&duo, &duo.a->flows[0]);
    (void)lab_send_packet(&duo.a->flows[0]); /* or the old session is gone at once */
    lab_run_for(duo.lab, MS(100));
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, SECS(1));
    uint64_t completed = lab_status(duo.b, duo.a).completed;
    assert_true(lab_status(duo.b, duo.a).rotate_at > due + SECS(10));
    for (unsigned i = 0; i < 12; i++) {
        assert_int_equal(lab_status(duo.b, duo.a).num_sessions, 2);
        deliver(duo.b, &caught[i]);
        lab_run_for(duo.lab, SECS(2));
    }
    assert_true(duo.lab->now > due);
    assert_int_equal(duo.b->sent[CQ_MSG_INIT], 0);
    assert_int_equal(lab_status(duo.b, duo.a).completed, completed);
    duo_free(&duo);
}

/* ---- addresses ---- */

static bool lose_controls_of(void *ctx, const struct lab_node *from, struct lab_datagram *d)
{
    return from != ctx || d->data[0] != CQ_MSG_CONTROL;
}

static void assert_address(const struct lab_node *node, const struct lab_node *other,
                           const struct cq_addr *expected)
{
    struct cq_peer_status status = lab_status(node, other);
    assert_true(cq_addr_equal(&status.endpoint, expected));
}

/* The late confirmation of a session that is not the newest tells no address. */
static void test_late_confirmation_tells_no_address(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    duo_establish(&duo);
    duo.lab->filter = lose_controls_of;
    duo.lab->filter_ctx = duo.a;
    lab_record(duo.lab, true);
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, MS(200));
    struct lab_datagram late = *lab_find_sent(duo.lab, duo.a, CQ_MSG_CONTROL, 0)->datagram;
    duo.lab->filter = NULL;
    lab_run_for(duo.lab, MS(50));
    lab_rotate(duo.b, duo.a);
    lab_run_for(duo.lab, MS(150));
    uint64_t completed = lab_status(duo.b, duo.a).completed;
    late.from = elsewhere;
    deliver(duo.b, &late);
    assert_int_equal(lab_status(duo.b, duo.a).completed, completed + 1);
    assert_address(duo.b, duo.a, &duo.a->address);
    duo_free(&duo);
}

/* Whoever writes his own records, with counters above all others, moves nobody. */
static void test_forged_record_moves_nobody(void **state)
{
    struct duo duo = duo_new(NULL);
    struct duo_state before;
    (void)state;
    duo_establish(&duo);
    struct lab_datagram forged = catch_packet(&duo, &duo.a->flows[0]);
    forged.from = elsewhere;
    for (unsigned byte = 10; byte < 30; byte++) { /* the counter, and what is sealed */
        struct lab_datagram d = forged;
        d.data[byte] ^= 0x40;
        duo_snapshot(&duo, &before);
        deliver(duo.b, &d);
        duo_assert_unchanged(&duo, &before);
    }
    assert_int_equal(lab_drops(duo.b, CQ_DROP_BAD_TAG), 20);
    assert_address(duo.b, duo.a, &duo.a->address);
    duo_free(&duo);
}

/* b tries a new address of a's; tokens are those of the two PINGs. */
struct trial {
    struct duo duo;
    uint8_t pong_new[11], pong_old[11];
};

static const struct lab_datagram *last_ping(const struct duo *duo, const struct cq_addr *to)
{
    const struct lab_datagram *found = NULL, *d;
    for (size_t i = 0; i < duo->lab->num_sent; i++) {
        d = duo->lab->sent[i].datagram;
        if (d->data[0] == CQ_MSG_CONTROL && cq_addr_equal(&d->to, to) &&
            cq_addr_equal(&d->from, &duo->b->address))
            found = d;
    }
    return found;
}

/* The plaintext of a PING that b sent to a, as PONG: opened with the keys of a's session. */
static void make_pong(const struct duo *duo, const struct lab_datagram *ping, uint8_t out[11])
{
    struct cq_keypair *keypair = lab_keypair(duo->a, duo->b);
    struct cq_record record;
    assert_non_null(ping);
    assert_int_equal(ping->len, CQ_RECORD_OVERHEAD + 11);
    assert_int_equal(cq_record_read(&record, ping->data, ping->len), CQ_DROP_NONE);
    struct cq_aead_op op = {.ad = ping->data,
                            .ad_len = CQ_RECORD_HEADER_LEN,
                            .in = ping->data + CQ_RECORD_HEADER_LEN,
                            .out = out,
                            .len = 11,
                            .tag = (uint8_t *)(uintptr_t)ping->data + CQ_RECORD_HEADER_LEN + 11};
    cq_record_nonce(op.nonce, keypair->recv_iv, record.counter);
    assert_int_equal(cq_aead_open_batch(keypair->lanes[0].open, &op, 1), CQ_OK);
    assert_int_equal(out[0], CQ_CONTROL_PING);
    out[0] = CQ_CONTROL_PONG;
}

static struct trial begin_trial(void)
{
    struct trial t = {.duo = duo_new(NULL)};
    duo_establish(&t.duo);
    lab_run_for(t.duo.lab, SECS(20));
    struct lab_datagram moved = catch_packet(&t.duo, &t.duo.a->flows[0]);
    moved.from = elsewhere;
    t.duo.lab->filter = filter_nothing_passes;
    lab_record(t.duo.lab, true);
    deliver(t.duo.b, &moved);
    assert_address(t.duo.b, t.duo.a, &elsewhere);
    make_pong(&t.duo, last_ping(&t.duo, &elsewhere), t.pong_new);
    make_pong(&t.duo, last_ping(&t.duo, &t.duo.a->address), t.pong_old);
    return t;
}

/* A control record of a's arrives at b from that address. */
static void send_from(struct duo *duo, const uint8_t *tlvs, uint16_t len,
                      const struct cq_addr *from)
{
    size_t at = duo->lab->num_sent;
    lab_send_control(duo->a, duo->b, tlvs, len, NULL);
    struct lab_datagram d = *duo->lab->sent[at].datagram;
    d.from = *from;
    deliver(duo->b, &d);
}

static bool is_proven(const struct trial *t)
{
    return t->duo.b->events[CQ_EVENT_ENDPOINT_CHANGED] > 0;
}

/* An address is proven by its own token, from itself. */
static void test_what_proves_an_address(void **state)
{
    (void)state;
    struct trial t = begin_trial();
    assert_memory_not_equal(t.pong_new, t.pong_old, 11);
    send_from(&t.duo, t.pong_old, 11, &elsewhere); /* the other one's token */
    assert_false(is_proven(&t));
    uint8_t wrong[11];
    memcpy(wrong, t.pong_new, 11);
    wrong[10] ^= 1;
    send_from(&t.duo, wrong, 11, &elsewhere);
    assert_false(is_proven(&t));
    send_from(&t.duo, t.pong_new, 11, &elsewhere);
    assert_true(is_proven(&t));
    assert_address(t.duo.b, t.duo.a, &elsewhere);
    duo_free(&t.duo);

    /* With the token of the new address, but from the previous one: that settles the previous one.
     */
    t = begin_trial();
    send_from(&t.duo, t.pong_new, 11, &t.duo.a->address);
    assert_false(is_proven(&t));
    assert_address(t.duo.b, t.duo.a, &t.duo.a->address);
    duo_free(&t.duo);
}

/* A packet of a's arrives at b from that address. */
static void arrive_from(struct duo *duo, const struct cq_addr *from)
{
    struct lab_datagram d = catch_packet(duo, &duo->a->flows[0]);
    d.from = *from;
    lab_record(duo->lab, true);
    deliver(duo->b, &d);
}

/* The PONG of the previous address counts for nothing once the new one is proven: above all it bars
 * nobody. */
static void test_pong_after_the_proof(void **state)
{
    uint8_t pong_new[11], pong_old[11];
    (void)state;
    struct trial t = begin_trial();
    arrive_from(&t.duo, &t.duo.a->address); /* elsewhere is turned down, and not barred */
    assert_address(t.duo.b, t.duo.a, &t.duo.a->address);
    arrive_from(&t.duo, &third);
    make_pong(&t.duo, last_ping(&t.duo, &third), pong_new);
    make_pong(&t.duo, last_ping(&t.duo, &t.duo.a->address), pong_old);
    send_from(&t.duo, pong_new, 11, &third);
    assert_true(is_proven(&t));
    send_from(&t.duo, pong_old, 11, &third);
    assert_address(t.duo.b, t.duo.a, &third);
    arrive_from(&t.duo, &elsewhere);
    assert_address(t.duo.b, t.duo.a, &elsewhere);
    duo_free(&t.duo);
}

/* Each trial has tokens that cannot be known beforehand. */
static void test_tokens_are_fresh(void **state)
{
    uint8_t pong[11];
    (void)state;
    struct trial t = begin_trial();
    arrive_from(&t.duo, &third);
    make_pong(&t.duo, last_ping(&t.duo, &third), pong);
    assert_memory_not_equal(pong, t.pong_new, 11);
    make_pong(&t.duo, last_ping(&t.duo, &t.duo.a->address), pong);
    assert_memory_not_equal(pong, t.pong_old, 11);
    duo_free(&t.duo);
}

/* PONG goes where the PING came from, on the session on which it came. */
static void test_pong_goes_back(void **state)
{
    struct duo duo = duo_new(NULL);
    uint8_t ping[11] = {CQ_CONTROL_PING, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8};
    (void)state;
    duo_establish(&duo);
    lab_run_for(duo.lab, SECS(2));
    duo.lab->filter = filter_nothing_passes;
    lab_record(duo.lab, true);
    lab_send_control(duo.a, duo.b, ping, sizeof(ping), NULL);
    struct lab_datagram first = *lab_find_sent(duo.lab, duo.a, CQ_MSG_CONTROL, 0)->datagram;
    duo.lab->filter = NULL;
    uint32_t old_idx = lab_keypair(duo.a, duo.b)->local_idx;
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, SECS(1));
    assert_int_not_equal(lab_keypair(duo.a, duo.b)->local_idx, old_idx);
    lab_record(duo.lab, true);
    first.from = elsewhere;
    deliver(duo.b, &first);
    assert_int_equal(duo.lab->num_sent, 1);
    const struct lab_datagram *pong = duo.lab->sent[0].datagram;
    struct cq_record record;
    assert_true(cq_addr_equal(&pong->to, &elsewhere));
    assert_int_equal(cq_record_read(&record, pong->data, pong->len), CQ_DROP_NONE);
    assert_int_equal(record.receiver, old_idx);
    assert_address(duo.b, duo.a, &duo.a->address);
    duo_free(&duo);
}

/* ---- liveness ---- */

/* As long as DATA goes out and nothing comes back, a handshake is tried every 15 s. */
static void test_dead_peer_is_tried_again(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    duo_establish(&duo);
    lab_run_for(duo.lab, SECS(10));
    duo.lab->filter = filter_nothing_passes;
    lab_record(duo.lab, true);
    cq_time start = duo.lab->now;
    (void)lab_flow(duo.a, duo.b, SECS(1), CQ_TIME_NEVER);
    /* The first attempt lasts until it is given up; then the next one comes within 15 s. */
    lab_run_for(duo.lab, SECS(15) + MS(300) + SECS(90));
    assert_int_equal(lab_status(duo.a, duo.b).failed, 1);
    assert_int_equal(duo.a->events[CQ_EVENT_HANDSHAKE_STARTED], 2);
    lab_run_for(duo.lab, SECS(15));
    assert_int_equal(duo.a->events[CQ_EVENT_HANDSHAKE_STARTED], 3);
    assert_int_equal(duo.a->events[CQ_EVENT_PEER_UNREACHABLE], 2);
    assert_true(duo.lab->now < start + SECS(250)); /* and not because the session ended */
    assert_true(lab_status(duo.a, duo.b).has_session);
    duo_free(&duo);
}

/* An own session whose confirmation is not answered counts as a peer that is gone, without DATA. */
static void test_unanswered_confirmation(void **state)
{
    struct duo duo = duo_new(NULL);
    uint64_t lost = TYPE_BIT(CQ_MSG_CONTROL);
    (void)state;
    duo.lab->filter = filter_types;
    duo.lab->filter_ctx = &lost;
    lab_record(duo.lab, true);
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, SECS(1));
    assert_true(lab_status(duo.a, duo.b).has_session);
    cq_time accepted = lab_find_sent(duo.lab, duo.a, CQ_MSG_CONTROL, 0)->when;
    lab_run_until(duo.lab, accepted + SECS(15) - 1);
    assert_int_equal(duo.a->sent[CQ_MSG_INIT], 1);
    lab_run_for(duo.lab, MS(400));
    assert_int_equal(duo.a->sent[CQ_MSG_INIT], 2);
    assert_int_equal(duo.a->events[CQ_EVENT_PEER_UNREACHABLE], 1);
    duo_free(&duo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_erased_keys_open_nothing),
        cmocka_unit_test(test_close_ends_one_session),
        cmocka_unit_test(test_failed_tags_erase),
        cmocka_unit_test(test_counters_go_on),
        cmocka_unit_test(test_width_of_the_window),
        cmocka_unit_test(test_rotation_is_asked_for_again),
        cmocka_unit_test(test_limit_is_asked_for_again),
        cmocka_unit_test(test_old_session_does_not_rotate),
        cmocka_unit_test(test_late_confirmation_tells_no_address),
        cmocka_unit_test(test_forged_record_moves_nobody),
        cmocka_unit_test(test_what_proves_an_address),
        cmocka_unit_test(test_pong_after_the_proof),
        cmocka_unit_test(test_tokens_are_fresh),
        cmocka_unit_test(test_pong_goes_back),
        cmocka_unit_test(test_dead_peer_is_tried_again),
        cmocka_unit_test(test_unanswered_confirmation),
    };
    return cmocka_run_group_tests_name("sim_upkeep", tests, NULL, NULL);
}
