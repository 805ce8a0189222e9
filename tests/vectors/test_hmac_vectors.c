/* HMAC-SHA-256, also as HKDF (RFC 5869), against the published vectors. */
#include "vectors.h"

#include "base/mem.h"
#include "crypto/crypto.h"
#include "crypto/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_KEY_LEN = 64 };

/* Truncated tags are compared as far as they go. Keys above 64 bytes are outside the contract:
 * refused. */
static void test_hmac(void **state)
{
    json_t *root = vectors_load("wycheproof/hmac_sha256_test.json");
    size_t num_checked = 0;
    size_t num_truncated = 0;
    size_t num_forged = 0;
    size_t num_refused = 0;
    size_t i;
    size_t j;
    json_t *group;
    json_t *test;

    (void)state;
    json_array_foreach(vectors_get(root, "testGroups"), i, group)
    {
        json_array_foreach(vectors_get(group, "tests"), j, test)
        {
            struct bytes key = vectors_bytes(test, "key");
            struct bytes msg = vectors_bytes(test, "msg");
            struct bytes tag = vectors_bytes(test, "tag");
            bool valid = vectors_is(test, "result", "valid");
            uint8_t out[32];
            enum cq_err err = cq_hmac(out, key.p, key.len, CQ_SPANS({msg.p, msg.len}));
            num_checked++;
            if (key.len > MAX_KEY_LEN) {
                assert_int_equal(err, CQ_ERR_CRYPTO);
                num_refused++;
                continue;
            }
            assert_int_equal(err, CQ_OK);
            assert_int_equal(cq_equal_ct(out, tag.p, tag.len), valid);
            num_forged += !valid;
            num_truncated += tag.len == 16;
        }
    }
    assert_int_equal(num_checked, 174);
    assert_int_equal(num_refused, 6);
    assert_int_equal(num_truncated, 84);
    assert_int_equal(num_forged, 108);
}

/* out = HKDF(salt, ikm, info), made from HMAC alone. */
static void derive(struct bytes ikm, struct bytes salt, struct bytes info, uint8_t *out, size_t len)
{
    static const uint8_t zero[32];
    uint8_t prk[32];
    uint8_t t[32];
    size_t t_len = 0;

    if (salt.len == 0)
        salt = (struct bytes){(uint8_t *)(uintptr_t)zero, sizeof(zero)};
    assert_int_equal(cq_hmac(prk, salt.p, salt.len, CQ_SPANS({ikm.p, ikm.len})), CQ_OK);
    for (uint8_t n = 1; len > 0; n++) {
        size_t part = len < sizeof(t) ? len : sizeof(t);
        assert_int_equal(cq_hmac(t, prk, 32, CQ_SPANS({t, t_len}, {info.p, info.len}, {&n, 1})),
                         CQ_OK);
        t_len = sizeof(t);
        memcpy(out, t, part);
        out += part;
        len -= part;
    }
}

static void test_hkdf(void **state)
{
    json_t *root = vectors_load("wycheproof/hkdf_sha256_test.json");
    static uint8_t out[255 * 32];
    size_t num_checked = 0;
    size_t num_skipped = 0;
    size_t i;
    size_t j;
    json_t *group;
    json_t *test;

    (void)state;
    json_array_foreach(vectors_get(root, "testGroups"), i, group)
    {
        json_array_foreach(vectors_get(group, "tests"), j, test)
        {
            size_t len = (size_t)json_integer_value(vectors_get(test, "size"));
            struct bytes salt = vectors_bytes(test, "salt");
            struct bytes okm = vectors_bytes(test, "okm");
            bool valid = vectors_is(test, "result", "valid");
            assert_int_equal(valid, len <= sizeof(out));
            if (!valid || salt.len > MAX_KEY_LEN) {
                num_skipped++;
                continue;
            }
            derive(vectors_bytes(test, "ikm"), salt, vectors_bytes(test, "info"), out, len);
            assert_int_equal(okm.len, len);
            assert_memory_equal(out, okm.p, len);
            num_checked++;
        }
    }
    assert_int_equal(num_checked, 81);
    assert_int_equal(num_skipped, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VECTORS_TEST("wycheproof hmac_sha256: 174 vectors, 84 of them truncated, 108 forged, 6 "
                     "with long keys refused",
                     test_hmac),
        VECTORS_TEST("wycheproof hkdf_sha256: 81 vectors, 5 outside the sizes of cq_hmac",
                     test_hkdf),
    };
    if (cq_crypto_init(false) != CQ_OK)
        return 1;
    return cmocka_run_group_tests_name("hmac_vectors", tests, NULL, NULL);
}
