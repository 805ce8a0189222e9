#include "node/source.h"

#include "node/channel.h"
#include "node/control.h"
#include "os/clock.h"

#include <string.h>
#include <unistd.h>

enum { PEERS_AT_ONCE = 256 };

static const cq_time least_interval = 100 * CQ_NS_PER_MS;

enum cq_err cq_source_init(struct cq_source *source, int socket, int memory, size_t num_peers)
{
    *source = (struct cq_source){.snapshot.fd = -1, .socket = socket, .filled = CQ_TIME_NEVER};
    if (memory < 0)
        return CQ_OK;
    enum cq_err err = cq_snapshot_open(&source->snapshot, memory, true);
    return err == CQ_OK && source->snapshot.num_peers != num_peers ? CQ_ERR_INVALID : err;
}

void cq_source_note(struct cq_source *source, const struct cq_action *action)
{
    const struct cq_event_record *e = &action->event;

    if (e->event == CQ_EVENT_HANDSHAKE_FAILED)
        source->counts.failed++;
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

void cq_source_fill_node(const struct cq_control *control, struct cq_snapshot_node *out,
                         cq_time now)
{
    const struct cq_counters *mine = cq_engine_counters(control->engine);
    const struct cq_counters *its = cq_worker_counters(control->worker);
    const struct cq_handover_start *start = &control->start;

    memset(out, 0, sizeof(*out));
    out->now = now;
    out->wall = cq_clock_wall();
    out->started = control->started;
    memcpy(out->id, control->identity->id, sizeof(out->id));
    if (start->metrics_addr.ip.family != CQ_FAMILY_NONE)
        cq_addr_format(&start->metrics_addr, out->metrics_address);
    out->listen_port = start->udp.port;
    out->mtu = start->mtu;
    out->rotate_secs = control->conf->rotate_secs;
    out->fwmark = start->fwmark;
    out->suites = control->conf->suites;
    out->preferred_suite = control->conf->preferred_suite;
    out->has_ipv4 = start->udp.fd4 >= 0;
    out->has_ipv6 = start->udp.fd6 >= 0;
    out->num_workers = 1;
    for (int i = 0; i < CQ_DROP_COUNT; i++)
        out->drops[i] = cq_counter_get(&mine->drops[i]) + cq_counter_get(&its->drops[i]);
    cq_engine_get_status(control->engine, &out->engine, now);
    cq_worker_get_status(control->worker, &out->worker);
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
