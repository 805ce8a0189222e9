/*
 * What the files of this layer share: the algorithms, fetched from libcrypto once, and how its
 * failures become error codes. Not for other layers.
 */
#ifndef CQ_CRYPTO_LIB_H
#define CQ_CRYPTO_LIB_H

#include "base/err.h"

#include <openssl/types.h>

/* Set by cq_lib_load before any thread starts, constant from then on. */
struct cq_lib {
    EVP_MD *sha256;
    EVP_CIPHER *aes_256_gcm;
    EVP_CIPHER *chacha20_poly1305;
};

extern struct cq_lib cq_lib;

/* Fetches the algorithms of struct cq_lib, and X25519 and ML-KEM-768 on trial. CQ_ERR_CRYPTO when
 * one is missing. */
CQ_MUST_CHECK enum cq_err cq_lib_load(void);

/* The error code for a libcrypto call that has just failed: CQ_ERR_NOMEM where the library's error
 * queue says so, else CQ_ERR_CRYPTO. Empties the queue. */
CQ_MUST_CHECK enum cq_err cq_lib_error(void);

/* A key made from parameters, by selection (EVP_PKEY_KEYPAIR, ...); NULL on failure. The caller
 * frees it. */
EVP_PKEY *cq_lib_import(const char *algorithm, int selection, OSSL_PARAM *params);

#endif
