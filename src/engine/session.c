/*
 * Sessions (docs/protocol.md section 6): from finished keys to their erasure. Which one is sent on,
 * confirmation in both roles, expiry, early erasure.
 */
#include "engine/internal.h"

#include <string.h>

struct cq_session *cq_session_find(const struct cq_peer *peer, uint32_t local_idx)
{
    for (unsigned i = 0; i < CQ_MAX_SESSIONS; i++)
        if (peer->sessions[i] != NULL && peer->sessions[i]->local_idx == local_idx)
            return peer->sessions[i];
    return NULL;
}

unsigned cq_session_count(const struct cq_peer *peer)
{
    unsigned n = 0;
    for (unsigned i = 0; i < CQ_MAX_SESSIONS; i++)
        n += peer->sessions[i] != NULL;
    return n;
}

static cq_time plan_rotation(struct cq_engine *e, enum cq_role role, cq_time send_until)
{
    if (role == CQ_ROLE_INITIATOR)
        return send_until - CQ_ROTATE_I_MIN - cq_engine_jitter(e, CQ_ROTATE_I_SPAN);
    return send_until - CQ_ROTATE_R_MIN - cq_engine_jitter(e, CQ_ROTATE_R_SPAN);
}

static void fill_params(struct cq_keypair_params *out, const struct cq_session *s,
                        const struct cq_session_keys *keys)
{
    bool initiator = s->role == CQ_ROLE_INITIATOR;
    out->suite = keys->suite;
    out->local_idx = keys->local_idx;
    out->remote_idx = keys->remote_idx;
    out->send_until = s->send_until;
    out->recv_until = s->recv_until;
    out->rotate_at = s->rotate_at;
    memcpy(out->send_key, initiator ? keys->i2r_key : keys->r2i_key, sizeof(out->send_key));
    memcpy(out->recv_key, initiator ? keys->r2i_key : keys->i2r_key, sizeof(out->recv_key));
    memcpy(out->send_iv, initiator ? keys->i2r_iv : keys->r2i_iv, sizeof(out->send_iv));
    memcpy(out->recv_iv, initiator ? keys->r2i_iv : keys->i2r_iv, sizeof(out->recv_iv));
}

struct cq_session *cq_session_add(struct cq_engine *e, struct cq_peer *peer, enum cq_role role,
                                  const struct cq_session_keys *keys, cq_time began, cq_time now)
{
    unsigned slot = 0;
    while (slot < CQ_MAX_SESSIONS && peer->sessions[slot] != NULL)
        slot++;
    if (slot == CQ_MAX_SESSIONS)
        return NULL;
    struct cq_session *s = cq_alloc(e->config.allocator, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->local_idx = keys->local_idx;
    memcpy(s->sid, keys->sid, sizeof(s->sid));
    s->suite = (uint8_t)keys->suite;
    s->role = role;
    s->began = began;
    s->completed = now;
    s->peer_done = role == CQ_ROLE_INITIATOR ? now : CQ_TIME_NEVER;
    s->send_until = began + keys->rotate_secs * CQ_NS_PER_S;
    s->recv_until = s->send_until + CQ_RECV_GRACE;
    s->rotate_at = plan_rotation(e, role, s->send_until);
    s->confirm_next = CQ_TIME_NEVER;
    s->unconfirmed_until = role == CQ_ROLE_RESPONDER ? now + CQ_UNCONFIRMED_LIFE : CQ_TIME_NEVER;

    struct cq_keypair_params params;
    fill_params(&params, s, keys);
    enum cq_err err = cq_path_keypair_add(e->config.path, peer->path, &params, &s->keypair);
    cq_wipe(&params, sizeof(params));
    if (err != CQ_OK) {
        cq_free(e->config.allocator, s, sizeof(*s));
        return NULL;
    }
    s->order = ++e->order;
    peer->sessions[slot] = s;
    e->num_sessions++;
    return s;
}

/* The confirmed session whose completion is the latest. */
static struct cq_session *newest_confirmed(const struct cq_peer *peer)
{
    struct cq_session *best = NULL;
    for (unsigned i = 0; i < CQ_MAX_SESSIONS; i++) {
        struct cq_session *s = peer->sessions[i];
        if (s != NULL && s->confirmed && (best == NULL || s->order > best->order))
            best = s;
    }
    return best;
}

static void choose_current(struct cq_engine *e, struct cq_peer *peer)
{
    struct cq_session *best = newest_confirmed(peer);
    if (best == peer->current)
        return;
    peer->current = best;
    cq_path_peer_set_current(e->config.path, peer->path, best != NULL ? best->keypair : NULL);
}

/* The keypair has been or is about to be removed. */
static void unlink_session(struct cq_engine *e, struct cq_peer *peer, const struct cq_session *s)
{
    for (unsigned i = 0; i < CQ_MAX_SESSIONS; i++)
        if (peer->sessions[i] == s)
            peer->sessions[i] = NULL;
    choose_current(e, peer);
}

static void free_session(struct cq_engine *e, struct cq_peer *peer, struct cq_session *s)
{
    struct cq_event_record *log = cq_action_log(e, peer, CQ_EVENT_KEYS_ERASED);
    log->role = s->role;
    memcpy(log->sid, s->sid, sizeof(log->sid));
    uint32_t idx = s->local_idx;
    cq_free(e->config.allocator, s, sizeof(*s));
    e->num_sessions--;
    e->keys_erased++;
    cq_engine_release_index(e, peer, idx);
}

void cq_session_erase(struct cq_engine *e, struct cq_peer *peer, struct cq_session *s)
{
    unlink_session(e, peer, s);
    cq_path_keypair_remove(e->config.path, s->keypair);
    free_session(e, peer, s);
}

void cq_session_close(struct cq_engine *e, struct cq_peer *peer, struct cq_session *s,
                      const uint8_t *entries, size_t len, cq_time now)
{
    unlink_session(e, peer, s);
    cq_path_keypair_close(e->config.path, s->keypair, entries, len, now);
    free_session(e, peer, s);
}

/* "at most 4 per peer: the confirmation of a fifth evicts the one that completed first" */
static void evict_beyond_limit(struct cq_engine *e, struct cq_peer *peer)
{
    unsigned n = 0;
    struct cq_session *first = NULL;
    for (unsigned i = 0; i < CQ_MAX_SESSIONS; i++) {
        struct cq_session *s = peer->sessions[i];
        if (s == NULL || !s->confirmed)
            continue;
        n++;
        if (first == NULL || s->order < first->order)
            first = s;
    }
    if (n > CQ_MAX_CONFIRMED)
        cq_session_erase(e, peer, first);
}

static void count_and_log(struct cq_engine *e, struct cq_peer *peer, const struct cq_session *s,
                          bool replaces)
{
    if (s->role == CQ_ROLE_INITIATOR)
        peer->initiated++;
    else
        peer->responded++;
    peer->rotations += replaces;
    peer->last_handshake = s->completed;
    peer->last_duration = s->duration;
    peer->last_role = s->role;
    struct cq_event_record *log =
        cq_action_log(e, peer, replaces ? CQ_EVENT_KEY_ROTATION : CQ_EVENT_HANDSHAKE_COMPLETE);
    log->role = s->role;
    log->suite = s->suite;
    log->duration = s->duration;
    memcpy(log->sid, s->sid, sizeof(log->sid));
}

void cq_session_confirm(struct cq_engine *e, struct cq_peer *peer, struct cq_session *s,
                        cq_time now)
{
    bool replaces = newest_confirmed(peer) != NULL;
    s->confirmed = true;
    s->unconfirmed_until = CQ_TIME_NEVER;
    count_and_log(e, peer, s, replaces);
    choose_current(e, peer);
    if (s->role == CQ_ROLE_INITIATOR) {
        struct cq_path_peer_status status;
        cq_path_peer_get_status(peer->path, &status);
        if (status.num_staged == 0) /* else what is staged confirms it */
            cq_action_keepalive(e, peer, s, NULL);
        s->confirm_backoff = CQ_RETRANSMIT_FIRST;
        s->confirm_next = now + s->confirm_backoff;
        s->confirm_until = now + CQ_CONFIRM_TIME;
        if (peer->dead_check == CQ_TIME_NEVER)
            peer->dead_check = now + CQ_DEAD_PEER + cq_engine_jitter(e, CQ_DEAD_PEER_SPAN);
    }
    if (peer->current == s) {
        peer->need_traffic = false;
        cq_action_push(e, CQ_ACTION_SESSION_READY, peer);
    }
    evict_beyond_limit(e, peer);
}

void cq_session_on_first_record(struct cq_engine *e, struct cq_peer *peer, struct cq_session *s,
                                const struct cq_path_event *ev, cq_time now)
{
    s->opened = true;
    s->peer_done = cq_time_min(s->peer_done, now);
    s->confirm_next = CQ_TIME_NEVER;
    if (s->confirmed) {
        if (s == peer->current)
            cq_address_seen(e, peer, ev, now);
        return;
    }
    uint32_t idx = s->local_idx;
    cq_session_confirm(e, peer, s, now);
    cq_pending_free_index(e, peer, idx);
    s = cq_session_find(peer, idx); /* a late confirmation may have been the one too many */
    if (s == NULL)
        return;
    if (s == peer->current)
        cq_address_seen(e, peer, ev, now);
    cq_action_keepalive(e, peer, s, &ev->route);
}

/* When a session goes before its time: a record opened on one completed later, and none here for 10
 * s. "Later" must hold at the peer as well, or it still sends on this one: where two handshakes
 * crossed, each side may take another session for the newest. It does hold when the peer completed
 * this one before the other one could be completed, which is after its OFFER (ours) or ACCEPT. */
static cq_time early_erasure(const struct cq_peer *peer, const struct cq_session *s)
{
    bool superseded = false;
    for (unsigned i = 0; i < CQ_MAX_SESSIONS; i++) {
        const struct cq_session *o = peer->sessions[i];
        superseded = superseded ||
                     (o != NULL && o->opened && o->order > s->order && s->peer_done < o->began);
    }
    if (!superseded)
        return CQ_TIME_NEVER;
    struct cq_keypair_status status;
    cq_keypair_get_status(s->keypair, &status);
    cq_time quiet = status.last_opened == CQ_TIME_NEVER ? s->completed : status.last_opened;
    return quiet + CQ_EARLY_ERASE;
}

static cq_time session_end(const struct cq_peer *peer, const struct cq_session *s)
{
    return cq_time_min(cq_time_min(s->recv_until, s->unconfirmed_until), early_erasure(peer, s));
}

cq_time cq_session_deadline(const struct cq_peer *peer)
{
    cq_time t = CQ_TIME_NEVER;
    for (unsigned i = 0; i < CQ_MAX_SESSIONS; i++) {
        const struct cq_session *s = peer->sessions[i];
        if (s != NULL)
            t = cq_time_min(t, cq_time_min(s->confirm_next, session_end(peer, s)));
    }
    /* Keepalives that an operator asked for count as traffic: such sessions rotate without DATA. */
    if (peer->persistent_keepalive > 0 && peer->current != NULL && peer->attempt == NULL &&
        peer->start_at == CQ_TIME_NEVER)
        t = cq_time_min(t, peer->current->rotate_at);
    return t;
}

static void repeat_confirmation(struct cq_engine *e, struct cq_peer *peer, struct cq_session *s,
                                cq_time now)
{
    if (now >= s->confirm_until || now >= s->send_until) {
        s->confirm_next = CQ_TIME_NEVER;
        return;
    }
    cq_action_keepalive(e, peer, s, NULL);
    s->confirm_backoff = cq_time_min(2 * s->confirm_backoff, CQ_RETRANSMIT_MAX);
    s->confirm_next = now + s->confirm_backoff;
}

void cq_session_tick(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    bool had_current = peer->current != NULL, expired = false;
    for (unsigned i = 0; i < CQ_MAX_SESSIONS; i++) {
        struct cq_session *s = peer->sessions[i];
        if (s == NULL)
            continue;
        if (now >= session_end(peer, s)) {
            expired = expired || now >= s->recv_until;
            cq_session_erase(e, peer, s);
        } else if (now >= s->confirm_next) {
            repeat_confirmation(e, peer, s, now);
        }
    }
    if (had_current && expired && peer->current == NULL)
        cq_action_log(e, peer, CQ_EVENT_SESSION_EXPIRED);
    if (peer->persistent_keepalive > 0 && peer->current != NULL &&
        now >= peer->current->rotate_at) {
        if (cq_attempt_want(e, peer, CQ_CAUSE_ROTATION, now) || peer->attempt == NULL)
            peer->current->rotate_at = now + CQ_NS_PER_S; /* asks again should it fail */
    }
}
