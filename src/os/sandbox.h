/*
 * Giving privileges up for good: user, capabilities, file system, core dumps and, last, the
 * system-call filter.
 */
#ifndef CQ_OS_SANDBOX_H
#define CQ_OS_SANDBOX_H

#include "base/err.h"

#include <stdbool.h>

/* Lets the process lock any amount of memory; needs privileges. CQ_ERR_IO. */
CQ_MUST_CHECK enum cq_err cq_sandbox_allow_memlock(void);

/* No core dumps, no debugger of the same user, no new privileges. CQ_ERR_IO. */
CQ_MUST_CHECK enum cq_err cq_sandbox_hide(void);

/*
 * Makes `scratch_dir`/… (a directory that is removed at once again, so that nothing can be made in
 * it) the root of this process. Needs privileges; to be called before cq_sandbox_drop. CQ_ERR_IO,
 * CQ_ERR_RANGE.
 */
CQ_MUST_CHECK enum cq_err cq_sandbox_chroot(const char *scratch_dir);

/* The user to become. */
struct cq_sandbox_user {
    unsigned uid, gid;
};

/* The number that name look-ups run under, as no other process does: so their packets can be told
 * from all others. It belongs to nobody by the conventions of distributions and systemd. */
enum { CQ_SANDBOX_RESOLVER_ID = 65529 };

/* The user `name` where it exists, else nobody. CQ_ERR_NOTFOUND. */
CQ_MUST_CHECK enum cq_err cq_sandbox_find_user(const char *name, struct cq_sandbox_user *out);

/* Becomes that user: no supplementary groups, no capability in any set, no way back (checked). With
 * keep_memlock the capability to lock memory stays, for a process that may not raise its limit
 * (cq_sandbox_allow_memlock) and would run into it. CQ_ERR_PERM. */
CQ_MUST_CHECK enum cq_err cq_sandbox_drop(const struct cq_sandbox_user *user, bool keep_memlock);

/*
 * Leaves to all threads of this process only the system calls that a running node makes (the list
 * stands in sandbox.c); any other one ends the process. No thread can be started afterwards.
 * Builds with a sanitizer get no filter. CQ_ERR_IO.
 */
CQ_MUST_CHECK enum cq_err cq_sandbox_filter(void);

/* The same for the metrics server, which opens no file, connects to nobody, starts nothing and can
 * signal no other process. */
CQ_MUST_CHECK enum cq_err cq_sandbox_filter_server(void);

#endif
