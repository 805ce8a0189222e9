/*
 * Every metric that there is (docs/metrics.md), written from a view of the node. Functions of their
 * arguments; any thread.
 */
#ifndef CQ_NODE_METRICS_RENDER_H
#define CQ_NODE_METRICS_RENDER_H

#include "node/metrics_peers.h"
#include "node/metrics_text.h"
#include "node/snapshot.h"
#include "os/procinfo.h"

#include <stdbool.h>
#include <stddef.h>

enum cq_metrics_process {
    CQ_METRICS_NODE,
    CQ_METRICS_SERVER,
    CQ_METRICS_MONITOR,
    CQ_METRICS_PROCESSES
};

/* What a page or a list of metrics is made of; nothing in it is owned. */
struct cq_metrics_view {
    const char *interface;
    bool ready; /* the interface is up */
    const struct cq_snapshot_node *node;
    size_t num_peers;
    const struct cq_snapshot_info *infos; /* num_peers, as peers */
    const struct cq_prefix *prefixes;
    const char *texts;
    const struct cq_peer_status *peers;
    struct cq_procinfo usage[CQ_METRICS_PROCESSES]; /* num_threads 0: not known */
    uint32_t max_peers;               /* of those with labels of their own; the rest is "other" */
    bool wireguard;                   /* also under the names of WireGuard's exporters */
    struct cq_metrics_labels *labels; /* kept for the next time; NULL: they are not */
};

/* The text format 0.0.4, or OpenMetrics 1.0. */
void cq_metrics_render(struct cq_text *out, const struct cq_metrics_view *view, bool open_metrics);

#endif
