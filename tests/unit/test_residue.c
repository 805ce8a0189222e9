/*
 * What stays behind: after each operation on a secret the whole writable memory of the process
 * (stacks, heap, the arena, static data) is searched for pieces of it. Registers saved by the
 * kernel are not memory of the process.
 */
#include "base/mem.h"
#include "base/secret.h"
#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "crypto/hash.h"
#include "crypto/mlkem.h"
#include "crypto/x25519.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { PIECE_LEN = 8, MAX_PIECES = 32, WINDOW_LEN = 65536, MASK = 0x5a };

/* Pieces of the secrets, masked, so that they do not find themselves. */
static uint8_t pieces[MAX_PIECES][PIECE_LEN];
static size_t num_pieces;

/* Whether finding something is a failure that needs explaining. */
static bool verbose = true;

/* The search's own buffers, which hold copies of what is searched. */
static struct {
    uint8_t window[WINDOW_LEN];
    uint8_t wanted[PIECE_LEN];
} search;

static void watch(const uint8_t *bytes, size_t len)
{
    for (size_t at = 0; at + PIECE_LEN <= len; at += PIECE_LEN) {
        assert_true(num_pieces < MAX_PIECES);
        for (size_t i = 0; i < PIECE_LEN; i++)
            pieces[num_pieces][i] = bytes[at + i] ^ MASK;
        num_pieces++;
    }
}

/* The same for key XOR pad, which is as good as the key. */
static void watch_padded(const uint8_t key[32], uint8_t pad)
{
    uint8_t block[32];

    for (size_t i = 0; i < 32; i++)
        block[i] = key[i] ^ pad;
    watch(block, sizeof(block));
    cq_wipe(block, sizeof(block));
}

static size_t count_in_window(size_t len, size_t address)
{
    size_t found = 0;

    for (size_t i = 0; i < num_pieces; i++) {
        for (size_t j = 0; j < PIECE_LEN; j++)
            search.wanted[j] = pieces[i][j] ^ MASK;
        const uint8_t *p = memmem(search.window, len, search.wanted, PIECE_LEN);
        if (p == NULL)
            continue;
        found++;
        if (verbose)
            print_message("# piece %zu at %#zx\n", i, address + (size_t)(p - search.window));
    }
    cq_wipe(search.wanted, sizeof(search.wanted));
    return found;
}

static size_t count_in_range(int mem, size_t from, size_t to)
{
    size_t found = 0;

    for (size_t at = from; at + PIECE_LEN <= to; at += WINDOW_LEN - PIECE_LEN) {
        size_t len = to - at < WINDOW_LEN ? to - at : WINDOW_LEN;
        ssize_t n = pread(mem, search.window, len, (off_t)at);
        if (n > 0)
            found += count_in_window((size_t)n, at);
    }
    cq_wipe(&search, sizeof(search));
    return found;
}

/* How often a watched piece occurs in memory that can be written to. Forgets the pieces. */
static size_t count_residue(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    size_t own = (size_t)(uintptr_t)&search;
    size_t found = 0;
    char line[512];

    assert_non_null(maps);
    assert_true(mem >= 0);
    while (fgets(line, sizeof(line), maps) != NULL) {
        size_t from;
        size_t to;
        char mode[5];
        if (sscanf(line, "%zx-%zx %4s", &from, &to, mode) != 3 || mode[1] != 'w' ||
            to - from > ((size_t)1 << 32))
            continue;
        if (own >= from && own < to) {
            found += count_in_range(mem, from, own);
            from = own + sizeof(search);
        }
        found += count_in_range(mem, from, to);
    }
    fclose(maps);
    close(mem);
    num_pieces = 0;
    return found;
}

static uint8_t secret[64];
static uint8_t other[64];
static uint8_t public[32];
static uint8_t ek[CQ_MLKEM_EK_LEN];
static uint8_t ct[CQ_MLKEM_CT_LEN];
static uint8_t result[64];

static void draw(uint8_t *p, size_t len)
{
    assert_int_equal(cq_crypto_random(p, len), CQ_OK);
}

static void forget(void)
{
    cq_wipe(secret, sizeof(secret));
    cq_wipe(other, sizeof(other));
    cq_wipe(result, sizeof(result));
}

/* The search finds what is there. */
static void test_search(void **state)
{
    uint8_t *p = cq_secret_alloc(64);

    (void)state;
    draw(secret, 64);
    watch(secret, 64);
    memcpy(p, secret, 64);
    verbose = false;
    assert_int_equal(count_residue(), 16); /* 8 pieces twice */
    watch(secret, 64);
    forget();
    assert_int_equal(count_residue(), 8);
    verbose = true;
    watch(p, 64);
    cq_secret_free(p);
    assert_int_equal(count_residue(), 0);
}

static void test_hmac(void **state)
{
    (void)state;
    draw(secret, 32);
    draw(ek, sizeof(ek));
    watch(secret, 32);
    watch_padded(secret, 0x36);
    watch_padded(secret, 0x5c);
    assert_int_equal(cq_hmac(result, secret, 32, CQ_SPANS({ek, sizeof(ek)}, {ek, 5})), CQ_OK);
    watch(result, 32);
    forget();
    assert_int_equal(count_residue(), 0);
}

static void test_hash(void **state)
{
    (void)state;
    draw(secret, 64);
    watch(secret, 64);
    assert_int_equal(cq_hash(result, CQ_SPANS({secret, 64}, {secret, 9})), CQ_OK);
    watch(result, 32);
    forget();
    assert_int_equal(count_residue(), 0);
}

static void test_x25519(void **state)
{
    (void)state;
    draw(secret, 32);
    draw(other, 32);
    watch(secret + 8, 16); /* the ends are clamped */
    assert_int_equal(cq_x25519_public(public, other), CQ_OK);
    assert_int_equal(cq_x25519(result, secret, public), CQ_OK);
    watch(result, 32);
    assert_int_equal(cq_x25519_public(public, secret), CQ_OK);
    forget();
    assert_int_equal(count_residue(), 0);
}

static void test_mlkem(void **state)
{
    struct cq_mlkem_key *key = NULL;

    (void)state;
    draw(secret, 64);
    draw(other, 32);
    watch(secret, 64);
    watch(other, 32);
    assert_int_equal(cq_mlkem_keygen(&key, ek, secret), CQ_OK);
    assert_int_equal(cq_mlkem_encaps(ct, result, key, other), CQ_OK);
    watch(result, 32);
    assert_int_equal(cq_mlkem_decaps(result, key, ct), CQ_OK);
    ct[0] ^= 1;
    assert_int_equal(cq_mlkem_decaps(result, key, ct), CQ_OK);
    watch(result, 32);
    cq_mlkem_free(key);
    forget();
    assert_int_equal(count_residue(), 0);
}

static void test_one_shot(void **state)
{
    static uint8_t plain[200];
    static uint8_t sealed[216];

    (void)state;
    draw(secret, 32);
    draw(plain, 48);
    watch(secret, 32);
    watch(plain, 48);
    assert_int_equal(cq_aead_seal_zero(sealed, secret, public, 32, plain, sizeof(plain)), CQ_OK);
    assert_int_equal(cq_aead_open_zero(plain, secret, public, 32, sealed, sizeof(sealed)), CQ_OK);
    sealed[3] ^= 1;
    cq_wipe(plain, sizeof(plain));
    assert_int_equal(cq_aead_open_zero(plain, secret, public, 32, sealed, sizeof(sealed)),
                     CQ_ERR_AUTH);
    forget();
    assert_int_equal(count_residue(), 0);
}

/* Key and plaintext of a transport context; the first half of an AES key is its first round key as
 * well. */
static void test_transport(void **state)
{
    static uint8_t data[1420];
    static const enum cq_suite suites[] = {CQ_SUITE_AES_256_GCM, CQ_SUITE_CHACHA20_POLY1305};
    uint8_t tag[16];
    struct cq_aead_op op = {
        .ad = public, .ad_len = 16, .in = data, .out = data, .len = sizeof(data), .tag = tag};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct cq_aead *seal = NULL;
        struct cq_aead *open = NULL;
        draw(secret, 32);
        watch(secret, 32);
        draw(data, sizeof(data));
        watch(data, 32);
        assert_int_equal(cq_aead_new(&seal, suites[i], CQ_AEAD_SEAL, secret), CQ_OK);
        assert_int_equal(cq_aead_new(&open, suites[i], CQ_AEAD_OPEN, secret), CQ_OK);
        assert_int_equal(cq_aead_seal_batch(seal, &op, 1), CQ_OK);
        assert_int_equal(cq_aead_open_batch(open, &op, 1), CQ_OK);
        cq_wipe(data, sizeof(data));
        cq_aead_free(seal);
        cq_aead_free(open);
        forget();
        assert_int_equal(count_residue(), 0);
    }
}

/* Instrumented code keeps its locals in places and sizes of its own, which nothing can wipe. */
#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { IS_INSTRUMENTED = 1 };
#else
enum { IS_INSTRUMENTED = 0 };
#endif

int main(void)
{
    if (IS_INSTRUMENTED) {
        puts("1..0 # SKIP sanitizers change what stays on the stack");
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_search),    cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_hash),      cmocka_unit_test(test_x25519),
        cmocka_unit_test(test_mlkem),     cmocka_unit_test(test_one_shot),
        cmocka_unit_test(test_transport),
    };
    if (cq_secret_init(8 * 1024 * 1024, false) != CQ_OK || cq_crypto_init(true) != CQ_OK)
        return 1;
    return cmocka_run_group_tests_name("residue", tests, NULL, NULL);
}
