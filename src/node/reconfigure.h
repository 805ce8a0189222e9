/*
 * A change of the configuration of a running node, on the node's side. The monitor sends it as a
 * handover (node/handover.h) and says what is to be done with it:
 *
 *   PREPARE   read and checked, compared with what is in use; nothing is changed. In the answer's
 *             memory stands what only the node can tell: which secrets differ
 *   COMMIT    applied, whole or not at all
 *   ABORT     forgotten
 *
 * Control thread.
 */
#ifndef CQ_NODE_RECONFIGURE_H
#define CQ_NODE_RECONFIGURE_H

#include "base/time.h"
#include "conf/config.h"
#include "node/channel.h"

#include <stdbool.h>
#include <stdint.h>

struct cq_control;

/* What comes with COMMIT; with new_metrics the socket and the memory of node/source.h. */
struct cq_reconfigure_commit {
    uint32_t fwmark; /* of our datagrams from now on */
    bool new_metrics;
    uint64_t metrics_len; /* of that memory; the node's filter lets it ask for no size */
};

/* What was prepared. */
struct cq_reconfigure {
    bool is_there;
    struct cq_conf conf;
    bool *replied;
    struct cq_identity *identity; /* another one, in secret memory; NULL: it stays */
    uint8_t *marks;               /* per peer, enum of node/handover.h */
};

/* One of the three messages of the monitor, with its descriptors, which are taken over. Answers it.
 */
void cq_reconfigure_serve(struct cq_control *control, const struct cq_channel_message *message,
                          const int fds[CQ_CHANNEL_MAX_FDS], cq_time now);

/* Wipes what was prepared. */
void cq_reconfigure_forget(struct cq_reconfigure *prepared);

#endif
