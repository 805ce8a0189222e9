/*
 * Handshakes that we start (docs/protocol.md sections 3, 4 and 6): KEY_REQUEST, INIT and OFFER with
 * their retransmission, and what answers them.
 */
#include "engine/internal.h"

#include "base/bytes.h"

#include <string.h>

static struct cq_own_handshake *newest(struct cq_attempt *a)
{
    return &a->own[a->newest];
}

/* An answer to what was sent to this address. */
static void note_answer(const struct cq_engine *e, struct cq_peer *peer, enum cq_step step,
                        const struct cq_addr *sent_to)
{
    cq_facts_note(&peer->facts, step, e->now);
    if (e->heard_from == NULL || cq_addr_equal(e->heard_from, sent_to))
        return;
    peer->facts.elsewhere = *e->heard_from;
    cq_facts_note(&peer->facts, CQ_STEP_ANSWER_ELSEWHERE, e->now);
}

static void forget_own(struct cq_engine *e, struct cq_peer *peer, struct cq_own_handshake *own)
{
    if (!own->used)
        return;
    uint32_t idx = own->hs.local_idx;
    cq_initiator_wipe(&own->hs);
    cq_wipe(own, sizeof(*own));
    cq_engine_release_index(e, peer, idx);
}

static void forget_request(struct cq_engine *e, struct cq_peer *peer)
{
    struct cq_attempt *a = peer->attempt;
    if (a->stage != CQ_STAGE_KEY)
        return;
    a->stage = CQ_STAGE_INIT;
    cq_engine_release_index(e, peer, a->request_id);
}

void cq_attempt_end(struct cq_engine *e, struct cq_peer *peer)
{
    struct cq_attempt *a = peer->attempt;
    if (a == NULL)
        return;
    forget_request(e, peer);
    forget_own(e, peer, &a->own[0]);
    forget_own(e, peer, &a->own[1]);
    peer->attempt = NULL;
    cq_free(e->config.allocator, a, sizeof(*a));
}

static void fail(struct cq_engine *e, struct cq_peer *peer)
{
    struct cq_event_record *log = cq_action_log(e, peer, CQ_EVENT_HANDSHAKE_FAILED);
    log->reason = peer->last_drop;
    log->diagnosis = cq_diagnosis_of_attempt(&peer->facts);
    cq_action_push(e, CQ_ACTION_DROP_STAGED, peer);
    cq_action_push(e, CQ_ACTION_RESOLVE, peer);
    peer->need_traffic = false;
    peer->failed++;
    cq_attempt_end(e, peer);
}

/* When the next retransmission is due: the present interval plus 0 to 20 %; the interval doubles.
 */
static void schedule_next(struct cq_engine *e, struct cq_attempt *a, cq_time now)
{
    a->next_send = now + a->backoff + cq_engine_jitter(e, a->backoff / 5);
    a->backoff = cq_time_min(a->backoff * 2, CQ_RETRANSMIT_MAX);
}

static void begin_stage(struct cq_attempt *a, enum cq_stage stage, cq_time now)
{
    a->stage = stage;
    a->backoff = CQ_RETRANSMIT_FIRST;
    a->stage_ends = now + CQ_STAGE_TIME;
}

/* An address from before a restart is worth one INIT, a learned one three; from then on every
 * second one goes to the configured address, in case the peer has left the other. */
static bool is_turn_of_configured(const struct cq_peer *peer)
{
    const struct cq_attempt *a = peer->attempt;
    return peer->configured.ip.family != CQ_FAMILY_NONE && a->num_inits % 2 == 1 &&
           (a->num_inits >= 3 || peer->address.recalled);
}

/*
 * Where the next INIT or KEY_REQUEST goes: the address in use, or while that is being pinged the
 * one before it; or the configured one.
 */
static struct cq_route choose_route(const struct cq_peer *peer, cq_time now)
{
    const struct cq_address *address = &peer->address;
    if (is_turn_of_configured(peer))
        return (struct cq_route){.remote = peer->configured};
    if (address->validating && now < address->began + CQ_PING_TIME)
        return address->previous;
    return address->current;
}

/* The cookie held for this way, or NULL. */
static const uint8_t *held_cookie(const struct cq_peer *peer, const struct cq_route *route,
                                  cq_time now)
{
    if (peer->cookie_until == CQ_TIME_NEVER || now >= peer->cookie_until ||
        !cq_addr_equal(&peer->cookie_remote, &route->remote))
        return NULL;
    if (route->local.family != CQ_FAMILY_NONE && peer->cookie_local.family != CQ_FAMILY_NONE &&
        !cq_ip_equal(&peer->cookie_local, &route->local))
        return NULL;
    return peer->cookie;
}

static void send_key_request(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    struct cq_attempt *a = peer->attempt;
    uint8_t msg[CQ_KEY_REQUEST_LEN];
    struct cq_route route = choose_route(peer, now);
    if (a->backoff >= CQ_RETRANSMIT_MAX) /* unanswered for some seconds */
        cq_action_push(e, CQ_ACTION_RESOLVE, peer);
    if (cq_key_request_write(msg, &a->macs, a->request_id, held_cookie(peer, &route, now)) ==
        CQ_OK) {
        memcpy(a->request_mac1, msg + CQ_KEY_REQUEST_MAC1, CQ_MAC_LEN);
        a->request_sent = true;
        a->sent_any = true;
        cq_action_send(e, peer, &route, msg, sizeof(msg));
        cq_facts_note(&peer->facts, CQ_STEP_KEY_REQUEST_SENT, now);
    }
    schedule_next(e, a, now);
}

/* KEY_PUSH goes before INITs 0, 1 and 2 to a peer that never replied, and before INITs 4, 8, ... to
 * any. */
static bool push_is_due(const struct cq_engine *e, const struct cq_peer *peer, unsigned number)
{
    if (!e->config.push_keys)
        return false;
    return (!peer->has_replied && number <= 2) || (number > 0 && number % 4 == 0);
}

static void send_init(struct cq_engine *e, struct cq_peer *peer, const struct cq_own_handshake *own,
                      cq_time now)
{
    uint8_t push[CQ_KEY_PUSH_LEN];
    if (push_is_due(e, peer, own->number) &&
        cq_key_push_write(push, &peer->attempt->macs, &e->config.identity->public_key) == CQ_OK) {
        cq_action_send(e, peer, &own->route, push, sizeof(push));
        cq_facts_note(&peer->facts, CQ_STEP_KEY_PUSH_SENT, now);
    }
    cq_action_send(e, peer, &own->route, own->msg, own->len);
    cq_facts_note(&peer->facts, CQ_STEP_INIT_SENT, now);
    peer->attempt->sent_any = true;
    peer->last_init = now;
    peer->sent_init = true;
}

/* Writes a new INIT into the older of the two states. */
static bool make_init(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    struct cq_attempt *a = peer->attempt;
    unsigned slot = newest(a)->used ? 1 - a->newest : a->newest;
    struct cq_own_handshake *own = &a->own[slot];
    struct cq_init_random random;
    struct cq_handshake_params params;
    bool ok = false;

    forget_own(e, peer, own);
    own->number = a->num_inits;
    own->route = choose_route(peer, now);
    own->cookie_left_out = own->number > 0 && own->number % 3 == 0;
    const uint8_t *cookie = own->cookie_left_out ? NULL : held_cookie(peer, &own->route, now);
    if (cookie != NULL) {
        own->has_cookie = true;
        memcpy(own->cookie, cookie, CQ_COOKIE_LEN);
    }
    cq_engine_params(e, peer, &params);
    if (cq_engine_random(e, random.e, sizeof(random.e)) &&
        cq_engine_random(e, random.m, sizeof(random.m)) &&
        cq_engine_take_index(e, peer, &random.idx) == CQ_OK) {
        ok = cq_init_write(&own->hs, own->msg, &params, &a->macs, cookie, &random) == CQ_OK;
        if (!ok)
            cq_map_remove(&e->by_index, random.idx, peer->number);
    }
    cq_wipe(&random, sizeof(random));
    if (!ok) {
        cq_wipe(own, sizeof(*own));
        cq_engine_drop(e, peer, CQ_DROP_HANDSHAKE_INTERNAL);
        return false;
    }
    own->used = true;
    own->len = CQ_INIT_LEN;
    a->newest = slot;
    a->num_inits++;
    if (own->number >= 2)
        cq_action_push(e, CQ_ACTION_RESOLVE, peer);
    return true;
}

/* A new INIT with the doubling as it stands: after a stage ended (doubling anew) or the cookie
 * changed. */
static void send_new_init(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    struct cq_attempt *a = peer->attempt;
    a->stage = CQ_STAGE_INIT;
    a->stage_ends = now + CQ_STAGE_TIME;
    if (make_init(e, peer, now))
        send_init(e, peer, newest(a), now);
    schedule_next(e, a, now);
}

/* Whether the cookie in this INIT is no longer the one that it should carry. */
static bool cookie_changed(const struct cq_peer *peer, const struct cq_own_handshake *own,
                           cq_time now)
{
    if (own->cookie_left_out)
        return false;
    const uint8_t *held = held_cookie(peer, &own->route, now);
    if (held == NULL)
        return own->has_cookie;
    return !own->has_cookie || !cq_equal_ct(held, own->cookie, CQ_COOKIE_LEN);
}

static void retransmit_init(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    struct cq_attempt *a = peer->attempt;
    struct cq_own_handshake *own = newest(a);
    if (!own->used || own->offered || cookie_changed(peer, own, now)) {
        send_new_init(e, peer, now);
        return;
    }
    send_init(e, peer, own, now);
    schedule_next(e, a, now);
}

static void retransmit(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    struct cq_attempt *a = peer->attempt;
    struct cq_own_handshake *own = newest(a);
    switch (a->stage) {
    case CQ_STAGE_KEY:
        send_key_request(e, peer, now);
        break;
    case CQ_STAGE_INIT:
        retransmit_init(e, peer, now);
        break;
    case CQ_STAGE_OFFER:
        cq_action_send(e, peer, &own->route, own->msg, own->len);
        cq_facts_note(&peer->facts, CQ_STEP_OFFER_SENT, now);
        schedule_next(e, a, now);
        break;
    }
}

static cq_time after_gap(const struct cq_peer *peer, cq_time now)
{
    return peer->sent_init ? cq_time_max(now, peer->last_init + CQ_INIT_GAP) : now;
}

static bool start(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    struct cq_attempt *a = cq_alloc(e->config.allocator, sizeof(*a));
    if (a == NULL || cq_mac_keys_init(&a->macs, peer->id) != CQ_OK) {
        cq_free(e->config.allocator, a, a != NULL ? sizeof(*a) : 0);
        cq_engine_drop(e, peer, CQ_DROP_HANDSHAKE_INTERNAL);
        return false;
    }
    a->stage = CQ_STAGE_INIT;
    peer->attempt = a;
    begin_stage(a, CQ_STAGE_INIT, now);
    a->next_send = after_gap(peer, now);
    if (peer->key == NULL) {
        if (cq_engine_take_index(e, peer, &a->request_id) != CQ_OK) {
            cq_attempt_end(e, peer);
            cq_engine_drop(e, peer, CQ_DROP_HANDSHAKE_INTERNAL);
            return false;
        }
        begin_stage(a, CQ_STAGE_KEY, now);
        a->next_send = now;
    }
    a->began = a->next_send; /* what the gap makes it wait is no part of the handshake */
    a->gives_up = a->began + CQ_ATTEMPT_TIME;
    peer->start_at = CQ_TIME_NEVER;
    peer->held_back = false;
    peer->last_drop = CQ_DROP_NONE;
    cq_facts_begin(&peer->facts, a->began);
    cq_action_log(e, peer, CQ_EVENT_HANDSHAKE_STARTED);
    if (a->next_send <= now)
        retransmit(e, peer, now);
    return true;
}

/* "When both would start at once": the larger ID lets a handshake of the other's that is under way
 * finish first. */
static bool must_hold_back(const struct cq_engine *e, const struct cq_peer *peer, cq_time now)
{
    if (peer->held_back || peer->accepted_at == CQ_TIME_NEVER ||
        now >= peer->accepted_at + CQ_HOLD_BACK ||
        memcmp(e->config.identity->id, peer->id, CQ_PEER_ID_LEN) < 0)
        return false;
    for (unsigned i = 0; i < CQ_MAX_PENDING; i++)
        if (peer->pending[i] != NULL)
            return true;
    return false;
}

static void put_off(struct cq_peer *peer, cq_time until)
{
    peer->start_at = peer->start_at == CQ_TIME_NEVER ? until : cq_time_max(peer->start_at, until);
    peer->start_order = peer->current != NULL ? peer->current->order : 0;
}

bool cq_attempt_want(struct cq_engine *e, struct cq_peer *peer, enum cq_cause cause, cq_time now)
{
    if (peer->attempt != NULL || peer->start_at != CQ_TIME_NEVER || peer->closing)
        return false;
    if (peer->address.current.remote.ip.family == CQ_FAMILY_NONE) {
        cq_action_push(e, CQ_ACTION_RESOLVE, peer);
        return false;
    }
    if (cause == CQ_CAUSE_TRAFFIC && now < peer->closed_until) {
        put_off(peer, peer->closed_until);
        return false;
    }
    if (must_hold_back(e, peer, now)) {
        put_off(peer, peer->accepted_at + CQ_HOLD_BACK);
        peer->held_back = true;
        return false;
    }
    return start(e, peer, now);
}

cq_time cq_attempt_deadline(const struct cq_peer *peer)
{
    const struct cq_attempt *a = peer->attempt;
    if (a == NULL)
        return peer->start_at;
    cq_time t = cq_time_min(a->next_send, a->gives_up);
    return a->stage == CQ_STAGE_KEY ? t : cq_time_min(t, a->stage_ends);
}

/* An attempt that was put off: a session made meanwhile by the other side's handshake has met the
 * need. */
static void start_put_off(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    peer->start_at = CQ_TIME_NEVER;
    if (peer->current != NULL && peer->current->order > peer->start_order) {
        peer->held_back = false;
        return;
    }
    if (must_hold_back(e, peer, now)) {
        put_off(peer, peer->accepted_at + CQ_HOLD_BACK);
        peer->held_back = true;
        return;
    }
    start(e, peer, now);
}

void cq_attempt_tick(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    struct cq_attempt *a = peer->attempt;
    if (a == NULL) {
        if (now >= peer->start_at)
            start_put_off(e, peer, now);
        return;
    }
    if (now >= a->gives_up) {
        fail(e, peer);
        return;
    }
    if (a->stage != CQ_STAGE_KEY && now >= a->stage_ends) {
        begin_stage(a, CQ_STAGE_INIT, now);
        cq_time at = after_gap(peer, now);
        if (at <= now)
            send_new_init(e, peer, now);
        else
            a->next_send = at;
    } else if (now >= a->next_send) {
        retransmit(e, peer, now);
    }
}

static struct cq_own_handshake *find_own(struct cq_peer *peer, uint32_t idx)
{
    struct cq_attempt *a = peer != NULL ? peer->attempt : NULL;
    for (unsigned i = 0; a != NULL && i < 2; i++)
        if (a->own[i].used && a->own[i].hs.local_idx == idx)
            return &a->own[i];
    return NULL;
}

/* A REPLY counts for either of the two newest INITs, but only one OFFER is under way at a time. */
static bool reply_fits(const struct cq_attempt *a, const struct cq_own_handshake *own)
{
    return !own->offered && (a->stage == CQ_STAGE_INIT || own == &a->own[a->newest]);
}

void cq_attempt_on_reply(struct cq_engine *e, const uint8_t *msg, cq_time now)
{
    uint32_t idx = cq_load_be32(msg + CQ_ANSWER_RECEIVER);
    struct cq_peer *peer = cq_engine_by_index(e, idx);
    struct cq_own_handshake *own = find_own(peer, idx);
    if (own == NULL || !reply_fits(peer->attempt, own)) {
        cq_engine_drop(e, NULL, own == NULL ? CQ_DROP_UNKNOWN_INDEX : CQ_DROP_STALE_HANDSHAKE);
        return;
    }
    struct cq_attempt *a = peer->attempt;
    struct cq_handshake_params params;
    cq_engine_params(e, peer, &params);
    enum cq_drop drop = cq_reply_read(&own->hs, msg, &params);
    note_answer(e, peer, drop == CQ_DROP_NONE ? CQ_STEP_REPLY_RECEIVED : CQ_STEP_REPLY_REFUSED,
                &own->route.remote);
    if (drop != CQ_DROP_NONE) {
        cq_engine_drop(e, peer, drop);
        return;
    }
    if (!peer->has_replied) {
        peer->has_replied = true;
        cq_action_push(e, CQ_ACTION_STORE_REPLIED, peer);
    }
    uint8_t seed[CQ_MLKEM_SEED_LEN];
    bool ok = cq_engine_random(e, seed, sizeof(seed)) &&
              cq_offer_write(&own->hs, own->msg, &params, seed) == CQ_OK;
    cq_wipe(seed, sizeof(seed));
    if (!ok) { /* "if its bytes are lost the handshake is abandoned" */
        cq_initiator_wipe(&own->hs);
        cq_wipe(own, sizeof(*own));
        cq_engine_release_index(e, peer, idx);
        cq_engine_drop(e, peer, CQ_DROP_HANDSHAKE_INTERNAL);
        cq_timer_update(e, peer);
        return;
    }
    own->offered = true;
    own->offered_at = now;
    own->len = CQ_OFFER_LEN;
    a->newest = (unsigned)(own - a->own);
    begin_stage(a, CQ_STAGE_OFFER, now);
    retransmit(e, peer, now);
    cq_timer_update(e, peer);
}

void cq_attempt_on_accept(struct cq_engine *e, const uint8_t *msg, cq_time now)
{
    uint32_t idx = cq_load_be32(msg + CQ_ANSWER_RECEIVER);
    struct cq_peer *peer = cq_engine_by_index(e, idx);
    struct cq_own_handshake *own = find_own(peer, idx);
    if (own == NULL || !own->offered ||
        own->hs.remote_idx != cq_load_be32(msg + CQ_ANSWER_SENDER)) {
        cq_engine_drop(e, NULL, own == NULL ? CQ_DROP_UNKNOWN_INDEX : CQ_DROP_STALE_HANDSHAKE);
        return;
    }
    struct cq_session_keys keys;
    enum cq_drop drop = cq_accept_read(&own->hs, msg, &keys);
    if (drop != CQ_DROP_NONE) {
        cq_engine_drop(e, peer, drop);
        return;
    }
    note_answer(e, peer, CQ_STEP_ACCEPT_RECEIVED, &own->route.remote);
    cq_time began = own->offered_at, attempt_began = peer->attempt->began;
    struct cq_route route = own->route;
    struct cq_session *s = cq_session_add(e, peer, CQ_ROLE_INITIATOR, &keys, began, now);
    cq_wipe(&keys, sizeof(keys));
    if (s == NULL) { /* the OFFER goes on being repeated, and ACCEPT comes again */
        cq_engine_drop(e, peer, CQ_DROP_HANDSHAKE_INTERNAL);
        return;
    }
    s->duration = now - attempt_began;
    cq_attempt_end(e, peer);
    if (peer->address.validating || !cq_addr_equal(&route.remote, &peer->address.current.remote))
        cq_address_set(e, peer, &route);
    peer->address.learned = true;
    peer->address.recalled = false;
    cq_session_confirm(e, peer, s, now);
    cq_timer_update(e, peer);
}

void cq_attempt_on_cookie(struct cq_engine *e, const struct cq_route *route, const uint8_t *msg,
                          cq_time now)
{
    uint32_t idx = cq_load_be32(msg + CQ_COOKIE_IDX);
    struct cq_peer *peer = cq_engine_by_index(e, idx);
    struct cq_attempt *a = peer != NULL ? peer->attempt : NULL;
    struct cq_own_handshake *own = find_own(peer, idx);
    const uint8_t *mac1 = NULL;
    struct cq_route sent_to = {0};
    if (own != NULL && !own->offered) {
        mac1 = own->msg + CQ_INIT_MAC1;
        sent_to = own->route;
    } else if (a != NULL && a->stage == CQ_STAGE_KEY && a->request_sent && a->request_id == idx) {
        mac1 = a->request_mac1;
        sent_to = choose_route(peer, now);
    }
    uint8_t cookie[CQ_COOKIE_LEN];
    if (mac1 == NULL || cq_cookie_open(cookie, &a->macs, msg, mac1) != CQ_OK) {
        cq_engine_drop(e, mac1 != NULL ? peer : NULL, CQ_DROP_BAD_COOKIE);
        return;
    }
    note_answer(e, peer, CQ_STEP_COOKIE_RECEIVED, &sent_to.remote);
    memcpy(peer->cookie, cookie, sizeof(cookie));
    cq_wipe(cookie, sizeof(cookie));
    peer->cookie_until = now + CQ_COOKIE_HELD;
    peer->cookie_remote = sent_to.remote;
    peer->cookie_local = route->local;
    if (!a->cookie_answered && a->stage != CQ_STAGE_OFFER) {
        a->cookie_answered = true;
        if (a->stage == CQ_STAGE_KEY)
            send_key_request(e, peer, now);
        else
            send_new_init(e, peer, now);
    }
    cq_timer_update(e, peer);
}

void cq_attempt_on_key_known(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    struct cq_attempt *a = peer->attempt;
    if (a != NULL && a->stage == CQ_STAGE_KEY) {
        forget_request(e, peer);
        begin_stage(a, CQ_STAGE_INIT, now);
        a->next_send = after_gap(peer, now);
        if (a->next_send <= now)
            retransmit(e, peer, now);
    }
    cq_timer_update(e, peer);
}

void cq_attempt_on_key_response(struct cq_engine *e, const uint8_t *msg, cq_time now)
{
    uint32_t id = cq_load_be32(msg + CQ_KEY_ID);
    struct cq_peer *peer = cq_engine_by_index(e, id);
    struct cq_attempt *a = peer != NULL ? peer->attempt : NULL;
    if (a == NULL || a->stage != CQ_STAGE_KEY || a->request_id != id) {
        cq_engine_drop(e, NULL, CQ_DROP_UNSOLICITED_KEY);
        return;
    }
    struct cq_public_key key;
    memcpy(key.s, msg + CQ_KEY_RESPONSE_KEY, sizeof(key.s));
    memcpy(key.ek, msg + CQ_KEY_RESPONSE_KEY + sizeof(key.s), sizeof(key.ek));
    note_answer(e, peer, CQ_STEP_KEY_RESPONSE_RECEIVED, &peer->address.current.remote);
    enum cq_err err = cq_public_key_verify(&key, peer->id);
    if (err == CQ_ERR_AUTH || err == CQ_ERR_INVALID)
        cq_facts_note(&peer->facts, CQ_STEP_KEY_MISMATCH, now);
    if (err == CQ_OK)
        err = cq_peer_learn_key(e, peer, &key);
    if (err != CQ_OK) {
        cq_engine_drop(e, peer,
                       err == CQ_ERR_AUTH      ? CQ_DROP_KEY_HASH_MISMATCH
                       : err == CQ_ERR_INVALID ? CQ_DROP_BAD_KEM_KEY
                                               : CQ_DROP_HANDSHAKE_INTERNAL);
        return;
    }
    cq_attempt_on_key_known(e, peer, now);
}
