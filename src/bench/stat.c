#include "bench/stat.h"

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/*
 * How many samples at each end lie outside the interval: the median is above the k-th smallest and
 * below the k-th largest unless fewer than k of num fair coins show heads (or tails). The largest k
 * for which that happens in at most 2.5 % of cases for each side.
 */
static size_t outside(size_t num)
{
    double chance = 1, sum = 0; /* of exactly k heads, and of at most k */
    size_t k = 0;

    for (size_t i = 0; i < num; i++)
        chance /= 2;
    /* CQ_BENCH_BATCHES_MAX keeps this a number that a double holds. */
    for (; k < num / 2; k++) {
        sum += chance;
        if (sum > 0.025)
            break;
        chance = chance * (double)(num - k) / (double)(k + 1);
    }
    return k;
}

struct cq_bench_stat cq_bench_stat_of(double *samples, size_t num)
{
    size_t out = outside(num);

    qsort(samples, num, sizeof(*samples), compare);
    if (out > 0)
        out--;
    return (struct cq_bench_stat){
        .median = (samples[(num - 1) / 2] + samples[num / 2]) / 2,
        .low = samples[out],
        .high = samples[num - 1 - out],
    };
}
