/*
 * Benchmarks of the parts that need no network (`cryprq bench`): what to run, how often, and in
 * which form to tell. Measures in the calling thread; no other thread of the process may be busy.
 * What each benchmark does is said in the files cases_*.c.
 */
#ifndef CQ_BENCH_BENCH_H
#define CQ_BENCH_BENCH_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CQ_BENCH_NAME_MAX = 64, /* with the final zero */
    CQ_BENCH_BATCHES_MAX = 1000,
    CQ_BENCH_BATCH_MS_MAX = 10000,
};

struct cq_bench_options {
    const char *only;  /* prefixes of names with commas between them; NULL: all */
    unsigned batches;  /* samples of each benchmark, 1 to CQ_BENCH_BATCHES_MAX */
    unsigned batch_ms; /* how long each is to take, 1 to CQ_BENCH_BATCH_MS_MAX */
    uint64_t ops;      /* not 0: run each once with so many operations and measure no time, for
                          tools that count instructions or allocations */
    bool list, json, progress;
};

/* What went wrong, for people; empty: nothing. */
struct cq_bench_failure {
    char text[160];
};

/*
 * Runs what the options ask for and writes the result to standard output (its errors are the
 * caller's to look for). CQ_ERR_NOTFOUND: a prefix names no benchmark. Any other error: one of
 * them, or the preparation, failed. *out says what.
 */
CQ_MUST_CHECK enum cq_err cq_bench_run(const struct cq_bench_options *options,
                                       struct cq_bench_failure *out);

/*
 * What a child of the benchmarks of memory does, which they start as "cryprq bench --probe WHAT":
 * measures its own memory, undisturbed by what other benchmarks left behind, and writes a number to
 * standard output. CQ_ERR_NOTFOUND: no such probe; any other error: it failed.
 */
CQ_MUST_CHECK enum cq_err cq_bench_probe(const char *what);

#endif
