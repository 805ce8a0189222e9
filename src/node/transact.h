/*
 * A change of a running interface as one transaction, on the monitor's side: the node prepares, the
 * machine's side gets what is new, the node commits, what is not wanted any longer goes. Whatever
 * fails before the node has committed leaves everything as it was. Called by the monitor, which
 * waits for the node here (some milliseconds; its other messages are served meanwhile).
 */
#ifndef CQ_NODE_TRANSACT_H
#define CQ_NODE_TRANSACT_H

#include "conf/diff.h"
#include "node/channel.h"
#include "node/failure.h"
#include "node/metrics.h"
#include "node/network.h"

#include <stdbool.h>
#include <stdio.h>

struct cq_transact {
    /* The caller's. */
    int node;     /* channel */
    int handover; /* what the node gets */
    bool dry_run;
    const struct cq_conf *before, *after;
    struct cq_network *network;
    struct cq_metrics *metrics;
    FILE *text; /* what changes, for people */
    void (*serve)(void *ctx, const struct cq_channel_message *message);
    void *ctx;
    /* What came of it. */
    struct cq_diff diff; /* wiped by cq_transact_end */
    bool changed;        /* the node runs with `after` */
};

/* True: done, or (dry run, or no difference) looked at. False: nothing is changed, *failure says
 * why.
 */
bool cq_transact_run(struct cq_transact *t, struct cq_failure *failure);
void cq_transact_end(struct cq_transact *t);

#endif
