/*
 * Memory and randomness fail at every call in turn, over a first contact, traffic and a rotation:
 * nothing breaks, nothing leaks, and once failures end the two are connected as if nothing had
 * been.
 */
#include "duo.h"

#include "base/mem.h"
#include "proto/wire.h"

/* What is done while things fail. Which allocations there are depends on the steps alone, so that
 * call n is the same in every run. */
static void act(struct duo *duo)
{
    (void)lab_send_packet(lab_flow(duo->a, duo->b, 0, 0));
    lab_run_for(duo->lab, SECS(1));
    (void)lab_send_packet(lab_flow(duo->b, duo->a, 0, 0));
    lab_run_for(duo->lab, SECS(1));
    if (cq_engine_rotate(duo->a->engine, lab_peer_of(duo->a, duo->b)->number, duo->lab->now) ==
        CQ_OK)
        lab_settle(duo->a);
    lab_run_for(duo->lab, SECS(2));
}

/* Failures are over: within the time of one stage and a bit packets arrive both ways, and rotations
 * work. */
static void assert_recovers(struct duo *duo)
{
    struct lab_flow *ab = lab_flow(duo->a, duo->b, MS(500), CQ_TIME_NEVER);
    struct lab_flow *ba = lab_flow(duo->b, duo->a, MS(500), CQ_TIME_NEVER);
    lab_run_for(duo->lab, SECS(20));
    uint64_t of_ab = ab->received, of_ba = ba->received;
    uint64_t completed = lab_status(duo->a, duo->b).completed;
    lab_run_for(duo->lab, SECS(2));
    assert_true(ab->received >= of_ab + 3);
    assert_true(ba->received >= of_ba + 3);
    lab_rotate(duo->a, duo->b);
    lab_run_for(duo->lab, SECS(2));
    assert_true(lab_status(duo->a, duo->b).completed > completed);
    assert_true(lab_are_connected(duo->a, duo->b));
}

static struct duo fresh_duo(void)
{
    return duo_new(&(struct duo_config){.of_a.no_key = true, .of_b.no_key = true});
}

static void test_memory_fails_once(void **state)
{
    long n = 0;
    (void)state;
    for (bool done = false; !done; n++) {
        struct duo duo = fresh_duo();
        duo.lab->memory.countdown = n;
        act(&duo);
        done = !duo.lab->memory.failed;
        duo.lab->memory.countdown = -1;
        assert_recovers(&duo);
        duo_free(&duo);
    }
    print_message("# %ld allocations\n", n - 1);
    assert_true(n > 20);
}

static void test_random_fails_once(void **state)
{
    (void)state;
    for (unsigned side = 0; side < 2; side++) {
        long n = 0;
        for (bool done = false; !done; n++) {
            struct duo duo = fresh_duo();
            struct lab_node *node = side == 0 ? duo.a : duo.b;
            node->random_countdown = n;
            node->random_failed = false;
            act(&duo);
            done = !node->random_failed;
            node->random_countdown = -1;
            assert_recovers(&duo);
            duo_free(&duo);
        }
        print_message("# %ld draws\n", n - 1);
        assert_true(n > 10);
    }
}

/* Nothing works for a while, on either side or both. */
static void test_all_fails_for_a_while(void **state)
{
    (void)state;
    for (unsigned which = 0; which < 6; which++) {
        struct duo duo = fresh_duo();
        if (which >= 3)
            duo_establish(&duo);
        duo.a->random_broken = which % 3 != 1;
        duo.b->random_broken = which % 3 != 0;
        act(&duo);
        lab_run_for(duo.lab, SECS(200));
        duo.a->random_broken = duo.b->random_broken = false;
        assert_recovers(&duo);
        duo_free(&duo);
    }
}

/* A node that starts without memory does not start, and leaves nothing behind. */
static void test_start_without_memory(void **state)
{
    struct duo duo = duo_new(NULL);
    long n = 0;
    (void)state;
    duo_establish(&duo);
    for (bool started = false; !started; n++) {
        lab_crash(duo.a);
        long live = duo.lab->memory.live;
        duo.lab->memory.countdown = n;
        duo.lab->memory.failed = false;
        started = lab_start(duo.a);
        duo.lab->memory.countdown = -1;
        assert_int_equal(started, !duo.lab->memory.failed);
        if (!started)
            assert_int_equal(duo.lab->memory.live, live);
    }
    assert_true(n > 5);
    duo_establish(&duo);
    duo_free(&duo);
}

/* Peers come and go without memory: what fails changes nothing. */
static void test_add_peer_without_memory(void **state)
{
    struct duo duo = duo_new(NULL);
    struct cq_identity other;
    struct cq_prefix inner = {{CQ_FAMILY_IPV4, {10, 9, 9, 9}}, 32};
    const uint8_t secret[32] = {9};
    (void)state;
    duo_establish(&duo);
    assert_int_equal(cq_identity_init(&other, secret), CQ_OK);
    struct cq_peer_config config = {
        .key = &other.public_key, .allowed_ips = &inner, .num_allowed_ips = 1};
    memcpy(config.id, other.id, sizeof(config.id));
    long n = 0;
    for (bool done = false; !done; n++) {
        struct duo_state before;
        uint32_t number;
        duo_snapshot(&duo, &before);
        long live = duo.lab->memory.live;
        duo.lab->memory.countdown = n;
        enum cq_err err = cq_engine_add_peer(duo.a->engine, &config, duo.lab->now, &number);
        duo.lab->memory.countdown = -1;
        done = err == CQ_OK;
        if (!done) {
            assert_int_equal(err, CQ_ERR_NOMEM);
            assert_int_equal(cq_engine_find_peer(duo.a->engine, config.id, &number),
                             CQ_ERR_NOTFOUND);
            duo_assert_unchanged(&duo, &before);
            assert_true(duo.lab->memory.live <= live + 2); /* tables may have grown */
        }
    }
    assert_true(n > 3);
    cq_identity_wipe(&other);
    (void)lab_send_packet(&duo.a->flows[0]);
    lab_run_for(duo.lab, SECS(1));
    assert_int_equal(duo_missing(&duo), 0);
    duo_free(&duo);
}

/* A peer moves while memory is short: its new address is taken all the same, a little later. */
static void test_move_without_memory(void **state)
{
    long n = 0;
    (void)state;
    for (bool done = false; !done; n++) {
        struct duo duo = duo_new(NULL);
        struct cq_addr next = duo.a->address;
        duo_establish(&duo);
        struct lab_flow *ab = lab_flow(duo.a, duo.b, MS(100), CQ_TIME_NEVER);
        struct lab_flow *ba = lab_flow(duo.b, duo.a, MS(100), CQ_TIME_NEVER);
        lab_run_for(duo.lab, SECS(1));
        next.port++;
        lab_move(duo.a, &next);
        duo.lab->memory.countdown = n;
        lab_run_for(duo.lab, SECS(10));
        done = !duo.lab->memory.failed;
        duo.lab->memory.countdown = -1;
        lab_run_for(duo.lab, SECS(1));
        uint64_t of_ab = ab->received, of_ba = ba->received;
        lab_run_for(duo.lab, SECS(2));
        assert_true(ab->received >= of_ab + 19);
        assert_true(ba->received >= of_ba + 19);
        assert_int_equal(lab_status(duo.b, duo.a).completed, 1); /* no handshake was needed */
        duo_free(&duo);
    }
    assert_true(n > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_fails_once),       cmocka_unit_test(test_random_fails_once),
        cmocka_unit_test(test_all_fails_for_a_while),   cmocka_unit_test(test_start_without_memory),
        cmocka_unit_test(test_add_peer_without_memory), cmocka_unit_test(test_move_without_memory),
    };
    return cmocka_run_group_tests_name("sim_failures", tests, NULL, NULL);
}
