/*
 * Records by Intel's ipsec-mb (meson option ipsec_mb), x86-64 only: AES-256-GCM by its direct
 * functions, one call per packet, and ChaCha20-Poly1305 by those that take a packet in pieces.
 * Both versions that Debian ships (1.3, 2.0) offer them through a manager, from which the pointers
 * are taken once; nothing of a key ever lies in it.
 *
 * The library writes plaintext before the tag is known. Here the tag is compared, in constant time,
 * before anybody else sees the plaintext, which is wiped when the tag is wrong.
 */
#include "crypto/aead_backend.h"

#include "base/mem.h"
#include "base/secret.h"

#include <intel-ipsec-mb.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

const char cq_aead_build_marker[] = "";

enum { KEY_ALIGNMENT = 64 };

/* Set once by `load`. */
static struct {
    bool usable;
    aes_gcm_pre_t gcm_expand;
    aes_gcm_enc_dec_t gcm_seal, gcm_open;
    chacha_poly_init_t chacha_begin;
    chacha_poly_enc_dec_update_t chacha_seal, chacha_open;
    chacha_poly_finalize_t chacha_finish;
} mb;

/* Everything is secret: keys, and what is left of the last packet's key stream. */
struct gcm {
    struct gcm_key_data key;
    struct gcm_context_data packet;
};

struct chacha {
    uint8_t key[CQ_AEAD_KEY_LEN];
    struct chacha20_poly1305_context_data packet;
};

struct context {
    struct cq_aead base;
    enum cq_suite suite;
    void *block; /* what was allocated; the key data in it is aligned */
    union {
        struct gcm *gcm;
        struct chacha *chacha;
    } u;
};

/* What GCM needs; without these instructions the library would emulate them slowly. */
static bool is_fast(const IMB_MGR *manager)
{
    uint64_t needed =
        IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ | IMB_FEATURE_AVX | IMB_FEATURE_AVX2;

    return (manager->features & needed) == needed;
}

/* The manager also tests all its algorithms when it is made, and says so in its error. */
static void load(void)
{
    IMB_MGR *manager = alloc_mb_mgr(0);
    IMB_ARCH arch = IMB_ARCH_NONE;

    if (manager == NULL)
        return;
    init_mb_mgr_auto(manager, &arch);
    if (imb_get_errno(manager) == 0 && is_fast(manager)) {
        mb.gcm_expand = manager->gcm256_pre;
        mb.gcm_seal = manager->gcm256_enc;
        mb.gcm_open = manager->gcm256_dec;
        mb.chacha_begin = manager->chacha20_poly1305_init;
        mb.chacha_seal = manager->chacha20_poly1305_enc_update;
        mb.chacha_open = manager->chacha20_poly1305_dec_update;
        mb.chacha_finish = manager->chacha20_poly1305_finalize;
        mb.usable = true;
    }
    free_mb_mgr(manager);
}

static void destroy(struct cq_aead *aead)
{
    struct context *c = (struct context *)aead;

    cq_secret_free(c->block);
    cq_secret_free(c);
}

static void *align(void *p)
{
    return (uint8_t *)p + (-(uintptr_t)p & (KEY_ALIGNMENT - 1));
}

static enum cq_err make(struct cq_aead **out, enum cq_suite suite, enum cq_aead_dir dir,
                        const uint8_t key[CQ_AEAD_KEY_LEN])
{
    bool gcm = suite == CQ_SUITE_AES_256_GCM;
    struct context *c = cq_secret_alloc(sizeof(*c));

    (void)dir;
    if (c == NULL)
        return CQ_ERR_NOMEM;
    c->suite = suite;
    c->block = cq_secret_alloc((gcm ? sizeof(struct gcm) : sizeof(struct chacha)) + KEY_ALIGNMENT);
    if (c->block == NULL) {
        destroy(&c->base);
        return CQ_ERR_NOMEM;
    }
    if (gcm) {
        c->u.gcm = align(c->block);
        mb.gcm_expand(key, &c->u.gcm->key);
    } else {
        c->u.chacha = align(c->block);
        memcpy(c->u.chacha->key, key, CQ_AEAD_KEY_LEN);
    }
    *out = &c->base;
    return CQ_OK;
}

/* The library refuses null pointers even for nothing: the nonce stands for an empty packet. */
static void seal_gcm(struct gcm *g, struct cq_aead_op *op)
{
    uint8_t *out = op->len > 0 ? op->out : op->nonce;
    const uint8_t *in = op->len > 0 ? op->in : op->nonce;

    mb.gcm_seal(&g->key, &g->packet, out, in, op->len, op->nonce, op->ad, op->ad_len, op->tag,
                CQ_AEAD_TAG_LEN);
}

static void open_gcm(struct gcm *g, const struct cq_aead_op *op, uint8_t tag[CQ_AEAD_TAG_LEN])
{
    uint8_t *out = op->len > 0 ? op->out : tag;
    const uint8_t *in = op->len > 0 ? op->in : op->nonce;

    mb.gcm_open(&g->key, &g->packet, out, in, op->len, op->nonce, op->ad, op->ad_len, tag,
                CQ_AEAD_TAG_LEN);
}

static void seal_chacha(struct chacha *c, struct cq_aead_op *op)
{
    mb.chacha_begin(c->key, &c->packet, op->nonce, op->ad, op->ad_len);
    if (op->len > 0)
        mb.chacha_seal(c->key, &c->packet, op->out, op->in, op->len);
    mb.chacha_finish(&c->packet, op->tag, CQ_AEAD_TAG_LEN);
}

static void open_chacha(struct chacha *c, const struct cq_aead_op *op, uint8_t tag[CQ_AEAD_TAG_LEN])
{
    mb.chacha_begin(c->key, &c->packet, op->nonce, op->ad, op->ad_len);
    if (op->len > 0)
        mb.chacha_open(c->key, &c->packet, op->out, op->in, op->len);
    mb.chacha_finish(&c->packet, tag, CQ_AEAD_TAG_LEN);
}

static enum cq_err seal(struct cq_aead *aead, struct cq_aead_op *ops, size_t num_ops)
{
    struct context *c = (struct context *)aead;
    enum cq_err err = CQ_OK;

    for (size_t i = 0; i < num_ops; i++) {
        struct cq_aead_op *op = &ops[i];
        op->failed = !cq_aead_fits(op);
        if (op->failed) {
            cq_wipe(op->out, op->len);
            cq_wipe(op->tag, CQ_AEAD_TAG_LEN);
            err = CQ_ERR_CRYPTO;
        } else if (c->suite == CQ_SUITE_AES_256_GCM) {
            seal_gcm(c->u.gcm, op);
        } else {
            seal_chacha(c->u.chacha, op);
        }
    }
    return err;
}

/* Decrypts and compares. */
static bool open_op(struct context *c, const struct cq_aead_op *op)
{
    uint8_t tag[CQ_AEAD_TAG_LEN];

    /* Should the library refuse the packet and write nothing, no tag fits. */
    for (int k = 0; k < CQ_AEAD_TAG_LEN; k++)
        tag[k] = (uint8_t)~op->tag[k];
    if (c->suite == CQ_SUITE_AES_256_GCM)
        open_gcm(c->u.gcm, op, tag);
    else
        open_chacha(c->u.chacha, op, tag);
    return cq_equal_ct(tag, op->tag, sizeof(tag));
}

static enum cq_err open(struct cq_aead *aead, struct cq_aead_op *ops, size_t num_ops)
{
    struct context *c = (struct context *)aead;
    enum cq_err err = CQ_OK;

    for (size_t i = 0; i < num_ops; i++) {
        struct cq_aead_op *op = &ops[i];
        bool fits = cq_aead_fits(op);
        op->failed = !fits || !open_op(c, op);
        if (!op->failed)
            continue;
        cq_wipe(op->out, op->len);
        if (err != CQ_ERR_CRYPTO)
            err = fits ? CQ_ERR_AUTH : CQ_ERR_CRYPTO;
    }
    return err;
}

static const struct cq_aead_backend backend = {
    .name = "ipsec-mb " IMB_VERSION_STR,
    .make = make,
    .seal = seal,
    .open = open,
    .destroy = destroy,
};

const struct cq_aead_backend *cq_aead_preferred(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, load);
    return mb.usable ? &backend : NULL;
}
