/*
 * Members of the status that are lists of numbers, as JSON: how long handshakes took, and what the
 * processes use. For conf/status*.c; no thread safety of its own.
 */
#ifndef CQ_CONF_STATUS_FIGURES_H
#define CQ_CONF_STATUS_FIGURES_H

#include "conf/json.h"
#include "conf/status.h"

#include <jansson.h>

/* Writes them into an open object; "processes" is left out where none is known. */
void cq_status_figures_write(struct cq_json *json, const struct cq_node_status *status);

/* Reads what of them is there; false for what has the wrong type or range. */
bool cq_status_figures_read(const json_t *object, struct cq_node_status *out);

#endif
