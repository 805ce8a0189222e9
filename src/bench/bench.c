#include "bench/bench.h"

#include "base/secret.h"
#include "bench/machine.h"
#include "bench/measure.h"
#include "bench/probe.h"
#include "bench/report.h"
#include "bench/suite.h"
#include "crypto/crypto.h"

#include <stdio.h>

enum { ARENA_MAX = 512 << 20 };

static void fill(struct cq_bench_suite *suite)
{
    cq_bench_add_handshake(suite);
    cq_bench_add_crypto(suite);
    cq_bench_add_path(suite);
    cq_bench_add_tables(suite);
    cq_bench_add_memory(suite);
}

/* Memory as a node has it: libcrypto's too lies in the arena. Locked only where the limits let it.
 */
static enum cq_err init(struct cq_bench_failure *out)
{
    enum cq_err err = cq_secret_init(ARENA_MAX, false);

    if (err == CQ_OK)
        err = cq_crypto_init(true);
    if (err != CQ_OK)
        snprintf(out->text, sizeof(out->text), "cannot begin: %s", cq_err_text(err));
    return err;
}

static enum cq_err measure(struct cq_bench_suite *suite, const struct cq_bench_options *options,
                           struct cq_bench_failure *out)
{
    struct cq_bench_machine machine;
    enum cq_err err = init(out);
    int cpu = cq_bench_pin();

    if (err == CQ_OK)
        err = cq_bench_measure(suite, options, out);
    if (err != CQ_OK)
        return err;
    cq_bench_machine_read(&machine, cpu);
    if (!options->json) {
        cq_bench_report_text(suite, &machine, options);
        return CQ_OK;
    }
    err = cq_bench_report_json(suite, &machine, options);
    if (err == CQ_ERR_NOMEM)
        snprintf(out->text, sizeof(out->text), "cannot write: %s", cq_err_text(err));
    return err == CQ_ERR_IO ? CQ_OK : err; /* the caller looks at standard output */
}

enum cq_err cq_bench_run(const struct cq_bench_options *options, struct cq_bench_failure *out)
{
    struct cq_bench_suite suite = {0};
    enum cq_err err = CQ_ERR_STATE;

    out->text[0] = '\0';
    fill(&suite);
    if (suite.failed)
        snprintf(out->text, sizeof(out->text), "the list of benchmarks is broken");
    else
        err = cq_bench_select(&suite, options->only, out);
    if (err == CQ_OK && options->list)
        cq_bench_report_list(&suite);
    else if (err == CQ_OK)
        err = measure(&suite, options, out);
    cq_bench_suite_free(&suite);
    return err;
}

enum cq_err cq_bench_probe(const char *what)
{
    struct cq_bench_failure failure;
    double value = 0;
    enum cq_err err = init(&failure);

    if (err == CQ_OK)
        err = cq_bench_probe_self(what, &value);
    if (err == CQ_OK)
        printf("%.0f\n", value);
    return err;
}
