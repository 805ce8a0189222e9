/*
 * The list of benchmarks: each is a kind (functions) with parameters and a name. Contexts are made
 * for those that run only. One thread.
 */
#ifndef CQ_BENCH_SUITE_H
#define CQ_BENCH_SUITE_H

#include "base/err.h"
#include "bench/bench.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a kind may depend on; unused ones are zero. */
struct cq_bench_params {
    unsigned suite; /* enum cq_suite */
    size_t size;    /* bytes of payload */
    unsigned batch; /* packets handed over at a time */
    unsigned slots; /* packets that have a buffer */
    unsigned count; /* how many of something there are */
};

/*
 * Functions of a kind. `run` does `ops` operations; only that is timed. `prepare` makes what the
 * next `ops` operations need, untimed, and comes before each run; operations are done `chunk` at a
 * time then. A kind with `value` instead of `run` is measured once and has no samples over time.
 * False from a function: the benchmark failed.
 */
struct cq_bench_kind {
    const char *unit;   /* "ns/op", "bytes", "allocations/op" */
    const char *things; /* what an operation is, for rates: "packets" */
    uint64_t chunk;     /* most operations of one call of run; 0: any number */
    void *(*setup)(const struct cq_bench_params *params); /* NULL: failed */
    bool (*prepare)(void *ctx, uint64_t ops);
    bool (*run)(void *ctx, uint64_t ops);
    bool (*value)(void *ctx, double *out);
    void (*teardown)(void *ctx); /* NULL is allowed as argument */
};

struct cq_bench_case {
    char name[CQ_BENCH_NAME_MAX];
    const struct cq_bench_kind *kind;
    struct cq_bench_params params;
    size_t bytes_per_op;
    uint64_t chunk;       /* as the kind has it, unless set otherwise */
    double promise, mark; /* at most this much of the unit; below 0: none */
    bool selected;
    void *ctx;
    uint64_t ops; /* of one sample */
    double *samples;
    size_t num_samples;
};

struct cq_bench_suite {
    struct cq_bench_case *cases;
    size_t num, room;
    bool failed; /* out of memory while it was filled, or a name twice */
};

/* Adds a benchmark; the result is valid until the next is added. Never NULL. */
struct cq_bench_case *cq_bench_add(struct cq_bench_suite *suite, const struct cq_bench_kind *kind,
                                   const struct cq_bench_params *params, const char *name_format,
                                   ...) __attribute__((format(printf, 4, 5)));

/* Selects by prefixes (NULL: all). CQ_ERR_NOTFOUND with the first that names none. */
CQ_MUST_CHECK enum cq_err cq_bench_select(struct cq_bench_suite *suite, const char *prefixes,
                                          struct cq_bench_failure *out);

/* Tears contexts down and frees the list. */
void cq_bench_suite_free(struct cq_bench_suite *suite);

/* The compiler must assume that somebody reads what p points to. */
static inline void cq_bench_consume(const void *p)
{
    __asm__ volatile("" : : "r"(p) : "memory");
}

/* cases_*.c */
void cq_bench_add_crypto(struct cq_bench_suite *suite);
void cq_bench_add_handshake(struct cq_bench_suite *suite);
void cq_bench_add_memory(struct cq_bench_suite *suite);
void cq_bench_add_path(struct cq_bench_suite *suite);
void cq_bench_add_tables(struct cq_bench_suite *suite);

#endif
