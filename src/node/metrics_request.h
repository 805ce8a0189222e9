/*
 * What the metrics server reads out of the headers of a request. Functions over text; any thread.
 */
#ifndef CQ_NODE_METRICS_REQUEST_H
#define CQ_NODE_METRICS_REQUEST_H

#include "base/addr.h"

#include <stdbool.h>

/*
 * Whether a Host header (NULL: none came) names this server: localhost, a loopback address or the
 * address it listens on, with or without a port. A page that had its own name resolve to this
 * machine (DNS rebinding) comes with that name. Where the server listens on all addresses, any
 * numeric one will do.
 */
bool cq_metrics_host_is_ours(const char *host, const struct cq_addr *bound);

/* Whether an Accept header (NULL: none came) prefers OpenMetrics to the older text format. */
bool cq_metrics_wants_open_metrics(const char *accept);

/* Whether an Accept-Encoding header (NULL: none came) allows gzip by its name. */
bool cq_metrics_accepts_gzip(const char *accept_encoding);

/* Whether an If-None-Match header (NULL: none came) has this ETag (with its quotes), or is "*". */
bool cq_metrics_has_etag(const char *if_none_match, const char *etag);

/* Whether an Authorization header (NULL: none came) is "Bearer" with this token, which has at most
 * CQ_CONF_METRICS_TOKEN_MAX characters. The time it takes does not depend on the token. */
bool cq_metrics_token_is_right(const char *authorization, const char *token);

#endif
