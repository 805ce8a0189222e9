/* Between simulate.c, which runs seeds, and what builds on that (simulate_test.c). */
#ifndef CQ_SIM_SIMULATE_H
#define CQ_SIM_SIMULATE_H

#include "world.h"

enum { MAX_JOBS = 64 };

struct result {
    uint64_t seed, hash, faults; /* a bit per fault */
    unsigned num_violations, num_faults, num_nodes;
    struct world_violation first;
    struct world_totals totals;
};

struct request {
    struct world_options options;
    uint64_t first_seed;
    unsigned seeds, jobs;
    bool progress;
};

void simulate_run(const struct world_options *options, struct result *out);
/* How many seeds failed, the first of them in *first_failure. */
unsigned simulate_seeds(const struct request *request, struct world_totals *sum,
                        struct result *first_failure);
void simulate_table(const char *scenario, unsigned seeds, const struct world_totals *totals,
                    unsigned failures);

/* Reduces a failing run as long as the same property fails, and prints what is left. */
void simulate_shrink(const struct world_options *options, const struct result *failure);
/* Exit statuses. */
int simulate_self_test(void);
int simulate_determinism(void);

#endif
