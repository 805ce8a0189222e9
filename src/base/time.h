/*
 * Time: signed 64-bit nanoseconds on a clock that never jumps and counts while the machine sleeps
 * (CLOCK_BOOTTIME in the daemon, virtual time in tests). Pure code gets `now` as an argument and
 * never reads a clock.
 */
#ifndef CQ_BASE_TIME_H
#define CQ_BASE_TIME_H

#include <stdint.h>

typedef int64_t cq_time; /* ns */

#define CQ_NS_PER_MS INT64_C(1000000)
#define CQ_NS_PER_S INT64_C(1000000000)
#define CQ_TIME_NEVER INT64_MAX

static inline cq_time cq_time_min(cq_time a, cq_time b)
{
    return a < b ? a : b;
}

static inline cq_time cq_time_max(cq_time a, cq_time b)
{
    return a > b ? a : b;
}

#endif
