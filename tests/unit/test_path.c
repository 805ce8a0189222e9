#include "path/internal.h"
#include "path_pair.h"
#include "proto/control.h"
#include "proto/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct pair_record records[PAIR_RECORDS];
static uint8_t expected[PACKET_MAX], got[PACKET_MAX];

static size_t seal_one(struct pair *p, struct pair_side *from, size_t payload)
{
    struct packet_spec spec = packet_spec(4, 17, payload);

    if (from == &p->b) {
        spec.src = 2;
        spec.dst = 1;
    }
    return pair_seal(p, from, &spec, 0, records);
}

/* ---- packets ---- */

static void test_round_trip(void **state)
{
    static const enum cq_suite suites[] = {CQ_SUITE_AES_256_GCM, CQ_SUITE_CHACHA20_POLY1305};
    static const struct {
        uint8_t version, proto;
    } kinds[] = {{4, 6}, {6, 6}, {4, 17}, {6, 17}, {4, 1}, {6, 58}};

    (void)state;
    for (size_t s = 0; s < 2; s++) {
        struct pair p;
        struct pair_options options = {.suite = suites[s], .no_offloads = s == 1};
        pair_init(&p, &options);
        for (size_t k = 0; k < 6; k++) {
            for (size_t payload = 0; payload <= 1360; payload += 1 + packet_random() % 40) {
                struct packet_spec spec = packet_spec(kinds[k].version, kinds[k].proto, payload);
                size_t len = packet_make(expected, &spec);
                if (len > PAIR_MTU)
                    break;
                static uint8_t buf[PACKET_MAX];
                struct cq_path_frame frame = packet_make_frame(buf, &spec, 0);
                if (kinds[k].proto != 6 && kinds[k].proto != 17) {
                    frame.vnet = (struct cq_vnet){0};
                    memcpy(buf, expected, len);
                }
                cq_path_enter(p.a.worker);
                assert_true(cq_path_seal(p.a.worker, &p.a.out, &frame, p.now));
                (void)!cq_path_leave(p.a.worker);
                assert_int_equal(pair_take(&p.a, records), 1);
                size_t padded = (len + 15) / 16 * 16;
                assert_int_equal(records[0].len, (padded > PAIR_MTU ? PAIR_MTU : padded) + 32);
                pair_open(&p, &p.b, &p.a, records, 1);
                assert_int_equal(p.b.in.num_frames, 1);
                assert_int_equal(pair_frame(&p.b, 0, got), len);
                bool partial = (p.b.in.frames[0].vnet.flags & CQ_VNET_NEEDS_CSUM) != 0;
                assert_true(!partial || s == 0);
                if (partial)
                    packet_fix_checksum(got, len);
                assert_memory_equal(got, expected, len);
            }
        }
        pair_free(&p);
    }
}

/* Every segment of a super-packet arrives, merged again. */
static void test_super_packets(void **state)
{
    static const struct {
        uint8_t version, proto;
    } kinds[] = {{4, 6}, {6, 6}, {4, 17}, {6, 17}};
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    for (size_t k = 0; k < 4; k++) {
        for (int round = 0; round < 10; round++) {
            struct packet_spec spec =
                packet_spec(kinds[k].version, kinds[k].proto, 1 + packet_random() % 60000);
            uint16_t gso = (uint16_t)(1200 + packet_random() % 148);
            size_t len = packet_make(expected, &spec);
            size_t num = pair_seal(&p, &p.a, &spec, gso, records);
            assert_int_equal(num, (spec.payload + gso - 1) / gso);
            pair_open(&p, &p.b, &p.a, records, num);
            assert_int_equal(p.b.in.num_frames, 1);
            assert_int_equal(pair_frame(&p.b, 0, got), len);
            packet_fix_checksum(got, len);
            assert_memory_equal(got, expected, len);
            if (num > 1)
                assert_int_equal(p.b.in.frames[0].vnet.gso_size, gso);
        }
    }
    pair_free(&p);
}

/* A super-packet that does not fit what is left of the send buffer goes on after it was emptied. */
static void test_full_out(void **state)
{
    static uint8_t buf[PACKET_MAX + CQ_PATH_SLACK];
    struct packet_spec spec = packet_spec(4, 6, 60000);
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    struct cq_path_frame frame = packet_make_frame(buf, &spec, 40);
    size_t num = 0;
    unsigned rounds = 1;
    cq_path_enter(p.a.worker);
    while (!cq_path_seal(p.a.worker, &p.a.out, &frame, p.now)) {
        size_t n = pair_take(&p.a, records);
        assert_true(n > 0);
        num += n;
        rounds++;
    }
    (void)!cq_path_leave(p.a.worker);
    num += pair_take(&p.a, records);
    assert_int_equal(num, 1500);
    assert_true(rounds > 1);
    assert_int_equal(cq_counter_get(&cq_path_worker_totals(p.a.worker)->inner_sent), 1500);
    pair_free(&p);
}

/* ---- what is dropped ---- */

static void test_damaged(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    assert_int_equal(seal_one(&p, &p.a, 100), 1);
    uint64_t failed = 0;
    for (size_t at = 0; at < records[0].len; at++) {
        struct pair_record damaged = records[0];
        damaged.data[at] ^= 0x01;
        pair_open(&p, &p.b, &p.a, &damaged, 1);
        assert_int_equal(p.b.in.num_frames, 0);
        /* Type, version, flags, reserved byte, index and the lane's high bits are looked at before
         * the tag. */
        if (at == 0 || at == 2 || at >= 8)
            failed++;
    }
    assert_int_equal(pair_drops(&p.b, CQ_DROP_BAD_VERSION), 1);
    assert_int_equal(pair_drops(&p.b, CQ_DROP_UNKNOWN_INDEX), 4);
    struct cq_keypair_status status;
    cq_keypair_get_status(p.b.keypair, &status);
    assert_int_equal(status.failed_tags, pair_drops(&p.b, CQ_DROP_BAD_TAG));
    assert_true(status.failed_tags >= failed - 2);
    assert_true(status.opened == 0 && status.last_opened == CQ_TIME_NEVER);
    /* The record itself is still good: nothing of the above took its number. */
    pair_open(&p, &p.b, &p.a, records, 1);
    assert_int_equal(p.b.in.num_frames, 1);
    pair_free(&p);
}

static void test_replay(void **state)
{
    struct packet_spec spec = packet_spec(4, 17, 20000);
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    size_t num = pair_seal(&p, &p.a, &spec, 1000, records);
    assert_int_equal(num, 20);
    /* The same one twice in a batch passes the look and is caught by the commit. */
    records[num] = records[num - 1];
    pair_open(&p, &p.b, &p.a, records, num + 1);
    assert_int_equal(pair_drops(&p.b, CQ_DROP_REPLAYED_RECORD), 1);
    pair_open(&p, &p.b, &p.a, records, num);
    assert_int_equal(pair_drops(&p.b, CQ_DROP_REPLAYED_RECORD), 21);
    assert_int_equal(p.b.in.num_frames, 0);
    struct cq_keypair_status status;
    cq_keypair_get_status(p.b.keypair, &status);
    assert_int_equal(status.opened, 20);
    pair_free(&p);
}

/* Two workers of A seal on lanes of their own; whichever worker of B opens them, windows are per
 * lane. */
static void test_lanes(void **state)
{
    struct pair_options options = {.workers = 3};
    struct packet_spec spec = packet_spec(4, 17, 50);
    struct pair p;

    (void)state;
    pair_init(&p, &options);
    size_t num = 0;
    for (unsigned worker = 0; worker < 3; worker++) {
        p.a.worker = cq_path_get_worker(p.a.path, worker);
        num += pair_seal(&p, &p.a, &spec, 0, records + num);
        assert_int_equal(records[worker].data[8], worker);
    }
    p.b.worker = cq_path_get_worker(p.b.path, 2);
    assert_null(cq_keypair_window(p.b.keypair, 1));
    pair_open(&p, &p.b, &p.a, records, num);
    assert_int_equal(cq_counter_get(&cq_path_worker_totals(p.b.worker)->inner_received), 3);
    assert_non_null(cq_keypair_window(p.b.keypair, 1));
    assert_null(cq_keypair_window(p.b.keypair, 3));
    p.b.worker = cq_path_get_worker(p.b.path, 1);
    pair_open(&p, &p.b, &p.a, records, num);
    assert_int_equal(pair_drops(&p.b, CQ_DROP_REPLAYED_RECORD), 3);
    pair_free(&p);
}

/* Puts a plaintext into a record of A as if A had sealed it. */
static void seal_raw(struct pair *p, uint8_t type, uint8_t flags, const uint8_t *data, size_t len,
                     struct pair_record *out)
{
    struct cq_record header = {type, flags, p->a.params.remote_idx, 0};
    struct cq_aead_op op = {
        .ad = out->data,
        .ad_len = 16,
        .in = data,
        .out = out->data + 16,
        .len = len,
        .tag = out->data + 16 + len,
    };

    assert_true(cq_keypair_reserve(p->a.keypair, 0, len, &header.counter));
    cq_record_write(out->data, &header);
    cq_record_nonce(op.nonce, p->a.keypair->send_iv, header.counter);
    assert_int_equal(cq_aead_seal_batch(p->a.keypair->lanes[0].seal, &op, 1), CQ_OK);
    out->len = len + 32;
}

static void test_inner(void **state)
{
    enum { SRC = 15, LENGTH = 3 };
    static const struct {
        int number;
        uint8_t version, proto;
        size_t payload;
        size_t at;
        int value;
        int len; /* of the plaintext, -1: whole */
        uint8_t flags;
        enum cq_drop drop;
    } cases[] = {
        {1, 4, 17, 100, 0, -1, -1, 0, CQ_DROP_NONE},
        {2, 4, 17, 100, SRC, 9, -1, 0, CQ_DROP_INNER_SOURCE},
        {3, 6, 17, 100, 23, 9, -1, 0, CQ_DROP_INNER_SOURCE},
        {4, 4, 17, 100, LENGTH, 129, -1, 0, CQ_DROP_INNER_MALFORMED}, /* one above the plaintext */
        {5, 4, 17, 100, LENGTH, 127, -1, 0, CQ_DROP_NONE},            /* one byte of padding */
        {6, 4, 17, 100, LENGTH, 19, -1, 0, CQ_DROP_INNER_MALFORMED},
        {7, 4, 17, 100, 0, 0x44, -1, 0, CQ_DROP_INNER_MALFORMED},
        {8, 4, 17, 100, 0, 0x75, -1, 0, CQ_DROP_INNER_MALFORMED},
        {9, 4, 17, 100, 0, -1, 0, 0, CQ_DROP_INNER_MALFORMED},
        {10, 4, 17, 100, 0, -1, 19, 0, CQ_DROP_INNER_MALFORMED},
        {11, 6, 17, 100, 0, -1, 39, 0, CQ_DROP_INNER_MALFORMED},
        {12, 6, 17, 100, 5, 109, -1, 0, CQ_DROP_INNER_MALFORMED},
        {13, 4, 17, 1392, 0, -1, -1, 0, CQ_DROP_NONE},
        {14, 4, 17, 1393, 0, -1, -1, 0, CQ_DROP_INNER_TOO_BIG},
        {15, 4, 17, 100, 0, -1, -1, 1, CQ_DROP_NONE},
        {16, 4, 1, 100, 0, -1, -1, 1, CQ_DROP_INNER_MALFORMED},  /* no checksum to fill in */
        {17, 4, 17, 100, 25, 9, -1, 1, CQ_DROP_INNER_MALFORMED}, /* UDP length */
        {18, 4, 17, 100, 6, 0x20, -1, 1, CQ_DROP_INNER_MALFORMED},
        {19, 4, 6, 100, 32, 0x10, -1, 1, CQ_DROP_INNER_MALFORMED},
        {20, 4, 6, 100, 32, 0x10, -1, 0, CQ_DROP_NONE}, /* not ours to judge */
        {21, 4, 6, 0, 32, 0xf0, -1, 1, CQ_DROP_INNER_MALFORMED},
    };
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct packet_spec spec = packet_spec(cases[i].version, cases[i].proto, cases[i].payload);
        size_t len = packet_make(expected, &spec);
        uint64_t before = pair_drops(&p.b, cases[i].drop);
        if (cases[i].value >= 0)
            expected[cases[i].at] = (uint8_t)cases[i].value;
        if (cases[i].len >= 0)
            len = (size_t)cases[i].len;
        seal_raw(&p, CQ_MSG_DATA, cases[i].flags, expected, len, records);
        pair_open(&p, &p.b, &p.a, records, 1);
        if (p.b.in.num_frames != (cases[i].drop == CQ_DROP_NONE))
            fail_msg("case %d", cases[i].number);
        if (cases[i].drop != CQ_DROP_NONE && pair_drops(&p.b, cases[i].drop) != before + 1)
            fail_msg("case %d: reason", cases[i].number);
        struct cq_keypair_status status;
        cq_keypair_get_status(p.b.keypair, &status);
        assert_int_equal(status.opened, i + 1); /* all of them opened */
    }
    pair_free(&p);
}

static void test_not_sent(void **state)
{
    struct packet_spec spec = packet_spec(4, 17, 100);
    struct cq_path_endpoint none = {0};
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    spec.dst = 77;
    assert_int_equal(pair_seal(&p, &p.a, &spec, 0, records), 0);
    assert_int_equal(pair_drops(&p.a, CQ_DROP_NO_ROUTE), 1);
    spec.dst = 2;
    spec.payload = 1400;
    assert_int_equal(pair_seal(&p, &p.a, &spec, 0, records), 0);
    assert_int_equal(pair_drops(&p.a, CQ_DROP_TUN_MALFORMED), 1);
    spec.payload = 100;
    assert_int_equal(cq_path_peer_set_endpoint(p.a.path, p.a.peer, &none), CQ_OK);
    assert_int_equal(pair_seal(&p, &p.a, &spec, 0, records), 0);
    assert_int_equal(pair_drops(&p.a, CQ_DROP_NO_ENDPOINT), 1);
    pair_free(&p);
}

/* ---- sends ---- */

static void test_grouping(void **state)
{
    static uint8_t buf[PACKET_MAX + CQ_PATH_SLACK];
    struct packet_spec spec = packet_spec(4, 17, 100);
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    /* Equal sizes share a send, a shorter one ends it, a longer one begins another. */
    static const size_t payloads[] = {100, 100, 100, 20, 20, 500, 500, 500};
    static const size_t sends[] = {4, 1, 3};
    cq_path_enter(p.a.worker);
    for (size_t i = 0; i < 8; i++) {
        spec.payload = payloads[i];
        struct cq_path_frame frame = packet_make_frame(buf, &spec, 0);
        assert_true(cq_path_seal(p.a.worker, &p.a.out, &frame, p.now));
    }
    assert_int_equal(p.a.out.num_sends, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct cq_path_send *s = &p.a.out.sends[i];
        assert_int_equal((s->len + s->segment - 1) / s->segment, sends[i]);
    }
    cq_path_out_reset(&p.a.out);
    /* At most 64, and never with different ECN. */
    for (size_t i = 0; i < 70; i++) {
        struct cq_path_frame frame = packet_make_frame(buf, &spec, 0);
        assert_true(cq_path_seal(p.a.worker, &p.a.out, &frame, p.now));
    }
    assert_int_equal(p.a.out.num_sends, 2);
    spec.tos = 0xb9; /* DSCP is left inside, ECT(1) is shown */
    struct cq_path_frame frame = packet_make_frame(buf, &spec, 0);
    assert_true(cq_path_seal(p.a.worker, &p.a.out, &frame, p.now));
    assert_int_equal(p.a.out.num_sends, 3);
    assert_int_equal(p.a.out.sends[2].ecn, 1);
    assert_int_equal(p.a.out.sends[1].ecn, 0);
    /* One by one when asked. */
    cq_path_out_reset(&p.a.out);
    p.a.out.single = true;
    for (size_t i = 0; i < 3; i++) {
        frame = packet_make_frame(buf, &spec, 0);
        assert_true(cq_path_seal(p.a.worker, &p.a.out, &frame, p.now));
    }
    assert_int_equal(p.a.out.num_sends, 3);
    (void)!cq_path_leave(p.a.worker);
    pair_free(&p);
}

/* RFC 6040: rows are the inner ECN, columns the outer; 9 means dropped. */
static void test_ecn(void **state)
{
    static const uint8_t result[4][4] = {{0, 0, 0, 9}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}};
    static const uint8_t versions[] = {4, 6};
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    for (size_t v = 0; v < 2; v++) {
        for (uint8_t inner = 0; inner < 4; inner++) {
            for (uint8_t outer = 0; outer < 4; outer++) {
                struct packet_spec spec = packet_spec(versions[v], 17, 100);
                spec.tos = (uint8_t)(0x88 | inner);
                assert_int_equal(pair_seal(&p, &p.a, &spec, 0, records), 1);
                p.a.source.ecn = outer;
                pair_open(&p, &p.b, &p.a, records, 1);
                if (result[inner][outer] == 9) {
                    assert_int_equal(p.b.in.num_frames, 0);
                    continue;
                }
                spec.tos = (uint8_t)(0x88 | result[inner][outer]);
                size_t len = packet_make(expected, &spec);
                assert_int_equal(pair_frame(&p.b, 0, got), len);
                packet_fix_checksum(got, len);
                assert_memory_equal(got, expected, len);
            }
        }
    }
    pair_free(&p);
}

/* ---- staging ---- */

static void test_staging(void **state)
{
    struct pair p;
    struct cq_path_peer_status status;

    (void)state;
    pair_init(&p, NULL);
    cq_path_peer_set_current(p.a.path, p.a.peer, NULL);
    for (size_t i = 0; i < 70; i++)
        assert_int_equal(seal_one(&p, &p.a, 100 + i), 0);
    cq_path_peer_get_status(p.a.peer, &status);
    assert_int_equal(status.num_staged, 64);
    assert_int_equal(pair_drops(&p.a, CQ_DROP_STAGED_FULL), 6);
    struct cq_path_event event = pair_expect(&p.a, CQ_PATH_NEED_SESSION);
    assert_false(event.has_keypair);
    pair_expect_none(&p.a);

    /* At most one report in 100 ms. */
    p.now += 100 * CQ_NS_PER_MS - 1;
    seal_one(&p, &p.a, 170);
    pair_expect_none(&p.a);
    p.now += 1;
    seal_one(&p, &p.a, 171);
    (void)pair_expect(&p.a, CQ_PATH_NEED_SESSION);

    /* The oldest went first; what is left comes in order. */
    cq_path_peer_set_current(p.a.path, p.a.peer, p.a.keypair);
    cq_path_enter(p.a.worker);
    assert_true(cq_path_send_staged(p.a.worker, &p.a.out, PAIR_PEER, p.now));
    assert_true(cq_path_send_staged(p.a.worker, &p.a.out, 12345, p.now));
    (void)!cq_path_leave(p.a.worker);
    size_t num = pair_take(&p.a, records);
    assert_int_equal(num, 64);
    pair_open(&p, &p.b, &p.a, records, num);
    assert_int_equal(p.b.in.num_frames, 64);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(p.b.in.frames[i].len, 28 + 108 + i);
    cq_path_peer_get_status(p.a.peer, &status);
    assert_int_equal(status.num_staged, 0);
    pair_free(&p);
}

/* Keys are there, and the word of it that has the waiting packets sent is still on its way to the
 * worker: a packet that comes meanwhile does not overtake them. */
static void test_staging_order(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    cq_path_peer_set_current(p.a.path, p.a.peer, NULL);
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(seal_one(&p, &p.a, 100 + i), 0);
    cq_path_peer_set_current(p.a.path, p.a.peer, p.a.keypair);
    size_t num = seal_one(&p, &p.a, 140);
    assert_int_equal(num, 41);
    pair_open(&p, &p.b, &p.a, records, num);
    for (size_t i = 0; i < num; i++)
        assert_int_equal(p.b.in.frames[i].len, 28 + 100 + i);
    pair_free(&p);
}

static void test_staging_age(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    cq_path_peer_set_current(p.a.path, p.a.peer, NULL);
    seal_one(&p, &p.a, 100);
    p.now += 1;
    seal_one(&p, &p.a, 101);
    p.now += 5 * CQ_NS_PER_S - 1;
    cq_path_peer_set_current(p.a.path, p.a.peer, p.a.keypair);
    cq_path_enter(p.a.worker);
    assert_true(cq_path_send_staged(p.a.worker, &p.a.out, PAIR_PEER, p.now));
    assert_int_equal(pair_take(&p.a, records), 1); /* the first is 5 s old to the nanosecond */
    assert_int_equal(pair_drops(&p.a, CQ_DROP_STAGED_EXPIRED), 1);
    (void)!cq_path_leave(p.a.worker);

    cq_path_peer_set_current(p.a.path, p.a.peer, NULL);
    for (size_t i = 0; i < 5; i++)
        seal_one(&p, &p.a, 100);
    cq_path_enter(p.a.worker);
    cq_path_drop_staged(p.a.worker, PAIR_PEER);
    (void)!cq_path_leave(p.a.worker);
    assert_int_equal(pair_drops(&p.a, CQ_DROP_STAGED_EXPIRED), 6);
    pair_free(&p);
}

/* The pool is bounded whatever the number of peers, and removing a peer gives back what it held. */
/* DATA of another worker has lane 0 used once a second and session. */
static void test_quiet_lane(void **state)
{
    static uint8_t buf[PACKET_MAX + CQ_PATH_SLACK];
    static const struct {
        unsigned worker;
        cq_time wait_ms;
        bool reported;
    } steps[] = {{1, 0, true},     {1, 0, false},   {2, 999, false}, {2, 1, true},
                 {1, 500, false},  {0, 499, false}, {1, 999, false}, {1, 1, true},
                 {0, 5000, false}, {2, 1000, true}, {2, 999, false}};
    struct pair_options options = {.workers = 3};
    struct packet_spec spec = packet_spec(4, 17, 100);
    struct pair p;

    (void)state;
    pair_init(&p, &options);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct cq_path_worker *worker = cq_path_get_worker(p.a.path, steps[i].worker);
        struct cq_path_frame frame = packet_make_frame(buf, &spec, 0);
        struct cq_path_event event;
        bool reported = false;
        p.now += steps[i].wait_ms * CQ_NS_PER_MS;
        cq_path_enter(worker);
        assert_true(cq_path_seal(worker, &p.a.out, &frame, p.now));
        (void)!cq_path_leave(worker);
        pair_take(&p.a, records);
        while (cq_path_next_event(p.a.path, &event))
            if (event.type == CQ_PATH_LANE0_QUIET) {
                assert_true(event.has_keypair && event.local_idx == p.a.params.local_idx);
                assert_false(reported);
                reported = true;
            }
        if (reported != steps[i].reported)
            fail_msg("step %zu", i);
    }
    pair_free(&p);
}

/* The bounds of a peer are those of all workers together, whichever of them has the packets. */
static void test_staging_workers(void **state)
{
    static uint8_t buf[PACKET_MAX + CQ_PATH_SLACK];
    struct pair_options options = {.workers = 4};
    struct packet_spec spec = packet_spec(4, 17, 100);
    struct cq_path_peer_status status;
    struct pair p;

    (void)state;
    pair_init(&p, &options);
    cq_path_peer_set_current(p.a.path, p.a.peer, NULL);
    for (unsigned i = 0; i < 80; i++) {
        /* The last worker has all but the first packets. */
        struct cq_path_worker *worker = cq_path_get_worker(p.a.path, i < 6 ? i % 3 : 3);
        struct cq_path_frame frame = packet_make_frame(buf, &spec, 0);
        cq_path_enter(worker);
        assert_true(cq_path_seal(worker, &p.a.out, &frame, p.now));
        (void)!cq_path_leave(worker);
        cq_path_peer_get_status(p.a.peer, &status);
        assert_int_equal(status.num_staged, i < 64 ? i + 1 : 64);
    }
    cq_path_peer_set_current(p.a.path, p.a.peer, p.a.keypair);
    for (unsigned i = 0; i < 4; i++) {
        struct cq_path_worker *worker = cq_path_get_worker(p.a.path, i);
        cq_path_enter(worker);
        assert_true(cq_path_send_staged(worker, &p.a.out, PAIR_PEER, p.now));
        (void)!cq_path_leave(worker);
        assert_int_equal(pair_take(&p.a, records), i < 3 ? 2 : 58);
    }
    cq_path_peer_get_status(p.a.peer, &status);
    assert_int_equal(status.num_staged, 0);
    pair_free(&p);
}

static void test_staging_total(void **state)
{
    enum { PEERS = 30 };
    struct cq_path_peer *peers[PEERS];
    struct packet_spec spec = packet_spec(4, 17, 1392);
    struct cq_path_peer_status status;
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    for (uint32_t i = 0; i < PEERS; i++) {
        struct cq_prefix prefix = {{CQ_FAMILY_IPV4, {10, 0, 0, (uint8_t)(100 + i)}}, 32};
        assert_int_equal(cq_path_peer_add(p.a.path, 100 + i, &peers[i]), CQ_OK);
        assert_int_equal(cq_path_peer_set_prefixes(p.a.path, peers[i], &prefix, 1), CQ_OK);
    }
    for (int round = 0; round < 3; round++) {
        unsigned total = 0;
        for (uint32_t i = 0; i < PEERS; i++) {
            spec.dst = (uint8_t)(100 + i);
            for (int n = 0; n < 70; n++)
                assert_int_equal(pair_seal(&p, &p.a, &spec, 0, records), 0);
            cq_path_peer_get_status(peers[i], &status);
            assert_true(status.num_staged <= 64);
            total += status.num_staged;
        }
        assert_true(total > 600 && total <= 1024 * 1024 / 1420);
        for (uint32_t i = 0; i < PEERS; i++) {
            struct cq_prefix prefix = {{CQ_FAMILY_IPV4, {10, 0, 0, (uint8_t)(100 + i)}}, 32};
            cq_path_peer_remove(p.a.path, peers[i]);
            assert_int_equal(cq_path_peer_add(p.a.path, 100 + i, &peers[i]), CQ_OK);
            assert_int_equal(cq_path_peer_set_prefixes(p.a.path, peers[i], &prefix, 1), CQ_OK);
        }
    }
    pair_free(&p);
}

/* ---- control records ---- */

static void test_control(void **state)
{
    static const uint8_t list[] = {2, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 4, 0, 1, 2};
    static const uint8_t bad[] = {2, 0, 7, 1, 2, 3, 4, 5, 6, 7};
    struct cq_route elsewhere = pair_route(99);
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    assert_int_equal(pair_control(&p, &p.a, list, sizeof(list), 0, NULL, records), 1);
    assert_int_equal(records[0].len, sizeof(list) + 32);
    pair_open(&p, &p.b, &p.a, records, 1);
    (void)pair_expect(&p.b, CQ_PATH_FIRST_RECORD);
    struct cq_path_event event = pair_expect(&p.b, CQ_PATH_PING);
    assert_memory_equal(event.token, list + 3, 8);
    assert_false(event.padded);
    assert_true(cq_addr_equal(&event.route.remote, &p.a.source.route.remote));
    event = pair_expect(&p.b, CQ_PATH_CLOSE);
    assert_int_equal(event.close_reason, 2);
    pair_expect_none(&p.b);

    /* Grown by PAD. */
    assert_int_equal(pair_control(&p, &p.a, list, 11, 1400, &elsewhere, records), 1);
    assert_int_equal(records[0].len, 1432);
    pair_open(&p, &p.b, &p.a, records, 1);
    assert_true(pair_expect(&p.b, CQ_PATH_PING).padded);

    /* Malformed: dropped as a whole, opened nevertheless. */
    assert_int_equal(pair_control(&p, &p.a, bad, sizeof(bad), 0, NULL, records), 1);
    pair_open(&p, &p.b, &p.a, records, 1);
    pair_expect_none(&p.b);
    assert_int_equal(pair_drops(&p.b, CQ_DROP_BAD_CONTROL), 1);
    struct cq_keypair_status status;
    cq_keypair_get_status(p.b.keypair, &status);
    assert_int_equal(status.opened, 3);
    assert_false(status.carried_data);

    /* No such keypair. */
    p.a.params.local_idx ^= 1;
    assert_int_equal(pair_control(&p, &p.a, list, 11, 0, NULL, records), 0);
    assert_int_equal(pair_drops(&p.a, CQ_DROP_KEY_EXPIRED), 1);
    pair_free(&p);
}

/* ---- addresses ---- */

static void test_moved(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    assert_int_equal(seal_one(&p, &p.a, 100), 1);
    pair_open(&p, &p.b, &p.a, records, 1);
    pair_skip_events(&p.b);
    struct pair_record late[1];
    seal_one(&p, &p.a, 100);
    late[0] = records[0];
    struct packet_spec spec = packet_spec(4, 17, 3000);
    size_t num = pair_seal(&p, &p.a, &spec, 1000, records);
    p.a.source.route = pair_route(50);
    pair_open(&p, &p.b, &p.a, records, num);
    struct cq_path_event event = pair_expect(&p.b, CQ_PATH_MOVED);
    assert_true(cq_addr_equal(&event.route.remote, &p.a.source.route.remote));
    assert_int_equal(event.counter, 4);
    assert_int_equal(event.bytes, 3 * (1040 + 32));
    pair_expect_none(&p.b); /* one per batch */
    /* A late record says nothing about where the peer is, nor does one on keys that are not
     * current. */
    pair_open(&p, &p.b, &p.a, late, 1);
    assert_int_equal(p.b.in.num_frames, 1);
    pair_expect_none(&p.b);
    cq_path_peer_set_current(p.b.path, p.b.peer, NULL);
    seal_one(&p, &p.a, 100);
    pair_open(&p, &p.b, &p.a, records, 1);
    assert_int_equal(p.b.in.num_frames, 1);
    pair_expect_none(&p.b);
    pair_free(&p);
}

static uint8_t destination(const struct pair_side *side, size_t send)
{
    return side->out.sends[send].route.remote.ip.bytes[3];
}

static void test_unproven(void **state)
{
    static uint8_t buf[PACKET_MAX + CQ_PATH_SLACK];
    static const uint8_t ping[] = {2, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8};
    struct packet_spec spec = packet_spec(4, 17, 100); /* a record of 160 bytes */
    struct cq_path_endpoint endpoint = {
        .route = pair_route(60),
        .previous = pair_route(2),
        .validating = true,
        .received_bytes = 160,
    };
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    for (int round = 0; round < 2; round++) {
        /* Three times what came, then the previous address; setting the same again gives no new
         * budget. */
        assert_int_equal(cq_path_peer_set_endpoint(p.a.path, p.a.peer, &endpoint), CQ_OK);
        p.a.out.single = true;
        cq_path_enter(p.a.worker);
        for (int i = 0; i < 5; i++) {
            struct cq_path_frame frame = packet_make_frame(buf, &spec, 0);
            assert_true(cq_path_seal(p.a.worker, &p.a.out, &frame, p.now));
        }
        (void)!cq_path_leave(p.a.worker);
        assert_int_equal(p.a.out.num_sends, 5);
        for (size_t i = 0; i < 5; i++)
            assert_int_equal(destination(&p.a, i), i < 3 && round == 0 ? 60 : 2);
        cq_path_out_reset(&p.a.out);
    }
    /* Control records have no previous address to go to. */
    assert_int_equal(pair_control(&p, &p.a, ping, sizeof(ping), 0, NULL, records), 0);
    assert_int_equal(pair_control(&p, &p.a, ping, sizeof(ping), 0, &endpoint.route, records), 0);
    assert_int_equal(pair_drops(&p.a, CQ_DROP_ADDRESS_UNPROVEN), 2);
    assert_int_equal(pair_control(&p, &p.a, ping, sizeof(ping), 0, &endpoint.previous, records), 1);
    /* More that comes from there raises the bound. */
    assert_int_equal(seal_one(&p, &p.b, 100), 1);
    p.b.source.route = pair_route(60);
    pair_open(&p, &p.a, &p.b, records, 1);
    assert_int_equal(pair_control(&p, &p.a, ping, sizeof(ping), 0, NULL, records), 1);
    /* Without a previous address DATA is dropped. */
    endpoint.previous = (struct cq_route){0};
    endpoint.route = pair_route(61);
    endpoint.received_bytes = 0;
    assert_int_equal(cq_path_peer_set_endpoint(p.a.path, p.a.peer, &endpoint), CQ_OK);
    assert_int_equal(seal_one(&p, &p.a, 100), 0);
    assert_int_equal(pair_drops(&p.a, CQ_DROP_ADDRESS_UNPROVEN), 3);
    pair_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_super_packets),
        cmocka_unit_test(test_full_out),      cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_replay),        cmocka_unit_test(test_lanes),
        cmocka_unit_test(test_inner),         cmocka_unit_test(test_not_sent),
        cmocka_unit_test(test_grouping),      cmocka_unit_test(test_ecn),
        cmocka_unit_test(test_staging),       cmocka_unit_test(test_staging_age),
        cmocka_unit_test(test_staging_order), cmocka_unit_test(test_staging_workers),
        cmocka_unit_test(test_quiet_lane),    cmocka_unit_test(test_staging_total),
        cmocka_unit_test(test_control),       cmocka_unit_test(test_moved),
        cmocka_unit_test(test_unproven),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
