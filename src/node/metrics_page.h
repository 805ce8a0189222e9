/*
 * The page that the metrics server shows at "/": HTML for people with a browser, made of a view of
 * the node. Functions of their arguments; any thread.
 */
#ifndef CQ_NODE_METRICS_PAGE_H
#define CQ_NODE_METRICS_PAGE_H

#include "node/metrics_render.h"

/* What the page may load and do, for its Content-Security-Policy header. */
extern const char cq_metrics_page_policy[];

/* Writes the whole page. */
void cq_metrics_page(struct cq_text *out, const struct cq_metrics_view *view);

#endif
