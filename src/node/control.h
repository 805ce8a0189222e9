/*
 * The control thread of a node: owns the engine and the control side of the path, the
 * packet workers, the clients of the control socket and the connection to the monitor. It waits for
 * all of them at once and for none in particular; a handshake or a client never delays a packet.
 * Everything here belongs to this one thread.
 */
#ifndef CQ_NODE_CONTROL_H
#define CQ_NODE_CONTROL_H

#include "base/time.h"
#include "conf/config.h"
#include "engine/engine.h"
#include "node/handover.h"
#include "node/reconfigure.h"
#include "node/revive.h"
#include "node/source.h"
#include "node/worker.h"

#include <stdbool.h>
#include <stdint.h>

struct cq_clients;

struct cq_control {
    /* The caller's, for the life of the control thread. */
    struct cq_conf *conf;         /* its content is replaced by a change (node/reconfigure.h) */
    struct cq_identity *identity; /* in secret memory; another one after a change */
    struct cq_handover_start start;
    struct cq_reconfigure prepared;
    /* Owned. */
    struct cq_path *path;
    struct cq_worker *workers[CQ_PATH_MAX_WORKERS];
    unsigned num_workers; /* as many as were started */
    struct cq_engine *engine;
    struct cq_clients *clients;
    struct cq_source source;
    struct cq_revive revive;
    uint32_t *numbers; /* of the engine, by index in conf->peers */
    uint32_t *indices; /* the reverse, by number; num_indices of them */
    uint32_t num_indices;
    int epoll_fd, timer_fd; /* -1: none */
    cq_time started;
    uint64_t overflows;   /* of the workers' queues of handshake datagrams, as last seen */
    unsigned next_worker; /* whose handshake datagrams come next */
    /* An action that a worker could not take yet; until it can, nothing new is given to the
     * engine. Those before next_commanded have it already. */
    struct cq_action blocked;
    bool is_blocked;
    unsigned next_commanded;
    bool worked; /* secrets may be left on the stack */
    bool ending;
};

/*
 * Makes path, worker, engine with all peers, and what is waited for. replied[i]: the cache says
 * that peer i has replied before. On error *reason (static storage) says what could not be made,
 * and cq_control_end takes back the rest. CQ_ERR_*: what the part gave.
 */
CQ_MUST_CHECK enum cq_err cq_control_init(struct cq_control *control, struct cq_conf *conf,
                                          const bool *replied, struct cq_identity *identity,
                                          const struct cq_handover_start *start,
                                          const char **reason);

/* Serves until the monitor asks for the end or is gone; the peers have been told then. */
void cq_control_run(struct cq_control *control);

/* Stops the workers and lets go of the clients. Engine and path stay as they are: their memory is
 * wiped as a whole by the process that ends (one by one, ten thousands of peers would take
 * seconds). A zeroed control is allowed. */
void cq_control_end(struct cq_control *control);

/* Waits for a client's descriptor as well, or for another event on it; cq_clients_ready is called
 * with it. CQ_ERR_IO. */
enum cq_watch { CQ_WATCH_END /* of the connection only */, CQ_WATCH_READ, CQ_WATCH_WRITE };
CQ_MUST_CHECK enum cq_err cq_control_watch(struct cq_control *control, int fd, enum cq_watch watch);

/* For node/reconfigure.h: what the configuration says about handshakes; carrying out what the
 * engine wants; who is who after peers came or went (control->indices has room); metrics of other
 * peers (the descriptors are taken over, -1: there is no server). */
void cq_control_fill_options(struct cq_engine_config *out, const struct cq_conf *conf);
void cq_control_act(struct cq_control *control);
void cq_control_index_peers(struct cq_control *control);
void cq_control_renew_source(struct cq_control *control, int socket, int memory, size_t len);

#endif
