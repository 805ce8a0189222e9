/*
 * What a process uses, as /proc tells it. Stateless; any thread.
 */
#ifndef CQ_OS_PROCINFO_H
#define CQ_OS_PROCINFO_H

#include "base/err.h"

#include <stdint.h>
#include <sys/types.h>

struct cq_procinfo {
    uint64_t cpu_ms;           /* user and system time, all threads */
    uint64_t resident_bytes;   /* shared pages count */
    uint64_t virtual_bytes;    /* address space */
    uint32_t num_threads;      /* 0: the process is not known */
    uint32_t num_fds, max_fds; /* open descriptors, and their limit */
    int64_t started_ms;        /* since 1970-01-01 UTC */
};

/* CQ_ERR_NOTFOUND (no such process, or /proc cannot be read): *out is zeroed. */
CQ_MUST_CHECK enum cq_err cq_procinfo_read(pid_t pid, struct cq_procinfo *out);

#endif
