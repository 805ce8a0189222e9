/*
 * What a node does with the list of recently active peers (node/recent.h): it tells the monitor
 * where peers are, and after a restart it starts handshakes with those that may still have a
 * session with its predecessor, the latest at once and the rest paced, so that they do not have to
 * find out by silence. Belongs to the control thread.
 */
#ifndef CQ_NODE_REVIVE_H
#define CQ_NODE_REVIVE_H

#include "engine/engine.h"
#include "node/recent.h"

struct cq_revive {
    /* To be called on, newest first. */
    struct cq_recent_list list;
    size_t next;
    cq_time next_call;
    /* Told to the monitor, by number of the peer in the engine. */
    struct cq_recent_entry *told;
    uint32_t num_told;
    cq_time next_look, last_look;
    bool enabled; /* the monitor has sent its list */
};

void cq_revive_init(struct cq_revive *revive);
void cq_revive_free(struct cq_revive *revive);

/* A message CQ_CHANNEL_RECENT of the monitor: at the start, what is known from before. */
void cq_revive_take(struct cq_revive *revive, struct cq_engine *engine,
                    const struct cq_channel_message *message, cq_time now);

/* An event of the engine: a peer may be at an address that the monitor does not know. */
void cq_revive_note(struct cq_revive *revive, enum cq_event event, cq_time now);

/* Does what is due: starts handshakes (the caller carries the engine's actions out), looks where
 * peers are and tells the monitor over the channel when that has changed. */
void cq_revive_update(struct cq_revive *revive, struct cq_engine *engine, int channel, cq_time now);
cq_time cq_revive_next_expiry(const struct cq_revive *revive);

#endif
