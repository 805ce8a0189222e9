/*
 * The AEAD that does not encrypt (cryprq-null, for benchmarks), linked in the place of the usual
 * one: that it does what it says, and that a program with it understands no other.
 */
#include "base/mem.h"
#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "crypto/hash.h"
#include "proto/handshake_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { LEN = 100 };

static const uint8_t key[CQ_AEAD_KEY_LEN] = {1};

static struct cq_aead *context(enum cq_aead_dir dir)
{
    struct cq_aead *aead = NULL;

    assert_int_equal(cq_aead_new(&aead, CQ_SUITE_AES_256_GCM, dir, key), CQ_OK);
    return aead;
}

static void test_says_what_it_is(void **state)
{
    (void)state;
    assert_string_equal(cq_aead_backend(), "none");
    assert_non_null(strstr(cq_aead_marker(), "DOES NOT ENCRYPT"));
}

static void test_copies_and_leaves_zero_tags(void **state)
{
    struct cq_aead *seal = context(CQ_AEAD_SEAL), *open = context(CQ_AEAD_OPEN);
    uint8_t in[LEN], out[LEN], tag[CQ_AEAD_TAG_LEN] = {9};
    struct cq_aead_op op = {.in = in, .out = out, .len = LEN, .tag = tag};

    (void)state;
    memset(in, 0xa5, sizeof(in));
    assert_int_equal(cq_aead_seal_batch(seal, &op, 1), CQ_OK);
    assert_memory_equal(out, in, LEN);
    assert_true(cq_is_zero_ct(tag, sizeof(tag)));
    op.in = out;
    assert_int_equal(cq_aead_open_batch(open, &op, 1), CQ_OK);
    assert_memory_equal(out, in, LEN);
    assert_false(op.failed);

    /* Records of a program that encrypts have no such tags. */
    tag[15] = 1;
    assert_int_equal(cq_aead_open_batch(open, &op, 1), CQ_ERR_AUTH);
    assert_true(op.failed && cq_is_zero_ct(out, LEN));
    assert_int_equal(cq_aead_open_batch(seal, &op, 1), CQ_ERR_CRYPTO);
    cq_aead_free(seal);
    cq_aead_free(open);
}

static void test_starts_handshakes_differently(void **state)
{
    static const char proto[64] = "CrypRQ/1 X25519 ML-KEM-768 SHA-256 ChaCha20-Poly1305";
    static const uint8_t id[CQ_PEER_ID_LEN] = {7};
    struct cq_transcript t;
    uint8_t usual[CQ_HASH_LEN];

    (void)state;
    assert_int_equal(cq_hash(usual, CQ_SPANS({proto, sizeof(proto)}, {id, sizeof(id)})), CQ_OK);
    assert_int_equal(cq_t_start(&t, id), CQ_OK);
    assert_memory_not_equal(t.h, usual, sizeof(usual));
    assert_memory_not_equal(t.ck, usual, sizeof(usual));
}

static int set_up(void **state)
{
    (void)state;
    return cq_crypto_init(false) == CQ_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_says_what_it_is),
        cmocka_unit_test(test_copies_and_leaves_zero_tags),
        cmocka_unit_test(test_starts_handshakes_differently),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
