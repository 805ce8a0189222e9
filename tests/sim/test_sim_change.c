/*
 * Changes of a running node (engine/change.c): peers that come, go and are changed under traffic,
 * allowed IPs that move, another identity. Whoever is not concerned notices nothing.
 */
#include "duo.h"

#include "path/internal.h"
#include "proto/control.h"
#include "proto/wire.h"

/* Both directions between a and b, a packet every 5 ms. */
static void start_traffic(struct duo *duo)
{
    duo_establish(duo);
    lab_flow(duo->a, duo->b, MS(5), duo->lab->now + SECS(1000));
    lab_flow(duo->b, duo->a, MS(5), duo->lab->now + SECS(1000));
    lab_run_for(duo->lab, MS(500));
}

/* What is on its way arrives; then nothing may be missing. */
static void assert_nothing_lost(struct duo *duo)
{
    lab_flow(duo->a, duo->b, MS(5), duo->lab->now);
    lab_flow(duo->b, duo->a, MS(5), duo->lab->now);
    lab_run_for(duo->lab, SECS(1));
    assert_int_equal(duo_missing(duo), 0);
    assert_true(duo->a->flows[0].received > 100 && duo->b->flows[0].received > 100);
}

static uint32_t number_of(struct lab_node *node, const struct lab_node *other)
{
    return lab_peer_of(node, other)->number;
}

static void remove_peer(struct lab_node *node, const struct lab_node *other)
{
    assert_int_equal(cq_engine_remove_peer(node->engine, number_of(node, other), node->lab->now),
                     CQ_OK);
    lab_settle(node);
}

/* ---- a peer goes ---- */

static void test_removal_stops_everything(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    start_traffic(&duo);
    struct lab_flow *out = &duo.a->flows[0], *in = &duo.b->flows[0];
    struct lab_node *a = duo.a, *b = duo.b;
    long live = duo.lab->memory.live;

    lab_record(duo.lab, true);
    remove_peer(a, b);
    /* a: nothing leaves but the farewell, nothing comes in, and its memory is given back. */
    assert_int_equal(lab_count_sent(duo.lab, a, CQ_MSG_CONTROL), 1);
    assert_int_equal(lab_engine_status(a).num_sessions, 0);
    assert_int_equal(lab_engine_status(a).num_peers, 0);
    assert_true(duo.lab->memory.live < live);
    uint64_t received = in->received, no_route = lab_drops(a, CQ_DROP_NO_ROUTE);
    lab_run_for(duo.lab, MS(15)); /* what b sent before it heard */
    assert_int_equal(in->received, received);
    assert_true(lab_drops(a, CQ_DROP_UNKNOWN_INDEX) > 0);
    assert_true(lab_drops(a, CQ_DROP_NO_ROUTE) > no_route);
    assert_int_equal(lab_count_sent(duo.lab, a, CQ_MSG_DATA), 0);
    /* b: it was told why, and its keys are gone as well. */
    lab_run_for(duo.lab, MS(10));
    assert_int_equal(b->last_event[CQ_EVENT_SESSION_CLOSED].close_reason, CQ_CLOSE_REMOVED);
    assert_int_equal(lab_status(b, a).num_sessions, 0);
    /* It asks to come back, and gets no answer. */
    lab_run_for(duo.lab, SECS(5));
    assert_true(lab_count_sent(duo.lab, b, CQ_MSG_INIT) > 0);
    assert_true(lab_drops(a, CQ_DROP_UNKNOWN_PEER) > 0);
    assert_int_equal(lab_count_sent(duo.lab, a, CQ_MSG_REPLY), 0);
    assert_int_equal(in->received, received);
    (void)out;
    duo_free(&duo);
}

/* All sessions are closed, the one that is not confirmed yet with them. */
static void test_removal_closes_every_session(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    duo_establish(&duo);
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, SECS(1));
    assert_int_equal(lab_status(duo.b, duo.a).num_sessions, 2);
    remove_peer(duo.a, duo.b);
    lab_run_for(duo.lab, MS(50));
    assert_int_equal(lab_status(duo.b, duo.a).num_sessions, 0);
    assert_int_equal(duo.b->events[CQ_EVENT_SESSION_CLOSED], 2);
    duo_free(&duo);
}

/* Without memory for the farewell the keys go all the same. */
static void test_removal_without_memory(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    duo_establish(&duo);
    lab_record(duo.lab, true);
    duo.lab->memory.countdown = 0;
    remove_peer(duo.a, duo.b);
    assert_true(duo.lab->memory.failed);
    assert_int_equal(lab_count_sent(duo.lab, duo.a, CQ_MSG_CONTROL), 0);
    assert_int_equal(lab_engine_status(duo.a).num_sessions, 0);
    duo_free(&duo);
}

/* ---- others come and go ---- */

static void test_others_notice_nothing(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    start_traffic(&duo);
    struct cq_peer_status before = lab_status(duo.a, duo.b);
    for (unsigned i = 0; i < 8; i++) {
        struct lab_node *c = lab_add_node(duo.lab, NULL);
        lab_connect(duo.a, NULL, c, NULL);
        lab_flow(c, duo.a, MS(7), duo.lab->now + MS(400));
        lab_run_for(duo.lab, MS(500));
        assert_true(lab_are_connected(duo.a, c));
        uint32_t number = number_of(duo.a, c);
        remove_peer(duo.a, c);
        assert_true(number != number_of(duo.a, duo.b));
        lab_run_for(duo.lab, MS(200));
        assert_false(lab_status(c, duo.a).has_session);
    }
    assert_memory_equal(lab_status(duo.a, duo.b).sid, before.sid, sizeof(before.sid));
    assert_nothing_lost(&duo);
    duo_free(&duo);
}

/* ---- a peer is changed ---- */

static void update(struct lab_node *node, const struct lab_node *other, unsigned what,
                   const struct cq_peer_config *config)
{
    assert_int_equal(
        cq_engine_update_peer(node->engine, number_of(node, other), what, config, node->lab->now),
        CQ_OK);
    lab_settle(node);
}

static void test_another_psk_ends_sessions(void **state)
{
    struct duo duo = duo_new(NULL);
    struct cq_peer_config config = {.psk = {1, 2, 3}};
    (void)state;
    duo_establish(&duo);
    update(duo.a, duo.b, CQ_CHANGE_PSK, &config);
    lab_run_for(duo.lab, MS(50));
    assert_int_equal(lab_status(duo.a, duo.b).num_sessions, 0);
    assert_int_equal(lab_status(duo.b, duo.a).num_sessions, 0);
    assert_int_equal(duo.b->last_event[CQ_EVENT_SESSION_CLOSED].close_reason,
                     CQ_CLOSE_KEY_LIFETIME);
    assert_true(lab_status(duo.a, duo.b).has_psk);
    /* One side alone has it: no session. */
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, SECS(3));
    assert_false(lab_are_connected(duo.a, duo.b));
    update(duo.b, duo.a, CQ_CHANGE_PSK, &config);
    lab_run_for(duo.lab, SECS(20));
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, SECS(3));
    assert_true(lab_are_connected(duo.a, duo.b));
    /* The same one again is no change. */
    uint64_t erased = lab_engine_status(duo.a).keys_erased;
    update(duo.a, duo.b, CQ_CHANGE_PSK, &config);
    assert_int_equal(lab_engine_status(duo.a).keys_erased, erased);
    duo_free(&duo);
}

static void test_the_rest_keeps_sessions(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    start_traffic(&duo);
    struct cq_peer_status before = lab_status(duo.a, duo.b);
    struct cq_peer_config config = {.persistent_keepalive = 25, .endpoint = duo.b->address};
    update(duo.a, duo.b, CQ_CHANGE_KEEPALIVE | CQ_CHANGE_ENDPOINT, &config);
    lab_run_for(duo.lab, SECS(1));
    config.persistent_keepalive = 0;
    config.endpoint = (struct cq_addr){0};
    update(duo.a, duo.b, CQ_CHANGE_KEEPALIVE | CQ_CHANGE_ENDPOINT, &config);
    lab_run_for(duo.lab, SECS(1));
    struct cq_peer_status after = lab_status(duo.a, duo.b);
    assert_memory_equal(after.sid, before.sid, sizeof(before.sid));
    assert_int_equal(after.persistent_keepalive, 0);
    assert_true(cq_addr_equal(&after.endpoint, &duo.b->address));
    assert_nothing_lost(&duo);
    duo_free(&duo);
}

/* An endpoint is used at once, for DATA as well, and corrected by the peer's next record. */
static void test_an_endpoint_is_used_at_once(void **state)
{
    struct duo duo = duo_new(NULL);
    struct cq_peer_config config = {.endpoint = {{CQ_FAMILY_IPV4, {203, 0, 113, 9}}, 999, 0}};
    (void)state;
    duo_establish(&duo);
    lab_record(duo.lab, true);
    update(duo.a, duo.b, CQ_CHANGE_ENDPOINT, &config);
    assert_true(lab_send_packet(lab_flow(duo.a, duo.b, 0, 0)));
    const struct lab_sent *sent = lab_find_sent(duo.lab, duo.a, CQ_MSG_DATA, 0);
    assert_true(cq_addr_equal(&sent->datagram->to, &config.endpoint));
    assert_true(lab_send_packet(lab_flow(duo.b, duo.a, 0, 0)));
    lab_run_for(duo.lab, SECS(1));
    struct cq_peer_status after = lab_status(duo.a, duo.b);
    assert_true(cq_addr_equal(&after.endpoint, &duo.b->address));
    duo_free(&duo);
}

/* A keepalive that is switched on begins a handshake where there is no session. */
static void test_a_keepalive_begins_at_once(void **state)
{
    struct duo duo = duo_new(NULL);
    struct cq_peer_config config = {.persistent_keepalive = 10};
    (void)state;
    lab_run_for(duo.lab, SECS(5));
    assert_false(lab_are_connected(duo.a, duo.b));
    update(duo.a, duo.b, CQ_CHANGE_KEEPALIVE, &config);
    lab_run_for(duo.lab, SECS(1));
    assert_true(lab_are_connected(duo.a, duo.b));
    duo_free(&duo);
}

/* A key from a file ends the asking for it; one that is not the peer's is refused. */
static void test_a_key_that_was_wanted(void **state)
{
    struct duo duo =
        duo_new(&(struct duo_config){.of_a = {.no_key = true}, .b = {.no_key_answers = true}});
    struct cq_peer_config config = {.key = &duo.a->identity.public_key};
    (void)state;
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, SECS(2));
    assert_false(lab_status(duo.a, duo.b).key_known);
    assert_int_equal(cq_engine_update_peer(duo.a->engine, number_of(duo.a, duo.b), CQ_CHANGE_KEY,
                                           &config, duo.lab->now),
                     CQ_ERR_INVALID);
    assert_false(lab_status(duo.a, duo.b).key_known);
    config.key = &duo.b->identity.public_key;
    update(duo.a, duo.b, CQ_CHANGE_KEY, &config);
    lab_run_for(duo.lab, SECS(1));
    assert_true(lab_are_connected(duo.a, duo.b));
    duo_free(&duo);
}

/* ---- allowed IPs of several peers ---- */

static const struct cq_path_peer *owner_of(const struct lab_node *node, const struct cq_prefix *p)
{
    return cq_table_find4(&node->path->table, p->ip.bytes);
}

static void test_prefixes_move_as_one(void **state)
{
    struct duo duo = duo_new(NULL);
    struct lab_node *c = lab_add_node(duo.lab, NULL);
    const struct cq_prefix b_own = {lab_inner_ip(duo.b), 32}, c_own = {lab_inner_ip(c), 32},
                           net = {{CQ_FAMILY_IPV4, {192, 0, 2}}, 24};
    (void)state;
    lab_connect(duo.a, NULL, c, NULL);
    const struct cq_prefix to_b[] = {b_own, net}, to_c[] = {c_own, net};
    struct cq_path *path = duo.a->path;
    struct cq_peer_prefixes changes[] = {
        {number_of(duo.a, duo.b), to_b, 2},
        {number_of(duo.a, c), &c_own, 1},
    };
    assert_int_equal(cq_engine_set_prefixes(duo.a->engine, changes, 2), CQ_OK);
    const struct cq_path_peer *b = cq_path_find_peer(path, changes[0].number),
                              *of_c = cq_path_find_peer(path, changes[1].number);
    assert_ptr_equal(owner_of(duo.a, &net), b);
    /* To c, with every allocation failing once: nothing is changed then. */
    changes[0] = (struct cq_peer_prefixes){number_of(duo.a, duo.b), &b_own, 1};
    changes[1] = (struct cq_peer_prefixes){number_of(duo.a, c), to_c, 2};
    enum cq_err err = CQ_ERR_NOMEM;
    unsigned failures = 0;
    for (; err != CQ_OK; failures++) {
        long live = duo.lab->memory.live;
        assert_ptr_equal(owner_of(duo.a, &net), b);
        duo.lab->memory.countdown = (long)failures;
        err = cq_engine_set_prefixes(duo.a->engine, changes, 2);
        if (err != CQ_OK)
            assert_int_equal(duo.lab->memory.live, live);
    }
    duo.lab->memory.countdown = -1;
    assert_true(failures > 6);
    assert_ptr_equal(owner_of(duo.a, &net), of_c);
    assert_ptr_equal(owner_of(duo.a, &b_own), b);
    assert_ptr_equal(owner_of(duo.a, &c_own), of_c);
    /* An unknown peer among them: nothing either. */
    changes[0] = (struct cq_peer_prefixes){number_of(duo.a, duo.b), to_b, 2};
    changes[1].number = 77;
    assert_int_equal(cq_engine_set_prefixes(duo.a->engine, changes, 2), CQ_ERR_NOTFOUND);
    assert_ptr_equal(owner_of(duo.a, &net), of_c);
    duo_free(&duo);
}

/* ---- options and identity ---- */

static void test_options(void **state)
{
    struct duo duo = duo_new(NULL);
    struct cq_engine_config options = {.rotate_secs = 60,
                                       .suites = CQ_SUITE_CHACHA20_POLY1305,
                                       .preferred_suite = CQ_SUITE_CHACHA20_POLY1305};
    (void)state;
    duo_establish(&duo);
    assert_int_equal(lab_status(duo.a, duo.b).suite, CQ_SUITE_AES_256_GCM);
    assert_int_equal(cq_engine_set_options(duo.a->engine, &options), CQ_OK);
    options.rotate_secs = 59;
    assert_int_equal(cq_engine_set_options(duo.a->engine, &options), CQ_ERR_RANGE);
    assert_int_equal(lab_status(duo.a, duo.b).suite, CQ_SUITE_AES_256_GCM);
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, SECS(1));
    struct cq_peer_status s = lab_status(duo.a, duo.b);
    assert_int_equal(s.suite, CQ_SUITE_CHACHA20_POLY1305);
    assert_int_equal(s.send_until - s.began, SECS(60));
    duo_free(&duo);
}

/* Another identity: the session stays in use while a new one is asked for, and a peer that does not
 * know the new ID keeps it to its end, but gets no other. */
static void test_another_identity(void **state)
{
    struct duo duo = duo_new(NULL);
    struct cq_identity fresh;
    const uint8_t secret[CQ_SECRET_KEY_LEN] = {42};
    (void)state;
    start_traffic(&duo);
    assert_int_equal(cq_identity_init(&fresh, secret), CQ_OK);
    assert_int_equal(cq_engine_set_identity(duo.a->engine, &duo.b->identity, duo.lab->now),
                     CQ_ERR_INVALID);
    lab_record(duo.lab, true);
    assert_int_equal(cq_engine_set_identity(duo.a->engine, &fresh, duo.lab->now), CQ_OK);
    lab_settle(duo.a);
    lab_run_for(duo.lab, SECS(2));
    assert_true(lab_count_sent(duo.lab, duo.a, CQ_MSG_INIT) > 0);
    assert_true(lab_drops(duo.b, CQ_DROP_UNKNOWN_PEER) > 0);
    lab_run_for(duo.lab, SECS(200));
    assert_true(lab_are_connected(duo.a, duo.b));
    assert_int_equal(lab_status(duo.a, duo.b).completed, 1);
    assert_nothing_lost(&duo);
    lab_run_for(duo.lab, SECS(120));
    assert_false(lab_are_connected(duo.a, duo.b));
    cq_identity_wipe(&fresh);
    duo_free(&duo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_removal_stops_everything),
        cmocka_unit_test(test_removal_closes_every_session),
        cmocka_unit_test(test_removal_without_memory),
        cmocka_unit_test(test_others_notice_nothing),
        cmocka_unit_test(test_another_psk_ends_sessions),
        cmocka_unit_test(test_the_rest_keeps_sessions),
        cmocka_unit_test(test_an_endpoint_is_used_at_once),
        cmocka_unit_test(test_a_keepalive_begins_at_once),
        cmocka_unit_test(test_a_key_that_was_wanted),
        cmocka_unit_test(test_prefixes_move_as_one),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_another_identity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
