/*
 * Handshakes that others start (docs/protocol.md sections 3 and 4): checks on INIT, cheapest first,
 * the pending rule, cached answers, OFFER, and requests for our key. All failures are silent.
 */
#include "engine/internal.h"

#include "base/bytes.h"
#include "crypto/hash.h"

#include <string.h>

void cq_pending_free(struct cq_engine *e, struct cq_peer *peer, unsigned slot)
{
    struct cq_pending *p = peer->pending[slot];
    if (p == NULL)
        return;
    uint32_t idx = p->local_idx;
    cq_map_remove(&e->by_init, cq_load_be32(p->init_hash), peer->number);
    cq_responder_wipe(&p->hs);
    cq_free(e->config.allocator, p, sizeof(*p));
    peer->pending[slot] = NULL;
    e->num_pending--;
    cq_engine_release_index(e, peer, idx);
}

void cq_pending_free_index(struct cq_engine *e, struct cq_peer *peer, uint32_t local_idx)
{
    for (unsigned i = 0; i < CQ_MAX_PENDING; i++)
        if (peer->pending[i] != NULL && peer->pending[i]->local_idx == local_idx)
            cq_pending_free(e, peer, i);
}

cq_time cq_pending_deadline(const struct cq_peer *peer)
{
    cq_time t = CQ_TIME_NEVER;
    for (unsigned i = 0; i < CQ_MAX_PENDING; i++)
        if (peer->pending[i] != NULL)
            t = cq_time_min(t, peer->pending[i]->created + CQ_PENDING_LIFE);
    return t;
}

void cq_pending_tick(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    for (unsigned i = 0; i < CQ_MAX_PENDING; i++)
        if (peer->pending[i] != NULL && now >= peer->pending[i]->created + CQ_PENDING_LIFE)
            cq_pending_free(e, peer, i);
}

static unsigned count_pending(const struct cq_peer *peer)
{
    unsigned n = 0;
    for (unsigned i = 0; i < CQ_MAX_PENDING; i++)
        n += peer->pending[i] != NULL;
    return n;
}

/* Sends a cached answer to the source of this copy, within the limits of the slot. */
static void answer_again(struct cq_engine *e, struct cq_peer *peer, struct cq_pending *p,
                         const struct cq_route *route, const uint8_t *msg, size_t len, cq_time now)
{
    if (p->num_answers >= CQ_MAX_ANSWERS || now < p->last_answer + CQ_ANSWER_GAP) {
        cq_engine_drop(e, peer, CQ_DROP_ANSWER_LIMIT);
        return;
    }
    p->num_answers++;
    p->last_answer = now;
    cq_action_send(e, peer, route, msg, len);
}

/* The pending handshake that this INIT is a copy of. */
static struct cq_pending *find_copy(struct cq_engine *e, const uint8_t hash[32],
                                    struct cq_peer **out_peer)
{
    uint32_t cursor = 0, number;
    while ((number = cq_map_next(&e->by_init, cq_load_be32(hash), &cursor)) != CQ_MAP_EMPTY) {
        struct cq_peer *peer = cq_engine_peer(e, number);
        for (unsigned i = 0; i < CQ_MAX_PENDING; i++) {
            struct cq_pending *p = peer->pending[i];
            if (p != NULL && memcmp(p->init_hash, hash, sizeof(p->init_hash)) == 0) {
                *out_peer = peer;
                return p;
            }
        }
    }
    return NULL;
}

static bool seen_before(const struct cq_peer *peer, const uint8_t *mac1, cq_time now)
{
    for (unsigned i = 0; i < CQ_NUM_SEEN_MACS; i++)
        if (peer->seen[i].at != CQ_TIME_NEVER && now < peer->seen[i].at + CQ_SEEN_LIFE &&
            memcmp(peer->seen[i].mac1, mac1, CQ_MAC_LEN) == 0)
            return true;
    return false;
}

static void remember(struct cq_peer *peer, const uint8_t *mac1, cq_time now)
{
    unsigned i = peer->next_seen;
    memcpy(peer->seen[i].mac1, mac1, CQ_MAC_LEN);
    peer->seen[i].at = now;
    peer->next_seen = (i + 1) % CQ_NUM_SEEN_MACS;
}

/* A free slot; with four taken, the oldest whose OFFER has not verified makes room. -1: none. */
static int take_slot(struct cq_engine *e, struct cq_peer *peer)
{
    int oldest = -1;
    for (unsigned i = 0; i < CQ_MAX_PENDING; i++) {
        struct cq_pending *p = peer->pending[i];
        if (p == NULL)
            return (int)i;
        if (!p->offered && (oldest < 0 || p->created < peer->pending[oldest]->created))
            oldest = (int)i;
    }
    if (oldest >= 0)
        cq_pending_free(e, peer, (unsigned)oldest);
    return oldest;
}

/* What is known of an INIT while it is checked. */
struct incoming {
    const struct cq_route *route;
    const uint8_t *msg;
    uint8_t hash[32];
    bool proven; /* mac2 valid */
    uint8_t cookie[CQ_COOKIE_LEN];
    bool loaded;
};

static enum cq_drop accept_init(struct cq_engine *e, struct cq_peer *peer,
                                const struct incoming *in, const struct cq_init_reading *reading,
                                const struct cq_handshake_params *params, cq_time now)
{
    uint8_t offered = in->msg[CQ_INIT_SUITES];
    bool yields = e->config.yield_suite && (offered & CQ_SUITE_PREFERS_CHACHA20) != 0;
    unsigned suite = cq_suite_choose(offered, params->suites,
                                     yields ? CQ_SUITE_CHACHA20_POLY1305 : params->preferred_suite);
    if (suite == 0)
        return CQ_DROP_NO_COMMON_SUITE;

    struct cq_reply_random random;
    struct cq_pending *p = cq_alloc(e->config.allocator, sizeof(*p));
    if (p == NULL)
        return CQ_DROP_HANDSHAKE_INTERNAL;
    enum cq_drop drop = CQ_DROP_HANDSHAKE_INTERNAL;
    bool indexed = false;
    if (cq_engine_random(e, random.e, sizeof(random.e)) &&
        cq_engine_random(e, random.m, sizeof(random.m)) &&
        cq_engine_take_index(e, peer, &random.idx) == CQ_OK) {
        indexed = true;
        enum cq_err err = cq_reply_write(&p->hs, p->reply, reading, in->msg, (enum cq_suite)suite,
                                         params, &random);
        if (err == CQ_OK)
            drop = CQ_DROP_NONE;
        else if (err == CQ_ERR_AUTH)
            drop = CQ_DROP_DH_ZERO;
    }
    int slot = drop == CQ_DROP_NONE ? take_slot(e, peer) : -1;
    if (drop == CQ_DROP_NONE && slot < 0)
        drop = CQ_DROP_PENDING_FULL;
    if (drop == CQ_DROP_NONE && cq_map_add(&e->by_init, cq_load_be32(in->hash), peer->number) != 0)
        drop = CQ_DROP_HANDSHAKE_INTERNAL;
    if (drop != CQ_DROP_NONE) {
        if (indexed)
            cq_map_remove(&e->by_index, random.idx, peer->number);
        cq_free(e->config.allocator, p, sizeof(*p));
        cq_wipe(&random, sizeof(random));
        return drop;
    }
    p->local_idx = random.idx;
    p->created = p->last_answer = now;
    p->num_answers = 1;
    memcpy(p->init_hash, in->hash, sizeof(p->init_hash));
    peer->pending[slot] = p;
    e->num_pending++;
    peer->accepted_at = now;
    peer->refused = (struct cq_refusals){0};
    remember(peer, in->msg + CQ_INIT_MAC1, now);
    cq_action_send(e, peer, in->route, p->reply, sizeof(p->reply));
    cq_wipe(&random, sizeof(random));
    return CQ_DROP_NONE;
}

/* From an opened enc_fresh on: replay, load and pending rules, then a slot. */
static enum cq_drop check_authentic(struct cq_engine *e, struct cq_peer *peer, struct incoming *in,
                                    const struct cq_init_reading *reading,
                                    const struct cq_handshake_params *params,
                                    const uint8_t fresh[CQ_FRESH_LEN], cq_time now)
{
    uint8_t expected[CQ_FRESH_LEN];
    if (seen_before(peer, in->msg + CQ_INIT_MAC1, now))
        return CQ_DROP_REPLAYED_INIT;
    unsigned num_pending = count_pending(peer);
    if (in->loaded || num_pending >= 2) {
        if (!in->loaded)
            in->proven =
                cq_cookie_check(e, &in->route->remote, in->msg, CQ_INIT_LEN, in->cookie, now);
        bool fresh_ok = in->proven && cq_cookie_fresh(expected, in->cookie) == CQ_OK &&
                        cq_equal_ct(expected, fresh, CQ_FRESH_LEN);
        if (!fresh_ok) {
            cq_cookie_answer(e, in->route, in->msg, CQ_INIT_LEN, now);
            return in->proven ? CQ_DROP_FRESH_MISMATCH : CQ_DROP_COOKIE_REQUIRED;
        }
    }
    return accept_init(e, peer, in, reading, params, now);
}

/* For the peer's status and, once in a row of refusals, for the log: the first ones may be over
 * with the next KEY_PUSH. Copies, and what a cookie mends, say nothing of why there is no session.
 */
static void note_refusal(struct cq_engine *e, struct cq_peer *peer, enum cq_drop drop, cq_time now)
{
    enum { TOLD_AT = 3 };

    if (drop == CQ_DROP_REPLAYED_INIT || drop == CQ_DROP_COOKIE_REQUIRED ||
        drop == CQ_DROP_FRESH_MISMATCH)
        return;
    peer->refused.drop = drop;
    peer->refused.last = now;
    if (peer->refused.num < UINT32_MAX)
        peer->refused.num++;
    if (peer->refused.num != TOLD_AT)
        return;
    struct cq_event_record *log = cq_action_log(e, peer, CQ_EVENT_HANDSHAKE_REFUSED);
    log->reason = drop;
    log->diagnosis = cq_diagnosis_of_refusal(drop);
}

/* From the first Diffie-Hellman on. */
static void check_secrets(struct cq_engine *e, struct incoming *in, cq_time now)
{
    struct cq_init_reading reading;
    struct cq_handshake_params params;
    uint8_t fresh[CQ_FRESH_LEN];
    struct cq_peer *peer = NULL;
    enum cq_drop drop = cq_init_read_id(&reading, in->msg, e->config.identity);
    if (drop == CQ_DROP_NONE) {
        peer = cq_engine_by_id(e, reading.initiator_id);
        if (peer == NULL) {
            cq_init_read_unknown(in->msg, e->config.identity);
            drop = CQ_DROP_UNKNOWN_PEER;
        } else if (peer->key == NULL) {
            drop = CQ_DROP_PEER_KEY_UNKNOWN;
        }
    }
    if (drop == CQ_DROP_NONE) {
        cq_engine_params(e, peer, &params);
        drop = cq_init_read_fresh(&reading, fresh, in->msg, &params);
    }
    if (drop == CQ_DROP_NONE)
        drop = check_authentic(e, peer, in, &reading, &params, fresh, now);
    cq_init_reading_wipe(&reading);
    cq_wipe(fresh, sizeof(fresh));
    if (drop != CQ_DROP_NONE)
        cq_engine_drop(e, peer, drop);
    if (peer != NULL && drop != CQ_DROP_NONE)
        note_refusal(e, peer, drop, now);
    if (peer != NULL)
        cq_timer_update(e, peer);
}

void cq_admit_init(struct cq_engine *e, const struct cq_route *route, const uint8_t *msg,
                   cq_time now)
{
    struct incoming in = {.route = route, .msg = msg};
    if (!cq_mac1_verify(msg, CQ_INIT_LEN, &e->macs)) {
        cq_engine_drop(e, NULL, CQ_DROP_BAD_MAC1);
        return;
    }
    cq_load_note(e, now);
    if (cq_hash(in.hash, CQ_SPANS({msg, CQ_INIT_MAC2})) != CQ_OK) {
        cq_engine_drop(e, NULL, CQ_DROP_HANDSHAKE_INTERNAL);
        return;
    }
    struct cq_peer *peer;
    struct cq_pending *copy_of = find_copy(e, in.hash, &peer);
    if (copy_of != NULL) {
        answer_again(e, peer, copy_of, route, copy_of->reply, sizeof(copy_of->reply), now);
        return;
    }
    in.loaded = cq_load_is_high(e, now);
    if (in.loaded) {
        in.proven = cq_cookie_check(e, &route->remote, msg, CQ_INIT_LEN, in.cookie, now);
        if (!in.proven) {
            cq_cookie_answer(e, route, msg, CQ_INIT_LEN, now);
            cq_engine_drop(e, NULL, CQ_DROP_COOKIE_REQUIRED);
            return;
        }
        if (!cq_source_take(e, &route->remote, now)) {
            cq_engine_drop(e, NULL, CQ_DROP_RATE_LIMITED);
            return;
        }
    }
    check_secrets(e, &in, now);
    cq_wipe(in.cookie, sizeof(in.cookie));
}

static struct cq_pending *find_pending(struct cq_peer *peer, uint32_t idx)
{
    for (unsigned i = 0; peer != NULL && i < CQ_MAX_PENDING; i++)
        if (peer->pending[i] != NULL && peer->pending[i]->local_idx == idx)
            return peer->pending[i];
    return NULL;
}

static enum cq_drop read_offer(struct cq_engine *e, struct cq_peer *peer, struct cq_pending *p,
                               const uint8_t *msg, const uint8_t hash[32], cq_time now)
{
    struct cq_session_keys keys;
    struct cq_handshake_params params;
    uint8_t m[CQ_MLKEM_RANDOM_LEN], accept[CQ_ACCEPT_LEN];
    cq_engine_params(e, peer, &params);
    if (!cq_engine_random(e, m, sizeof(m)))
        return CQ_DROP_HANDSHAKE_INTERNAL;
    enum cq_drop drop = cq_offer_read(&p->hs, msg, &params, m, accept, &keys);
    struct cq_session *s = NULL;
    if (drop == CQ_DROP_NONE) {
        s = cq_session_add(e, peer, CQ_ROLE_RESPONDER, &keys, now, now);
        if (s == NULL)
            drop = CQ_DROP_HANDSHAKE_INTERNAL;
    }
    if (drop == CQ_DROP_NONE) {
        s->duration = now - p->created;
        p->offered = true;
        memcpy(p->offer_hash, hash, sizeof(p->offer_hash));
        memcpy(p->accept, accept, sizeof(p->accept));
        cq_responder_wipe(&p->hs);
    }
    cq_wipe(m, sizeof(m));
    cq_wipe(&keys, sizeof(keys));
    return drop;
}

void cq_admit_offer(struct cq_engine *e, const struct cq_route *route, const uint8_t *msg,
                    cq_time now)
{
    uint32_t idx = cq_load_be32(msg + CQ_ANSWER_RECEIVER);
    struct cq_peer *peer = cq_engine_by_index(e, idx);
    struct cq_pending *p = find_pending(peer, idx);
    uint8_t hash[32];
    if (p == NULL) {
        cq_engine_drop(e, NULL, CQ_DROP_UNKNOWN_INDEX);
        return;
    }
    if (cq_hash(hash, CQ_SPANS({msg, CQ_OFFER_LEN})) != CQ_OK) {
        cq_engine_drop(e, NULL, CQ_DROP_HANDSHAKE_INTERNAL);
        return;
    }
    if (p->offered) {
        if (memcmp(hash, p->offer_hash, sizeof(hash)) == 0)
            answer_again(e, peer, p, route, p->accept, sizeof(p->accept), now);
        else
            cq_engine_drop(e, peer, CQ_DROP_STALE_HANDSHAKE);
        return;
    }
    enum cq_drop drop = read_offer(e, peer, p, msg, hash, now);
    if (drop != CQ_DROP_NONE) {
        cq_engine_drop(e, peer, drop);
    } else {
        p->num_answers++;
        p->last_answer = now;
        cq_action_send(e, peer, route, p->accept, sizeof(p->accept));
    }
    cq_timer_update(e, peer);
}

void cq_admit_key_request(struct cq_engine *e, const struct cq_route *route, const uint8_t *msg,
                          cq_time now)
{
    uint8_t cookie[CQ_COOKIE_LEN], answer[CQ_KEY_RESPONSE_LEN];
    enum cq_drop drop = CQ_DROP_NONE;
    if (!cq_mac1_verify(msg, CQ_KEY_REQUEST_LEN, &e->macs)) {
        cq_engine_drop(e, NULL, CQ_DROP_BAD_MAC1);
        return;
    }
    cq_load_note(e, now);
    if (!e->config.answer_keys) {
        drop = CQ_DROP_KEY_ANSWERS_OFF;
    } else if (!cq_cookie_check(e, &route->remote, msg, CQ_KEY_REQUEST_LEN, cookie, now)) {
        cq_cookie_answer(e, route, msg, CQ_KEY_REQUEST_LEN, now);
        drop = CQ_DROP_COOKIE_REQUIRED;
    } else if (!cq_source_take(e, &route->remote, now)) {
        drop = CQ_DROP_RATE_LIMITED;
    }
    if (drop != CQ_DROP_NONE) {
        cq_engine_drop(e, NULL, drop);
        return;
    }
    cq_key_response_write(answer, cq_load_be32(msg + CQ_KEY_ID), &e->config.identity->public_key);
    cq_action_send(e, NULL, route, answer, sizeof(answer));
    e->keys_sent++;
}

void cq_admit_key_push(struct cq_engine *e, const uint8_t *msg, cq_time now)
{
    struct cq_public_key key;
    uint8_t id[CQ_PEER_ID_LEN];
    if (!cq_key_push_verify(msg, &e->macs)) {
        cq_engine_drop(e, NULL, CQ_DROP_BAD_MAC1);
        return;
    }
    memcpy(key.s, msg + CQ_KEY_PUSH_KEY, sizeof(key.s));
    memcpy(key.ek, msg + CQ_KEY_PUSH_KEY + sizeof(key.s), sizeof(key.ek));
    struct cq_peer *peer = NULL;
    if (cq_peer_id(id, &key) == CQ_OK)
        peer = cq_engine_by_id(e, id);
    if (peer == NULL || peer->key != NULL)
        cq_engine_drop(e, NULL, CQ_DROP_KEY_NOT_WANTED);
    else if (cq_mlkem_check(key.ek) != CQ_OK)
        cq_engine_drop(e, peer, CQ_DROP_BAD_KEM_KEY);
    else if (cq_peer_learn_key(e, peer, &key) != CQ_OK)
        cq_engine_drop(e, peer, CQ_DROP_HANDSHAKE_INTERNAL);
    else
        cq_attempt_on_key_known(e, peer, now);
}
