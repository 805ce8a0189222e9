/*
 * The page that the metrics server shows at "/": HTML for people with a browser. It is complete
 * without a script: the state as it is, in words and tables. Scripts of the page (web/) replace
 * that by a live view. Functions of their arguments; any thread.
 */
#ifndef CQ_NODE_METRICS_PAGE_H
#define CQ_NODE_METRICS_PAGE_H

#include "conf/status.h"
#include "node/metrics_text.h"

#include <stdbool.h>

/* What the page may load and do, for its Content-Security-Policy header, and which of the browser's
 * abilities, for Permissions-Policy. */
extern const char cq_metrics_page_policy[];
extern const char cq_metrics_page_permissions[];

enum { CQ_METRICS_PAGE_PEERS = 200 }; /* with a row of their own; of more it says how many */

/* Writes the whole page. */
void cq_metrics_page(struct cq_text *out, const struct cq_node_status *status, bool ready);

/* The page for who has not shown the token: it tells nothing of the node and asks for the token. */
void cq_metrics_page_locked(struct cq_text *out);

#endif
