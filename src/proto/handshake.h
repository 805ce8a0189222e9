/*
 * The handshake (docs/protocol.md section 3): INIT, REPLY, OFFER, ACCEPT as functions over states
 * and bytes, for both roles. Each reads like the specification's tokens. Reading works on copies
 * and changes the caller's state only after everything in the message has authenticated. Randomness
 * comes in as an argument, so the same inputs give the same bytes. What to answer, when, and to
 * whom is decided by the engine; mac1, mac2 and cookies are in proto/mac.h.
 *
 * All states are secret: they live in locked memory and are wiped with the functions here.
 */
#ifndef CQ_PROTO_HANDSHAKE_H
#define CQ_PROTO_HANDSHAKE_H

#include "base/drop.h"
#include "base/err.h"
#include "crypto/aead.h"
#include "proto/identity.h"
#include "proto/mac.h"
#include "proto/wire.h"

#include <stdint.h>

/* Handshake state h, ck (section 2). */
struct cq_transcript {
    uint8_t h[32];
    uint8_t ck[32];
};

/* What both roles know before they start. Pointers are borrowed for the call. */
struct cq_handshake_params {
    const struct cq_identity *self;
    const uint8_t *peer_id;               /* 32 bytes */
    const struct cq_public_key *peer_key; /* verified against peer_id */
    const uint8_t *psk;                   /* 32 bytes; all zero: none */
    uint8_t suites;                       /* offered (I) or allowed (R): bits of enum cq_suite */
    uint8_t preferred_suite; /* R: taken where both sides have it; I: told to R */
    uint16_t rotate_secs;
};

/* The result of a handshake, section 3 "session from the final ck and h". */
struct cq_session_keys {
    uint8_t i2r_key[32], i2r_iv[12];
    uint8_t r2i_key[32], r2i_iv[12];
    uint8_t exporter[32];
    uint8_t sid[CQ_SID_LEN];
    enum cq_suite suite;
    uint16_t rotate_secs; /* the smaller one of both sides: R(s) */
    uint32_t local_idx, remote_idx;
};

/* ---- initiator ---- */

struct cq_initiator {
    struct cq_transcript t;
    uint8_t e[CQ_X25519_LEN];       /* ephemeral X25519 secret */
    struct cq_mlkem_key *ephemeral; /* ephemeral ML-KEM key, from OFFER on; owned */
    uint32_t local_idx, remote_idx;
    uint8_t suites;
    enum cq_suite suite;
    uint16_t rotate_secs; /* the smaller one, from REPLY on */
};

struct cq_init_random {
    uint32_t idx;
    uint8_t e[CQ_X25519_LEN];
    uint8_t m[CQ_MLKEM_RANDOM_LEN];
};

/* Writes INIT with mac1, and with mac2 and fresh8 where cookie is not NULL. responder_macs: those
 * of peer_id. CQ_ERR_AUTH when a DH result is zero, CQ_ERR_INVALID (peer's ek), CQ_ERR_NOMEM,
 * CQ_ERR_CRYPTO; *out zeroed then. */
CQ_MUST_CHECK enum cq_err cq_init_write(struct cq_initiator *out, uint8_t msg[CQ_INIT_LEN],
                                        const struct cq_handshake_params *params,
                                        const struct cq_mac_keys *responder_macs,
                                        const uint8_t cookie[CQ_COOKIE_LEN],
                                        const struct cq_init_random *random);

/* Reads the REPLY addressed to state->local_idx. Drops: DECRYPT_REPLY, BAD_CHOICE, BAD_ROTATE,
 * RESERVED_BITS, DH_ZERO, HANDSHAKE_INTERNAL; the state is as before then. */
enum cq_drop cq_reply_read(struct cq_initiator *state, const uint8_t msg[CQ_REPLY_LEN],
                           const struct cq_handshake_params *params);

/* Writes the OFFER, once after REPLY; seed makes the ephemeral ML-KEM key. On error the state is
 * wiped. */
CQ_MUST_CHECK enum cq_err cq_offer_write(struct cq_initiator *state, uint8_t msg[CQ_OFFER_LEN],
                                         const struct cq_handshake_params *params,
                                         const uint8_t seed[CQ_MLKEM_SEED_LEN]);

/* Reads the ACCEPT and gives the session. Drops: DECRYPT_ACCEPT, HANDSHAKE_INTERNAL; the state is
 * as before then. After success the caller wipes the state. */
enum cq_drop cq_accept_read(const struct cq_initiator *state, const uint8_t msg[CQ_ACCEPT_LEN],
                            struct cq_session_keys *out);

/* Wipes and frees what it holds; zeroed is allowed. */
void cq_initiator_wipe(struct cq_initiator *state);

/* ---- responder ---- */

/* An INIT being read: between its stages the engine looks the peer up and applies its rules. */
struct cq_init_reading {
    struct cq_transcript t;
    uint8_t initiator_id[CQ_PEER_ID_LEN];
};

/* First stage: DH, Decaps, opens enc_id. Drops: DH_ZERO, DECRYPT_ID, HANDSHAKE_INTERNAL. */
enum cq_drop cq_init_read_id(struct cq_init_reading *out, const uint8_t msg[CQ_INIT_LEN],
                             const struct cq_identity *self);

/* For an unknown initiator: takes the time that the second stage would take. */
void cq_init_read_unknown(const uint8_t msg[CQ_INIT_LEN], const struct cq_identity *self);

/* Second stage: static-static DH and pre-shared key, opens enc_fresh. Drops: DH_ZERO,
 * DECRYPT_FRESH, HANDSHAKE_INTERNAL. */
enum cq_drop cq_init_read_fresh(struct cq_init_reading *reading, uint8_t out_fresh[CQ_FRESH_LEN],
                                const uint8_t msg[CQ_INIT_LEN],
                                const struct cq_handshake_params *params);

void cq_init_reading_wipe(struct cq_init_reading *reading);

struct cq_responder {
    struct cq_transcript t;
    uint32_t local_idx, remote_idx;
    enum cq_suite suite;
};

struct cq_reply_random {
    uint32_t idx;
    uint8_t e[CQ_X25519_LEN];
    uint8_t m[CQ_MLKEM_RANDOM_LEN];
};

/* The suite that a responder chooses for an offer: the preferred one where offered and allowed,
 * else AES-256-GCM, else ChaCha20-Poly1305; 0: none in common. */
unsigned cq_suite_choose(uint8_t offered, uint8_t allowed, uint8_t preferred);

/* Writes REPLY to an INIT that was read to the end. suite: one that it offers. CQ_ERR_AUTH when a
 * DH result is zero, CQ_ERR_CRYPTO, CQ_ERR_NOMEM, CQ_ERR_INVALID; *out zeroed then. */
CQ_MUST_CHECK enum cq_err cq_reply_write(struct cq_responder *out, uint8_t msg[CQ_REPLY_LEN],
                                         const struct cq_init_reading *reading,
                                         const uint8_t init[CQ_INIT_LEN], enum cq_suite suite,
                                         const struct cq_handshake_params *params,
                                         const struct cq_reply_random *random);

/* Reads the OFFER addressed to state->local_idx and writes the ACCEPT; m is the randomness of the
 * encapsulation. Drops: DECRYPT_OFFER, BAD_KEM_KEY, BAD_ROTATE, RESERVED_BITS, HANDSHAKE_INTERNAL;
 * nothing is changed then. After success the caller wipes the state. */
enum cq_drop cq_offer_read(const struct cq_responder *state, const uint8_t msg[CQ_OFFER_LEN],
                           const struct cq_handshake_params *params,
                           const uint8_t m[CQ_MLKEM_RANDOM_LEN], uint8_t accept[CQ_ACCEPT_LEN],
                           struct cq_session_keys *out);

void cq_responder_wipe(struct cq_responder *state);

#endif
