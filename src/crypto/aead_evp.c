/*
 * AEAD by libcrypto.
 */
#include "crypto/aead_backend.h"

#include "base/mem.h"
#include "base/secret.h"
#include "crypto/lib.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

struct context {
    struct cq_aead base;
    EVP_CIPHER_CTX *evp;
    OSSL_PARAM tag[2]; /* names the tag of the packet at hand: cheaper than EVP_CTRL_AEAD_* */
};

static const EVP_CIPHER *find_cipher(enum cq_suite suite)
{
    switch (suite) {
    case CQ_SUITE_AES_256_GCM:
        return cq_lib.aes_256_gcm;
    case CQ_SUITE_CHACHA20_POLY1305:
        return cq_lib.chacha20_poly1305;
    }
    return NULL;
}

/* Everything between nonce and tag; the order of the calls is libcrypto's fastest. */
static bool seal_op(EVP_CIPHER_CTX *ctx, OSSL_PARAM tag[2], const struct cq_aead_op *op)
{
    int n = 0;

    tag[0].data = op->tag;
    return cq_aead_fits(op) && EVP_EncryptInit_ex2(ctx, NULL, NULL, op->nonce, NULL) == 1 &&
           (op->ad_len == 0 || EVP_EncryptUpdate(ctx, NULL, &n, op->ad, (int)op->ad_len) == 1) &&
           (op->len == 0 || EVP_EncryptUpdate(ctx, op->out, &n, op->in, (int)op->len) == 1) &&
           EVP_EncryptFinal_ex(ctx, op->out, &n) == 1 && EVP_CIPHER_CTX_get_params(ctx, tag) == 1;
}

/* As above up to the comparison of the tag, which Final makes. */
static bool decrypt_op(EVP_CIPHER_CTX *ctx, OSSL_PARAM tag[2], const struct cq_aead_op *op)
{
    int n = 0;

    tag[0].data = op->tag;
    return cq_aead_fits(op) && EVP_DecryptInit_ex2(ctx, NULL, NULL, op->nonce, tag) == 1 &&
           (op->ad_len == 0 || EVP_DecryptUpdate(ctx, NULL, &n, op->ad, (int)op->ad_len) == 1) &&
           (op->len == 0 || EVP_DecryptUpdate(ctx, op->out, &n, op->in, (int)op->len) == 1);
}

/* A forged packet costs what a good one does: clearing an empty queue would take longer than AES.
 */
static enum cq_err auth_error(void)
{
    if (ERR_peek_error() != 0)
        ERR_clear_error();
    return CQ_ERR_AUTH;
}

static enum cq_err open_op(EVP_CIPHER_CTX *ctx, OSSL_PARAM tag[2], const struct cq_aead_op *op)
{
    enum cq_err err = CQ_OK;
    int n = 0;

    if (!decrypt_op(ctx, tag, op))
        err = cq_lib_error();
    else if (EVP_DecryptFinal_ex(ctx, op->out, &n) != 1)
        err = auth_error();
    else
        return CQ_OK;
    cq_wipe(op->out, op->len);
    return err;
}

static EVP_CIPHER_CTX *make_context(const EVP_CIPHER *cipher, enum cq_aead_dir dir,
                                    const uint8_t key[CQ_AEAD_KEY_LEN])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

    if (ctx != NULL &&
        EVP_CipherInit_ex2(ctx, cipher, key, NULL, dir == CQ_AEAD_SEAL ? 1 : 0, NULL) != 1) {
        EVP_CIPHER_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

static void make_tag_param(OSSL_PARAM tag[2])
{
    tag[0] = OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, NULL, CQ_AEAD_TAG_LEN);
    tag[1] = OSSL_PARAM_construct_end();
}

enum cq_err cq_aead_seal_zero(uint8_t *out, const uint8_t key[CQ_AEAD_KEY_LEN], const uint8_t *ad,
                              size_t ad_len, const uint8_t *in, size_t len)
{
    enum cq_err err = CQ_OK;
    OSSL_PARAM tag[2];
    struct cq_aead_op op = {.ad = ad, .ad_len = ad_len, .in = in, .out = out, .len = len};
    EVP_CIPHER_CTX *ctx = make_context(cq_lib.chacha20_poly1305, CQ_AEAD_SEAL, key);

    op.tag = out + len;
    make_tag_param(tag);
    if (ctx == NULL || !seal_op(ctx, tag, &op)) {
        err = cq_lib_error();
        cq_wipe(out, len + CQ_AEAD_TAG_LEN);
    }
    EVP_CIPHER_CTX_free(ctx);
    cq_wipe_stack();
    return err;
}

enum cq_err cq_aead_open_zero(uint8_t *out, const uint8_t key[CQ_AEAD_KEY_LEN], const uint8_t *ad,
                              size_t ad_len, const uint8_t *ct, size_t ct_len)
{
    enum cq_err err = CQ_OK;
    OSSL_PARAM tag[2];

    if (ct_len < CQ_AEAD_TAG_LEN)
        return CQ_ERR_AUTH;
    size_t len = ct_len - CQ_AEAD_TAG_LEN;
    struct cq_aead_op op = {.ad = ad, .ad_len = ad_len, .in = ct, .out = out, .len = len};
    EVP_CIPHER_CTX *ctx = make_context(cq_lib.chacha20_poly1305, CQ_AEAD_OPEN, key);

    op.tag = (uint8_t *)ct + len; /* read only */
    make_tag_param(tag);
    if (ctx == NULL) {
        err = cq_lib_error();
        cq_wipe(out, len);
    } else {
        err = open_op(ctx, tag, &op);
    }
    EVP_CIPHER_CTX_free(ctx);
    cq_wipe_stack();
    return err;
}

static enum cq_err make(struct cq_aead **out, enum cq_suite suite, enum cq_aead_dir dir,
                        const uint8_t key[CQ_AEAD_KEY_LEN])
{
    const EVP_CIPHER *cipher = find_cipher(suite);

    if (cipher == NULL)
        return CQ_ERR_CRYPTO;
    struct context *c = cq_secret_alloc(sizeof(*c));
    if (c == NULL)
        return CQ_ERR_NOMEM;
    make_tag_param(c->tag);
    c->evp = make_context(cipher, dir, key);
    if (c->evp == NULL) {
        cq_secret_free(c);
        return cq_lib_error();
    }
    *out = &c->base;
    return CQ_OK;
}

static void destroy(struct cq_aead *aead)
{
    struct context *c = (struct context *)aead;

    EVP_CIPHER_CTX_free(c->evp);
    cq_secret_free(c);
}

static enum cq_err seal(struct cq_aead *aead, struct cq_aead_op *ops, size_t num_ops)
{
    struct context *c = (struct context *)aead;
    enum cq_err err = CQ_OK;

    for (size_t i = 0; i < num_ops; i++) {
        struct cq_aead_op *op = &ops[i];
        op->failed = !seal_op(c->evp, c->tag, op);
        if (op->failed) {
            /* Half-sealed plaintext must not leave the node by mistake. */
            cq_wipe(op->out, op->len);
            cq_wipe(op->tag, CQ_AEAD_TAG_LEN);
            ERR_clear_error();
            err = CQ_ERR_CRYPTO;
        }
    }
    return err;
}

static enum cq_err open(struct cq_aead *aead, struct cq_aead_op *ops, size_t num_ops)
{
    struct context *c = (struct context *)aead;
    enum cq_err err = CQ_OK;

    for (size_t i = 0; i < num_ops; i++) {
        struct cq_aead_op *op = &ops[i];
        enum cq_err one = open_op(c->evp, c->tag, op);
        op->failed = one != CQ_OK;
        if (one != CQ_OK && err != CQ_ERR_CRYPTO)
            err = one == CQ_ERR_AUTH ? CQ_ERR_AUTH : CQ_ERR_CRYPTO;
    }
    return err;
}

const struct cq_aead_backend cq_aead_libcrypto = {
    .name = "libcrypto",
    .make = make,
    .seal = seal,
    .open = open,
    .destroy = destroy,
};
