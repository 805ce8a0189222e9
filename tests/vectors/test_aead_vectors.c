/* The transport suites against the published vectors, each in both directions and in place. */
#include "vectors.h"

#include "base/mem.h"
#include "crypto/aead.h"
#include "crypto/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool is_ours(json_t *group)
{
    return json_integer_value(vectors_get(group, "ivSize")) == 8 * CQ_AEAD_NONCE_LEN &&
           json_integer_value(vectors_get(group, "keySize")) == 8 * CQ_AEAD_KEY_LEN &&
           json_integer_value(vectors_get(group, "tagSize")) == 8 * CQ_AEAD_TAG_LEN;
}

static void check_seal(enum cq_suite suite, json_t *test, struct cq_aead_op *op)
{
    struct bytes cipher = vectors_bytes(test, "ct");
    struct bytes tag = vectors_bytes(test, "tag");
    uint8_t out_tag[CQ_AEAD_TAG_LEN];
    struct cq_aead *aead = NULL;

    op->tag = out_tag;
    assert_int_equal(cq_aead_new(&aead, suite, CQ_AEAD_SEAL, vectors_bytes(test, "key").p), CQ_OK);
    assert_int_equal(cq_aead_seal_batch(aead, op, 1), CQ_OK);
    assert_memory_equal(op->out, cipher.p, cipher.len);
    assert_memory_equal(out_tag, tag.p, sizeof(out_tag));
    cq_aead_free(aead);
}

static void check_open(enum cq_suite suite, json_t *test, struct cq_aead_op *op, bool valid)
{
    struct bytes plain = vectors_bytes(test, "msg");
    struct cq_aead *aead = NULL;

    op->tag = vectors_bytes(test, "tag").p;
    assert_int_equal(cq_aead_new(&aead, suite, CQ_AEAD_OPEN, vectors_bytes(test, "key").p), CQ_OK);
    assert_int_equal(cq_aead_open_batch(aead, op, 1), valid ? CQ_OK : CQ_ERR_AUTH);
    assert_int_equal(op->failed, !valid);
    if (valid)
        assert_memory_equal(op->out, plain.p, plain.len);
    else
        assert_true(cq_is_zero_ct(op->out, op->len));
    cq_aead_free(aead);
}

static void check_test(enum cq_suite suite, json_t *test, bool valid)
{
    struct bytes nonce = vectors_bytes(test, "iv");
    struct bytes ad = vectors_bytes(test, "aad");
    struct bytes plain = vectors_bytes(test, "msg");
    struct bytes cipher = vectors_bytes(test, "ct");
    struct cq_aead_op op = {.ad = ad.p, .ad_len = ad.len, .len = plain.len};

    assert_int_equal(plain.len, cipher.len);
    assert_int_equal(nonce.len, sizeof(op.nonce));
    memcpy(op.nonce, nonce.p, sizeof(op.nonce));
    op.in = op.out = plain.p;
    if (valid)
        check_seal(suite, test, &op);
    op.in = op.out = cipher.p;
    check_open(suite, test, &op, valid);
}

static void check_file(const char *name, enum cq_suite suite, size_t expected, size_t expected_bad)
{
    json_t *root = vectors_load(name);
    size_t num_checked = 0;
    size_t num_bad = 0;
    size_t i;
    size_t j;
    json_t *group;
    json_t *test;

    json_array_foreach(vectors_get(root, "testGroups"), i, group)
    {
        if (!is_ours(group))
            continue;
        json_array_foreach(vectors_get(group, "tests"), j, test)
        {
            bool valid = vectors_is(test, "result", "valid");
            check_test(suite, test, valid);
            num_bad += !valid;
            num_checked++;
        }
    }
    assert_int_equal(num_checked, expected);
    assert_int_equal(num_bad, expected_bad);
}

static void test_aes_256_gcm(void **state)
{
    (void)state;
    check_file("wycheproof/aes_gcm_test.json", CQ_SUITE_AES_256_GCM, 66, 27);
}

static void test_chacha20_poly1305(void **state)
{
    (void)state;
    check_file("wycheproof/chacha20_poly1305_test.json", CQ_SUITE_CHACHA20_POLY1305, 316, 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VECTORS_TEST("wycheproof aes_gcm: 66 vectors with our sizes, 27 of them forged",
                     test_aes_256_gcm),
        VECTORS_TEST("wycheproof chacha20_poly1305: 316 vectors with our sizes, 60 of them forged",
                     test_chacha20_poly1305),
    };
    if (cq_crypto_init(false) != CQ_OK)
        return 1;
    return cmocka_run_group_tests_name("aead_vectors", tests, NULL, NULL);
}
