#include "crypto/lib.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

struct cq_lib cq_lib;

static bool has_key_type(const char *name)
{
    EVP_KEYMGMT *type = EVP_KEYMGMT_fetch(NULL, name, NULL);

    EVP_KEYMGMT_free(type);
    return type != NULL;
}

static void unload(void)
{
    EVP_MD_free(cq_lib.sha256);
    EVP_CIPHER_free(cq_lib.aes_256_gcm);
    EVP_CIPHER_free(cq_lib.chacha20_poly1305);
    cq_lib = (struct cq_lib){0};
}

enum cq_err cq_lib_load(void)
{
    cq_lib.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    cq_lib.aes_256_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    cq_lib.chacha20_poly1305 = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
    if (cq_lib.sha256 != NULL && cq_lib.aes_256_gcm != NULL && cq_lib.chacha20_poly1305 != NULL &&
        has_key_type("X25519") && has_key_type("ML-KEM-768"))
        return CQ_OK;
    unload();
    ERR_clear_error();
    return CQ_ERR_CRYPTO;
}

enum cq_err cq_lib_error(void)
{
    enum cq_err err = CQ_ERR_CRYPTO;
    unsigned long code;

    while ((code = ERR_get_error()) != 0) {
        if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
            err = CQ_ERR_NOMEM;
    }
    return err;
}

EVP_PKEY *cq_lib_import(const char *algorithm, int selection, OSSL_PARAM *params)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, algorithm, NULL);
    EVP_PKEY *key = NULL;

    if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
        EVP_PKEY_fromdata(ctx, &key, selection, params) != 1) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    return key;
}
