/*
 * A packet worker: the thread that moves packets between the TUN and the UDP sockets, in both
 * directions, run to completion (dispatch by epoll). It owns worker `number` of the path, hands
 * every datagram that is no record to the control thread, takes commands from it, and never waits
 * for it: its queues are bounded and were allocated at start.
 *
 * The control thread (one) may call every function below; the worker calls none of them.
 *
 * System calls of the thread, for the filter: epoll_pwait/epoll_wait, epoll_ctl, read, write,
 * readv, writev, recvmmsg, sendmsg, sendmmsg, clock_gettime (where the vDSO does not answer),
 * futex, madvise, munmap, rt_sigprocmask, exit; and at its start, before the first packet, those of
 * pthread_create: mmap, mprotect, clone3/clone, rseq, set_robust_list, prctl, gettid,
 * sched_getaffinity. cq_worker_start itself besides: eventfd2, epoll_create1, epoll_ctl.
 */
#ifndef CQ_NODE_WORKER_H
#define CQ_NODE_WORKER_H

#include "base/addr.h"
#include "base/counter.h"
#include "base/err.h"
#include "base/offload.h"
#include "engine/action.h"
#include "os/tun.h"
#include "os/udp.h"
#include "path/path.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CQ_WORKER_DATAGRAM_MAX =
        1232, /* no handshake datagram is longer; longer ones count as bad_length */
    CQ_WORKER_DATAGRAMS = 256, /* waiting for the control thread; more are dropped (queue_full) */
    CQ_WORKER_COMMANDS = 256,
};

struct cq_worker;

struct cq_worker_config {
    struct cq_path *path; /* outlives the worker */
    unsigned number;      /* of the worker in the path; 0 is the one that seals control records */
    struct cq_tun tun;    /* this worker's queues; descriptors stay the caller's, open until
                             cq_worker_stop returned */
    struct cq_udp udp;    /* the node's sockets, shared by all workers */
    int backlog_fd;       /* os/backlog.h; the lines of all workers; -1: none */
    bool no_gso;          /* configuration: never use UDP GSO */
};

/* Starts the thread. CQ_ERR_NOMEM, CQ_ERR_IO. The caller owns *out. */
CQ_MUST_CHECK enum cq_err cq_worker_start(struct cq_worker **out,
                                          const struct cq_worker_config *config);

/* Lets the thread finish the commands already queued, ends it, waits for it and frees. NULL is
 * allowed. */
void cq_worker_stop(struct cq_worker *worker);

/* Becomes readable when the worker has datagrams or path events; for poll or epoll. Belongs to the
 * worker. */
int cq_worker_notify_fd(const struct cq_worker *worker);

/* To be called when notify_fd is readable, before the datagrams (cq_worker_next_datagram) and path
 * events (cq_path_next_event) are taken, all of them, until there are none. */
void cq_worker_acknowledge(struct cq_worker *worker);

/* A datagram that is not a record. */
struct cq_worker_datagram {
    struct cq_route route;
    uint16_t len;
    uint8_t data[CQ_WORKER_DATAGRAM_MAX];
};

/* The oldest waiting datagram, in place; NULL when there is none. It stays valid until
 * cq_worker_pop_datagram. */
const struct cq_worker_datagram *cq_worker_next_datagram(struct cq_worker *worker);
void cq_worker_pop_datagram(struct cq_worker *worker);

/*
 * Gives the worker an action of type SEND_CONTROL (worker 0 only), SESSION_READY or DROP_STAGED
 * (all workers) to carry out. CQ_ERR_AGAIN: its queue is full, try again soon; CQ_ERR_INVALID:
 * another type; CQ_ERR_RANGE: more than CQ_PATH_CONTROL_MAX bytes of control data.
 */
CQ_MUST_CHECK enum cq_err cq_worker_command(struct cq_worker *worker,
                                            const struct cq_action *action);

/* An offload that the kernel took at the start and refused later. */
struct cq_worker_fallback {
    enum cq_offload offload;
    struct cq_addr to; /* UDP_GSO: the destination that it is switched off for; else family NONE */
    int error;         /* the errno that said so */
};

/* The oldest one not told yet. More than 16 at a time are only counted (cq_worker_status). */
bool cq_worker_next_fallback(struct cq_worker *worker, struct cq_worker_fallback *out);

/* How many batches of at most 1, 2, 4, ... 128 packets there were, and larger ones. */
enum { CQ_WORKER_BATCH_SIZES = 9 };

struct cq_worker_batches {
    uint64_t counts[CQ_WORKER_BATCH_SIZES]; /* each batch stands in one of them */
    uint64_t packets;
};

struct cq_worker_status {
    unsigned tun_offloads; /* CQ_TUN_OFFLOAD_* in use; merging may be switched off at run time */
    bool tun_header;       /* a virtio header stands before each frame */
    bool udp_gso, udp_gro;
    uint64_t fallbacks[CQ_OFFLOAD_COUNT]; /* at run time; UDP_GSO: destinations */
    uint64_t sealed, sealed_bytes;        /* records and bytes of their datagrams */
    uint64_t opened, opened_bytes;
    uint64_t frames_read, frames_written; /* TUN system calls: super-packets count once */
    uint64_t inner_sent, inner_received;  /* IP packets */
    uint64_t wakeups;
    struct cq_worker_batches seal;        /* records that one round of sends carried */
    struct cq_worker_batches open;        /* records of one source that arrived together */
    uint32_t num_datagrams, num_commands; /* waiting at this moment */
};
void cq_worker_get_status(const struct cq_worker *worker, struct cq_worker_status *out);

/* Adds what another worker did; an offload is in use where all workers use it. */
void cq_worker_status_add(struct cq_worker_status *sum, const struct cq_worker_status *w);

/* Drop counters of this worker. */
const struct cq_counters *cq_worker_counters(const struct cq_worker *worker);

#endif
