/*
 * Memory of a process of its own: an engine and path with so many peers. One thread.
 */
#ifndef CQ_BENCH_PROBE_H
#define CQ_BENCH_PROBE_H

#include "base/err.h"

#include <stdbool.h>

/* Starts this program once more to measure `what`, and takes the number it writes. False: it did
 * not write one. */
bool cq_bench_probe_child(const char *what, double *out);

/*
 * In the child: "peer" and "session" give bytes of secret memory that each costs, "rss/NUMBER" the
 * peak of resident memory with so many peers and traffic with one of them. CQ_ERR_NOTFOUND (no
 * such probe), CQ_ERR_STATE (it failed).
 */
CQ_MUST_CHECK enum cq_err cq_bench_probe_self(const char *what, double *out);

#endif
