/*
 * What the monitor gives to the node it starts: configuration with keys, cached public keys,
 * descriptors. It lies in locked anonymous memory that both map; whichever side is done with it
 * wipes it for both.
 *
 * The receiver is the same program of the same build (node/node.h), so the plain data in front has
 * no format of its own.
 */
#ifndef CQ_NODE_HANDOVER_H
#define CQ_NODE_HANDOVER_H

#include "base/err.h"
#include "conf/config.h"
#include "node/logging.h"
#include "os/sandbox.h"
#include "os/tun.h"
#include "os/udp.h"

#include <stdbool.h>
#include <stddef.h>

/* Known only shortly before the node starts. */
struct cq_handover_start {
    int channel;  /* node/channel.h; set by the node itself */
    int listener; /* control socket */
    unsigned num_workers;
    struct cq_tun tuns[CQ_CONF_MAX_WORKERS]; /* of each worker */
    struct cq_udp udps[CQ_CONF_MAX_WORKERS]; /* the same; all on one port */
    int backlog_fd;                          /* os/backlog.h; -1: none */
    uint16_t mtu;
    uint32_t fwmark; /* of our datagrams; 0: none */
    struct cq_sandbox_user user;
    struct cq_logging logging;   /* filled in by the node's process before it is executed */
    struct cq_addr metrics_addr; /* where the metrics server listens; family NONE: there is none */
    int metrics_socket;          /* node/source.h; -1: none */
    int metrics_memory;          /* node/snapshot.h; -1: none */
};

struct cq_handover {
    int fd; /* -1: none */
    void *memory;
    size_t len;
};

/* Writes configuration and keys into new memory. cached[i] and replied[i] belong to peer i;
 * cached[i] is only looked at for a peer whose configuration has no public key, and may be NULL.
 * CQ_ERR_NOMEM, CQ_ERR_IO (errno). */
CQ_MUST_CHECK enum cq_err cq_handover_make(struct cq_handover *out, const struct cq_conf *conf,
                                           const struct cq_public_key *const *cached,
                                           const bool *replied);

/* The same into an anonymous memory file that is there, and empty; the descriptor is taken over. */
CQ_MUST_CHECK enum cq_err cq_handover_make_in(struct cq_handover *out, int fd,
                                              const struct cq_conf *conf,
                                              const struct cq_public_key *const *cached,
                                              const bool *replied);

/* Adds the rest. */
void cq_handover_set_start(struct cq_handover *handover, const struct cq_handover_start *start);

/* Wipes the memory (for everybody who maps it) and lets go of it. A zeroed handover with fd -1 is
 * allowed. */
void cq_handover_wipe(struct cq_handover *handover);

/*
 * What the node says about a new configuration lies in the same memory: a byte for each peer, and
 * one for the interface (the last one). The node first wipes everything else. Reading takes the
 * descriptor; CQ_ERR_IO.
 */
enum { CQ_HANDOVER_PSK = 1, CQ_HANDOVER_KEY = 2, CQ_HANDOVER_IDENTITY = 4 };
void cq_handover_answer(struct cq_handover *handover, const uint8_t *marks, size_t num);
CQ_MUST_CHECK enum cq_err cq_handover_read_answer(int fd, uint8_t *out_marks, size_t num);

/* Lets go of it without wiping: another process still needs it, and wipes it. */
void cq_handover_forget(struct cq_handover *handover);

/*
 * In the node: maps the len bytes that descriptor fd holds and copies them out, secrets into secret
 * memory; the caller wipes the handover afterwards in any case. *replied is malloc'ed, conf the
 * caller's (cq_conf_free); both are empty on error. CQ_ERR_INVALID, CQ_ERR_NOMEM, CQ_ERR_IO.
 */
CQ_MUST_CHECK enum cq_err cq_handover_take(struct cq_handover *out, int fd, size_t len,
                                           struct cq_handover_start *start, struct cq_conf *conf,
                                           bool **replied);

#endif
