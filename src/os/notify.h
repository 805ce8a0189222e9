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

/* Makes standard error a connection to the system log (/dev/log), to which each written line is a
 * message. False when there is none (nothing changed then). */
bool cq_notify_redirect_stderr(void);

#endif
