#include "bench/report.h"

#include "config.h"
#include "crypto/aead.h"
#include "crypto/crypto.h"

#include <jansson.h>
#include <stdio.h>

static json_t *program(void)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "version", CQ_VERSION, "compiler", CQ_COMPILER,
                     "libcrypto", cq_crypto_version(), "backend", cq_aead_backend());
}

static json_t *machine_of(const struct cq_bench_machine *m)
{
    /* "Replaced" in a name that is no UTF-8: whatever, but valid JSON. */
    return json_pack("{s:s%, s:I, s:s, s:s, s:b, s:i}", "cpu", m->cpu, sizeof(m->cpu), "cores",
                     (json_int_t)m->cores, "kernel", m->kernel, "flags", m->flags, "virtual",
                     m->virtual_machine[0] != '\0', "pinned_to", m->pinned_to);
}

static json_t *samples_of(const struct cq_bench_case *c)
{
    json_t *samples = json_array();

    for (size_t i = 0; i < c->num_samples; i++)
        if (json_array_append_new(samples, json_real(c->samples[i])) != 0) {
            json_decref(samples);
            return NULL;
        }
    return samples;
}

static json_t *limit(double value)
{
    return value >= 0 ? json_real(value) : json_null();
}

static json_t *result_of(const struct cq_bench_case *c)
{
    return json_pack("{s:s, s:s, s:s, s:o, s:I, s:I, s:s, s:o, s:o}", "name", c->name, "unit",
                     c->kind->unit, "things", c->kind->things, "samples", samples_of(c),
                     "ops_per_sample", (json_int_t)c->ops, "bytes_per_op",
                     (json_int_t)c->bytes_per_op, "better", "lower", "promise", limit(c->promise),
                     "mark", limit(c->mark));
}

static json_t *results_of(const struct cq_bench_suite *suite)
{
    json_t *results = json_array();

    for (size_t i = 0; i < suite->num; i++)
        if (suite->cases[i].num_samples > 0 &&
            json_array_append_new(results, result_of(&suite->cases[i])) != 0) {
            json_decref(results);
            return NULL;
        }
    return results;
}

enum cq_err cq_bench_report_json(const struct cq_bench_suite *suite,
                                 const struct cq_bench_machine *machine,
                                 const struct cq_bench_options *options)
{
    enum cq_err err = CQ_OK;
    json_t *all = json_pack("{s:i, s:o, s:o, s:i, s:i, s:o}", "schema", 1, "program", program(),
                            "machine", machine_of(machine), "batches", (int)options->batches,
                            "batch_ms", (int)options->batch_ms, "results", results_of(suite));

    if (all == NULL)
        return CQ_ERR_NOMEM;
    if (json_dumpf(all, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(8)) != 0 ||
        putchar('\n') == EOF)
        err = CQ_ERR_IO;
    json_decref(all);
    return err;
}
