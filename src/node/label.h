/*
 * How a peer is called in log lines. Any thread.
 */
#ifndef CQ_NODE_LABEL_H
#define CQ_NODE_LABEL_H

#include "base/base64.h"
#include "conf/config.h"

enum { CQ_LABEL_MAX = CQ_KEY32_TEXT_LEN + 4 * CQ_CONF_NAME_MAX + 32 };

/* "peer=ID", and " name=NAME" where it has one. Returns out. */
char *cq_label_peer(const struct cq_conf_peer *peer, char out[CQ_LABEL_MAX]);

#endif
