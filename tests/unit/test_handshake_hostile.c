/*
 * What an authenticated but dishonest peer can put into the handshake, and libcrypto's allocator
 * failing at every call of every step.
 */
#include "failing_libcrypto.h"
#include "pair.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "proto/handshake_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* ---- X25519 points of low order ---- */

static void test_low_order_init(void **state)
{
    struct pair p;
    struct cq_init_reading reading;
    (void)state;
    pair_init(&p, 1);
    pair_init_message(&p);
    for (size_t i = 0; i < NUM_LOW_ORDER; i++) {
        memcpy(p.init + CQ_INIT_E, low_order_points[i], 32);
        memset(&reading, 0xaa, sizeof(reading));
        assert_int_equal(cq_init_read_id(&reading, p.init, &p.r), CQ_DROP_DH_ZERO);
        assert_true(cq_is_zero_ct(&reading, sizeof(reading)));
    }
    pair_wipe(&p);
}

static void test_low_order_reply(void **state)
{
    static const uint8_t choice[8] = {CQ_SUITE_AES_256_GCM, 300 >> 8, 300 & 0xff};
    struct pair p;
    (void)state;
    pair_init(&p, 2);
    pair_init_message(&p);
    pair_read_init(&p);
    for (size_t i = 0; i < NUM_LOW_ORDER; i++) {
        struct cq_initiator before = p.si;
        pair_forge_reply(&p, low_order_points[i], choice, p.reply);
        assert_int_equal(cq_reply_read(&p.si, p.reply, &p.pi), CQ_DROP_DH_ZERO);
        assert_memory_equal(&p.si, &before, sizeof(before));
    }
    /* The forgery is as good as the real thing otherwise. */
    pair_forge_reply(&p, p.init + CQ_INIT_E, choice, p.reply);
    pair_read_reply(&p);
    pair_wipe(&p);
}

/* A static key of low order, in either role. */
static void test_low_order_static(void **state)
{
    struct pair p;
    (void)state;
    pair_init(&p, 3);
    pair_init_message(&p);
    assert_int_equal(cq_init_read_id(&p.reading, p.init, &p.r), CQ_DROP_NONE);
    for (size_t i = 0; i < NUM_LOW_ORDER; i++) {
        struct cq_public_key key = p.i.public_key;
        struct cq_init_reading before = p.reading;
        uint8_t fresh[CQ_FRESH_LEN];
        memcpy(key.s, low_order_points[i], 32);
        p.pr.peer_key = &key;
        assert_int_equal(cq_init_read_fresh(&p.reading, fresh, p.init, &p.pr), CQ_DROP_DH_ZERO);
        assert_memory_equal(&p.reading, &before, sizeof(before));
        assert_int_equal(cq_reply_write(&p.sr, p.reply, &p.reading, p.init, CQ_SUITE_AES_256_GCM,
                                        &p.pr, &p.reply_random),
                         CQ_ERR_AUTH);
        assert_true(cq_is_zero_ct(&p.sr, sizeof(p.sr)));

        struct cq_initiator si;
        memset(&si, 0xaa, sizeof(si));
        key = p.r.public_key;
        memcpy(key.s, low_order_points[i], 32);
        p.pi.peer_key = &key;
        assert_int_equal(cq_init_write(&si, p.init, &p.pi, &p.macs_r, NULL, &p.init_random),
                         CQ_ERR_AUTH);
        assert_true(cq_is_zero_ct(&si, sizeof(si)));
        p.pi.peer_key = &p.r.public_key;
        pair_init_message(&p);
    }
    pair_wipe(&p);
}

/* ---- what REPLY and OFFER seal ---- */

static void test_reply_payloads(void **state)
{
    static const struct {
        uint8_t offered;
        uint8_t choice[8];
        enum cq_drop expected;
        uint16_t rotate;
    } cases[] = {
        {3, {1, 0x01, 0x2c}, CQ_DROP_NONE, 300},
        {3, {2, 0x01, 0x2c}, CQ_DROP_NONE, 300},
        {3, {1, 0, 60}, CQ_DROP_NONE, 60},
        {3, {1, 0x0e, 0x10}, CQ_DROP_NONE, 300}, /* 3600; the smaller one counts */
        {3, {1, 0, 59}, CQ_DROP_BAD_ROTATE, 0},
        {3, {1, 0, 0}, CQ_DROP_BAD_ROTATE, 0},
        {3, {1, 0x0e, 0x11}, CQ_DROP_BAD_ROTATE, 0}, /* 3601 */
        {3, {1, 0xff, 0xff}, CQ_DROP_BAD_ROTATE, 0},
        {3, {0, 0x01, 0x2c}, CQ_DROP_BAD_CHOICE, 0},
        {3, {3, 0x01, 0x2c}, CQ_DROP_BAD_CHOICE, 0},
        {3, {4, 0x01, 0x2c}, CQ_DROP_BAD_CHOICE, 0},
        {0xff, {4, 0x01, 0x2c}, CQ_DROP_BAD_CHOICE, 0},
        {0xff, {0x81, 0x01, 0x2c}, CQ_DROP_BAD_CHOICE, 0},
        {1, {2, 0x01, 0x2c}, CQ_DROP_BAD_CHOICE, 0},
        {2, {1, 0x01, 0x2c}, CQ_DROP_BAD_CHOICE, 0},
        {3, {1, 0x01, 0x2c, 1, 0, 0, 0, 0}, CQ_DROP_RESERVED_BITS, 0},
        {3, {1, 0x01, 0x2c, 0, 1, 0, 0, 0}, CQ_DROP_RESERVED_BITS, 0},
        {3, {1, 0x01, 0x2c, 0, 0, 1, 0, 0}, CQ_DROP_RESERVED_BITS, 0},
        {3, {1, 0x01, 0x2c, 0, 0, 0, 1, 0}, CQ_DROP_RESERVED_BITS, 0},
        {3, {1, 0x01, 0x2c, 0, 0, 0, 0, 0x80}, CQ_DROP_RESERVED_BITS, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair p;
        pair_init(&p, 4);
        p.pi.suites = cases[i].offered;
        pair_init_message(&p);
        pair_read_init(&p);
        uint8_t e_r[32];
        assert_int_equal(cq_x25519_public(e_r, p.reply_random.e), CQ_OK);
        pair_forge_reply(&p, e_r, cases[i].choice, p.reply);
        struct cq_initiator before = p.si;
        assert_int_equal(cq_reply_read(&p.si, p.reply, &p.pi), cases[i].expected);
        if (cases[i].expected == CQ_DROP_NONE) {
            assert_int_equal(p.si.suite, cases[i].choice[0]);
            assert_int_equal(p.si.rotate_secs, cases[i].rotate);
        } else {
            assert_memory_equal(&p.si, &before, sizeof(before));
        }
        pair_wipe(&p);
    }
}

/* A pair that has come as far as REPLY being read, and the payload of an honest OFFER. */
static void prepare_offer(struct pair *p, uint8_t payload[CQ_MLKEM_EK_LEN + 8])
{
    struct cq_mlkem_key *key;
    pair_init(p, 5);
    pair_init_message(p);
    pair_read_init(p);
    pair_write_reply(p);
    pair_read_reply(p);
    memset(payload, 0, CQ_MLKEM_EK_LEN + 8);
    assert_int_equal(cq_mlkem_keygen(&key, payload, p->offer_seed), CQ_OK);
    cq_mlkem_free(key);
    cq_store_be16(payload + CQ_MLKEM_EK_LEN, 300);
}

static void try_offer(struct pair *p, const uint8_t payload[CQ_MLKEM_EK_LEN + 8],
                      enum cq_drop expected)
{
    struct cq_responder before = p->sr;
    pair_forge_offer(p, payload, p->offer);
    memset(p->accept, 0xaa, sizeof(p->accept));
    memset(&p->kr, 0xaa, sizeof(p->kr));
    assert_int_equal(cq_offer_read(&p->sr, p->offer, &p->pr, p->accept_random, p->accept, &p->kr),
                     expected);
    assert_memory_equal(&p->sr, &before, sizeof(before));
    if (expected != CQ_DROP_NONE) {
        assert_true(cq_is_zero_ct(p->accept, sizeof(p->accept)));
        assert_true(cq_is_zero_ct(&p->kr, sizeof(p->kr)));
    }
}

static void test_offer_rotate(void **state)
{
    static const struct {
        uint16_t rotate;
        enum cq_drop expected;
    } cases[] = {
        {60, CQ_DROP_NONE},          {3600, CQ_DROP_NONE},       {59, CQ_DROP_BAD_ROTATE},
        {0, CQ_DROP_BAD_ROTATE},     {3601, CQ_DROP_BAD_ROTATE}, {65535, CQ_DROP_BAD_ROTATE},
        {15360, CQ_DROP_BAD_ROTATE}, /* 60 in the wrong byte order */
    };
    uint8_t payload[CQ_MLKEM_EK_LEN + 8];
    struct pair p;
    (void)state;
    prepare_offer(&p, payload);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cq_store_be16(payload + CQ_MLKEM_EK_LEN, cases[i].rotate);
        try_offer(&p, payload, cases[i].expected);
        if (cases[i].expected == CQ_DROP_NONE)
            assert_int_equal(p.kr.rotate_secs, cases[i].rotate < 300 ? cases[i].rotate : 300);
    }
    pair_wipe(&p);
}

static void test_offer_reserved(void **state)
{
    uint8_t payload[CQ_MLKEM_EK_LEN + 8];
    struct pair p;
    (void)state;
    prepare_offer(&p, payload);
    for (size_t at = CQ_MLKEM_EK_LEN + 2; at < sizeof(payload); at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            payload[at] = (uint8_t)(1u << bit);
            try_offer(&p, payload, CQ_DROP_RESERVED_BITS);
            payload[at] = 0;
        }
    try_offer(&p, payload, CQ_DROP_NONE);
    pair_wipe(&p);
}

/* Every coefficient at once, and single ones, of 3329 and more. */
static void test_offer_modulus(void **state)
{
    static const size_t coefficients[] = {0, 1, 2, 255, 256, 511, 512, 766, 767};
    uint8_t payload[CQ_MLKEM_EK_LEN + 8], honest[CQ_MLKEM_EK_LEN + 8];
    struct pair p;
    (void)state;
    prepare_offer(&p, honest);
    for (size_t i = 0; i < sizeof(coefficients) / sizeof(coefficients[0]); i++) {
        memcpy(payload, honest, sizeof(payload));
        uint8_t *at = payload + coefficients[i] / 2 * 3;
        if (coefficients[i] % 2 == 0) {
            at[0] = 0x01; /* 0xd01 = 3329 */
            at[1] = (uint8_t)((at[1] & 0xf0) | 0x0d);
        } else {
            at[1] = (uint8_t)((at[1] & 0x0f) | 0x10);
            at[2] = 0xd0;
        }
        try_offer(&p, payload, CQ_DROP_BAD_KEM_KEY);
    }
    memset(payload, 0xff, CQ_MLKEM_EK_LEN);
    try_offer(&p, payload, CQ_DROP_BAD_KEM_KEY);
    try_offer(&p, honest, CQ_DROP_NONE);
    pair_wipe(&p);
}

/* A ciphertext in ACCEPT that was made for another key decapsulates to something else, so enc_fin
 * does not open. */
static void test_accept_for_another_key(void **state)
{
    struct pair p;
    uint8_t payload[CQ_MLKEM_EK_LEN + 8];
    (void)state;
    prepare_offer(&p, payload);
    pair_write_offer(&p);
    pair_read_offer(&p);
    cq_mlkem_free(p.si.ephemeral);
    p.offer_seed[0] ^= 1;
    assert_int_equal(cq_mlkem_keygen(&p.si.ephemeral, NULL, p.offer_seed), CQ_OK);
    memset(&p.ki, 0xaa, sizeof(p.ki));
    assert_int_equal(cq_accept_read(&p.si, p.accept, &p.ki), CQ_DROP_DECRYPT_ACCEPT);
    assert_true(cq_is_zero_ct(&p.ki, sizeof(p.ki)));
    pair_wipe(&p);
}

/* A peer's key that fails the modulus check makes no INIT and no REPLY. */
static void test_static_modulus(void **state)
{
    struct pair p;
    struct cq_public_key key;
    (void)state;
    pair_init(&p, 6);
    pair_init_message(&p);
    pair_read_init(&p);
    key = p.r.public_key;
    memset(key.ek, 0xff, 3);
    p.pi.peer_key = &key;
    memset(&p.si, 0xaa, sizeof(p.si));
    assert_int_equal(cq_init_write(&p.si, p.init, &p.pi, &p.macs_r, NULL, &p.init_random),
                     CQ_ERR_INVALID);
    assert_true(cq_is_zero_ct(&p.si, sizeof(p.si)));
    key = p.i.public_key;
    memset(key.ek, 0xff, 3);
    p.pr.peer_key = &key;
    memset(&p.sr, 0xaa, sizeof(p.sr));
    assert_int_equal(cq_reply_write(&p.sr, p.reply, &p.reading, p.init, CQ_SUITE_AES_256_GCM, &p.pr,
                                    &p.reply_random),
                     CQ_ERR_INVALID);
    assert_true(cq_is_zero_ct(&p.sr, sizeof(p.sr)));
    pair_wipe(&p);
}

/* ---- failing allocations ---- */

enum step { INIT, READ_ID, READ_FRESH, REPLY, READ_REPLY, OFFER, READ_OFFER, READ_ACCEPT, STEPS };

static bool library_error(enum cq_err err)
{
    return err == CQ_ERR_NOMEM || err == CQ_ERR_CRYPTO;
}

/* What failed left nothing half-done. */
static void check_write_failed(enum cq_err err, const void *state, size_t len)
{
    assert_true(library_error(err));
    assert_true(cq_is_zero_ct(state, len));
}

/* Does one step; false when it failed, which it then did cleanly. */
static bool do_step(struct pair *p, enum step step)
{
    struct cq_initiator si = p->si;
    struct cq_init_reading reading = p->reading;
    enum cq_err err;
    enum cq_drop drop = CQ_DROP_NONE;
    switch (step) {
    case INIT:
        err = cq_init_write(&p->si, p->init, &p->pi, &p->macs_r, NULL, &p->init_random);
        if (err != CQ_OK)
            check_write_failed(err, &p->si, sizeof(p->si));
        return err == CQ_OK;
    case READ_ID:
        drop = cq_init_read_id(&p->reading, p->init, &p->r);
        if (drop != CQ_DROP_NONE)
            assert_true(cq_is_zero_ct(&p->reading, sizeof(p->reading)));
        break;
    case READ_FRESH:
        drop = cq_init_read_fresh(&p->reading, p->fresh, p->init, &p->pr);
        if (drop != CQ_DROP_NONE)
            assert_memory_equal(&p->reading, &reading, sizeof(reading));
        break;
    case REPLY:
        err = cq_reply_write(&p->sr, p->reply, &p->reading, p->init, CQ_SUITE_AES_256_GCM, &p->pr,
                             &p->reply_random);
        if (err != CQ_OK)
            check_write_failed(err, &p->sr, sizeof(p->sr));
        return err == CQ_OK;
    case READ_REPLY:
        drop = cq_reply_read(&p->si, p->reply, &p->pi);
        if (drop != CQ_DROP_NONE)
            assert_memory_equal(&p->si, &si, sizeof(si));
        break;
    case OFFER:
        err = cq_offer_write(&p->si, p->offer, &p->pi, p->offer_seed);
        if (err != CQ_OK) {
            check_write_failed(err, &p->si, sizeof(p->si));
            p->si = si; /* for the next try; a real caller starts over */
        }
        return err == CQ_OK;
    case READ_OFFER:
        drop = cq_offer_read(&p->sr, p->offer, &p->pr, p->accept_random, p->accept, &p->kr);
        if (drop != CQ_DROP_NONE) {
            assert_true(cq_is_zero_ct(p->accept, sizeof(p->accept)));
            assert_true(cq_is_zero_ct(&p->kr, sizeof(p->kr)));
        }
        break;
    case READ_ACCEPT:
        drop = cq_accept_read(&p->si, p->accept, &p->ki);
        if (drop != CQ_DROP_NONE)
            assert_true(cq_is_zero_ct(&p->ki, sizeof(p->ki)));
        break;
    case STEPS:
        break;
    }
    if (drop != CQ_DROP_NONE)
        assert_int_equal(drop, CQ_DROP_HANDSHAKE_INTERNAL);
    return drop == CQ_DROP_NONE;
}

/* Lets every allocation of a step fail in turn; p is then as after the step. */
static void fail_each(struct pair *p, enum step step, bool count)
{
    long before = failing_libcrypto_live();
    long failures = 0;
    struct pair saved = *p;
    for (long n = 0;; n++) {
        failing_libcrypto_arm(n);
        bool ok = do_step(p, step);
        bool failed = failing_libcrypto_disarm();
        assert_true(ok || failed);
        if (!failed)
            break;
        failures += !ok;
        if (ok && step == OFFER)
            cq_mlkem_free(p->si.ephemeral); /* the failure did no harm */
        *p = saved;
        if (count)
            assert_int_equal(failing_libcrypto_live(), before);
    }
    assert_true(failures > 0);
}

static void test_failing_allocations(void **state)
{
    struct pair good, p;
    (void)state;
    pair_init(&good, 7);
    for (enum step s = INIT; s < STEPS; s++)
        assert_true(do_step(&good, s));
    /* The second round: libcrypto makes some things once, when a failure first needs them. */
    for (unsigned round = 0; round < 2; round++) {
        long live = failing_libcrypto_live();
        pair_init(&p, 7);
        for (enum step s = INIT; s < STEPS; s++)
            fail_each(&p, s, round == 1);
        assert_memory_equal(p.init, good.init, sizeof(p.init));
        assert_memory_equal(p.reply, good.reply, sizeof(p.reply));
        assert_memory_equal(p.offer, good.offer, sizeof(p.offer));
        assert_memory_equal(p.accept, good.accept, sizeof(p.accept));
        assert_memory_equal(&p.ki, &good.ki, sizeof(p.ki));
        assert_memory_equal(&p.kr, &good.kr, sizeof(p.kr));
        pair_wipe(&p);
        if (round == 1)
            assert_int_equal(failing_libcrypto_live(), live);
    }
    pair_wipe(&good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_low_order_init),   cmocka_unit_test(test_low_order_reply),
        cmocka_unit_test(test_low_order_static), cmocka_unit_test(test_reply_payloads),
        cmocka_unit_test(test_offer_rotate),     cmocka_unit_test(test_offer_reserved),
        cmocka_unit_test(test_offer_modulus),    cmocka_unit_test(test_accept_for_another_key),
        cmocka_unit_test(test_static_modulus),   cmocka_unit_test(test_failing_allocations),
    };
    if (!failing_libcrypto_init())
        return 1;
    return cmocka_run_group_tests_name("handshake_hostile", tests, NULL, NULL);
}
