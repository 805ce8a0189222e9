#include "crypto/hash.h"

#include "base/mem.h"
#include "crypto/lib.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>

enum {
    BLOCK_LEN = 64,
    FRAMES_LEN = 2048, /* the deepest chain of calls below, more than twice over */
};

/* SHA-256 without SHA instructions leaves words of its input, so of the key, on the stack. A wipe
 * of 32 kB as after the slow operations would double the price of an HMAC. */
static __attribute__((noinline)) void wipe_frames(void)
{
    uint8_t below[FRAMES_LEN];

    cq_wipe(below, sizeof(below));
}

static bool add_spans(EVP_MD_CTX *ctx, const struct cq_span *spans, size_t num_spans)
{
    for (size_t i = 0; i < num_spans; i++) {
        if (spans[i].len > 0 && EVP_DigestUpdate(ctx, spans[i].p, spans[i].len) != 1)
            return false;
    }
    return true;
}

enum cq_err cq_hash(uint8_t out[CQ_HASH_LEN], const struct cq_span *spans, size_t num_spans)
{
    enum cq_err err = CQ_OK;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    if (ctx == NULL || EVP_DigestInit_ex2(ctx, cq_lib.sha256, NULL) != 1 ||
        !add_spans(ctx, spans, num_spans) || EVP_DigestFinal_ex(ctx, out, NULL) != 1) {
        err = cq_lib_error();
        cq_wipe(out, CQ_HASH_LEN);
    }
    EVP_MD_CTX_free(ctx);
    wipe_frames();
    return err;
}

/* H(pad || spans) */
static bool hash_padded(EVP_MD_CTX *ctx, uint8_t out[CQ_HASH_LEN], const uint8_t pad[BLOCK_LEN],
                        const struct cq_span *spans, size_t num_spans)
{
    return EVP_DigestInit_ex2(ctx, cq_lib.sha256, NULL) == 1 &&
           EVP_DigestUpdate(ctx, pad, BLOCK_LEN) == 1 && add_spans(ctx, spans, num_spans) &&
           EVP_DigestFinal_ex(ctx, out, NULL) == 1;
}

enum cq_err cq_hmac(uint8_t out[CQ_HASH_LEN], const uint8_t *key, size_t key_len,
                    const struct cq_span *spans, size_t num_spans)
{
    enum cq_err err = CQ_OK;
    uint8_t ipad[BLOCK_LEN] = {0};
    uint8_t opad[BLOCK_LEN];
    uint8_t inner[CQ_HASH_LEN];
    EVP_MD_CTX *ctx = NULL;

    if (key_len == 0 || key_len > BLOCK_LEN) {
        err = CQ_ERR_CRYPTO;
        cq_wipe(out, CQ_HASH_LEN);
        goto out;
    }
    memcpy(ipad, key, key_len);
    for (size_t i = 0; i < BLOCK_LEN; i++) {
        opad[i] = ipad[i] ^ 0x5c;
        ipad[i] ^= 0x36;
    }
    ctx = EVP_MD_CTX_new();
    if (ctx == NULL || !hash_padded(ctx, inner, ipad, spans, num_spans) ||
        !hash_padded(ctx, out, opad, CQ_SPANS({inner, sizeof(inner)}))) {
        err = cq_lib_error();
        cq_wipe(out, CQ_HASH_LEN);
    }
out:
    EVP_MD_CTX_free(ctx);
    cq_wipe(ipad, sizeof(ipad));
    cq_wipe(opad, sizeof(opad));
    cq_wipe(inner, sizeof(inner));
    wipe_frames();
    return err;
}
