/*
 * Two identities and a handshake between them, step by step, for tests of the handshake: every step
 * can be done as proto/handshake.h does it, or with a payload of the test's own, sealed as a
 * dishonest but authenticated peer would.
 */
#ifndef CQ_TESTS_PAIR_H
#define CQ_TESTS_PAIR_H

#include "proto/handshake.h"
#include "proto/mac.h"

struct pair {
    struct cq_identity i, r;
    struct cq_mac_keys macs_i, macs_r;
    uint8_t psk[32];
    struct cq_handshake_params pi, pr;
    struct cq_init_random init_random;
    struct cq_reply_random reply_random;
    uint8_t offer_seed[CQ_MLKEM_SEED_LEN];
    uint8_t accept_random[CQ_MLKEM_RANDOM_LEN];

    struct cq_initiator si;
    struct cq_init_reading reading;
    struct cq_responder sr;
    struct cq_session_keys ki, kr;
    uint8_t fresh[CQ_FRESH_LEN];
    uint8_t init[CQ_INIT_LEN], reply[CQ_REPLY_LEN], offer[CQ_OFFER_LEN], accept[CQ_ACCEPT_LEN];
};

/* Deterministic identities and randomness out of `seed`, no PSK, both suites, 300 s. */
void pair_init(struct pair *p, unsigned seed);
void pair_wipe(struct pair *p);

/* The messages, each read by the other side as well (REPLY by the initiator, and so on); any
 * failure fails the test. Each needs the ones before it. */
void pair_init_message(struct pair *p);
void pair_read_init(struct pair *p);
void pair_write_reply(struct pair *p);
void pair_read_reply(struct pair *p);
void pair_write_offer(struct pair *p);
void pair_read_offer(struct pair *p);
void pair_read_accept(struct pair *p);

/* A REPLY with this enc_choice and e_R, which may be of low order, sealed with the responder's
 * state after INIT. */
void pair_forge_reply(const struct pair *p, const uint8_t e_r[32], const uint8_t choice[8],
                      uint8_t out[CQ_REPLY_LEN]);
/* An OFFER with this payload, sealed with the initiator's state after REPLY. */
void pair_forge_offer(const struct pair *p, const uint8_t offer[CQ_MLKEM_EK_LEN + 8],
                      uint8_t out[CQ_OFFER_LEN]);

/* Points of small order on Curve25519 and its twist (RFC 7748 section 6.1), 32 bytes each. */
enum { NUM_LOW_ORDER = 12 };
extern const uint8_t low_order_points[NUM_LOW_ORDER][32];

#endif
