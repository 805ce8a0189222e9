#include "node/metrics_render.h"

#include "base/base64.h"
#include "config.h"
#include "crypto/crypto.h"
#include "node/metrics_peers.h"

#include <stdio.h>
#include <string.h>

struct render {
    struct cq_text *out;
    const struct cq_metrics_view *view;
    const struct cq_snapshot_node *node;
    bool open_metrics;
};

static void head(const struct render *r, const struct cq_metric *metric)
{
    cq_metric_head(r->out, r->open_metrics, metric);
}

/* A family of one sample. */
static void single(const struct render *r, const struct cq_metric *metric, uint64_t n)
{
    head(r, metric);
    cq_metric_sample_u64(r->out, metric, "", n);
}

/* ---- what the node is ---- */

static void put_info(const struct render *r, const struct cq_metric *metric,
                     const struct cq_text *labels)
{
    head(r, metric);
    cq_text_put(r->out, metric->name);
    cq_text_put(r->out, "_info{");
    cq_text_add(r->out, labels->data, labels->len);
    cq_text_put(r->out, "} 1\n");
}

static void add_label(struct cq_text *labels, const char *name, const char *value)
{
    if (labels->len > 0)
        cq_text_put(labels, ",");
    cq_text_put(labels, name);
    cq_text_put(labels, "=\"");
    cq_text_put_label(labels, value);
    cq_text_put(labels, "\"");
}

static void add_number_label(struct cq_text *labels, const char *name, unsigned value)
{
    char text[16];

    snprintf(text, sizeof(text), "%u", value);
    add_label(labels, name, text);
}

static void render_identity(const struct render *r)
{
    static const struct cq_metric build = {"cryprq_build", CQ_METRIC_INFO, "",
                                           "Version of the program and of its cryptography."};
    static const struct cq_metric interface = {"cryprq_interface", CQ_METRIC_INFO, "",
                                               "What the interface is."};
    static const struct cq_metric up = {"cryprq_interface_up", CQ_METRIC_GAUGE, "",
                                        "Whether the interface is up (1) or being started."};
    static const struct cq_metric period = {
        "cryprq_rotation_period_seconds", CQ_METRIC_GAUGE, "seconds",
        "How long keys are to be in use (RotateSecs); a peer's may be shorter."};
    static const struct cq_metric uptime = {"cryprq_uptime_seconds", CQ_METRIC_GAUGE, "seconds",
                                            "Time since the node started."};
    char id[CQ_KEY32_TEXT_LEN + 1];
    struct cq_text labels = {0};

    add_label(&labels, "version", CQ_VERSION);
    add_label(&labels, "libcrypto", cq_crypto_version());
    put_info(r, &build, &labels);
    labels.len = 0;
    cq_base64_encode(r->node->id, sizeof(r->node->id), id);
    add_label(&labels, "interface", r->view->interface);
    add_label(&labels, "peer_id", id);
    add_number_label(&labels, "listen_port", r->node->listen_port);
    add_number_label(&labels, "mtu", r->node->mtu);
    add_number_label(&labels, "rotate_secs", r->node->rotate_secs);
    put_info(r, &interface, &labels);
    cq_text_free(&labels);
    single(r, &up, r->view->ready);
    single(r, &period, r->node->rotate_secs);
    head(r, &uptime);
    cq_metric_sample_seconds(r->out, &uptime, "", r->node->now - r->node->started);
}

/* ---- handshakes and keys ---- */

static const char *const duration_bounds[CQ_SNAPSHOT_DURATIONS] = {
    "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025",
    "0.05",   "0.1",     "0.25",   "0.5",   "1.0",    "2.5",   "5.0",  "10.0",
};

static const char *const role_labels[2] = {
    [CQ_ROLE_INITIATOR] = "role=\"initiator\"",
    [CQ_ROLE_RESPONDER] = "role=\"responder\"",
};

static uint64_t count_of(const struct cq_snapshot_durations *durations)
{
    uint64_t n = 0;

    for (int i = 0; i <= CQ_SNAPSHOT_DURATIONS; i++)
        n += durations->counts[i];
    return n;
}

static void put_durations(const struct render *r, const struct cq_metric *metric,
                          const struct cq_snapshot_durations durations[2])
{
    head(r, metric);
    for (int role = 0; role < 2; role++) {
        struct cq_text sum = {0};
        cq_text_put_seconds(&sum, durations[role].sum);
        cq_text_add(&sum, "", 1);
        struct cq_metric_histogram histogram = {duration_bounds, durations[role].counts,
                                                CQ_SNAPSHOT_DURATIONS, sum.failed ? "0" : sum.data};
        cq_metric_histogram(r->out, metric, role_labels[role], &histogram);
        cq_text_free(&sum);
    }
}

static uint64_t sum_failed(const struct cq_snapshot_counts *counts)
{
    uint64_t n = 0;

    for (int i = 0; i < CQ_DIAGNOSIS_COUNT; i++)
        n += counts->failed[i];
    return n;
}

static void put_reason(const struct render *r, const struct cq_metric *metric, enum cq_diagnosis d,
                       uint64_t n)
{
    char labels[64];

    snprintf(labels, sizeof(labels), "reason=\"%s\"", cq_diagnosis_name(d));
    cq_metric_sample_u64(r->out, metric, labels, n);
}

/* The reason codes of docs/operations.md, as the log and `cryprq show` have them. */
static void render_reasons(const struct render *r)
{
    static const struct cq_metric failures = {
        "cryprq_handshake_failures", CQ_METRIC_COUNTER, "",
        "Own attempts at a handshake that were given up, by reason code."};
    static const struct cq_metric refused = {
        "cryprq_refused_peers", CQ_METRIC_GAUGE, "",
        "Peers whose handshakes have been refused here in the last 10 minutes, by reason code."};
    const cq_time recent = r->node->now - 600 * CQ_NS_PER_S;
    uint64_t num[CQ_DIAGNOSIS_COUNT] = {0};

    for (size_t i = 0; i < r->view->num_peers; i++) {
        const struct cq_refusals *of = &r->view->peers[i].refused;
        num[cq_diagnosis_of_refusal(of->drop)] += of->num > 0 && of->last >= recent;
    }
    head(r, &failures);
    for (int i = 0; i < CQ_DIAGNOSIS_COUNT; i++)
        if (cq_diagnosis_is_of_attempt((enum cq_diagnosis)i))
            put_reason(r, &failures, (enum cq_diagnosis)i, r->node->counts.failed[i]);
    head(r, &refused);
    for (int i = 0; i < CQ_DIAGNOSIS_COUNT; i++)
        if (cq_diagnosis_is_of_refusal((enum cq_diagnosis)i))
            put_reason(r, &refused, (enum cq_diagnosis)i, num[i]);
}

static void render_handshakes(const struct render *r)
{
    static const struct cq_metric handshakes = {
        "cryprq_handshakes", CQ_METRIC_COUNTER, "",
        "Handshakes that made a session, and own attempts that were given up."};
    static const struct cq_metric duration = {
        "cryprq_handshake_duration_seconds", CQ_METRIC_HISTOGRAM, "seconds",
        "Time from the first message to the session, of handshakes and rotations."};
    static const struct cq_metric rotations = {
        "cryprq_rotations", CQ_METRIC_COUNTER, "",
        "Handshakes that replaced a session by a newer one."};
    static const struct cq_metric rotation = {
        "cryprq_rotation_duration_seconds", CQ_METRIC_HISTOGRAM, "seconds",
        "Time from the first message to the session, of rotations alone."};
    const struct cq_snapshot_counts *counts = &r->node->counts;

    head(r, &handshakes);
    cq_metric_sample_u64(r->out, &handshakes, "role=\"initiator\",result=\"success\"",
                         count_of(&counts->handshakes[CQ_ROLE_INITIATOR]));
    cq_metric_sample_u64(r->out, &handshakes, "role=\"initiator\",result=\"failure\"",
                         sum_failed(counts));
    cq_metric_sample_u64(r->out, &handshakes, "role=\"responder\",result=\"success\"",
                         count_of(&counts->handshakes[CQ_ROLE_RESPONDER]));
    put_durations(r, &duration, counts->handshakes);
    head(r, &rotations);
    for (int role = 0; role < 2; role++)
        cq_metric_sample_u64(r->out, &rotations, role_labels[role],
                             count_of(&counts->rotations[role]));
    put_durations(r, &rotation, counts->rotations);
}

static void render_engine(const struct render *r)
{
    static const struct cq_metric peers = {"cryprq_peers", CQ_METRIC_GAUGE, "",
                                           "Configured peers."};
    static const struct cq_metric sessions = {"cryprq_sessions", CQ_METRIC_GAUGE, "",
                                              "Sessions whose keys are held."};
    static const struct cq_metric pending = {
        "cryprq_pending_handshakes", CQ_METRIC_GAUGE, "",
        "Handshakes of others that are answered and not finished."};
    static const struct cq_metric load = {
        "cryprq_under_load", CQ_METRIC_GAUGE, "",
        "Whether sources must prove themselves with a cookie first (1)."};
    static const struct cq_metric cookies = {"cryprq_cookies_sent", CQ_METRIC_COUNTER, "",
                                             "Cookies sent."};
    static const struct cq_metric keys = {"cryprq_public_keys_sent", CQ_METRIC_COUNTER, "",
                                          "Own public key sent, asked for or pushed."};
    static const struct cq_metric erased = {"cryprq_keys_erased", CQ_METRIC_COUNTER, "",
                                            "Sessions whose keys were erased."};
    const struct cq_engine_status *engine = &r->node->engine;

    single(r, &peers, engine->num_peers);
    single(r, &sessions, engine->num_sessions);
    single(r, &pending, engine->num_pending);
    single(r, &load, engine->under_load);
    single(r, &cookies, engine->cookies_sent);
    single(r, &keys, engine->keys_sent);
    single(r, &erased, engine->keys_erased);
}

/* ---- drops ---- */

static uint64_t sum_drops(const struct render *r, const enum cq_drop *reasons, size_t num)
{
    uint64_t n = 0;

    for (size_t i = 0; i < num; i++)
        n += r->node->drops[reasons[i]];
    return n;
}

static void render_drops(const struct render *r)
{
    static const struct cq_metric drops = {"cryprq_drops", CQ_METRIC_COUNTER, "",
                                           "Datagrams and packets that were dropped."};
    static const struct cq_metric replays = {
        "cryprq_replays_rejected", CQ_METRIC_COUNTER, "",
        "Of those: records and handshakes that were seen before."};
    static const struct cq_metric failures = {"cryprq_authentication_failures", CQ_METRIC_COUNTER,
                                              "", "Of those: whatever did not authenticate."};
    static const enum cq_drop replayed[] = {CQ_DROP_REPLAYED_INIT, CQ_DROP_REPLAYED_RECORD};
    static const enum cq_drop forged[] = {
        CQ_DROP_BAD_MAC1,      CQ_DROP_DECRYPT_ID,        CQ_DROP_DECRYPT_FRESH,
        CQ_DROP_DECRYPT_REPLY, CQ_DROP_DECRYPT_OFFER,     CQ_DROP_DECRYPT_ACCEPT,
        CQ_DROP_BAD_COOKIE,    CQ_DROP_KEY_HASH_MISMATCH, CQ_DROP_BAD_TAG,
    };

    head(r, &drops);
    for (int i = CQ_DROP_NONE + 1; i < CQ_DROP_COUNT; i++) {
        char labels[64];
        snprintf(labels, sizeof(labels), "reason=\"%s\"", cq_drop_name((enum cq_drop)i));
        cq_metric_sample_u64(r->out, &drops, labels, r->node->drops[i]);
    }
    single(r, &replays, sum_drops(r, replayed, sizeof(replayed) / sizeof(replayed[0])));
    single(r, &failures, sum_drops(r, forged, sizeof(forged) / sizeof(forged[0])));
}

/* ---- the packet worker ---- */

static void put_directions(const struct render *r, const struct cq_metric *metric, uint64_t rx,
                           uint64_t tx)
{
    head(r, metric);
    cq_metric_sample_u64(r->out, metric, "direction=\"rx\"", rx);
    cq_metric_sample_u64(r->out, metric, "direction=\"tx\"", tx);
}

static void put_batches(const struct render *r, const struct cq_metric *metric,
                        const struct cq_worker_batches *batches)
{
    static const char *const bounds[CQ_WORKER_BATCH_SIZES - 1] = {
        "1.0", "2.0", "4.0", "8.0", "16.0", "32.0", "64.0", "128.0",
    };
    char sum[24];

    snprintf(sum, sizeof(sum), "%llu", (unsigned long long)batches->packets);
    struct cq_metric_histogram histogram = {bounds, batches->counts, CQ_WORKER_BATCH_SIZES - 1,
                                            sum};
    head(r, metric);
    cq_metric_histogram(r->out, metric, "", &histogram);
}

static void render_traffic(const struct render *r)
{
    static const struct cq_metric records = {"cryprq_records", CQ_METRIC_COUNTER, "",
                                             "Records sealed (tx) and opened (rx)."};
    static const struct cq_metric bytes = {"cryprq_record_bytes", CQ_METRIC_COUNTER, "bytes",
                                           "Bytes of their datagrams."};
    static const struct cq_metric inner = {"cryprq_inner_packets", CQ_METRIC_COUNTER, "",
                                           "IP packets taken from (tx) and given to (rx) the "
                                           "interface."};
    static const struct cq_metric frames = {
        "cryprq_tun_frames", CQ_METRIC_COUNTER, "",
        "Reads (tx) and writes (rx) of the interface; a super-packet counts once."};
    static const struct cq_metric wakeups = {"cryprq_worker_wakeups", CQ_METRIC_COUNTER, "",
                                             "Times that the packet worker woke up."};
    static const struct cq_metric seal = {"cryprq_seal_batch_records", CQ_METRIC_HISTOGRAM,
                                          "records", "Records that one round of sends carried."};
    static const struct cq_metric open = {"cryprq_open_batch_records", CQ_METRIC_HISTOGRAM,
                                          "records",
                                          "Records of one source that were opened together."};
    const struct cq_worker_status *w = &r->node->worker;

    put_directions(r, &records, w->opened, w->sealed);
    put_directions(r, &bytes, w->opened_bytes, w->sealed_bytes);
    put_directions(r, &inner, w->inner_received, w->inner_sent);
    put_directions(r, &frames, w->frames_written, w->frames_read);
    single(r, &wakeups, w->wakeups);
    put_batches(r, &seal, &w->seal);
    put_batches(r, &open, &w->open);
}

static void put_offloads(const struct render *r, const struct cq_metric *metric,
                         const uint64_t values[CQ_OFFLOAD_COUNT])
{
    head(r, metric);
    for (int i = 0; i < CQ_OFFLOAD_COUNT; i++) {
        char labels[64];
        snprintf(labels, sizeof(labels), "offload=\"%s\"", cq_offload_name((enum cq_offload)i));
        cq_metric_sample_u64(r->out, metric, labels, values[i]);
    }
}

static void put_by_worker(const struct render *r)
{
    static const struct cq_metric records = {"cryprq_worker_records", CQ_METRIC_COUNTER, "",
                                             "Records sealed (tx) and opened (rx) by each worker."};
    char labels[64];

    head(r, &records);
    for (unsigned i = 0; i < r->node->num_workers && i < CQ_PATH_MAX_WORKERS; i++) {
        snprintf(labels, sizeof(labels), "worker=\"%u\",direction=\"rx\"", i);
        cq_metric_sample_u64(r->out, &records, labels, r->node->by_worker[i].opened);
        snprintf(labels, sizeof(labels), "worker=\"%u\",direction=\"tx\"", i);
        cq_metric_sample_u64(r->out, &records, labels, r->node->by_worker[i].sealed);
    }
}

static void render_worker(const struct render *r)
{
    static const struct cq_metric queue = {"cryprq_queue_length", CQ_METRIC_GAUGE, "",
                                           "What waits at this moment."};
    static const struct cq_metric offload = {"cryprq_offload_active", CQ_METRIC_GAUGE, "",
                                             "Whether an offload is in use (1)."};
    static const struct cq_metric fallbacks = {
        "cryprq_offload_fallbacks", CQ_METRIC_COUNTER, "",
        "Times that an offload was refused while running and given up."};
    static const struct cq_metric workers = {"cryprq_workers", CQ_METRIC_GAUGE, "",
                                             "Threads that move packets."};
    const struct cq_worker_status *w = &r->node->worker;
    const uint64_t on[CQ_OFFLOAD_COUNT] = {
        [CQ_OFFLOAD_TUN_HEADER] = w->tun_header,
        [CQ_OFFLOAD_TUN_CSUM] = (w->tun_offloads & CQ_TUN_OFFLOAD_CSUM) != 0,
        [CQ_OFFLOAD_TUN_TSO] = (w->tun_offloads & CQ_TUN_OFFLOAD_TSO) != 0,
        [CQ_OFFLOAD_TUN_USO] = (w->tun_offloads & CQ_TUN_OFFLOAD_USO) != 0,
        [CQ_OFFLOAD_UDP_GSO] = w->udp_gso,
        [CQ_OFFLOAD_UDP_GRO] = w->udp_gro,
    };
    uint64_t staged = 0;

    for (size_t i = 0; i < r->view->num_peers; i++)
        staged += r->view->peers[i].path.num_staged;
    head(r, &queue);
    cq_metric_sample_u64(r->out, &queue, "queue=\"handshake\"", w->num_datagrams);
    cq_metric_sample_u64(r->out, &queue, "queue=\"command\"", w->num_commands);
    cq_metric_sample_u64(r->out, &queue, "queue=\"staged\"", staged);
    single(r, &workers, r->node->num_workers);
    put_by_worker(r);
    put_offloads(r, &offload, on);
    put_offloads(r, &fallbacks, w->fallbacks);
}

/* ---- processes ---- */

enum usage { USAGE_CPU, USAGE_RESIDENT, USAGE_VIRTUAL, USAGE_FDS, USAGE_MAX_FDS, USAGE_START };

static void put_usage(const struct render *r, const struct cq_metric *metric, const char *labels,
                      const struct cq_procinfo *u, enum usage what)
{
    if (u->num_threads == 0)
        return;
    switch (what) {
    case USAGE_CPU:
        cq_metric_sample_seconds(r->out, metric, labels, (cq_time)u->cpu_ms * CQ_NS_PER_MS);
        break;
    case USAGE_RESIDENT:
        cq_metric_sample_u64(r->out, metric, labels, u->resident_bytes);
        break;
    case USAGE_VIRTUAL:
        cq_metric_sample_u64(r->out, metric, labels, u->virtual_bytes);
        break;
    case USAGE_FDS:
        cq_metric_sample_u64(r->out, metric, labels, u->num_fds);
        break;
    case USAGE_MAX_FDS:
        cq_metric_sample_u64(r->out, metric, labels, u->max_fds);
        break;
    case USAGE_START:
        cq_metric_sample_seconds(r->out, metric, labels, u->started_ms * CQ_NS_PER_MS);
        break;
    }
}

static void render_processes(const struct render *r)
{
    static const struct {
        struct cq_metric metric;
        enum usage what;
        bool each; /* of each process, with a label; else of the node */
    } families[] = {
        {{"process_cpu_seconds", CQ_METRIC_COUNTER, "seconds",
          "User and system time of the node's process."},
         USAGE_CPU},
        {{"process_resident_memory_bytes", CQ_METRIC_GAUGE, "bytes",
          "Resident memory of the node's process."},
         USAGE_RESIDENT},
        {{"process_virtual_memory_bytes", CQ_METRIC_GAUGE, "bytes",
          "Address space of the node's process."},
         USAGE_VIRTUAL},
        {{"process_open_fds", CQ_METRIC_GAUGE, "", "Open descriptors of the node's process."},
         USAGE_FDS},
        {{"process_max_fds", CQ_METRIC_GAUGE, "", "Limit of its open descriptors."}, USAGE_MAX_FDS},
        {{"process_start_time_seconds", CQ_METRIC_GAUGE, "seconds",
          "Start of the node's process since the epoch."},
         USAGE_START},
        {{"cryprq_process_cpu_seconds", CQ_METRIC_COUNTER, "seconds",
          "User and system time of each process."},
         USAGE_CPU,
         true},
        {{"cryprq_process_resident_memory_bytes", CQ_METRIC_GAUGE, "bytes",
          "Resident memory of each process; shared pages count in each."},
         USAGE_RESIDENT,
         true},
        {{"cryprq_process_open_fds", CQ_METRIC_GAUGE, "", "Open descriptors of each process."},
         USAGE_FDS,
         true},
        {{"cryprq_process_start_time_seconds", CQ_METRIC_GAUGE, "seconds",
          "Start of each process since the epoch."},
         USAGE_START,
         true},
    };
    static const char *const labels[CQ_METRICS_PROCESSES] = {
        [CQ_METRICS_NODE] = "process=\"node\"",
        [CQ_METRICS_SERVER] = "process=\"metrics\"",
        [CQ_METRICS_MONITOR] = "process=\"monitor\"",
    };

    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        const struct cq_metric *metric = &families[i].metric;
        head(r, metric);
        if (!families[i].each)
            put_usage(r, metric, "", &r->view->usage[CQ_METRICS_NODE], families[i].what);
        for (int p = 0; families[i].each && p < CQ_METRICS_PROCESSES; p++)
            put_usage(r, metric, labels[p], &r->view->usage[p], families[i].what);
    }
}

void cq_metrics_render(struct cq_text *out, const struct cq_metrics_view *view, bool open_metrics)
{
    struct render r = {.out = out, .view = view, .node = view->node, .open_metrics = open_metrics};

    render_identity(&r);
    render_handshakes(&r);
    render_reasons(&r);
    render_engine(&r);
    render_drops(&r);
    render_traffic(&r);
    render_worker(&r);
    cq_metrics_render_peers(out, view, open_metrics);
    render_processes(&r);
    if (open_metrics)
        cq_text_put(out, "# EOF\n");
}
