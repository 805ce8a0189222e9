/*
 * The clock of the daemon: CLOCK_BOOTTIME, which never jumps and counts while the machine sleeps.
 * Any thread.
 */
#ifndef CQ_OS_CLOCK_H
#define CQ_OS_CLOCK_H

#include "base/err.h"
#include "base/time.h"

/* Nanoseconds since some moment before the machine started; never decreases. */
cq_time cq_clock_now(void);

/* Nanoseconds since 1970-01-01 UTC by the wall clock: for people to read, never for the protocol.
 */
cq_time cq_clock_wall(void);

/* A timer descriptor on the same clock as cq_clock_now, readable once its time has come
 * (non-blocking, close-on-exec). CQ_ERR_IO (errno). */
CQ_MUST_CHECK enum cq_err cq_clock_timer(int *out_fd);

/* Sets the timer to an absolute time (a past one fires at once), or stops it with CQ_TIME_NEVER;
 * also takes back a firing that was not read. */
void cq_clock_timer_set(int fd, cq_time at);

#endif
