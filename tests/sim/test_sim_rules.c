/*
 * Rules of handshakes (docs/protocol.md sections 3, 4 and 6) that no other program of this folder
 * holds the engine to, one by one: each of these tests fails with a certain mutant of
 * tests/mutants. Rules of sessions are in test_sim_upkeep.c.
 */
#include "craft.h"
#include "duo.h"

#include "base/bytes.h"
#include "engine/internal.h"
#include "proto/handshake_internal.h"

static const struct cq_addr elsewhere = {{CQ_FAMILY_IPV4, {203, 0, 113, 9}}, 999, 0};

static struct cq_peer *peer_of(struct lab_node *node, const struct lab_node *other)
{
    return cq_engine_peer(node->engine, lab_peer_of(node, other)->number);
}

/* Gives b a datagram from elsewhere and says what type it answers with; 0: silence. */
static uint8_t deliver(struct duo *duo, const uint8_t *msg, size_t len)
{
    lab_record(duo->lab, true);
    lab_deliver(duo->b, &elsewhere, msg, len);
    return duo->lab->num_sent > 0 ? duo->lab->sent[0].datagram->data[0] : 0;
}

static const uint8_t *answer(const struct duo *duo)
{
    return duo->lab->sent[0].datagram->data;
}

/* A fresh INIT of a's with this cookie (NULL: none), and what b answers. */
static uint8_t deliver_init(struct duo *duo, const uint8_t *cookie)
{
    struct craft craft;
    craft_init(&craft, duo->a, duo->b, cookie);
    uint8_t type = deliver(duo, craft.init, sizeof(craft.init));
    craft_wipe(&craft);
    return type;
}

/* Asks b for a cookie for elsewhere by a KEY_REQUEST. */
static void get_cookie(struct duo *duo, uint8_t out[CQ_COOKIE_LEN])
{
    uint8_t request[CQ_KEY_REQUEST_LEN];
    struct cq_mac_keys macs;
    assert_int_equal(cq_mac_keys_init(&macs, duo->b->identity.id), CQ_OK);
    assert_int_equal(cq_key_request_write(request, &macs, 1, NULL), CQ_OK);
    assert_int_equal(deliver(duo, request, sizeof(request)), CQ_MSG_COOKIE);
    assert_int_equal(cq_cookie_open(out, &macs, answer(duo), request + CQ_KEY_REQUEST_MAC1), CQ_OK);
}

/* ---- the responder ---- */

/* The pending rule asks for a cookie only those who are the peer: enc_fresh has opened before. */
static void test_forged_init_gets_no_cookie(void **state)
{
    struct duo duo = duo_new(NULL);
    struct cq_init_random random = {.idx = 77, .e = {5}, .m = {6}};
    struct craft craft;
    (void)state;
    assert_int_equal(deliver_init(&duo, NULL), CQ_MSG_REPLY);
    assert_int_equal(deliver_init(&duo, NULL), CQ_MSG_REPLY);
    /* a's ID, and everything that others know: what is wrong is the part that a's secret makes. */
    craft_init(&craft, duo.a, duo.b, NULL);
    craft_wipe(&craft);
    craft.psk[0] ^= 1;
    assert_int_equal(
        cq_init_write(&craft.state, craft.init, &craft.params, &craft.macs, NULL, &random), CQ_OK);
    assert_int_equal(deliver(&duo, craft.init, sizeof(craft.init)), 0);
    assert_int_equal(lab_drops(duo.b, CQ_DROP_DECRYPT_FRESH), 1);
    assert_int_equal(lab_drops(duo.b, CQ_DROP_COOKIE_REQUIRED), 0);
    craft_wipe(&craft);
    assert_int_equal(deliver_init(&duo, NULL), CQ_MSG_COOKIE);
    duo_free(&duo);
}

/* A pushed key that hashes to a configured ID, but whose coefficients are not below q. */
static void test_pushed_key_is_checked(void **state)
{
    struct duo duo = duo_new(NULL);
    struct cq_public_key key = duo.a->identity.public_key;
    struct cq_peer_config config = {.endpoint = elsewhere};
    struct cq_peer_status status;
    struct cq_mac_keys macs;
    uint8_t push[CQ_KEY_PUSH_LEN];
    uint32_t number;
    (void)state;
    memset(key.ek, 0xff, 3);
    assert_int_equal(cq_peer_id(config.id, &key), CQ_OK);
    assert_int_equal(cq_engine_add_peer(duo.b->engine, &config, duo.lab->now, &number), CQ_OK);
    assert_int_equal(cq_mac_keys_init(&macs, duo.b->identity.id), CQ_OK);
    assert_int_equal(cq_key_push_write(push, &macs, &key), CQ_OK);
    struct cq_route route = {.remote = elsewhere};
    cq_engine_receive(duo.b->engine, &route, push, sizeof(push), duo.lab->now);
    assert_int_equal(lab_drops(duo.b, CQ_DROP_BAD_KEM_KEY), 1);
    assert_int_equal(cq_engine_peer_status(duo.b->engine, number, &status), CQ_OK);
    assert_false(status.key_known);
    duo_free(&duo);
}

/* Copies of an INIT keep its slot no longer than 20 s from its creation. */
static void test_slot_is_not_renewed(void **state)
{
    struct duo duo = duo_new(NULL);
    struct craft craft;
    (void)state;
    craft_init(&craft, duo.a, duo.b, NULL);
    assert_int_equal(deliver(&duo, craft.init, CQ_INIT_LEN), CQ_MSG_REPLY);
    for (unsigned i = 0; i < 4; i++) {
        lab_run_for(duo.lab, SECS(5) - (i == 3));
        assert_int_equal(lab_engine_status(duo.b).num_pending, 1);
        if (i < 3)
            assert_int_equal(deliver(&duo, craft.init, CQ_INIT_LEN), CQ_MSG_REPLY);
    }
    lab_run_for(duo.lab, 1);
    assert_int_equal(lab_engine_status(duo.b).num_pending, 0);
    craft_wipe(&craft);
    duo_free(&duo);
}

/* Nothing secret stays in a slot that waits for the confirmation alone. */
static void test_slot_without_secrets(void **state)
{
    static const struct cq_responder none;
    struct duo duo = duo_new(NULL);
    struct craft craft;
    (void)state;
    craft_init(&craft, duo.a, duo.b, NULL);
    assert_int_equal(deliver(&duo, craft.init, CQ_INIT_LEN), CQ_MSG_REPLY);
    const struct cq_pending *slot = peer_of(duo.b, duo.a)->pending[0];
    assert_memory_not_equal(&slot->hs, &none, sizeof(none));
    craft_offer(&craft, answer(&duo));
    assert_int_equal(deliver(&duo, craft.offer, CQ_OFFER_LEN), CQ_MSG_ACCEPT);
    assert_ptr_equal(peer_of(duo.b, duo.a)->pending[0], slot);
    assert_memory_equal(&slot->hs, &none, sizeof(none));
    craft_wipe(&craft);
    duo_free(&duo);
}

/* Under load a source with a cookie has 40 INITs at once, and no more: each costs b a KEM and a
 * Diffie-Hellman. */
static void test_init_rate_under_load(void **state)
{
    struct duo duo = duo_new(NULL);
    uint8_t cookie[CQ_COOKIE_LEN], junk[CQ_INIT_LEN] = {CQ_MSG_INIT, 1, 1, 3};
    struct cq_mac_keys macs;
    (void)state;
    get_cookie(&duo, cookie);
    cq_engine_note_overload(duo.b->engine, duo.lab->now);
    assert_int_equal(cq_mac_keys_init(&macs, duo.b->identity.id), CQ_OK);
    junk[CQ_INIT_E] = 9;
    for (unsigned i = 0; i < 60; i++) {
        junk[CQ_INIT_IDX] = (uint8_t)i;
        assert_int_equal(cq_mac_write(junk, sizeof(junk), &macs, cookie), CQ_OK);
        assert_int_equal(deliver(&duo, junk, sizeof(junk)), 0);
    }
    assert_int_equal(lab_drops(duo.b, CQ_DROP_DECRYPT_ID), 40);
    assert_int_equal(lab_drops(duo.b, CQ_DROP_RATE_LIMITED), 20);
    assert_int_equal(deliver_init(&duo, cookie), 0);
    lab_run_for(duo.lab, MS(50));
    assert_true(lab_engine_status(duo.b).under_load);
    assert_int_equal(deliver_init(&duo, cookie), CQ_MSG_REPLY);
    duo_free(&duo);
}

/* Who does not know the ID cannot put a node under load. */
static void test_wrong_mac1_is_no_load(void **state)
{
    struct duo duo = duo_new(&(struct duo_config){.b.load_per_second = 5});
    uint8_t junk[CQ_INIT_LEN] = {CQ_MSG_INIT, 1, 1, 3};
    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        junk[0] = i % 2 == 0 ? CQ_MSG_INIT : CQ_MSG_KEY_REQUEST;
        junk[2] = junk[3] = i % 2 == 0 ? 3 : 0;
        junk[CQ_INIT_IDX] = (uint8_t)i;
        assert_int_equal(deliver(&duo, junk, sizeof(junk)), 0);
    }
    assert_int_equal(lab_drops(duo.b, CQ_DROP_BAD_MAC1), 50);
    assert_false(lab_engine_status(duo.b).under_load);
    duo_free(&duo);
}

/* The secret of cookies is random, and so is the nonce with which each is sealed. */
static void test_cookies_are_random(void **state)
{
    uint8_t cookies[2][CQ_COOKIE_LEN], nonces[2][CQ_COOKIE_NONCE_LEN];
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct duo duo = duo_new(&(struct duo_config){.seed = i});
        get_cookie(&duo, cookies[i]);
        memcpy(nonces[0], answer(&duo) + CQ_COOKIE_NONCE, sizeof(nonces[0]));
        get_cookie(&duo, cookies[i]);
        memcpy(nonces[1], answer(&duo) + CQ_COOKIE_NONCE, sizeof(nonces[1]));
        assert_memory_not_equal(nonces[0], nonces[1], sizeof(nonces[0]));
        duo_free(&duo);
    }
    assert_memory_not_equal(cookies[0], cookies[1], CQ_COOKIE_LEN);
}

/* What a handshake of one craft brought: whatever b must draw afresh for each. */
struct drawn {
    uint8_t e_r[32], ct_i[CQ_MLKEM_CT_LEN], ct_e[CQ_MLKEM_CT_LEN];
};

static void open_sealed(struct cq_transcript t, const char *label, size_t head, const uint8_t *msg,
                        uint8_t *out, size_t len)
{
    assert_int_equal(cq_t_mix_hash(&t, CQ_SPANS({msg, head})), CQ_OK);
    assert_int_equal(cq_t_open(&t, label, out, msg + head, len + CQ_AEAD_TAG_LEN), CQ_OK);
}

static void draw(struct duo *duo, struct drawn *out)
{
    static const uint8_t seed[CQ_MLKEM_SEED_LEN] = {1};
    struct craft craft;
    craft_init(&craft, duo->a, duo->b, NULL);
    assert_int_equal(deliver(duo, craft.init, CQ_INIT_LEN), CQ_MSG_REPLY);
    const uint8_t *reply = answer(duo);
    memcpy(out->e_r, reply + CQ_REPLY_E, 32);
    open_sealed(craft.state.t, "m2 ct", CQ_REPLY_ENC_CT, reply, out->ct_i, CQ_MLKEM_CT_LEN);
    assert_int_equal(cq_reply_read(&craft.state, reply, &craft.params), CQ_DROP_NONE);
    assert_int_equal(cq_offer_write(&craft.state, craft.offer, &craft.params, seed), CQ_OK);
    assert_int_equal(deliver(duo, craft.offer, CQ_OFFER_LEN), CQ_MSG_ACCEPT);
    open_sealed(craft.state.t, "m4 ct", CQ_ACCEPT_ENC_CT, answer(duo), out->ct_e, CQ_MLKEM_CT_LEN);
    craft_wipe(&craft);
}

/* Two handshakes: the keys to which b encapsulates are the same, so ciphertexts differ by what it
 * drew alone. */
static void test_responder_draws_afresh(void **state)
{
    struct duo duo = duo_new(NULL);
    struct drawn first, second;
    (void)state;
    draw(&duo, &first);
    draw(&duo, &second);
    assert_memory_not_equal(first.e_r, second.e_r, sizeof(first.e_r));
    assert_memory_not_equal(first.ct_i, second.ct_i, sizeof(first.ct_i));
    assert_memory_not_equal(first.ct_e, second.ct_e, sizeof(first.ct_e));
    duo_free(&duo);
}

/* A clone of the machine must not go on with the secret that its twin has. */
static void test_wipe_forgets_cookies(void **state)
{
    (void)state;
    for (unsigned wiped = 0; wiped < 2; wiped++) {
        struct duo duo = duo_new(NULL);
        uint8_t cookie[CQ_COOKIE_LEN];
        get_cookie(&duo, cookie);
        if (wiped == 1) {
            cq_engine_wipe(duo.b->engine, duo.lab->now);
            lab_settle(duo.b);
        }
        assert_int_equal(deliver_init(&duo, NULL), CQ_MSG_REPLY);
        assert_int_equal(deliver_init(&duo, NULL), CQ_MSG_REPLY);
        assert_int_equal(deliver_init(&duo, cookie), wiped == 1 ? CQ_MSG_COOKIE : CQ_MSG_REPLY);
        duo_free(&duo);
    }
}

/* The same for handshakes: neither an own one in flight nor a pending one of the peer's is left. */
static void test_wipe_forgets_handshakes(void **state)
{
    struct duo duo = duo_new(NULL);
    uint64_t lost = TYPE_BIT(CQ_MSG_REPLY);
    (void)state;
    duo.lab->filter = filter_types;
    duo.lab->filter_ctx = &lost;
    lab_record(duo.lab, true);
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, MS(100));
    struct lab_datagram reply = *lab_find_sent(duo.lab, duo.b, CQ_MSG_REPLY, 0)->datagram;
    assert_true(lab_status(duo.a, duo.b).handshaking);
    assert_int_equal(lab_engine_status(duo.b).num_pending, 1);
    cq_engine_wipe(duo.a->engine, duo.lab->now);
    cq_engine_wipe(duo.b->engine, duo.lab->now);
    assert_false(lab_status(duo.a, duo.b).handshaking);
    assert_int_equal(lab_engine_status(duo.b).num_pending, 0);
    lab_deliver(duo.a, &reply.from, reply.data, reply.len);
    assert_int_equal(lab_drops(duo.a, CQ_DROP_UNKNOWN_INDEX), 1);
    duo_free(&duo);
}

/* ---- the initiator ---- */

/* A COOKIE as b would send it for an INIT of a's. */
static void send_cookie(struct duo *duo, const struct lab_datagram *init, uint8_t fill)
{
    uint8_t msg[CQ_COOKIE_MSG_LEN], nonce[CQ_COOKIE_NONCE_LEN] = {fill}, cookie[CQ_COOKIE_LEN];
    struct cq_mac_keys macs;
    memset(cookie, fill, sizeof(cookie));
    assert_int_equal(cq_mac_keys_init(&macs, duo->b->identity.id), CQ_OK);
    assert_int_equal(cq_cookie_seal(msg, &macs, init->data, init->len, nonce, cookie), CQ_OK);
    lab_deliver(duo->a, &duo->b->address, msg, sizeof(msg));
}

static bool has_cookie(const struct lab_datagram *init, uint8_t fill)
{
    uint8_t cookie[CQ_COOKIE_LEN];
    memset(cookie, fill, sizeof(cookie));
    return cq_mac2_verify(init->data, init->len, cookie);
}

static const struct lab_datagram *init_of_a(const struct duo *duo, size_t n)
{
    const struct lab_sent *sent = lab_find_sent(duo->lab, duo->a, CQ_MSG_INIT, n);
    return sent != NULL ? sent->datagram : NULL;
}

/* One key, one plaintext: with another cookie goes another INIT, and only the first COOKIE of an
 * attempt is answered at once. */
static void test_another_cookie_another_init(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    duo.lab->filter = filter_nothing_passes;
    lab_record(duo.lab, true);
    lab_rotate(duo.a, duo.b);
    send_cookie(&duo, init_of_a(&duo, 0), 1);
    assert_int_equal(lab_count_sent(duo.lab, duo.a, CQ_MSG_INIT), 2);
    assert_true(has_cookie(init_of_a(&duo, 1), 1));
    send_cookie(&duo, init_of_a(&duo, 1), 2);
    assert_int_equal(lab_count_sent(duo.lab, duo.a, CQ_MSG_INIT), 2);
    lab_run_for(duo.lab, SECS(1));
    const struct lab_datagram *before = init_of_a(&duo, 1), *after = init_of_a(&duo, 2);
    assert_non_null(after);
    assert_true(has_cookie(after, 2));
    assert_memory_not_equal(before->data + CQ_INIT_IDX, after->data + CQ_INIT_IDX, 4);
    assert_memory_not_equal(before->data + CQ_INIT_E, after->data + CQ_INIT_E, 32);
    assert_memory_not_equal(before->data + CQ_INIT_CT, after->data + CQ_INIT_CT, 1088);
    assert_memory_not_equal(before->data + CQ_INIT_ENC_FRESH, after->data + CQ_INIT_ENC_FRESH, 24);
    duo_free(&duo);
}

static bool lose_offers(void *ctx, const struct lab_node *from, struct lab_datagram *d)
{
    (void)ctx;
    (void)from;
    return d->data[0] != CQ_MSG_OFFER;
}

/* Each OFFER has an ephemeral key of its own. */
static void test_offers_differ(void **state)
{
    uint8_t offers[2][CQ_MLKEM_EK_LEN + 8];
    struct duo duo = duo_new(NULL);
    (void)state;
    duo.lab->filter = lose_offers;
    for (unsigned i = 0; i < 2; i++) {
        lab_record(duo.lab, true);
        lab_rotate(duo.a, duo.b);
        lab_run_for(duo.lab, MS(100));
        const struct lab_datagram *offer = lab_find_sent(duo.lab, duo.a, CQ_MSG_OFFER, 0)->datagram;
        const struct cq_pending *slot = peer_of(duo.b, duo.a)->pending[0];
        open_sealed(slot->hs.t, "m3 offer", CQ_ANSWER_HDR_LEN, offer->data, offers[i],
                    sizeof(offers[i]));
        lab_run_for(duo.lab, SECS(120)); /* until both have given it up */
    }
    assert_memory_not_equal(offers[0], offers[1], CQ_MLKEM_EK_LEN);
    duo_free(&duo);
}

/* Many nodes that lose something at the same time do not repeat it at the same time. */
static void test_retransmission_is_spread(void **state)
{
    cq_time first = 0;
    bool spread = false;
    (void)state;
    for (unsigned seed = 0; seed < 4; seed++) {
        struct duo duo = duo_new(&(struct duo_config){.seed = seed});
        duo.lab->filter = filter_nothing_passes;
        lab_record(duo.lab, true);
        cq_time start = duo.lab->now;
        lab_rotate(duo.a, duo.b);
        lab_run_for(duo.lab, MS(500));
        cq_time interval = lab_find_sent(duo.lab, duo.a, CQ_MSG_INIT, 1)->when - start;
        spread = spread || (seed > 0 && interval != first);
        first = interval;
        duo_free(&duo);
    }
    assert_true(spread);
}

/* Nor does a clone use a cookie that its twin was given. */
static void test_wipe_forgets_held_cookie(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    duo.lab->filter = filter_nothing_passes;
    lab_record(duo.lab, true);
    lab_rotate(duo.a, duo.b);
    send_cookie(&duo, init_of_a(&duo, 0), 1);
    assert_true(has_cookie(init_of_a(&duo, 1), 1));
    cq_engine_wipe(duo.a->engine, duo.lab->now);
    lab_settle(duo.a);
    lab_run_for(duo.lab, SECS(1));
    lab_record(duo.lab, true);
    lab_rotate(duo.a, duo.b);
    assert_false(has_cookie(init_of_a(&duo, 0), 1));
    duo_free(&duo);
}

/* Nobody can tell an index from those before it. */
static void test_indices_are_random(void **state)
{
    struct duo duo = duo_new(NULL);
    uint32_t before = 0;
    (void)state;
    duo.lab->filter = filter_nothing_passes;
    for (unsigned i = 0; i < 10; i++) {
        lab_record(duo.lab, true);
        lab_rotate(duo.a, duo.b);
        lab_run_for(duo.lab, MS(10));
        uint32_t idx = cq_load_be32(init_of_a(&duo, 0)->data + CQ_INIT_IDX);
        assert_true(i == 0 || (idx - before > 65536 && before - idx > 65536));
        before = idx;
        lab_run_for(duo.lab, SECS(100));
    }
    duo_free(&duo);
}

/* While nobody answers the request for a key the name is looked up again, too. */
static void test_name_is_looked_up_while_asking(void **state)
{
    struct duo duo = duo_new(&(struct duo_config){.of_a.no_key = true});
    (void)state;
    duo.lab->filter = filter_nothing_passes;
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, SECS(3));
    assert_int_equal(duo.a->resolves, 0);
    lab_run_for(duo.lab, SECS(20));
    assert_true(duo.a->resolves > 0);
    assert_true(lab_status(duo.a, duo.b).handshaking);
    duo_free(&duo);
}

/* The larger ID holds back once for one need, however often the other one begins meanwhile. */
static void test_holds_back_once(void **state)
{
    struct duo duo = duo_new(&(struct duo_config){.a_is_smaller = true});
    uint64_t lost = TYPE_BIT(CQ_MSG_REPLY);
    (void)state;
    duo.lab->filter = filter_types;
    duo.lab->filter_ctx = &lost;
    assert_int_equal(deliver_init(&duo, NULL), CQ_MSG_REPLY);
    cq_time accepted = duo.lab->now;
    lab_rotate(duo.b, duo.a); /* b has a need, and waits */
    lab_run_for(duo.lab, SECS(5));
    assert_int_equal(deliver_init(&duo, NULL), CQ_MSG_REPLY);
    lab_record(duo.lab, true);
    lab_run_for(duo.lab, SECS(4));
    const struct lab_sent *init = lab_find_sent(duo.lab, duo.b, CQ_MSG_INIT, 0);
    assert_non_null(init);
    assert_int_equal(init->when, accepted + SECS(8));
    duo_free(&duo);
}

/* Where the other's handshake has met the need meanwhile, it does not start at all. */
static void test_held_back_for_good(void **state)
{
    struct duo duo = duo_new(&(struct duo_config){.a_is_smaller = true});
    uint64_t lost = TYPE_BIT(CQ_MSG_REPLY);
    (void)state;
    duo.lab->filter = filter_types;
    duo.lab->filter_ctx = &lost;
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, MS(100));
    assert_int_equal(lab_engine_status(duo.b).num_pending, 1);
    lab_rotate(duo.b, duo.a);
    lost = 0;
    lab_run_for(duo.lab, SECS(3));
    assert_true(lab_are_connected(duo.a, duo.b));
    lab_run_for(duo.lab, SECS(20));
    assert_int_equal(duo.b->sent[CQ_MSG_INIT], 0);
    assert_int_equal(lab_status(duo.b, duo.a).completed, 1);
    duo_free(&duo);
}

/* The state of an OFFER is kept when its stage ends: a late ACCEPT makes a session. */
static void test_late_accept_counts(void **state)
{
    struct duo duo = duo_new(NULL);
    uint64_t lost = TYPE_BIT(CQ_MSG_ACCEPT) | TYPE_BIT(CQ_MSG_REPLY);
    (void)state;
    duo.lab->filter = filter_types;
    duo.lab->filter_ctx = &lost;
    lab_record(duo.lab, true);
    lost = TYPE_BIT(CQ_MSG_ACCEPT);
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, SECS(1));
    lost |= TYPE_BIT(CQ_MSG_REPLY);
    lab_run_for(duo.lab, SECS(9));
    const struct lab_datagram *first = init_of_a(&duo, 0), *second = init_of_a(&duo, 1);
    assert_non_null(second);
    assert_memory_not_equal(first->data, second->data, CQ_INIT_LEN);
    assert_false(lab_status(duo.a, duo.b).has_session);
    const struct lab_datagram *late = lab_find_sent(duo.lab, duo.b, CQ_MSG_ACCEPT, 0)->datagram;
    lab_deliver(duo.a, &late->from, late->data, late->len);
    assert_true(lab_status(duo.a, duo.b).has_session);
    assert_false(lab_status(duo.a, duo.b).handshaking);
    lab_run_for(duo.lab, SECS(1));
    assert_true(lab_are_connected(duo.a, duo.b));
    duo_free(&duo);
}

/* The age of a session begins with the first transmission of its OFFER, whichever copy is answered.
 */
static void test_age_begins_with_the_first_offer(void **state)
{
    struct duo duo = duo_new(NULL);
    uint64_t lost = TYPE_BIT(CQ_MSG_OFFER);
    (void)state;
    duo.lab->filter = filter_types;
    duo.lab->filter_ctx = &lost;
    lab_record(duo.lab, true);
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, SECS(2));
    lost = 0;
    lab_run_for(duo.lab, SECS(3));
    assert_true(lab_are_connected(duo.a, duo.b));
    assert_true(lab_count_sent(duo.lab, duo.a, CQ_MSG_OFFER) >= 3);
    assert_int_equal(lab_status(duo.a, duo.b).began,
                     lab_find_sent(duo.lab, duo.a, CQ_MSG_OFFER, 0)->when);
    duo_free(&duo);
}

/* Where the generator fails there is no handshake: nothing is sent that was made without it. */
static void test_no_randomness_no_handshake(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    duo.a->random_broken = duo.b->random_broken = true;
    assert_int_equal(deliver_init(&duo, NULL), 0);
    assert_int_equal(lab_drops(duo.b, CQ_DROP_HANDSHAKE_INTERNAL), 1);
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, SECS(2));
    assert_int_equal(duo.a->sent[CQ_MSG_INIT], 0);
    assert_true(lab_drops(duo.a, CQ_DROP_HANDSHAKE_INTERNAL) > 0);
    duo.a->random_broken = duo.b->random_broken = false;
    lab_run_for(duo.lab, SECS(10));
    assert_true(lab_are_connected(duo.a, duo.b));
    duo_free(&duo);
}

/* A KEY_RESPONSE counts only as the answer to a request that waits, even with the right key. */
static void test_key_response_for_an_init(void **state)
{
    struct duo duo = duo_new(NULL);
    uint8_t msg[CQ_KEY_RESPONSE_LEN];
    struct duo_state before;
    (void)state;
    duo.lab->filter = filter_nothing_passes;
    lab_rotate(duo.a, duo.b);
    const struct cq_attempt *attempt = peer_of(duo.a, duo.b)->attempt;
    uint32_t idx = attempt->own[attempt->newest].hs.local_idx;
    cq_key_response_write(msg, idx, &duo.b->identity.public_key);
    duo_snapshot(&duo, &before);
    lab_deliver(duo.a, &duo.b->address, msg, sizeof(msg));
    assert_int_equal(lab_drops(duo.a, CQ_DROP_UNSOLICITED_KEY), 1);
    assert_int_equal(duo.a->events[CQ_EVENT_KEY_LEARNED], 0);
    duo_assert_unchanged(&duo, &before);
    duo_free(&duo);
}

/* ---- where a peer is looked for ---- */

/* b has moved, and a has followed; then b is back at its configured address without a session. */
static struct duo returned(void)
{
    struct duo duo = duo_new(NULL);
    struct cq_addr configured = duo.b->address;
    struct lab_flow *flow = lab_flow(duo.b, duo.a, 0, 0);
    duo_establish(&duo);
    lab_move(duo.b, &elsewhere);
    (void)lab_send_packet(flow);
    lab_run_for(duo.lab, SECS(1));
    struct cq_peer_status status = lab_status(duo.a, duo.b);
    assert_true(cq_addr_equal(&status.endpoint, &elsewhere));
    lab_crash(duo.b);
    lab_move(duo.b, &configured);
    assert_true(lab_start(duo.b));
    lab_record(duo.lab, true);
    return duo;
}

/* INITs 0, 1, 2 go to the learned address; 3 goes to the configured one, where b answers and is
 * found from then on. From INIT 2 on the name is looked up again. */
static void test_configured_address_is_tried(void **state)
{
    struct duo duo = returned();
    cq_time start = duo.lab->now;
    (void)state;
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, SECS(16) - 1);
    assert_int_equal(duo.a->resolves, 0);
    lab_run_for(duo.lab, SECS(9));
    assert_true(duo.a->resolves > 0);
    for (size_t i = 0; i < lab_count_sent(duo.lab, duo.a, CQ_MSG_INIT); i++) {
        const struct lab_sent *s = lab_find_sent(duo.lab, duo.a, CQ_MSG_INIT, i);
        bool at_configured = cq_addr_equal(&s->datagram->to, &duo.b->address);
        assert_int_equal(at_configured, s->when >= start + SECS(24));
    }
    assert_true(lab_status(duo.a, duo.b).has_session);
    struct cq_peer_status status = lab_status(duo.a, duo.b);
    assert_true(cq_addr_equal(&status.endpoint, &duo.b->address));
    assert_true(lab_are_connected(duo.a, duo.b));
    lab_record(duo.lab, true);
    assert_true(lab_send_packet(lab_flow(duo.a, duo.b, 0, 0)));
    assert_true(cq_addr_equal(&duo.lab->sent[0].datagram->to, &duo.b->address));
    duo_free(&duo);
}

/* A newly resolved address does not replace the one in use while there is a session. */
static void test_resolved_address(void **state)
{
    struct duo duo = duo_new(NULL);
    (void)state;
    uint32_t number = lab_peer_of(duo.a, duo.b)->number;
    cq_engine_set_endpoint(duo.a->engine, number, &elsewhere, duo.lab->now);
    struct cq_peer_status status = lab_status(duo.a, duo.b);
    assert_true(cq_addr_equal(&status.endpoint, &elsewhere));
    cq_engine_set_endpoint(duo.a->engine, number, &duo.b->address, duo.lab->now);
    duo_establish(&duo);
    cq_engine_set_endpoint(duo.a->engine, number, &elsewhere, duo.lab->now);
    status = lab_status(duo.a, duo.b);
    assert_true(cq_addr_equal(&status.endpoint, &duo.b->address));
    assert_true(lab_send_packet(&duo.a->flows[0]));
    lab_run_for(duo.lab, SECS(1));
    assert_int_equal(duo_missing(&duo), 0);
    duo_free(&duo);
}

/* A node is no peer of itself, and nobody is a peer twice. */
static void test_own_id_is_no_peer(void **state)
{
    struct duo duo = duo_new(NULL);
    struct cq_peer_config config = {.endpoint = elsewhere};
    uint32_t number;
    (void)state;
    memcpy(config.id, duo.a->identity.id, sizeof(config.id));
    assert_int_equal(cq_engine_add_peer(duo.a->engine, &config, duo.lab->now, &number),
                     CQ_ERR_INVALID);
    assert_int_equal(cq_engine_add_peer(duo.b->engine, &config, duo.lab->now, &number),
                     CQ_ERR_EXISTS);
    assert_int_equal(lab_engine_status(duo.a).num_peers, 1);
    duo_free(&duo);
}

/* ---- tables ---- */

static cq_time earliest(const struct cq_engine *e)
{
    cq_time t = CQ_TIME_NEVER;
    for (uint32_t i = 0; i < e->num_numbers; i++)
        if (e->peers[i] != NULL)
            t = cq_time_min(t, e->peers[i]->deadline);
    return t;
}

/* With many peers the next expiry is that of the one that is due first. */
static void test_earliest_deadline(void **state)
{
    enum { PEERS = 24 };
    struct lab *lab = lab_new(5);
    struct lab_node *hub = lab_add_node(lab, NULL), *nodes[PEERS];
    (void)state;
    for (unsigned i = 0; i < PEERS; i++) {
        nodes[i] = lab_add_node(lab, NULL);
        lab_add_peer(hub, nodes[i], NULL);
    }
    lab->filter = filter_nothing_passes;
    for (unsigned i = 0; i < 2000; i++) {
        if (lab_rng_below(&lab->rng, 8) == 0)
            lab_rotate(hub, nodes[lab_rng_below(&lab->rng, PEERS)]);
        lab_run_for(lab, MS(50));
        assert_int_equal(cq_engine_next_expiry(hub->engine), earliest(hub->engine));
        assert_true(cq_engine_next_expiry(hub->engine) > lab->now);
    }
    assert_true(hub->events[CQ_EVENT_HANDSHAKE_FAILED] > 0);
    lab_free(lab);
}

/* However many handshakes there were, nothing is left of those that are over. */
static void test_indices_are_released(void **state)
{
    struct duo duo = duo_new(&(struct duo_config){.a.rotate_secs = 60});
    (void)state;
    duo_establish(&duo);
    for (unsigned i = 0; i < 40; i++) {
        duo.lab->filter = i % 4 == 3 ? lose_offers : NULL;
        lab_rotate(i % 2 == 0 ? duo.a : duo.b, i % 2 == 0 ? duo.b : duo.a);
        lab_run_for(duo.lab, SECS(12));
    }
    lab_run_for(duo.lab, SECS(400));
    const struct cq_engine *engines[2] = {duo.a->engine, duo.b->engine};
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(engines[i]->num_sessions + engines[i]->num_pending, 0);
        assert_int_equal(engines[i]->by_index.num_used, 0);
        assert_int_equal(engines[i]->by_init.num_used, 0);
    }
    duo_free(&duo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forged_init_gets_no_cookie),
        cmocka_unit_test(test_pushed_key_is_checked),
        cmocka_unit_test(test_slot_is_not_renewed),
        cmocka_unit_test(test_slot_without_secrets),
        cmocka_unit_test(test_init_rate_under_load),
        cmocka_unit_test(test_wrong_mac1_is_no_load),
        cmocka_unit_test(test_cookies_are_random),
        cmocka_unit_test(test_responder_draws_afresh),
        cmocka_unit_test(test_wipe_forgets_cookies),
        cmocka_unit_test(test_wipe_forgets_handshakes),
        cmocka_unit_test(test_another_cookie_another_init),
        cmocka_unit_test(test_wipe_forgets_held_cookie),
        cmocka_unit_test(test_indices_are_random),
        cmocka_unit_test(test_name_is_looked_up_while_asking),
        cmocka_unit_test(test_offers_differ),
        cmocka_unit_test(test_retransmission_is_spread),
        cmocka_unit_test(test_holds_back_once),
        cmocka_unit_test(test_held_back_for_good),
        cmocka_unit_test(test_late_accept_counts),
        cmocka_unit_test(test_age_begins_with_the_first_offer),
        cmocka_unit_test(test_no_randomness_no_handshake),
        cmocka_unit_test(test_key_response_for_an_init),
        cmocka_unit_test(test_configured_address_is_tried),
        cmocka_unit_test(test_resolved_address),
        cmocka_unit_test(test_own_id_is_no_peer),
        cmocka_unit_test(test_earliest_deadline),
        cmocka_unit_test(test_indices_are_released),
    };
    return cmocka_run_group_tests_name("sim_rules", tests, NULL, NULL);
}
