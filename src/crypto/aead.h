/*
 * Authenticated encryption: one-shot ChaCha20-Poly1305 (RFC 8439) with a zero nonce for handshake
 * payloads, and keyed contexts for transport records with AES-256-GCM (SP 800-38D) or
 * ChaCha20-Poly1305, single and in batches.
 */
#ifndef CQ_CRYPTO_AEAD_H
#define CQ_CRYPTO_AEAD_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CQ_AEAD_KEY_LEN = 32,
    CQ_AEAD_NONCE_LEN = 12,
    CQ_AEAD_TAG_LEN = 16,
};

/* Transport suites; the values are those of the wire (docs/protocol.md section 3). */
enum cq_suite {
    CQ_SUITE_AES_256_GCM = 0x01,
    CQ_SUITE_CHACHA20_POLY1305 = 0x02,
};

/* With offered suites in INIT: ChaCha20-Poly1305 suits the sender better. */
enum { CQ_SUITE_PREFERS_CHACHA20 = 0x80 };

/* "aes-256-gcm", "chacha20-poly1305"; "none" for anything else. */
const char *cq_suite_name(unsigned suite);

/*
 * ChaCha20-Poly1305 with a nonce of twelve zero bytes; each key for one plaintext. seal writes len
 * + 16 bytes to out, open reads ct_len (>= 16) and writes ct_len - 16. In and out may be the same
 * buffer. CQ_ERR_AUTH when the tag does not verify (out zeroed), CQ_ERR_CRYPTO.
 */
CQ_MUST_CHECK enum cq_err cq_aead_seal_zero(uint8_t *out, const uint8_t key[CQ_AEAD_KEY_LEN],
                                            const uint8_t *ad, size_t ad_len, const uint8_t *in,
                                            size_t len);
CQ_MUST_CHECK enum cq_err cq_aead_open_zero(uint8_t *out, const uint8_t key[CQ_AEAD_KEY_LEN],
                                            const uint8_t *ad, size_t ad_len, const uint8_t *ct,
                                            size_t ct_len);

/* What seals and opens records: "libcrypto", "ipsec-mb 1.3.0"; "none" where this build does not
 * encrypt. Handshakes are always libcrypto's. */
const char *cq_aead_backend(void);

/* Empty; in a program that does not encrypt (cryprq-null, for benchmarks alone) a text that says
 * so. It is hashed with the protocol's name (docs/protocol.md section 2, Start), so that such a
 * program and any other do not understand each other. */
const char *cq_aead_marker(void);

/* A keyed transport context for one direction, used by one thread at a time. */
struct cq_aead;

enum cq_aead_dir { CQ_AEAD_SEAL, CQ_AEAD_OPEN };

/* Owned by the caller. CQ_ERR_NOMEM, CQ_ERR_CRYPTO. */
CQ_MUST_CHECK enum cq_err cq_aead_new(struct cq_aead **out, enum cq_suite suite,
                                      enum cq_aead_dir dir, const uint8_t key[CQ_AEAD_KEY_LEN]);

/* Wipes key schedule and frees; NULL is allowed. */
void cq_aead_free(struct cq_aead *aead);

/* One record of a batch. in/out of the payload may be equal (in place); data and tag need not be
 * adjacent. */
struct cq_aead_op {
    uint8_t nonce[CQ_AEAD_NONCE_LEN];
    const uint8_t *ad;
    size_t ad_len;
    const uint8_t *in;
    uint8_t *out;
    size_t len;   /* bytes of plaintext */
    uint8_t *tag; /* 16 bytes: written when sealing, read when opening */
    bool failed;  /* set for each op: not sealed (out and tag zeroed) or not opened (out zeroed) */
};

/* Seals or opens every op. No allocation. CQ_OK when all succeeded; otherwise CQ_ERR_AUTH (some
 * tags failed when opening) or CQ_ERR_CRYPTO (a failure of the library), and `failed` tells which.
 */
CQ_MUST_CHECK enum cq_err cq_aead_seal_batch(struct cq_aead *aead, struct cq_aead_op *ops,
                                             size_t num_ops);
CQ_MUST_CHECK enum cq_err cq_aead_open_batch(struct cq_aead *aead, struct cq_aead_op *ops,
                                             size_t num_ops);

#endif
