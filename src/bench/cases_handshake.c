/*
 * Handshakes. handshake/: the functions of proto/, each role with recorded answers of the other.
 * engine/: two nodes in memory, from the first packet or from the wish for new keys until both
 * sides use them. primitive/: what a handshake consists of.
 */
#include "bench/nodes.h"
#include "bench/suite.h"

#include "base/mem.h"
#include "base/secret.h"
#include "crypto/crypto.h"
#include "crypto/hash.h"
#include "proto/handshake.h"
#include "proto/handshake_internal.h"

#include <string.h>

/* ---- one handshake, recorded ---- */

struct handshake {
    struct cq_identity i, r;
    struct cq_mac_keys i_macs, r_macs;
    uint8_t psk[CQ_PSK_LEN];
    struct cq_init_random init_random;
    struct cq_reply_random reply_random;
    uint8_t seed[CQ_MLKEM_SEED_LEN], m[CQ_MLKEM_RANDOM_LEN];
    /* Messages, and the state of each side after it. */
    uint8_t init[CQ_INIT_LEN], reply[CQ_REPLY_LEN], offer[CQ_OFFER_LEN], accept[CQ_ACCEPT_LEN];
    struct cq_initiator after_init, after_reply, after_offer;
    struct cq_init_reading reading;
    struct cq_responder after_reply_written;
    struct cq_session_keys keys;
    /* Where benchmarks write. */
    uint8_t message[2048];
};

static struct cq_handshake_params params_of(const struct handshake *h, bool initiator)
{
    const struct cq_identity *self = initiator ? &h->i : &h->r;
    const struct cq_identity *peer = initiator ? &h->r : &h->i;

    return (struct cq_handshake_params){
        .self = self,
        .peer_id = peer->id,
        .peer_key = &peer->public_key,
        .psk = h->psk,
        .suites = CQ_SUITE_AES_256_GCM | CQ_SUITE_CHACHA20_POLY1305,
        .preferred_suite = CQ_SUITE_AES_256_GCM,
        .rotate_secs = CQ_ROTATE_SECS_DEFAULT,
    };
}

static bool make_identity(struct cq_identity *out, struct cq_mac_keys *macs)
{
    uint8_t secret[CQ_SECRET_KEY_LEN];
    bool ok = cq_crypto_random(secret, sizeof(secret)) == CQ_OK &&
              cq_identity_init(out, secret) == CQ_OK && cq_mac_keys_init(macs, out->id) == CQ_OK;

    cq_wipe(secret, sizeof(secret));
    return ok;
}

/* What each side draws in one handshake. */
static bool draw_initiator(struct handshake *h)
{
    return cq_crypto_random(&h->init_random, sizeof(h->init_random)) == CQ_OK &&
           cq_crypto_random(h->seed, sizeof(h->seed)) == CQ_OK;
}

static bool draw_responder(struct handshake *h)
{
    return cq_crypto_random(&h->reply_random, sizeof(h->reply_random)) == CQ_OK &&
           cq_crypto_random(h->m, sizeof(h->m)) == CQ_OK;
}

/* ---- the steps; each reads and writes what is recorded ---- */

static bool write_init(struct handshake *h, struct cq_initiator *st, uint8_t *msg)
{
    struct cq_handshake_params p = params_of(h, true);

    return cq_init_write(st, msg, &p, &h->r_macs, NULL, &h->init_random) == CQ_OK;
}

static bool read_init(struct handshake *h, struct cq_init_reading *reading)
{
    struct cq_handshake_params p = params_of(h, false);
    uint8_t fresh[CQ_FRESH_LEN];

    return cq_mac1_verify(h->init, sizeof(h->init), &h->r_macs) &&
           cq_init_read_id(reading, h->init, &h->r) == CQ_DROP_NONE &&
           cq_init_read_fresh(reading, fresh, h->init, &p) == CQ_DROP_NONE;
}

static bool write_reply(struct handshake *h, const struct cq_init_reading *reading,
                        struct cq_responder *st, uint8_t *msg)
{
    struct cq_handshake_params p = params_of(h, false);

    return cq_reply_write(st, msg, reading, h->init, CQ_SUITE_AES_256_GCM, &p, &h->reply_random) ==
           CQ_OK;
}

static bool read_reply(struct handshake *h, struct cq_initiator *st)
{
    struct cq_handshake_params p = params_of(h, true);

    return cq_reply_read(st, h->reply, &p) == CQ_DROP_NONE;
}

static bool write_offer(struct handshake *h, struct cq_initiator *st, uint8_t *msg)
{
    struct cq_handshake_params p = params_of(h, true);

    return cq_offer_write(st, msg, &p, h->seed) == CQ_OK;
}

static bool read_offer(struct handshake *h, const struct cq_responder *st, uint8_t *accept,
                       struct cq_session_keys *keys)
{
    struct cq_handshake_params p = params_of(h, false);

    return cq_offer_read(st, h->offer, &p, h->m, accept, keys) == CQ_DROP_NONE;
}

static void free_handshake(void *ctx)
{
    struct handshake *h = ctx;

    if (h == NULL)
        return;
    cq_identity_wipe(&h->i);
    cq_identity_wipe(&h->r);
    cq_initiator_wipe(&h->after_offer);
    cq_secret_free(h);
}

static bool record(struct handshake *h)
{
    if (!make_identity(&h->i, &h->i_macs) || !make_identity(&h->r, &h->r_macs) ||
        !draw_initiator(h) || !draw_responder(h) || !write_init(h, &h->after_init, h->init) ||
        !read_init(h, &h->reading) ||
        !write_reply(h, &h->reading, &h->after_reply_written, h->reply))
        return false;
    h->after_reply = h->after_init;
    if (!read_reply(h, &h->after_reply))
        return false;
    h->after_offer = h->after_reply;
    return write_offer(h, &h->after_offer, h->offer) &&
           read_offer(h, &h->after_reply_written, h->accept, &h->keys) &&
           cq_accept_read(&h->after_offer, h->accept, &h->keys) == CQ_DROP_NONE;
}

static void *setup_handshake(const struct cq_bench_params *params)
{
    struct handshake *h = cq_secret_alloc(sizeof(*h));

    (void)params;
    if (h != NULL && record(h))
        return h;
    free_handshake(h);
    return NULL;
}

/* ---- benchmarks of roles and steps ---- */

typedef bool step_fn(struct handshake *h);

/* Random numbers are drawn as in a node but not used: the recorded answers would not fit. */
static bool draw_and_forget(struct handshake *h, size_t len)
{
    return cq_crypto_random(h->message, len) == CQ_OK;
}

static bool do_initiator(struct handshake *h)
{
    struct cq_initiator st = {0};
    struct cq_session_keys keys;
    bool ok = draw_and_forget(h, sizeof(h->init_random)) && draw_and_forget(h, sizeof(h->seed)) &&
              write_init(h, &st, h->message) && read_reply(h, &st) &&
              write_offer(h, &st, h->message) &&
              cq_accept_read(&st, h->accept, &keys) == CQ_DROP_NONE;

    cq_initiator_wipe(&st);
    cq_wipe(&keys, sizeof(keys));
    return ok;
}

static bool do_responder(struct handshake *h)
{
    struct cq_init_reading reading;
    struct cq_responder st = {0};
    struct cq_session_keys keys;
    bool ok = draw_and_forget(h, sizeof(h->reply_random)) && draw_and_forget(h, sizeof(h->m)) &&
              read_init(h, &reading) && write_reply(h, &reading, &st, h->message) &&
              read_offer(h, &st, h->message, &keys);

    cq_init_reading_wipe(&reading);
    cq_responder_wipe(&st);
    cq_wipe(&keys, sizeof(keys));
    return ok;
}

/* Both sides with fresh random numbers, message by message, until both have the same keys. */
static bool do_full(struct handshake *h)
{
    struct cq_initiator i = {0};
    struct cq_init_reading reading;
    struct cq_responder r = {0};
    struct cq_session_keys of_i, of_r;
    bool ok = draw_initiator(h) && write_init(h, &i, h->init) && read_init(h, &reading) &&
              draw_responder(h) && write_reply(h, &reading, &r, h->reply) && read_reply(h, &i) &&
              write_offer(h, &i, h->offer) && read_offer(h, &r, h->accept, &of_r) &&
              cq_accept_read(&i, h->accept, &of_i) == CQ_DROP_NONE &&
              cq_equal_ct(of_i.i2r_key, of_r.i2r_key, sizeof(of_i.i2r_key));

    cq_initiator_wipe(&i);
    cq_init_reading_wipe(&reading);
    cq_responder_wipe(&r);
    cq_wipe(&of_i, sizeof(of_i));
    cq_wipe(&of_r, sizeof(of_r));
    return ok;
}

static bool do_init_write(struct handshake *h)
{
    struct cq_initiator st;

    return write_init(h, &st, h->message);
}

static bool do_init_read(struct handshake *h)
{
    struct cq_init_reading reading;

    return read_init(h, &reading);
}

static bool do_reply_write(struct handshake *h)
{
    struct cq_responder st;

    return write_reply(h, &h->reading, &st, h->message);
}

static bool do_reply_read(struct handshake *h)
{
    struct cq_initiator st = h->after_init;

    return read_reply(h, &st);
}

static bool do_offer_write(struct handshake *h)
{
    struct cq_initiator st = h->after_reply;
    bool ok = write_offer(h, &st, h->message);

    cq_initiator_wipe(&st);
    return ok;
}

static bool do_offer_read(struct handshake *h)
{
    return read_offer(h, &h->after_reply_written, h->message, &h->keys);
}

static bool do_accept_read(struct handshake *h)
{
    return cq_accept_read(&h->after_offer, h->accept, &h->keys) == CQ_DROP_NONE;
}

/* MixKey, a key by label, the session's keys: one, one and six HMACs, and a hash. */
static bool do_mix_key(struct handshake *h)
{
    struct cq_transcript t = h->after_init.t;

    return cq_t_mix_key(&t, h->seed, h->m, NULL) == CQ_OK;
}

static bool do_key(struct handshake *h)
{
    return cq_t_key(&h->after_init.t, "m1 id", h->message) == CQ_OK;
}

static bool do_session_keys(struct handshake *h)
{
    return cq_t_session(&h->after_init.t, &h->keys) == CQ_OK;
}

/* ---- benchmarks of primitives, with the recorded handshake's data ---- */

static bool do_mlkem_keygen(struct handshake *h)
{
    struct cq_mlkem_key *key = NULL;
    bool ok = cq_mlkem_keygen(&key, h->message, h->seed) == CQ_OK;

    cq_mlkem_free(key);
    return ok;
}

static bool do_mlkem_import(struct handshake *h)
{
    struct cq_mlkem_key *key = NULL;
    bool ok = cq_mlkem_import(&key, h->r.public_key.ek) == CQ_OK;

    cq_mlkem_free(key);
    return ok;
}

static bool do_mlkem_encaps(struct handshake *h)
{
    uint8_t secret[CQ_MLKEM_SECRET_LEN];

    return cq_mlkem_encaps(h->message, secret, h->r.mlkem, h->m) == CQ_OK;
}

static bool do_mlkem_decaps(struct handshake *h)
{
    return cq_mlkem_decaps(h->message, h->r.mlkem, h->init + CQ_INIT_CT) == CQ_OK;
}

static bool do_x25519_public(struct handshake *h)
{
    return cq_x25519_public(h->message, h->i.x25519) == CQ_OK;
}

static bool do_x25519_derive(struct handshake *h)
{
    return cq_x25519(h->message, h->i.x25519, h->r.public_key.s) == CQ_OK;
}

static bool hash_of(struct handshake *h, size_t len)
{
    return cq_hash(h->message, CQ_SPANS({h->init, len})) == CQ_OK;
}

static bool do_sha256_64(struct handshake *h)
{
    return hash_of(h, 64);
}

static bool do_sha256_1216(struct handshake *h)
{
    return hash_of(h, 1216);
}

static bool do_hmac_64(struct handshake *h)
{
    return cq_hmac(h->message, h->psk, sizeof(h->psk), CQ_SPANS({h->init, 64})) == CQ_OK;
}

static bool do_random_32(struct handshake *h)
{
    return cq_crypto_random(h->message, 32) == CQ_OK;
}

static bool do_identity(struct handshake *h)
{
    struct cq_identity identity;
    bool ok = cq_identity_init(&identity, h->m) == CQ_OK;

    cq_identity_wipe(&identity);
    return ok;
}

static bool repeat(void *ctx, uint64_t ops, step_fn *step)
{
    struct handshake *h = ctx;

    for (uint64_t i = 0; i < ops; i++) {
        if (!step(h))
            return false;
        cq_bench_consume(h);
    }
    return true;
}

/* A run function and a kind for a step. */
#define STEP(step, what)                                                                           \
    static bool run_##step(void *ctx, uint64_t ops)                                                \
    {                                                                                              \
        return repeat(ctx, ops, do_##step);                                                        \
    }                                                                                              \
    static const struct cq_bench_kind kind_##step = {                                              \
        .unit = "ns/op",                                                                           \
        .things = (what),                                                                          \
        .setup = setup_handshake,                                                                  \
        .run = run_##step,                                                                         \
        .teardown = free_handshake,                                                                \
    };

STEP(full, "handshakes")
STEP(initiator, "handshakes")
STEP(responder, "handshakes")
STEP(init_write, "messages")
STEP(init_read, "messages")
STEP(reply_write, "messages")
STEP(reply_read, "messages")
STEP(offer_write, "messages")
STEP(offer_read, "messages")
STEP(accept_read, "messages")
STEP(mix_key, "keys")
STEP(key, "keys")
STEP(session_keys, "sessions")
STEP(mlkem_keygen, "keys")
STEP(mlkem_import, "keys")
STEP(mlkem_encaps, "secrets")
STEP(mlkem_decaps, "secrets")
STEP(x25519_public, "keys")
STEP(x25519_derive, "secrets")
STEP(sha256_64, "hashes")
STEP(sha256_1216, "hashes")
STEP(hmac_64, "hashes")
STEP(random_32, "draws")
STEP(identity, "identities")

static const struct {
    const char *name;
    const struct cq_bench_kind *kind;
} steps[] = {
    {"handshake/full", &kind_full},
    {"handshake/initiator", &kind_initiator},
    {"handshake/responder", &kind_responder},
    {"handshake/init-write", &kind_init_write},
    {"handshake/init-read", &kind_init_read},
    {"handshake/reply-write", &kind_reply_write},
    {"handshake/reply-read", &kind_reply_read},
    {"handshake/offer-write", &kind_offer_write},
    {"handshake/offer-read", &kind_offer_read},
    {"handshake/accept-read", &kind_accept_read},
    {"primitive/mlkem768/keygen", &kind_mlkem_keygen},
    {"primitive/mlkem768/import", &kind_mlkem_import},
    {"primitive/mlkem768/encaps", &kind_mlkem_encaps},
    {"primitive/mlkem768/decaps", &kind_mlkem_decaps},
    {"primitive/x25519/public", &kind_x25519_public},
    {"primitive/x25519/derive", &kind_x25519_derive},
    {"primitive/sha256/64", &kind_sha256_64},
    {"primitive/sha256/1216", &kind_sha256_1216},
    {"primitive/hmac-sha256/64", &kind_hmac_64},
    {"primitive/hkdf/mix-key", &kind_mix_key},
    {"primitive/hkdf/key", &kind_key},
    {"primitive/hkdf/session-keys", &kind_session_keys},
    {"primitive/random/32", &kind_random_32},
    {"primitive/identity", &kind_identity},
};

/* ---- engines ---- */

static void *setup_contact(const struct cq_bench_params *params)
{
    (void)params;
    return cq_bench_nodes_new(CQ_SUITE_AES_256_GCM, true);
}

static void free_nodes(void *ctx)
{
    cq_bench_nodes_free(ctx);
}

/* A second later, so that it does not count as one of very many handshakes. */
static bool prepare_first_contact(void *ctx, uint64_t ops)
{
    (void)ops;
    cq_bench_nodes_advance(ctx, CQ_NS_PER_S);
    return cq_bench_nodes_forget(ctx, false);
}

static bool prepare_contact(void *ctx, uint64_t ops)
{
    (void)ops;
    cq_bench_nodes_advance(ctx, CQ_NS_PER_S);
    return cq_bench_nodes_forget(ctx, true);
}

static bool run_contact(void *ctx, uint64_t ops)
{
    (void)ops;
    return cq_bench_nodes_send(ctx);
}

static void *setup_rotation(const struct cq_bench_params *params)
{
    struct cq_bench_nodes *nodes = setup_contact(params);

    if (nodes != NULL && cq_bench_nodes_send(nodes))
        return nodes;
    cq_bench_nodes_free(nodes);
    return NULL;
}

/* Long enough for the keys before the last ones to be gone, as between rotations by the clock. */
static bool prepare_rotation(void *ctx, uint64_t ops)
{
    (void)ops;
    cq_bench_nodes_advance(ctx, 20 * CQ_NS_PER_S);
    return true;
}

static bool run_rotation(void *ctx, uint64_t ops)
{
    (void)ops;
    return cq_bench_nodes_rotate(ctx) && cq_bench_nodes_send(ctx);
}

static const struct cq_bench_kind first_contact_kind = {
    .unit = "ns/op",
    .things = "contacts",
    .chunk = 1,
    .setup = setup_contact,
    .prepare = prepare_first_contact,
    .run = run_contact,
    .teardown = free_nodes,
};

static const struct cq_bench_kind contact_kind = {
    .unit = "ns/op",
    .things = "contacts",
    .chunk = 1,
    .setup = setup_contact,
    .prepare = prepare_contact,
    .run = run_contact,
    .teardown = free_nodes,
};

static const struct cq_bench_kind rotation_kind = {
    .unit = "ns/op",
    .things = "rotations",
    .chunk = 1,
    .setup = setup_rotation,
    .prepare = prepare_rotation,
    .run = run_rotation,
    .teardown = free_nodes,
};

static void set_limits(struct cq_bench_case *c, double promise_ms, double mark_ms)
{
    c->promise = promise_ms * 1e6;
    c->mark = mark_ms * 1e6;
}

void cq_bench_add_handshake(struct cq_bench_suite *suite)
{
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct cq_bench_case *c = cq_bench_add(suite, steps[i].kind, NULL, "%s", steps[i].name);
        if (steps[i].kind == &kind_full)
            set_limits(c, 100, 1);
    }
    set_limits(cq_bench_add(suite, &contact_kind, NULL, "engine/contact"), 100, 1);
    set_limits(cq_bench_add(suite, &first_contact_kind, NULL, "engine/first-contact"), 100, 1);
    set_limits(cq_bench_add(suite, &rotation_kind, NULL, "engine/rotation"), 50, 1);
}
