/*
 * Order statistics of samples. Pure.
 */
#ifndef CQ_BENCH_STAT_H
#define CQ_BENCH_STAT_H

#include <stddef.h>

struct cq_bench_stat {
    double median;
    double low, high; /* 95 % confidence interval of the median; the extremes where there are too
                         few samples for one */
};

/* num >= 1; sorts the samples. */
struct cq_bench_stat cq_bench_stat_of(double *samples, size_t num);

#endif
