/*
 * The files of the page at "/" (web/), which tools/embed_web turns into a C file when the program
 * is built. Constants; any thread.
 */
#ifndef CQ_NODE_METRICS_ASSETS_H
#define CQ_NODE_METRICS_ASSETS_H

#include <stddef.h>

struct cq_metrics_body {
    const unsigned char *data;
    size_t len;
    const char *etag; /* with its quotes */
};

struct cq_metrics_asset {
    const char *path; /* "/assets/app.js" */
    const char *type; /* of the content */
    struct cq_metrics_body plain, gzip;
};

extern const struct cq_metrics_asset cq_metrics_assets[];
extern const size_t cq_metrics_num_assets;

/* web/page.html, cut where the title and the content go. */
enum {
    CQ_METRICS_PAGE_BEFORE_TITLE,
    CQ_METRICS_PAGE_BEFORE_CONTENT,
    CQ_METRICS_PAGE_END,
    CQ_METRICS_PAGE_PARTS
};
extern const char *const cq_metrics_page_parts[CQ_METRICS_PAGE_PARTS];

#endif
