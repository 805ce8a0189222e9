/*
 * libcrypto and ipsec-mb against each other: what one seals the other opens, to the same bytes, for
 * every length of a packet and some above, in place and not, and neither accepts what was changed.
 */
#include "base/mem.h"
#include "crypto/aead_backend.h"
#include "crypto/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { ROOM = 70000, GUARD = 64, EVERY = 2048 };

static const enum cq_suite suites[] = {CQ_SUITE_AES_256_GCM, CQ_SUITE_CHACHA20_POLY1305};
static uint64_t state = 0x9e3779b97f4a7c15u;

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void fill(void *p, size_t len)
{
    uint8_t *to = p;

    for (size_t i = 0; i < len; i++)
        to[i] = (uint8_t)(next() >> 32);
}

struct pair {
    struct cq_aead *seal, *open;
};

static struct pair make(const struct cq_aead_backend *backend, enum cq_suite suite,
                        const uint8_t *key)
{
    struct pair p = {0};

    assert_int_equal(backend->make(&p.seal, suite, CQ_AEAD_SEAL, key), CQ_OK);
    assert_int_equal(backend->make(&p.open, suite, CQ_AEAD_OPEN, key), CQ_OK);
    return p;
}

static void destroy(const struct cq_aead_backend *backend, struct pair *p)
{
    backend->destroy(p->seal);
    backend->destroy(p->open);
}

/* One packet, sealed by `a` and by `b`, opened by both, forged. */
static void check(const struct cq_aead_backend *a, const struct cq_aead_backend *b,
                  const struct pair *of_a, const struct pair *of_b, size_t len)
{
    static uint8_t plain[ROOM], by_a[ROOM], by_b[ROOM];
    static const size_t ad_lens[] = {16, 16, 16, 0, 1, 12, 20, 33};
    uint8_t ad[33], tag_a[CQ_AEAD_TAG_LEN], tag_b[CQ_AEAD_TAG_LEN];
    uint64_t shift = next() % 16; /* no alignment is promised */
    struct cq_aead_op op = {
        .ad = ad, .ad_len = ad_lens[next() % 8], .in = plain + shift, .len = len, .tag = tag_a};

    fill(op.nonce, sizeof(op.nonce));
    fill(ad, sizeof(ad));
    fill(plain, len + GUARD);
    memset(by_a, 0xee, len + GUARD);
    op.out = by_a + shift;
    assert_int_equal(a->seal(of_a->seal, &op, 1), CQ_OK);
    memcpy(by_b, plain, len + GUARD);
    op.in = op.out = by_b + shift; /* in place */
    op.tag = tag_b;
    assert_int_equal(b->seal(of_b->seal, &op, 1), CQ_OK);
    assert_memory_equal(by_a + shift, by_b + shift, len);
    assert_memory_equal(tag_a, tag_b, sizeof(tag_a));
    for (size_t i = 0; i < GUARD - 16; i++)
        assert_int_equal(by_a[shift + len + i], 0xee);

    /* Each opens the other's, in place and elsewhere. */
    assert_int_equal(a->open(of_a->open, &op, 1), CQ_OK);
    assert_memory_equal(by_b + shift, plain + shift, len);
    assert_memory_equal(by_b + shift + len, plain + shift + len, GUARD - 16);
    op.in = by_a + shift;
    memset(by_b, 0xdd, len + GUARD);
    assert_int_equal(b->open(of_b->open, &op, 1), CQ_OK);
    assert_memory_equal(by_b + shift, plain + shift, len);

    /* One bit of tag, associated data or ciphertext. */
    unsigned what = (unsigned)(next() % 3);
    uint8_t bit = (uint8_t)(1u << next() % 8);
    uint8_t *victim = what == 0 || (what == 1 && op.ad_len == 0) || (what == 2 && len == 0)
                          ? &tag_b[next() % sizeof(tag_b)]
                      : what == 1 ? &ad[next() % op.ad_len]
                                  : by_a + shift + next() % len;
    *victim ^= bit;
    memset(by_b, 0xdd, len + GUARD);
    assert_int_equal(b->open(of_b->open, &op, 1), CQ_ERR_AUTH);
    assert_true(op.failed && cq_is_zero_ct(by_b + shift, len));
    assert_int_equal(by_b[shift + len], 0xdd);
}

static void test_against_each_other(void **unused)
{
    static const size_t longer[] = {2049, 4095, 4096, 4097, 8191, 9000, 16384, 30000, 65475};
    const struct cq_aead_backend *other = cq_aead_preferred();

    (void)unused;
    for (size_t s = 0; s < 2; s++) {
        uint8_t key[CQ_AEAD_KEY_LEN];
        fill(key, sizeof(key));
        struct pair lib = make(&cq_aead_libcrypto, suites[s], key);
        struct pair mb = make(other, suites[s], key);
        for (size_t len = 0; len <= EVERY; len++) {
            check(&cq_aead_libcrypto, other, &lib, &mb, len);
            check(other, &cq_aead_libcrypto, &mb, &lib, len);
        }
        for (size_t i = 0; i < sizeof(longer) / sizeof(longer[0]); i++) {
            check(&cq_aead_libcrypto, other, &lib, &mb, longer[i]);
            check(other, &cq_aead_libcrypto, &mb, &lib, longer[i]);
        }
        destroy(&cq_aead_libcrypto, &lib);
        destroy(other, &mb);
    }
}

/* Many keys: what is derived from one is right for each. */
static void test_keys(void **unused)
{
    const struct cq_aead_backend *other = cq_aead_preferred();

    (void)unused;
    for (size_t i = 0; i < 500; i++) {
        uint8_t key[CQ_AEAD_KEY_LEN];
        fill(key, sizeof(key));
        struct pair lib = make(&cq_aead_libcrypto, suites[i % 2], key);
        struct pair mb = make(other, suites[i % 2], key);
        check(other, &cq_aead_libcrypto, &mb, &lib, next() % 1500);
        destroy(&cq_aead_libcrypto, &lib);
        destroy(other, &mb);
    }
}

static void test_names(void **unused)
{
    (void)unused;
    assert_non_null(strstr(cq_aead_backend(), "ipsec-mb"));
    assert_string_equal(cq_aead_marker(), "");
    assert_string_equal(cq_aead_libcrypto.name, "libcrypto");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_each_other),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_names),
    };

    if (cq_crypto_init(false) != CQ_OK)
        return 1;
    if (cq_aead_preferred() == NULL) {
        printf("1..0 # SKIP this processor lacks what ipsec-mb needs\n");
        return 77;
    }
    return cmocka_run_group_tests_name("aead backends", tests, NULL, NULL);
}
