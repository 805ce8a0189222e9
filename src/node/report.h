/*
 * What the node tells people: log lines for the engine's events, and the status for `show`. Control
 * thread, but for what says otherwise.
 */
#ifndef CQ_NODE_REPORT_H
#define CQ_NODE_REPORT_H

#include "base/time.h"
#include "conf/status.h"
#include "engine/action.h"
#include "node/control.h"
#include "node/snapshot.h"

/* One line for a CQ_ACTION_LOG. */
void cq_report_event(const struct cq_control *control, const struct cq_action *action);

/* One line for an offload that a worker does without from now on. */
void cq_report_fallback(const struct cq_control *control,
                        const struct cq_worker_fallback *fallback);

/* Fills *out, which the caller frees with cq_node_status_free. CQ_ERR_NOMEM (*out is zeroed). */
CQ_MUST_CHECK enum cq_err cq_report_status(const struct cq_control *control,
                                           struct cq_node_status *out, cq_time now);

/* The two parts of it, for whoever has a snapshot: everything but the peers (*out is overwritten),
 * and one peer (*out is zeroed before, and to be freed also after an error): of `peer` the name,
 * endpoint and allowed IPs are copied, and nothing else is looked at. CQ_ERR_NOMEM. Any thread. */
void cq_report_node(struct cq_node_status *out, const char *interface,
                    const struct cq_snapshot_node *node);
CQ_MUST_CHECK enum cq_err cq_report_peer(struct cq_node_peer_status *out,
                                         const struct cq_conf_peer *peer,
                                         const struct cq_peer_status *in, cq_time now,
                                         cq_time wall);

#endif
