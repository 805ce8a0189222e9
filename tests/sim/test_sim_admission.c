/*
 * What a responder lets in (docs/protocol.md section 3): the pending rule, the load rule, cookies,
 * cached answers; and that no answer toward an unproven address is larger than what it answers.
 */
#include "craft.h"
#include "duo.h"

#include "base/bytes.h"
#include "proto/wire.h"

static const struct cq_addr elsewhere = {{CQ_FAMILY_IPV4, {203, 0, 113, 9}}, 999, 0};

/* What node sent last, since the recording began. */
static const struct lab_datagram *last_sent(const struct lab *lab)
{
    return lab->num_sent > 0 ? lab->sent[lab->num_sent - 1].datagram : NULL;
}

/* Delivers to b and says what came back at once: the type, or 0 for silence. Answers must go to the
 * source and be no larger than the request. */
static uint8_t deliver(struct duo *duo, const struct cq_addr *from, const uint8_t *msg, size_t len)
{
    lab_record(duo->lab, true);
    lab_deliver(duo->b, from, msg, len);
    if (duo->lab->num_sent == 0)
        return 0;
    assert_int_equal(duo->lab->num_sent, 1);
    const struct lab_datagram *answer = last_sent(duo->lab);
    assert_true(answer->len <= len);
    assert_true(cq_addr_equal(&answer->to, from));
    return answer->data[0];
}

/* A new INIT of a's; the craft is kept where out is not NULL. */
static uint8_t deliver_init(struct duo *duo, const struct cq_addr *from, const uint8_t *cookie,
                            struct craft *out)
{
    struct craft craft;
    craft_init(&craft, duo->a, duo->b, cookie);
    uint8_t answer = deliver(duo, from, craft.init, sizeof(craft.init));
    if (out != NULL)
        *out = craft;
    else
        craft_wipe(&craft);
    return answer;
}

/* The cookie in the COOKIE that b just sent for this craft's INIT. */
static void open_cookie(const struct duo *duo, const struct craft *craft,
                        uint8_t cookie[CQ_COOKIE_LEN])
{
    assert_int_equal(
        cq_cookie_open(cookie, &craft->macs, last_sent(duo->lab)->data, craft->init + CQ_INIT_MAC1),
        CQ_OK);
}

static unsigned pending(const struct duo *duo)
{
    return lab_engine_status(duo->b).num_pending;
}

/* Two INITs are taken as they come; from the third on the cookie must be in it, inside and outside.
 */
static void test_two_pending_demand_a_cookie(void **state)
{
    struct duo duo = duo_new(NULL);
    struct craft craft;
    uint8_t cookie[CQ_COOKIE_LEN], other[CQ_COOKIE_LEN];
    (void)state;
    assert_int_equal(deliver_init(&duo, &elsewhere, NULL, NULL), CQ_MSG_REPLY);
    assert_int_equal(deliver_init(&duo, &elsewhere, NULL, NULL), CQ_MSG_REPLY);
    assert_int_equal(deliver_init(&duo, &elsewhere, NULL, &craft), CQ_MSG_COOKIE);
    assert_int_equal(pending(&duo), 2);
    assert_int_equal(lab_drops(duo.b, CQ_DROP_COOKIE_REQUIRED), 1);
    open_cookie(&duo, &craft, cookie);

    /* A mac2 that is put onto an INIT from which the cookie is missing inside. */
    craft_repair_mac1(craft.init, sizeof(craft.init), duo.b);
    uint8_t sealed_without[CQ_INIT_LEN];
    memcpy(sealed_without, craft.init, sizeof(sealed_without));
    assert_int_equal(cq_mac_write(sealed_without, CQ_INIT_LEN, &craft.macs, cookie), CQ_OK);
    assert_int_equal(deliver(&duo, &elsewhere, sealed_without, CQ_INIT_LEN), CQ_MSG_COOKIE);
    assert_int_equal(lab_drops(duo.b, CQ_DROP_FRESH_MISMATCH), 1);
    craft_wipe(&craft);

    /* Another source, another port, a damaged cookie. */
    struct cq_addr other_port = elsewhere;
    other_port.port++;
    memcpy(other, cookie, sizeof(other));
    other[0] ^= 1;
    assert_int_equal(deliver_init(&duo, &duo.a->address, cookie, NULL), CQ_MSG_COOKIE);
    assert_int_equal(deliver_init(&duo, &other_port, cookie, NULL), CQ_MSG_COOKIE);
    assert_int_equal(deliver_init(&duo, &elsewhere, other, NULL), CQ_MSG_COOKIE);
    assert_int_equal(pending(&duo), 2);
    assert_int_equal(deliver_init(&duo, &elsewhere, cookie, NULL), CQ_MSG_REPLY);
    assert_int_equal(pending(&duo), 3);

    /* Slots live for 20 s. */
    lab_run_for(duo.lab, SECS(20) - 1);
    assert_int_equal(pending(&duo), 3);
    lab_run_for(duo.lab, 1);
    assert_int_equal(pending(&duo), 0);
    duo_free(&duo);
}

/* A cookie is good for as long as its secret: 120 s in use, 120 s more as the previous one. */
static void test_life_of_a_cookie(void **state)
{
    static const struct {
        cq_time age;
        bool good;
    } cases[] = {{0, true},         {SECS(119), true},  {SECS(150), true},
                 {SECS(239), true}, {SECS(241), false}, {SECS(500), false}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct duo duo = duo_new(NULL);
        struct craft craft;
        uint8_t cookie[CQ_COOKIE_LEN];
        (void)deliver_init(&duo, &elsewhere, NULL, NULL);
        (void)deliver_init(&duo, &elsewhere, NULL, NULL);
        assert_int_equal(deliver_init(&duo, &elsewhere, NULL, &craft), CQ_MSG_COOKIE);
        open_cookie(&duo, &craft, cookie);
        craft_wipe(&craft);
        lab_run_for(duo.lab, cases[i].age);
        if (pending(&duo) < 2) {
            (void)deliver_init(&duo, &elsewhere, NULL, NULL);
            (void)deliver_init(&duo, &elsewhere, NULL, NULL);
            /* This makes a new secret where the old one is due. */
            assert_int_equal(deliver_init(&duo, &elsewhere, NULL, NULL), CQ_MSG_COOKIE);
        }
        assert_int_equal(deliver_init(&duo, &elsewhere, cookie, NULL),
                         cases[i].good ? CQ_MSG_REPLY : CQ_MSG_COOKIE);
        duo_free(&duo);
    }
}

/* Four at most: a proven INIT makes the oldest go whose OFFER has not come, or goes itself. */
static void test_four_pending_and_eviction(void **state)
{
    struct duo duo = duo_new(&(struct duo_config){.of_b.no_endpoint = true});
    struct craft crafts[6], late;
    uint8_t cookie[CQ_COOKIE_LEN], replies[6][CQ_REPLY_LEN];
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(deliver_init(&duo, &elsewhere, NULL, &crafts[i]), CQ_MSG_REPLY);
        memcpy(replies[i], last_sent(duo.lab)->data, CQ_REPLY_LEN);
        lab_run_for(duo.lab, MS(10));
    }
    assert_int_equal(deliver_init(&duo, &elsewhere, NULL, &late), CQ_MSG_COOKIE);
    open_cookie(&duo, &late, cookie);
    craft_wipe(&late);
    for (unsigned i = 2; i < 6; i++) {
        assert_int_equal(deliver_init(&duo, &elsewhere, cookie, &crafts[i]), CQ_MSG_REPLY);
        memcpy(replies[i], last_sent(duo.lab)->data, CQ_REPLY_LEN);
        lab_run_for(duo.lab, MS(10));
        assert_int_equal(pending(&duo), i < 4 ? i + 1 : 4);
    }
    /* The first two had to go; the other four can go on. */
    for (unsigned i = 0; i < 6; i++) {
        craft_offer(&crafts[i], replies[i]);
        uint8_t answer = deliver(&duo, &elsewhere, crafts[i].offer, CQ_OFFER_LEN);
        assert_int_equal(answer, i < 2 ? 0 : CQ_MSG_ACCEPT);
        if (i >= 2)
            craft_accept(&crafts[i], last_sent(duo.lab)->data);
    }
    assert_int_equal(lab_drops(duo.b, CQ_DROP_UNKNOWN_INDEX), 2);
    assert_int_equal(lab_engine_status(duo.b).num_sessions, 4);
    /* All four have verified: nothing may be evicted any more. */
    assert_int_equal(deliver_init(&duo, &elsewhere, cookie, NULL), 0);
    assert_int_equal(lab_drops(duo.b, CQ_DROP_PENDING_FULL), 1);
    /* A confirmation frees its slot. */
    uint8_t record[64];
    size_t len = craft_keepalive(&crafts[3], 0, record);
    assert_int_equal(deliver(&duo, &elsewhere, record, len), CQ_MSG_CONTROL);
    assert_int_equal(pending(&duo), 3);
    assert_int_equal(deliver(&duo, &elsewhere, crafts[3].init, CQ_INIT_LEN), 0);
    assert_int_equal(deliver_init(&duo, &elsewhere, cookie, NULL), CQ_MSG_REPLY);
    for (unsigned i = 0; i < 6; i++)
        craft_wipe(&crafts[i]);
    duo_free(&duo);
}

/* Copies of one INIT or OFFER: 0.2 s between answers, 30 in all, REPLY and ACCEPT together. */
static void test_cached_answers(void **state)
{
    struct duo duo = duo_new(NULL);
    struct craft craft;
    uint8_t reply[CQ_REPLY_LEN];
    unsigned answers = 1;
    (void)state;
    assert_int_equal(deliver_init(&duo, &elsewhere, NULL, &craft), CQ_MSG_REPLY);
    memcpy(reply, last_sent(duo.lab)->data, sizeof(reply));
    cq_time last = duo.lab->now;
    for (unsigned i = 0; i < 100; i++) {
        lab_run_for(duo.lab, MS(50));
        const struct cq_addr *from = i % 3 == 0 ? &duo.a->address : &elsewhere;
        uint8_t type = deliver(&duo, from, craft.init, CQ_INIT_LEN);
        assert_int_equal(type != 0, duo.lab->now >= last + MS(200));
        if (type == 0)
            continue;
        assert_int_equal(type, CQ_MSG_REPLY);
        assert_memory_equal(last_sent(duo.lab)->data, reply, sizeof(reply));
        last = duo.lab->now;
        answers++;
    }
    assert_int_equal(answers, 26);
    craft_offer(&craft, reply);
    for (unsigned i = 0; i < 30; i++) {
        lab_run_for(duo.lab, MS(300));
        uint8_t type = deliver(&duo, &elsewhere, craft.offer, CQ_OFFER_LEN);
        assert_int_equal(type, answers < 30 ? CQ_MSG_ACCEPT : 0);
        answers += type != 0;
        if (i == 0)
            craft_accept(&craft, last_sent(duo.lab)->data);
    }
    assert_true(lab_drops(duo.b, CQ_DROP_ANSWER_LIMIT) > 0);
    /* Another OFFER in the same slot does not count. */
    craft.offer[500] ^= 1;
    assert_int_equal(deliver(&duo, &elsewhere, craft.offer, CQ_OFFER_LEN), 0);
    assert_int_equal(lab_drops(duo.b, CQ_DROP_STALE_HANDSHAKE), 1);
    craft_wipe(&craft);
    duo_free(&duo);
}

/* ---- load ---- */

static void test_load(void **state)
{
    struct duo duo = duo_new(&(struct duo_config){.b.load_per_second = 5});
    struct craft craft;
    uint8_t junk[CQ_INIT_LEN] = {CQ_MSG_INIT, 1, 1, 3}, cookie[CQ_COOKIE_LEN];
    (void)state;
    /* INITs of people who know the ID and are nobody; each fails silently as long as there is no
     * load. */
    for (unsigned i = 0; i < 5; i++) {
        junk[CQ_INIT_IDX] = (uint8_t)i;
        craft_repair_mac1(junk, sizeof(junk), duo.b);
        assert_int_equal(deliver(&duo, &elsewhere, junk, sizeof(junk)), 0);
    }
    assert_false(lab_engine_status(duo.b).under_load);
    junk[CQ_INIT_IDX] = 5;
    craft_repair_mac1(junk, sizeof(junk), duo.b);
    assert_int_equal(deliver(&duo, &elsewhere, junk, sizeof(junk)), CQ_MSG_COOKIE);
    assert_true(lab_engine_status(duo.b).under_load);
    /* A wrong mac1 still gets nothing. */
    junk[100] ^= 1;
    assert_int_equal(deliver(&duo, &elsewhere, junk, sizeof(junk)), 0);

    /* A real peer gets a cookie first, then its REPLY, and nothing was kept in between. */
    assert_int_equal(deliver_init(&duo, &elsewhere, NULL, &craft), CQ_MSG_COOKIE);
    assert_int_equal(pending(&duo), 0);
    open_cookie(&duo, &craft, cookie);
    craft_wipe(&craft);
    assert_int_equal(deliver_init(&duo, &elsewhere, cookie, NULL), CQ_MSG_REPLY);
    assert_int_equal(pending(&duo), 1);

    /* Load lasts 1 s beyond the last overload. */
    lab_run_for(duo.lab, SECS(1) - 1);
    assert_true(lab_engine_status(duo.b).under_load);
    lab_run_for(duo.lab, 1);
    assert_false(lab_engine_status(duo.b).under_load);
    assert_int_equal(deliver_init(&duo, &elsewhere, NULL, NULL), CQ_MSG_REPLY);
    duo_free(&duo);
}

/* A whole node gets through to one that is under load all the time, first contact included. */
static void test_through_load(void **state)
{
    struct duo duo = duo_new(&(struct duo_config){.of_a.no_key = true, .of_b.no_key = true});
    (void)state;
    lab_record(duo.lab, true);
    (void)lab_send_packet(lab_flow(duo.a, duo.b, 0, 0));
    for (unsigned i = 0; i < 30; i++) {
        cq_engine_note_overload(duo.b->engine, duo.lab->now);
        lab_run_for(duo.lab, MS(100));
    }
    assert_true(lab_are_connected(duo.a, duo.b));
    assert_int_equal(lab_count_sent(duo.lab, duo.a, CQ_MSG_INIT),
                     1); /* the cookie came with the key */
    assert_int_equal(duo_missing(&duo), 0);
    duo_free(&duo);
}

/* 20 a second and a burst of 40 per proven IPv4 address or IPv6 /64. */
static void test_rate_of_proven_sources(void **state)
{
    static const struct {
        const char *first, *second;
        bool same;
    } cases[] = {
        {"203.0.113.9:1", "203.0.113.9:2", true},
        {"203.0.113.9:1", "203.0.113.10:1", false},
        {"[2001:db8:1:2::1]:1", "[2001:db8:1:2:ffff::9]:1", true},
        {"[2001:db8:1:2::1]:1", "[2001:db8:1:3::1]:1", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct duo duo = duo_new(&(struct duo_config){.seed = i});
        struct cq_addr from[2];
        uint8_t cookie[2][CQ_COOKIE_LEN], request[CQ_KEY_REQUEST_LEN];
        struct cq_mac_keys macs;
        assert_int_equal(cq_mac_keys_init(&macs, duo.b->identity.id), CQ_OK);
        assert_int_equal(cq_addr_parse(cases[i].first, &from[0]), CQ_OK);
        assert_int_equal(cq_addr_parse(cases[i].second, &from[1]), CQ_OK);
        for (unsigned k = 0; k < 2; k++) {
            assert_int_equal(cq_key_request_write(request, &macs, 1, NULL), CQ_OK);
            assert_int_equal(deliver(&duo, &from[k], request, sizeof(request)), CQ_MSG_COOKIE);
            assert_int_equal(cq_cookie_open(cookie[k], &macs, last_sent(duo.lab)->data,
                                            request + CQ_KEY_REQUEST_MAC1),
                             CQ_OK);
        }
        unsigned answered = 0;
        for (unsigned n = 0; n < 100; n++) {
            assert_int_equal(cq_key_request_write(request, &macs, n, cookie[0]), CQ_OK);
            answered += deliver(&duo, &from[0], request, sizeof(request)) == CQ_MSG_KEY_RESPONSE;
        }
        assert_int_equal(answered, 40);
        assert_int_equal(lab_drops(duo.b, CQ_DROP_RATE_LIMITED), 60);
        assert_int_equal(cq_key_request_write(request, &macs, 7, cookie[1]), CQ_OK);
        assert_int_equal(deliver(&duo, &from[1], request, sizeof(request)),
                         cases[i].same ? 0 : CQ_MSG_KEY_RESPONSE);
        lab_run_for(duo.lab, SECS(1));
        assert_int_equal(cq_key_request_write(request, &macs, 8, cookie[0]), CQ_OK);
        for (answered = 0; answered < 100; answered++)
            if (deliver(&duo, &from[0], request, sizeof(request)) != CQ_MSG_KEY_RESPONSE)
                break;
        assert_int_equal(answered, 20);
        duo_free(&duo);
    }
}

/* Sources that cannot be answered are not. */
static void test_bad_sources(void **state)
{
    static const char *sources[] = {"0.0.0.0:1", "255.255.255.255:1", "224.0.0.1:1", "192.0.2.1:0",
                                    "[::]:1",    "[ff02::1]:1"};
    struct duo duo = duo_new(NULL);
    (void)state;
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        struct cq_addr from;
        assert_int_equal(cq_addr_parse(sources[i], &from), CQ_OK);
        assert_int_equal(deliver_init(&duo, &from, NULL, NULL), 0);
        assert_int_equal(lab_drops(duo.b, CQ_DROP_BAD_SOURCE), i + 1);
    }
    assert_int_equal(pending(&duo), 0);
    duo_free(&duo);
}

/* ---- sizes ---- */

/* No handshake datagram of anybody is above 1232 bytes, whatever happens. */
static void test_no_datagram_above_1232(void **state)
{
    struct duo duo = duo_new(&(struct duo_config){
        .seed = 3, .of_a.no_key = true, .of_b.no_key = true, .b.load_per_second = 1});
    (void)state;
    duo.a->link.loss = duo.b->link.loss = 0.4;
    lab_record(duo.lab, true);
    (void)lab_flow(duo.a, duo.b, MS(500), CQ_TIME_NEVER);
    (void)lab_flow(duo.b, duo.a, MS(500), CQ_TIME_NEVER);
    lab_run_for(duo.lab, SECS(900));
    assert_true(duo.lab->num_sent > 3000);
    for (size_t i = 0; i < duo.lab->num_sent; i++)
        assert_true(duo.lab->sent[i].datagram->len <= 1232);
    duo_free(&duo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_pending_demand_a_cookie),
        cmocka_unit_test(test_life_of_a_cookie),
        cmocka_unit_test(test_four_pending_and_eviction),
        cmocka_unit_test(test_cached_answers),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_through_load),
        cmocka_unit_test(test_rate_of_proven_sources),
        cmocka_unit_test(test_bad_sources),
        cmocka_unit_test(test_no_datagram_above_1232),
    };
    return cmocka_run_group_tests_name("sim_admission", tests, NULL, NULL);
}
