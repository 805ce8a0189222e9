/*
 * ML-KEM-768 (FIPS 203). Every randomised operation takes its randomness as an argument, so results
 * are deterministic; the caller draws it. Shared secrets and seeds belong to the caller, who wipes
 * them.
 */
#ifndef CQ_CRYPTO_MLKEM_H
#define CQ_CRYPTO_MLKEM_H

#include "base/err.h"

#include <stdint.h>

enum {
    CQ_MLKEM_SEED_LEN = 64, /* d || z */
    CQ_MLKEM_EK_LEN = 1184,
    CQ_MLKEM_CT_LEN = 1088,
    CQ_MLKEM_SECRET_LEN = 32,
    CQ_MLKEM_RANDOM_LEN = 32, /* m of Encaps_internal */
};

/* A key in libcrypto's form (about 6.6 kB, in libcrypto's memory): keep it only while handshakes
 * are near. */
struct cq_mlkem_key;

/* ML-KEM.KeyGen_internal(d, z) of seed = d || z. Also writes the encapsulation key when out_ek is
 * not NULL. The key is owned by the caller (cq_mlkem_free). CQ_ERR_NOMEM, CQ_ERR_CRYPTO. */
CQ_MUST_CHECK enum cq_err cq_mlkem_keygen(struct cq_mlkem_key **out_key,
                                          uint8_t out_ek[CQ_MLKEM_EK_LEN],
                                          const uint8_t seed[CQ_MLKEM_SEED_LEN]);

/* Imports an encapsulation key. CQ_ERR_INVALID when it fails the modulus check of FIPS 203
 * section 7.2. */
CQ_MUST_CHECK enum cq_err cq_mlkem_import(struct cq_mlkem_key **out_key,
                                          const uint8_t ek[CQ_MLKEM_EK_LEN]);

/* Whether ek passes the modulus check; no allocation. */
CQ_MUST_CHECK enum cq_err cq_mlkem_check(const uint8_t ek[CQ_MLKEM_EK_LEN]);

/* ML-KEM.Encaps_internal(ek, m). Outputs are zeroed on error. CQ_ERR_CRYPTO, CQ_ERR_NOMEM. */
CQ_MUST_CHECK enum cq_err cq_mlkem_encaps(uint8_t out_ct[CQ_MLKEM_CT_LEN], uint8_t out_secret[32],
                                          const struct cq_mlkem_key *key,
                                          const uint8_t m[CQ_MLKEM_RANDOM_LEN]);

/* ML-KEM.Decaps(dk, ct), implicit rejection included. CQ_ERR_CRYPTO, CQ_ERR_NOMEM. */
CQ_MUST_CHECK enum cq_err cq_mlkem_decaps(uint8_t out_secret[32], const struct cq_mlkem_key *key,
                                          const uint8_t ct[CQ_MLKEM_CT_LEN]);

/* Wipes and frees; NULL is allowed. */
void cq_mlkem_free(struct cq_mlkem_key *key);

#endif
