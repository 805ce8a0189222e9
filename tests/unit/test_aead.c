/* Authenticated encryption: published examples, batches, in place, forgeries, one-shot calls. */
#include "base/mem.h"
#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "tests/hex.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const enum cq_suite suites[] = {CQ_SUITE_AES_256_GCM, CQ_SUITE_CHACHA20_POLY1305};

static const struct {
    enum cq_suite suite;
    const char *key;
    const char *nonce;
    const char *ad;
    const char *plain;
    const char *cipher;
    const char *tag;
} vectors[] = {
    /* The Galois/Counter Mode of Operation, McGrew and Viega, test cases 14 to 16 */
    {CQ_SUITE_AES_256_GCM, "0000000000000000000000000000000000000000000000000000000000000000",
     "000000000000000000000000", "", "00000000000000000000000000000000",
     "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
    {CQ_SUITE_AES_256_GCM, "0000000000000000000000000000000000000000000000000000000000000000",
     "000000000000000000000000", "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {CQ_SUITE_AES_256_GCM, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
     "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
     "76fc6ece0f4e1768cddf8853bb2d551b"},
    /* RFC 8439 section 2.8.2 */
    {CQ_SUITE_CHACHA20_POLY1305, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
     "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
     "4c616469657320616e642047656e746c656d656e206f662074686520636c6173"
     "73206f66202739393a204966204920636f756c64206f6666657220796f75206f"
     "6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73"
     "637265656e20776f756c642062652069742e",
     "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
     "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
     "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
     "3ff4def08e4b7a9de576d26586cec64b6116",
     "1ae10b594f09e26a7e902ecbd0600691"},
};

static struct cq_aead *make_aead(enum cq_suite suite, enum cq_aead_dir dir, const uint8_t *key)
{
    struct cq_aead *aead = NULL;

    assert_int_equal(cq_aead_new(&aead, suite, dir, key), CQ_OK);
    assert_non_null(aead);
    return aead;
}

static void test_published(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        uint8_t key[32];
        uint8_t ad[32];
        uint8_t plain[128];
        uint8_t cipher[128];
        uint8_t tag[16];
        uint8_t out[128];
        uint8_t out_tag[16];
        struct cq_aead_op op = {.ad = ad, .in = plain, .out = out, .tag = out_tag, .failed = true};
        hex_decode(vectors[i].key, key, sizeof(key));
        hex_decode(vectors[i].nonce, op.nonce, sizeof(op.nonce));
        op.ad_len = hex_decode(vectors[i].ad, ad, sizeof(ad));
        op.len = hex_decode(vectors[i].plain, plain, sizeof(plain));
        hex_decode(vectors[i].cipher, cipher, sizeof(cipher));
        hex_decode(vectors[i].tag, tag, sizeof(tag));
        struct cq_aead *seal = make_aead(vectors[i].suite, CQ_AEAD_SEAL, key);
        struct cq_aead *open = make_aead(vectors[i].suite, CQ_AEAD_OPEN, key);
        assert_int_equal(cq_aead_seal_batch(seal, &op, 1), CQ_OK);
        assert_false(op.failed);
        assert_memory_equal(out, cipher, op.len);
        assert_memory_equal(out_tag, tag, sizeof(tag));
        op.in = op.out;
        assert_int_equal(cq_aead_open_batch(open, &op, 1), CQ_OK);
        assert_false(op.failed);
        assert_memory_equal(out, plain, op.len);
        assert_memory_equal(out_tag, tag, sizeof(tag));
        cq_aead_free(seal);
        cq_aead_free(open);
    }
}

enum { NUM_OPS = 24, MAX_LEN = 1500 };

struct batch {
    struct cq_aead_op ops[NUM_OPS];
    uint8_t plain[NUM_OPS][MAX_LEN];
    uint8_t data[NUM_OPS][MAX_LEN];
    uint8_t ad[NUM_OPS][16];
    uint8_t tags[NUM_OPS][16];
};

static const uint8_t batch_key[32] = {1, 2, 3, 4, 5};

/* Sealed in place; lengths from 0 up, associated data of 0 or 16 bytes. */
static void make_batch(struct batch *b, enum cq_suite suite)
{
    struct cq_aead *seal = make_aead(suite, CQ_AEAD_SEAL, batch_key);

    for (size_t i = 0; i < NUM_OPS; i++) {
        b->ops[i] = (struct cq_aead_op){
            .nonce = {[11] = (uint8_t)i},
            .ad = b->ad[i],
            .ad_len = i % 3 == 2 ? 0 : 16,
            .in = b->data[i],
            .out = b->data[i],
            .len = i == NUM_OPS - 1 ? MAX_LEN : i * i,
            .tag = b->tags[i],
        };
        memset(b->plain[i], (int)(i + 1), MAX_LEN);
        memset(b->data[i], (int)(i + 1), MAX_LEN);
        memset(b->ad[i], (int)i, 16);
    }
    assert_int_equal(cq_aead_seal_batch(seal, b->ops, NUM_OPS), CQ_OK);
    for (size_t i = 0; i < NUM_OPS; i++) {
        size_t len = b->ops[i].len;
        assert_false(b->ops[i].failed);
        if (len >= 16)
            assert_memory_not_equal(b->data[i], b->plain[i], 16);
        /* nothing behind the payload is touched */
        assert_memory_equal(b->data[i] + len, b->plain[i] + len, MAX_LEN - len);
    }
    cq_aead_free(seal);
}

static void test_batch(void **state)
{
    static struct batch b;

    (void)state;
    for (size_t s = 0; s < COUNT(suites); s++) {
        struct cq_aead *open = make_aead(suites[s], CQ_AEAD_OPEN, batch_key);
        make_batch(&b, suites[s]);
        assert_int_equal(cq_aead_open_batch(open, b.ops, NUM_OPS), CQ_OK);
        for (size_t i = 0; i < NUM_OPS; i++) {
            assert_false(b.ops[i].failed);
            assert_memory_equal(b.data[i], b.plain[i], MAX_LEN);
        }
        assert_int_equal(cq_aead_open_batch(open, NULL, 0), CQ_OK);
        cq_aead_free(open);
    }
}

/* Changes packet i of a batch; false when there is nothing in it that could be changed so. */
static bool forge(struct batch *b, size_t i, size_t way)
{
    struct cq_aead_op *op = &b->ops[i];

    switch (way) {
    case 0:
        op->tag[i % 16] ^= 0x10;
        return true;
    case 1:
        op->nonce[3] ^= 1;
        return true;
    case 2:
        b->ad[i][i % 16] ^= 1;
        return op->ad_len > 0;
    case 3:
        b->data[i][op->len / 2] ^= 0x80;
        return op->len > 0;
    default:
        op->len -= op->len > 0;
        return op->ad_len > 0 && b->ops[i].len + 1 == i * i;
    }
}

/* Every third packet is forged in one of five ways: it alone fails and comes out as zeroes. */
static void test_forged(void **state)
{
    static struct batch b;

    (void)state;
    for (size_t s = 0; s < COUNT(suites); s++) {
        struct cq_aead *open = make_aead(suites[s], CQ_AEAD_OPEN, batch_key);
        for (size_t way = 0; way < 5; way++) {
            bool forged[NUM_OPS] = {false};
            make_batch(&b, suites[s]);
            for (size_t i = 1; i < NUM_OPS - 1; i += 3)
                forged[i] = forge(&b, i, way);
            assert_true(forged[4]);
            assert_int_equal(cq_aead_open_batch(open, b.ops, NUM_OPS), CQ_ERR_AUTH);
            for (size_t i = 0; i < NUM_OPS; i++) {
                assert_int_equal(b.ops[i].failed, forged[i]);
                if (forged[i])
                    assert_true(cq_is_zero_ct(b.data[i], b.ops[i].len));
                else
                    assert_memory_equal(b.data[i], b.plain[i], b.ops[i].len);
            }
        }
        cq_aead_free(open);
    }
}

/* Separate buffers: the ciphertext stays as it was. */
static void test_apart(void **state)
{
    static struct batch b;
    static uint8_t cipher[MAX_LEN];
    static uint8_t out[MAX_LEN];

    (void)state;
    for (size_t s = 0; s < COUNT(suites); s++) {
        struct cq_aead *open = make_aead(suites[s], CQ_AEAD_OPEN, batch_key);
        struct cq_aead_op *op = &b.ops[NUM_OPS - 1];
        make_batch(&b, suites[s]);
        memcpy(cipher, op->in, MAX_LEN);
        op->out = out;
        assert_int_equal(cq_aead_open_batch(open, op, 1), CQ_OK);
        assert_memory_equal(out, b.plain[NUM_OPS - 1], MAX_LEN);
        assert_memory_equal(op->in, cipher, MAX_LEN);
        op->tag[0] ^= 1;
        assert_int_equal(cq_aead_open_batch(open, op, 1), CQ_ERR_AUTH);
        assert_true(cq_is_zero_ct(out, MAX_LEN));
        assert_memory_equal(op->in, cipher, MAX_LEN);
        cq_aead_free(open);
    }
}

/* A context serves one direction only. */
static void test_wrong_direction(void **state)
{
    static struct batch b;

    (void)state;
    for (size_t s = 0; s < COUNT(suites); s++) {
        struct cq_aead *seal = make_aead(suites[s], CQ_AEAD_SEAL, batch_key);
        struct cq_aead *open = make_aead(suites[s], CQ_AEAD_OPEN, batch_key);
        make_batch(&b, suites[s]);
        assert_int_equal(cq_aead_open_batch(seal, b.ops, NUM_OPS), CQ_ERR_CRYPTO);
        assert_true(b.ops[5].failed && cq_is_zero_ct(b.data[5], b.ops[5].len));
        make_batch(&b, suites[s]);
        assert_int_equal(cq_aead_seal_batch(open, b.ops, NUM_OPS), CQ_ERR_CRYPTO);
        assert_true(b.ops[5].failed && cq_is_zero_ct(b.data[5], b.ops[5].len));
        assert_true(cq_is_zero_ct(b.tags[5], 16));
        cq_aead_free(seal);
        cq_aead_free(open);
    }
}

static void test_absurd_length(void **state)
{
    uint8_t byte = 0;
    uint8_t tag[16] = {0};
    struct cq_aead *seal = make_aead(CQ_SUITE_AES_256_GCM, CQ_AEAD_SEAL, batch_key);
    struct cq_aead_op op = {.ad = &byte, .ad_len = SIZE_MAX, .tag = tag};

    (void)state;
    assert_int_equal(cq_aead_seal_batch(seal, &op, 1), CQ_ERR_CRYPTO);
    assert_true(op.failed);
    cq_aead_free(seal);
}

static void test_suites(void **state)
{
    struct cq_aead *aead = NULL;

    (void)state;
    assert_string_equal(cq_suite_name(CQ_SUITE_AES_256_GCM), "aes-256-gcm");
    assert_string_equal(cq_suite_name(CQ_SUITE_CHACHA20_POLY1305), "chacha20-poly1305");
    assert_string_equal(cq_suite_name(0), "none");
    assert_string_equal(cq_suite_name(3), "none");
    assert_int_equal(cq_aead_new(&aead, (enum cq_suite)3, CQ_AEAD_SEAL, batch_key), CQ_ERR_CRYPTO);
    assert_null(aead);
    cq_aead_free(NULL);
}

/* The one-shot calls are ChaCha20-Poly1305 with a zero nonce, as the keyed contexts make it. */
static void test_zero_nonce(void **state)
{
    static const size_t lens[] = {0, 1, 32, 63, 64, 65, 1184, 4000};
    static uint8_t in[4000];
    static uint8_t out[4016];
    static uint8_t expected[4016];
    struct cq_aead *seal = make_aead(CQ_SUITE_CHACHA20_POLY1305, CQ_AEAD_SEAL, batch_key);

    (void)state;
    memset(in, 0x3c, sizeof(in));
    for (size_t i = 0; i < COUNT(lens); i++) {
        size_t len = lens[i];
        size_t ad_len = i % 2 == 0 ? 32 : 0;
        struct cq_aead_op op = {.ad = batch_key,
                                .ad_len = ad_len,
                                .in = in,
                                .out = expected,
                                .len = len,
                                .tag = expected + len};
        assert_int_equal(cq_aead_seal_batch(seal, &op, 1), CQ_OK);
        assert_int_equal(cq_aead_seal_zero(out, batch_key, batch_key, ad_len, in, len), CQ_OK);
        assert_memory_equal(out, expected, len + 16);
        assert_int_equal(cq_aead_open_zero(out, batch_key, batch_key, ad_len, out, len + 16),
                         CQ_OK); /* in place */
        assert_memory_equal(out, in, len);
        assert_int_equal(cq_aead_seal_zero(out, batch_key, batch_key, ad_len, out, len), CQ_OK);
        assert_memory_equal(out, expected, len + 16);
    }
    cq_aead_free(seal);
}

static void test_zero_nonce_forged(void **state)
{
    uint8_t sealed[32 + 16];
    uint8_t out[32 + 16];
    uint8_t in[32] = {7};

    (void)state;
    assert_int_equal(cq_aead_seal_zero(sealed, batch_key, in, 32, in, 32), CQ_OK);
    for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
        memcpy(out, sealed, sizeof(out));
        out[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(cq_aead_open_zero(out, batch_key, in, 32, out, sizeof(out)), CQ_ERR_AUTH);
        assert_true(cq_is_zero_ct(out, 32));
    }
    assert_int_equal(cq_aead_open_zero(out, batch_key, in, 31, sealed, 48), CQ_ERR_AUTH);
    assert_int_equal(cq_aead_open_zero(out, batch_key, in, 32, sealed, 47), CQ_ERR_AUTH);
    for (size_t len = 0; len < 16; len++)
        assert_int_equal(cq_aead_open_zero(out, batch_key, in, 32, sealed, len), CQ_ERR_AUTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published),
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_forged),
        cmocka_unit_test(test_apart),
        cmocka_unit_test(test_wrong_direction),
        cmocka_unit_test(test_absurd_length),
        cmocka_unit_test(test_suites),
        cmocka_unit_test(test_zero_nonce),
        cmocka_unit_test(test_zero_nonce_forged),
    };
    if (cq_crypto_init(false) != CQ_OK)
        return 1;
    return cmocka_run_group_tests_name("aead", tests, NULL, NULL);
}
