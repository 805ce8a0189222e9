/*
 * SHA-256 (FIPS 180-4) and HMAC-SHA-256 (RFC 2104). Inputs are lists of spans so that
 * concatenations need no copy. Keys are at most 64 bytes. Safe from any thread; no state is kept
 * between calls.
 */
#ifndef CQ_CRYPTO_HASH_H
#define CQ_CRYPTO_HASH_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum { CQ_HASH_LEN = 32 };

struct cq_span {
    const void *p;
    size_t len;
};

/* out = SHA-256 of the concatenated spans; out may be one of the inputs. CQ_ERR_CRYPTO (out
 * zeroed). */
CQ_MUST_CHECK enum cq_err cq_hash(uint8_t out[CQ_HASH_LEN], const struct cq_span *spans,
                                  size_t num_spans);

/* out = HMAC-SHA-256(key, concatenated spans); out may be key or one of the inputs. key_len 1
 * to 64. CQ_ERR_CRYPTO (out zeroed). All intermediate values are wiped. */
CQ_MUST_CHECK enum cq_err cq_hmac(uint8_t out[CQ_HASH_LEN], const uint8_t *key, size_t key_len,
                                  const struct cq_span *spans, size_t num_spans);

/* A list of spans as an expression: cq_hash(out, CQ_SPANS({a, 32}, {b, 8})) */
#define CQ_SPANS(...)                                                                              \
    (const struct cq_span[]){__VA_ARGS__},                                                         \
        sizeof((const struct cq_span[]){__VA_ARGS__}) / sizeof(struct cq_span)

#endif
