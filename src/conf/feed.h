/*
 * One line of a node's feed of events (conf/control.h, watch) as its reader wants it. Functions
 * over buffers.
 */
#ifndef CQ_CONF_FEED_H
#define CQ_CONF_FEED_H

#include "base/err.h"
#include "base/event.h"
#include "base/logline.h"

enum {
    CQ_FEED_LINE_MAX = CQ_LOGLINE_MAX + 1, /* bytes, newline included */
    CQ_FEED_NAME_MAX = 64,
    CQ_FEED_REST_MAX = 4 * CQ_LOGLINE_MAX, /* escapes may be longer there */
};

struct cq_feed_event {
    char time[CQ_LOGLINE_TIME_MAX]; /* as it was sent; "": none */
    enum cq_level level;
    char event[CQ_FEED_NAME_MAX];
    char interface[CQ_FEED_NAME_MAX];
    char peer[CQ_FEED_NAME_MAX]; /* the peer's name, or else its ID; "": none */
    char rest[CQ_FEED_REST_MAX]; /* all other fields, "key=value key=value", quoted where needed */
};

/* Reads a line with or without its newline. CQ_ERR_INVALID: it is none. */
CQ_MUST_CHECK enum cq_err cq_feed_parse(struct cq_feed_event *out, const char *line, size_t len);

#endif
