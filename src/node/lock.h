/*
 * Who runs an interface: RUNTIME_DIR/NAME.pid, locked in two ways. flock(2), held by monitor and
 * keeper together, says that the interface is in use or being put back; a record lock (fcntl) of
 * the monitor alone says who it is, in a way that cannot go stale: the kernel gives its PID.
 * Single-threaded.
 */
#ifndef CQ_NODE_LOCK_H
#define CQ_NODE_LOCK_H

#include "base/err.h"
#include "base/time.h"

#include <stdbool.h>
#include <sys/types.h>

struct cq_lock {
    int fd; /* -1: none. A child that keeps it open holds the flock as well */
};

/* Takes both locks. While a keeper still puts things back it is waited for, no longer than
 * `patience`. CQ_ERR_EXISTS: the interface is running, *out_holder is its monitor (0: its keeper);
 * CQ_ERR_IO (errno), CQ_ERR_RANGE. */
CQ_MUST_CHECK enum cq_err cq_lock_take(struct cq_lock *lock, const char *name, cq_time patience,
                                       pid_t *out_holder);

/* Removes the file and lets go. */
void cq_lock_release(struct cq_lock *lock, const char *name);

/* The monitor of a running interface; 0: only a keeper is there. CQ_ERR_NOTFOUND: nobody; CQ_ERR_IO
 * (errno). */
CQ_MUST_CHECK enum cq_err cq_lock_holder(const char *name, pid_t *out_holder);

/* Waits until nobody holds the lock any more. False: time is up. */
bool cq_lock_wait_free(const char *name, cq_time patience);

#endif
