/*
 * A side is thrown away and starts again; how long the service is out is measured in virtual time.
 */
#include "duo.h"

#include "proto/wire.h"

struct restart {
    const char *name;
    bool of_initiator;     /* which side of the session starts again, else the responder */
    bool up, down;         /* traffic: from the side that restarts, from the other one */
    bool knows_no_address; /* the restarted one has no configured address of the other */
    bool keeps_address; /* but kept the last one in its state directory, and rotates after the start
                         */
    cq_time away;       /* how long it is down */
    cq_time at_most;    /* until packets arrive again, after it is up */
};

static const struct restart restarts[] = {
    /* Whoever restarts and has packets needs a handshake: a round trip and a half. */
    {"client restarts, traffic both ways", true, true, true, false, false, MS(500), MS(500)},
    {"server restarts, traffic both ways", false, true, true, false, false, MS(500), MS(500)},
    {"client restarts, its traffic alone", true, true, false, false, false, SECS(60), MS(500)},
    /* Without packets of its own it is the other one that must find out: 15.3 s and a handshake. */
    {"server restarts, the other's traffic alone", false, false, true, false, false, MS(500),
     SECS(16)},
    {"client restarts, the other's traffic alone", true, false, true, false, false, MS(500),
     SECS(16)},
    {"server without the client's address, the client's traffic alone", false, false, true, true,
     false, MS(500), SECS(16)},
    {"server without the client's address, both", false, true, true, true, false, MS(500),
     SECS(16)},
    /* That is what the state directory is for. */
    {"server that kept the client's address", false, false, true, true, true, MS(500), MS(500)},
    {"long absence", false, true, true, false, false, SECS(400), SECS(6)},
    {"long absence, the other's traffic alone", false, false, true, false, false, SECS(400),
     SECS(6)},
};

static void check_restart(const struct restart *r, uint64_t seed)
{
    struct duo_config config = {.seed = seed};
    if (r->knows_no_address)
        config.of_b.no_endpoint = true;
    struct duo duo = duo_new(&config);
    duo_establish(&duo); /* a is the initiator */
    struct lab_node *gone = r->of_initiator ? duo.a : duo.b,
                    *other = r->of_initiator ? duo.b : duo.a;
    struct lab_flow *up = lab_flow(gone, other, r->up ? MS(100) : 0, CQ_TIME_NEVER);
    struct lab_flow *down = lab_flow(other, gone, r->down ? MS(100) : 0, CQ_TIME_NEVER);
    lab_run_for(duo.lab, SECS(30) + (cq_time)seed * MS(777));
    lab_crash(gone);
    lab_run_for(duo.lab, r->away);
    cq_time back = duo.lab->now;
    if (r->keeps_address)
        lab_peer_of(gone, other)->peering.no_endpoint = false;
    assert_true(lab_start(gone));
    if (r->keeps_address)
        lab_rotate(gone, other);
    uint64_t up_before = up->received, down_before = down->received;
    while ((r->up && up->received == up_before) || (r->down && down->received == down_before)) {
        lab_run_for(duo.lab, MS(10));
        if (duo.lab->now > back + r->at_most)
            fail_msg("out for more than %.1f s", (double)r->at_most * 1e-9);
    }
    print_message("# %s: %.2f s\n", r->name, (double)(duo.lab->now - back) * 1e-9);
    /* And then without a gap. */
    uint64_t staged = up->staged + down->staged;
    lab_run_for(duo.lab, SECS(30));
    assert_int_equal(up->staged + down->staged, staged);
    up_before = lab_flow_missing(up);
    down_before = lab_flow_missing(down);
    lab_run_for(duo.lab, SECS(300));
    (void)lab_flow(gone, other, 0, 0);
    (void)lab_flow(other, gone, 0, 0);
    lab_run_for(duo.lab, MS(100));
    assert_true(lab_flow_missing(up) <= up_before);
    assert_true(lab_flow_missing(down) <= down_before);
    duo_free(&duo);
}

static void test_restarts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(restarts) / sizeof(restarts[0]); i++)
        for (uint64_t seed = 0; seed < 4; seed++)
            check_restart(&restarts[i], seed);
}

/* Both at once. */
static void test_both_restart(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct duo duo = duo_new(&(struct duo_config){.seed = seed});
        duo_establish(&duo);
        struct lab_flow *ab = lab_flow(duo.a, duo.b, MS(100), CQ_TIME_NEVER);
        struct lab_flow *ba = lab_flow(duo.b, duo.a, MS(100), CQ_TIME_NEVER);
        lab_run_for(duo.lab, SECS(10));
        lab_crash(duo.a);
        lab_crash(duo.b);
        lab_run_for(duo.lab, SECS(1));
        assert_true(lab_start(duo.a));
        assert_true(lab_start(duo.b));
        uint64_t before_ab = ab->received, before_ba = ba->received;
        lab_run_for(duo.lab, SECS(1));
        assert_true(ab->received > before_ab);
        assert_true(ba->received > before_ba);
        duo_free(&duo);
    }
}

/* An orderly end: CLOSE on every session, so the other side does not go on sending into the void.
 */
static void test_shutdown(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    duo_establish(&duo);
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, SECS(1));
    assert_int_equal(lab_status(duo.b, duo.a).num_sessions, 2);
    cq_engine_shutdown(duo.a->engine, duo.lab->now);
    lab_settle(duo.a);
    lab_crash(duo.a);
    lab_run_for(duo.lab, MS(20));
    assert_int_equal(lab_status(duo.b, duo.a).num_sessions, 0);
    assert_int_equal(duo.b->events[CQ_EVENT_SESSION_CLOSED], 2);
    duo_free(&duo);
}

/* After a wipe (snapshot, clone) nothing of before is left, and traffic goes on with a new
 * handshake. */
static void test_wipe(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    duo_establish(&duo);
    lab_rotate(duo.a, duo.b);
    cq_engine_wipe(duo.a->engine, duo.lab->now);
    lab_settle(duo.a);
    assert_int_equal(lab_status(duo.a, duo.b).num_sessions, 0);
    assert_false(lab_status(duo.a, duo.b).handshaking);
    assert_int_equal(lab_engine_status(duo.a).num_pending, 0);
    assert_int_equal(cq_engine_next_expiry(duo.a->engine), CQ_TIME_NEVER);
    assert_false(lab_send_packet(&duo.a->flows[0]));
    lab_run_for(duo.lab, SECS(2));
    assert_true(lab_are_connected(duo.a, duo.b));
    assert_int_equal(duo_missing(&duo), 0);
    duo_free(&duo);
}

/* A removed peer is a stranger: nothing of it is answered, and its numbers may be given to another.
 */
static void test_removed_peer(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    duo_establish(&duo);
    assert_int_equal(
        cq_engine_remove_peer(duo.b->engine, lab_peer_of(duo.b, duo.a)->number, duo.lab->now),
        CQ_OK);
    duo.b->num_peers = 0;
    lab_settle(duo.b);
    assert_int_equal(lab_engine_status(duo.b).num_peers, 0);
    assert_int_equal(lab_engine_status(duo.b).num_sessions, 0);
    lab_record(duo.lab, true);
    struct lab_flow *flow = lab_flow(duo.a, duo.b, SECS(1), duo.lab->now + SECS(60));
    uint64_t received = flow->received;
    lab_run_for(duo.lab, SECS(60));
    assert_int_equal(flow->received, received);
    assert_int_equal(lab_count_sent(duo.lab, duo.b, CQ_MSG_REPLY), 0);
    assert_true(lab_drops(duo.b, CQ_DROP_UNKNOWN_PEER) > 0);
    lab_add_peer(duo.b, duo.a, NULL);
    lab_run_for(duo.lab, SECS(10));
    (void)lab_send_packet(flow);
    lab_run_for(duo.lab, SECS(10));
    assert_true(flow->received > received);
    duo_free(&duo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_restarts),     cmocka_unit_test(test_both_restart),
        cmocka_unit_test(test_shutdown),     cmocka_unit_test(test_wipe),
        cmocka_unit_test(test_removed_peer),
    };
    return cmocka_run_group_tests_name("sim_restart", tests, NULL, NULL);
}
