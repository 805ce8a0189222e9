/* SHA-256 and HMAC: FIPS 180-4 examples, RFC 4231, spans, aliasing, key lengths. */
#include "base/mem.h"
#include "crypto/crypto.h"
#include "crypto/hash.h"
#include "tests/hex.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
    const char *text;
    const char *digest;
} sha256_vectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

/* However a message is cut into two spans, its hash is the same. */
static void test_sha256(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sha256_vectors); i++) {
        const char *text = sha256_vectors[i].text;
        size_t len = strlen(text);
        uint8_t expected[32];
        uint8_t out[32];
        hex_decode(sha256_vectors[i].digest, expected, 32);
        for (size_t cut = 0; cut <= len; cut++) {
            assert_int_equal(cq_hash(out, CQ_SPANS({text, cut}, {text + cut, len - cut})), CQ_OK);
            assert_memory_equal(out, expected, 32);
        }
    }
    uint8_t out[32];
    uint8_t expected[32];
    hex_decode(sha256_vectors[0].digest, expected, 32);
    assert_int_equal(cq_hash(out, NULL, 0), CQ_OK);
    assert_memory_equal(out, expected, 32);
    assert_int_equal(cq_hash(out, CQ_SPANS({NULL, 0})), CQ_OK);
    assert_memory_equal(out, expected, 32);
}

/* RFC 4231 section 4; its keys of 131 bytes are outside the contract. */
static const struct {
    const char *key;
    const char *data;
    const char *mac;
    size_t mac_len;
} hmac_vectors[] = {
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7", 32},
    {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", 32},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "dddddddddddddddddddddddddddddddddddddddddddddddddd"
     "dddddddddddddddddddddddddddddddddddddddddddddddddd",
     "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe", 32},
    {"0102030405060708090a0b0c0d0e0f10111213141516171819",
     "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
     "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
     "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b", 32},
    {"0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c", "546573742057697468205472756e636174696f6e",
     "a3b6167473100ee06e0c796c2955552b", 16},
};

static void test_hmac(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(hmac_vectors); i++) {
        uint8_t key[64];
        uint8_t data[64];
        uint8_t expected[32];
        uint8_t out[32];
        size_t key_len = hex_decode(hmac_vectors[i].key, key, sizeof(key));
        size_t len = hex_decode(hmac_vectors[i].data, data, sizeof(data));
        hex_decode(hmac_vectors[i].mac, expected, 32);
        for (size_t cut = 0; cut <= len; cut++) {
            assert_int_equal(
                cq_hmac(out, key, key_len, CQ_SPANS({data, cut}, {data + cut, len - cut})), CQ_OK);
            assert_memory_equal(out, expected, hmac_vectors[i].mac_len);
        }
    }
}

/* The definition of RFC 2104, made with cq_hash. */
static void define_hmac(uint8_t out[32], const uint8_t *key, size_t key_len, const uint8_t *data,
                        size_t len)
{
    uint8_t ipad[64];
    uint8_t opad[64];
    uint8_t inner[32];

    memset(ipad, 0x36, 64);
    memset(opad, 0x5c, 64);
    for (size_t i = 0; i < key_len; i++) {
        ipad[i] ^= key[i];
        opad[i] ^= key[i];
    }
    assert_int_equal(cq_hash(inner, CQ_SPANS({ipad, 64}, {data, len})), CQ_OK);
    assert_int_equal(cq_hash(out, CQ_SPANS({opad, 64}, {inner, 32})), CQ_OK);
}

static void test_hmac_key_lengths(void **state)
{
    uint8_t key[65];
    uint8_t data[1500];
    uint8_t expected[32];
    uint8_t out[32];

    (void)state;
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)(i * 5 + 1);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)i;
    for (size_t key_len = 1; key_len <= 64; key_len++) {
        size_t len = key_len * 23;
        define_hmac(expected, key, key_len, data, len);
        assert_int_equal(cq_hmac(out, key, key_len, CQ_SPANS({data, len})), CQ_OK);
        assert_memory_equal(out, expected, 32);
    }
    static const size_t refused[] = {0, 65};
    for (size_t i = 0; i < COUNT(refused); i++) {
        memset(out, 1, sizeof(out));
        assert_int_equal(cq_hmac(out, key, refused[i], CQ_SPANS({data, 1})), CQ_ERR_CRYPTO);
        assert_true(cq_is_zero_ct(out, sizeof(out)));
    }
}

static void test_aliasing(void **state)
{
    uint8_t expected[32];
    uint8_t key[32];
    uint8_t data[32];

    (void)state;
    memset(key, 1, 32);
    memset(data, 2, 32);
    define_hmac(expected, key, 32, data, 32);
    assert_int_equal(cq_hmac(data, key, 32, CQ_SPANS({data, 32})), CQ_OK);
    assert_memory_equal(data, expected, 32);
    memset(data, 2, 32);
    assert_int_equal(cq_hmac(key, key, 32, CQ_SPANS({data, 32})), CQ_OK);
    assert_memory_equal(key, expected, 32);
    assert_int_equal(cq_hash(expected, CQ_SPANS({data, 32}, {key, 32})), CQ_OK);
    assert_int_equal(cq_hash(key, CQ_SPANS({data, 32}, {key, 32})), CQ_OK);
    assert_memory_equal(key, expected, 32);
}

static void test_random(void **state)
{
    uint8_t a[4096] = {0};
    uint8_t b[4096] = {0};
    unsigned seen[256] = {0};

    (void)state;
    assert_int_equal(cq_crypto_random(a, sizeof(a)), CQ_OK);
    assert_int_equal(cq_crypto_random(b, sizeof(b)), CQ_OK);
    assert_memory_not_equal(a, b, 32);
    for (size_t i = 0; i < sizeof(a); i++)
        seen[a[i]]++;
    for (size_t i = 0; i < 256; i++)
        assert_true(seen[i] < 100); /* 16 expected; chance below 10^-45 */
    assert_int_equal(cq_crypto_random(a, 0), CQ_OK);
}

static unsigned reseed_count(EVP_RAND_CTX *generator)
{
    unsigned count = 0;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_uint(OSSL_DRBG_PARAM_RESEED_COUNTER, &count),
                           OSSL_PARAM_construct_end()};

    assert_int_equal(EVP_RAND_CTX_get_params(generator, params), 1);
    return count;
}

static void test_reseed(void **state)
{
    uint8_t byte;
    (void)state;
    assert_int_equal(cq_crypto_random(&byte, 1), CQ_OK); /* the thread has its generators now */
    unsigned primary = reseed_count(RAND_get0_primary(NULL));
    unsigned own = reseed_count(RAND_get0_private(NULL));
    assert_int_equal(cq_crypto_random(&byte, 1), CQ_OK);
    assert_int_equal(reseed_count(RAND_get0_private(NULL)), own);
    assert_int_equal(cq_crypto_reseed(), CQ_OK);
    assert_int_not_equal(reseed_count(RAND_get0_primary(NULL)), primary);
    assert_int_not_equal(reseed_count(RAND_get0_private(NULL)), own);
}

static void test_init_again(void **state)
{
    (void)state;
    assert_int_equal(cq_crypto_init(false), CQ_OK);
    assert_int_equal(cq_crypto_init(true), CQ_ERR_STATE);
    assert_non_null(strstr(cq_crypto_version(), "OpenSSL "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256),           cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_hmac_key_lengths), cmocka_unit_test(test_aliasing),
        cmocka_unit_test(test_random),           cmocka_unit_test(test_reseed),
        cmocka_unit_test(test_init_again),
    };
    if (cq_crypto_init(false) != CQ_OK)
        return 1;
    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
