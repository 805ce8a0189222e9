/*
 * One question to a running node over its control socket.
 */
#ifndef CQ_CLI_CLIENT_H
#define CQ_CLI_CLIENT_H

#include "conf/control.h"

/*
 * Asks the node of interface `name`. *out is the caller's (cq_control_response_free) and never of
 * CQ_CONTROL_KIND_ERROR. CQ_OK; CQ_ERR_NOTFOUND without a message when the interface does not run;
 * anything else after a message.
 */
CQ_MUST_CHECK enum cq_err cq_client_ask(const char *name, const struct cq_control_request *request,
                                        struct cq_control_response *out);

/* The state of the node, under the same conditions; the caller frees it (cq_node_status_free). */
CQ_MUST_CHECK enum cq_err cq_client_status(const char *name, struct cq_node_status *out);

#endif
