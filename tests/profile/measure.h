/*
 * Rows of work for scripts/profile.sh: each is a piece of the deterministic core with fixed input
 * and randomness, prepared by one function and done by another. A profiler that collects inside
 * profile_measure alone sees exactly the second.
 */
#ifndef CQ_PROFILE_MEASURE_H
#define CQ_PROFILE_MEASURE_H

#include <stddef.h>
#include <stdint.h>

struct measure_row {
    const char *name;
    const char *unit;                               /* what the count is divided by: "packet" */
    unsigned num;                                   /* units in one run */
    void (*prepare)(const struct measure_row *row); /* before each run, not measured */
    void (*run)(const struct measure_row *row);
    /* Whatever prepare and run make of them. */
    uint8_t suite; /* enum cq_suite */
    uint16_t size;
    uint8_t version, proto;
};

/*
 * The main function of such a program. Without arguments each row is run twice, of which the second
 * run is measured, and its name, unit and number go to standard output, in the order of the runs,
 * after a line that names libcrypto.
 *
 *   --only TEXT   only rows with TEXT in their names; may be repeated
 *   --times N     measures each row N times
 */
int measure_main(int argc, char **argv, const struct measure_row *rows, size_t num_rows);

/* Runs the row once. The name is what the profiler is told. */
void profile_measure(const struct measure_row *row);

#endif
