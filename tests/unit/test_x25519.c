/* X25519: RFC 7748, points of small order, aliasing. */
#include "base/mem.h"
#include "crypto/crypto.h"
#include "crypto/x25519.h"
#include "tests/hex.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* RFC 7748 section 5.2 */
static const struct {
    const char *secret;
    const char *peer;
    const char *shared;
} vectors[] = {
    {"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
     "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
     "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
    {"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
     "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
     "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"},
};

static void test_rfc7748(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        uint8_t secret[32];
        uint8_t peer[32];
        uint8_t shared[32];
        uint8_t out[32];
        hex_decode(vectors[i].secret, secret, 32);
        hex_decode(vectors[i].peer, peer, 32);
        hex_decode(vectors[i].shared, shared, 32);
        assert_int_equal(cq_x25519(out, secret, peer), CQ_OK);
        assert_memory_equal(out, shared, 32);
        assert_int_equal(cq_x25519(peer, secret, peer), CQ_OK); /* in place */
        assert_memory_equal(peer, shared, 32);
    }
}

/* RFC 7748 section 5.2: k, u = X25519(k, u), k, a thousand times. */
static void test_iterated(void **state)
{
    uint8_t k[32] = {9};
    uint8_t u[32] = {9};
    uint8_t expected[32];

    (void)state;
    for (int i = 1; i <= 1000; i++) {
        uint8_t next[32];
        assert_int_equal(cq_x25519(next, k, u), CQ_OK);
        memcpy(u, k, 32);
        memcpy(k, next, 32);
        if (i == 1) {
            hex_decode("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079", expected,
                       32);
            assert_memory_equal(k, expected, 32);
        }
    }
    hex_decode("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51", expected, 32);
    assert_memory_equal(k, expected, 32);
}

/* RFC 7748 section 6.1 */
static void test_exchange(void **state)
{
    uint8_t a[32];
    uint8_t b[32];
    uint8_t expected[32];
    uint8_t pub_a[32];
    uint8_t pub_b[32];
    uint8_t out[32];

    (void)state;
    hex_decode("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a", a, 32);
    hex_decode("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb", b, 32);
    assert_int_equal(cq_x25519_public(pub_a, a), CQ_OK);
    assert_int_equal(cq_x25519_public(pub_b, b), CQ_OK);
    hex_decode("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a", expected, 32);
    assert_memory_equal(pub_a, expected, 32);
    hex_decode("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f", expected, 32);
    assert_memory_equal(pub_b, expected, 32);
    hex_decode("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742", expected, 32);
    assert_int_equal(cq_x25519(out, a, pub_b), CQ_OK);
    assert_memory_equal(out, expected, 32);
    assert_int_equal(cq_x25519(out, b, pub_a), CQ_OK);
    assert_memory_equal(out, expected, 32);
    assert_int_equal(cq_x25519_public(a, a), CQ_OK); /* in place */
    assert_memory_equal(a, pub_a, 32);
}

/* Points of small order, canonical, not reduced and with the top bit set: the result would be zero.
 */
static const char *const small_order[] = {
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
};

static void test_small_order(void **state)
{
    uint8_t secret[32];

    (void)state;
    hex_decode(vectors[0].secret, secret, 32);
    for (size_t i = 0; i < COUNT(small_order); i++) {
        uint8_t peer[32];
        uint8_t out[32];
        memset(out, 0xff, sizeof(out));
        hex_decode(small_order[i], peer, 32);
        assert_int_equal(cq_x25519(out, secret, peer), CQ_ERR_AUTH);
        assert_true(cq_is_zero_ct(out, 32));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc7748),
        cmocka_unit_test(test_iterated),
        cmocka_unit_test(test_exchange),
        cmocka_unit_test(test_small_order),
    };
    if (cq_crypto_init(false) != CQ_OK)
        return 1;
    return cmocka_run_group_tests_name("x25519", tests, NULL, NULL);
}
