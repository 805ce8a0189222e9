/* ML-KEM-768 against the published vectors. */
#include "vectors.h"

#include "base/mem.h"
#include "crypto/crypto.h"
#include "crypto/mlkem.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { DK_LEN = 2400 };

typedef void check_fn(json_t *group, json_t *test);

/* Runs check over every test of every group for ML-KEM-768 that has the member; returns how many.
 */
static size_t for_each(const char *file, const char *member, const char *value, check_fn *check)
{
    json_t *root = vectors_load(file);
    size_t num = 0;
    size_t i;
    size_t j;
    json_t *group;
    json_t *test;

    json_array_foreach(vectors_get(root, "testGroups"), i, group)
    {
        if (!vectors_is(group, "parameterSet", "ML-KEM-768") ||
            (member != NULL && !vectors_is(group, member, value)))
            continue;
        json_array_foreach(vectors_get(group, "tests"), j, test)
        {
            check(group, test);
            num++;
        }
    }
    return num;
}

/* How many vectors were refused, and how many of them because no argument of the API has that
 * length. */
static size_t num_refused;
static size_t num_bad_length;

static void check_keygen(const uint8_t seed[CQ_MLKEM_SEED_LEN], struct bytes expected)
{
    struct cq_mlkem_key *key = NULL;
    uint8_t ek[CQ_MLKEM_EK_LEN];

    assert_int_equal(cq_mlkem_keygen(&key, ek, seed), CQ_OK);
    assert_int_equal(expected.len, sizeof(ek));
    assert_memory_equal(ek, expected.p, sizeof(ek));
    cq_mlkem_free(key);
}

static void check_acvp_keygen(json_t *group, json_t *test)
{
    struct bytes d = vectors_bytes(test, "d");
    struct bytes z = vectors_bytes(test, "z");
    uint8_t seed[CQ_MLKEM_SEED_LEN];

    (void)group;
    assert_true(d.len == 32 && z.len == 32);
    memcpy(seed, d.p, 32);
    memcpy(seed + 32, z.p, 32);
    check_keygen(seed, vectors_bytes(test, "ek"));
}

static void test_acvp_keygen(void **state)
{
    (void)state;
    assert_int_equal(for_each("acvp/key-gen.json", NULL, NULL, check_acvp_keygen), 25);
}

static void check_wycheproof_keygen(json_t *group, json_t *test)
{
    struct bytes seed = vectors_bytes(test, "seed");

    (void)group;
    assert_true(vectors_is(test, "result", "valid"));
    assert_int_equal(seed.len, CQ_MLKEM_SEED_LEN);
    check_keygen(seed.p, vectors_bytes(test, "ek"));
}

static void test_wycheproof_keygen(void **state)
{
    (void)state;
    assert_int_equal(
        for_each("wycheproof/mlkem_768_keygen_seed_test.json", NULL, NULL, check_wycheproof_keygen),
        100);
}

static void check_encaps(struct bytes ek, struct bytes m, struct bytes ct, struct bytes secret)
{
    struct cq_mlkem_key *key = NULL;
    uint8_t out_ct[CQ_MLKEM_CT_LEN];
    uint8_t out[CQ_MLKEM_SECRET_LEN];

    assert_int_equal(m.len, CQ_MLKEM_RANDOM_LEN);
    assert_int_equal(ct.len, sizeof(out_ct));
    assert_int_equal(secret.len, sizeof(out));
    assert_int_equal(cq_mlkem_check(ek.p), CQ_OK);
    assert_int_equal(cq_mlkem_import(&key, ek.p), CQ_OK);
    assert_int_equal(cq_mlkem_encaps(out_ct, out, key, m.p), CQ_OK);
    assert_memory_equal(out_ct, ct.p, sizeof(out_ct));
    assert_memory_equal(out, secret.p, sizeof(out));
    cq_mlkem_free(key);
}

static void check_refused(const uint8_t ek[CQ_MLKEM_EK_LEN])
{
    struct cq_mlkem_key *key = NULL;

    assert_int_equal(cq_mlkem_check(ek), CQ_ERR_INVALID);
    assert_int_equal(cq_mlkem_import(&key, ek), CQ_ERR_INVALID);
    assert_null(key);
    num_refused++;
}

static void check_acvp_encaps(json_t *group, json_t *test)
{
    struct bytes ek = vectors_bytes(test, "ek");

    (void)group;
    assert_int_equal(ek.len, CQ_MLKEM_EK_LEN);
    check_encaps(ek, vectors_bytes(test, "m"), vectors_bytes(test, "c"), vectors_bytes(test, "k"));
}

static void test_acvp_encaps(void **state)
{
    (void)state;
    assert_int_equal(
        for_each("acvp/encap-decap.json", "function", "encapsulation", check_acvp_encaps), 25);
}

static void check_wycheproof_encaps(json_t *group, json_t *test)
{
    struct bytes ek = vectors_bytes(test, "ek");
    bool valid = vectors_is(test, "result", "valid");

    (void)group;
    if (valid && ek.len == CQ_MLKEM_EK_LEN) {
        check_encaps(ek, vectors_bytes(test, "m"), vectors_bytes(test, "c"),
                     vectors_bytes(test, "K"));
        return;
    }
    assert_false(valid);
    if (ek.len == CQ_MLKEM_EK_LEN)
        check_refused(ek.p);
    else
        num_bad_length++;
}

static void test_wycheproof_encaps(void **state)
{
    (void)state;
    num_refused = num_bad_length = 0;
    assert_int_equal(
        for_each("wycheproof/mlkem_768_encaps_test.json", NULL, NULL, check_wycheproof_encaps),
        265);
    assert_int_equal(num_refused, 112);
    assert_int_equal(num_bad_length, 20);
}

static void check_decaps(const struct cq_mlkem_key *key, struct bytes ct, struct bytes secret)
{
    uint8_t out[CQ_MLKEM_SECRET_LEN];

    assert_int_equal(ct.len, CQ_MLKEM_CT_LEN);
    assert_int_equal(secret.len, sizeof(out));
    assert_int_equal(cq_mlkem_decaps(out, key, ct.p), CQ_OK);
    assert_memory_equal(out, secret.p, sizeof(out));
}

static void check_wycheproof_decaps(json_t *group, json_t *test)
{
    struct bytes seed = vectors_bytes(test, "seed");
    struct bytes ct = vectors_bytes(test, "c");
    struct cq_mlkem_key *key = NULL;
    uint8_t ek[CQ_MLKEM_EK_LEN];

    (void)group;
    if (seed.len != CQ_MLKEM_SEED_LEN || ct.len != CQ_MLKEM_CT_LEN) {
        assert_true(vectors_is(test, "result", "invalid"));
        num_bad_length++;
        return;
    }
    assert_true(vectors_is(test, "result", "valid"));
    assert_int_equal(cq_mlkem_keygen(&key, ek, seed.p), CQ_OK);
    assert_memory_equal(ek, vectors_bytes(test, "ek").p, sizeof(ek));
    check_decaps(key, ct, vectors_bytes(test, "K"));
    cq_mlkem_free(key);
}

static void test_wycheproof_decaps(void **state)
{
    (void)state;
    num_bad_length = 0;
    assert_int_equal(
        for_each("wycheproof/mlkem_768_test.json", NULL, NULL, check_wycheproof_decaps), 193);
    assert_int_equal(num_bad_length, 40);
}

/*
 * A key from its expanded form, which cq_mlkem_keygen does not take: some vectors have no other, or
 * one that no seed gives. struct cq_mlkem_key is an EVP_PKEY (crypto/mlkem.c). NULL when it does
 * not hold together.
 */
static struct cq_mlkem_key *import_expanded(struct bytes dk)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "ML-KEM-768", NULL);
    EVP_PKEY *key = NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, dk.p, dk.len),
        OSSL_PARAM_construct_end(),
    };

    assert_non_null(ctx);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    if (EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
        assert_null(key);
    EVP_PKEY_CTX_free(ctx);
    return (struct cq_mlkem_key *)(void *)key;
}

static void check_acvp_decaps(json_t *group, json_t *test)
{
    struct bytes dk = vectors_bytes(group, "dk");

    assert_int_equal(dk.len, DK_LEN);
    struct cq_mlkem_key *key = import_expanded(dk);
    assert_non_null(key);
    check_decaps(key, vectors_bytes(test, "c"), vectors_bytes(test, "k"));
    cq_mlkem_free(key);
}

static void test_acvp_decaps(void **state)
{
    (void)state;
    assert_int_equal(
        for_each("acvp/encap-decap.json", "function", "decapsulation", check_acvp_decaps), 10);
}

static void check_expanded_decaps(json_t *group, json_t *test)
{
    struct bytes dk = vectors_bytes(test, "dk");
    struct bytes ct = vectors_bytes(test, "c");
    bool valid = vectors_is(test, "result", "valid");

    (void)group;
    if (dk.len != DK_LEN || ct.len != CQ_MLKEM_CT_LEN) {
        assert_false(valid);
        num_bad_length++;
        return;
    }
    struct cq_mlkem_key *key = import_expanded(dk);
    assert_int_equal(key != NULL, valid);
    if (valid)
        check_decaps(key, ct, vectors_bytes(test, "K"));
    else
        num_refused++;
    cq_mlkem_free(key);
}

static void test_expanded_decaps(void **state)
{
    (void)state;
    num_refused = num_bad_length = 0;
    assert_int_equal(for_each("wycheproof/mlkem_768_semi_expanded_decaps_test.json", NULL, NULL,
                              check_expanded_decaps),
                     9);
    assert_int_equal(num_refused, 2);
    assert_int_equal(num_bad_length, 4);
}

/* One encapsulation key per line, each with one coefficient out of range. */
static void test_cctv_modulus(void **state)
{
    const char *line = vectors_load_text("cctv/modulus_ML-KEM-768.txt.gz");

    (void)state;
    num_refused = 0;
    while (*line != '\0') {
        size_t len = strcspn(line, "\n");
        struct bytes ek = vectors_hex(line, len);
        assert_int_equal(ek.len, CQ_MLKEM_EK_LEN);
        check_refused(ek.p);
        line += len + (line[len] == '\n');
    }
    assert_int_equal(num_refused, 780);
}

/* The value of a "name = hex" line. */
static struct bytes find_line(const char *text, const char *name)
{
    size_t name_len = strlen(name);

    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, name_len) == 0 && strncmp(line + name_len, " = ", 3) == 0) {
            const char *hex = line + name_len + 3;
            return vectors_hex(hex, strcspn(hex, "\n"));
        }
    }
    fail_msg("no line \"%s\"", name);
    return (struct bytes){NULL, 0};
}

/* Decapsulations that only a comparison over the whole length rejects. */
static void test_cctv_strcmp(void **state)
{
    const char *text = vectors_load_text("cctv/strcmp_ML-KEM-768.txt");
    struct bytes dk = find_line(text, "dk");

    (void)state;
    assert_int_equal(dk.len, DK_LEN);
    struct cq_mlkem_key *key = import_expanded(dk);
    assert_non_null(key);
    check_decaps(key, find_line(text, "c"), find_line(text, "K"));
    cq_mlkem_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VECTORS_TEST("ACVP key-gen: 25 vectors", test_acvp_keygen),
        VECTORS_TEST("ACVP encap-decap: 25 encapsulations", test_acvp_encaps),
        VECTORS_TEST("ACVP encap-decap: 10 decapsulations", test_acvp_decaps),
        VECTORS_TEST("wycheproof mlkem_768_keygen_seed: 100 vectors", test_wycheproof_keygen),
        VECTORS_TEST("wycheproof mlkem_768_encaps: 133 vectors, 112 keys refused, 20 bad lengths",
                     test_wycheproof_encaps),
        VECTORS_TEST("wycheproof mlkem_768: 153 vectors, 40 bad lengths", test_wycheproof_decaps),
        VECTORS_TEST("wycheproof mlkem_768_semi_expanded_decaps: 3 vectors, 2 keys refused, "
                     "4 bad lengths",
                     test_expanded_decaps),
        VECTORS_TEST("CCTV modulus: 780 keys refused", test_cctv_modulus),
        VECTORS_TEST("CCTV strcmp: 1 vector", test_cctv_strcmp),
    };
    if (cq_crypto_init(false) != CQ_OK)
        return 1;
    return cmocka_run_group_tests_name("mlkem_vectors", tests, NULL, NULL);
}
