/*
 * The monitor's side of the metrics server: its listening socket, the memory that it shares with
 * the node, its process, which is started again when it ends. Nothing of this is needed for the
 * tunnel. Single-threaded, like the monitor.
 */
#ifndef CQ_NODE_METRICS_H
#define CQ_NODE_METRICS_H

#include "base/addr.h"
#include "base/time.h"
#include "conf/config.h"
#include "node/failure.h"
#include "node/logging.h"
#include "node/snapshot.h"
#include "os/notify.h"
#include "os/sandbox.h"

#include <stdbool.h>
#include <sys/types.h>

/* What the server is told. */
struct cq_metrics_start {
    int listener, source, memory; /* descriptors that it was given */
    struct cq_addr addr;          /* of listener */
    struct cq_sandbox_user user;
    struct cq_logging logging; /* filled in by the server's process before it is executed */
    uint32_t max_peers;
    bool wireguard;
    char token[CQ_CONF_METRICS_TOKEN_MAX + 1]; /* "": none */
};

struct cq_metrics {
    const char *interface;
    struct cq_addr addr; /* where it listens; family NONE: there is no server */
    struct cq_snapshot snapshot;
    int node_end; /* of the socket pair to the server, for the node; -1 once the node has it */
    int channel;  /* to the server; -1: it does not run */
    pid_t pid;    /* 0: it does not run */
    struct cq_metrics_start start;
    enum cq_notify_sink sink;
    cq_time started, again_at, backoff;
};

/* Nothing is there yet. */
void cq_metrics_init(struct cq_metrics *metrics);

/* Takes the address and makes what server and node will share. True also where there will be no
 * server: it is off, or (with a warning) no port is free. False: *failure says why. */
bool cq_metrics_open(struct cq_metrics *metrics, const struct cq_conf *conf,
                     struct cq_failure *failure);

/* Starts the process; the node has its descriptors by now (metrics->node_end is closed). */
void cq_metrics_start(struct cq_metrics *metrics, const struct cq_sandbox_user *user,
                      enum cq_notify_sink sink);

/* What server and node will share for another configuration, and the server's change to it, which
 * is a new process at the same address. Without a server nothing is there. */
struct cq_metrics_renewal {
    bool is_there;
    struct cq_snapshot snapshot;
    int node_end, source, memory;
};
bool cq_metrics_renew(struct cq_metrics_renewal *out, const struct cq_metrics *metrics,
                      const struct cq_conf *conf, struct cq_failure *failure);
void cq_metrics_renewal_close(struct cq_metrics_renewal *renewal);
/* The node has its own descriptors by now. */
void cq_metrics_switch(struct cq_metrics *metrics, struct cq_metrics_renewal *renewal, cq_time now);

/* The interface is up, or on its way down. */
void cq_metrics_set_ready(struct cq_metrics *metrics, bool ready);

/* The channel is readable. node: the process. */
void cq_metrics_serve(struct cq_metrics *metrics, pid_t node);

/* A child has ended: was it the server? It is started again later. */
void cq_metrics_reap(struct cq_metrics *metrics, cq_time now);

/* When cq_metrics_update has work; CQ_TIME_NEVER: not at all. */
cq_time cq_metrics_next(const struct cq_metrics *metrics);
void cq_metrics_update(struct cq_metrics *metrics, cq_time now);

/* Ends the process and lets everything go. */
void cq_metrics_end(struct cq_metrics *metrics);

#endif
