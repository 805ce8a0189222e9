/*
 * Child processes of the privileged side: hook commands, and watching processes by descriptor.
 * Single-threaded callers.
 */
#ifndef CQ_OS_PROCESS_H
#define CQ_OS_PROCESS_H

#include "base/err.h"
#include "base/time.h"

#include <stdbool.h>
#include <sys/types.h>

/* The name that ps and top show for this process (at most 15 characters). */
void cq_process_set_name(const char *name);

/* A descriptor that becomes readable when the process ends. CQ_ERR_NOTFOUND, CQ_ERR_IO. */
CQ_MUST_CHECK enum cq_err cq_process_watch(pid_t pid, int *out_fd);

/* Sends a signal to the process of a watch descriptor. CQ_ERR_NOTFOUND (it has ended), CQ_ERR_PERM,
 * CQ_ERR_IO. */
CQ_MUST_CHECK enum cq_err cq_process_signal(int watch_fd, int signal);

/* Whether the watched process ended within the time. */
bool cq_process_wait_end(int watch_fd, cq_time timeout);

/* How many processors this process may run on; at least 1. */
unsigned cq_process_num_cpus(void);

/*
 * The calling thread's priority among others ("nice", -20 to 19, less is more); threads that it
 * starts have the same. To ask for more takes a privilege, and a refusal is no failure.
 */
int cq_process_nice(void);
void cq_process_set_nice(int nice);

/* Closes all descriptors from 3 on but `keep` (num_keep of them, ascending). */
void cq_process_close_others(const int *keep, int num_keep);

/*
 * Runs `command` with /bin/sh -c in a process group of its own, with every "%i" replaced by
 * `interface`: standard input empty, standard output and error are our standard error, no other
 * descriptor, default signals. Waits for its end, but no longer than `timeout`, and not once
 * interrupt_fd (-1: none) is readable: the group is then ended. CQ_OK: exit status 0; CQ_ERR_STATE:
 * another one (*out_status as of wait(2)); CQ_ERR_EXPIRED: ended for time or interruption;
 * CQ_ERR_RANGE: too long; CQ_ERR_IO.
 */
CQ_MUST_CHECK enum cq_err cq_process_run_hook(const char *command, const char *interface,
                                              int interrupt_fd, cq_time timeout, int *out_status);

#endif
