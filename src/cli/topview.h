/*
 * What `cryprq top` shows: from two states of a node and the wishes of who looks at it to the text
 * of a screen. Pure.
 */
#ifndef CQ_CLI_TOPVIEW_H
#define CQ_CLI_TOPVIEW_H

#include "base/time.h"
#include "cli/term.h"
#include "conf/status.h"

enum cq_top_sort { CQ_TOP_NAME, CQ_TOP_RX, CQ_TOP_TX, CQ_TOP_AGE, CQ_TOP_DROPS };

enum { CQ_TOP_FILTER_MAX = 32 };

struct cq_top_sample {
    cq_time at;
    struct cq_node_status status;
    bool has_usage;
    cq_time cpu;
    uint64_t rss_bytes;
};

struct cq_top_view {
    enum cq_top_sort sort;
    char filter[CQ_TOP_FILTER_MAX + 1]; /* part of the names to be shown */
    bool filtering;                     /* it is being typed */
    bool paused, help;
    const char *message; /* in place of the keys; NULL: none */
    struct cq_term_size size;
    size_t first; /* peer on the screen */
};

/* How many peers the screen has room for. */
size_t cq_top_room(const struct cq_top_view *view);

/* A screen as text with control sequences, malloc'ed; NULL: out of memory. before: NULL where there
 * is no older sample. view->first is brought down to where the last peers fill the screen. */
char *cq_top_draw(struct cq_top_view *view, const struct cq_top_sample *before,
                  const struct cq_top_sample *now, size_t *out_len);

#endif
