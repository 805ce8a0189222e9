/*
 * How a peer is called in events. Any thread.
 */
#ifndef CQ_NODE_LABEL_H
#define CQ_NODE_LABEL_H

#include "base/base64.h"
#include "base/event.h"
#include "conf/config.h"

/* What the fields refer to; alive as long as they are used. */
struct cq_label {
    char id[CQ_KEY32_TEXT_LEN + 1];
    const char *name; /* the peer's; NULL: it has none */
};

/* Of a peer, or of none (NULL). */
struct cq_label cq_label_make(const struct cq_conf_peer *peer);

/* The two fields `peer` and `name`; without a peer both are left out. */
struct cq_field cq_label_peer(const struct cq_label *label);
struct cq_field cq_label_name(const struct cq_label *label);

#endif
