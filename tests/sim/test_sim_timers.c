/*
 * The initiator's schedule (docs/protocol.md sections 3, 4 and 6): retransmission, stages,
 * attempts, cookies left out, pushed keys; and keepalives, dead peers, CLOSE and PING.
 */
#include "duo.h"

#include "base/bytes.h"
#include "proto/control.h"
#include "proto/wire.h"

static bool same_bytes(const struct lab_sent *x, const struct lab_sent *y)
{
    return x->datagram->len == y->datagram->len &&
           memcmp(x->datagram->data, y->datagram->data, x->datagram->len) == 0;
}

static void assert_between(cq_time value, cq_time low, cq_time high)
{
    if (value < low || value > high)
        fail_msg("%.3f s is outside %.3f to %.3f s", (double)value * 1e-9, (double)low * 1e-9,
                 (double)high * 1e-9);
}

/* ---- retransmission ---- */

/* A stage is 8 s: the same bytes after 0.4 s, doubling to 5 s, each plus up to 20 %. */
static void check_stage(const struct lab *lab, const struct lab_node *from, uint8_t type,
                        cq_time attempt_ends, size_t *index, cq_time *out_begin)
{
    const struct lab_sent *first = lab_find_sent(lab, from, type, *index), *before = first, *s;
    cq_time interval = MS(400);
    assert_non_null(first);
    cq_time ends = cq_time_min(first->when + SECS(8), attempt_ends);
    while ((s = lab_find_sent(lab, from, type, ++*index)) != NULL && same_bytes(s, first)) {
        assert_between(s->when - before->when, interval, interval + interval / 5);
        assert_true(s->when < ends);
        interval = interval * 2 < SECS(5) ? interval * 2 : SECS(5);
        before = s;
    }
    /* The next one would have been due after the stage's end. */
    assert_true(before->when + interval + interval / 5 >= ends);
    *out_begin = first->when;
}

static void test_init_schedule(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 5; seed++) {
        struct duo duo = duo_new(&(struct duo_config){.seed = seed, .of_a.replied_before = true});
        size_t index = 0, stages = 0, num;
        duo.lab->filter = filter_nothing_passes;
        lab_record(duo.lab, true);
        cq_time start = duo.lab->now, begin;
        (void)lab_send_packet(lab_flow(duo.a, duo.b, 0, 0));
        lab_run_for(duo.lab, SECS(90) - 1);
        assert_true(lab_status(duo.a, duo.b).handshaking);
        assert_int_equal(lab_status(duo.a, duo.b).path.num_staged, 1);
        num = lab_count_sent(duo.lab, duo.a, CQ_MSG_INIT);
        /* 90 s: the attempt ends, the queue with it, and nothing happens any more. */
        lab_run_for(duo.lab, 1);
        assert_false(lab_status(duo.a, duo.b).handshaking);
        assert_int_equal(lab_status(duo.a, duo.b).failed, 1);
        assert_int_equal(lab_status(duo.a, duo.b).path.num_staged, 0);
        assert_int_equal(cq_engine_next_expiry(duo.a->engine), CQ_TIME_NEVER);
        lab_run_for(duo.lab, SECS(300));
        assert_int_equal(lab_count_sent(duo.lab, duo.a, CQ_MSG_INIT), num);

        while (index < num) {
            check_stage(duo.lab, duo.a, CQ_MSG_INIT, start + SECS(90), &index, &begin);
            assert_int_equal(begin, start + (cq_time)stages * SECS(8));
            stages++;
        }
        assert_int_equal(stages, 12); /* 0, 8, ... 88 s */
        /* The next packet starts again. */
        lab_send_packet(lab_flow(duo.a, duo.b, 0, 0));
        assert_int_equal(lab_count_sent(duo.lab, duo.a, CQ_MSG_INIT), num + 1);
        duo_free(&duo);
    }
}

/* Asking for a key has no stages: the same bytes for 90 s, up to 5 s (and 20 %) apart. */
static void test_key_request_schedule(void **state)
{
    struct duo duo = duo_new(&(struct duo_config){.of_a.no_key = true});
    const struct lab_sent *s, *before = NULL;
    cq_time interval = MS(400);
    size_t num = 0;
    (void)state;
    duo.lab->filter = filter_nothing_passes;
    lab_record(duo.lab, true);
    cq_time start = duo.lab->now;
    (void)lab_send_packet(lab_flow(duo.a, duo.b, 0, 0));
    lab_run_for(duo.lab, SECS(90) - 1);
    assert_true(lab_status(duo.a, duo.b).handshaking);
    lab_run_for(duo.lab, 1);
    assert_false(lab_status(duo.a, duo.b).handshaking);
    assert_int_equal(lab_status(duo.a, duo.b).path.num_staged, 0);
    for (; (s = lab_find_sent(duo.lab, duo.a, CQ_MSG_KEY_REQUEST, num)) != NULL; num++) {
        if (before != NULL) {
            assert_true(same_bytes(s, before));
            assert_between(s->when - before->when, interval, interval + interval / 5);
            interval = interval * 2 < SECS(5) ? interval * 2 : SECS(5);
        }
        before = s;
    }
    assert_int_equal(interval, SECS(5));
    assert_true(before->when > start + SECS(84));
    assert_int_equal(duo.lab->num_sent, num); /* and nothing else */
    duo_free(&duo);
}

/* Each INIT has its own index, ephemeral key and ciphertext. */
static void test_inits_differ(void **state)
{
    struct duo duo = duo_new(NULL);
    const struct lab_sent *inits[64];
    size_t num = 0;
    (void)state;
    duo.lab->filter = filter_nothing_passes;
    lab_record(duo.lab, true);
    (void)lab_send_packet(lab_flow(duo.a, duo.b, 0, 0));
    lab_run_for(duo.lab, SECS(90));
    for (size_t i = 0; lab_find_sent(duo.lab, duo.a, CQ_MSG_INIT, i) != NULL; i++) {
        const struct lab_sent *s = lab_find_sent(duo.lab, duo.a, CQ_MSG_INIT, i);
        if (num == 0 || !same_bytes(s, inits[num - 1]))
            inits[num++] = s;
    }
    assert_int_equal(num, 12);
    for (size_t i = 0; i < num; i++)
        for (size_t k = 0; k < i; k++) {
            const uint8_t *x = inits[i]->datagram->data, *y = inits[k]->datagram->data;
            assert_memory_not_equal(x + CQ_INIT_IDX, y + CQ_INIT_IDX, 4);
            assert_memory_not_equal(x + CQ_INIT_E, y + CQ_INIT_E, 32);
            assert_memory_not_equal(x + CQ_INIT_CT, y + CQ_INIT_CT, 1088);
            assert_memory_not_equal(x + CQ_INIT_ENC_ID, y + CQ_INIT_ENC_ID, 48);
        }
    duo_free(&duo);
}

static bool lose_accepts(void *ctx, const struct lab_node *from, struct lab_datagram *d)
{
    (void)ctx;
    (void)from;
    return d->data[0] != CQ_MSG_ACCEPT;
}

/* OFFER has a schedule of its own; when its stage ends a new INIT begins the next handshake. */
static void test_offer_schedule(void **state)
{
    struct duo duo = duo_new(NULL);
    size_t index = 0;
    cq_time begin;
    (void)state;
    duo.lab->filter = lose_accepts;
    lab_record(duo.lab, true);
    cq_time start = duo.lab->now;
    (void)lab_send_packet(lab_flow(duo.a, duo.b, 0, 0));
    lab_run_for(duo.lab, SECS(16));
    check_stage(duo.lab, duo.a, CQ_MSG_OFFER, start + SECS(90), &index, &begin);
    assert_int_equal(begin, start + MS(40));
    const struct lab_sent *first = lab_find_sent(duo.lab, duo.a, CQ_MSG_INIT, 0);
    const struct lab_sent *second = lab_find_sent(duo.lab, duo.a, CQ_MSG_INIT, 1);
    assert_int_equal(first->when, start);
    assert_int_equal(second->when, begin + SECS(8));
    assert_false(same_bytes(first, second));
    /* Each OFFER had the same ACCEPT, from the one cached. */
    for (size_t i = 1; i < index; i++)
        assert_true(same_bytes(lab_find_sent(duo.lab, duo.b, CQ_MSG_ACCEPT, 0),
                               lab_find_sent(duo.lab, duo.b, CQ_MSG_ACCEPT, i)));
    duo_free(&duo);
}

/* A REPLY counts for either of the two newest INITs, and for no third. */
static void test_two_newest_inits(void **state)
{
    (void)state;
    for (unsigned age = 0; age < 4; age++) {
        struct duo duo = duo_new(NULL);
        uint64_t lost = TYPE_BIT(CQ_MSG_REPLY);
        duo.lab->filter = filter_types;
        duo.lab->filter_ctx = &lost;
        lab_record(duo.lab, true);
        (void)lab_send_packet(lab_flow(duo.a, duo.b, 0, 0));
        lab_run_for(duo.lab, MS(100) + age * SECS(8));
        const struct lab_datagram *reply = lab_find_sent(duo.lab, duo.b, CQ_MSG_REPLY, 0)->datagram;
        lab_deliver(duo.a, &reply->from, reply->data, reply->len);
        assert_int_equal(lab_count_sent(duo.lab, duo.a, CQ_MSG_OFFER), age < 2);
        assert_int_equal(lab_drops(duo.a, CQ_DROP_UNKNOWN_INDEX), age >= 2);
        /* Once an OFFER is out, another REPLY changes nothing. */
        lab_deliver(duo.a, &reply->from, reply->data, reply->len);
        assert_int_equal(lab_count_sent(duo.lab, duo.a, CQ_MSG_OFFER), age < 2);
        duo_free(&duo);
    }
}

/* ---- cookies and pushed keys in an attempt ---- */

static bool is_zero(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i] != 0)
            return false;
    return true;
}

struct attempt_log {
    unsigned inits;             /* different ones */
    unsigned pushes_before[16]; /* KEY_PUSHes before each */
    unsigned copies[16];
    bool cookie[16];
};

static void read_attempt(const struct lab *lab, const struct lab_node *node,
                         struct attempt_log *out)
{
    const struct lab_datagram *last = NULL;
    unsigned pushes = 0;
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < lab->num_sent; i++) {
        const struct lab_datagram *d = lab->sent[i].datagram;
        if (!cq_addr_equal(&d->from, &node->address))
            continue;
        if (d->data[0] == CQ_MSG_KEY_PUSH)
            pushes++;
        if (d->data[0] != CQ_MSG_INIT)
            continue;
        if (last == NULL || memcmp(last->data, d->data, d->len) != 0) {
            assert_true(out->inits < 16);
            out->cookie[out->inits] = !is_zero(d->data + CQ_INIT_MAC2, CQ_MAC_LEN);
            out->inits++;
        }
        out->pushes_before[out->inits - 1] += pushes;
        out->copies[out->inits - 1]++;
        pushes = 0;
        last = d;
    }
}

static void test_pushes(void **state)
{
    (void)state;
    for (unsigned replied = 0; replied < 2; replied++) {
        struct duo duo = duo_new(&(struct duo_config){.of_a.replied_before = replied == 1});
        struct attempt_log log;
        duo.lab->filter = filter_nothing_passes;
        lab_record(duo.lab, true);
        (void)lab_send_packet(lab_flow(duo.a, duo.b, 0, 0));
        lab_run_for(duo.lab, SECS(90));
        read_attempt(duo.lab, duo.a, &log);
        assert_int_equal(log.inits, 12);
        for (unsigned i = 0; i < log.inits; i++) {
            bool due = (i > 0 && i % 4 == 0) || (replied == 0 && i <= 2);
            assert_int_equal(log.pushes_before[i], due ? log.copies[i] : 0);
        }
        duo_free(&duo);
    }
}

/* One who stands on the way answers every INIT with a COOKIE of his own (he knows the ID, not the
 * responder's secret): INITs 3, 6, 9 go without a cookie, so the peer is reached all the same. */
static void test_cookies_left_out(void **state)
{
    struct duo duo = duo_new(&(struct duo_config){.of_a.replied_before = true});
    struct attempt_log log;
    uint64_t lost = TYPE_BIT(CQ_MSG_REPLY);
    (void)state;
    duo.lab->filter = filter_types;
    duo.lab->filter_ctx = &lost;
    lab_record(duo.lab, true);
    cq_time start = duo.lab->now;
    /* The responder is under load all the time, so each INIT without its cookie is answered by one.
     */
    (void)lab_send_packet(lab_flow(duo.a, duo.b, 0, 0));
    while (duo.lab->now < start + SECS(89)) {
        cq_engine_note_overload(duo.b->engine, duo.lab->now);
        lab_run_for(duo.lab, MS(100));
    }
    read_attempt(duo.lab, duo.a, &log);
    assert_true(log.inits >= 12);
    assert_false(log.cookie[0]);
    for (unsigned i = 1; i < log.inits; i++)
        assert_int_equal(log.cookie[i], i % 3 != 0);
    /* The COOKIE was acted upon at once, once in the attempt. */
    const struct lab_sent *cookie = lab_find_sent(duo.lab, duo.b, CQ_MSG_COOKIE, 0);
    const struct lab_sent *second = lab_find_sent(duo.lab, duo.a, CQ_MSG_INIT, 1);
    assert_int_equal(second->when, cookie->when + MS(20));
    duo_free(&duo);
}

/* Whether a's first INIT of a new handshake carries a cookie. */
static bool next_init_has_cookie(struct duo *duo)
{
    lab_record(duo->lab, true);
    lab_rotate(duo->a, duo->b);
    const struct lab_sent *init = lab_find_sent(duo->lab, duo->a, CQ_MSG_INIT, 0);
    assert_non_null(init);
    return !is_zero(init->datagram->data + CQ_INIT_MAC2, CQ_MAC_LEN);
}

/* A cookie is kept for 100 s from its receipt, and only for the address for which it was given. */
static void test_cookie_is_held(void **state)
{
    static const struct cq_addr elsewhere = {{CQ_FAMILY_IPV4, {203, 0, 113, 9}}, 999, 0};
    (void)state;
    for (unsigned which = 0; which < 3; which++) {
        struct duo duo = duo_new(NULL);
        lab_record(duo.lab, true);
        cq_engine_note_overload(duo.b->engine, duo.lab->now);
        duo_establish(&duo);
        cq_time received = lab_find_sent(duo.lab, duo.b, CQ_MSG_COOKIE, 0)->when + MS(20);
        if (which == 2) {
            lab_move(duo.b, &elsewhere);
            (void)lab_send_packet(lab_flow(duo.b, duo.a, 0, 0));
            lab_run_for(duo.lab, SECS(1));
            assert_int_equal(duo.a->events[CQ_EVENT_ENDPOINT_CHANGED], 1);
        } else {
            lab_run_until(duo.lab, received + SECS(100) - (which == 0));
        }
        assert_int_equal(next_init_has_cookie(&duo), which == 0);
        duo_free(&duo);
    }
}

/* INITs to one peer are 0.4 s apart, whatever asks for them; only the answer to a COOKIE need not
 * wait. */
static void test_gap_between_inits(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    duo_establish(&duo);
    lab_record(duo.lab, true);
    for (unsigned i = 0; i < 20; i++) {
        lab_rotate(duo.a, duo.b);
        lab_run_for(duo.lab, MS(90)); /* a whole handshake takes 80 ms */
    }
    lab_run_for(duo.lab, SECS(1));
    size_t num = lab_count_sent(duo.lab, duo.a, CQ_MSG_INIT);
    assert_between((cq_time)num, 4, 6);
    for (size_t i = 1; i < num; i++)
        assert_true(lab_find_sent(duo.lab, duo.a, CQ_MSG_INIT, i)->when -
                        lab_find_sent(duo.lab, duo.a, CQ_MSG_INIT, i - 1)->when >=
                    MS(400));
    duo_free(&duo);
}

/* ---- the queue ---- */

/* Packets wait for 5 s at most, 64 of them at most, the oldest go first. */
static void test_staged_packets(void **state)
{
    struct duo duo = duo_new(NULL);
    uint64_t lost = TYPE_BIT(CQ_MSG_INIT);
    (void)state;
    duo.lab->filter = filter_types;
    duo.lab->filter_ctx = &lost;
    struct lab_flow *flow = lab_flow(duo.a, duo.b, MS(200), duo.lab->now + SECS(20));
    lab_run_for(duo.lab, SECS(20));
    lost = 0;
    while (!lab_are_connected(duo.a, duo.b))
        lab_run_for(duo.lab, MS(10));
    lab_run_for(duo.lab, SECS(1));
    assert_true(flow->received > 0);
    assert_between((cq_time)flow->received, 1, 25);
    assert_int_equal(lab_drops(duo.a, CQ_DROP_STAGED_EXPIRED), flow->sent - flow->received);
    duo_free(&duo);

    duo = duo_new(NULL);
    flow = lab_flow(duo.a, duo.b, 0, 0);
    for (unsigned i = 0; i < 100; i++)
        (void)lab_send_packet(flow);
    lab_run_for(duo.lab, SECS(1));
    assert_int_equal(flow->received, 64);
    assert_int_equal(lab_drops(duo.a, CQ_DROP_STAGED_FULL), 36);
    duo_free(&duo);
}

/* ---- keepalives and dead peers ---- */

static void test_passive_keepalive(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    duo_establish(&duo);
    lab_run_for(duo.lab, SECS(10));
    for (unsigned answered = 0; answered < 2; answered++) {
        lab_record(duo.lab, true);
        (void)lab_send_packet(&duo.a->flows[0]);
        cq_time arrives = duo.lab->now + MS(20);
        if (answered == 1) {
            lab_run_for(duo.lab, SECS(2));
            (void)lab_send_packet(lab_flow(duo.b, duo.a, 0, 0));
        }
        lab_run_for(duo.lab, SECS(14));
        /* b got DATA and sent nothing for 5 s; or it answered, and a has to. */
        const struct lab_node *silent = answered == 1 ? duo.a : duo.b;
        cq_time when = (answered == 1 ? duo.b->flows[0].last_received : arrives) + SECS(5);
        assert_int_equal(lab_count_sent(duo.lab, NULL, CQ_MSG_CONTROL), 1);
        assert_int_equal(lab_find_sent(duo.lab, silent, CQ_MSG_CONTROL, 0)->when, when);
    }
    duo_free(&duo);
}

/* DATA goes out and nothing comes back for 15 s: a handshake, while the session stays in use. */
static void test_dead_peer(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 10; seed++) {
        struct duo duo = duo_new(&(struct duo_config){.seed = seed});
        duo_establish(&duo);
        lab_run_for(duo.lab, SECS(10));
        duo.lab->filter = filter_nothing_passes;
        lab_record(duo.lab, true);
        cq_time start = duo.lab->now;
        struct lab_flow *flow = lab_flow(duo.a, duo.b, SECS(1), start + SECS(30));
        lab_run_for(duo.lab, SECS(30));
        const struct lab_sent *init = lab_find_sent(duo.lab, duo.a, CQ_MSG_INIT, 0);
        assert_non_null(init);
        assert_between(init->when - start, SECS(15), SECS(15) + MS(300));
        assert_int_equal(duo.a->events[CQ_EVENT_PEER_UNREACHABLE], 1);
        assert_int_equal(flow->staged, 1); /* the very first packet of all */
        assert_int_equal(lab_count_sent(duo.lab, duo.a, CQ_MSG_DATA), 30);
        duo_free(&duo);
    }
}

/* While answers come, nobody is dead, however long it goes on. */
static void test_nobody_dead(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    duo_establish(&duo);
    (void)lab_flow(duo.a, duo.b, SECS(2), CQ_TIME_NEVER);
    lab_run_for(duo.lab, SECS(200));
    assert_int_equal(duo.a->events[CQ_EVENT_PEER_UNREACHABLE], 0);
    assert_int_equal(duo.b->events[CQ_EVENT_PEER_UNREACHABLE], 0);
    assert_int_equal(lab_status(duo.a, duo.b).completed, 1);
    duo_free(&duo);
}

/* A persistent keepalive begins a handshake by itself, goes out at its interval, and keeps sessions
 * rotating. */
static void test_persistent_keepalive(void **state)
{
    struct duo duo = duo_new(&(struct duo_config){
        .a.rotate_secs = 120, .of_a.persistent_keepalive = 25, .of_b.no_endpoint = true});
    (void)state;
    lab_run_for(duo.lab, SECS(1));
    assert_true(lab_are_connected(duo.a, duo.b));
    lab_record(duo.lab, true);
    lab_run_for(duo.lab, SECS(1000));
    assert_true(lab_are_connected(duo.a, duo.b));
    size_t num = lab_count_sent(duo.lab, duo.a, CQ_MSG_CONTROL);
    assert_between((cq_time)num, 1000 / 25, 1000 / 25 + 14 + 14);
    for (size_t i = 1; i < num; i++)
        assert_true(lab_find_sent(duo.lab, duo.a, CQ_MSG_CONTROL, i)->when -
                        lab_find_sent(duo.lab, duo.a, CQ_MSG_CONTROL, i - 1)->when <=
                    SECS(25));
    assert_between((cq_time)lab_status(duo.a, duo.b).rotations, 1000 / 85 - 1, 1000 / 70 + 1);
    assert_int_equal(duo.a->events[CQ_EVENT_SESSION_EXPIRED], 0);
    duo_free(&duo);
}

/* Without it an idle session just expires, and nothing is sent at all. */
static void test_idle_is_silent(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    duo_establish(&duo);
    lab_run_for(duo.lab, SECS(40)); /* until confirmation and the passive keepalive are over */
    lab_record(duo.lab, true);
    lab_run_for(duo.lab, SECS(1000));
    assert_int_equal(duo.lab->num_sent, 0);
    assert_int_equal(duo.a->events[CQ_EVENT_SESSION_EXPIRED], 1);
    assert_int_equal(duo.b->events[CQ_EVENT_SESSION_EXPIRED], 1);
    assert_int_equal(cq_engine_next_expiry(duo.a->engine), CQ_TIME_NEVER);
    assert_int_equal(cq_engine_next_expiry(duo.b->engine), CQ_TIME_NEVER);
    duo_free(&duo);
}

/* ---- CLOSE, PING ---- */

static void test_close(void **state)
{
    struct duo duo = duo_new(NULL);
    uint8_t close[] = {CQ_CONTROL_CLOSE, 0, 1, CQ_CLOSE_SHUTDOWN};
    (void)state;
    duo_establish(&duo);
    lab_send_control(duo.a, duo.b, close, sizeof(close), NULL);
    lab_record(duo.lab, true);
    lab_run_for(duo.lab, MS(20));
    cq_time closed = duo.lab->now;
    assert_int_equal(duo.b->events[CQ_EVENT_SESSION_CLOSED], 1);
    assert_false(lab_status(duo.b, duo.a).has_session);
    assert_int_equal(lab_status(duo.b, duo.a).num_sessions, 0);
    /* A queued packet may start a handshake 1 s later. */
    lab_run_for(duo.lab, MS(100));
    assert_false(lab_send_packet(lab_flow(duo.b, duo.a, 0, 0)));
    lab_run_for(duo.lab, SECS(2));
    assert_int_equal(lab_find_sent(duo.lab, duo.b, CQ_MSG_INIT, 0)->when, closed + SECS(1));
    assert_int_equal(lab_flow_missing(&duo.b->flows[0]), 0);
    duo_free(&duo);
}

/* Ten PONGs a second, besides those to padded PINGs. */
static void test_ping_limit(void **state)
{
    struct duo duo = duo_new(NULL);
    uint8_t plain[11] = {CQ_CONTROL_PING, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t padded[100] = {CQ_CONTROL_PING, 0, 97, 1, 2, 3, 4, 5, 6, 7, 8};
    (void)state;
    duo_establish(&duo);
    lab_run_for(duo.lab, SECS(10));
    for (unsigned second = 0; second < 3; second++) {
        lab_record(duo.lab, true);
        for (unsigned i = 0; i < 25; i++)
            lab_send_control(duo.a, duo.b, plain, sizeof(plain), NULL);
        lab_run_for(duo.lab, MS(500));
        assert_int_equal(lab_count_sent(duo.lab, duo.b, CQ_MSG_CONTROL), 10);
        assert_int_equal(lab_drops(duo.b, CQ_DROP_RATE_CONTROL), 15 * (second + 1));
        for (unsigned i = 0; i < 25; i++)
            lab_send_control(duo.a, duo.b, padded, sizeof(padded), NULL);
        lab_run_for(duo.lab, MS(600));
        assert_int_equal(lab_count_sent(duo.lab, duo.b, CQ_MSG_CONTROL), 35);
    }
    duo_free(&duo);
}

/* Known types of a wrong length and cut lists are dropped; unknown types are skipped. */
static void test_control_entries(void **state)
{
    static const struct {
        uint8_t tlvs[16];
        uint16_t len;
        bool bad, pong;
    } cases[] = {
        {{1, 0, 0}, 3, false, false},
        {{1, 0, 1, 0}, 4, true, false},
        {{2, 0, 7, 1, 2, 3, 4, 5, 6, 7}, 10, true, false},
        {{2, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8}, 11, false, true},
        {{9, 0, 1, 5, 2, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8}, 15, false, true},
        {{2, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 0}, 13, true, false},
        {{4, 0, 0}, 3, true, false},
        {{4, 0, 2, 0, 0}, 5, true, false},
        {{0, 9, 9, 9}, 4, false, false},
    };
    struct duo duo = duo_new(NULL);
    uint64_t bad = 0;
    (void)state;
    duo_establish(&duo);
    lab_run_for(duo.lab, SECS(10));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        lab_record(duo.lab, true);
        lab_send_control(duo.a, duo.b, cases[i].tlvs, cases[i].len, NULL);
        lab_run_for(duo.lab, MS(100));
        bad += cases[i].bad;
        assert_int_equal(lab_drops(duo.b, CQ_DROP_BAD_CONTROL), bad);
        assert_int_equal(lab_count_sent(duo.lab, duo.b, CQ_MSG_CONTROL), cases[i].pong);
        assert_true(lab_are_connected(duo.a, duo.b));
    }
    duo_free(&duo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_init_schedule),     cmocka_unit_test(test_key_request_schedule),
        cmocka_unit_test(test_inits_differ),      cmocka_unit_test(test_offer_schedule),
        cmocka_unit_test(test_two_newest_inits),  cmocka_unit_test(test_pushes),
        cmocka_unit_test(test_cookies_left_out),  cmocka_unit_test(test_cookie_is_held),
        cmocka_unit_test(test_gap_between_inits), cmocka_unit_test(test_staged_packets),
        cmocka_unit_test(test_passive_keepalive), cmocka_unit_test(test_dead_peer),
        cmocka_unit_test(test_nobody_dead),       cmocka_unit_test(test_persistent_keepalive),
        cmocka_unit_test(test_idle_is_silent),    cmocka_unit_test(test_close),
        cmocka_unit_test(test_ping_limit),        cmocka_unit_test(test_control_entries),
    };
    return cmocka_run_group_tests_name("sim_timers", tests, NULL, NULL);
}
