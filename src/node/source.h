/*
 * The node's side of the metrics: counts what the engine reports, and fills the shared memory
 * (node/snapshot.h) when the metrics server asks for it, a few peers at a time, so that neither
 * packets nor handshakes wait for it. Control thread.
 *
 * Over the socket goes cq_channel: CQ_CHANNEL_SNAPSHOT without data asks; the same with a version
 * (8 bytes) says that the memory is filled. A server that asks all the time gets no more than ten
 * fillings a second; the answers between are the last one again.
 */
#ifndef CQ_NODE_SOURCE_H
#define CQ_NODE_SOURCE_H

#include "engine/action.h"
#include "node/snapshot.h"

struct cq_control;

struct cq_source {
    struct cq_snapshot_counts counts;
    struct cq_snapshot snapshot;
    int socket;   /* -1: there is no metrics server */
    bool wanted;  /* asked for and not answered */
    bool filling; /* the first `next` peers are done */
    uint32_t next;
    uint64_t version; /* of the last complete filling */
    cq_time filled;   /* when that was; CQ_TIME_NEVER: not yet */
};

/* Takes over the descriptors (both -1: no metrics server), for the life of the process. memory_len
 * 0: the file says it. num_peers: of the configuration. CQ_ERR_IO, CQ_ERR_INVALID. */
CQ_MUST_CHECK enum cq_err cq_source_init(struct cq_source *source, int socket, int memory,
                                         size_t memory_len, size_t num_peers);

/* Lets go of the descriptors and the memory; what was counted goes as well. */
void cq_source_wipe(struct cq_source *source);

/* Counts what a CQ_ACTION_LOG tells. */
void cq_source_note(struct cq_source *source, const struct cq_action *action);

/* The socket is readable. */
void cq_source_ready(struct cq_source *source);

/* Does a bounded piece of the work that is to be done. True: there is more; call again soon. */
bool cq_source_continue(struct cq_control *control, cq_time now);

/* Everything but the peers. */
void cq_source_fill_node(const struct cq_control *control, struct cq_snapshot_node *out,
                         cq_time now);

#endif
