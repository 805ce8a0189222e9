/*
 * The service manager's protocol (sd_notify): state lines to the socket of NOTIFY_SOCKET, and
 * whether standard error is the journal. Without a service manager nothing happens. Any thread.
 */
#ifndef CQ_OS_NOTIFY_H
#define CQ_OS_NOTIFY_H

#include <stdbool.h>

/* Sends "READY=1", "STOPPING=1", "STATUS=...". Failures are of no consequence. */
void cq_notify(const char *state);

/* Whether JOURNAL_STREAM names what standard error is connected to. */
bool cq_notify_stderr_is_journal(void);

/* A socket for the journal's native protocol (non-blocking, close-on-exec), or -1. */
int cq_notify_journal_socket(void);

/* Where lines for standard error go once a process has left its terminal. */
enum cq_notify_sink {
    CQ_NOTIFY_STAY,       /* where they went before: a regular file or the journal */
    CQ_NOTIFY_SYSTEM_LOG, /* /dev/log, each written line a message */
    CQ_NOTIFY_NOWHERE,
};
enum cq_notify_sink cq_notify_background_sink(void);

/* Makes standard error lead there, and standard output to the same place. */
void cq_notify_redirect(enum cq_notify_sink sink);

#endif
