/*
 * The four messages between two honest sides, and what either side makes of damaged, misdirected
 * and dishonest ones. What only an authenticated peer could send and failing allocations are in
 * test_handshake_hostile.c.
 */
#include "pair.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "crypto/crypto.h"
#include "proto/handshake_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t psk_a[32] = "a pre-shared key that both know";

static void run_all(struct pair *p)
{
    pair_init_message(p);
    pair_read_init(p);
    pair_write_reply(p);
    pair_read_reply(p);
    pair_write_offer(p);
    pair_read_offer(p);
    pair_read_accept(p);
}

/* ---- honest handshakes ---- */

static void assert_same_session(const struct pair *p)
{
    assert_memory_equal(p->ki.i2r_key, p->kr.i2r_key, 32);
    assert_memory_equal(p->ki.i2r_iv, p->kr.i2r_iv, 12);
    assert_memory_equal(p->ki.r2i_key, p->kr.r2i_key, 32);
    assert_memory_equal(p->ki.r2i_iv, p->kr.r2i_iv, 12);
    assert_memory_equal(p->ki.exporter, p->kr.exporter, 32);
    assert_memory_equal(p->ki.sid, p->kr.sid, CQ_SID_LEN);
    assert_int_equal(p->ki.suite, p->kr.suite);
    assert_int_equal(p->ki.rotate_secs, p->kr.rotate_secs);
    assert_int_equal(p->ki.local_idx, p->kr.remote_idx);
    assert_int_equal(p->ki.remote_idx, p->kr.local_idx);
    assert_memory_not_equal(p->ki.i2r_key, p->ki.r2i_key, 32);
    assert_memory_not_equal(p->ki.i2r_key, p->ki.exporter, 32);
    assert_memory_not_equal(p->ki.i2r_iv, p->ki.r2i_iv, 12);
}

static void test_honest(void **state)
{
    static const struct {
        uint8_t offered, allowed, preferred;
        uint16_t rotate_i, rotate_r;
        bool psk;
        enum cq_suite suite;
        uint16_t rotate;
    } cases[] = {
        {3, 3, 1, 300, 300, false, CQ_SUITE_AES_256_GCM, 300},
        {3, 3, 2, 300, 300, true, CQ_SUITE_CHACHA20_POLY1305, 300},
        {3, 2, 1, 60, 3600, false, CQ_SUITE_CHACHA20_POLY1305, 60},
        {1, 3, 2, 3600, 60, true, CQ_SUITE_AES_256_GCM, 60},
        {2, 3, 1, 3600, 3600, false, CQ_SUITE_CHACHA20_POLY1305, 3600},
        {0xff, 3, 1, 61, 62, false, CQ_SUITE_AES_256_GCM, 61},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair p;
        pair_init(&p, i);
        p.pi.suites = cases[i].offered;
        p.pr.suites = cases[i].allowed;
        p.pr.preferred_suite = cases[i].preferred;
        p.pi.rotate_secs = cases[i].rotate_i;
        p.pr.rotate_secs = cases[i].rotate_r;
        if (cases[i].psk)
            memcpy(p.psk, psk_a, sizeof(p.psk));
        run_all(&p);
        assert_memory_equal(p.reading.initiator_id, p.i.id, 32);
        assert_true(cq_is_zero_ct(p.fresh, sizeof(p.fresh)));
        assert_same_session(&p);
        assert_int_equal(p.ki.suite, cases[i].suite);
        assert_int_equal(p.ki.rotate_secs, cases[i].rotate);
        pair_wipe(&p);
    }
}

/* The same inputs give the same bytes; each random input by itself changes the session. */
static void test_every_random_input_counts(void **state)
{
    struct pair a, b;
    (void)state;
    pair_init(&a, 1);
    run_all(&a);
    for (unsigned which = 0; which < 8; which++) {
        pair_init(&b, 1);
        uint8_t *inputs[8] = {NULL,
                              b.init_random.e,
                              b.init_random.m,
                              b.reply_random.e,
                              b.reply_random.m,
                              b.offer_seed,
                              b.accept_random,
                              b.psk};
        if (inputs[which] != NULL)
            inputs[which][5] ^= 0x10;
        run_all(&b);
        assert_same_session(&b);
        int differs = memcmp(a.ki.i2r_key, b.ki.i2r_key, 32) != 0;
        assert_int_equal(differs, which != 0);
        assert_int_equal(memcmp(a.ki.sid, b.ki.sid, CQ_SID_LEN) != 0, which != 0);
        pair_wipe(&b);
    }
    pair_wipe(&a);
}

static void test_ephemeral_secret_goes_after_reply(void **state)
{
    struct pair p;
    (void)state;
    pair_init(&p, 2);
    pair_init_message(&p);
    pair_read_init(&p);
    pair_write_reply(&p);
    assert_false(cq_is_zero_ct(p.si.e, sizeof(p.si.e)));
    pair_read_reply(&p);
    assert_true(cq_is_zero_ct(p.si.e, sizeof(p.si.e)));
    pair_wipe(&p);
}

static void test_wipe(void **state)
{
    struct pair p;
    (void)state;
    pair_init(&p, 3);
    run_all(&p);
    cq_initiator_wipe(&p.si);
    cq_responder_wipe(&p.sr);
    cq_init_reading_wipe(&p.reading);
    assert_true(cq_is_zero_ct(&p.si, sizeof(p.si)));
    assert_true(cq_is_zero_ct(&p.sr, sizeof(p.sr)));
    assert_true(cq_is_zero_ct(&p.reading, sizeof(p.reading)));
    cq_initiator_wipe(&p.si);
    pair_wipe(&p);
}

static void test_suite_choice(void **state)
{
    enum { AES = CQ_SUITE_AES_256_GCM, CHACHA = CQ_SUITE_CHACHA20_POLY1305 };
    static const struct {
        uint8_t offered, allowed, preferred;
        unsigned expected;
    } cases[] = {
        {3, 3, AES, AES},    {3, 3, CHACHA, CHACHA}, {3, 3, 0, AES},       {1, 3, CHACHA, AES},
        {2, 3, AES, CHACHA}, {3, 1, CHACHA, AES},    {3, 2, AES, CHACHA},  {1, 2, AES, 0},
        {2, 1, CHACHA, 0},   {0, 3, AES, 0},         {3, 0, AES, 0},       {0xfc, 3, AES, 0},
        {0xff, 3, AES, AES}, {0xfe, 3, AES, CHACHA}, {0xff, 0xff, 0, AES}, {0xfe, 0xfe, 0, CHACHA},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(cq_suite_choose(cases[i].offered, cases[i].allowed, cases[i].preferred),
                         cases[i].expected);
}

/* ---- damage ---- */

/* Calls `try` with every byte damaged in turn: each bit of the first header_len bytes, one bit of
 * the others. */
static void damage_each(struct pair *p, uint8_t *msg, size_t from, size_t len, size_t header_len,
                        void (*try)(struct pair *p, size_t at))
{
    for (size_t at = from; at < len; at++)
        for (unsigned bit = 0; bit < (at < header_len ? 8u : 1u); bit++) {
            uint8_t flip = (uint8_t)(1u << (at < header_len ? bit : at % 8));
            msg[at] ^= flip;
            try(p, at);
            msg[at] ^= flip;
        }
}

static void try_damaged_init(struct pair *p, size_t at)
{
    struct cq_init_reading reading;
    uint8_t fresh[CQ_FRESH_LEN];
    memset(&reading, 0xaa, sizeof(reading));
    enum cq_drop drop = cq_init_read_id(&reading, p->init, &p->r);
    if (at >= CQ_INIT_MAC1) { /* the macs are not the handshake's business */
        assert_int_equal(drop, CQ_DROP_NONE);
        return;
    }
    assert_false(cq_mac1_verify(p->init, CQ_INIT_LEN, &p->macs_r));
    if (at < CQ_INIT_ENC_FRESH) {
        assert_int_equal(drop, CQ_DROP_DECRYPT_ID);
        assert_true(cq_is_zero_ct(&reading, sizeof(reading)));
        return;
    }
    assert_int_equal(drop, CQ_DROP_NONE);
    struct cq_init_reading before = reading;
    memset(fresh, 0xaa, sizeof(fresh));
    assert_int_equal(cq_init_read_fresh(&reading, fresh, p->init, &p->pr), CQ_DROP_DECRYPT_FRESH);
    assert_memory_equal(&reading, &before, sizeof(before));
    assert_true(cq_is_zero_ct(fresh, sizeof(fresh)));
}

static void test_damaged_init(void **state)
{
    struct pair p;
    (void)state;
    pair_init(&p, 4);
    pair_init_message(&p);
    damage_each(&p, p.init, 0, CQ_INIT_LEN, CQ_INIT_HDR_LEN, try_damaged_init);
    pair_read_init(&p);
    pair_wipe(&p);
}

static void try_damaged_reply(struct pair *p, size_t at)
{
    struct cq_initiator before = p->si;
    (void)at;
    assert_int_equal(cq_reply_read(&p->si, p->reply, &p->pi), CQ_DROP_DECRYPT_REPLY);
    assert_memory_equal(&p->si, &before, sizeof(before));
}

static void test_damaged_reply(void **state)
{
    struct pair p;
    (void)state;
    pair_init(&p, 5);
    pair_init_message(&p);
    pair_read_init(&p);
    pair_write_reply(&p);
    damage_each(&p, p.reply, 0, CQ_REPLY_LEN, CQ_ANSWER_HDR_LEN, try_damaged_reply);
    pair_read_reply(&p);
    pair_wipe(&p);
}

static void try_damaged_offer(struct pair *p, size_t at)
{
    struct cq_responder before = p->sr;
    (void)at;
    memset(p->accept, 0xaa, sizeof(p->accept));
    memset(&p->kr, 0xaa, sizeof(p->kr));
    assert_int_equal(cq_offer_read(&p->sr, p->offer, &p->pr, p->accept_random, p->accept, &p->kr),
                     CQ_DROP_DECRYPT_OFFER);
    assert_memory_equal(&p->sr, &before, sizeof(before));
    assert_true(cq_is_zero_ct(p->accept, sizeof(p->accept)));
    assert_true(cq_is_zero_ct(&p->kr, sizeof(p->kr)));
}

static void test_damaged_offer(void **state)
{
    struct pair p;
    (void)state;
    pair_init(&p, 6);
    pair_init_message(&p);
    pair_read_init(&p);
    pair_write_reply(&p);
    pair_read_reply(&p);
    pair_write_offer(&p);
    damage_each(&p, p.offer, 0, CQ_OFFER_LEN, CQ_ANSWER_HDR_LEN, try_damaged_offer);
    pair_read_offer(&p);
    pair_read_accept(&p);
    assert_same_session(&p);
    pair_wipe(&p);
}

static void try_damaged_accept(struct pair *p, size_t at)
{
    (void)at;
    memset(&p->ki, 0xaa, sizeof(p->ki));
    assert_int_equal(cq_accept_read(&p->si, p->accept, &p->ki), CQ_DROP_DECRYPT_ACCEPT);
    assert_true(cq_is_zero_ct(&p->ki, sizeof(p->ki)));
}

static void test_damaged_accept(void **state)
{
    struct pair p;
    (void)state;
    pair_init(&p, 7);
    run_all(&p);
    damage_each(&p, p.accept, 0, CQ_ACCEPT_LEN, CQ_ANSWER_HDR_LEN, try_damaged_accept);
    pair_read_accept(&p);
    assert_same_session(&p);
    pair_wipe(&p);
}

/* ---- wrong keys and misdirected messages ---- */

static enum cq_drop read_fresh_with(struct pair *p, const struct cq_handshake_params *params)
{
    uint8_t fresh[CQ_FRESH_LEN];
    assert_int_equal(cq_init_read_id(&p->reading, p->init, &p->r), CQ_DROP_NONE);
    return cq_init_read_fresh(&p->reading, fresh, p->init, params);
}

static void test_psk_mismatch(void **state)
{
    uint8_t other[32];
    struct pair p;
    (void)state;
    pair_init(&p, 8);
    memcpy(p.psk, psk_a, sizeof(p.psk));
    pair_init_message(&p);
    for (size_t bit = 0; bit < 256; bit += 5) {
        memcpy(other, psk_a, sizeof(other));
        other[bit / 8] ^= (uint8_t)(1u << bit % 8);
        p.pr.psk = other;
        assert_int_equal(read_fresh_with(&p, &p.pr), CQ_DROP_DECRYPT_FRESH);
    }
    memset(other, 0, sizeof(other));
    p.pr.psk = other;
    assert_int_equal(read_fresh_with(&p, &p.pr), CQ_DROP_DECRYPT_FRESH);
    p.pr.psk = p.psk;
    assert_int_equal(read_fresh_with(&p, &p.pr), CQ_DROP_NONE);
    pair_wipe(&p);
}

/* The responder holds another key for the initiator, or the initiator another for the responder, in
 * either half. */
static void test_wrong_public_key(void **state)
{
    struct pair p, q;
    struct cq_public_key key;
    (void)state;
    pair_init(&p, 9);
    pair_init(&q, 10);
    pair_init_message(&p);
    for (unsigned half = 0; half < 2; half++) {
        key = p.i.public_key;
        if (half == 0)
            memcpy(key.s, q.i.public_key.s, sizeof(key.s));
        else
            memcpy(key.ek, q.i.public_key.ek, sizeof(key.ek));
        p.pr.peer_key = &key;
        assert_int_equal(read_fresh_with(&p, &p.pr), CQ_DROP_DECRYPT_FRESH);
    }
    for (unsigned half = 0; half < 2; half++) {
        key = p.r.public_key;
        if (half == 0)
            memcpy(key.s, q.r.public_key.s, sizeof(key.s));
        else
            memcpy(key.ek, q.r.public_key.ek, sizeof(key.ek));
        p.pi.peer_key = &key;
        pair_init_message(&p);
        assert_int_equal(cq_init_read_id(&p.reading, p.init, &p.r), CQ_DROP_DECRYPT_ID);
    }
    pair_wipe(&p);
    pair_wipe(&q);
}

/* Whoever does not have the static secrets that the identity in INIT or REPLY stands for. */
static void test_claimed_identity(void **state)
{
    struct pair p, q;
    (void)state;
    pair_init(&p, 11);
    pair_init(&q, 12);
    /* q's initiator says that it is p's: right ID and public key, wrong X25519 secret. */
    struct cq_identity liar = q.i;
    memcpy(liar.id, p.i.id, sizeof(liar.id));
    liar.public_key = p.i.public_key;
    p.pi.self = &liar;
    pair_init_message(&p);
    assert_int_equal(read_fresh_with(&p, &p.pr), CQ_DROP_DECRYPT_FRESH);
    /* With the X25519 secret alone it gets a REPLY that it cannot read. */
    memcpy(liar.x25519, p.i.x25519, sizeof(liar.x25519));
    pair_init_message(&p);
    pair_read_init(&p);
    pair_write_reply(&p);
    assert_int_equal(cq_reply_read(&p.si, p.reply, &p.pi), CQ_DROP_DECRYPT_REPLY);
    pair_wipe(&p);
    pair_wipe(&q);
}

static void test_swapped_roles(void **state)
{
    struct pair p, q;
    struct cq_init_reading reading;
    struct cq_session_keys keys;
    uint8_t accept[CQ_ACCEPT_LEN];
    (void)state;
    pair_init(&p, 13);
    pair_init(&q, 14);
    run_all(&p);
    pair_init_message(&q);
    pair_read_init(&q);
    pair_write_reply(&q);
    /* INIT back to its sender, or to somebody else. */
    assert_int_equal(cq_init_read_id(&reading, p.init, &p.i), CQ_DROP_DECRYPT_ID);
    assert_int_equal(cq_init_read_id(&reading, p.init, &q.r), CQ_DROP_DECRYPT_ID);
    /* Messages of one handshake in another. */
    assert_int_equal(cq_reply_read(&q.si, p.reply, &q.pi), CQ_DROP_DECRYPT_REPLY);
    assert_int_equal(cq_offer_read(&q.sr, p.offer, &q.pr, q.accept_random, accept, &keys),
                     CQ_DROP_DECRYPT_OFFER);
    pair_read_reply(&q);
    pair_write_offer(&q);
    assert_int_equal(cq_accept_read(&q.si, p.accept, &keys), CQ_DROP_DECRYPT_ACCEPT);
    pair_read_offer(&q);
    pair_read_accept(&q);
    assert_same_session(&q);
    pair_wipe(&p);
    pair_wipe(&q);
}

/* A REPLY made by a responder with other static secrets than those that INIT was made for. */
static void test_impersonated_responder(void **state)
{
    struct pair p, q;
    (void)state;
    pair_init(&p, 15);
    pair_init(&q, 16);
    pair_init_message(&p);
    /* Everything that the impostor can compute: it lacks K_s and DH(e_I, S_R). */
    uint8_t zero[32] = {0};
    assert_int_equal(cq_t_init_begin(&p.reading.t, p.init, p.r.id, zero, zero), CQ_OK);
    pair_write_reply(&p);
    assert_int_equal(cq_reply_read(&p.si, p.reply, &p.pi), CQ_DROP_DECRYPT_REPLY);
    pair_wipe(&p);
    pair_wipe(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_honest),
        cmocka_unit_test(test_every_random_input_counts),
        cmocka_unit_test(test_ephemeral_secret_goes_after_reply),
        cmocka_unit_test(test_wipe),
        cmocka_unit_test(test_suite_choice),
        cmocka_unit_test(test_damaged_init),
        cmocka_unit_test(test_damaged_reply),
        cmocka_unit_test(test_damaged_offer),
        cmocka_unit_test(test_damaged_accept),
        cmocka_unit_test(test_psk_mismatch),
        cmocka_unit_test(test_wrong_public_key),
        cmocka_unit_test(test_claimed_identity),
        cmocka_unit_test(test_swapped_roles),
        cmocka_unit_test(test_impersonated_responder),
    };
    if (cq_crypto_init(false) != CQ_OK)
        return 1;
    return cmocka_run_group_tests_name("handshake", tests, NULL, NULL);
}
