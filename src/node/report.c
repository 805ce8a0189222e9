#include "node/report.h"

#include "base/log.h"
#include "crypto/aead.h"
#include "node/label.h"
#include "node/source.h"
#include "os/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *session_text(const uint8_t sid[8], char out[17])
{
    for (int i = 0; i < 8; i++)
        snprintf(out + (size_t)(2 * i), 3, "%02x", sid[i]);
    return out;
}

static const char *close_reason_name(unsigned reason)
{
    static const char *const names[] = {"shutdown", "key_lifetime", "removed"};

    return reason < sizeof(names) / sizeof(names[0]) ? names[reason] : "unknown";
}

/* The peer of an engine's number; NULL where none is concerned. */
static const struct cq_conf_peer *find_peer(const struct cq_control *control, uint32_t number)
{
    if (number >= control->num_indices || control->indices[number] >= control->conf->num_peers)
        return NULL;
    return &control->conf->peers[control->indices[number]];
}

void cq_report_event(const struct cq_control *control, const struct cq_action *action)
{
    const struct cq_event_record *e = &action->event;
    char sid[17], address[CQ_ADDR_TEXT_MAX];

    if (!cq_log_wants(cq_event_level(e->event)))
        return;
    struct cq_label label = cq_label_make(find_peer(control, action->peer));
    const struct cq_field interface = cq_field_text("interface", control->conf->interface),
                          peer = cq_label_peer(&label), name = cq_label_name(&label),
                          session = cq_field_text("session", session_text(e->sid, sid));

    switch (e->event) {
    case CQ_EVENT_HANDSHAKE_COMPLETE:
    case CQ_EVENT_KEY_ROTATION:
        cq_log(e->event, interface, peer, name, cq_field_text("role", cq_role_name(e->role)),
               cq_field_ms("duration_ms", e->duration),
               cq_field_text("suite", cq_suite_name(e->suite)), session);
        break;
    case CQ_EVENT_HANDSHAKE_FAILED:
    case CQ_EVENT_HANDSHAKE_REFUSED:
        cq_log(e->event, interface, peer, name,
               cq_field_text("reason", cq_diagnosis_name(e->diagnosis)),
               cq_field_text("drop", cq_drop_name(e->reason)));
        break;
    case CQ_EVENT_SESSION_CLOSED:
        cq_log(e->event, interface, peer, name,
               cq_field_text("reason", close_reason_name(e->close_reason)), session);
        break;
    case CQ_EVENT_ENDPOINT_CHANGED:
    case CQ_EVENT_ENDPOINT_REVERTED:
        cq_log(e->event, interface, peer, name,
               cq_field_text("endpoint", cq_addr_format(&action->route.remote, address)));
        break;
    case CQ_EVENT_PATH_MTU:
    case CQ_EVENT_PATH_TOO_SMALL:
        cq_log(e->event, interface, peer, name, cq_field_int("path_mtu", e->path_mtu));
        break;
    case CQ_EVENT_KEYS_ERASED:
        cq_log(e->event, interface, peer, name, session);
        break;
    case CQ_EVENT_HANDSHAKE_STARTED:
    case CQ_EVENT_SESSION_EXPIRED:
    case CQ_EVENT_KEY_LEARNED:
    case CQ_EVENT_PEER_UNREACHABLE:
    default: /* the others are not the engine's */
        cq_log(e->event, interface, peer, name);
        break;
    }
}

void cq_report_fallback(const struct cq_control *control, const struct cq_worker_fallback *fallback)
{
    char address[CQ_ADDR_TEXT_MAX];
    bool has_address = fallback->to.ip.family != CQ_FAMILY_NONE;

    cq_log(CQ_EVENT_OFFLOAD_GIVEN_UP, cq_field_text("interface", control->conf->interface),
           cq_field_text("offload", cq_offload_name(fallback->offload)),
           cq_field_text("endpoint", has_address ? cq_addr_format(&fallback->to, address) : NULL),
           cq_field_text("reason", strerror(fallback->error)));
}

static uint64_t whole_secs(cq_time from, cq_time to)
{
    return to > from ? (uint64_t)((to - from) / CQ_NS_PER_S) : 0;
}

static void fill_session(struct cq_node_peer_status *out, const struct cq_peer_status *in,
                         cq_time now, cq_time wall)
{
    if (in->last_handshake != CQ_TIME_NEVER) {
        out->latest_handshake_secs = whole_secs(in->last_handshake, now);
        out->latest_handshake = (wall - (now - in->last_handshake)) / CQ_NS_PER_S;
        out->handshake_duration_us = (uint64_t)(in->last_duration / 1000);
        out->latest_as_initiator = in->last_role == CQ_ROLE_INITIATOR;
    }
    out->num_sessions = in->num_sessions;
    out->has_session = in->has_session;
    if (!in->has_session)
        return;
    out->suite = in->suite;
    memcpy(out->session_id, in->sid, sizeof(out->session_id));
    out->key_age_secs = whole_secs(in->began, now);
    out->rotate_in_secs = in->rotate_at == CQ_TIME_NEVER ? 0 : whole_secs(now, in->rotate_at);
}

static void fill_attempt(struct cq_node_peer_status *out, const struct cq_peer_status *in,
                         cq_time now)
{
    out->attempt = in->attempt;
    out->attempt.began = 0;
    if (in->attempt.happened)
        out->attempt_secs = whole_secs(in->attempt.began, now);
    out->refused = in->refused.drop;
    out->num_refused = in->refused.num;
    if (in->refused.num > 0)
        out->refused_secs = whole_secs(in->refused.last, now);
    if (in->path.unanswered_since != CQ_TIME_NEVER)
        out->unanswered_secs = whole_secs(in->path.unanswered_since, now);
}

/* HOST:PORT as configured; *out is NULL where there is none. */
static enum cq_err fill_configured(char **out, const struct cq_conf_endpoint *endpoint)
{
    if (endpoint->host == NULL)
        return CQ_OK;
    size_t size = strlen(endpoint->host) + sizeof("[]:65535");
    *out = malloc(size);
    if (*out == NULL)
        return CQ_ERR_NOMEM;
    snprintf(*out, size, strchr(endpoint->host, ':') != NULL ? "[%s]:%u" : "%s:%u", endpoint->host,
             endpoint->port);
    return CQ_OK;
}

enum cq_err cq_report_peer(struct cq_node_peer_status *out, const struct cq_conf_peer *peer,
                           const struct cq_peer_status *in, cq_time now, cq_time wall)
{
    memcpy(out->name, peer->name, sizeof(out->name));
    memcpy(out->id, in->id, sizeof(out->id));
    out->has_psk = in->has_psk;
    out->key_known = in->key_known;
    out->handshaking = in->handshaking;
    if (in->endpoint.ip.family != CQ_FAMILY_NONE)
        cq_addr_format(&in->endpoint, out->endpoint);
    out->path_mtu = in->path_mtu;
    out->persistent_keepalive = in->persistent_keepalive;
    out->rx_bytes = in->path.rx_bytes;
    out->tx_bytes = in->path.tx_bytes;
    out->rx_packets = in->path.rx_packets;
    out->tx_packets = in->path.tx_packets;
    out->num_staged = in->path.num_staged;
    out->initiated = in->initiated;
    out->responded = in->responded;
    out->rotations = in->rotations;
    out->failed = in->failed;
    out->last_drop = in->last_drop;
    if (in->last_drop != CQ_DROP_NONE)
        out->last_drop_secs = whole_secs(in->last_drop_at, now);
    fill_attempt(out, in, now);
    fill_session(out, in, now, wall);
    if (fill_configured(&out->configured_endpoint, &peer->endpoint) != CQ_OK)
        return CQ_ERR_NOMEM;
    if (peer->num_allowed_ips == 0)
        return CQ_OK;
    out->allowed_ips = malloc(peer->num_allowed_ips * sizeof(*out->allowed_ips));
    if (out->allowed_ips == NULL)
        return CQ_ERR_NOMEM;
    memcpy(out->allowed_ips, peer->allowed_ips, peer->num_allowed_ips * sizeof(*out->allowed_ips));
    out->num_allowed_ips = peer->num_allowed_ips;
    return CQ_OK;
}

static void add_flag(struct cq_node_status *out, bool set, const char *flag)
{
    if (set && out->num_flags < CQ_STATUS_MAX_FLAGS)
        snprintf(out->flags[out->num_flags++], CQ_STATUS_FLAG_MAX + 1, "%s", flag);
}

static void fill_offloads(struct cq_node_status *out, const struct cq_snapshot_node *node)
{
    const struct cq_worker_status *w = &node->worker;
    const bool on[CQ_OFFLOAD_COUNT] = {
        [CQ_OFFLOAD_TUN_HEADER] = w->tun_header,
        [CQ_OFFLOAD_TUN_CSUM] = (w->tun_offloads & CQ_TUN_OFFLOAD_CSUM) != 0,
        [CQ_OFFLOAD_TUN_TSO] = (w->tun_offloads & CQ_TUN_OFFLOAD_TSO) != 0,
        [CQ_OFFLOAD_TUN_USO] = (w->tun_offloads & CQ_TUN_OFFLOAD_USO) != 0,
        [CQ_OFFLOAD_UDP_GSO] = w->udp_gso,
        [CQ_OFFLOAD_UDP_GRO] = w->udp_gro,
    };

    out->has_offloads = true;
    for (int i = 0; i < CQ_OFFLOAD_COUNT; i++) {
        out->offload_fallbacks[i] = w->fallbacks[i];
        out->offloads[i] = on[i]                   ? CQ_OFFLOAD_ON
                           : node->switched_off[i] ? CQ_OFFLOAD_SWITCHED_OFF
                           : w->fallbacks[i] > 0   ? CQ_OFFLOAD_GIVEN_UP
                                                   : CQ_OFFLOAD_UNAVAILABLE;
    }
    for (int i = 0; i < CQ_OFFLOAD_COUNT; i++)
        add_flag(out, on[i], cq_offload_name((enum cq_offload)i));
}

static void fill_durations(struct cq_status_durations *out,
                           const struct cq_snapshot_durations in[2])
{
    _Static_assert((int)CQ_STATUS_DURATIONS == (int)CQ_SNAPSHOT_DURATIONS, "the same bounds");

    for (int i = 0; i < CQ_STATUS_DURATIONS; i++)
        out->upper_us[i] = (uint64_t)(cq_snapshot_durations[i] / 1000);
    for (int role = 0; role < 2; role++)
        memcpy(out->counts[role], in[role].counts, sizeof(out->counts[role]));
}

void cq_report_node(struct cq_node_status *out, const char *interface,
                    const struct cq_snapshot_node *node)
{
    memset(out, 0, sizeof(*out));
    snprintf(out->interface, sizeof(out->interface), "%s", interface);
    memcpy(out->id, node->id, sizeof(out->id));
    memcpy(out->metrics_address, node->metrics_address, sizeof(out->metrics_address));
    out->listen_port = node->listen_port;
    out->fwmark = node->fwmark;
    out->mtu = node->mtu;
    out->suites = node->suites;
    out->preferred_suite = node->preferred_suite;
    out->rotate_secs = node->rotate_secs;
    out->uptime_secs = whole_secs(node->started, node->now);
    out->uptime_ms = (uint64_t)(cq_time_max(node->now - node->started, 0) / CQ_NS_PER_MS);
    out->time_ms = node->wall / CQ_NS_PER_MS;
    fill_durations(&out->durations, node->counts.handshakes);
    out->num_workers = node->num_workers;
    snprintf(out->aead, sizeof(out->aead), "%s", cq_aead_backend());
    for (unsigned i = 0; i < node->num_workers && i < CQ_CONF_MAX_WORKERS; i++) {
        out->workers[i].sealed = node->by_worker[i].sealed;
        out->workers[i].opened = node->by_worker[i].opened;
    }
    out->num_pending = node->engine.num_pending;
    out->under_load = node->engine.under_load;
    out->cookies_sent = node->engine.cookies_sent;
    out->keys_sent = node->engine.keys_sent;
    out->keys_erased = node->engine.keys_erased;
    memcpy(out->drops, node->drops, sizeof(out->drops));
    fill_offloads(out, node);
    add_flag(out, node->has_ipv4, "ipv4");
    add_flag(out, node->has_ipv6, "ipv6");
}

static enum cq_err fill_peers(const struct cq_control *control, struct cq_node_status *out,
                              cq_time now)
{
    const struct cq_conf *conf = control->conf;
    cq_time wall = cq_clock_wall();

    if (conf->num_peers == 0)
        return CQ_OK;
    out->peers = calloc(conf->num_peers, sizeof(*out->peers));
    if (out->peers == NULL)
        return CQ_ERR_NOMEM;
    for (size_t i = 0; i < conf->num_peers; i++) {
        struct cq_peer_status status;
        if (cq_engine_peer_status(control->engine, control->numbers[i], &status) != CQ_OK)
            continue;
        enum cq_err err =
            cq_report_peer(&out->peers[out->num_peers++], &conf->peers[i], &status, now, wall);
        if (err != CQ_OK)
            return err;
    }
    return CQ_OK;
}

enum cq_err cq_report_status(const struct cq_control *control, struct cq_node_status *out,
                             cq_time now)
{
    struct cq_snapshot_node node;

    cq_source_fill_node(control, &node, now);
    cq_report_node(out, control->conf->interface, &node);
    enum cq_err err = fill_peers(control, out, now);
    if (err != CQ_OK)
        cq_node_status_free(out);
    return err;
}
