/*
 * Keepalives, dead peers and answers to PING (docs/protocol.md sections 5 and 6).
 */
#include "engine/internal.h"

#include "proto/control.h"

#include <string.h>

cq_time cq_liveness_deadline(const struct cq_peer *peer)
{
    return cq_time_min(peer->dead_check, cq_time_min(peer->passive_check, peer->persistent_at));
}

/* Since when something of ours waits for any record of the peer: DATA, or the confirmation of a
 * session of ours. */
static cq_time unanswered_since(const struct cq_peer *peer, const struct cq_path_peer_status *st)
{
    cq_time since = st->unanswered_since;
    const struct cq_session *s = peer->current;
    if (s != NULL && s->role == CQ_ROLE_INITIATOR && !s->opened &&
        (st->last_received == CQ_TIME_NEVER || st->last_received < s->completed))
        since = cq_time_min(since, s->completed);
    return since;
}

static void check_dead(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    struct cq_path_peer_status st;
    cq_path_peer_get_status(peer->path, &st);
    cq_time since = unanswered_since(peer, &st);
    if (since == CQ_TIME_NEVER) {
        peer->dead_check = CQ_TIME_NEVER;
        cq_path_peer_arm_unanswered(peer->path);
        return;
    }
    if (now < since + CQ_DEAD_PEER + peer->dead_jitter) {
        peer->dead_check = since + CQ_DEAD_PEER + peer->dead_jitter;
        return;
    }
    peer->dead_check = now + CQ_DEAD_PEER;
    if (cq_attempt_want(e, peer, CQ_CAUSE_DEAD, now))
        cq_action_log(e, peer, CQ_EVENT_PEER_UNREACHABLE);
    if (peer->current == NULL) { /* nothing is sent any more: the next session begins anew */
        peer->dead_check = CQ_TIME_NEVER;
        cq_path_peer_arm_unanswered(peer->path);
    }
}

static void check_passive(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    struct cq_path_peer_status st;
    cq_path_peer_get_status(peer->path, &st);
    if (st.unreplied_since != CQ_TIME_NEVER && now < st.unreplied_since + CQ_PASSIVE_KEEPALIVE) {
        peer->passive_check = st.unreplied_since + CQ_PASSIVE_KEEPALIVE;
        return;
    }
    if (st.unreplied_since != CQ_TIME_NEVER && peer->current != NULL &&
        now < peer->current->send_until)
        cq_action_keepalive(e, peer, peer->current, NULL);
    peer->passive_check = CQ_TIME_NEVER;
    cq_path_peer_arm_unreplied(peer->path);
}

static void keep_alive(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    cq_time interval = peer->persistent_keepalive * CQ_NS_PER_S;
    struct cq_path_peer_status st;
    cq_path_peer_get_status(peer->path, &st);
    bool can_send = peer->current != NULL && now < peer->current->send_until;
    if (can_send && st.last_sent != CQ_TIME_NEVER && now < st.last_sent + interval) {
        peer->persistent_at = st.last_sent + interval;
        return;
    }
    peer->persistent_at = now + interval;
    if (can_send)
        cq_action_keepalive(e, peer, peer->current, NULL);
    else
        cq_attempt_want(e, peer, CQ_CAUSE_PERSISTENT, now);
}

void cq_liveness_tick(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    if (now >= peer->dead_check)
        check_dead(e, peer, now);
    if (now >= peer->passive_check)
        check_passive(e, peer, now);
    if (now >= peer->persistent_at)
        keep_alive(e, peer, now);
}

void cq_liveness_on_ping(struct cq_engine *e, struct cq_peer *peer, const struct cq_path_event *ev,
                         cq_time now)
{
    if (!ev->padded) {
        if (peer->num_pongs == 0 || now >= peer->pong_window + CQ_NS_PER_S) {
            peer->pong_window = now;
            peer->num_pongs = 0;
        }
        if (peer->num_pongs >= CQ_MAX_PONGS) {
            cq_engine_drop(e, NULL, CQ_DROP_RATE_CONTROL);
            return;
        }
        peer->num_pongs++;
    }
    struct cq_action *a = cq_action_push(e, CQ_ACTION_SEND_CONTROL, peer);
    a->local_idx = ev->local_idx;
    a->route = ev->route;
    struct cq_writer w = cq_writer_make(a->data, sizeof(a->data));
    cq_control_write_pong(&w, ev->token);
    a->len = (uint16_t)w.written;
}
