/*
 * Stand-ins for the functions of src/crypto with the same shapes and none of their security: cheap
 * mixing that lets 10,000 nodes run in one process. What the protocol needs of the primitives still
 * holds: shared secrets agree, hashes and tags depend on every byte of their inputs, ciphertexts
 * are as long as they should be. For the simulator alone; it is linked in place of the layer
 * crypto, never beside it.
 */
#include "base/mem.h"
#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "crypto/hash.h"
#include "crypto/mlkem.h"
#include "crypto/x25519.h"

#include <stdlib.h>
#include <string.h>

/* ---- mixing ---- */

static uint64_t stir(uint64_t h, uint64_t word)
{
    h = (h ^ word) * UINT64_C(0x9fb21c651e98df25);
    return h ^ h >> 32;
}

static uint64_t absorb(uint64_t h, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t word;
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        memcpy(&word, p + i, 8);
        h = stir(h, word);
    }
    word = 0;
    for (; i < len; i++)
        word = word << 8 | p[i];
    return stir(stir(h, word), len);
}

static void squeeze(uint8_t *out, size_t len, uint64_t h)
{
    for (size_t i = 0; i < len; i += 8) {
        uint64_t word = stir(h, UINT64_C(0x9e3779b97f4a7c15) * (i + 1));
        word = stir(word, i);
        memcpy(out + i, &word, len - i < 8 ? len - i : 8);
    }
}

/* ---- crypto.h ---- */

enum cq_err cq_crypto_init(bool locked_memory)
{
    (void)locked_memory;
    return CQ_OK;
}

void cq_crypto_thread_done(void)
{
}

const char *cq_crypto_version(void)
{
    return "none";
}

bool cq_crypto_has_aes(void)
{
    return true;
}

enum cq_err cq_crypto_random(void *out, size_t len)
{
    memset(out, 0, len);
    return CQ_ERR_RANDOM; /* the simulator has its own */
}

/* ---- hash.h ---- */

/* Where one span ends and the next begins must not show in the result. */
struct stream {
    uint64_t h, word, len;
};

static void feed(struct stream *s, const uint8_t *p, size_t len)
{
    size_t i = 0;
    for (; i < len && s->len % 8 != 0; i++, s->len++)
        s->word |= (uint64_t)p[i] << s->len % 8 * 8;
    if (s->len % 8 == 0 && s->len > 0 && i > 0) {
        s->h = stir(s->h, s->word);
        s->word = 0;
    }
    for (; i + 8 <= len; i += 8, s->len += 8) {
        uint64_t word;
        memcpy(&word, p + i, 8); /* as the shifts below: little-endian */
        s->h = stir(s->h, word);
    }
    for (; i < len; i++, s->len++)
        s->word |= (uint64_t)p[i] << s->len % 8 * 8;
}

enum cq_err cq_hash(uint8_t out[CQ_HASH_LEN], const struct cq_span *spans, size_t num_spans)
{
    struct stream s = {.h = 1};
    for (size_t i = 0; i < num_spans; i++)
        feed(&s, spans[i].p, spans[i].len);
    squeeze(out, CQ_HASH_LEN, stir(stir(s.h, s.word), s.len));
    return CQ_OK;
}

enum cq_err cq_hmac(uint8_t out[CQ_HASH_LEN], const uint8_t *key, size_t key_len,
                    const struct cq_span *spans, size_t num_spans)
{
    struct stream s = {.h = absorb(2, key, key_len)};
    for (size_t i = 0; i < num_spans; i++)
        feed(&s, spans[i].p, spans[i].len);
    squeeze(out, CQ_HASH_LEN, stir(stir(s.h, s.word), s.len));
    return CQ_OK;
}

/* ---- x25519.h: a commutative product in place of the curve ---- */

static const uint64_t modulus = UINT64_C(0x1fffffffffffffff); /* 2^61 - 1 */

static uint64_t multiply(uint64_t a, uint64_t b)
{
    return (uint64_t)((unsigned __int128)a * b % modulus);
}

static uint64_t scalar(const uint8_t secret[32])
{
    return absorb(3, secret, 32) % (modulus - 2) + 1;
}

static void put_point(uint8_t out[32], uint64_t point)
{
    for (unsigned i = 0; i < 4; i++) {
        uint64_t word = point * (i + 1);
        memcpy(out + 8 * i, &word, 8);
    }
}

enum cq_err cq_x25519_public(uint8_t out_public[32], const uint8_t secret[32])
{
    put_point(out_public, multiply(scalar(secret), 9));
    return CQ_OK;
}

enum cq_err cq_x25519(uint8_t out[32], const uint8_t secret[32], const uint8_t peer[32])
{
    uint64_t point;
    memcpy(&point, peer, 8);
    point = multiply(scalar(secret), point % modulus);
    put_point(out, stir(point, 4));
    if (point != 0)
        return CQ_OK;
    memset(out, 0, 32);
    return CQ_ERR_AUTH;
}

/* ---- mlkem.h: the key is its own public half ---- */

struct cq_mlkem_key {
    uint64_t name; /* of the pair */
};

static uint64_t name_of(const uint8_t ek[CQ_MLKEM_EK_LEN])
{
    uint64_t name;
    memcpy(&name, ek, 8);
    return name;
}

static void write_ek(uint8_t ek[CQ_MLKEM_EK_LEN], uint64_t name)
{
    squeeze(ek, CQ_MLKEM_EK_LEN, name);
    for (size_t i = 8; i < CQ_MLKEM_EK_LEN; i++)
        ek[i] &= 0x77; /* below the modulus */
    memcpy(ek, &name, 8);
}

static enum cq_err make_key(struct cq_mlkem_key **out, uint64_t name)
{
    *out = malloc(sizeof(**out));
    if (*out == NULL)
        return CQ_ERR_NOMEM;
    (*out)->name = name;
    return CQ_OK;
}

enum cq_err cq_mlkem_keygen(struct cq_mlkem_key **out_key, uint8_t out_ek[CQ_MLKEM_EK_LEN],
                            const uint8_t seed[CQ_MLKEM_SEED_LEN])
{
    uint64_t name = absorb(5, seed, CQ_MLKEM_SEED_LEN) & UINT64_C(0x7777777777777777);
    if (out_ek != NULL)
        write_ek(out_ek, name);
    return make_key(out_key, name);
}

enum cq_err cq_mlkem_check(const uint8_t ek[CQ_MLKEM_EK_LEN])
{
    for (size_t i = 0; i < CQ_MLKEM_EK_LEN; i++)
        if ((ek[i] & 0x88) != 0)
            return CQ_ERR_INVALID;
    return CQ_OK;
}

enum cq_err cq_mlkem_import(struct cq_mlkem_key **out_key, const uint8_t ek[CQ_MLKEM_EK_LEN])
{
    *out_key = NULL;
    enum cq_err err = cq_mlkem_check(ek);
    return err != CQ_OK ? err : make_key(out_key, name_of(ek));
}

static void share(uint8_t out_secret[32], uint64_t name, const uint8_t ct[CQ_MLKEM_CT_LEN])
{
    squeeze(out_secret, 32, absorb(name, ct, CQ_MLKEM_CT_LEN));
}

enum cq_err cq_mlkem_encaps(uint8_t out_ct[CQ_MLKEM_CT_LEN], uint8_t out_secret[32],
                            const struct cq_mlkem_key *key, const uint8_t m[CQ_MLKEM_RANDOM_LEN])
{
    squeeze(out_ct, CQ_MLKEM_CT_LEN, absorb(key->name, m, CQ_MLKEM_RANDOM_LEN));
    share(out_secret, key->name, out_ct);
    return CQ_OK;
}

enum cq_err cq_mlkem_decaps(uint8_t out_secret[32], const struct cq_mlkem_key *key,
                            const uint8_t ct[CQ_MLKEM_CT_LEN])
{
    share(out_secret, key->name, ct);
    return CQ_OK;
}

void cq_mlkem_free(struct cq_mlkem_key *key)
{
    free(key);
}

/* ---- aead.h ---- */

struct cq_aead {
    uint64_t key;
};

const char *cq_aead_marker(void)
{
    return "";
}

const char *cq_suite_name(unsigned suite)
{
    return suite == CQ_SUITE_AES_256_GCM         ? "aes-256-gcm"
           : suite == CQ_SUITE_CHACHA20_POLY1305 ? "chacha20-poly1305"
                                                 : "none";
}

static void encrypt(uint8_t *out, const uint8_t *in, size_t len, uint64_t h)
{
    for (size_t i = 0; i < len; i += 8) {
        uint64_t word = 0, pad = stir(h, i);
        size_t n = len - i < 8 ? len - i : 8;
        memcpy(&word, in + i, n);
        word ^= pad;
        memcpy(out + i, &word, n);
    }
}

static void make_tag(uint8_t tag[16], uint64_t h, const uint8_t *ad, size_t ad_len,
                     const uint8_t *ct, size_t len)
{
    squeeze(tag, 16, absorb(absorb(h, ad, ad_len), ct, len));
}

enum cq_err cq_aead_seal_zero(uint8_t *out, const uint8_t key[CQ_AEAD_KEY_LEN], const uint8_t *ad,
                              size_t ad_len, const uint8_t *in, size_t len)
{
    uint64_t h = absorb(6, key, CQ_AEAD_KEY_LEN);
    encrypt(out, in, len, h);
    make_tag(out + len, h, ad, ad_len, out, len);
    return CQ_OK;
}

enum cq_err cq_aead_open_zero(uint8_t *out, const uint8_t key[CQ_AEAD_KEY_LEN], const uint8_t *ad,
                              size_t ad_len, const uint8_t *ct, size_t ct_len)
{
    uint64_t h = absorb(6, key, CQ_AEAD_KEY_LEN);
    size_t len = ct_len - CQ_AEAD_TAG_LEN;
    uint8_t tag[CQ_AEAD_TAG_LEN];
    make_tag(tag, h, ad, ad_len, ct, len);
    if (memcmp(tag, ct + len, sizeof(tag)) != 0) {
        memset(out, 0, len);
        return CQ_ERR_AUTH;
    }
    encrypt(out, ct, len, h);
    return CQ_OK;
}

enum cq_err cq_aead_new(struct cq_aead **out, enum cq_suite suite, enum cq_aead_dir dir,
                        const uint8_t key[CQ_AEAD_KEY_LEN])
{
    (void)dir;
    *out = malloc(sizeof(**out));
    if (*out == NULL)
        return CQ_ERR_NOMEM;
    (*out)->key = stir(absorb(7, key, CQ_AEAD_KEY_LEN), suite);
    return CQ_OK;
}

void cq_aead_free(struct cq_aead *aead)
{
    free(aead);
}

enum cq_err cq_aead_seal_batch(struct cq_aead *aead, struct cq_aead_op *ops, size_t num_ops)
{
    for (size_t i = 0; i < num_ops; i++) {
        struct cq_aead_op *op = &ops[i];
        uint64_t h = absorb(aead->key, op->nonce, sizeof(op->nonce));
        encrypt(op->out, op->in, op->len, h);
        make_tag(op->tag, h, op->ad, op->ad_len, op->out, op->len);
        op->failed = false;
    }
    return CQ_OK;
}

enum cq_err cq_aead_open_batch(struct cq_aead *aead, struct cq_aead_op *ops, size_t num_ops)
{
    enum cq_err err = CQ_OK;
    for (size_t i = 0; i < num_ops; i++) {
        struct cq_aead_op *op = &ops[i];
        uint64_t h = absorb(aead->key, op->nonce, sizeof(op->nonce));
        uint8_t tag[CQ_AEAD_TAG_LEN];
        make_tag(tag, h, op->ad, op->ad_len, op->in, op->len);
        op->failed = memcmp(tag, op->tag, sizeof(tag)) != 0;
        if (op->failed) {
            memset(op->out, 0, op->len);
            err = CQ_ERR_AUTH;
        } else {
            encrypt(op->out, op->in, op->len, h);
        }
    }
    return err;
}
