/*
 * What the configuration says about the metrics server: where it listens, who may ask, how much it
 * tells. Values alone; nothing here opens a socket. Not thread-safe: one owner per object.
 */
#ifndef CQ_CONF_METRICS_H
#define CQ_CONF_METRICS_H

#include "base/addr.h"
#include "base/err.h"
#include "conf/config.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    CQ_CONF_METRICS_PORT = 9464, /* of 127.0.0.1, unless told otherwise */
    CQ_CONF_METRICS_PORTS = 10,  /* that many from there on are tried */
    CQ_CONF_METRICS_PEERS_DEFAULT = 1000,
    CQ_CONF_METRICS_TOKEN_MIN = 16, /* characters */
};

/* The defaults; the object then owns nothing. */
void cq_conf_metrics_init(struct cq_conf_metrics *out);
/* Wipes the token and frees what the object holds, and leaves it as after init. */
void cq_conf_metrics_free(struct cq_conf_metrics *metrics);

/* "none", or a numeric address with its port, which is not 0. CQ_ERR_INVALID changes nothing. */
CQ_MUST_CHECK enum cq_err cq_conf_metrics_set_address(struct cq_conf_metrics *metrics,
                                                      const char *text, size_t len);

/* Keeps a copy of a token: 16 to 256 letters, digits and -._~+/= (RFC 6750 section 2.1).
 * CQ_ERR_INVALID, CQ_ERR_NOMEM. */
CQ_MUST_CHECK enum cq_err cq_conf_metrics_set_token(struct cq_conf_metrics *metrics,
                                                    const char *text, size_t len);

/* Whether other machines can reach the address and no token keeps them out. */
bool cq_conf_metrics_is_open(const struct cq_conf_metrics *metrics);

#endif
