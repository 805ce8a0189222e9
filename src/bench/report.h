/*
 * Writing results to standard output, for people or as JSON (members: docs/benchmark.md).
 */
#ifndef CQ_BENCH_REPORT_H
#define CQ_BENCH_REPORT_H

#include "bench/machine.h"
#include "bench/suite.h"

/* Sorts the samples. */
void cq_bench_report_text(struct cq_bench_suite *suite, const struct cq_bench_machine *machine,
                          const struct cq_bench_options *options);

/* CQ_ERR_NOMEM, CQ_ERR_IO. */
CQ_MUST_CHECK enum cq_err cq_bench_report_json(const struct cq_bench_suite *suite,
                                               const struct cq_bench_machine *machine,
                                               const struct cq_bench_options *options);

void cq_bench_report_list(const struct cq_bench_suite *suite);

#endif
