#include "node/source.h"

#include "node/channel.h"
#include "node/control.h"
#include "os/clock.h"

#include <string.h>
#include <unistd.h>

enum { PEERS_AT_ONCE = 256 };

static const cq_time least_interval = 100 * CQ_NS_PER_MS;

enum cq_err cq_source_init(struct cq_source *source, int socket, int memory, size_t memory_len,
                           size_t num_peers)
{
    *source = (struct cq_source){.snapshot.fd = -1, .socket = socket, .filled = CQ_TIME_NEVER};
    if (memory < 0)
        return CQ_OK;
    enum cq_err err = cq_snapshot_open(&source->snapshot, memory, memory_len, true);
    return err == CQ_OK && source->snapshot.num_peers != num_peers ? CQ_ERR_INVALID : err;
}

void cq_source_wipe(struct cq_source *source)
{
    if (source->socket >= 0)
        close(source->socket);
    cq_snapshot_close(&source->snapshot);
    *source = (struct cq_source){.snapshot.fd = -1, .socket = -1, .filled = CQ_TIME_NEVER};
}

void cq_source_note(struct cq_source *source, const struct cq_action *action)
{
    const struct cq_event_record *e = &action->event;

    if (e->event == CQ_EVENT_HANDSHAKE_FAILED)
        source->counts.failed[e->diagnosis]++;
    if (e->event == CQ_EVENT_HANDSHAKE_COMPLETE || e->event == CQ_EVENT_KEY_ROTATION)
        cq_snapshot_durations_add(&source->counts.handshakes[e->role], e->duration);
    if (e->event == CQ_EVENT_KEY_ROTATION)
        cq_snapshot_durations_add(&source->counts.rotations[e->role], e->duration);
}

void cq_source_ready(struct cq_source *source)
{
    struct cq_channel_message message;
    enum cq_err err;

    while ((err = cq_channel_receive(source->socket, &message)) == CQ_OK)
        source->wanted = source->wanted || message.type == CQ_CHANNEL_SNAPSHOT;
    if (err != CQ_ERR_AGAIN && err != CQ_ERR_INVALID) {
        /* The monitor holds the other end as long as it lives. */
        close(source->socket);
        source->socket = -1;
        source->wanted = false;
    }
}

static void add_drops(struct cq_snapshot_node *out, const struct cq_counters *counters)
{
    for (int i = 0; i < CQ_DROP_COUNT; i++)
        out->drops[i] += cq_counter_get(&counters->drops[i]);
}

static void fill_workers(const struct cq_control *control, struct cq_snapshot_node *out)
{
    const struct cq_conf_tuning *tuning = &control->conf->tuning;
    struct cq_worker_status one;

    out->num_workers = control->num_workers;
    for (unsigned i = 0; i < control->num_workers; i++) {
        add_drops(out, cq_worker_counters(control->workers[i]));
        cq_worker_get_status(control->workers[i], &one);
        out->by_worker[i].sealed = one.sealed;
        out->by_worker[i].opened = one.opened;
        if (i == 0)
            out->worker = one;
        else
            cq_worker_status_add(&out->worker, &one);
    }
    out->switched_off[CQ_OFFLOAD_TUN_HEADER] = tuning->tun_offload >= CQ_CONF_TUN_OFFLOAD_OFF;
    out->switched_off[CQ_OFFLOAD_TUN_CSUM] = tuning->tun_offload > CQ_CONF_TUN_OFFLOAD_CHECKSUM;
    out->switched_off[CQ_OFFLOAD_TUN_TSO] = tuning->tun_offload > CQ_CONF_TUN_OFFLOAD_TSO;
    out->switched_off[CQ_OFFLOAD_TUN_USO] = tuning->tun_offload > CQ_CONF_TUN_OFFLOAD_ON;
    out->switched_off[CQ_OFFLOAD_UDP_GSO] = tuning->udp_gso_off;
    out->switched_off[CQ_OFFLOAD_UDP_GRO] = tuning->udp_gro_off;
}

void cq_source_fill_node(const struct cq_control *control, struct cq_snapshot_node *out,
                         cq_time now)
{
    const struct cq_handover_start *start = &control->start;

    memset(out, 0, sizeof(*out));
    out->now = now;
    out->wall = cq_clock_wall();
    out->started = control->started;
    memcpy(out->id, control->identity->id, sizeof(out->id));
    if (start->metrics_addr.ip.family != CQ_FAMILY_NONE)
        cq_addr_format(&start->metrics_addr, out->metrics_address);
    out->listen_port = start->udps[0].port;
    out->mtu = start->mtu;
    out->rotate_secs = control->conf->rotate_secs;
    out->fwmark = start->fwmark;
    out->suites = control->conf->suites;
    out->preferred_suite = control->conf->preferred_suite;
    out->has_ipv4 = start->udps[0].fd4 >= 0;
    out->has_ipv6 = start->udps[0].fd6 >= 0;
    add_drops(out, cq_engine_counters(control->engine));
    fill_workers(control, out);
    cq_engine_get_status(control->engine, &out->engine, now);
    out->counts = control->source.counts;
}

static void answer(struct cq_source *source)
{
    source->wanted = false;
    /* A server that reads nothing hears nothing. */
    (void)!cq_channel_send(source->socket, CQ_CHANNEL_SNAPSHOT, 0, NULL, &source->version,
                           sizeof(source->version));
}

static void fill_peers(struct cq_control *control)
{
    struct cq_source *source = &control->source;
    uint32_t num = source->snapshot.num_peers;
    uint32_t end = num - source->next > PEERS_AT_ONCE ? source->next + PEERS_AT_ONCE : num;

    for (; source->next < end; source->next++) {
        struct cq_peer_status *peer = &source->snapshot.peers[source->next];
        if (cq_engine_peer_status(control->engine, control->numbers[source->next], peer) != CQ_OK)
            memset(peer, 0, sizeof(*peer));
    }
}

bool cq_source_continue(struct cq_control *control, cq_time now)
{
    struct cq_source *source = &control->source;
    struct cq_snapshot_node node;

    if (!source->wanted)
        return false;
    if (!source->filling) {
        if (source->filled != CQ_TIME_NEVER && now - source->filled < least_interval) {
            answer(source);
            return false;
        }
        cq_snapshot_begin(&source->snapshot);
        source->filling = true;
        source->next = 0;
    }
    fill_peers(control);
    if (source->next < source->snapshot.num_peers)
        return true;
    cq_source_fill_node(control, &node, now);
    source->version = cq_snapshot_end(&source->snapshot, &node);
    source->filled = now;
    source->filling = false;
    answer(source);
    return false;
}
