/*
 * A peer's address (docs/protocol.md section 6, "Address"). In these tests b is the one whose view
 * of a's address is looked at.
 */
#include "craft.h"
#include "duo.h"

#include "base/bytes.h"
#include "path/internal.h"
#include "proto/wire.h"

static const struct cq_addr elsewhere = {{CQ_FAMILY_IPV4, {203, 0, 113, 9}}, 999, 0};
static const struct cq_addr third = {{CQ_FAMILY_IPV4, {203, 0, 113, 10}}, 999, 0};

static struct duo established(void)
{
    struct duo duo = duo_new(NULL);
    duo_establish(&duo);
    lab_run_for(duo.lab, SECS(20));
    (void)lab_flow(duo.b, duo.a, 0, 0);
    lab_record(duo.lab, true);
    return duo;
}

static void assert_address(const struct duo *duo, const struct cq_addr *expected)
{
    struct cq_peer_status status = lab_status(duo->b, duo->a);
    assert_true(cq_addr_equal(&status.endpoint, expected));
}

/* Datagrams and bytes that b sent to an address since the recording began. */
static size_t sent_to(const struct duo *duo, const struct cq_addr *to, size_t *out_bytes)
{
    size_t num = 0, bytes = 0;
    for (size_t i = 0; i < duo->lab->num_sent; i++) {
        const struct lab_datagram *d = duo->lab->sent[i].datagram;
        if (cq_addr_equal(&d->from, &duo->b->address) && cq_addr_equal(&d->to, to)) {
            num++;
            bytes += d->len;
        }
    }
    if (out_bytes != NULL)
        *out_bytes = bytes;
    return num;
}

/* The next packet of a is caught on its way. */
static struct lab_datagram catch_record(struct duo *duo)
{
    lab_filter filter = duo->lab->filter;
    struct lab_datagram caught;
    duo->lab->filter = filter_nothing_passes;
    size_t at = duo->lab->num_sent;
    assert_true(lab_send_packet(&duo->a->flows[0]));
    caught = *duo->lab->sent[at].datagram;
    assert_int_equal(caught.data[0], CQ_MSG_DATA);
    duo->lab->filter = filter;
    return caught;
}

/* A packet of a arrives at b as if from that address. */
static void relay(struct duo *duo, const struct cq_addr *from)
{
    struct lab_datagram d = catch_record(duo);
    lab_deliver(duo->b, from, d.data, d.len);
}

static void test_first_address_is_taken(void **state)
{
    struct duo duo = duo_new(&(struct duo_config){.of_b.no_endpoint = true});
    (void)state;
    assert_int_equal(lab_status(duo.b, duo.a).endpoint.ip.family, CQ_FAMILY_NONE);
    lab_record(duo.lab, true);
    duo_establish(&duo);
    assert_address(&duo, &duo.a->address);
    /* No PING was needed: KEEPALIVE alone came from b. */
    for (size_t i = 0; i < lab_count_sent(duo.lab, duo.b, CQ_MSG_CONTROL); i++)
        assert_int_equal(lab_find_sent(duo.lab, duo.b, CQ_MSG_CONTROL, i)->datagram->len,
                         CQ_RECORD_OVERHEAD + 3);
    duo_free(&duo);
}

/* a gets another address (its NAT forgot the old one): PING to both, and the PONG from the new one
 * settles it. */
static void test_a_move_is_validated(void **state)
{
    struct duo duo = established();
    struct cq_addr old = duo.a->address;
    (void)state;
    lab_move(duo.a, &elsewhere);
    lab_record(duo.lab, true);
    assert_true(lab_send_packet(&duo.a->flows[0]));
    lab_run_for(duo.lab, MS(20));
    assert_int_equal(sent_to(&duo, &elsewhere, NULL), 1);
    assert_int_equal(sent_to(&duo, &old, NULL), 1);
    assert_int_equal(duo.b->events[CQ_EVENT_ENDPOINT_CHANGED], 0);
    lab_run_for(duo.lab, MS(40));
    assert_int_equal(duo.b->events[CQ_EVENT_ENDPOINT_CHANGED], 1);
    assert_address(&duo, &elsewhere);
    lab_record(duo.lab, true);
    assert_true(lab_send_packet(&duo.b->flows[0]));
    assert_int_equal(sent_to(&duo, &elsewhere, NULL), 1);
    lab_run_for(duo.lab, SECS(40));
    assert_int_equal(sent_to(&duo, &old, NULL), 0);
    assert_int_equal(duo_missing(&duo), 0);
    assert_int_equal(duo.b->events[CQ_EVENT_ENDPOINT_REVERTED], 0);
    duo_free(&duo);
}

/* Traffic in both directions while a moves again and again: nothing of a's is lost, and b follows.
 */
static void test_moving_all_the_time(void **state)
{
    struct duo duo = established();
    (void)state;
    struct lab_flow *up = lab_flow(duo.a, duo.b, MS(50), CQ_TIME_NEVER);
    struct lab_flow *down = lab_flow(duo.b, duo.a, MS(50), CQ_TIME_NEVER);
    for (unsigned i = 0; i < 30; i++) {
        struct cq_addr next = elsewhere;
        next.port = (uint16_t)(1000 + i);
        lab_move(duo.a, &next);
        lab_run_for(duo.lab, SECS(5));
        assert_address(&duo, &next);
    }
    (void)lab_flow(duo.a, duo.b, 0, 0);
    (void)lab_flow(duo.b, duo.a, 0, 0);
    lab_run_for(duo.lab, SECS(1));
    assert_int_equal(lab_flow_missing(up), 0);
    /* What b had sent to the address that a left went nowhere: a fifth of a second each time at
     * most. */
    assert_true(lab_flow_missing(down) <= 30 * 4);
    assert_true(down->longest_gap <= MS(300));
    duo_free(&duo);
}

/* Somebody who catches a record and sends it on from his own address gets neither traffic nor a
 * second try. */
static void test_relayed_record(void **state)
{
    struct duo duo = established();
    size_t bytes;
    (void)state;
    relay(&duo, &elsewhere);
    assert_address(&duo, &elsewhere); /* on trial */
    lab_run_for(duo.lab, MS(40));     /* PING to a and its PONG */
    assert_address(&duo, &duo.a->address);
    assert_int_equal(duo.b->events[CQ_EVENT_ENDPOINT_REVERTED], 1);
    assert_int_equal(duo.b->events[CQ_EVENT_ENDPOINT_CHANGED], 0);
    (void)sent_to(&duo, &elsewhere, &bytes);
    assert_true(bytes > 0 && bytes <= 3 * 80);
    cq_time barred = duo.lab->now;
    /* Barred for 10 s. */
    lab_record(duo.lab, true);
    for (unsigned i = 0; i < 9; i++) {
        relay(&duo, &elsewhere);
        lab_run_until(duo.lab, barred + SECS(i + 1));
        assert_address(&duo, &duo.a->address);
    }
    lab_run_until(duo.lab, barred + SECS(10) - 1);
    relay(&duo, &elsewhere);
    assert_int_equal(sent_to(&duo, &elsewhere, NULL), 0);
    lab_run_for(duo.lab, 1);
    relay(&duo, &elsewhere);
    assert_int_equal(sent_to(&duo, &elsewhere, NULL), 1);
    /* Another address is not barred with it. */
    duo_free(&duo);

    duo = established();
    relay(&duo, &elsewhere);
    lab_run_for(duo.lab, MS(40));
    assert_address(&duo, &duo.a->address);
    relay(&duo, &third);
    assert_address(&duo, &third);
    duo_free(&duo);
}

/* The previous address has 3 s for its PONG. Later it still is a newer record, so the address
 * returns, but nobody is barred any more. */
static void test_late_pong_of_the_previous(void **state)
{
    (void)state;
    for (unsigned late = 0; late < 2; late++) {
        struct duo duo = established();
        relay(&duo, &elsewhere);
        /* a's link is slow now: its PONG takes 3 s, or 1 ns less, from the moment of the PING. */
        duo.a->link.delay = SECS(3) - MS(20) - (late == 0);
        uint64_t lost = TYPE_BIT(CQ_MSG_DATA);
        duo.lab->filter = filter_types;
        duo.lab->filter_ctx = &lost;
        lab_run_for(duo.lab, SECS(3) - 2);
        assert_address(&duo, &elsewhere);
        lab_run_for(duo.lab, 2);
        assert_address(&duo, &duo.a->address);
        relay(&duo, &elsewhere);
        assert_address(&duo, late == 0 ? &duo.a->address : &elsewhere);
        duo_free(&duo);
    }
}

/* The first address comes with the first record of a session; after that, other lanes than 0 tell
 * nothing. */
static void test_only_lane_0_tells(void **state)
{
    struct duo duo = duo_new(&(struct duo_config){.of_b.no_endpoint = true});
    struct craft craft;
    uint8_t record[64];
    (void)state;
    craft_init(&craft, duo.a, duo.b, NULL);
    lab_record(duo.lab, true);
    lab_deliver(duo.b, &elsewhere, craft.init, CQ_INIT_LEN);
    craft_offer(&craft, lab_find_sent(duo.lab, duo.b, CQ_MSG_REPLY, 0)->datagram->data);
    lab_deliver(duo.b, &elsewhere, craft.offer, CQ_OFFER_LEN);
    craft_accept(&craft, lab_find_sent(duo.lab, duo.b, CQ_MSG_ACCEPT, 0)->datagram->data);
    size_t len = craft_keepalive(&craft, UINT64_C(7) << 56, record);
    lab_deliver(duo.b, &elsewhere, record, len);
    assert_true(lab_status(duo.b, duo.a).has_session);
    assert_address(&duo, &elsewhere);
    for (uint64_t lane = 1; lane < 16; lane++) {
        len = craft_keepalive(&craft, lane << 56 | 9, record);
        lab_deliver(duo.b, &third, record, len);
        assert_address(&duo, &elsewhere);
    }
    len = craft_keepalive(&craft, 0, record);
    lab_deliver(duo.b, &third, record, len);
    assert_address(&duo, &third);
    len = craft_keepalive(&craft, UINT64_C(5) << 56 | 10, record);
    lab_deliver(duo.b, &elsewhere, record, len);
    assert_address(&duo, &third);
    craft_wipe(&craft);
    duo_free(&duo);
}

static void test_newer_record_from_the_previous(void **state)
{
    struct duo duo = established();
    (void)state;
    uint64_t lost = TYPE_BIT(CQ_MSG_CONTROL);
    duo.lab->filter = filter_types; /* no PONG at all */
    duo.lab->filter_ctx = &lost;
    relay(&duo, &elsewhere);
    assert_address(&duo, &elsewhere);
    relay(&duo, &duo.a->address);
    assert_address(&duo, &duo.a->address);
    /* And the new one may try again at once: nobody has shown that it is an attacker's. */
    relay(&duo, &elsewhere);
    assert_address(&duo, &elsewhere);
    duo_free(&duo);
}

/* Only the newest record counts, only lane 0, only the newest confirmed session. */
static void test_old_records_do_not_move(void **state)
{
    struct duo duo = established();
    (void)state;
    struct lab_datagram first = catch_record(&duo), second = catch_record(&duo);
    lab_deliver(duo.b, &duo.a->address, second.data, second.len);
    lab_deliver(duo.b, &elsewhere, first.data, first.len); /* fresh, but older */
    assert_address(&duo, &duo.a->address);
    assert_int_equal(duo.a->flows[0].received, duo.a->flows[0].sent);
    /* A copy of the newest is a replay. */
    lab_deliver(duo.b, &elsewhere, second.data, second.len);
    assert_address(&duo, &duo.a->address);

    struct lab_datagram old = catch_record(&duo);
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, SECS(1));
    lab_deliver(duo.b, &elsewhere, old.data, old.len); /* the newest, on the old session */
    assert_int_equal(duo.a->flows[0].received, duo.a->flows[0].sent);
    assert_address(&duo, &duo.a->address);
    duo_free(&duo);
}

/* Until it is proven, at most three times the bytes that came from an address go there; more DATA
 * goes to the one proven before. */
static void test_budget(void **state)
{
    struct duo duo = established();
    size_t bytes, to_new, to_old;
    (void)state;
    duo.lab->filter = filter_nothing_passes;
    relay(&duo, &elsewhere);
    size_t received = 80;
    lab_record(duo.lab, true);
    for (unsigned i = 0; i < 50; i++)
        assert_true(lab_send_packet(&duo.b->flows[0]));
    to_new = sent_to(&duo, &elsewhere, &bytes);
    to_old = sent_to(&duo, &duo.a->address, NULL);
    assert_int_equal(to_new + to_old, 50);
    assert_true(to_new <= 2); /* the PING went there before */
    assert_true(bytes + CQ_RECORD_OVERHEAD + 11 <= 3 * received);
    /* More from there buys more. */
    relay(&duo, &elsewhere);
    relay(&duo, &elsewhere);
    lab_record(duo.lab, true);
    for (unsigned i = 0; i < 50; i++)
        assert_true(lab_send_packet(&duo.b->flows[0]));
    to_new = sent_to(&duo, &elsewhere, &bytes);
    assert_true(to_new >= 5 && to_new <= 7);
    assert_int_equal(lab_drops(duo.b, CQ_DROP_ADDRESS_UNPROVEN), 0);
    duo_free(&duo);
}

/* Nor do handshakes of one's own go to an address on trial: they are large, and are repeated. */
static void test_handshake_during_validation(void **state)
{
    struct duo duo = established();
    size_t bytes;
    (void)state;
    duo.lab->filter = filter_nothing_passes;
    relay(&duo, &elsewhere);
    assert_address(&duo, &elsewhere);
    lab_record(duo.lab, true);
    lab_rotate(duo.b, duo.a);
    lab_run_for(duo.lab, SECS(5));
    assert_true(lab_count_sent(duo.lab, duo.b, CQ_MSG_INIT) > 0);
    (void)sent_to(&duo, &elsewhere, &bytes);
    assert_true(bytes <= 3 * 80);
    duo.lab->filter = NULL;
    lab_run_for(duo.lab, SECS(10));
    assert_int_equal(lab_status(duo.b, duo.a).completed, 2);
    assert_address(&duo, &duo.a->address);
    duo_free(&duo);
}

/* Where PINGs get no answer for 30 s, a handshake may be what proves the new address. */
static void test_handshake_proves(void **state)
{
    struct duo duo = established();
    uint64_t records = TYPE_BIT(CQ_MSG_DATA) | TYPE_BIT(CQ_MSG_CONTROL);
    (void)state;
    struct lab_flow *down = lab_flow(duo.b, duo.a, 0, 0);
    lab_move(duo.a, &elsewhere);
    relay(&duo, &elsewhere);
    duo.lab->filter = filter_types;
    duo.lab->filter_ctx = &records;
    lab_run_for(duo.lab, SECS(35));
    uint64_t dropped = lab_drops(duo.b, CQ_DROP_ADDRESS_UNPROVEN);
    assert_true(dropped > 0);
    lab_rotate(duo.b, duo.a);
    while (lab_status(duo.b, duo.a).completed < 2)
        lab_run_for(duo.lab, MS(1));
    duo.lab->filter = NULL;
    lab_run_for(duo.lab, SECS(2));
    assert_true(lab_send_packet(down));
    lab_run_for(duo.lab, SECS(1));
    assert_int_equal(lab_drops(duo.b, CQ_DROP_ADDRESS_UNPROVEN), dropped);
    assert_int_equal(lab_flow_missing(down), 0);
    assert_int_equal(lab_status(duo.a, duo.b).completed, 2);
    duo_free(&duo);
}

/* A record from yet another address: that one is on trial, and the last proven one stays what it
 * was. */
static void test_third_address(void **state)
{
    struct duo duo = established();
    (void)state;
    relay(&duo, &elsewhere);
    relay(&duo, &third);
    assert_address(&duo, &third);
    lab_run_for(duo.lab, MS(40));
    assert_address(&duo, &duo.a->address); /* its PONG restored it */
    assert_int_equal(duo.b->events[CQ_EVENT_ENDPOINT_REVERTED], 1);
    duo_free(&duo);
}

/* PINGs to an address that does not answer: 0.4 s doubling to 5 s plus up to 20 %, for 30 s. */
static void test_ping_schedule(void **state)
{
    struct duo duo = established();
    cq_time interval = MS(400), before = 0;
    unsigned pings = 0;
    (void)state;
    duo.lab->filter = filter_nothing_passes;
    lab_record(duo.lab, true);
    relay(&duo, &elsewhere);
    cq_time start = duo.lab->now;
    lab_run_for(duo.lab, SECS(100));
    for (size_t i = 0; i < duo.lab->num_sent; i++) {
        const struct lab_sent *s = &duo.lab->sent[i];
        if (s->datagram->data[0] != CQ_MSG_CONTROL ||
            !cq_addr_equal(&s->datagram->to, &elsewhere) ||
            s->datagram->len != CQ_RECORD_OVERHEAD + 11)
            continue;
        if (pings > 0) {
            assert_true(s->when - before >= interval && s->when - before <= interval * 6 / 5);
            interval = interval * 2 < SECS(5) ? interval * 2 : SECS(5);
        }
        before = s->when;
        pings++;
    }
    /* The budget of 3 * 80 bytes is used up by five PINGs of 43 bytes, so no more get there. */
    assert_int_equal(pings, 5);
    size_t to_old = sent_to(&duo, &duo.a->address, NULL);
    assert_true(to_old >= 8);
    const struct lab_sent *last = NULL;
    for (size_t i = 0; i < duo.lab->num_sent; i++)
        if (duo.lab->sent[i].datagram->len == CQ_RECORD_OVERHEAD + 11)
            last = &duo.lab->sent[i];
    assert_true(last->when < start + SECS(30));
    assert_true(last->when > start + SECS(23));
    duo_free(&duo);
}

/* Whoever relays everything between the two ends up on the path, as a NAT would; he can read
 * nothing, and the two stay connected when he stops. */
static bool relay_all(void *ctx, const struct lab_node *from, struct lab_datagram *d)
{
    struct duo *duo = ctx;
    if (from == duo->a)
        d->from = elsewhere;
    else if (cq_addr_equal(&d->to, &elsewhere))
        d->to = duo->a->address;
    return true;
}

static void test_relay_of_everything(void **state)
{
    struct duo duo = established();
    (void)state;
    struct lab_flow *up = lab_flow(duo.a, duo.b, MS(100), CQ_TIME_NEVER);
    struct lab_flow *down = lab_flow(duo.b, duo.a, MS(100), CQ_TIME_NEVER);
    lab_run_for(duo.lab, SECS(2));
    duo.lab->filter = relay_all;
    duo.lab->filter_ctx = &duo;
    lab_run_for(duo.lab, SECS(20));
    assert_address(&duo, &elsewhere);
    duo.lab->filter = NULL;
    lab_run_for(duo.lab, SECS(5));
    assert_address(&duo, &duo.a->address);
    (void)lab_flow(duo.a, duo.b, 0, 0);
    (void)lab_flow(duo.b, duo.a, 0, 0);
    lab_run_for(duo.lab, SECS(1));
    assert_int_equal(lab_flow_missing(up), 0);
    assert_true(lab_flow_missing(down) <= 4);
    duo_free(&duo);
}

/* The addresses of a's INITs, in their order, retransmissions once. */
static size_t inits_of(const struct duo *duo, struct cq_addr *out, size_t max)
{
    const struct lab_sent *sent;
    uint8_t last[32] = {0};
    size_t num = 0;
    for (size_t i = 0;
         (sent = lab_find_sent(duo->lab, duo->a, CQ_MSG_INIT, i)) != NULL && num < max; i++) {
        if (memcmp(last, sent->datagram->data + 12, sizeof(last)) == 0)
            continue;
        memcpy(last, sent->datagram->data + 12, sizeof(last));
        out[num++] = sent->datagram->to;
    }
    return num;
}

/* An address from before a restart is tried first, and the configured one right after it. */
static void test_recalled_address(void **state)
{
    struct duo duo = duo_new(NULL);
    struct cq_addr inits[3];
    (void)state;
    cq_engine_recall_endpoint(duo.a->engine, duo.a->peers[0].number, &elsewhere, duo.lab->now);
    struct cq_peer_status status = lab_status(duo.a, duo.b);
    assert_true(!status.endpoint_proven && cq_addr_equal(&status.endpoint, &elsewhere));
    lab_record(duo.lab, true);
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, SECS(30));
    assert_int_equal(inits_of(&duo, inits, 3), 2);
    assert_true(cq_addr_equal(&inits[0], &elsewhere));
    assert_true(cq_addr_equal(&inits[1], &duo.b->address));
    status = lab_status(duo.a, duo.b);
    assert_true(status.has_session && status.endpoint_proven);
    assert_true(cq_addr_equal(&status.endpoint, &duo.b->address));
    /* What was learned is not replaced by what is older. */
    cq_engine_recall_endpoint(duo.a->engine, duo.a->peers[0].number, &elsewhere, duo.lab->now);
    status = lab_status(duo.a, duo.b);
    assert_true(cq_addr_equal(&status.endpoint, &duo.b->address));
    duo_free(&duo);
}

/* Where nothing is configured, it is the only way to the peer. */
static void test_recalled_without_configured(void **state)
{
    struct duo duo = duo_new(&(struct duo_config){.of_a.no_endpoint = true});
    (void)state;
    assert_int_equal(cq_engine_rotate(duo.a->engine, duo.a->peers[0].number, duo.lab->now),
                     CQ_ERR_STATE);
    cq_engine_recall_endpoint(duo.a->engine, duo.a->peers[0].number, &duo.b->address, duo.lab->now);
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, SECS(1));
    assert_true(lab_status(duo.a, duo.b).has_session);
    assert_true(lab_status(duo.b, duo.a).has_session);
    duo_free(&duo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_address_is_taken),
        cmocka_unit_test(test_a_move_is_validated),
        cmocka_unit_test(test_moving_all_the_time),
        cmocka_unit_test(test_relayed_record),
        cmocka_unit_test(test_late_pong_of_the_previous),
        cmocka_unit_test(test_only_lane_0_tells),
        cmocka_unit_test(test_newer_record_from_the_previous),
        cmocka_unit_test(test_old_records_do_not_move),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_handshake_during_validation),
        cmocka_unit_test(test_handshake_proves),
        cmocka_unit_test(test_third_address),
        cmocka_unit_test(test_ping_schedule),
        cmocka_unit_test(test_relay_of_everything),
        cmocka_unit_test(test_recalled_address),
        cmocka_unit_test(test_recalled_without_configured),
    };
    return cmocka_run_group_tests_name("sim_address", tests, NULL, NULL);
}
