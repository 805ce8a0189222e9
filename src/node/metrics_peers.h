/*
 * The metrics that each peer has, under our names and under those of WireGuard's exporters. Called
 * by node/metrics_render.c alone; the labels belong to whoever looks again and again. One thread.
 */
#ifndef CQ_NODE_METRICS_PEERS_H
#define CQ_NODE_METRICS_PEERS_H

#include "base/text.h"

#include <stdbool.h>

struct cq_metrics_view;

/* Labels as they were written last: with thousands of peers they are most of the text, and they
 * seldom change. */
struct cq_metrics_labels {
    /* `{interface="wan0",peer="...",name="..."` of each labelled peer and of the others, one after
     * the other, each ended by a NUL. */
    struct cq_text own, wireguard;
    struct cq_text source; /* what they were made of */
};

/* A zeroed one is allowed, and is what is left. */
void cq_metrics_labels_free(struct cq_metrics_labels *labels);

/* Appends the families; out->failed: out of memory. */
void cq_metrics_render_peers(struct cq_text *out, const struct cq_metrics_view *view,
                             bool open_metrics);

#endif
