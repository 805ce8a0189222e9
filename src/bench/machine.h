/*
 * What a result depends on besides the program: processor, kernel, and how this process runs. One
 * thread.
 */
#ifndef CQ_BENCH_MACHINE_H
#define CQ_BENCH_MACHINE_H

#include <stdbool.h>

struct cq_bench_machine {
    char cpu[128];    /* its name, "unknown" where /proc does not tell */
    char flags[256];  /* of its features, those that the code's speed depends on, with blanks */
    char kernel[128]; /* "Linux 6.1.0 x86_64" */
    char virtual_machine[32]; /* "hypervisor" or empty */
    long cores;
    int pinned_to; /* the CPU that this process may run on; -1: any */
};

/* Pins the process to the CPU it runs on, where it may. Gives that CPU, or -1. */
int cq_bench_pin(void);

void cq_bench_machine_read(struct cq_bench_machine *out, int pinned_to);

#endif
