/*
 * The connection between two processes of an interface (monitor and node, metrics server and
 * either): a socket pair that keeps message boundaries. Messages are of one fixed size; neither
 * side waits for the other. The monitor trusts nothing in them but their size.
 */
#ifndef CQ_NODE_CHANNEL_H
#define CQ_NODE_CHANNEL_H

#include "base/addr.h"
#include "base/err.h"

#include <stdint.h>

enum { CQ_CHANNEL_DATA_MAX = 1216 }; /* a public key */

enum cq_channel_type {
    /* node to monitor */
    CQ_CHANNEL_READY = 1,     /* it is confined and serves; data: the own ID */
    CQ_CHANNEL_FAILED,        /* it could not start; data: one line of text */
    CQ_CHANNEL_STORE_KEY,     /* peer; data: its public key */
    CQ_CHANNEL_STORE_REPLIED, /* peer */
    CQ_CHANNEL_RESOLVE,       /* peer */
    CQ_CHANNEL_DONE,          /* what PREPARE or COMMIT asked for is done; from here on peers have
                                 the indices of the new configuration after a COMMIT */
    CQ_CHANNEL_REFUSED,       /* it is not, and nothing is changed; data: one line of text */
    /* editor and monitor (node/editor.h) */
    CQ_CHANNEL_EDITOR_START, /* to the editor; data: struct cq_editor_start */
    CQ_CHANNEL_EDITED,       /* what it was asked for makes a change */
    CQ_CHANNEL_ANSWER,       /* to the editor; peer: whether it failed; the text lies in the file */
    /* monitor to node */
    CQ_CHANNEL_RESOLVED, /* peer, addr */
    CQ_CHANNEL_FORGET,   /* the machine was cloned: wipe all sessions */
    CQ_CHANNEL_EVENT,    /* for whoever watches; peer: enum cq_event; data: its line of JSON */
    CQ_CHANNEL_RECENT,   /* both ways: where peers were last (node/recent.h) */
    CQ_CHANNEL_SHUTDOWN, /* take leave of the peers and end */
    /* a change of the configuration (node/reconfigure.h) */
    CQ_CHANNEL_PREPARE, /* data: length of the handover that comes with it; nothing is changed yet
                         */
    CQ_CHANNEL_COMMIT,  /* data: struct cq_reconfigure_commit; perhaps descriptors for metrics */
    CQ_CHANNEL_ABORT,
    /* node and metrics server (node/source.h) */
    CQ_CHANNEL_SNAPSHOT,
    /* monitor and metrics server (node/metrics.h) */
    CQ_CHANNEL_SERVER_START, /* to the server; data: struct cq_metrics_start */
    CQ_CHANNEL_USAGE, /* the server asks; data of the answer: struct cq_procinfo, three times */
};

struct cq_channel_message {
    uint32_t type; /* enum cq_channel_type */
    uint32_t peer; /* index in the configuration */
    struct cq_addr addr;
    uint32_t len; /* of data */
    uint8_t data[CQ_CHANNEL_DATA_MAX];
};

/* Makes the pair: both ends non-blocking and close-on-exec. CQ_ERR_IO. */
CQ_MUST_CHECK enum cq_err cq_channel_open(int out_ends[2]);

/* CQ_ERR_AGAIN: the other side is behind; CQ_ERR_IO: it is gone. data may be NULL. */
CQ_MUST_CHECK enum cq_err cq_channel_send(int fd, enum cq_channel_type type, uint32_t peer,
                                          const struct cq_addr *addr, const void *data, size_t len);

/* The same with descriptors, of which the other side gets copies. */
enum { CQ_CHANNEL_MAX_FDS = 2 };
CQ_MUST_CHECK enum cq_err cq_channel_send_fds(int fd, enum cq_channel_type type, const void *data,
                                              size_t len, const int *fds, size_t num_fds);

/* CQ_ERR_AGAIN: nothing is there; CQ_ERR_EXPIRED: the other side is gone; CQ_ERR_INVALID: not a
 * message. */
CQ_MUST_CHECK enum cq_err cq_channel_receive(int fd, struct cq_channel_message *out);

/* The same with the descriptors that came along, -1 where there is none; the caller closes them.
 * (cq_channel_receive closes them itself.) */
CQ_MUST_CHECK enum cq_err cq_channel_receive_fds(int fd, struct cq_channel_message *out,
                                                 int out_fds[CQ_CHANNEL_MAX_FDS]);

#endif
