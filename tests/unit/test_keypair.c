#include "crypto/crypto.h"
#include "path/internal.h"
#include "proto/control.h"
#include "path_pair.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct pair_record records[PAIR_RECORDS];

static size_t seal_data(struct pair *p, struct pair_side *from)
{
    struct packet_spec spec = packet_spec(4, 17, 100);

    if (from == &p->b) {
        spec.src = 2;
        spec.dst = 1;
    }
    return pair_seal(p, from, &spec, 0, records);
}

static size_t seal_keepalive(struct pair *p, struct pair_side *from)
{
    static const uint8_t keepalive[] = {1, 0, 0};

    return pair_control(p, from, keepalive, sizeof(keepalive), 0, NULL, records);
}

static struct cq_path_peer_status peer_status(const struct pair_side *side)
{
    struct cq_path_peer_status status;

    cq_path_peer_get_status(side->peer, &status);
    return status;
}

static struct cq_keypair_status keypair_status(const struct pair_side *side)
{
    struct cq_keypair_status status;

    cq_keypair_get_status(side->keypair, &status);
    return status;
}

/* ---- life ---- */

static void test_expiry(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    p.now = p.a.params.send_until - 1;
    assert_int_equal(seal_data(&p, &p.a), 1);
    pair_skip_events(&p.a);
    struct pair_record late = records[0];
    p.now++;
    assert_int_equal(seal_data(&p, &p.a), 0); /* staged */
    assert_int_equal(peer_status(&p.a).num_staged, 1);
    (void)pair_expect(&p.a, CQ_PATH_NEED_SESSION);
    assert_int_equal(seal_keepalive(&p, &p.a), 0);
    assert_int_equal(pair_drops(&p.a, CQ_DROP_KEY_EXPIRED), 1);

    p.now = p.b.params.recv_until;
    pair_open(&p, &p.b, &p.a, &late, 1);
    assert_int_equal(pair_drops(&p.b, CQ_DROP_KEY_EXPIRED), 1);
    assert_int_equal(keypair_status(&p.b).opened, 0);
    p.now--;
    pair_open(&p, &p.b, &p.a, &late, 1);
    assert_int_equal(keypair_status(&p.b).opened, 1);
    pair_free(&p);
}

static void test_removed(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    assert_int_equal(seal_data(&p, &p.a), 1);
    cq_path_keypair_remove(p.a.path, p.a.keypair);
    cq_path_keypair_remove(p.b.path, p.b.keypair);
    struct pair_record record = records[0];
    assert_int_equal(seal_data(&p, &p.a), 0);
    pair_open(&p, &p.b, &p.a, &record, 1);
    assert_int_equal(pair_drops(&p.b, CQ_DROP_UNKNOWN_INDEX), 1);
    /* The index is free again. */
    assert_int_equal(cq_path_keypair_add(p.b.path, p.b.peer, &p.b.params, &p.b.keypair), CQ_OK);
    struct cq_keypair *other;
    assert_int_equal(cq_path_keypair_add(p.b.path, p.b.peer, &p.b.params, &other), CQ_ERR_EXISTS);
    pair_open(&p, &p.b, &p.a, &record, 1);
    assert_int_equal(p.b.in.num_frames, 1);
    pair_free(&p);
}

/* While a worker is inside, a removed keypair stays; it is gone for those who come later. */
static void test_removed_inside(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    cq_path_enter(p.a.worker);
    cq_path_keypair_remove(p.a.path, p.a.keypair);
    assert_true(cq_path_reclaim(p.a.path));
    assert_int_equal(p.a.keypair->local_idx, p.a.params.local_idx); /* not freed */
    (void)!cq_path_leave(p.a.worker);
    assert_false(cq_path_reclaim(p.a.path));
    pair_free(&p);
}

/* A second session: sending moves to it, both are received on. */
static void test_two_sessions(void **state)
{
    struct cq_keypair_params a2 = pair_params(CQ_SUITE_CHACHA20_POLY1305, 1, 91, 92);
    struct cq_keypair_params b2 = pair_params(CQ_SUITE_CHACHA20_POLY1305, 2, 92, 91);
    struct cq_keypair *a, *b;
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    assert_int_equal(seal_data(&p, &p.a), 1);
    struct pair_record both[2] = {records[0]};
    assert_int_equal(cq_path_keypair_add(p.a.path, p.a.peer, &a2, &a), CQ_OK);
    assert_int_equal(cq_path_keypair_add(p.b.path, p.b.peer, &b2, &b), CQ_OK);
    cq_path_peer_set_current(p.a.path, p.a.peer, a);
    assert_int_equal(seal_data(&p, &p.a), 1);
    both[1] = records[0];
    pair_open(&p, &p.b, &p.a, both, 2);
    assert_int_equal(cq_counter_get(&cq_path_worker_totals(p.b.worker)->inner_received), 2);
    assert_int_equal(pair_expect(&p.b, CQ_PATH_FIRST_RECORD).local_idx, p.b.params.local_idx);
    (void)pair_expect(&p.b, CQ_PATH_UNREPLIED);
    assert_int_equal(pair_expect(&p.b, CQ_PATH_FIRST_RECORD).local_idx, 92);
    pair_free(&p);
}

/* ---- events and status ---- */

static void test_first_record(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    assert_int_equal(keypair_status(&p.b).first_opened, CQ_TIME_NEVER);
    seal_keepalive(&p, &p.a);
    p.now += 5;
    pair_open(&p, &p.b, &p.a, records, 1);
    struct cq_path_event event = pair_expect(&p.b, CQ_PATH_FIRST_RECORD);
    assert_true(event.has_keypair);
    assert_int_equal(event.local_idx, p.b.params.local_idx);
    assert_int_equal(event.counter, 0);
    assert_int_equal(event.bytes, 35);
    assert_int_equal(event.when, p.now);
    assert_true(cq_addr_equal(&event.route.remote, &p.a.source.route.remote));
    assert_int_equal(keypair_status(&p.b).first_opened, p.now);
    cq_time first = p.now++;
    seal_keepalive(&p, &p.a);
    pair_open(&p, &p.b, &p.a, records, 1);
    pair_expect_none(&p.b);
    assert_int_equal(keypair_status(&p.b).first_opened, first);
    assert_int_equal(keypair_status(&p.b).last_opened, p.now);
    assert_int_equal(peer_status(&p.b).last_received, p.now);
    assert_int_equal(peer_status(&p.b).rx_packets, 2);
    assert_int_equal(peer_status(&p.b).rx_bytes, 70);
    assert_int_equal(peer_status(&p.a).tx_bytes, 70);
    assert_false(keypair_status(&p.b).carried_data);
    pair_free(&p);
}

static void test_rotate_due(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    seal_data(&p, &p.a);
    pair_skip_events(&p.a);
    assert_true(keypair_status(&p.a).carried_data);
    cq_time at = p.now + 1000;
    cq_path_keypair_set_rotate_at(p.a.keypair, at);
    cq_path_keypair_set_rotate_at(p.b.keypair, at);
    p.now = at - 1;
    seal_data(&p, &p.a);
    pair_expect_none(&p.a);
    p.now = at;
    seal_keepalive(&p, &p.a); /* keepalives do not count */
    pair_expect_none(&p.a);
    pair_open(&p, &p.b, &p.a, records, 1);
    pair_skip_events(&p.b);
    seal_data(&p, &p.a);
    assert_int_equal(pair_expect(&p.a, CQ_PATH_ROTATE_DUE).local_idx, p.a.params.local_idx);
    pair_open(&p, &p.b, &p.a, records, 1);
    (void)pair_expect(&p.b, CQ_PATH_ROTATE_DUE); /* for DATA received as well */
    seal_data(&p, &p.a);
    pair_expect_none(&p.a);
    cq_path_keypair_set_rotate_at(p.a.keypair, p.now + 5);
    p.now += 5;
    seal_data(&p, &p.a);
    (void)pair_expect(&p.a, CQ_PATH_ROTATE_DUE);
    pair_free(&p);
}

static void test_unanswered(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    assert_int_equal(peer_status(&p.a).unanswered_since, CQ_TIME_NEVER);
    cq_time first = p.now;
    seal_data(&p, &p.a);
    (void)pair_expect(&p.a, CQ_PATH_UNANSWERED);
    p.now += 10;
    seal_data(&p, &p.a);
    pair_expect_none(&p.a);
    assert_int_equal(peer_status(&p.a).unanswered_since, first);
    assert_int_equal(peer_status(&p.a).last_sent, p.now);
    /* Armed while it holds: reported with the next. */
    cq_path_peer_arm_unanswered(p.a.peer);
    seal_data(&p, &p.a);
    (void)pair_expect(&p.a, CQ_PATH_UNANSWERED);
    /* A PONG answers on whatever session asked, and proves nothing of this one. */
    static const uint8_t pong[11] = {CQ_CONTROL_PONG, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8};
    (void)pair_control(&p, &p.b, pong, sizeof(pong), 0, NULL, records);
    pair_open(&p, &p.a, &p.b, records, 1);
    pair_skip_events(&p.a);
    assert_int_equal(peer_status(&p.a).unanswered_since, first);
    /* Any other record answers; without arming nothing is reported afterwards. */
    seal_keepalive(&p, &p.b);
    pair_open(&p, &p.a, &p.b, records, 1);
    pair_skip_events(&p.a);
    assert_int_equal(peer_status(&p.a).unanswered_since, CQ_TIME_NEVER);
    p.now += 10;
    seal_data(&p, &p.a);
    pair_expect_none(&p.a);
    assert_int_equal(peer_status(&p.a).unanswered_since, p.now);
    /* A keepalive wants no answer, unless it is the confirmation of keys that nothing came back on.
     */
    seal_keepalive(&p, &p.b);
    pair_open(&p, &p.a, &p.b, records, 1);
    cq_path_peer_arm_unanswered(p.a.peer);
    seal_keepalive(&p, &p.a);
    pair_expect_none(&p.a);
    assert_int_equal(peer_status(&p.a).unanswered_since, CQ_TIME_NEVER);
    pair_free(&p);
    pair_init(&p, NULL);
    seal_keepalive(&p, &p.a);
    (void)pair_expect(&p.a, CQ_PATH_UNANSWERED);
    pair_free(&p);
}

static void test_unreplied(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    seal_keepalive(&p, &p.a);
    pair_open(&p, &p.b, &p.a, records, 1);
    (void)pair_expect(&p.b, CQ_PATH_FIRST_RECORD);
    pair_expect_none(&p.b); /* not for a keepalive */
    seal_data(&p, &p.a);
    p.now += 10;
    pair_open(&p, &p.b, &p.a, records, 1);
    (void)pair_expect(&p.b, CQ_PATH_UNREPLIED);
    cq_time since = p.now;
    p.now += 10;
    seal_data(&p, &p.a);
    pair_open(&p, &p.b, &p.a, records, 1);
    pair_expect_none(&p.b);
    assert_int_equal(peer_status(&p.b).unreplied_since, since);
    seal_keepalive(&p, &p.b); /* anything sent ends it */
    assert_int_equal(peer_status(&p.b).unreplied_since, CQ_TIME_NEVER);
    pair_skip_events(&p.b);
    cq_path_peer_arm_unreplied(p.b.peer);
    seal_data(&p, &p.a);
    pair_open(&p, &p.b, &p.a, records, 1);
    (void)pair_expect(&p.b, CQ_PATH_UNREPLIED);
    pair_free(&p);
}

/* With the ring full nothing that holds is forgotten: it is reported once there is room. */
static void test_full_ring(void **state)
{
    static const uint8_t ping[] = {2, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8};
    struct pair p;
    int num = 0;

    (void)state;
    pair_init(&p, NULL);
    cq_path_peer_set_current(p.b.path, p.b.peer, NULL);
    struct cq_path_event event = {.type = CQ_PATH_NEED_SESSION};
    while (cq_event_push(p.b.worker, &event))
        num++;
    assert_int_equal(num, CQ_EVENT_RING);
    cq_path_peer_set_current(p.b.path, p.b.peer, p.b.keypair);
    cq_path_keypair_set_rotate_at(p.b.keypair, 0);
    seal_data(&p, &p.a);
    pair_open(&p, &p.b, &p.a, records, 1);
    pair_control(&p, &p.a, ping, sizeof(ping), 0, NULL, records);
    pair_open(&p, &p.b, &p.a, records, 1);
    assert_int_equal(pair_drops(&p.b, CQ_DROP_QUEUE_FULL), 1);
    pair_skip_events(&p.b);
    seal_data(&p, &p.a);
    pair_open(&p, &p.b, &p.a, records, 1);
    (void)pair_expect(&p.b, CQ_PATH_FIRST_RECORD);
    (void)pair_expect(&p.b, CQ_PATH_ROTATE_DUE);
    (void)pair_expect(&p.b, CQ_PATH_UNREPLIED);
    pair_expect_none(&p.b);
    pair_free(&p);
}

/* ---- limits ---- */

static void test_record_limit(void **state)
{
    struct pair p;
    uint64_t max = cq_record_limits(CQ_SUITE_AES_256_GCM).records;

    (void)state;
    pair_init(&p, NULL);
    seal_data(&p, &p.a);
    pair_skip_events(&p.a);
    atomic_store(&p.a.keypair->reserved, max / 2 - 128);
    for (int i = 0; i < 63 + 64; i++)
        seal_data(&p, &p.a);
    pair_expect_none(&p.a);
    seal_data(&p, &p.a); /* reserves the chunk that makes it half */
    struct cq_path_event event = pair_expect(&p.a, CQ_PATH_LIMIT);
    assert_false(event.exhausted);
    assert_int_equal(event.local_idx, p.a.params.local_idx);
    atomic_store(&p.a.keypair->reserved, max - 64);
    for (int i = 0; i < 63 + 64; i++)
        assert_int_equal(seal_data(&p, &p.a), 1);
    pair_expect_none(&p.a);
    assert_int_equal(seal_data(&p, &p.a), 0); /* staged */
    (void)pair_expect(&p.a, CQ_PATH_NEED_SESSION);
    assert_true(pair_expect(&p.a, CQ_PATH_LIMIT).exhausted);
    assert_int_equal(seal_data(&p, &p.a), 0);
    assert_int_equal(seal_keepalive(&p, &p.a), 0);
    pair_expect_none(&p.a);
    assert_int_equal(peer_status(&p.a).num_staged, 2);
    pair_free(&p);
}

static void test_byte_limit(void **state)
{
    struct pair p;
    uint64_t max = cq_record_limits(CQ_SUITE_AES_256_GCM).bytes;

    (void)state;
    pair_init(&p, NULL);
    assert_true(p.a.keypair->limits.bytes < max);
    assert_true(max - p.a.keypair->limits.bytes >= 64 * CQ_RECORD_PLAINTEXT_MAX);
    seal_data(&p, &p.a);
    atomic_store(&p.a.keypair->reported_bytes, p.a.keypair->limits.bytes);
    int num = 0;
    while (num < 1000 && seal_data(&p, &p.a) == 1)
        num++;
    assert_int_equal(num, 63);
    pair_free(&p);
}

static void test_counter_end(void **state)
{
    struct pair_options options = {.suite = CQ_SUITE_CHACHA20_POLY1305};
    struct pair p;

    (void)state;
    pair_init(&p, &options);
    atomic_store(&p.a.keypair->lanes[0].seq, CQ_RECORD_SEQ_MAX);
    assert_int_equal(seal_data(&p, &p.a), 1);
    pair_open(&p, &p.b, &p.a, records, 1);
    assert_int_equal(p.b.in.num_frames, 1);
    assert_int_equal(seal_data(&p, &p.a), 0);
    assert_int_equal(seal_data(&p, &p.a), 0);
    pair_free(&p);
}

static void test_failed_tags(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    seal_data(&p, &p.a);
    struct pair_record good = records[0];
    struct pair_record bad = good;
    bad.data[20] ^= 1;
    atomic_store(&p.b.keypair->failed_tags, CQ_RECORD_MAX_FAILED_TAGS / 2 - 2);
    pair_open(&p, &p.b, &p.a, &bad, 1);
    pair_expect_none(&p.b);
    pair_open(&p, &p.b, &p.a, &bad, 1);
    assert_false(pair_expect(&p.b, CQ_PATH_LIMIT).exhausted);
    atomic_store(&p.b.keypair->failed_tags, CQ_RECORD_MAX_FAILED_TAGS - 1);
    pair_open(&p, &p.b, &p.a, &bad, 1);
    assert_true(pair_expect(&p.b, CQ_PATH_LIMIT).exhausted);
    pair_open(&p, &p.b, &p.a, &good, 1);
    assert_int_equal(p.b.in.num_frames, 0);
    assert_int_equal(pair_drops(&p.b, CQ_DROP_KEY_EXPIRED), 1);
    pair_free(&p);
}

/* ---- memory ---- */

static size_t live, calls, fail_at;

static void *failing_alloc(void *ctx, size_t size)
{
    (void)ctx;
    if (++calls == fail_at)
        return NULL;
    live++;
    return calloc(1, size);
}

static void failing_free(void *ctx, void *p, size_t size)
{
    (void)ctx;
    if (p != NULL) {
        live--;
        memset(p, 0xdd, size);
    }
    free(p);
}

static const struct cq_allocator failing = {failing_alloc, failing_free, NULL};

/* Each allocation fails in turn: an error, nothing lost, and everything works once there is memory.
 */
static void test_no_memory(void **state)
{
    struct pair_options options = {.allocator = &failing, .workers = 2};
    enum cq_err err = CQ_ERR_NOMEM;

    (void)state;
    for (size_t n = 1; err != CQ_OK; n++) {
        struct pair_side side;
        calls = 0;
        fail_at = n;
        err = pair_init_side(&side, &options, 1, 2);
        fail_at = 0;
        assert_true(err == CQ_OK || err == CQ_ERR_NOMEM);
        cq_path_free(side.path);
        free(side.out_buf);
        assert_int_equal(live, 0);
        assert_true(n < 100);
    }
    assert_true(calls > 8);
}

static void test_no_memory_while_running(void **state)
{
    struct pair_options options = {.allocator = &failing, .workers = 2};
    struct cq_path_endpoint endpoint = {.route = pair_route(7)};
    struct cq_prefix prefix = {{CQ_FAMILY_IPV4, {10, 7, 0, 0}}, 16};
    struct pair p;

    (void)state;
    fail_at = 0;
    pair_init(&p, &options);
    size_t before = live;
    for (size_t n = 1; n <= 4; n++) {
        calls = 0;
        fail_at = n;
        if (cq_path_peer_set_prefixes(p.a.path, p.a.peer, &prefix, 1) == CQ_OK)
            break;
        assert_int_equal(live, before);
        assert_true(n < 4);
    }
    fail_at = 0;
    struct cq_prefix old[] = {{{CQ_FAMILY_IPV4, {10, 0, 0, 2}}, 32}};
    assert_int_equal(cq_path_peer_set_prefixes(p.a.path, p.a.peer, old, 1), CQ_OK);
    calls = 0;
    fail_at = 1;
    assert_int_equal(cq_path_peer_set_endpoint(p.a.path, p.a.peer, &endpoint), CQ_ERR_NOMEM);
    assert_int_equal(seal_data(&p, &p.a), 1); /* still goes to the old one */

    /* No window for a new lane: the record is dropped, and may come again. */
    p.a.worker = cq_path_get_worker(p.a.path, 1);
    assert_int_equal(seal_data(&p, &p.a), 1);
    calls = 0;
    pair_open(&p, &p.b, &p.a, records, 1);
    assert_int_equal(pair_drops(&p.b, CQ_DROP_NO_BUFFER), 1);
    fail_at = 0;
    pair_open(&p, &p.b, &p.a, records, 1);
    assert_int_equal(p.b.in.num_frames, 1);

    /* No memory for staging: the packet is dropped. */
    cq_path_peer_set_current(p.a.path, p.a.peer, NULL);
    calls = 0;
    fail_at = 1;
    assert_int_equal(seal_data(&p, &p.a), 0);
    assert_int_equal(pair_drops(&p.a, CQ_DROP_STAGED_FULL), 1);
    fail_at = 0;
    assert_int_equal(seal_data(&p, &p.a), 0);
    assert_int_equal(peer_status(&p.a).num_staged, 1);
    pair_free(&p);
    assert_int_equal(live, 0);
}

/* ---- threads ---- */

struct stress {
    struct pair pair;
    struct pair_side *side;
    _Atomic bool stop;
    _Atomic uint64_t rounds;
    uint64_t sealed, opened;
};

/* A worker that seals, and opens what it gets of its own: A and B share a thread each as both sides
 * of a session. */
static void *run_stress(void *arg)
{
    struct stress *s = arg;
    struct pair_side *side = s->side;
    static _Thread_local uint8_t buf[PACKET_MAX + CQ_PATH_SLACK];
    uint8_t record[2048];
    struct packet_spec spec = packet_spec(4, 6, 4000);

    while (!atomic_load(&s->stop)) {
        struct cq_path_frame frame = packet_make_frame(buf, &spec, 1000);
        cq_path_enter(side->worker);
        while (!cq_path_seal(side->worker, &side->out, &frame, s->pair.now))
            cq_path_out_reset(&side->out);
        s->sealed += side->out.num_sends;
        /* A record to itself: idx and keys are those of the newest session, whatever comes of it.
         */
        if (side->out.num_sends > 0) {
            memcpy(record, side->out.sends[0].data, side->out.sends[0].segment);
            struct cq_path_datagram d = {record, side->out.sends[0].segment};
            cq_path_in_reset(&side->in);
            cq_path_open(side->worker, &side->in, &side->source, &d, 1, s->pair.now);
            s->opened += side->in.num_frames;
        }
        cq_path_out_reset(&side->out);
        (void)!cq_path_send_staged(side->worker, &side->out, PAIR_PEER, s->pair.now);
        cq_path_out_reset(&side->out);
        (void)!cq_path_leave(side->worker);
        atomic_fetch_add(&s->rounds, 1);
    }
    return NULL;
}

/* Everything that the control thread may replace is replaced while a worker runs. */
static void test_stress(void **state)
{
    static struct stress s;
    struct cq_prefix prefixes[] = {
        {{CQ_FAMILY_IPV4, {10, 0, 0, 2}}, 32},
        {{CQ_FAMILY_IPV4, {10, 0, 0, 1}}, 32},
        {{CQ_FAMILY_IPV4, {10, 0, 0, 0}}, 24},
    };
    pthread_t thread;
    uint64_t removed = 0;

    (void)state;
    pair_init(&s.pair, NULL);
    s.side = &s.pair.a;
    assert_int_equal(pthread_create(&thread, NULL, run_stress, &s), 0);
    for (uint32_t i = 0; i < 3000 || atomic_load(&s.rounds) < 3000; i++) {
        struct cq_keypair_params params = pair_params(CQ_SUITE_AES_256_GCM, 1, i + 5, i + 5);
        struct cq_keypair *keypair;
        memcpy(params.recv_key, params.send_key, 32);
        memcpy(params.recv_iv, params.send_iv, 12);
        struct cq_path_endpoint endpoint = {.route = pair_route((uint8_t)i)};
        assert_int_equal(cq_path_keypair_add(s.side->path, s.side->peer, &params, &keypair), CQ_OK);
        cq_path_peer_set_current(s.side->path, s.side->peer, keypair);
        assert_int_equal(cq_path_peer_set_prefixes(s.side->path, s.side->peer, prefixes, 1 + i % 3),
                         CQ_OK);
        assert_int_equal(cq_path_peer_set_endpoint(s.side->path, s.side->peer, &endpoint), CQ_OK);
        pair_skip_events(s.side);
        if (i % 7 == 0)
            sched_yield();
        cq_path_keypair_remove(s.side->path, keypair);
        removed++;
        if (i % 100 == 99) {
            cq_path_peer_remove(s.side->path, s.side->peer);
            assert_int_equal(cq_path_peer_add(s.side->path, PAIR_PEER, &s.side->peer), CQ_OK);
        }
    }
    atomic_store(&s.stop, true);
    pthread_join(thread, NULL);
    assert_false(cq_path_reclaim(s.side->path));
    assert_true(removed >= 3000);
    assert_true(s.sealed > 0 && s.opened > 0);
    pair_free(&s.pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_removed),
        cmocka_unit_test(test_removed_inside),
        cmocka_unit_test(test_two_sessions),
        cmocka_unit_test(test_first_record),
        cmocka_unit_test(test_rotate_due),
        cmocka_unit_test(test_unanswered),
        cmocka_unit_test(test_unreplied),
        cmocka_unit_test(test_full_ring),
        cmocka_unit_test(test_record_limit),
        cmocka_unit_test(test_byte_limit),
        cmocka_unit_test(test_counter_end),
        cmocka_unit_test(test_failed_tags),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_no_memory_while_running),
        cmocka_unit_test(test_stress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
