#include "failing_libcrypto.h"
#include "proto/identity.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t secret_a[32] = {1, 2, 3};

static void make(struct cq_identity *out, uint8_t first)
{
    uint8_t k[32] = {first};
    assert_int_equal(cq_identity_init(out, k), CQ_OK);
}

static void test_same_secret_same_identity(void **state)
{
    struct cq_identity a, b, c;
    (void)state;
    make(&a, 1);
    make(&b, 1);
    make(&c, 2);
    assert_memory_equal(a.id, b.id, 32);
    assert_memory_equal(&a.public_key, &b.public_key, sizeof(a.public_key));
    assert_memory_equal(a.x25519, b.x25519, 32);
    assert_memory_not_equal(a.id, c.id, 32);
    assert_memory_not_equal(a.public_key.s, c.public_key.s, 32);
    assert_memory_not_equal(a.public_key.ek, c.public_key.ek, CQ_MLKEM_EK_LEN);
    cq_identity_wipe(&a);
    cq_identity_wipe(&b);
    cq_identity_wipe(&c);
}

/* Every bit of the secret counts for both keys. */
static void test_every_bit_of_the_secret(void **state)
{
    struct cq_identity base, other;
    uint8_t k[32] = {0};
    (void)state;
    assert_int_equal(cq_identity_init(&base, k), CQ_OK);
    for (size_t bit = 0; bit < 256; bit++) {
        k[bit / 8] = (uint8_t)(k[bit / 8] ^ 1u << bit % 8);
        assert_int_equal(cq_identity_init(&other, k), CQ_OK);
        assert_memory_not_equal(base.public_key.s, other.public_key.s, 32);
        assert_memory_not_equal(base.public_key.ek, other.public_key.ek, CQ_MLKEM_EK_LEN);
        cq_identity_wipe(&other);
        k[bit / 8] = 0;
    }
    cq_identity_wipe(&base);
}

static void test_wipe(void **state)
{
    struct cq_identity a;
    (void)state;
    make(&a, 3);
    cq_identity_wipe(&a);
    assert_true(cq_is_zero_ct(&a, sizeof(a)));
    cq_identity_wipe(&a);
}

static void test_verify_every_byte(void **state)
{
    struct cq_identity a;
    struct cq_public_key key;
    uint8_t id[32];
    (void)state;
    make(&a, 4);
    assert_int_equal(cq_public_key_verify(&a.public_key, a.id), CQ_OK);
    for (size_t i = 0; i < sizeof(key); i++) {
        key = a.public_key;
        ((uint8_t *)&key)[i] ^= 0x01;
        assert_int_equal(cq_public_key_verify(&key, a.id), CQ_ERR_AUTH);
    }
    for (size_t i = 0; i < sizeof(id); i++) {
        memcpy(id, a.id, sizeof(id));
        id[i] ^= 0x80;
        assert_int_equal(cq_public_key_verify(&a.public_key, id), CQ_ERR_AUTH);
    }
    cq_identity_wipe(&a);
}

/* A key of the right hash whose coefficients are not reduced: 3329 and 4095 at several places. */
static void test_verify_modulus(void **state)
{
    static const struct {
        size_t coefficient;
        unsigned value;
        enum cq_err expected;
    } cases[] = {
        {0, 3328, CQ_OK},   {0, 3329, CQ_ERR_INVALID},   {0, 4095, CQ_ERR_INVALID},
        {1, 3328, CQ_OK},   {1, 3329, CQ_ERR_INVALID},   {1, 4095, CQ_ERR_INVALID},
        {767, 3328, CQ_OK}, {767, 3329, CQ_ERR_INVALID}, {400, 3330, CQ_ERR_INVALID},
        {766, 3328, CQ_OK}, {766, 3329, CQ_ERR_INVALID},
    };
    struct cq_identity a;
    (void)state;
    make(&a, 5);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cq_public_key key = a.public_key;
        uint8_t id[32];
        uint8_t *at = key.ek + cases[i].coefficient / 2 * 3;
        unsigned v = cases[i].value;
        if (cases[i].coefficient % 2 == 0) {
            at[0] = (uint8_t)v;
            at[1] = (uint8_t)((at[1] & 0xf0) | v >> 8);
        } else {
            at[1] = (uint8_t)((at[1] & 0x0f) | (v & 0x0f) << 4);
            at[2] = (uint8_t)(v >> 4);
        }
        assert_int_equal(cq_peer_id(id, &key), CQ_OK);
        assert_int_equal(cq_public_key_verify(&key, id), cases[i].expected);
        /* The hash is looked at first. */
        id[0] ^= 1;
        assert_int_equal(cq_public_key_verify(&key, id), CQ_ERR_AUTH);
    }
    cq_identity_wipe(&a);
}

static void test_failing_allocations(void **state)
{
    struct cq_identity a;
    (void)state;
    long live = failing_libcrypto_live();
    long n = 0;
    for (bool done = false; !done; n++) {
        memset(&a, 0xaa, sizeof(a));
        failing_libcrypto_arm(n);
        enum cq_err err = cq_identity_init(&a, secret_a);
        done = !failing_libcrypto_disarm();
        if (err != CQ_OK) {
            assert_false(done);
            assert_true(err == CQ_ERR_NOMEM || err == CQ_ERR_CRYPTO);
            assert_true(cq_is_zero_ct(&a, sizeof(a)));
        }
        cq_identity_wipe(&a);
        assert_int_equal(failing_libcrypto_live(), live);
    }
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_secret_same_identity),
        cmocka_unit_test(test_every_bit_of_the_secret),
        cmocka_unit_test(test_wipe),
        cmocka_unit_test(test_verify_every_byte),
        cmocka_unit_test(test_verify_modulus),
        cmocka_unit_test(test_failing_allocations),
    };
    if (!failing_libcrypto_init())
        return 1;
    return cmocka_run_group_tests_name("identity", tests, NULL, NULL);
}
