/*
 * mac1, mac2, cookies and the messages of first contact (docs/protocol.md sections 3 and 4). Pure
 * functions over bytes.
 */
#ifndef CQ_PROTO_MAC_H
#define CQ_PROTO_MAC_H

#include "base/addr.h"
#include "base/err.h"
#include "proto/identity.h"
#include "proto/wire.h"

#include <stdbool.h>

/* The keys that everybody who knows a responder's ID can compute: H("CrypRQ mac1" || ID), H("CrypRQ
 * cookie" || ID). */
struct cq_mac_keys {
    uint8_t mac1[32];
    uint8_t cookie[32];
};

CQ_MUST_CHECK enum cq_err cq_mac_keys_init(struct cq_mac_keys *out,
                                           const uint8_t id[CQ_PEER_ID_LEN]);

/*
 * Writes mac1 and mac2 of an INIT or KEY_REQUEST (both end in mac1(16) mac2(16)). cookie NULL: mac2
 * is zero. CQ_ERR_CRYPTO.
 */
CQ_MUST_CHECK enum cq_err cq_mac_write(uint8_t *msg, size_t len, const struct cq_mac_keys *keys,
                                       const uint8_t cookie[CQ_COOKIE_LEN]);
/* Constant-time checks; false also when libcrypto fails. */
bool cq_mac1_verify(const uint8_t *msg, size_t len, const struct cq_mac_keys *keys);
bool cq_mac2_verify(const uint8_t *msg, size_t len, const uint8_t cookie[CQ_COOKIE_LEN]);

/* fresh8 = HMAC(c, "fresh")[:8]. CQ_ERR_CRYPTO. */
CQ_MUST_CHECK enum cq_err cq_cookie_fresh(uint8_t out[CQ_FRESH_LEN],
                                          const uint8_t cookie[CQ_COOKIE_LEN]);

/* c = HMAC(secret, source IP || port)[:16]. CQ_ERR_CRYPTO. */
CQ_MUST_CHECK enum cq_err cq_cookie_make(uint8_t out[CQ_COOKIE_LEN], const uint8_t secret[32],
                                         const struct cq_addr *source);

/* COOKIE that answers the INIT or KEY_REQUEST `msg` (its index and mac1 are taken from there).
 * keys: our own. */
CQ_MUST_CHECK enum cq_err cq_cookie_seal(uint8_t out[CQ_COOKIE_MSG_LEN],
                                         const struct cq_mac_keys *keys, const uint8_t *msg,
                                         size_t len, const uint8_t nonce[CQ_COOKIE_NONCE_LEN],
                                         const uint8_t cookie[CQ_COOKIE_LEN]);
/* The cookie in a COOKIE that answers our message with this mac1. keys: the responder's.
 * CQ_ERR_AUTH, CQ_ERR_CRYPTO. */
CQ_MUST_CHECK enum cq_err cq_cookie_open(uint8_t out_cookie[CQ_COOKIE_LEN],
                                         const struct cq_mac_keys *keys,
                                         const uint8_t msg[CQ_COOKIE_MSG_LEN],
                                         const uint8_t mac1[CQ_MAC_LEN]);

/* keys: the responder's. cookie may be NULL. */
CQ_MUST_CHECK enum cq_err cq_key_request_write(uint8_t out[CQ_KEY_REQUEST_LEN],
                                               const struct cq_mac_keys *keys, uint32_t request_id,
                                               const uint8_t cookie[CQ_COOKIE_LEN]);
void cq_key_response_write(uint8_t out[CQ_KEY_RESPONSE_LEN], uint32_t request_id,
                           const struct cq_public_key *key);
CQ_MUST_CHECK enum cq_err cq_key_push_write(uint8_t out[CQ_KEY_PUSH_LEN],
                                            const struct cq_mac_keys *keys,
                                            const struct cq_public_key *key);
/* mac1 of a KEY_PUSH. keys: our own. */
bool cq_key_push_verify(const uint8_t msg[CQ_KEY_PUSH_LEN], const struct cq_mac_keys *keys);

#endif
