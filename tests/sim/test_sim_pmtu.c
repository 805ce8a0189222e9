/*
 * Path MTU discovery (docs/protocol.md section 5, "Path MTU"). The network loses what is larger
 * than `largest`, without a word.
 */
#include "duo.h"

#include "path/worker.h"
#include "proto/wire.h"

enum {
    FULL = LAB_MTU + 32, /* UDP payload of the largest record */
    BASE = 1232,
    IPV4_HEADERS = 28,
};

static size_t largest;

static bool filter_size(void *ctx, const struct lab_node *from, struct lab_datagram *d)
{
    (void)ctx;
    (void)from;
    return d->len <= largest;
}

static struct duo started(void)
{
    struct duo duo = duo_new(NULL);
    largest = FULL;
    duo.lab->filter = filter_size;
    duo_establish(&duo);
    return duo;
}

static unsigned payload_of_path(const struct duo *duo)
{
    return lab_status(duo->a, duo->b).path_mtu - (unsigned)IPV4_HEADERS;
}

static struct lab_flow *large_flow(struct duo *duo, cq_time interval)
{
    struct lab_flow *flow = lab_flow(duo->a, duo->b, interval, CQ_TIME_NEVER);
    flow->len = LAB_MTU;
    return flow;
}

/* Control records of a that are larger than the base size. */
static size_t count_probes(const struct duo *duo)
{
    const struct lab_sent *sent;
    size_t num = 0;
    for (size_t i = 0; (sent = lab_find_sent(duo->lab, duo->a, CQ_MSG_CONTROL, i)) != NULL; i++)
        num += sent->datagram->len > BASE;
    return num;
}

static void test_whole_path(void **state)
{
    struct duo duo = started();
    (void)state;
    lab_record(duo.lab, true);
    struct lab_flow *flow = large_flow(&duo, MS(100));
    lab_run_for(duo.lab, SECS(30));
    (void)lab_flow(duo.a, duo.b, 0, 0);
    lab_run_for(duo.lab, SECS(1));
    assert_int_equal(payload_of_path(&duo), FULL);
    assert_int_equal(lab_flow_missing(flow), 0);
    assert_int_equal(flow->refused, 0);
    assert_in_range(count_probes(&duo), 20, 31);
    assert_int_equal(duo.a->events[CQ_EVENT_PATH_MTU], 0);
    duo_free(&duo);
}

static void test_small_packets_cost_nothing(void **state)
{
    struct duo duo = started();
    (void)state;
    lab_record(duo.lab, true);
    struct lab_flow *flow = lab_flow(duo.a, duo.b, MS(100), CQ_TIME_NEVER);
    flow->len = BASE - 32;
    largest = BASE;
    lab_run_for(duo.lab, SECS(60));
    (void)lab_flow(duo.a, duo.b, 0, 0);
    lab_run_for(duo.lab, SECS(1));
    assert_int_equal(count_probes(&duo), 0);
    assert_int_equal(lab_flow_missing(flow), 0);
    assert_int_equal(payload_of_path(&duo), FULL);
    duo_free(&duo);
}

/* Found to 8 bytes; what had to be smaller is told so, and the black hole lasts less than 5 s. */
static void test_falling(void **state)
{
    static const size_t rows[] = {BASE, BASE + 1, 1240, 1250, 1280, 1300, 1310, FULL - 1};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct duo duo = started();
        struct lab_flow *flow = large_flow(&duo, MS(100));
        lab_run_for(duo.lab, SECS(3));
        largest = rows[i];
        lab_run_for(duo.lab, SECS(5));
        assert_true(flow->longest_gap < SECS(5));
        assert_true(flow->refused > 0);
        lab_run_for(duo.lab, SECS(30));
        assert_in_range(payload_of_path(&duo), largest > BASE + 8 ? largest - 7 : BASE, largest);
        assert_true(duo.a->events[CQ_EVENT_PATH_MTU] > 0);
        assert_int_equal(duo.a->last_event[CQ_EVENT_PATH_MTU].path_mtu,
                         payload_of_path(&duo) + IPV4_HEADERS);
        assert_true(duo.a->events[CQ_EVENT_PATH_TOO_SMALL] > 0); /* below 1340 */
        /* Whoever now tries the full size is told what fits, and that arrives. */
        flow->len = LAB_MTU;
        uint64_t before = flow->received;
        lab_run_for(duo.lab, SECS(10));
        assert_int_equal(flow->told_mtu, payload_of_path(&duo) - 32);
        assert_true(flow->received >= before + 98);
        duo_free(&duo);
    }
}

static void test_rising(void **state)
{
    struct duo duo = started();
    (void)state;
    largest = 1260;
    struct lab_flow *flow = large_flow(&duo, MS(100));
    lab_run_for(duo.lab, SECS(40));
    assert_in_range(payload_of_path(&duo), 1253, 1260);
    largest = FULL;
    flow->len = 1000; /* small ones keep the session, and say nothing of the path */
    lab_run_for(duo.lab, SECS(500));
    assert_in_range(payload_of_path(&duo), 1253, 1260);
    lab_run_for(duo.lab, SECS(105));
    assert_int_equal(payload_of_path(&duo), FULL);
    duo_free(&duo);
}

/* Silence of the peer says nothing of sizes. */
static void test_dead_peer(void **state)
{
    struct duo duo = started();
    (void)state;
    struct lab_flow *flow = large_flow(&duo, MS(100));
    lab_run_for(duo.lab, SECS(5));
    largest = 0;
    lab_run_for(duo.lab, SECS(60));
    largest = FULL;
    flow->len = LAB_MTU;
    lab_run_for(duo.lab, SECS(30));
    assert_int_equal(payload_of_path(&duo), FULL);
    flow->len = LAB_MTU;
    uint64_t refused = flow->refused;
    lab_run_for(duo.lab, SECS(5));
    assert_int_equal(flow->refused, refused);
    /* The same where its session went meanwhile. */
    largest = 0;
    lab_run_for(duo.lab, SECS(400));
    largest = FULL;
    flow->len = LAB_MTU;
    lab_run_for(duo.lab, SECS(30));
    assert_int_equal(payload_of_path(&duo), FULL);
    duo_free(&duo);
}

static void test_loss(void **state)
{
    struct duo duo = started();
    (void)state;
    duo.a->link.loss = duo.b->link.loss = 0.3;
    struct lab_flow *flow = large_flow(&duo, MS(100));
    for (int i = 0; i < 60; i++) {
        flow->len = LAB_MTU;
        lab_run_for(duo.lab, SECS(10));
    }
    duo.a->link.loss = duo.b->link.loss = 0;
    lab_run_for(duo.lab, SECS(640)); /* the longest time until it is looked for again */
    assert_int_equal(payload_of_path(&duo), FULL);
    duo_free(&duo);
}

/* At another address of the peer another path begins. */
static void test_another_path(void **state)
{
    const struct cq_addr elsewhere = {{CQ_FAMILY_IPV4, {203, 0, 113, 9}}, 999, 0};
    struct duo duo = started();
    (void)state;
    (void)lab_flow(duo.b, duo.a, MS(100), CQ_TIME_NEVER);
    largest = 1260;
    (void)large_flow(&duo, MS(100));
    lab_run_for(duo.lab, SECS(40));
    assert_in_range(payload_of_path(&duo), 1253, 1260);
    /* b moves to where everything passes. */
    largest = FULL;
    lab_move(duo.b, &elsewhere);
    lab_run_for(duo.lab, SECS(5));
    struct cq_peer_status status = lab_status(duo.a, duo.b);
    assert_true(cq_addr_equal(&status.endpoint, &elsewhere));
    assert_int_equal(payload_of_path(&duo), FULL);
    duo_free(&duo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_path),   cmocka_unit_test(test_small_packets_cost_nothing),
        cmocka_unit_test(test_falling),      cmocka_unit_test(test_rising),
        cmocka_unit_test(test_dead_peer),    cmocka_unit_test(test_loss),
        cmocka_unit_test(test_another_path),
    };
    return cmocka_run_group_tests_name("sim_pmtu", tests, NULL, NULL);
}
