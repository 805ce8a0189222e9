/*
 * X25519 (RFC 7748).
 */
#ifndef CQ_CRYPTO_X25519_H
#define CQ_CRYPTO_X25519_H

#include "base/err.h"

#include <stdint.h>

enum { CQ_X25519_LEN = 32 };

/* public = X25519(secret, 9). CQ_ERR_CRYPTO (out zeroed). */
CQ_MUST_CHECK enum cq_err cq_x25519_public(uint8_t out_public[32], const uint8_t secret[32]);

/* out = X25519(secret, peer). CQ_ERR_AUTH when the result is all zero (RFC 7748 section 6.1),
 * CQ_ERR_CRYPTO; out is zeroed on error. Constant time. */
CQ_MUST_CHECK enum cq_err cq_x25519(uint8_t out[32], const uint8_t secret[32],
                                    const uint8_t peer[32]);

#endif
