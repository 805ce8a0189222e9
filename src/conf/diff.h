/*
 * What distinguishes two configurations of one interface, as a list that says who is concerned: the
 * base of every change of a running node, and what people are shown of it. Secrets are not looked
 * at: a process that knows both says so with CQ_DIFF_PSK and CQ_DIFF_IDENTITY.
 */
#ifndef CQ_CONF_DIFF_H
#define CQ_CONF_DIFF_H

#include "conf/config.h"

/* What changes of a peer, or (the last ones) of the interface. */
enum {
    CQ_DIFF_ADDED = 1,
    CQ_DIFF_REMOVED = 2,
    CQ_DIFF_NAME = 4,
    CQ_DIFF_ALLOWED_IPS = 8,
    CQ_DIFF_ENDPOINT = 16,
    CQ_DIFF_KEEPALIVE = 32,
    CQ_DIFF_PSK = 64,    /* ends the peer's sessions */
    CQ_DIFF_FILES = 128, /* where its keys are read from, for `save` */
    CQ_DIFF_KEY = 256,   /* a public key that was not known is given */

    CQ_DIFF_ADDRESSES = 1,
    CQ_DIFF_OPTIONS = 2, /* RotateSecs, Suites, AnswerKeys, PushKeys */
    CQ_DIFF_HOOKS = 4,
    CQ_DIFF_IDENTITY = 8,
    CQ_DIFF_KEY_FILE = 16,
};

enum { CQ_DIFF_NONE = -1 };

struct cq_diff_peer {
    int before, after; /* index in either; CQ_DIFF_NONE */
    unsigned what;
};

struct cq_diff {
    unsigned interface;
    struct cq_diff_peer *peers; /* of all peers that are in either; removed ones first, then in the
                                   order of `after` */
    size_t num_peers;
    int *to_after; /* by index in `before` */
};

/* Neither configuration has a peer twice. *out is the caller's (cq_diff_free). CQ_ERR_NOMEM. */
CQ_MUST_CHECK enum cq_err cq_diff_make(struct cq_diff *out, const struct cq_conf *before,
                                       const struct cq_conf *after);
void cq_diff_free(struct cq_diff *diff);

/* Whether nothing at all changes. */
bool cq_diff_is_empty(const struct cq_diff *diff);

/* Peers added, removed, changed. */
struct cq_diff_counts {
    size_t added, removed, changed;
};
struct cq_diff_counts cq_diff_count(const struct cq_diff *diff);

/* Of the keys of [Interface] that a running node cannot change, the first one that differs:
 * CQ_ERR_STATE, and *error says which, where, and what to do. */
CQ_MUST_CHECK enum cq_err cq_diff_check_settings(const struct cq_conf *before,
                                                 const struct cq_conf *after,
                                                 struct cq_conf_error *error);

#endif
