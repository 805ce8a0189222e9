/*
 * No encryption at all, for benchmarks that ask what encryption costs (meson option null_suite).
 * The payload is copied where it has to move and left alone where it does not, tags are zero. A
 * build with this file says at every opportunity what it is, and cannot talk to any other
 * (cq_aead_marker).
 */
#include "crypto/aead_backend.h"

#include "base/mem.h"
#include "base/secret.h"

#include <string.h>

const char cq_aead_build_marker[] = "BENCHMARK BUILD THAT DOES NOT ENCRYPT";

static enum cq_err make(struct cq_aead **out, enum cq_suite suite, enum cq_aead_dir dir,
                        const uint8_t key[CQ_AEAD_KEY_LEN])
{
    (void)suite;
    (void)dir;
    (void)key;
    *out = cq_secret_alloc(sizeof(**out));
    return *out != NULL ? CQ_OK : CQ_ERR_NOMEM;
}

static void move(const struct cq_aead_op *op)
{
    if (op->out != op->in && op->len > 0)
        memcpy(op->out, op->in, op->len);
}

static enum cq_err seal(struct cq_aead *aead, struct cq_aead_op *ops, size_t num_ops)
{
    (void)aead;
    for (size_t i = 0; i < num_ops; i++) {
        move(&ops[i]);
        memset(ops[i].tag, 0, CQ_AEAD_TAG_LEN);
        ops[i].failed = false;
    }
    return CQ_OK;
}

static enum cq_err open(struct cq_aead *aead, struct cq_aead_op *ops, size_t num_ops)
{
    enum cq_err err = CQ_OK;

    (void)aead;
    for (size_t i = 0; i < num_ops; i++) {
        struct cq_aead_op *op = &ops[i];
        op->failed = !cq_is_zero_ct(op->tag, CQ_AEAD_TAG_LEN);
        if (op->failed) {
            cq_wipe(op->out, op->len);
            err = CQ_ERR_AUTH;
        } else {
            move(op);
        }
    }
    return err;
}

static void destroy(struct cq_aead *aead)
{
    cq_secret_free(aead);
}

static const struct cq_aead_backend null_backend = {
    .name = "none",
    .make = make,
    .seal = seal,
    .open = open,
    .destroy = destroy,
};

const struct cq_aead_backend *cq_aead_preferred(void)
{
    return &null_backend;
}
