/*
 * A node's identity (docs/protocol.md section 2): one 32-byte secret, from which an X25519 and an
 * ML-KEM-768 key are derived, the 1216-byte public key, and the 32-byte peer ID that people copy.
 */
#ifndef CQ_PROTO_IDENTITY_H
#define CQ_PROTO_IDENTITY_H

#include "base/err.h"
#include "crypto/mlkem.h"
#include "crypto/x25519.h"

#include <stdint.h>

enum {
    CQ_SECRET_KEY_LEN = 32,
    CQ_PEER_ID_LEN = 32,
    CQ_PSK_LEN = 32,
    CQ_PUBLIC_KEY_LEN = CQ_X25519_LEN + CQ_MLKEM_EK_LEN, /* 1216 */
    CQ_ROTATE_SECS_MIN = 60,
    CQ_ROTATE_SECS_MAX = 3600,
    CQ_ROTATE_SECS_DEFAULT = 300,
};

/* S || ek, as it goes on the wire and into files. */
struct cq_public_key {
    uint8_t s[CQ_X25519_LEN];
    uint8_t ek[CQ_MLKEM_EK_LEN];
};

/* Everything derived from a secret key. Secret; lives in locked memory and is wiped with
 * cq_identity_wipe. */
struct cq_identity {
    uint8_t x25519[CQ_X25519_LEN];
    struct cq_mlkem_key *mlkem; /* owned */
    struct cq_public_key public_key;
    uint8_t id[CQ_PEER_ID_LEN];
};

/* Derives the identity of a secret key. The caller wipes secret and, when done, *out. CQ_ERR_NOMEM,
 * CQ_ERR_CRYPTO
 * (*out zeroed). */
CQ_MUST_CHECK enum cq_err cq_identity_init(struct cq_identity *out,
                                           const uint8_t secret[CQ_SECRET_KEY_LEN]);
/* Wipes and frees what it holds; a zeroed identity is allowed. */
void cq_identity_wipe(struct cq_identity *identity);

/* ID = H("CrypRQ peer id v1" || 0x01 || S || ek). CQ_ERR_CRYPTO. */
CQ_MUST_CHECK enum cq_err cq_peer_id(uint8_t out_id[CQ_PEER_ID_LEN],
                                     const struct cq_public_key *key);

/* Whether a public key received in clear is the one that `id` names: the hash first, then the
 * modulus check of FIPS 203 section 7.2. CQ_ERR_AUTH (hash), CQ_ERR_INVALID (modulus),
 * CQ_ERR_CRYPTO. */
CQ_MUST_CHECK enum cq_err cq_public_key_verify(const struct cq_public_key *key,
                                               const uint8_t id[CQ_PEER_ID_LEN]);

#endif
