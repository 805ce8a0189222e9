/*
 * Rotation without a gap in service, under loss, delay, duplication and reordering.
 *
 * "Without a gap" means here: from the moment at which both sides first have a session, either has
 * one on which it may send at the very moment of every packet (none is staged), and every packet
 * arrives that the network itself did not lose (none is refused for want of keys, and none is
 * sealed twice).
 *
 * CRYPRQ_SIM_ROTATIONS sets how many rotations the long run makes (20000).
 */
#include "duo.h"

#include <stdlib.h>

struct run {
    const char *name;
    uint64_t seed, rotations;
    uint16_t rotate_a, rotate_b;
    struct lab_link link;
    cq_time interval;   /* between packets, per direction */
    cq_time interval_b; /* 0: the same; -1: b sends nothing */
    uint8_t suites;
    uint16_t persistent; /* keepalive of a instead of traffic */
};

static uint64_t path_drops(const struct lab_node *node, enum cq_drop reason)
{
    return cq_counter_get(&cq_path_worker_counters(node->worker)->drops[reason]);
}

/* The path refused nothing but copies that the network made, and KEEPALIVEs with which an initiator
 * still confirms a session that the other side has let go of for a newer one (DATA there would be
 * missing). */
static void assert_no_drops(const struct lab_node *node, bool duplicates)
{
    for (int r = CQ_DROP_NONE + 1; r < CQ_DROP_COUNT; r++) {
        if ((r == CQ_DROP_REPLAYED_RECORD && duplicates) || r == CQ_DROP_UNKNOWN_INDEX)
            continue;
        if (path_drops(node, (enum cq_drop)r) != 0)
            fail_msg("%s: %lu", cq_drop_name((enum cq_drop)r),
                     (unsigned long)path_drops(node, (enum cq_drop)r));
    }
}

static void check_run(const struct run *run)
{
    struct duo duo = duo_new(&(struct duo_config){
        .seed = run->seed,
        .a = {.rotate_secs = run->rotate_a, .suites = run->suites},
        .b = {.rotate_secs = run->rotate_b, .suites = run->suites},
        .of_a.persistent_keepalive = run->persistent,
    });
    lab_rotate(duo.a, duo.b); /* the first session, over a good network */
    lab_run_for(duo.lab, MS(200));
    assert_true(lab_are_connected(duo.a, duo.b));
    duo.a->link = duo.b->link = run->link;
    struct lab_flow *ab = lab_flow(duo.a, duo.b, run->interval, CQ_TIME_NEVER);
    struct lab_flow *ba = lab_flow(duo.b, duo.a, 0, 0);
    if (run->interval_b >= 0)
        ba = lab_flow(duo.b, duo.a, run->interval_b > 0 ? run->interval_b : run->interval,
                      CQ_TIME_NEVER);
    cq_time begin = duo.lab->now;
    while (lab_status(duo.a, duo.b).rotations < run->rotations) {
        uint64_t before = lab_status(duo.a, duo.b).rotations;
        lab_run_for(duo.lab, 10 * SECS(run->rotate_a));
        assert_true(lab_status(duo.a, duo.b).rotations > before);
        assert_true(lab_status(duo.a, duo.b).num_sessions <= 12);
        assert_int_equal(ab->staged + ba->staged, 0);
    }
    cq_time took = duo.lab->now - begin;
    (void)lab_flow(duo.a, duo.b, 0, 0);
    (void)lab_flow(duo.b, duo.a, 0, 0);
    lab_run_for(duo.lab, run->link.delay + run->link.jitter + MS(1));

    assert_int_equal(ab->staged + ba->staged, 0);
    assert_int_equal(lab_flow_missing(ab), 0);
    assert_int_equal(lab_flow_missing(ba), 0);
    assert_int_equal(ab->duplicates + ba->duplicates, 0);
    assert_no_drops(duo.a, run->link.duplicate > 0);
    assert_no_drops(duo.b, run->link.duplicate > 0);
    assert_int_equal(duo.a->drops_of_staged + duo.b->drops_of_staged, 0);
    assert_int_equal(duo.a->events[CQ_EVENT_SESSION_EXPIRED], 0);
    assert_int_equal(duo.b->events[CQ_EVENT_SESSION_EXPIRED], 0);
    /* No more handshakes than the schedule asks for: one each (R - 50 s) at most, or twice that
     * where both sides start. */
    uint64_t made = lab_status(duo.a, duo.b).completed;
    uint16_t secs = run->rotate_a < run->rotate_b ? run->rotate_a : run->rotate_b;
    assert_true(made <= 2 * (uint64_t)(took / SECS(secs - 50)) + 2);
    print_message("# %s: %lu rotations in %.1f days, %lu packets, %lu lost by the network, 0 by "
                  "rotation; longest silence %.1f s\n",
                  run->name, (unsigned long)lab_status(duo.a, duo.b).rotations,
                  (double)took / 86400e9, (unsigned long)(ab->sent + ba->sent),
                  (unsigned long)(ab->link_lost + ba->link_lost),
                  (double)cq_time_max(ab->longest_gap, ba->longest_gap) * 1e-9);
    duo_free(&duo);
}

#define BAD_LINK                                                                                   \
    {                                                                                              \
        .delay = MS(250), .loss = 0.3                                                              \
    }

static void test_fast(void **state)
{
    static const struct run runs[] = {
        {"clean", 1, 200, 60, 60, {.delay = MS(20)}, MS(200), 0, 0, 0},
        {"30 % loss", 2, 200, 60, 60, BAD_LINK, MS(500), 0, 0, 0},
        {"ChaCha20", 3, 100, 60, 60, BAD_LINK, MS(500), 0, CQ_SUITE_CHACHA20_POLY1305, 0},
        {"one direction", 4, 200, 60, 60, BAD_LINK, MS(500), -1, 0, 0},
        {"rare packets", 5, 100, 60, 60, BAD_LINK, SECS(3), SECS(7), 0, 0},
        {"different periods", 6, 100, 90, 60, BAD_LINK, MS(500), 0, 0, 0},
        {"duplicates",
         7,
         100,
         60,
         60,
         {.delay = MS(100), .loss = 0.1, .duplicate = 0.3},
         MS(200),
         0,
         0,
         0},
        {"reordering",
         8,
         100,
         60,
         60,
         {.delay = MS(50), .jitter = MS(400), .loss = 0.1, .duplicate = 0.1},
         MS(100),
         0,
         0,
         0},
        {"five minutes", 9, 100, 300, 300, BAD_LINK, SECS(1), 0, 0, 0},
        {"one hour", 10, 20, 3600, 3600, BAD_LINK, SECS(2), 0, 0, 0},
        {"no delay", 11, 100, 60, 60, {0}, MS(500), 0, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
        check_run(&runs[i]);
}

static void test_long(void **state)
{
    const char *wanted = getenv("CRYPRQ_SIM_ROTATIONS");
    struct run run = {
        "30 % loss, 500 ms round trip", 20000, 20000, 60, 60, BAD_LINK, SECS(1), 0, 0, 0};
    (void)state;
    if (wanted != NULL)
        run.rotations = strtoull(wanted, NULL, 10);
    check_run(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fast),
        cmocka_unit_test(test_long),
    };
    return cmocka_run_group_tests_name("sim_rotations", tests, NULL, NULL);
}
