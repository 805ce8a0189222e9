/*
 * The status as a JSON value: between conf/status.c and conf/control.c, which puts it into a
 * response.
 */
#ifndef CQ_CONF_STATUS_JSON_H
#define CQ_CONF_STATUS_JSON_H

#include "conf/status.h"

#include <jansson.h>

/* A new object, or NULL when out of memory. */
json_t *cq_status_json_make(const struct cq_node_status *status);

/* As cq_node_status_from_json. */
CQ_MUST_CHECK enum cq_err cq_status_json_read(struct cq_node_status *out, const json_t *object);

/* 32 bytes as 44 characters; false when the member is missing or no such text. */
json_t *cq_status_json_id(const uint8_t id[CQ_PEER_ID_LEN]);
bool cq_status_json_read_id(const json_t *object, const char *name, uint8_t out[CQ_PEER_ID_LEN]);

/* 8 bytes in hexadecimal. */
json_t *cq_status_json_session_id(const uint8_t id[CQ_SESSION_ID_LEN]);
bool cq_status_json_read_session_id(const json_t *object, const char *name,
                                    uint8_t out[CQ_SESSION_ID_LEN]);

#endif
