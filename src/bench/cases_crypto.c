/*
 * The primitives, as the layer crypto offers them: seal/ and open/ (batches of packets under one
 * key, out of place as the packet path seals, in place as it opens).
 */
#include "bench/suite.h"

#include "base/bytes.h"
#include "crypto/aead.h"

#include <stdlib.h>
#include <string.h>

/* ---- records: a key and packets ---- */

enum { AD_LEN = 16 };

struct packets {
    struct cq_aead *aead;
    struct cq_aead_op *ops;
    unsigned num;   /* slots */
    unsigned batch; /* handed over at a time */
    size_t size;
    uint64_t counter;
    uint8_t ad[AD_LEN];
    uint8_t *plain, *sealed, *work; /* of each packet, size + tag apart */
};

static void free_packets(void *ctx)
{
    struct packets *p = ctx;

    if (p == NULL)
        return;
    cq_aead_free(p->aead);
    free(p->ops);
    free(p->plain);
    free(p->sealed);
    free(p->work);
    free(p);
}

static size_t stride(const struct packets *p)
{
    return p->size + CQ_AEAD_TAG_LEN;
}

static struct packets *new_packets(const struct cq_bench_params *params, enum cq_aead_dir dir)
{
    static const uint8_t key[CQ_AEAD_KEY_LEN] = {7};
    struct packets *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return NULL;
    p->num = params->slots;
    p->batch = params->batch;
    p->size = params->size;
    p->ops = calloc(p->num, sizeof(*p->ops));
    p->plain = calloc(p->num, stride(p));
    p->sealed = calloc(p->num, stride(p));
    p->work = calloc(p->num, stride(p));
    if (p->ops == NULL || p->plain == NULL || p->sealed == NULL || p->work == NULL ||
        cq_aead_new(&p->aead, params->suite, dir, key) != CQ_OK) {
        free_packets(p);
        return NULL;
    }
    return p;
}

static void set_op(struct packets *p, unsigned i, uint64_t counter, uint8_t *in, uint8_t *out)
{
    struct cq_aead_op *op = &p->ops[i];

    cq_store_be64(op->nonce + 4, counter);
    op->ad = p->ad;
    op->ad_len = sizeof(p->ad);
    op->in = in + i * stride(p);
    op->out = out + i * stride(p);
    op->tag = op->out + p->size;
    op->len = p->size;
}

static void *setup_seal(const struct cq_bench_params *params)
{
    return new_packets(params, CQ_AEAD_SEAL);
}

/* Slots first to first + num. */
static bool seal_packets(struct packets *p, unsigned first, unsigned num)
{
    for (unsigned i = first; i < first + num; i++)
        set_op(p, i, p->counter++, p->plain, p->work);
    return cq_aead_seal_batch(p->aead, p->ops + first, num) == CQ_OK;
}

static bool run_seal(void *ctx, uint64_t ops)
{
    struct packets *p = ctx;
    unsigned at = 0;

    while (ops > 0) {
        unsigned num = ops < p->batch ? (unsigned)ops : p->batch;
        if (!seal_packets(p, at, num))
            return false;
        at = (at + p->batch) % p->num;
        ops -= num;
    }
    cq_bench_consume(p->work);
    return true;
}

static void *setup_open(const struct cq_bench_params *params)
{
    struct packets *p = new_packets(params, CQ_AEAD_SEAL);
    struct packets *opening = new_packets(params, CQ_AEAD_OPEN);

    if (p == NULL || opening == NULL || !seal_packets(p, 0, p->num)) {
        free_packets(p);
        free_packets(opening);
        return NULL;
    }
    memcpy(opening->sealed, p->work, p->num * stride(p));
    free_packets(p);
    return opening;
}

/* What arrived; it is opened in place. */
static bool prepare_open(void *ctx, uint64_t ops)
{
    struct packets *p = ctx;

    memcpy(p->work, p->sealed, (size_t)ops * stride(p));
    return true;
}

static bool run_open(void *ctx, uint64_t ops)
{
    struct packets *p = ctx;
    unsigned num;

    for (unsigned at = 0; at < ops; at += num) {
        num = ops - at < p->batch ? (unsigned)ops - at : p->batch;
        for (unsigned i = at; i < at + num; i++)
            set_op(p, i, i, p->work, p->work);
        if (cq_aead_open_batch(p->aead, p->ops + at, num) != CQ_OK)
            return false;
    }
    cq_bench_consume(p->work);
    return true;
}

static const struct cq_bench_kind seal_kind = {
    .unit = "ns/op",
    .things = "packets",
    .setup = setup_seal,
    .run = run_seal,
    .teardown = free_packets,
};

static const struct cq_bench_kind open_kind = {
    .unit = "ns/op",
    .things = "packets",
    .setup = setup_open,
    .prepare = prepare_open,
    .run = run_open,
    .teardown = free_packets,
};

static void add_packets(struct cq_bench_suite *suite, const struct cq_bench_kind *kind,
                        const char *verb, struct cq_bench_params params)
{
    const char *name = cq_suite_name(params.suite);
    struct cq_bench_case *c;

    params.slots = params.size > 2048 ? 8 : 64;
    if (params.batch == 0) {
        params.batch = params.slots;
        c = cq_bench_add(suite, kind, &params, "%s/%s/%zu", verb, name, params.size);
        /* What CrypRQ promises of packets per second, and what its authors aim for. */
        if (kind == &seal_kind && params.size == 1420) {
            c->promise = 1e9 / 10000;
            if (params.suite == CQ_SUITE_AES_256_GCM)
                c->mark = 1e9 / 3000000;
        }
    } else {
        c = cq_bench_add(suite, kind, &params, "%s/%s/%zu/batch-%u", verb, name, params.size,
                         params.batch);
    }
    if (kind == &open_kind)
        c->chunk = params.slots;
}

void cq_bench_add_crypto(struct cq_bench_suite *suite)
{
    static const unsigned suites[] = {CQ_SUITE_AES_256_GCM, CQ_SUITE_CHACHA20_POLY1305};
    static const size_t sizes[] = {64, 512, 1420, 16384};
    static const unsigned batches[] = {1, 8};

    for (int s = 0; s < 2; s++) {
        for (int i = 0; i < 4; i++) {
            struct cq_bench_params params = {.suite = suites[s], .size = sizes[i]};
            add_packets(suite, &seal_kind, "seal", params);
            add_packets(suite, &open_kind, "open", params);
        }
        for (int i = 0; i < 2; i++) {
            struct cq_bench_params params = {.suite = suites[s], .size = 1420, .batch = batches[i]};
            add_packets(suite, &seal_kind, "seal", params);
            add_packets(suite, &open_kind, "open", params);
        }
    }
}
