/*
 * What the node tells people: log lines for the engine's events, and the status for `show`. Control
 * thread.
 */
#ifndef CQ_NODE_REPORT_H
#define CQ_NODE_REPORT_H

#include "base/time.h"
#include "conf/status.h"
#include "engine/action.h"
#include "node/control.h"

/* One line for a CQ_ACTION_LOG. */
void cq_report_event(const struct cq_control *control, const struct cq_action *action);

/* Fills *out, which the caller frees with cq_node_status_free. CQ_ERR_NOMEM (*out is zeroed). */
CQ_MUST_CHECK enum cq_err cq_report_status(const struct cq_control *control,
                                           struct cq_node_status *out, cq_time now);

#endif
