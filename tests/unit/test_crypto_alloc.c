/* Every wrapper with every single allocation of libcrypto failing: an error, no leak, outputs
 * zeroed. */
#include "failing_libcrypto.h"

#include "base/mem.h"
#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/mlkem.h"
#include "crypto/x25519.h"

#include <openssl/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { OUT_LEN = 2048 };

/* What an operation writes; all of it must be zero after a failure. */
static uint8_t out[OUT_LEN];
static size_t out_len;

static uint8_t secret[64];
static uint8_t ek[CQ_MLKEM_EK_LEN];
static uint8_t ct[CQ_MLKEM_CT_LEN];
static uint8_t sealed[48];
static uint8_t peer[32];
static struct cq_mlkem_key *key;

static enum cq_err run_hash(void)
{
    out_len = 32;
    return cq_hash(out, CQ_SPANS({secret, 64}));
}

static enum cq_err run_hmac(void)
{
    out_len = 32;
    return cq_hmac(out, secret, 32, CQ_SPANS({ek, sizeof(ek)}));
}

static enum cq_err run_x25519_public(void)
{
    out_len = 32;
    return cq_x25519_public(out, secret);
}

static enum cq_err run_x25519(void)
{
    out_len = 32;
    return cq_x25519(out, secret, peer);
}

static enum cq_err run_keygen(void)
{
    struct cq_mlkem_key *made = NULL;
    enum cq_err err = cq_mlkem_keygen(&made, out, secret);

    out_len = CQ_MLKEM_EK_LEN;
    assert_int_equal(made != NULL, err == CQ_OK);
    cq_mlkem_free(made);
    return err;
}

static enum cq_err run_import(void)
{
    struct cq_mlkem_key *made = NULL;
    enum cq_err err = cq_mlkem_import(&made, ek);

    out_len = 0;
    assert_int_equal(made != NULL, err == CQ_OK);
    cq_mlkem_free(made);
    return err;
}

static enum cq_err run_encaps(void)
{
    out_len = CQ_MLKEM_CT_LEN + 32;
    return cq_mlkem_encaps(out, out + CQ_MLKEM_CT_LEN, key, secret);
}

static enum cq_err run_decaps(void)
{
    out_len = 32;
    return cq_mlkem_decaps(out, key, ct);
}

static enum cq_err run_seal_zero(void)
{
    out_len = 48;
    return cq_aead_seal_zero(out, secret, peer, 32, ek, 32);
}

static enum cq_err run_open_zero(void)
{
    out_len = 32;
    return cq_aead_open_zero(out, secret, peer, 32, sealed, 48);
}

static enum cq_err run_aead(enum cq_suite suite, enum cq_aead_dir dir)
{
    struct cq_aead *aead = NULL;
    enum cq_err err = cq_aead_new(&aead, suite, dir, secret);

    out_len = 0;
    assert_int_equal(aead != NULL, err == CQ_OK);
    cq_aead_free(aead);
    return err;
}

static enum cq_err run_aes(void)
{
    return run_aead(CQ_SUITE_AES_256_GCM, CQ_AEAD_SEAL);
}

static enum cq_err run_chacha(void)
{
    return run_aead(CQ_SUITE_CHACHA20_POLY1305, CQ_AEAD_OPEN);
}

static const struct operation {
    const char *name;
    enum cq_err (*run)(void);
} operations[] = {
    {"hash", run_hash},
    {"hmac", run_hmac},
    {"x25519_public", run_x25519_public},
    {"x25519", run_x25519},
    {"mlkem_keygen", run_keygen},
    {"mlkem_import", run_import},
    {"mlkem_encaps", run_encaps},
    {"mlkem_decaps", run_decaps},
    {"seal_zero", run_seal_zero},
    {"open_zero", run_open_zero},
    {"aead_new aes-256-gcm", run_aes},
    {"aead_new chacha20-poly1305", run_chacha},
};

/* What the operation writes when nothing fails. */
static uint8_t expected[OUT_LEN];

struct round {
    long num_failed; /* how many allocations were made to fail */
    long num_spared; /* and how many of them libcrypto could do without */
    long grown;      /* blocks that stayed behind */
};

/* Runs once with allocation n failing; false when the operation ended before it came to that. */
static bool run_failing(const struct operation *op, long n, struct round *round)
{
    ERR_clear_error(); /* an entry of the queue owns memory until its place is taken again */
    long live = failing_libcrypto_live();
    memset(out, 0xff, sizeof(out));
    failing_libcrypto_arm(n);
    enum cq_err err = op->run();
    bool failed = failing_libcrypto_disarm();
    ERR_clear_error();
    round->grown += failing_libcrypto_live() - live;
    round->num_failed += failed;
    if (err == CQ_OK) {
        assert_memory_equal(out, expected, out_len);
        round->num_spared += failed;
    } else {
        assert_true(failed);
        assert_true(err == CQ_ERR_NOMEM || err == CQ_ERR_CRYPTO);
        assert_true(cq_is_zero_ct(out, out_len));
    }
    assert_int_equal(out[out_len], 0xff);
    return failed;
}

static struct round run_round(const struct operation *op)
{
    struct round round = {0};

    for (long n = 0; run_failing(op, n, &round); n++)
        ;
    return round;
}

static void test_operation(void **state)
{
    const struct operation *op = *state;

    assert_int_equal(op->run(), CQ_OK);
    memcpy(expected, out, sizeof(expected));
    /* In the first round libcrypto may still fill caches that it keeps. */
    (void)run_round(op);
    struct round round = run_round(op);
    print_message("# %s: %ld allocations, %ld of them dispensable\n", op->name, round.num_failed,
                  round.num_spared);
    assert_true(round.num_failed > round.num_spared);
    assert_int_equal(round.grown, 0);
}

/* A packet allocates nothing, whether it verifies or not. */
static void test_packets(void **state)
{
    static const enum cq_suite suites[] = {CQ_SUITE_AES_256_GCM, CQ_SUITE_CHACHA20_POLY1305};
    uint8_t data[100] = {1};
    uint8_t tag[16];
    struct cq_aead_op op = {
        .ad = secret, .ad_len = 16, .in = data, .out = data, .len = sizeof(data), .tag = tag};

    (void)state;
    for (size_t s = 0; s < 2; s++) {
        struct cq_aead *seal = NULL;
        struct cq_aead *open = NULL;
        assert_int_equal(cq_aead_new(&seal, suites[s], CQ_AEAD_SEAL, secret), CQ_OK);
        assert_int_equal(cq_aead_new(&open, suites[s], CQ_AEAD_OPEN, secret), CQ_OK);
        failing_libcrypto_arm(0);
        assert_int_equal(cq_aead_seal_batch(seal, &op, 1), CQ_OK);
        assert_int_equal(cq_aead_open_batch(open, &op, 1), CQ_OK);
        assert_false(failing_libcrypto_disarm());
        tag[0] ^= 1;
        failing_libcrypto_arm(0);
        assert_int_equal(cq_aead_open_batch(open, &op, 1), CQ_ERR_AUTH);
        failing_libcrypto_disarm();
        cq_aead_free(seal);
        cq_aead_free(open);
    }
}

static int prepare(void)
{
    for (size_t i = 0; i < sizeof(secret); i++)
        secret[i] = (uint8_t)(i + 1);
    if (cq_x25519_public(peer, secret + 32) != CQ_OK ||
        cq_mlkem_keygen(&key, ek, secret) != CQ_OK ||
        cq_mlkem_encaps(ct, out, key, secret) != CQ_OK ||
        cq_aead_seal_zero(sealed, secret, peer, 32, ek, 32) != CQ_OK)
        return 1;
    return 0;
}

int main(void)
{
    enum { NUM = sizeof(operations) / sizeof(operations[0]) };
    struct CMUnitTest tests[NUM + 1] = {{.name = "packets", .test_func = test_packets}};

    for (size_t i = 0; i < NUM; i++) {
        tests[i + 1].name = operations[i].name;
        tests[i + 1].test_func = test_operation;
        tests[i + 1].initial_state = (void *)(uintptr_t)&operations[i];
    }
    if (!failing_libcrypto_init() || prepare() != 0)
        return 1;
    return cmocka_run_group_tests_name("crypto_alloc", tests, NULL, NULL);
}
