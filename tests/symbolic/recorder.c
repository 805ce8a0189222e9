#include "recorder.h"

#include "base/mem.h"
#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/mlkem.h"
#include "crypto/x25519.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- lines ---- */

static void print_hex(const uint8_t *p, size_t len)
{
    putchar('"');
    for (size_t i = 0; i < len; i++)
        printf("%02x", p[i]);
    putchar('"');
}

static void print_field(const char *name, const uint8_t *p, size_t len)
{
    printf(", \"%s\": ", name);
    print_hex(p, len);
}

static void print_spans(const struct cq_span *spans, size_t num_spans)
{
    const char *separator = "";
    printf(", \"in\": [");
    for (size_t i = 0; i < num_spans; i++) {
        if (spans[i].len == 0)
            continue;
        printf("%s", separator);
        print_hex(spans[i].p, spans[i].len);
        separator = ", ";
    }
    printf("]");
}

/* ---- new bytes, and what came of what ---- */

/* splitmix64 of a counter: a bijection, so that no eight bytes at a multiple of eight repeat. */
static void fill_new(uint8_t *out, size_t len)
{
    static uint64_t counter;
    for (size_t at = 0; at < len; at += 8) {
        uint64_t x = ++counter * 0x9e3779b97f4a7c15u;
        x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
        x = (x ^ x >> 27) * 0x94d049bb133111ebu;
        x ^= x >> 31;
        memcpy(out + at, &x, len - at < 8 ? len - at : 8);
    }
}

static void *grow(void *p, size_t size)
{
    p = realloc(p, size);
    if (p == NULL)
        abort();
    return p;
}

struct entry {
    char op;
    uint8_t *in, *out;
    size_t in_len, out_len;
};

static struct entry *entries;
static size_t num_entries;

static struct entry *add_entry(char op, const uint8_t *in, size_t in_len, size_t out_len)
{
    entries = grow(entries, (num_entries + 1) * sizeof(*entries));
    struct entry *e = &entries[num_entries++];
    *e = (struct entry){.op = op, .in_len = in_len, .out_len = out_len};
    e->in = grow(NULL, in_len + 1);
    e->out = grow(NULL, out_len);
    memcpy(e->in, in, in_len);
    return e;
}

static struct entry *find_input(char op, const uint8_t *in, size_t in_len)
{
    for (size_t i = 0; i < num_entries; i++) {
        struct entry *e = &entries[i];
        if (e->op == op && e->in_len == in_len && memcmp(e->in, in, in_len) == 0)
            return e;
    }
    return NULL;
}

static struct entry *find_output(char op, const uint8_t *out, size_t out_len)
{
    for (size_t i = 0; i < num_entries; i++) {
        struct entry *e = &entries[i];
        if (e->op == op && e->out_len == out_len && memcmp(e->out, out, out_len) == 0)
            return e;
    }
    return NULL;
}

/* out = the value of op at these inputs. Lengths go in with the bytes, so that no two lists of
 * inputs look alike. */
static void compute(char op, uint8_t *out, size_t out_len, const struct cq_span *spans,
                    size_t num_spans)
{
    size_t len = 0;
    for (size_t i = 0; i < num_spans; i++)
        len += spans[i].len + sizeof(spans[i].len);
    uint8_t *in = grow(NULL, len + 1);
    uint8_t *at = in;
    for (size_t i = 0; i < num_spans; i++) {
        memcpy(at, &spans[i].len, sizeof(spans[i].len));
        memcpy(at + sizeof(spans[i].len), spans[i].p, spans[i].len);
        at += sizeof(spans[i].len) + spans[i].len;
    }
    struct entry *e = find_input(op, in, len);
    if (e == NULL) {
        e = add_entry(op, in, len, out_len);
        fill_new(e->out, out_len);
    }
    memcpy(out, e->out, out_len);
    free(in);
}

/* As one span, so that where a hash input is cut makes no difference. */
static uint8_t *join(const struct cq_span *spans, size_t num_spans, size_t *out_len)
{
    uint8_t *all = grow(NULL, 1);
    *out_len = 0;
    for (size_t i = 0; i < num_spans; i++) {
        if (spans[i].len == 0)
            continue;
        all = grow(all, *out_len + spans[i].len);
        memcpy(all + *out_len, spans[i].p, spans[i].len);
        *out_len += spans[i].len;
    }
    return all;
}

/* ---- runs, names ---- */

void rec_run(const char *name)
{
    printf("{\"op\": \"run\", \"name\": \"%s\"}\n", name);
}

void rec_value(const char *name, const uint8_t *value, size_t len)
{
    printf("{\"op\": \"value\", \"name\": \"%s\"", name);
    print_field("value", value, len);
    printf("}\n");
}

void rec_atom(const char *name, uint8_t *out, size_t len)
{
    fill_new(out, len);
    printf("{\"op\": \"atom\", \"name\": \"%s\"", name);
    print_field("value", out, len);
    printf("}\n");
}

void rec_hole(uint8_t *out, const uint8_t *p, size_t len)
{
    struct entry *e = add_entry('?', p, len, len + CQ_AEAD_TAG_LEN);
    fill_new(e->out, e->out_len);
    memcpy(out, e->out, e->out_len);
}

/* ---- crypto/hash.h ---- */

enum cq_err cq_hash(uint8_t out[CQ_HASH_LEN], const struct cq_span *spans, size_t num_spans)
{
    size_t len;
    uint8_t *in = join(spans, num_spans, &len);
    printf("{\"op\": \"hash\"");
    print_spans(spans, num_spans);
    compute('h', out, CQ_HASH_LEN, CQ_SPANS({in, len}));
    print_field("out", out, CQ_HASH_LEN);
    printf("}\n");
    free(in);
    return CQ_OK;
}

enum cq_err cq_hmac(uint8_t out[CQ_HASH_LEN], const uint8_t *key, size_t key_len,
                    const struct cq_span *spans, size_t num_spans)
{
    size_t len;
    uint8_t *in = join(spans, num_spans, &len);
    printf("{\"op\": \"hmac\"");
    print_field("key", key, key_len);
    print_spans(spans, num_spans);
    compute('m', out, CQ_HASH_LEN, CQ_SPANS({key, key_len}, {in, len}));
    print_field("out", out, CQ_HASH_LEN);
    printf("}\n");
    free(in);
    return CQ_OK;
}

/* ---- crypto/aead.h ---- */

const char *cq_aead_marker(void)
{
    return "";
}

static void print_aead(const char *op, const uint8_t *key, const uint8_t *ad, size_t ad_len,
                       const uint8_t *p, size_t len, const uint8_t *ct)
{
    printf("{\"op\": \"%s\"", op);
    print_field("key", key, CQ_AEAD_KEY_LEN);
    print_field("ad", ad, ad_len);
    print_field("p", p, len);
    print_field("out", ct, len + CQ_AEAD_TAG_LEN);
    printf("}\n");
}

enum cq_err cq_aead_seal_zero(uint8_t *out, const uint8_t key[CQ_AEAD_KEY_LEN], const uint8_t *ad,
                              size_t ad_len, const uint8_t *in, size_t len)
{
    compute('a', out, len + CQ_AEAD_TAG_LEN,
            CQ_SPANS({key, CQ_AEAD_KEY_LEN}, {ad, ad_len}, {in, len}));
    print_aead("seal", key, ad, ad_len, in, len, out);
    return CQ_OK;
}

/* The plaintext of a ciphertext that was sealed with this key and ad: the last of its inputs. */
static const uint8_t *find_plaintext(const uint8_t *key, const uint8_t *ad, size_t ad_len,
                                     const uint8_t *ct, size_t ct_len)
{
    uint8_t again[2048];
    const struct entry *e = find_output('a', ct, ct_len);
    size_t len = ct_len - CQ_AEAD_TAG_LEN;
    if (e == NULL || ct_len > sizeof(again))
        return NULL;
    const uint8_t *p = e->in + e->in_len - len;
    compute('a', again, ct_len, CQ_SPANS({key, CQ_AEAD_KEY_LEN}, {ad, ad_len}, {p, len}));
    e = find_output('a', ct, ct_len); /* the table may have moved */
    return memcmp(again, ct, ct_len) == 0 ? e->in + e->in_len - len : NULL;
}

enum cq_err cq_aead_open_zero(uint8_t *out, const uint8_t key[CQ_AEAD_KEY_LEN], const uint8_t *ad,
                              size_t ad_len, const uint8_t *ct, size_t ct_len)
{
    size_t len = ct_len - CQ_AEAD_TAG_LEN;
    struct entry *hole = find_output('?', ct, ct_len);
    const uint8_t *p = hole != NULL ? hole->in : find_plaintext(key, ad, ad_len, ct, ct_len);
    if (p == NULL)
        return CQ_ERR_AUTH;
    if (hole != NULL)
        hole->op = '!'; /* filled */
    memcpy(out, p, len);
    print_aead(hole != NULL ? "fill" : "open", key, ad, ad_len, p, len, ct);
    return CQ_OK;
}

/* ---- crypto/mlkem.h ---- */

struct cq_mlkem_key {
    uint8_t ek[CQ_MLKEM_EK_LEN];
    uint8_t seed[CQ_MLKEM_SEED_LEN];
};

enum cq_err cq_mlkem_check(const uint8_t ek[CQ_MLKEM_EK_LEN])
{
    (void)ek;
    return CQ_OK;
}

enum cq_err cq_mlkem_import(struct cq_mlkem_key **out_key, const uint8_t ek[CQ_MLKEM_EK_LEN])
{
    *out_key = grow(NULL, sizeof(**out_key));
    memset(*out_key, 0, sizeof(**out_key));
    memcpy((*out_key)->ek, ek, CQ_MLKEM_EK_LEN);
    return CQ_OK;
}

enum cq_err cq_mlkem_keygen(struct cq_mlkem_key **out_key, uint8_t out_ek[CQ_MLKEM_EK_LEN],
                            const uint8_t seed[CQ_MLKEM_SEED_LEN])
{
    uint8_t ek[CQ_MLKEM_EK_LEN];
    compute('k', ek, sizeof(ek), CQ_SPANS({seed, CQ_MLKEM_SEED_LEN}));
    printf("{\"op\": \"keygen\"");
    print_field("seed", seed, CQ_MLKEM_SEED_LEN);
    print_field("out", ek, sizeof(ek));
    printf("}\n");
    enum cq_err err = cq_mlkem_import(out_key, ek);
    memcpy((*out_key)->seed, seed, CQ_MLKEM_SEED_LEN);
    if (out_ek != NULL)
        memcpy(out_ek, ek, sizeof(ek));
    return err;
}

enum cq_err cq_mlkem_encaps(uint8_t out_ct[CQ_MLKEM_CT_LEN], uint8_t out_secret[32],
                            const struct cq_mlkem_key *key, const uint8_t m[CQ_MLKEM_RANDOM_LEN])
{
    compute('c', out_ct, CQ_MLKEM_CT_LEN,
            CQ_SPANS({key->ek, CQ_MLKEM_EK_LEN}, {m, CQ_MLKEM_RANDOM_LEN}));
    compute('s', out_secret, 32, CQ_SPANS({key->ek, CQ_MLKEM_EK_LEN}, {out_ct, CQ_MLKEM_CT_LEN}));
    printf("{\"op\": \"encaps\"");
    print_field("ek", key->ek, CQ_MLKEM_EK_LEN);
    print_field("m", m, CQ_MLKEM_RANDOM_LEN);
    print_field("ct", out_ct, CQ_MLKEM_CT_LEN);
    print_field("out", out_secret, 32);
    printf("}\n");
    return CQ_OK;
}

/* A ciphertext that nobody made for this key gives a secret too, as with implicit rejection. */
enum cq_err cq_mlkem_decaps(uint8_t out_secret[32], const struct cq_mlkem_key *key,
                            const uint8_t ct[CQ_MLKEM_CT_LEN])
{
    compute('s', out_secret, 32, CQ_SPANS({key->ek, CQ_MLKEM_EK_LEN}, {ct, CQ_MLKEM_CT_LEN}));
    printf("{\"op\": \"decaps\"");
    print_field("seed", key->seed, CQ_MLKEM_SEED_LEN);
    print_field("ct", ct, CQ_MLKEM_CT_LEN);
    print_field("out", out_secret, 32);
    printf("}\n");
    return CQ_OK;
}

void cq_mlkem_free(struct cq_mlkem_key *key)
{
    free(key);
}

/* ---- crypto/x25519.h ---- */

static void derive_public(uint8_t out[32], const uint8_t secret[32])
{
    compute('p', out, 32, CQ_SPANS({secret, 32}));
}

enum cq_err cq_x25519_public(uint8_t out_public[32], const uint8_t secret[32])
{
    derive_public(out_public, secret);
    printf("{\"op\": \"public\"");
    print_field("secret", secret, 32);
    print_field("out", out_public, 32);
    printf("}\n");
    return CQ_OK;
}

/* The same for (a, B) and (b, A): a value of the unordered pair of public keys. */
enum cq_err cq_x25519(uint8_t out[32], const uint8_t secret[32], const uint8_t peer[32])
{
    uint8_t own[32];
    if (cq_is_zero_ct(peer, 32)) {
        cq_wipe(out, 32);
        return CQ_ERR_AUTH;
    }
    derive_public(own, secret);
    bool first = memcmp(own, peer, 32) < 0;
    compute('d', out, 32, CQ_SPANS({first ? own : peer, 32}, {first ? peer : own, 32}));
    printf("{\"op\": \"dh\"");
    print_field("secret", secret, 32);
    print_field("peer", peer, 32);
    print_field("out", out, 32);
    printf("}\n");
    return CQ_OK;
}
