/*
 * Running benchmarks: warm-up, calibration, and rounds over all of them, so that a machine that
 * becomes slower does so for all alike. One thread.
 */
#ifndef CQ_BENCH_MEASURE_H
#define CQ_BENCH_MEASURE_H

#include "bench/suite.h"

/* Makes contexts and samples of all selected benchmarks. Any error is of one of them; *out says
 * which. */
CQ_MUST_CHECK enum cq_err cq_bench_measure(struct cq_bench_suite *suite,
                                           const struct cq_bench_options *options,
                                           struct cq_bench_failure *out);

/* `ops` operations of a benchmark; *out_ns: what they took, without their preparation. Everything
 * that is measured happens below this function, which tools may therefore look for. */
bool cq_bench_measured_ops(struct cq_bench_case *c, uint64_t ops, int64_t *out_ns);

#endif
