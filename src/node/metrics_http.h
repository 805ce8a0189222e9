/*
 * HTTP for the metrics server, on libmicrohttpd, which is loaded by the server's process alone:
 * what it brings along is nothing for the process that has the keys. GET and HEAD of a few fixed
 * paths; bounded connections, times and memory. One thread, driven by its owner.
 */
#ifndef CQ_NODE_METRICS_HTTP_H
#define CQ_NODE_METRICS_HTTP_H

#include "base/addr.h"
#include "base/err.h"
#include "base/time.h"
#include "node/metrics_render.h"

#include <stdbool.h>

struct cq_metrics_http;

struct cq_metrics_http_config {
    int listener;         /* the caller's */
    struct cq_addr bound; /* its address */
    const char *token;    /* "": none is asked for; outlives the server */
    /* Fills a view that is valid until the next call, the usage only with with_usage. False: the
     * node does not answer. */
    bool (*look)(void *ctx, struct cq_metrics_view *out, bool with_usage);
    void *ctx;
};

/* Loads the library: before the process confines itself. CQ_ERR_NOTFOUND. */
CQ_MUST_CHECK enum cq_err cq_metrics_http_load(void);

/* CQ_ERR_NOMEM (or whatever else the library does not like). The caller owns *out. */
CQ_MUST_CHECK enum cq_err cq_metrics_http_new(struct cq_metrics_http **out,
                                              const struct cq_metrics_http_config *config);

/* To be waited for: then, and at the time of cq_metrics_http_next, cq_metrics_http_run has work. */
int cq_metrics_http_fd(const struct cq_metrics_http *http);
/* CQ_TIME_NEVER: no time. */
cq_time cq_metrics_http_next(struct cq_metrics_http *http, cq_time now);
void cq_metrics_http_run(struct cq_metrics_http *http, cq_time now);

#endif
