#include "bench/measure.h"

#include "os/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static enum cq_err fail(const struct cq_bench_case *c, const char *what,
                        struct cq_bench_failure *out)
{
    snprintf(out->text, sizeof(out->text), "%s: %s", c->name, what);
    return CQ_ERR_STATE;
}

__attribute__((noinline)) bool cq_bench_measured_ops(struct cq_bench_case *c, uint64_t ops,
                                                     int64_t *out_ns)
{
    uint64_t chunk = c->chunk != 0 ? c->chunk : ops;

    *out_ns = 0;
    while (ops > 0) {
        uint64_t n = ops < chunk ? ops : chunk;
        if (c->kind->prepare != NULL && !c->kind->prepare(c->ctx, n))
            return false;
        cq_time begin = cq_clock_now();
        if (!c->kind->run(c->ctx, n))
            return false;
        *out_ns += cq_clock_now() - begin;
        ops -= n;
    }
    return true;
}

/* The shorter one of two runs: whoever is interrupted once for a while is not taken to be slow. */
static bool shorter_of_two(struct cq_bench_case *c, uint64_t ops, int64_t *out_ns)
{
    int64_t first = 0, second = 0;

    if (!cq_bench_measured_ops(c, ops, &first) || !cq_bench_measured_ops(c, ops, &second))
        return false;
    *out_ns = first < second ? first : second;
    return true;
}

/* Warms up and finds how many operations take batch_ns: twice as many each time until they take a
 * quarter of it. */
static bool calibrate(struct cq_bench_case *c, int64_t batch_ns)
{
    int64_t took = 0;

    for (uint64_t ops = 1;; ops *= 2) {
        if (!shorter_of_two(c, ops, &took))
            return false;
        if (took < batch_ns / 4 && ops < UINT64_C(1) << 40)
            continue;
        double scaled = (double)ops * (double)batch_ns / (double)(took > 0 ? took : 1);
        c->ops = scaled > 1 ? (uint64_t)scaled : 1;
        return true;
    }
}

static bool make(struct cq_bench_case *c, const struct cq_bench_options *options)
{
    size_t room = c->kind->value != NULL ? 1 : options->batches;

    c->samples = calloc(room, sizeof(*c->samples));
    if (c->samples == NULL)
        return false;
    c->ctx = c->kind->setup(&c->params);
    return c->ctx != NULL;
}

/* One sample, or all there is where it is measured once. */
static bool sample(struct cq_bench_case *c)
{
    int64_t took = 0;

    if (c->kind->value != NULL) {
        c->ops = 1;
        if (c->num_samples == 0 && !c->kind->value(c->ctx, &c->samples[c->num_samples++]))
            return false;
        return true;
    }
    if (!cq_bench_measured_ops(c, c->ops, &took))
        return false;
    c->samples[c->num_samples++] = (double)took / (double)c->ops;
    return true;
}

static void show_progress(const struct cq_bench_options *options, unsigned round)
{
    if (!options->progress)
        return;
    fprintf(stderr, round < options->batches ? "\rround %u of %u" : "\r\033[K", round + 1,
            options->batches);
}

static enum cq_err run_once(struct cq_bench_case *c, uint64_t ops, struct cq_bench_failure *out)
{
    int64_t took = 0;

    if (c->kind->value != NULL)
        return sample(c) ? CQ_OK : fail(c, "the benchmark failed", out);
    c->ops = ops;
    return cq_bench_measured_ops(c, ops, &took) ? CQ_OK : fail(c, "the benchmark failed", out);
}

enum cq_err cq_bench_measure(struct cq_bench_suite *suite, const struct cq_bench_options *options,
                             struct cq_bench_failure *out)
{
    int64_t batch_ns = (int64_t)options->batch_ms * CQ_NS_PER_MS;

    for (size_t i = 0; i < suite->num; i++) {
        struct cq_bench_case *c = &suite->cases[i];
        if (!c->selected)
            continue;
        if (!make(c, options))
            return fail(c, "the benchmark cannot be prepared", out);
        if (options->ops > 0) {
            enum cq_err err = run_once(c, options->ops, out);
            if (err != CQ_OK)
                return err;
        } else if (c->kind->value == NULL && !calibrate(c, batch_ns)) {
            return fail(c, "the benchmark failed", out);
        }
    }
    for (unsigned round = 0; options->ops == 0 && round < options->batches; round++) {
        show_progress(options, round);
        for (size_t i = 0; i < suite->num; i++)
            if (suite->cases[i].selected && !sample(&suite->cases[i]))
                return fail(&suite->cases[i], "the benchmark failed", out);
    }
    show_progress(options, options->batches);
    return CQ_OK;
}
