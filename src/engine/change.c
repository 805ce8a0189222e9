/*
 * Changes of a running engine: peers that go or are changed, allowed IPs of several peers at once,
 * options, another identity. Whoever calls has checked the whole configuration; what is not
 * mentioned here goes on without noticing.
 */
#include "engine/internal.h"

#include "proto/control.h"

#include <string.h>

/* Ends everything that was agreed with the peer; it learns so. */
static void end_sessions(struct cq_engine *e, struct cq_peer *peer, uint8_t reason, cq_time now)
{
    uint8_t entries[8];
    struct cq_writer w = cq_writer_make(entries, sizeof(entries));

    cq_control_write_close(&w, reason);
    cq_attempt_end(e, peer);
    for (unsigned i = 0; i < CQ_MAX_PENDING; i++)
        cq_pending_free(e, peer, i);
    for (unsigned i = 0; i < CQ_MAX_SESSIONS; i++)
        if (peer->sessions[i] != NULL)
            cq_session_close(e, peer, peer->sessions[i], entries, w.written, now);
    peer->start_at = peer->dead_check = peer->passive_check = CQ_TIME_NEVER;
}

enum cq_err cq_engine_remove_peer(struct cq_engine *e, uint32_t number, cq_time now)
{
    struct cq_peer *peer = cq_engine_peer(e, number);
    if (peer == NULL)
        return CQ_ERR_NOTFOUND;
    end_sessions(e, peer, CQ_CLOSE_REMOVED, now);
    cq_peer_free(e, peer);
    return CQ_OK;
}

bool cq_engine_psk_is(const struct cq_engine *e, uint32_t number, const uint8_t psk[CQ_PSK_LEN])
{
    const struct cq_peer *peer = cq_engine_peer(e, number);
    return peer != NULL && cq_equal_ct(peer->psk, psk, CQ_PSK_LEN);
}

static void change_psk(struct cq_engine *e, struct cq_peer *peer, const uint8_t psk[CQ_PSK_LEN],
                       cq_time now)
{
    if (cq_equal_ct(peer->psk, psk, CQ_PSK_LEN))
        return;
    memcpy(peer->psk, psk, CQ_PSK_LEN);
    peer->has_psk = !cq_is_zero_ct(psk, CQ_PSK_LEN);
    end_sessions(e, peer, CQ_CLOSE_KEY_LIFETIME, now);
    cq_path_peer_arm_unanswered(peer->path);
    cq_path_peer_arm_unreplied(peer->path);
    if (peer->persistent_keepalive > 0)
        peer->persistent_at = now;
}

static void change_endpoint(struct cq_engine *e, struct cq_peer *peer,
                            const struct cq_addr *endpoint, cq_time now)
{
    peer->configured = *endpoint;
    if (!cq_addr_is_usable(endpoint))
        return;
    peer->address.barred_until = now;
    if (!cq_addr_equal(&peer->address.current.remote, endpoint))
        cq_address_set(e, peer, &(struct cq_route){.remote = *endpoint});
    if (peer->need_traffic)
        cq_attempt_want(e, peer, CQ_CAUSE_TRAFFIC, now);
    else if (peer->persistent_keepalive > 0 && peer->current == NULL)
        peer->persistent_at = now;
}

static void change_keepalive(struct cq_peer *peer, uint16_t seconds, cq_time now)
{
    if (peer->persistent_keepalive == seconds)
        return;
    peer->persistent_keepalive = seconds;
    peer->persistent_at = seconds > 0 ? now : CQ_TIME_NEVER;
}

enum cq_err cq_engine_update_peer(struct cq_engine *e, uint32_t number, unsigned what,
                                  const struct cq_peer_config *config, cq_time now)
{
    struct cq_peer *peer = cq_engine_peer(e, number);
    if (peer == NULL)
        return CQ_ERR_NOTFOUND;
    if ((what & CQ_CHANGE_KEY) != 0 && config->key != NULL && peer->key == NULL) {
        if (cq_public_key_verify(config->key, peer->id) != CQ_OK)
            return CQ_ERR_INVALID;
        enum cq_err err = cq_peer_learn_key(e, peer, config->key);
        if (err != CQ_OK)
            return err;
        cq_attempt_on_key_known(e, peer, now);
    }
    if ((what & CQ_CHANGE_PSK) != 0)
        change_psk(e, peer, config->psk, now);
    if ((what & CQ_CHANGE_KEEPALIVE) != 0)
        change_keepalive(peer, config->persistent_keepalive, now);
    if ((what & CQ_CHANGE_ENDPOINT) != 0)
        change_endpoint(e, peer, &config->endpoint, now);
    cq_timer_update(e, peer);
    return CQ_OK;
}

enum cq_err cq_engine_set_prefixes(struct cq_engine *e, const struct cq_peer_prefixes *changes,
                                   size_t num_changes)
{
    const struct cq_allocator *a = e->config.allocator;
    size_t size = num_changes * sizeof(struct cq_path_prefixes);

    if (num_changes == 0)
        return CQ_OK;
    struct cq_path_prefixes *all = cq_alloc(a, size);
    enum cq_err err = all != NULL ? CQ_OK : CQ_ERR_NOMEM;
    for (size_t i = 0; err == CQ_OK && i < num_changes; i++) {
        const struct cq_peer *peer = cq_engine_peer(e, changes[i].number);
        if (peer == NULL)
            err = CQ_ERR_NOTFOUND;
        else
            all[i] = (struct cq_path_prefixes){.peer = peer->path,
                                               .prefixes = changes[i].allowed_ips,
                                               .num = changes[i].num_allowed_ips};
    }
    if (err == CQ_OK)
        err = cq_path_set_prefixes(e->config.path, all, num_changes);
    cq_free(a, all, all != NULL ? size : 0);
    return err;
}

enum cq_err cq_engine_set_options(struct cq_engine *e, const struct cq_engine_config *options)
{
    struct cq_engine_config config = e->config;

    config.rotate_secs = options->rotate_secs;
    config.suites = options->suites;
    config.preferred_suite = options->preferred_suite;
    config.yield_suite = options->yield_suite;
    config.answer_keys = options->answer_keys;
    config.push_keys = options->push_keys;
    if (!cq_engine_config_is_valid(&config))
        return CQ_ERR_RANGE;
    e->config = config;
    return CQ_OK;
}

/* 2 ms for each session: a handshake costs both sides less than one. */
static cq_time spread(const struct cq_engine *e)
{
    return cq_time_max(CQ_NS_PER_S, (cq_time)e->num_sessions * 2 * CQ_NS_PER_MS);
}

enum cq_err cq_engine_set_identity(struct cq_engine *e, const struct cq_identity *identity,
                                   cq_time now)
{
    struct cq_mac_keys macs;

    if (cq_engine_by_id(e, identity->id) != NULL)
        return CQ_ERR_INVALID;
    if (cq_mac_keys_init(&macs, identity->id) != CQ_OK)
        return CQ_ERR_CRYPTO;
    for (uint32_t i = 0; i < e->num_numbers; i++) {
        struct cq_peer *peer = e->peers[i];
        if (peer == NULL)
            continue;
        cq_attempt_end(e, peer);
        for (unsigned k = 0; k < CQ_MAX_PENDING; k++)
            cq_pending_free(e, peer, k);
        peer->has_replied = false; /* to the new one: it may not know our key */
        peer->start_at = CQ_TIME_NEVER;
        if (peer->current != NULL) {
            peer->start_at = now + cq_engine_jitter(e, spread(e));
            peer->start_order = peer->current->order;
        } else if (peer->persistent_keepalive > 0) {
            peer->persistent_at = now;
        }
        cq_timer_update(e, peer);
    }
    e->config.identity = identity;
    e->macs = macs;
    return CQ_OK;
}
