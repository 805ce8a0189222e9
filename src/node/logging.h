/*
 * Where the log of the node's processes goes: found out by the privileged side, which may open
 * files and connect sockets, and used by each process for itself. Called by the thread that logs.
 */
#ifndef CQ_NODE_LOGGING_H
#define CQ_NODE_LOGGING_H

#include "base/log.h"
#include "os/logout.h"
#include "os/notify.h"

struct cq_logging {
    struct cq_logout_target target;
    enum cq_log_frame frame;
    enum cq_log_format format;
    enum cq_level level;
};

/* What standard error leads to now; sink: what was done to it. Under systemd that is the journal's
 * own socket if there is one. */
void cq_logging_find(struct cq_logging *out, enum cq_notify_sink sink);

/* This process logs there from now on; takes the target over. */
void cq_logging_use(const struct cq_logging *logging);

/* Both of it. */
void cq_logging_start(enum cq_notify_sink sink);

/* Writes what could not be written yet, and what is to be said about what never will be. */
void cq_logging_handle_expiry(const char *interface);

/* When that has work; CQ_TIME_NEVER: it has none. */
cq_time cq_logging_next_expiry(cq_time now);

/* The same at the end of a process: waits a moment for whoever takes the lines. */
void cq_logging_end(const char *interface);

#endif
