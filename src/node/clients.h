/*
 * The clients of the control socket (conf/control.h): several at once, none waited for, bounded in
 * number, size and time. Control thread.
 */
#ifndef CQ_NODE_CLIENTS_H
#define CQ_NODE_CLIENTS_H

#include "base/err.h"
#include "base/event.h"
#include "base/time.h"

#include <stddef.h>

struct cq_control;
struct cq_clients;

enum {
    CQ_CLIENTS_MAX = 16,         /* one more is told so, or the one that has been silent longest */
    CQ_CLIENTS_WATCHERS_MAX = 8, /* of them */
};

CQ_MUST_CHECK enum cq_err cq_clients_new(struct cq_clients **out, struct cq_control *control);
/* Closes all; NULL is allowed. */
void cq_clients_free(struct cq_clients *clients);

/* The listening socket is readable: takes all who wait. */
void cq_clients_accept(struct cq_clients *clients, int listener, cq_time now);

/* A client's descriptor can be read or written. */
void cq_clients_ready(struct cq_clients *clients, int fd, cq_time now);

/* Tells those who watch of an event of another process: its line of JSON, without a newline. */
void cq_clients_tell(struct cq_clients *clients, enum cq_event event, const char *line, size_t len);

/* To be called after the engine did something: answers rotations that have come to an end, closes
 * clients whose time is over. */
void cq_clients_update(struct cq_clients *clients, cq_time now);

/* Peers have other indices in the configuration from now on: to_after[old], negative: it is gone.
 */
void cq_clients_reconfigured(struct cq_clients *clients, const int *to_after);

/* The next time at which cq_clients_update has work; CQ_TIME_NEVER: none. */
cq_time cq_clients_next_expiry(const struct cq_clients *clients);

#endif
