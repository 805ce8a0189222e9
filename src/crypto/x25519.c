#include "crypto/x25519.h"

#include "base/mem.h"
#include "crypto/lib.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/proverr.h>
#include <stdbool.h>
#include <string.h>

/* OSSL_PARAM has no const; libcrypto only reads what it imports. */
static OSSL_PARAM make_param(const char *name, const uint8_t value[CQ_X25519_LEN])
{
    return OSSL_PARAM_construct_octet_string(name, (void *)value, CQ_X25519_LEN);
}

static EVP_PKEY *import_public(const uint8_t public[CQ_X25519_LEN])
{
    OSSL_PARAM params[] = {
        make_param(OSSL_PKEY_PARAM_PUB_KEY, public),
        OSSL_PARAM_construct_end(),
    };
    return cq_lib_import("X25519", EVP_PKEY_PUBLIC_KEY, params);
}

/*
 * A secret key for deriving alone. Importing a secret by itself makes libcrypto compute its public
 * key, which costs about as much as the derivation and is not used by it; any 32 bytes in the place
 * of the public key save that.
 */
static EVP_PKEY *import_secret(const uint8_t secret[CQ_X25519_LEN])
{
    static const uint8_t unused_public[CQ_X25519_LEN];
    OSSL_PARAM params[] = {
        make_param(OSSL_PKEY_PARAM_PRIV_KEY, secret),
        make_param(OSSL_PKEY_PARAM_PUB_KEY, unused_public),
        OSSL_PARAM_construct_end(),
    };
    return cq_lib_import("X25519", EVP_PKEY_KEYPAIR, params);
}

enum cq_err cq_x25519_public(uint8_t out_public[32], const uint8_t secret[32])
{
    enum cq_err err = CQ_OK;
    OSSL_PARAM params[] = {
        make_param(OSSL_PKEY_PARAM_PRIV_KEY, secret),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY *key = cq_lib_import("X25519", EVP_PKEY_KEYPAIR, params);
    size_t len = CQ_X25519_LEN;

    if (key == NULL || EVP_PKEY_get_raw_public_key(key, out_public, &len) != 1 ||
        len != CQ_X25519_LEN) {
        err = cq_lib_error();
        cq_wipe(out_public, CQ_X25519_LEN);
    }
    EVP_PKEY_free(key);
    cq_wipe_stack();
    return err;
}

/* After EVP_PKEY_derive failed: libcrypto refuses an all-zero result, and says so. */
static enum cq_err derive_error(void)
{
    unsigned long code = ERR_peek_last_error();
    bool zero = ERR_GET_LIB(code) == ERR_LIB_PROV &&
                ERR_GET_REASON(code) == PROV_R_FAILED_DURING_DERIVATION;
    enum cq_err err = cq_lib_error();

    return zero ? CQ_ERR_AUTH : err;
}

enum cq_err cq_x25519(uint8_t out[32], const uint8_t secret[32], const uint8_t peer[32])
{
    enum cq_err err = CQ_OK;
    uint8_t shared[CQ_X25519_LEN] = {0};
    size_t len = sizeof(shared);
    EVP_PKEY *secret_key = import_secret(secret);
    EVP_PKEY *peer_key = import_public(peer);
    EVP_PKEY_CTX *ctx = NULL;

    if (secret_key != NULL && peer_key != NULL)
        ctx = EVP_PKEY_CTX_new_from_pkey(NULL, secret_key, NULL);
    if (ctx == NULL || EVP_PKEY_derive_init(ctx) != 1 ||
        EVP_PKEY_derive_set_peer_ex(ctx, peer_key, 0) != 1)
        err = cq_lib_error();
    else if (EVP_PKEY_derive(ctx, shared, &len) != 1)
        err = derive_error();
    else if (len != CQ_X25519_LEN)
        err = CQ_ERR_CRYPTO;
    else if (cq_is_zero_ct(shared, sizeof(shared)))
        err = CQ_ERR_AUTH;
    if (err != CQ_OK)
        cq_wipe(shared, sizeof(shared));
    memcpy(out, shared, sizeof(shared));
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(peer_key);
    EVP_PKEY_free(secret_key);
    cq_wipe(shared, sizeof(shared));
    cq_wipe_stack();
    return err;
}
