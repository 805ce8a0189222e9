#include "engine/internal.h"

#include "base/bytes.h"
#include "proto/control.h"

#include <string.h>

void cq_engine_drop(struct cq_engine *e, struct cq_peer *peer, enum cq_drop reason)
{
    cq_drop_count(&e->counters, reason, 1);
    if (peer != NULL) {
        peer->last_drop = reason;
        peer->last_drop_at = e->now;
    }
}

bool cq_engine_random(struct cq_engine *e, void *out, size_t len)
{
    if (e->config.random.fill(e->config.random.ctx, out, len) == 0)
        return true;
    memset(out, 0, len);
    return false;
}

cq_time cq_engine_jitter(struct cq_engine *e, cq_time range)
{
    uint8_t bytes[8];
    if (!cq_engine_random(e, bytes, sizeof(bytes)) || range <= 0)
        return 0;
    return (cq_time)(cq_load_be64(bytes) % (uint64_t)range);
}

struct cq_peer *cq_engine_peer(const struct cq_engine *e, uint32_t number)
{
    return number < e->num_numbers ? e->peers[number] : NULL;
}

struct cq_peer *cq_engine_by_id(const struct cq_engine *e, const uint8_t id[CQ_PEER_ID_LEN])
{
    uint32_t cursor = 0, number;
    while ((number = cq_map_next(&e->by_id, cq_load_be32(id), &cursor)) != CQ_MAP_EMPTY) {
        struct cq_peer *peer = cq_engine_peer(e, number);
        if (memcmp(peer->id, id, CQ_PEER_ID_LEN) == 0)
            return peer;
    }
    return NULL;
}

struct cq_peer *cq_engine_by_index(const struct cq_engine *e, uint32_t idx)
{
    uint32_t cursor = 0;
    uint32_t number = cq_map_next(&e->by_index, idx, &cursor);
    return number == CQ_MAP_EMPTY ? NULL : cq_engine_peer(e, number);
}

enum cq_err cq_engine_take_index(struct cq_engine *e, struct cq_peer *peer, uint32_t *out_idx)
{
    uint8_t bytes[4];
    do {
        if (!cq_engine_random(e, bytes, sizeof(bytes)))
            return CQ_ERR_RANDOM;
        *out_idx = cq_load_be32(bytes);
    } while (cq_engine_by_index(e, *out_idx) != NULL);
    return cq_map_add(&e->by_index, *out_idx, peer->number);
}

static bool index_in_use(const struct cq_peer *peer, uint32_t idx)
{
    const struct cq_attempt *a = peer->attempt;
    if (a != NULL && ((a->stage == CQ_STAGE_KEY && a->request_id == idx) ||
                      (a->own[0].used && a->own[0].hs.local_idx == idx) ||
                      (a->own[1].used && a->own[1].hs.local_idx == idx)))
        return true;
    for (unsigned i = 0; i < CQ_MAX_PENDING; i++)
        if (peer->pending[i] != NULL && peer->pending[i]->local_idx == idx)
            return true;
    return cq_session_find(peer, idx) != NULL;
}

void cq_engine_release_index(struct cq_engine *e, struct cq_peer *peer, uint32_t idx)
{
    if (!index_in_use(peer, idx))
        cq_map_remove(&e->by_index, idx, peer->number);
}

void cq_engine_params(const struct cq_engine *e, const struct cq_peer *peer,
                      struct cq_handshake_params *out)
{
    *out = (struct cq_handshake_params){
        .self = e->config.identity,
        .peer_id = peer->id,
        .peer_key = peer->key,
        .psk = peer->psk,
        .suites = e->config.suites,
        .preferred_suite = e->config.preferred_suite,
        .rotate_secs = e->config.rotate_secs,
    };
}

bool cq_engine_config_is_valid(const struct cq_engine_config *c)
{
    const uint8_t known = CQ_SUITE_AES_256_GCM | CQ_SUITE_CHACHA20_POLY1305;
    return c->rotate_secs >= CQ_ROTATE_SECS_MIN && c->rotate_secs <= CQ_ROTATE_SECS_MAX &&
           (c->suites & known) != 0 && (c->suites & ~known) == 0;
}

static enum cq_err allocate_tables(struct cq_engine *e)
{
    const struct cq_allocator *a = e->config.allocator;
    e->actions = cq_alloc(a, (CQ_NUM_ACTIONS + 1) * sizeof(*e->actions));
    e->sources = cq_alloc(a, CQ_NUM_SOURCES * sizeof(*e->sources));
    return e->actions != NULL && e->sources != NULL ? CQ_OK : CQ_ERR_NOMEM;
}

enum cq_err cq_engine_new(struct cq_engine **out, const struct cq_engine_config *config,
                          cq_time now)
{
    (void)now;
    *out = NULL;
    if (!cq_engine_config_is_valid(config))
        return CQ_ERR_RANGE;
    struct cq_engine *e = cq_alloc(config->allocator, sizeof(*e));
    if (e == NULL)
        return CQ_ERR_NOMEM;
    e->config = *config;
    if (e->config.load_per_second == 0)
        e->config.load_per_second = CQ_LOAD_DEFAULT;
    if (e->config.source_per_second == 0)
        e->config.source_per_second = CQ_SOURCE_RATE;
    if (e->config.source_burst == 0)
        e->config.source_burst = CQ_SOURCE_BURST;
    cq_map_init(&e->by_id, config->allocator);
    cq_map_init(&e->by_index, config->allocator);
    cq_map_init(&e->by_init, config->allocator);
    e->cookie_made[0] = e->cookie_made[1] = CQ_TIME_NEVER;

    enum cq_err err = allocate_tables(e);
    if (err == CQ_OK)
        err = cq_mac_keys_init(&e->macs, config->identity->id);
    if (err == CQ_OK && !cq_engine_random(e, &e->source_seed, sizeof(e->source_seed)))
        err = CQ_ERR_RANDOM;
    if (err != CQ_OK) {
        cq_engine_free(e);
        return err;
    }
    *out = e;
    return CQ_OK;
}

void cq_peer_free(struct cq_engine *e, struct cq_peer *peer)
{
    const struct cq_allocator *a = e->config.allocator;
    cq_attempt_end(e, peer);
    for (unsigned i = 0; i < CQ_MAX_PENDING; i++)
        cq_pending_free(e, peer, i);
    for (unsigned i = 0; i < CQ_MAX_SESSIONS; i++)
        if (peer->sessions[i] != NULL)
            cq_session_erase(e, peer, peer->sessions[i]);
    cq_timer_remove(e, peer);
    if (peer->path != NULL)
        cq_path_peer_remove(e->config.path, peer->path);
    if (peer->key != NULL)
        cq_free(a, peer->key, sizeof(*peer->key));
    if (peer->used) {
        cq_map_remove(&e->by_id, cq_load_be32(peer->id), peer->number);
        e->peers[peer->number] = NULL;
        e->num_peers--;
    }
    cq_free(a, peer, sizeof(*peer));
}

void cq_engine_free(struct cq_engine *e)
{
    if (e == NULL)
        return;
    const struct cq_allocator *a = e->config.allocator;
    for (uint32_t i = 0; i < e->num_numbers; i++)
        if (e->peers[i] != NULL)
            cq_peer_free(e, e->peers[i]);
    cq_map_wipe(&e->by_id);
    cq_map_wipe(&e->by_index);
    cq_map_wipe(&e->by_init);
    cq_free(a, e->peers, e->max_numbers * sizeof(struct cq_peer *));
    cq_free(a, e->heap, e->max_numbers * sizeof(struct cq_peer *));
    cq_free(a, e->sources, e->sources != NULL ? CQ_NUM_SOURCES * sizeof(*e->sources) : 0);
    cq_free(a, e->actions, e->actions != NULL ? (CQ_NUM_ACTIONS + 1) * sizeof(*e->actions) : 0);
    cq_free(a, e, sizeof(*e));
}

/* Room for one more number, in the table of peers and in the heap. */
static enum cq_err reserve_number(struct cq_engine *e, uint32_t *out)
{
    /* From where the last one was found: a number comes back late, when nothing speaks of the peer
     * any more that had it, and many are found without looking at all again and again. */
    for (uint32_t i = 0; i < e->num_numbers && e->num_peers < e->num_numbers; i++) {
        uint32_t number = (e->next_number + i) % e->num_numbers;
        if (e->peers[number] == NULL) {
            e->next_number = number + 1;
            *out = number;
            return CQ_OK;
        }
    }
    if (e->num_numbers == e->max_numbers) {
        const struct cq_allocator *a = e->config.allocator;
        uint32_t max = e->max_numbers == 0 ? 4 : e->max_numbers * 2;
        size_t old_size = e->max_numbers * sizeof(struct cq_peer *);
        struct cq_peer **peers = cq_alloc(a, max * sizeof(*peers));
        struct cq_peer **heap = cq_alloc(a, max * sizeof(*heap));
        if (peers == NULL || heap == NULL) {
            cq_free(a, peers, peers != NULL ? max * sizeof(*peers) : 0);
            cq_free(a, heap, heap != NULL ? max * sizeof(*heap) : 0);
            return CQ_ERR_NOMEM;
        }
        if (old_size > 0) {
            memcpy(peers, e->peers, old_size);
            memcpy(heap, e->heap, old_size);
        }
        cq_free(a, e->peers, old_size);
        cq_free(a, e->heap, old_size);
        e->peers = peers;
        e->heap = heap;
        e->max_numbers = max;
    }
    *out = e->num_numbers;
    return CQ_OK;
}

static void peer_init(struct cq_peer *peer, const struct cq_peer_config *c)
{
    static const uint8_t zeros[CQ_PSK_LEN];
    memcpy(peer->id, c->id, sizeof(peer->id));
    memcpy(peer->psk, c->psk, sizeof(peer->psk));
    peer->has_psk = !cq_equal_ct(c->psk, zeros, sizeof(zeros));
    peer->has_replied = c->replied_before;
    peer->configured = c->endpoint;
    peer->persistent_keepalive = c->persistent_keepalive;
    peer->start_at = peer->cookie_until = peer->accepted_at = CQ_TIME_NEVER;
    peer->dead_check = peer->passive_check = peer->persistent_at = CQ_TIME_NEVER;
    peer->last_handshake = peer->deadline = CQ_TIME_NEVER;
    peer->address.next_ping = CQ_TIME_NEVER;
    for (unsigned i = 0; i < CQ_NUM_SEEN_MACS; i++)
        peer->seen[i].at = CQ_TIME_NEVER;
}

static enum cq_err peer_attach(struct cq_engine *e, struct cq_peer *peer,
                               const struct cq_peer_config *c)
{
    enum cq_err err = CQ_OK;
    if (c->key != NULL) {
        err = cq_public_key_verify(c->key, c->id);
        if (err == CQ_ERR_AUTH)
            err = CQ_ERR_INVALID;
        if (err == CQ_OK) {
            peer->key = cq_alloc(e->config.allocator, sizeof(*peer->key));
            if (peer->key == NULL)
                return CQ_ERR_NOMEM;
            *peer->key = *c->key;
        }
    }
    if (err == CQ_OK)
        err = cq_path_peer_add(e->config.path, peer->number, &peer->path);
    if (err == CQ_OK)
        cq_pmtu_init(e, peer);
    if (err == CQ_OK && c->num_allowed_ips > 0)
        err = cq_path_peer_set_prefixes(e->config.path, peer->path, c->allowed_ips,
                                        c->num_allowed_ips);
    if (err == CQ_OK)
        err = cq_map_add(&e->by_id, cq_load_be32(peer->id), peer->number);
    return err;
}

enum cq_err cq_engine_add_peer(struct cq_engine *e, const struct cq_peer_config *config,
                               cq_time now, uint32_t *out_number)
{
    if (memcmp(config->id, e->config.identity->id, CQ_PEER_ID_LEN) == 0)
        return CQ_ERR_INVALID;
    if (cq_engine_by_id(e, config->id) != NULL)
        return CQ_ERR_EXISTS;
    uint32_t number;
    enum cq_err err = reserve_number(e, &number);
    if (err != CQ_OK)
        return err;
    struct cq_peer *peer = cq_alloc(e->config.allocator, sizeof(*peer));
    if (peer == NULL)
        return CQ_ERR_NOMEM;
    peer->number = number;
    peer_init(peer, config);
    err = peer_attach(e, peer, config);
    if (err != CQ_OK) {
        cq_peer_free(e, peer);
        return err;
    }
    peer->used = true;
    e->peers[number] = peer;
    if (number == e->num_numbers)
        e->num_numbers++;
    e->num_peers++;
    if (config->endpoint.ip.family != CQ_FAMILY_NONE)
        cq_address_set(e, peer, &(struct cq_route){.remote = config->endpoint});
    if (peer->address.unpublished) {
        cq_peer_free(e, peer);
        return CQ_ERR_NOMEM;
    }
    if (peer->persistent_keepalive > 0)
        peer->persistent_at = now;
    cq_timer_update(e, peer);
    *out_number = number;
    return CQ_OK;
}

static void send_close(struct cq_engine *e, const struct cq_peer *peer,
                       const struct cq_session *session, uint8_t reason)
{
    struct cq_action *a = cq_action_push(e, CQ_ACTION_SEND_CONTROL, peer);
    a->local_idx = session->local_idx;
    struct cq_writer w = cq_writer_make(a->data, sizeof(a->data));
    cq_control_write_close(&w, reason);
    a->len = (uint16_t)w.written;
}

enum cq_err cq_engine_find_peer(const struct cq_engine *e, const uint8_t id[32],
                                uint32_t *out_number)
{
    const struct cq_peer *peer = cq_engine_by_id(e, id);
    if (peer == NULL)
        return CQ_ERR_NOTFOUND;
    *out_number = peer->number;
    return CQ_OK;
}

void cq_engine_set_endpoint(struct cq_engine *e, uint32_t number, const struct cq_addr *endpoint,
                            cq_time now)
{
    struct cq_peer *peer = cq_engine_peer(e, number);
    if (peer == NULL || !cq_addr_is_usable(endpoint))
        return;
    bool first = peer->address.current.remote.ip.family == CQ_FAMILY_NONE;
    peer->configured = *endpoint;
    if (first || peer->current == NULL)
        cq_address_set(e, peer, &(struct cq_route){.remote = *endpoint});
    if (first && peer->need_traffic)
        cq_attempt_want(e, peer, CQ_CAUSE_TRAFFIC, now);
    else if (first && peer->persistent_keepalive > 0)
        peer->persistent_at = now;
    cq_timer_update(e, peer);
}

void cq_engine_recall_endpoint(struct cq_engine *e, uint32_t number, const struct cq_addr *endpoint,
                               cq_time now)
{
    struct cq_peer *peer = cq_engine_peer(e, number);
    if (peer == NULL || !cq_addr_is_usable(endpoint) || cq_session_count(peer) > 0 ||
        peer->attempt != NULL)
        return;
    cq_address_recall(e, peer, endpoint);
    if (peer->need_traffic)
        cq_attempt_want(e, peer, CQ_CAUSE_TRAFFIC, now);
    cq_timer_update(e, peer);
}

void cq_engine_receive(struct cq_engine *e, const struct cq_route *route, const uint8_t *data,
                       size_t len, cq_time now)
{
    e->now = now;
    enum cq_drop drop = cq_wire_check(data, len);
    if (drop == CQ_DROP_NONE && !cq_addr_is_usable(&route->remote))
        drop = CQ_DROP_BAD_SOURCE;
    if (drop != CQ_DROP_NONE) {
        cq_engine_drop(e, NULL, drop);
        return;
    }
    e->heard_from = &route->remote;
    switch ((enum cq_msg_type)data[0]) {
    case CQ_MSG_INIT:
        cq_admit_init(e, route, data, now);
        break;
    case CQ_MSG_REPLY:
        cq_attempt_on_reply(e, data, now);
        break;
    case CQ_MSG_OFFER:
        cq_admit_offer(e, route, data, now);
        break;
    case CQ_MSG_ACCEPT:
        cq_attempt_on_accept(e, data, now);
        break;
    case CQ_MSG_COOKIE:
        cq_attempt_on_cookie(e, route, data, now);
        break;
    case CQ_MSG_KEY_REQUEST:
        cq_admit_key_request(e, route, data, now);
        break;
    case CQ_MSG_KEY_RESPONSE:
        cq_attempt_on_key_response(e, data, now);
        break;
    case CQ_MSG_KEY_PUSH:
        cq_admit_key_push(e, data, now);
        break;
    case CQ_MSG_DATA:
    case CQ_MSG_CONTROL:
        break; /* cq_wire_check lets none through */
    }
    e->heard_from = NULL;
}

void cq_engine_note_send_error(struct cq_engine *e, uint32_t number, enum cq_send_fault fault,
                               cq_time now)
{
    struct cq_peer *peer = cq_engine_peer(e, number);
    if (peer == NULL || peer->attempt == NULL)
        return;
    peer->facts.send_fault = (uint8_t)fault;
    cq_facts_note(&peer->facts, CQ_STEP_SEND_ERROR, now);
}

enum cq_err cq_peer_learn_key(struct cq_engine *e, struct cq_peer *peer,
                              const struct cq_public_key *key)
{
    peer->key = cq_alloc(e->config.allocator, sizeof(*peer->key));
    if (peer->key == NULL)
        return CQ_ERR_NOMEM;
    *peer->key = *key;
    struct cq_action *a = cq_action_push(e, CQ_ACTION_STORE_KEY, peer);
    a->len = CQ_PUBLIC_KEY_LEN;
    memcpy(a->data, key->s, sizeof(key->s));
    memcpy(a->data + sizeof(key->s), key->ek, sizeof(key->ek));
    cq_action_log(e, peer, CQ_EVENT_KEY_LEARNED);
    return CQ_OK;
}

static void on_rotate_due(struct cq_engine *e, struct cq_peer *peer, struct cq_session *s,
                          cq_time now)
{
    /* Armed again so that DATA asks once more should this attempt come to nothing, at a bounded
     * rate. */
    cq_path_keypair_set_rotate_at(s->keypair, now + CQ_NS_PER_S);
    if (s == peer->current)
        cq_attempt_want(e, peer, CQ_CAUSE_ROTATION, now);
}

static void on_limit(struct cq_engine *e, struct cq_peer *peer, struct cq_session *s,
                     bool exhausted, cq_time now)
{
    struct cq_keypair_status status;
    cq_keypair_get_status(s->keypair, &status);
    if (exhausted && status.failed_tags >= (UINT64_C(1) << 36)) {
        bool is_current = s == peer->current;
        cq_session_erase(e, peer, s);
        if (is_current)
            cq_attempt_want(e, peer, CQ_CAUSE_ROTATION, now);
    } else {
        on_rotate_due(e, peer, s, now); /* a limit is reported once, so DATA asks from here on */
    }
}

static void on_close(struct cq_engine *e, struct cq_peer *peer, struct cq_session *s,
                     uint8_t reason, cq_time now)
{
    struct cq_event_record *log = cq_action_log(e, peer, CQ_EVENT_SESSION_CLOSED);
    memcpy(log->sid, s->sid, sizeof(log->sid));
    log->close_reason = reason;
    cq_session_erase(e, peer, s);
    peer->closed_until = now + CQ_AFTER_CLOSE;
}

static void on_session_event(struct cq_engine *e, struct cq_peer *peer, struct cq_session *s,
                             const struct cq_path_event *ev, cq_time now)
{
    switch (ev->type) {
    case CQ_PATH_FIRST_RECORD:
        cq_session_on_first_record(e, peer, s, ev, now);
        break;
    case CQ_PATH_ROTATE_DUE:
        on_rotate_due(e, peer, s, now);
        break;
    case CQ_PATH_LIMIT:
        on_limit(e, peer, s, ev->exhausted, now);
        break;
    case CQ_PATH_MOVED:
        if (s == peer->current)
            cq_address_seen(e, peer, ev, now);
        break;
    case CQ_PATH_LANE0_QUIET:
        if (s == peer->current)
            cq_action_keepalive(e, peer, s, NULL);
        break;
    case CQ_PATH_PING:
        cq_liveness_on_ping(e, peer, ev, now);
        break;
    case CQ_PATH_PONG:
        cq_address_on_pong(e, peer, ev, now);
        cq_pmtu_on_pong(e, peer, ev, now);
        break;
    case CQ_PATH_CLOSE:
        on_close(e, peer, s, ev->close_reason, now);
        break;
    case CQ_PATH_NEED_SESSION:
    case CQ_PATH_UNANSWERED:
    case CQ_PATH_UNREPLIED:
    case CQ_PATH_LARGE:
        break; /* about the peer: handled by the caller */
    }
}

static bool may_send(const struct cq_session *s, cq_time now)
{
    struct cq_keypair_status status;

    if (s == NULL || now >= s->send_until)
        return false;
    cq_keypair_get_status(s->keypair, &status);
    return !status.exhausted;
}

/* A worker saw no keypair to send with when it staged the packet. Where one has come meanwhile (the
 * record that confirmed it was on its way to us), the packet goes under that. */
static void on_need_session(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    if (may_send(peer->current, now)) {
        cq_action_push(e, CQ_ACTION_SESSION_READY, peer);
        return;
    }
    peer->need_traffic = true;
    cq_attempt_want(e, peer, CQ_CAUSE_TRAFFIC, now);
}

void cq_engine_path_event(struct cq_engine *e, const struct cq_path_event *ev, cq_time now)
{
    struct cq_peer *peer = cq_engine_peer(e, ev->peer);
    if (peer == NULL)
        return;
    e->now = now;
    if (ev->type == CQ_PATH_NEED_SESSION) {
        on_need_session(e, peer, now);
    } else if (ev->type == CQ_PATH_UNANSWERED) {
        peer->dead_jitter = cq_engine_jitter(e, CQ_DEAD_PEER_SPAN);
        peer->dead_check = ev->when + CQ_DEAD_PEER + peer->dead_jitter;
    } else if (ev->type == CQ_PATH_UNREPLIED) {
        peer->passive_check = ev->when + CQ_PASSIVE_KEEPALIVE;
    } else if (ev->type == CQ_PATH_LARGE) {
        cq_pmtu_on_large(e, peer, now);
    } else {
        struct cq_session *s = cq_session_find(peer, ev->local_idx);
        if (s != NULL)
            on_session_event(e, peer, s, ev, now);
    }
    cq_timer_update(e, peer);
}

enum cq_err cq_engine_rotate(struct cq_engine *e, uint32_t number, cq_time now)
{
    struct cq_peer *peer = cq_engine_peer(e, number);
    if (peer == NULL)
        return CQ_ERR_NOTFOUND;
    if (peer->address.current.remote.ip.family == CQ_FAMILY_NONE)
        return CQ_ERR_STATE;
    cq_attempt_want(e, peer, CQ_CAUSE_USER, now);
    cq_timer_update(e, peer);
    return CQ_OK;
}

cq_time cq_engine_next_expiry(const struct cq_engine *e)
{
    return e->heap_len > 0 ? e->heap[0]->deadline : CQ_TIME_NEVER;
}

static void close_all(struct cq_engine *e, struct cq_peer *peer)
{
    peer->closing = false;
    cq_attempt_end(e, peer);
    peer->start_at = CQ_TIME_NEVER;
    for (unsigned i = 0; i < CQ_MAX_SESSIONS; i++)
        if (peer->sessions[i] != NULL)
            send_close(e, peer, peer->sessions[i], CQ_CLOSE_SHUTDOWN);
}

void cq_engine_handle_expiry(struct cq_engine *e, cq_time now)
{
    e->now = now;
    while (e->heap_len > 0 && e->heap[0]->deadline <= now &&
           cq_action_space(e) >= CQ_ACTIONS_PER_TICK) {
        struct cq_peer *peer = e->heap[0];
        if (peer->closing)
            close_all(e, peer);
        cq_session_tick(e, peer, now);
        cq_pending_tick(e, peer, now);
        cq_address_tick(e, peer, now);
        cq_pmtu_tick(e, peer, now);
        cq_liveness_tick(e, peer, now);
        cq_attempt_tick(e, peer, now);
        cq_timer_update(e, peer);
    }
}

void cq_engine_shutdown(struct cq_engine *e, cq_time now)
{
    for (uint32_t i = 0; i < e->num_numbers; i++) {
        struct cq_peer *peer = e->peers[i];
        if (peer == NULL)
            continue;
        peer->closing = true;
        peer->persistent_at = CQ_TIME_NEVER;
        cq_timer_update(e, peer);
    }
    cq_engine_handle_expiry(e, now);
}

void cq_engine_wipe(struct cq_engine *e, cq_time now)
{
    for (uint32_t i = 0; i < e->num_numbers; i++) {
        struct cq_peer *peer = e->peers[i];
        if (peer == NULL)
            continue;
        cq_attempt_end(e, peer);
        for (unsigned k = 0; k < CQ_MAX_PENDING; k++)
            cq_pending_free(e, peer, k);
        for (unsigned k = 0; k < CQ_MAX_SESSIONS; k++)
            if (peer->sessions[k] != NULL)
                cq_session_erase(e, peer, peer->sessions[k]);
        cq_wipe(peer->cookie, sizeof(peer->cookie));
        peer->cookie_until = CQ_TIME_NEVER;
        peer->start_at = peer->dead_check = peer->passive_check = CQ_TIME_NEVER;
        cq_path_peer_arm_unanswered(peer->path);
        cq_path_peer_arm_unreplied(peer->path);
        if (peer->persistent_keepalive > 0)
            peer->persistent_at = now;
        cq_timer_update(e, peer);
    }
    cq_wipe(e->cookie_secret, sizeof(e->cookie_secret));
    e->cookie_made[0] = e->cookie_made[1] = CQ_TIME_NEVER;
}
