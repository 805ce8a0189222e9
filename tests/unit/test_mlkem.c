/* ML-KEM-768: known answers, implicit rejection, the modulus check. */
#include "base/mem.h"
#include "crypto/crypto.h"
#include "crypto/hash.h"
#include "crypto/mlkem.h"
#include "tests/hex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>

#include <cmocka.h>

/* Seed 00..3f and m 40..5f, computed with the independent tests/interop/mlkem.py. */
#define EK_SHA256 "0b7934c83125c788995e2ba6bd761e33046b3e40571be53e023309a29f398cc9"
#define CT_SHA256 "dbf4e9aa48b078ad46ec1c9c47bda8c2d2fec9d0e7a21bd48d2238a2abedb856"
#define SECRET "9cddd089ffe70e3996e76f7c8d06746df34d07e8657bc0fcf2bb0e1c3084aea1"
#define REJECTED "dcfc80c6db46ff7028e3a4398651c063ae7a42c107a6dc8cb07141861698ab92"

static struct cq_mlkem_key *key;
static uint8_t ek[CQ_MLKEM_EK_LEN];
static uint8_t m[CQ_MLKEM_RANDOM_LEN];

static int make_key(void **state)
{
    uint8_t seed[CQ_MLKEM_SEED_LEN];

    (void)state;
    for (size_t i = 0; i < sizeof(seed); i++)
        seed[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof(m); i++)
        m[i] = (uint8_t)(64 + i);
    return cq_mlkem_keygen(&key, ek, seed) == CQ_OK ? 0 : -1;
}

static int free_key(void **state)
{
    (void)state;
    cq_mlkem_free(key);
    cq_mlkem_free(NULL);
    return 0;
}

static void assert_hex(const uint8_t *bytes, const char *hex)
{
    uint8_t expected[32];

    hex_decode(hex, expected, 32);
    assert_memory_equal(bytes, expected, 32);
}

static void assert_hash(const uint8_t *bytes, size_t len, const char *hex)
{
    uint8_t digest[32];

    assert_int_equal(cq_hash(digest, CQ_SPANS({bytes, len})), CQ_OK);
    assert_hex(digest, hex);
}

static void test_known_answers(void **state)
{
    uint8_t ct[CQ_MLKEM_CT_LEN];
    uint8_t sent[32];
    uint8_t received[32];
    struct cq_mlkem_key *imported = NULL;

    (void)state;
    assert_hash(ek, sizeof(ek), EK_SHA256);
    assert_int_equal(cq_mlkem_import(&imported, ek), CQ_OK);
    assert_int_equal(cq_mlkem_encaps(ct, sent, imported, m), CQ_OK);
    assert_hash(ct, sizeof(ct), CT_SHA256);
    assert_hex(sent, SECRET);
    assert_int_equal(cq_mlkem_decaps(received, key, ct), CQ_OK);
    assert_hex(received, SECRET);
    /* to oneself, with the key pair */
    assert_int_equal(cq_mlkem_encaps(ct, sent, key, m), CQ_OK);
    assert_hash(ct, sizeof(ct), CT_SHA256);
    cq_mlkem_free(imported);
}

static void test_keygen_without_ek(void **state)
{
    struct cq_mlkem_key *again = NULL;
    uint8_t seed[CQ_MLKEM_SEED_LEN];
    uint8_t ct[CQ_MLKEM_CT_LEN];
    uint8_t out[32];

    (void)state;
    for (size_t i = 0; i < sizeof(seed); i++)
        seed[i] = (uint8_t)i;
    assert_int_equal(cq_mlkem_keygen(&again, NULL, seed), CQ_OK);
    assert_int_equal(cq_mlkem_encaps(ct, out, key, m), CQ_OK);
    assert_int_equal(cq_mlkem_decaps(out, again, ct), CQ_OK);
    assert_hex(out, SECRET);
    cq_mlkem_free(again);
}

/* A changed ciphertext gives another secret, always the same one, and no error. */
static void test_implicit_rejection(void **state)
{
    uint8_t ct[CQ_MLKEM_CT_LEN];
    uint8_t out[32];
    uint8_t right[32];

    (void)state;
    assert_int_equal(cq_mlkem_encaps(ct, right, key, m), CQ_OK);
    ct[0] ^= 1;
    assert_int_equal(cq_mlkem_decaps(out, key, ct), CQ_OK);
    assert_hex(out, REJECTED);
    ct[0] ^= 1;
    for (size_t i = 0; i < sizeof(ct); i += 31) {
        ct[i] ^= 0x80;
        assert_int_equal(cq_mlkem_decaps(out, key, ct), CQ_OK);
        assert_memory_not_equal(out, right, 32);
        ct[i] ^= 0x80;
    }
}

/* A key pair cannot decapsulate without its secret half. */
static void test_public_key_decaps(void **state)
{
    struct cq_mlkem_key *public = NULL;
    uint8_t ct[CQ_MLKEM_CT_LEN] = {0};
    uint8_t out[32];

    (void)state;
    assert_int_equal(cq_mlkem_import(&public, ek), CQ_OK);
    memset(out, 1, sizeof(out));
    assert_int_equal(cq_mlkem_decaps(out, public, ct), CQ_ERR_CRYPTO);
    assert_true(cq_is_zero_ct(out, sizeof(out)));
    cq_mlkem_free(public);
}

static void set_coefficient(uint8_t *p, size_t i, unsigned v)
{
    uint8_t *at = p + i / 2 * 3;

    if (i % 2 == 0) {
        at[0] = (uint8_t)v;
        at[1] = (uint8_t)((at[1] & 0xf0) | v >> 8);
    } else {
        at[1] = (uint8_t)((at[1] & 0x0f) | (v & 0x0f) << 4);
        at[2] = (uint8_t)(v >> 4);
    }
}

static bool is_accepted(const uint8_t bytes[CQ_MLKEM_EK_LEN])
{
    struct cq_mlkem_key *imported = NULL;
    enum cq_err err = cq_mlkem_import(&imported, bytes);

    assert_int_equal(cq_mlkem_check(bytes), err);
    assert_int_equal(imported != NULL, err == CQ_OK);
    assert_true(err == CQ_OK || err == CQ_ERR_INVALID);
    cq_mlkem_free(imported);
    return err == CQ_OK;
}

/* Each of the 768 coefficients: 3328 is the last that is accepted. */
static void test_modulus_check(void **state)
{
    static const unsigned refused[] = {3329, 3330, 4094, 4095};
    uint8_t bytes[CQ_MLKEM_EK_LEN];

    (void)state;
    for (size_t i = 0; i < 768; i++) {
        memcpy(bytes, ek, sizeof(bytes));
        set_coefficient(bytes, i, 3328);
        assert_int_equal(cq_mlkem_check(bytes), CQ_OK);
        set_coefficient(bytes, i, refused[i % 4]);
        assert_int_equal(cq_mlkem_check(bytes), CQ_ERR_INVALID);
        if (i % 50 == 0 || i == 767)
            assert_false(is_accepted(bytes));
    }
    memset(bytes, 0, sizeof(bytes));
    assert_true(is_accepted(bytes));
    memset(bytes + 1152, 0xff, 32); /* rho may be anything */
    assert_true(is_accepted(bytes));
    memset(bytes, 0xff, sizeof(bytes));
    assert_false(is_accepted(bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),      cmocka_unit_test(test_keygen_without_ek),
        cmocka_unit_test(test_implicit_rejection), cmocka_unit_test(test_public_key_decaps),
        cmocka_unit_test(test_modulus_check),
    };
    if (cq_crypto_init(false) != CQ_OK)
        return 1;
    return cmocka_run_group_tests_name("mlkem", tests, make_key, free_key);
}
