#include "crypto/aead.h"

#include "base/mem.h"
#include "crypto/aead_backend.h"

#include <stddef.h>

const char *cq_suite_name(unsigned suite)
{
    switch (suite) {
    case CQ_SUITE_AES_256_GCM:
        return "aes-256-gcm";
    case CQ_SUITE_CHACHA20_POLY1305:
        return "chacha20-poly1305";
    default:
        return "none";
    }
}

static const struct cq_aead_backend *find_backend(void)
{
    const struct cq_aead_backend *preferred = cq_aead_preferred();

    return preferred != NULL ? preferred : &cq_aead_libcrypto;
}

const char *cq_aead_backend(void)
{
    return find_backend()->name;
}

const char *cq_aead_marker(void)
{
    return cq_aead_build_marker;
}

enum cq_err cq_aead_new(struct cq_aead **out, enum cq_suite suite, enum cq_aead_dir dir,
                        const uint8_t key[CQ_AEAD_KEY_LEN])
{
    const struct cq_aead_backend *backend = find_backend();

    *out = NULL;
    if (suite != CQ_SUITE_AES_256_GCM && suite != CQ_SUITE_CHACHA20_POLY1305)
        return CQ_ERR_CRYPTO;
    enum cq_err err = backend->make(out, suite, dir, key);
    cq_wipe_stack();
    if (err != CQ_OK)
        return err;
    (*out)->backend = backend;
    (*out)->dir = dir;
    return CQ_OK;
}

void cq_aead_free(struct cq_aead *aead)
{
    if (aead != NULL)
        aead->backend->destroy(aead);
}

/* A context made for the other direction: nothing of what it was given gets out. */
static enum cq_err refuse(struct cq_aead_op *ops, size_t num_ops, bool wipe_tags)
{
    for (size_t i = 0; i < num_ops; i++) {
        ops[i].failed = true;
        cq_wipe(ops[i].out, ops[i].len);
        if (wipe_tags)
            cq_wipe(ops[i].tag, CQ_AEAD_TAG_LEN);
    }
    return num_ops > 0 ? CQ_ERR_CRYPTO : CQ_OK;
}

enum cq_err cq_aead_seal_batch(struct cq_aead *aead, struct cq_aead_op *ops, size_t num_ops)
{
    if (aead->dir != CQ_AEAD_SEAL)
        return refuse(ops, num_ops, true);
    return aead->backend->seal(aead, ops, num_ops);
}

enum cq_err cq_aead_open_batch(struct cq_aead *aead, struct cq_aead_op *ops, size_t num_ops)
{
    if (aead->dir != CQ_AEAD_OPEN)
        return refuse(ops, num_ops, false);
    return aead->backend->open(aead, ops, num_ops);
}
