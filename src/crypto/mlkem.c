#include "crypto/mlkem.h"

#include "base/mem.h"
#include "crypto/lib.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdbool.h>

enum {
    Q = 3329,
    COEFFICIENTS_LEN = 1152, /* 3 * 256 coefficients of 12 bits; the seed rho follows */
};

/* struct cq_mlkem_key is libcrypto's EVP_PKEY under another name: one allocation less. */
static EVP_PKEY *to_pkey(const struct cq_mlkem_key *key)
{
    return (EVP_PKEY *)(const void *)key;
}

/* OSSL_PARAM has no const; libcrypto only reads what it is given. */
static OSSL_PARAM make_param(const char *name, const uint8_t *value, size_t len)
{
    return OSSL_PARAM_construct_octet_string(name, (void *)value, len);
}

/* Generating from a given seed, not importing it: an import also tries the pair out, at twice the
 * price. */
static EVP_PKEY *generate(const uint8_t seed[CQ_MLKEM_SEED_LEN])
{
    OSSL_PARAM params[] = {
        make_param(OSSL_PKEY_PARAM_ML_KEM_SEED, seed, CQ_MLKEM_SEED_LEN),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "ML-KEM-768", NULL);
    EVP_PKEY *key = NULL;

    if (ctx != NULL && EVP_PKEY_keygen_init(ctx) == 1 &&
        EVP_PKEY_CTX_set_params(ctx, params) == 1 && EVP_PKEY_generate(ctx, &key) != 1) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static bool export_public(const EVP_PKEY *key, uint8_t out_ek[CQ_MLKEM_EK_LEN])
{
    size_t len = 0;

    return EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, out_ek, CQ_MLKEM_EK_LEN,
                                           &len) == 1 &&
           len == CQ_MLKEM_EK_LEN;
}

enum cq_err cq_mlkem_keygen(struct cq_mlkem_key **out_key, uint8_t out_ek[CQ_MLKEM_EK_LEN],
                            const uint8_t seed[CQ_MLKEM_SEED_LEN])
{
    enum cq_err err = CQ_OK;
    EVP_PKEY *key = generate(seed);

    *out_key = NULL;
    if (key == NULL || (out_ek != NULL && !export_public(key, out_ek))) {
        err = cq_lib_error();
        EVP_PKEY_free(key);
        if (out_ek != NULL)
            cq_wipe(out_ek, CQ_MLKEM_EK_LEN);
    } else {
        *out_key = (struct cq_mlkem_key *)(void *)key;
    }
    cq_wipe_stack();
    return err;
}

enum cq_err cq_mlkem_check(const uint8_t ek[CQ_MLKEM_EK_LEN])
{
    unsigned above = 0; /* bit 31: some coefficient is Q or more */

    for (size_t i = 0; i < COEFFICIENTS_LEN; i += 3) {
        unsigned a = ek[i] | (unsigned)(ek[i + 1] & 0x0f) << 8;
        unsigned b = (unsigned)ek[i + 1] >> 4 | (unsigned)ek[i + 2] << 4;
        above |= (Q - 1 - a) | (Q - 1 - b);
    }
    return above >> 31 == 0 ? CQ_OK : CQ_ERR_INVALID;
}

enum cq_err cq_mlkem_import(struct cq_mlkem_key **out_key, const uint8_t ek[CQ_MLKEM_EK_LEN])
{
    OSSL_PARAM params[] = {
        make_param(OSSL_PKEY_PARAM_PUB_KEY, ek, CQ_MLKEM_EK_LEN),
        OSSL_PARAM_construct_end(),
    };

    *out_key = NULL;
    enum cq_err err = cq_mlkem_check(ek);
    if (err != CQ_OK)
        return err;
    EVP_PKEY *key = cq_lib_import("ML-KEM-768", EVP_PKEY_PUBLIC_KEY, params);
    if (key == NULL)
        return cq_lib_error();
    *out_key = (struct cq_mlkem_key *)(void *)key;
    return CQ_OK;
}

enum cq_err cq_mlkem_encaps(uint8_t out_ct[CQ_MLKEM_CT_LEN], uint8_t out_secret[32],
                            const struct cq_mlkem_key *key, const uint8_t m[CQ_MLKEM_RANDOM_LEN])
{
    enum cq_err err = CQ_OK;
    size_t ct_len = CQ_MLKEM_CT_LEN;
    size_t secret_len = CQ_MLKEM_SECRET_LEN;
    OSSL_PARAM params[] = {
        make_param(OSSL_KEM_PARAM_IKME, m, CQ_MLKEM_RANDOM_LEN),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, to_pkey(key), NULL);

    if (ctx == NULL || EVP_PKEY_encapsulate_init(ctx, params) != 1 ||
        EVP_PKEY_encapsulate(ctx, out_ct, &ct_len, out_secret, &secret_len) != 1 ||
        ct_len != CQ_MLKEM_CT_LEN || secret_len != CQ_MLKEM_SECRET_LEN) {
        err = cq_lib_error();
        cq_wipe(out_ct, CQ_MLKEM_CT_LEN);
        cq_wipe(out_secret, CQ_MLKEM_SECRET_LEN);
    }
    EVP_PKEY_CTX_free(ctx);
    cq_wipe_stack();
    return err;
}

enum cq_err cq_mlkem_decaps(uint8_t out_secret[32], const struct cq_mlkem_key *key,
                            const uint8_t ct[CQ_MLKEM_CT_LEN])
{
    enum cq_err err = CQ_OK;
    size_t len = CQ_MLKEM_SECRET_LEN;

    /* When an allocation fails halfway, libcrypto returns a random secret and success, and leaves
     * only an entry in its error queue behind. A ciphertext that is rejected implicitly leaves
     * none. */
    if (ERR_peek_error() != 0)
        ERR_clear_error();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, to_pkey(key), NULL);
    if (ctx == NULL || EVP_PKEY_decapsulate_init(ctx, NULL) != 1 ||
        EVP_PKEY_decapsulate(ctx, out_secret, &len, ct, CQ_MLKEM_CT_LEN) != 1 ||
        len != CQ_MLKEM_SECRET_LEN || ERR_peek_error() != 0) {
        err = cq_lib_error();
        cq_wipe(out_secret, CQ_MLKEM_SECRET_LEN);
    }
    EVP_PKEY_CTX_free(ctx);
    cq_wipe_stack();
    return err;
}

void cq_mlkem_free(struct cq_mlkem_key *key)
{
    EVP_PKEY_free(to_pkey(key));
}
