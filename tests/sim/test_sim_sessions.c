/*
 * Sessions (docs/protocol.md section 6): confirmation, which one is sent on, expiry to the
 * nanosecond, when a rotation begins, record limits, and early erasure.
 */
#include "duo.h"

#include "base/mem.h"
#include "path/internal.h"
#include "proto/wire.h"

/* ---- both sides send on different sessions ---- */

/* Two handshakes that cross: either side's own one completes last at it, so it sends on that one.
 * However long both are silent then, neither may give up the session that the other sends on. */
static void test_crossed_sessions_survive_silence(void **state)
{
    unsigned crossed = 0;
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        struct duo duo = duo_new(&(struct duo_config){.seed = 500 + i});
        struct lab_flow *ab = lab_flow(duo.a, duo.b, 0, 0);
        struct lab_flow *ba = lab_flow(duo.b, duo.a, 0, 0);
        (void)lab_send_packet(ab);
        (void)lab_send_packet(ba);
        lab_run_for(duo.lab, SECS(2));
        assert_true(lab_are_connected(duo.a, duo.b));
        struct cq_peer_status sa = lab_status(duo.a, duo.b), sb = lab_status(duo.b, duo.a);
        crossed += memcmp(sa.sid, sb.sid, sizeof(sa.sid)) != 0;
        for (unsigned k = 0; k < 8; k++) {
            lab_run_for(duo.lab, SECS(9 + 3 * k));
            assert_true(lab_send_packet(i % 2 == 0 ? ab : ba));
            lab_run_for(duo.lab, SECS(1));
            assert_int_equal(duo_missing(&duo), 0);
        }
        duo_free(&duo);
    }
    assert_true(crossed > 0);
}

/* ---- confirmation ---- */

static bool lose_controls_of_a(void *ctx, const struct lab_node *from, struct lab_datagram *d)
{
    const struct duo *duo = ctx;
    return from != duo->a || d->data[0] < CQ_MSG_DATA;
}

/* The responder sends no DATA before a record under the new keys opened; the initiator sends
 * KEEPALIVEs, at once and then after 0.4, 0.8, ... 5 s, for 30 s. */
static void test_no_data_before_confirmation(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    duo.lab->filter = lose_controls_of_a;
    duo.lab->filter_ctx = &duo;
    lab_record(duo.lab, true);
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, MS(200));
    cq_time accepted = lab_find_sent(duo.lab, duo.b, CQ_MSG_ACCEPT, 0)->when + MS(20);
    assert_true(lab_status(duo.a, duo.b).has_session);
    assert_false(lab_status(duo.b, duo.a).has_session);
    assert_int_equal(lab_status(duo.b, duo.a).num_sessions, 1);
    /* b's packets wait: its own attempt gets through to nobody, since a's answers are handshakes.
     */
    uint64_t lost = TYPE_BIT(CQ_MSG_INIT) | TYPE_BIT(CQ_MSG_CONTROL);
    duo.lab->filter = filter_types;
    duo.lab->filter_ctx = &lost;
    struct lab_flow *flow = lab_flow(duo.b, duo.a, 0, 0);
    lab_run_for(duo.lab, SECS(2));
    assert_false(lab_send_packet(flow));
    lab_run_for(duo.lab, SECS(2));
    assert_int_equal(lab_count_sent(duo.lab, duo.b, CQ_MSG_DATA), 0);
    assert_int_equal(lab_status(duo.b, duo.a).path.num_staged, 1);
    /* What a sent: at 0, 0.4, 1.2, 2.8 s, ... */
    static const cq_time due[] = {0, MS(400), MS(1200), MS(2800)};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(lab_find_sent(duo.lab, duo.a, CQ_MSG_CONTROL, i)->when, accepted + due[i]);
    /* The next one gets through; the packet leaves at that moment, and the record that confirmed is
     * answered. */
    lost = TYPE_BIT(CQ_MSG_INIT);
    lab_run_for(duo.lab, SECS(2) + MS(200));
    const struct lab_sent *confirm = lab_find_sent(duo.lab, duo.a, CQ_MSG_CONTROL, 4);
    assert_int_equal(confirm->when, accepted + SECS(6));
    assert_int_equal(lab_find_sent(duo.lab, duo.b, CQ_MSG_DATA, 0)->when, confirm->when + MS(20));
    assert_int_equal(lab_find_sent(duo.lab, duo.b, CQ_MSG_CONTROL, 0)->when,
                     confirm->when + MS(20));
    assert_int_equal(flow->received, 1);
    /* And a has stopped. */
    size_t num = lab_count_sent(duo.lab, duo.a, CQ_MSG_CONTROL);
    lab_run_for(duo.lab, SECS(4));
    assert_int_equal(lab_count_sent(duo.lab, duo.a, CQ_MSG_CONTROL), num);
    duo_free(&duo);
}

/* Unconfirmed it lives for 30 s from OFFER's verification, and a's KEEPALIVEs end 30 s after
 * ACCEPT. */
static void test_unconfirmed_session_ends(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    duo.lab->filter = lose_controls_of_a;
    duo.lab->filter_ctx = &duo;
    lab_record(duo.lab, true);
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, MS(200));
    cq_time verified = lab_find_sent(duo.lab, duo.b, CQ_MSG_ACCEPT, 0)->when;
    uint64_t lost = TYPE_BIT(CQ_MSG_INIT) | TYPE_BIT(CQ_MSG_CONTROL);
    duo.lab->filter = filter_types;
    duo.lab->filter_ctx = &lost;
    lab_run_until(duo.lab, verified + SECS(30) - 1);
    assert_int_equal(lab_status(duo.b, duo.a).num_sessions, 1);
    lab_run_for(duo.lab, 1);
    assert_int_equal(lab_status(duo.b, duo.a).num_sessions, 0);
    lab_run_for(duo.lab, SECS(60));
    size_t num = lab_count_sent(duo.lab, duo.a, CQ_MSG_CONTROL);
    assert_true(lab_find_sent(duo.lab, duo.a, CQ_MSG_CONTROL, num - 1)->when <=
                verified + MS(20) + SECS(30));
    /* 0, 0.4, 1.2, 2.8, 6, 11, 16, 21, 26 s */
    assert_int_equal(num, 9);
    assert_int_equal(lab_find_sent(duo.lab, duo.a, CQ_MSG_CONTROL, 8)->when,
                     verified + MS(20) + SECS(26));
    duo_free(&duo);
}

/* A confirmation that comes late does not displace a session completed after the one that it
 * confirms. */
static void test_late_confirmation(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    duo_establish(&duo);
    duo.lab->filter = lose_controls_of_a;
    duo.lab->filter_ctx = &duo;
    lab_record(duo.lab, true);
    lab_rotate(duo.a, duo.b); /* this one stays unconfirmed at b */
    lab_run_for(duo.lab, MS(200));
    struct lab_datagram late = *lab_find_sent(duo.lab, duo.a, CQ_MSG_CONTROL, 0)->datagram;
    uint8_t first[8], second[8];
    struct cq_peer_status sb = lab_status(duo.b, duo.a);
    memcpy(first, lab_status(duo.a, duo.b).sid, 8);
    assert_memory_not_equal(sb.sid, first, 8);
    duo.lab->filter = NULL;
    lab_run_for(duo.lab, MS(50));
    lab_rotate(duo.b, duo.a); /* completed later, at both */
    lab_run_for(duo.lab, MS(150));
    memcpy(second, lab_status(duo.b, duo.a).sid, 8);
    assert_memory_not_equal(second, first, 8);
    unsigned sessions = lab_status(duo.b, duo.a).num_sessions;
    lab_deliver(duo.b, &late.from, late.data, late.len);
    assert_memory_equal(lab_status(duo.b, duo.a).sid, second, 8);
    assert_int_equal(lab_status(duo.b, duo.a).num_sessions, sessions);
    (void)lab_send_packet(lab_flow(duo.b, duo.a, 0, 0));
    lab_run_for(duo.lab, SECS(1));
    assert_int_equal(duo_missing(&duo), 0);
    duo_free(&duo);
}

/* Four confirmed sessions at most: a fifth makes the one go that completed first. */
static void test_at_most_four(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    duo_establish(&duo);
    for (unsigned i = 1; i < 12; i++) {
        lab_rotate(i % 2 == 0 ? duo.a : duo.b, i % 2 == 0 ? duo.b : duo.a);
        lab_run_for(duo.lab, MS(500));
        unsigned expected = i + 1 < 4 ? i + 1 : 4;
        assert_int_equal(lab_status(duo.a, duo.b).num_sessions, expected);
        assert_int_equal(lab_status(duo.b, duo.a).num_sessions, expected);
        assert_int_equal(lab_engine_status(duo.a).keys_erased, i + 1 - expected);
        assert_int_equal(lab_status(duo.a, duo.b).completed, i + 1);
        assert_int_equal(lab_status(duo.a, duo.b).rotations, i);
        (void)lab_send_packet(lab_flow(duo.a, duo.b, 0, 0));
        (void)lab_send_packet(lab_flow(duo.b, duo.a, 0, 0));
    }
    lab_run_for(duo.lab, MS(100));
    assert_int_equal(duo_missing(&duo), 0);
    duo_free(&duo);
}

/* ---- erasure ---- */

/* After a rotation the old keys go 10 s after the last record that opened under them. */
static void test_early_erasure(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    duo_establish(&duo);
    lab_run_for(duo.lab, SECS(20));
    (void)lab_send_packet(&duo.a->flows[0]); /* the last record on the old keys, at b */
    lab_run_for(duo.lab, MS(20));
    cq_time last = duo.lab->now;
    lab_run_for(duo.lab, SECS(1));
    lab_rotate(duo.a, duo.b);
    lab_run_until(duo.lab, last + SECS(10) - 1);
    assert_int_equal(lab_status(duo.b, duo.a).num_sessions, 2);
    lab_run_for(duo.lab, 1);
    assert_int_equal(lab_status(duo.b, duo.a).num_sessions, 1);
    duo_free(&duo);
}

/* A record that opens on them puts it off. */
static void test_early_erasure_waits(void **state)
{
    struct duo duo = duo_new(NULL);
    struct lab_datagram held[4];
    (void)state;
    duo_establish(&duo);
    lab_run_for(duo.lab, SECS(20));
    lab_record(duo.lab, true);
    duo.lab->filter = filter_nothing_passes;
    for (unsigned i = 0; i < 4; i++) {
        (void)lab_send_packet(&duo.a->flows[0]);
        held[i] = *lab_find_sent(duo.lab, duo.a, CQ_MSG_DATA, i)->datagram;
    }
    duo.lab->filter = NULL;
    lab_deliver(duo.b, &held[0].from, held[0].data, held[0].len);
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, MS(200));
    assert_true(lab_are_connected(duo.a, duo.b));
    for (unsigned i = 1; i < 4; i++) {
        assert_int_equal(lab_status(duo.b, duo.a).num_sessions, 2);
        lab_deliver(duo.b, &held[i].from, held[i].data, held[i].len);
        lab_run_for(duo.lab, SECS(10) - 1);
        assert_int_equal(lab_status(duo.b, duo.a).num_sessions, 2);
    }
    lab_run_for(duo.lab, 1);
    assert_int_equal(lab_status(duo.b, duo.a).num_sessions, 1);
    assert_int_equal(duo.a->flows[0].received, duo.a->flows[0].sent);
    duo_free(&duo);
}

/* ---- expiry, to the nanosecond ---- */

struct age {
    uint16_t rotate_a, rotate_b, r;
};

static void check_expiry(const struct age *age)
{
    struct duo duo = duo_new(
        &(struct duo_config){.a.rotate_secs = age->rotate_a, .b.rotate_secs = age->rotate_b});
    struct lab_flow *ab = lab_flow(duo.a, duo.b, 0, 0), *ba = lab_flow(duo.b, duo.a, 0, 0);
    lab_record(duo.lab, true);
    duo_establish(&duo);
    cq_time began_a = lab_find_sent(duo.lab, duo.a, CQ_MSG_OFFER, 0)->when;
    cq_time began_b = lab_find_sent(duo.lab, duo.b, CQ_MSG_ACCEPT, 0)->when;
    duo.lab->filter = filter_no_handshakes;
    struct cq_peer_status sa = lab_status(duo.a, duo.b), sb = lab_status(duo.b, duo.a);
    assert_int_equal(sa.began, began_a);
    assert_int_equal(sb.began, began_b);
    assert_int_equal(sa.send_until, began_a + SECS(age->r));
    assert_int_equal(sa.recv_until, began_a + SECS(age->r) + SECS(15));
    assert_int_equal(sb.send_until, began_b + SECS(age->r));
    assert_int_equal(sb.recv_until, began_b + SECS(age->r) + SECS(15));

    /* Sending stops at age R(s), not before and not later. */
    lab_run_until(duo.lab, sa.send_until - 1);
    lab_record(duo.lab, true);
    assert_true(lab_send_packet(ab));
    lab_run_for(duo.lab, 1);
    assert_false(lab_send_packet(ab));
    lab_run_until(duo.lab, sb.send_until - 1);
    assert_true(lab_send_packet(ba));
    struct lab_datagram from_b = *lab_find_sent(duo.lab, duo.b, CQ_MSG_DATA, 0)->datagram;
    assert_true(lab_send_packet(ba));
    struct lab_datagram later = *lab_find_sent(duo.lab, duo.b, CQ_MSG_DATA, 1)->datagram;
    assert_true(lab_send_packet(ba));
    struct lab_datagram other = *lab_find_sent(duo.lab, duo.b, CQ_MSG_DATA, 2)->datagram;
    lab_run_for(duo.lab, 1);
    assert_false(lab_send_packet(ba));
    lab_run_for(duo.lab, SECS(1));
    assert_int_equal(ab->received, ab->sent - 1);
    assert_int_equal(ba->received, ba->sent - 1);
    /* No control record either. */
    lab_record(duo.lab, true);
    uint8_t keepalive[3] = {1, 0, 0};
    lab_send_control(duo.a, duo.b, keepalive, sizeof(keepalive), NULL);
    assert_int_equal(lab_count_sent(duo.lab, duo.a, CQ_MSG_CONTROL), 0);

    /* Opening goes on until R(s) + 15 s; then the keys are gone. (Copies of records are fresh to
     * nobody: a replay is refused as such while the keys live, and as of no known session
     * afterwards.) */
    lab_run_until(duo.lab, sa.recv_until - 1);
    assert_int_equal(lab_status(duo.a, duo.b).num_sessions, 1);
    uint64_t replayed = lab_drops(duo.a, CQ_DROP_REPLAYED_RECORD);
    lab_deliver(duo.a, &from_b.from, from_b.data, from_b.len);
    assert_int_equal(lab_drops(duo.a, CQ_DROP_REPLAYED_RECORD), replayed + 1);
    uint64_t erased = lab_engine_status(duo.a).keys_erased;
    lab_run_for(duo.lab, 1);
    assert_int_equal(lab_status(duo.a, duo.b).num_sessions, 0);
    assert_false(lab_status(duo.a, duo.b).has_session);
    assert_int_equal(lab_engine_status(duo.a).keys_erased, erased + 1);
    assert_int_equal(duo.a->events[CQ_EVENT_SESSION_EXPIRED], 1);
    lab_deliver(duo.a, &later.from, later.data, later.len);
    lab_deliver(duo.a, &other.from, other.data, other.len);
    assert_int_equal(lab_drops(duo.a, CQ_DROP_REPLAYED_RECORD), replayed + 1);
    lab_run_until(duo.lab, sb.recv_until - 1);
    assert_int_equal(lab_status(duo.b, duo.a).num_sessions, 1);
    lab_run_for(duo.lab, 1);
    assert_int_equal(lab_status(duo.b, duo.a).num_sessions, 0);
    duo_free(&duo);
}

static void test_expiry(void **state)
{
    static const struct age ages[] = {{60, 60, 60},    {300, 60, 60},      {60, 3600, 60},
                                      {300, 300, 300}, {3600, 3600, 3600}, {61, 62, 61}};
    (void)state;
    for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]); i++)
        check_expiry(&ages[i]);
}

/* A record that was under way for long opens 1 ns before the keys go, and not at that moment. */
static void test_last_record(void **state)
{
    (void)state;
    for (cq_time after = -1; after <= 0; after++) {
        struct duo duo = duo_new(&(struct duo_config){.a.rotate_secs = 60});
        duo_establish(&duo);
        cq_time until = lab_status(duo.b, duo.a).recv_until;
        duo.lab->filter = filter_nothing_passes;
        lab_record(duo.lab, true);
        struct lab_flow *flow = lab_flow(duo.a, duo.b, 0, 0);
        assert_true(lab_send_packet(flow));
        struct lab_datagram d = *lab_find_sent(duo.lab, duo.a, CQ_MSG_DATA, 0)->datagram;
        lab_run_until(duo.lab, until + after);
        uint64_t received = flow->received;
        lab_deliver(duo.b, &d.from, d.data, d.len);
        assert_int_equal(flow->received, received + (after < 0));
        duo_free(&duo);
    }
}

/* ---- when a rotation begins ---- */

/* The moment of the first INIT of a node after `from`, in seconds before the end of the session. */
static void check_window(uint16_t secs, bool initiator, cq_time low, cq_time high, uint64_t seed)
{
    struct duo duo =
        duo_new(&(struct duo_config){.seed = seed, .a.rotate_secs = secs, .b.rotate_secs = secs});
    duo_establish(&duo);
    struct cq_peer_status sa = lab_status(duo.a, duo.b), sb = lab_status(duo.b, duo.a);
    struct lab_node *rotator = initiator ? duo.a : duo.b, *other = initiator ? duo.b : duo.a;
    cq_time until = initiator ? sa.send_until : sb.send_until;
    /* The other one cannot begin: it sends nothing and what it hears is no DATA. */
    uint64_t lost = TYPE_BIT(CQ_MSG_DATA);
    duo.lab->filter = filter_types;
    duo.lab->filter_ctx = &lost;
    (void)other;
    lab_run_until(duo.lab, until - SECS(52));
    lab_record(duo.lab, true);
    uint64_t completed = lab_status(rotator, other).completed;
    /* Keepalives of the dead-peer kind must not come first: DATA every 10 ms only from here on. */
    struct lab_flow *flow = lab_flow(rotator, other, MS(10), CQ_TIME_NEVER);
    bool dead = false;
    while (lab_count_sent(duo.lab, rotator, CQ_MSG_INIT) == 0 && duo.lab->now < until) {
        lab_run_for(duo.lab, MS(100));
        /* b would hold a for dead after 15 s: let something come back now and then. */
        uint8_t keepalive[3] = {1, 0, 0};
        lab_send_control(other, rotator, keepalive, sizeof(keepalive), NULL);
        dead = dead || rotator->events[CQ_EVENT_PEER_UNREACHABLE] > 0;
    }
    assert_false(dead);
    const struct lab_sent *init = lab_find_sent(duo.lab, rotator, CQ_MSG_INIT, 0);
    assert_non_null(init);
    cq_time before_end = until - init->when;
    if (before_end < low || before_end > high)
        fail_msg("%.3f s before the end", (double)before_end * 1e-9);
    (void)lab_flow(rotator, other, 0, 0);
    lab_run_for(duo.lab, SECS(1));
    assert_int_equal(lab_status(rotator, other).completed, completed + 1);
    assert_true(flow->sent > 0);
    duo_free(&duo);
}

static void test_rotation_windows(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 12; seed++) {
        uint16_t secs = seed % 2 == 0 ? 60 : 300;
        check_window(secs, true, SECS(35) - MS(10), SECS(50), seed);
        check_window(secs, false, SECS(23) - MS(10), SECS(27), seed);
    }
}

/* The whole of the window is used, and each session draws anew. */
static void test_rotation_is_spread(void **state)
{
    cq_time low = CQ_TIME_NEVER, high = 0;
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct duo duo = duo_new(&(struct duo_config){.seed = seed});
        duo_establish(&duo);
        struct cq_peer_status s = lab_status(duo.a, duo.b);
        low = cq_time_min(low, s.send_until - s.rotate_at);
        high = cq_time_max(high, s.send_until - s.rotate_at);
        s = lab_status(duo.b, duo.a);
        assert_true(s.send_until - s.rotate_at >= SECS(23) &&
                    s.send_until - s.rotate_at <= SECS(27));
        duo_free(&duo);
    }
    assert_true(low >= SECS(35) && low < SECS(37));
    assert_true(high <= SECS(50) && high > SECS(48));
}

/* Half of a record limit used up starts a rotation at once; wholly used up, nothing more is sealed.
 */
static void test_record_limit(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    duo_establish(&duo);
    lab_keypair(duo.a, duo.b)->limits.records = 2000;
    struct lab_flow *flow = lab_flow(duo.a, duo.b, MS(10), CQ_TIME_NEVER);
    lab_run_for(duo.lab, SECS(8));
    assert_int_equal(lab_status(duo.a, duo.b).completed, 1);
    lab_run_for(duo.lab, SECS(4));
    assert_int_equal(lab_status(duo.a, duo.b).completed, 2);
    assert_int_equal(flow->staged, 1);

    lab_run_for(duo.lab, SECS(1));
    duo.lab->filter = filter_no_handshakes;
    lab_keypair(duo.a, duo.b)->limits.records = 500;
    lab_run_for(duo.lab, SECS(10));
    assert_true(flow->staged > 100);
    assert_true(cq_relaxed(&lab_keypair(duo.a, duo.b)->lanes[0].seq) <= 500);
    duo_free(&duo);
}

/* Only sessions that carried DATA rotate by time. */
static void test_idle_sessions_do_not_rotate(void **state)
{
    struct duo duo = duo_new(&(struct duo_config){.a.rotate_secs = 60, .b.rotate_secs = 60});
    uint8_t keepalive[3] = {1, 0, 0};
    (void)state;
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, SECS(1));
    assert_true(lab_are_connected(duo.a, duo.b));
    for (unsigned i = 0; i < 50; i++) {
        lab_send_control(duo.a, duo.b, keepalive, sizeof(keepalive), NULL);
        lab_send_control(duo.b, duo.a, keepalive, sizeof(keepalive), NULL);
        lab_run_for(duo.lab, SECS(1));
    }
    assert_int_equal(lab_status(duo.a, duo.b).completed, 1);
    lab_run_for(duo.lab, SECS(60));
    assert_int_equal(lab_status(duo.a, duo.b).completed, 1);
    assert_int_equal(lab_status(duo.a, duo.b).num_sessions, 0);
    assert_int_equal(lab_status(duo.b, duo.a).num_sessions, 0);
    duo_free(&duo);
}

/* Where no new session can be made, traffic stops; and goes on when one can. */
static void test_fail_closed(void **state)
{
    struct duo duo = duo_new(&(struct duo_config){.a.rotate_secs = 60});
    (void)state;
    duo_establish(&duo);
    duo.lab->filter = filter_no_handshakes;
    struct lab_flow *flow = lab_flow(duo.a, duo.b, MS(500), CQ_TIME_NEVER);
    cq_time until = lab_status(duo.a, duo.b).send_until;
    lab_run_for(duo.lab, SECS(200));
    assert_true(flow->last_received <= until + MS(20));
    assert_true(flow->last_received >= until - MS(500));
    assert_int_equal(lab_status(duo.a, duo.b).num_sessions, 0);
    duo.lab->filter = NULL;
    lab_run_for(duo.lab, SECS(10));
    assert_true(lab_are_connected(duo.a, duo.b));
    assert_true(flow->last_received >= duo.lab->now - SECS(1));
    duo_free(&duo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crossed_sessions_survive_silence),
        cmocka_unit_test(test_no_data_before_confirmation),
        cmocka_unit_test(test_unconfirmed_session_ends),
        cmocka_unit_test(test_late_confirmation),
        cmocka_unit_test(test_at_most_four),
        cmocka_unit_test(test_early_erasure),
        cmocka_unit_test(test_early_erasure_waits),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_last_record),
        cmocka_unit_test(test_rotation_windows),
        cmocka_unit_test(test_rotation_is_spread),
        cmocka_unit_test(test_record_limit),
        cmocka_unit_test(test_idle_sessions_do_not_rotate),
        cmocka_unit_test(test_fail_closed),
    };
    return cmocka_run_group_tests_name("sim_sessions", tests, NULL, NULL);
}
