/* What an engine tells of itself and of its peers. */
#include "engine/internal.h"

#include <string.h>

const struct cq_counters *cq_engine_counters(const struct cq_engine *e)
{
    return &e->counters;
}

uint32_t cq_engine_peer_limit(const struct cq_engine *e)
{
    return e->num_numbers;
}

enum cq_err cq_engine_peer_status(const struct cq_engine *e, uint32_t number,
                                  struct cq_peer_status *out)
{
    const struct cq_peer *peer = cq_engine_peer(e, number);
    memset(out, 0, sizeof(*out));
    if (peer == NULL)
        return CQ_ERR_NOTFOUND;
    memcpy(out->id, peer->id, sizeof(out->id));
    out->key_known = peer->key != NULL;
    out->has_psk = peer->has_psk;
    out->handshaking = peer->attempt != NULL;
    out->endpoint = peer->address.current.remote;
    out->endpoint_proven = peer->address.learned && !peer->address.validating;
    out->path_mtu = (uint16_t)cq_pmtu_of_path(peer);
    out->persistent_keepalive = peer->persistent_keepalive;
    out->completed = peer->initiated + peer->responded;
    out->initiated = peer->initiated;
    out->responded = peer->responded;
    out->rotations = peer->rotations;
    out->failed = peer->failed;
    out->last_handshake = peer->last_handshake;
    out->last_duration = peer->last_duration;
    out->last_role = peer->last_role;
    out->last_drop = peer->last_drop;
    out->last_drop_at = peer->last_drop_at;
    out->attempt = peer->facts;
    out->refused = peer->refused;
    out->num_sessions = cq_session_count(peer);
    const struct cq_session *s = peer->current;
    if (s != NULL) {
        out->has_session = true;
        out->suite = s->suite;
        memcpy(out->sid, s->sid, sizeof(out->sid));
        out->began = s->began;
        out->rotate_at = s->rotate_at;
        out->send_until = s->send_until;
        out->recv_until = s->recv_until;
    }
    cq_path_peer_get_status(peer->path, &out->path);
    return CQ_OK;
}

void cq_engine_get_status(const struct cq_engine *e, struct cq_engine_status *out, cq_time now)
{
    *out = (struct cq_engine_status){
        .num_peers = e->num_peers,
        .num_sessions = e->num_sessions,
        .num_pending = e->num_pending,
        .under_load = cq_load_is_high(e, now),
        .cookies_sent = e->cookies_sent,
        .keys_sent = e->keys_sent,
        .keys_erased = e->keys_erased,
    };
}
