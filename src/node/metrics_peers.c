#include "node/metrics_peers.h"

#include "base/base64.h"
#include "node/metrics_render.h"

#include <stdio.h>
#include <string.h>

struct render {
    struct cq_text *out;
    const struct cq_metrics_view *view;
    const struct cq_metrics_labels *labels;
    bool open_metrics;
    size_t num_labelled;
    struct cq_peer_status others; /* sums */
};

static void head(const struct render *r, const struct cq_metric *metric)
{
    cq_metric_head(r->out, r->open_metrics, metric);
}

/* ---- labels ---- */

void cq_metrics_labels_free(struct cq_metrics_labels *labels)
{
    cq_text_free(&labels->own);
    cq_text_free(&labels->wireguard);
    cq_text_free(&labels->source);
    *labels = (struct cq_metrics_labels){0};
}

static void add_peer_labels(struct cq_metrics_labels *labels, const struct cq_metrics_view *view,
                            const char *id, const char *name, const char *allowed_ips)
{
    struct cq_text *own = &labels->own, *wireguard = &labels->wireguard;

    cq_text_put(own, "{interface=\"");
    cq_text_put_label(own, view->interface);
    cq_text_put(own, "\",peer=\"");
    cq_text_put_label(own, id);
    cq_text_put(own, "\",name=\"");
    cq_text_put_label(own, name);
    cq_text_add(own, "\"", 2);
    if (!view->wireguard)
        return;
    cq_text_put(wireguard, "{interface=\"");
    cq_text_put_label(wireguard, view->interface);
    cq_text_put(wireguard, "\",public_key=\"");
    cq_text_put_label(wireguard, id);
    cq_text_put(wireguard, "\",allowed_ips=\"");
    cq_text_put_label(wireguard, allowed_ips);
    cq_text_put(wireguard, "\",friendly_name=\"");
    cq_text_put_label(wireguard, name);
    cq_text_add(wireguard, "\"", 2);
}

/* As `wg` and its exporters write them; a peer with thousands of them gets no longer a label. */
static void put_prefixes(const struct cq_metrics_view *view, const struct cq_snapshot_info *info,
                         struct cq_text *out)
{
    enum { LABEL_BYTES = 1024 };
    char text[CQ_PREFIX_TEXT_MAX];

    for (uint32_t i = 0; i < info->num_prefixes && out->len < LABEL_BYTES; i++) {
        if (i > 0)
            cq_text_put(out, ",");
        cq_text_put(out, cq_prefix_format(&view->prefixes[info->first_prefix + i], text));
    }
    cq_text_add(out, "", 1);
}

static size_t count_labelled(const struct cq_metrics_view *view)
{
    return view->num_peers < view->max_peers ? view->num_peers : view->max_peers;
}

/* What labels are made of goes through here piece by piece, to be kept or to be compared. */
typedef bool piece_fn(struct cq_text *source, size_t *at, const void *piece, size_t len);

static bool keep_piece(struct cq_text *source, size_t *at, const void *piece, size_t len)
{
    cq_text_add(source, piece, len);
    *at += len;
    return !source->failed;
}

static bool is_piece(struct cq_text *source, size_t *at, const void *piece, size_t len)
{
    bool same =
        source->len - *at >= len && (len == 0 || memcmp(source->data + *at, piece, len) == 0);

    *at += same ? len : 0;
    return same;
}

static bool go_through(struct cq_text *source, const struct cq_metrics_view *view, piece_fn *take)
{
    size_t at = 0, num = count_labelled(view);
    bool good = take(source, &at, view->interface, strlen(view->interface) + 1) &&
                take(source, &at, &view->wireguard, sizeof(view->wireguard)) &&
                take(source, &at, &view->num_peers, sizeof(view->num_peers)) &&
                take(source, &at, view->infos, num * sizeof(*view->infos));

    for (size_t i = 0; good && i < num; i++)
        good = take(source, &at, view->prefixes + view->infos[i].first_prefix,
                    view->infos[i].num_prefixes * sizeof(*view->prefixes));
    return good && at == source->len;
}

/* Makes the labels, unless they are those of the view already. */
static void make_labels(struct cq_metrics_labels *labels, const struct cq_metrics_view *view)
{
    struct cq_text prefixes = {0};
    char id[CQ_KEY32_TEXT_LEN + 1];
    size_t num = count_labelled(view);

    if (go_through(&labels->source, view, is_piece))
        return;
    cq_metrics_labels_free(labels);
    for (size_t i = 0; i < num; i++) {
        cq_base64_encode(view->infos[i].id, sizeof(view->infos[i].id), id);
        prefixes.len = 0;
        put_prefixes(view, &view->infos[i], &prefixes);
        add_peer_labels(labels, view, id, view->infos[i].name,
                        prefixes.failed ? "" : prefixes.data);
    }
    cq_text_free(&prefixes);
    if (num < view->num_peers)
        add_peer_labels(labels, view, "other", "", "");
    if (labels->own.failed || labels->wireguard.failed ||
        !go_through(&labels->source, view, keep_piece))
        labels->source.len = 0; /* to be made again */
}

/* ---- samples ---- */

static void add_other(struct render *r, const struct cq_peer_status *peer)
{
    struct cq_peer_status *o = &r->others;

    o->path.rx_bytes += peer->path.rx_bytes;
    o->path.tx_bytes += peer->path.tx_bytes;
    o->path.rx_packets += peer->path.rx_packets;
    o->path.tx_packets += peer->path.tx_packets;
    o->path.num_staged += peer->path.num_staged;
    o->num_sessions += peer->num_sessions;
}

/* The value of a peer; false: it has none. */
typedef bool peer_value_fn(const struct render *r, const struct cq_peer_status *peer,
                           uint64_t *out);

/* One sample for each labelled peer and, with_others, one for the sum of the others. `more` are
 * further labels, beginning with a comma. */
static void put_peers(const struct render *r, const struct cq_metric *metric,
                      const struct cq_text *labels, const char *more, bool with_others,
                      bool is_time, peer_value_fn *value)
{
    const char *at = labels->data;
    char name[96];
    int name_len = snprintf(name, sizeof(name), "%s%s", metric->name,
                            metric->type == CQ_METRIC_COUNTER ? "_total" : "");
    size_t num = r->num_labelled + (with_others && r->num_labelled < r->view->num_peers);

    for (size_t i = 0; !labels->failed && i < num; i++) {
        size_t len = strlen(at);
        uint64_t n = 0;
        if (value(r, i < r->num_labelled ? &r->view->peers[i] : &r->others, &n)) {
            cq_text_add(r->out, name, (size_t)name_len);
            cq_text_add(r->out, at, len);
            cq_text_put(r->out, more);
            cq_text_add(r->out, "} ", 2);
            if (is_time)
                cq_text_put_seconds(r->out, (cq_time)n);
            else
                cq_text_put_u64(r->out, n);
            cq_text_add(r->out, "\n", 1);
        }
        at += len + 1;
    }
}

#define PEER_NUMBER(function, member)                                                              \
    static bool function(const struct render *r, const struct cq_peer_status *peer, uint64_t *out) \
    {                                                                                              \
        (void)r;                                                                                   \
        *out = peer->member;                                                                       \
        return true;                                                                               \
    }

PEER_NUMBER(rx_bytes_of, path.rx_bytes)
PEER_NUMBER(tx_bytes_of, path.tx_bytes)
PEER_NUMBER(rx_packets_of, path.rx_packets)
PEER_NUMBER(tx_packets_of, path.tx_packets)
PEER_NUMBER(sessions_of, num_sessions)
PEER_NUMBER(staged_of, path.num_staged)

static bool key_age_of(const struct render *r, const struct cq_peer_status *peer, uint64_t *out)
{
    *out = (uint64_t)cq_time_max(r->view->node->now - peer->began, 0);
    return peer->has_session;
}

static bool next_rotation_of(const struct render *r, const struct cq_peer_status *peer,
                             uint64_t *out)
{
    *out = (uint64_t)cq_time_max(peer->rotate_at - r->view->node->now, 0);
    return peer->has_session && peer->rotate_at != CQ_TIME_NEVER;
}

/* Whole seconds: the wall clock and ours drift, and the moment is to stay the same. */
static bool latest_handshake_of(const struct render *r, const struct cq_peer_status *peer,
                                uint64_t *out)
{
    bool known = peer->last_handshake != CQ_TIME_NEVER && peer->completed > 0;

    *out = 0;
    if (known)
        *out = (uint64_t)((r->view->node->wall - (r->view->node->now - peer->last_handshake)) /
                          CQ_NS_PER_S);
    return true;
}

static void render_peers(const struct render *r)
{
    static const struct cq_metric bytes = {"cryprq_bytes", CQ_METRIC_COUNTER, "bytes",
                                           "Bytes of datagrams with records, by peer."};
    static const struct cq_metric packets = {"cryprq_packets", CQ_METRIC_COUNTER, "",
                                             "Records, by peer."};
    static const struct cq_metric sessions = {"cryprq_peer_sessions", CQ_METRIC_GAUGE, "",
                                              "Sessions with the peer whose keys are held."};
    static const struct cq_metric staged = {"cryprq_peer_staged_packets", CQ_METRIC_GAUGE, "",
                                            "Packets that wait for a session with the peer."};
    static const struct cq_metric age = {"cryprq_key_age_seconds", CQ_METRIC_GAUGE, "seconds",
                                         "Age of the keys in use; absent without a session."};
    static const struct cq_metric rotation = {
        "cryprq_next_rotation_seconds", CQ_METRIC_GAUGE, "seconds",
        "Time to the planned rotation, 0 when it is due; absent without a session."};
    static const struct cq_metric latest = {
        "cryprq_latest_handshake_timestamp_seconds", CQ_METRIC_GAUGE, "seconds",
        "When the newest session was made, since the epoch; 0: never."};
    const struct cq_text *l = &r->labels->own;

    head(r, &bytes);
    put_peers(r, &bytes, l, ",direction=\"rx\"", true, false, rx_bytes_of);
    put_peers(r, &bytes, l, ",direction=\"tx\"", true, false, tx_bytes_of);
    head(r, &packets);
    put_peers(r, &packets, l, ",direction=\"rx\"", true, false, rx_packets_of);
    put_peers(r, &packets, l, ",direction=\"tx\"", true, false, tx_packets_of);
    head(r, &sessions);
    put_peers(r, &sessions, l, "", true, false, sessions_of);
    head(r, &staged);
    put_peers(r, &staged, l, "", true, false, staged_of);
    head(r, &age);
    put_peers(r, &age, l, "", false, true, key_age_of);
    head(r, &rotation);
    put_peers(r, &rotation, l, "", false, true, next_rotation_of);
    head(r, &latest);
    put_peers(r, &latest, l, "", false, false, latest_handshake_of);
}

/* The names that dashboards for WireGuard know. */
static void render_wireguard(const struct render *r)
{
    static const struct cq_metric sent = {"wireguard_sent_bytes", CQ_METRIC_COUNTER, "bytes",
                                          "Bytes sent to the peer."};
    static const struct cq_metric received = {"wireguard_received_bytes", CQ_METRIC_COUNTER,
                                              "bytes", "Bytes received from the peer."};
    static const struct cq_metric latest = {
        "wireguard_latest_handshake_seconds", CQ_METRIC_GAUGE, "seconds",
        "When the newest session was made, since the epoch; 0: never."};
    const struct cq_text *l = &r->labels->wireguard;

    if (!r->view->wireguard)
        return;
    head(r, &sent);
    put_peers(r, &sent, l, "", true, false, tx_bytes_of);
    head(r, &received);
    put_peers(r, &received, l, "", true, false, rx_bytes_of);
    head(r, &latest);
    put_peers(r, &latest, l, "", false, false, latest_handshake_of);
}

void cq_metrics_render_peers(struct cq_text *out, const struct cq_metrics_view *view,
                             bool open_metrics)
{
    struct cq_metrics_labels own = {0};
    struct render r = {.out = out,
                       .view = view,
                       .labels = view->labels != NULL ? view->labels : &own,
                       .open_metrics = open_metrics,
                       .num_labelled = count_labelled(view)};

    make_labels(view->labels != NULL ? view->labels : &own, view);
    for (size_t i = r.num_labelled; i < view->num_peers; i++)
        add_other(&r, &view->peers[i]);
    render_peers(&r);
    render_wireguard(&r);
    out->failed = out->failed || r.labels->own.failed || r.labels->wireguard.failed;
    cq_metrics_labels_free(&own);
}
