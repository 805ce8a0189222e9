/*
 * The way in: datagrams of one source -> headers and windows -> open in place, run by run of the
 * same keypair -> commit
 * -> inner packet to the coalescer, or control entries to the control thread.
 */
#include "path/coalesce.h"
#include "path/internal.h"
#include "path/packet.h"
#include "proto/control.h"
#include "proto/wire.h"

#include <assert.h>
#include <string.h>

struct opening {
    struct cq_path_worker *worker;
    struct cq_path_in *in;
    const struct cq_path_source *source;
    cq_time now;
    size_t num;
    struct cq_record records[CQ_PATH_BATCH];
    struct cq_keypair *keypairs[CQ_PATH_BATCH];
    struct cq_aead_op ops[CQ_PATH_BATCH];
};

/* What the records of one keypair in a batch add up to. */
struct run {
    struct cq_keypair *keypair;
    uint64_t opened, bytes, failed;
    bool data;
    bool answers;     /* not PONGs alone, which come of our own PINGs on whatever session */
    bool newest;      /* one was the newest of lane 0 */
    uint64_t counter; /* of the last such one */
};

bool cq_path_is_record(const uint8_t *data, size_t len)
{
    return cq_record_is_one(data, len);
}

static void drop(const struct opening *o, enum cq_drop reason)
{
    cq_drop_count(&o->worker->counters, reason, 1);
}

/* Everything that can be known before the tag is checked. */
static enum cq_drop look(const struct opening *o, const struct cq_path_datagram *datagram,
                         struct cq_record *record, struct cq_keypair **out)
{
    enum cq_drop reason = cq_record_read(record, datagram->data, datagram->len);

    if (reason != CQ_DROP_NONE)
        return reason;
    struct cq_keypair *keypair = cq_index_find(&o->worker->path->index, record->receiver);
    if (keypair == NULL)
        return CQ_DROP_UNKNOWN_INDEX;
    if (o->now >= keypair->recv_until ||
        cq_relaxed(&keypair->failed_tags) >= CQ_RECORD_MAX_FAILED_TAGS)
        return CQ_DROP_KEY_EXPIRED;
    const struct cq_replay *window = cq_keypair_window(keypair, cq_record_lane(record->counter));
    if (window != NULL && !cq_replay_look(window, cq_record_seq(record->counter)))
        return CQ_DROP_REPLAYED_RECORD;
    *out = keypair;
    return CQ_DROP_NONE;
}

static void add_op(struct opening *o, const struct cq_path_datagram *datagram)
{
    struct cq_record *record = &o->records[o->num];
    enum cq_drop reason = look(o, datagram, record, &o->keypairs[o->num]);

    if (reason != CQ_DROP_NONE) {
        drop(o, reason);
        return;
    }
    struct cq_aead_op *op = &o->ops[o->num];
    uint8_t *body = datagram->data + CQ_RECORD_HEADER_LEN;
    op->ad = datagram->data;
    op->ad_len = CQ_RECORD_HEADER_LEN;
    op->in = body;
    op->out = body;
    op->len = datagram->len - CQ_RECORD_OVERHEAD;
    op->tag = body + op->len;
    op->failed = false;
    cq_record_nonce(op->nonce, o->keypairs[o->num]->recv_iv, record->counter);
    o->num++;
}

/* ---- what an authenticated record brings ---- */

static struct cq_path_event make_event(const struct opening *o, enum cq_path_event_type type,
                                       const struct cq_keypair *keypair)
{
    return (struct cq_path_event){
        .type = type,
        .peer = keypair->peer->number,
        .has_keypair = true,
        .local_idx = keypair->local_idx,
        .route = o->source->route,
        .when = o->now,
    };
}

static void report_first(const struct opening *o, struct cq_keypair *keypair, uint64_t counter,
                         size_t len)
{
    if (cq_flag(&keypair->first_reported) ||
        atomic_exchange_explicit(&keypair->first_reported, true, memory_order_relaxed))
        return;
    struct cq_path_event event = make_event(o, CQ_PATH_FIRST_RECORD, keypair);
    event.counter = counter;
    event.bytes = (uint32_t)len;
    if (!cq_event_push(o->worker, &event))
        cq_set_flag(&keypair->first_reported, false);
}

/* Whether it holds anything but PONGs. */
static bool take_control(const struct opening *o, const struct cq_keypair *keypair,
                         const uint8_t *plaintext, size_t len)
{
    struct cq_control_iter iter = cq_control_begin(plaintext, len);
    struct cq_control entry;
    bool padded = false;
    unsigned num = 0, num_pongs = 0;

    if (!cq_control_check(plaintext, len, &padded)) {
        drop(o, CQ_DROP_BAD_CONTROL);
        return true;
    }
    while (cq_control_next(&iter, &entry)) {
        struct cq_path_event event = make_event(o, CQ_PATH_PING, keypair);
        num++;
        switch (entry.type) {
        case CQ_CONTROL_PAD:
        case CQ_CONTROL_KEEPALIVE:
            continue;
        case CQ_CONTROL_PING:
            event.padded = padded;
            break;
        case CQ_CONTROL_PONG:
            event.type = CQ_PATH_PONG;
            num_pongs++;
            break;
        case CQ_CONTROL_CLOSE:
            event.type = CQ_PATH_CLOSE;
            event.close_reason = entry.close_reason;
            break;
        }
        if (entry.token != NULL)
            memcpy(event.token, entry.token, sizeof(event.token));
        /* In a full ring it is lost like a datagram; PING is repeated, and a session that is not
         * closed expires. */
        if (!cq_event_push(o->worker, &event))
            drop(o, CQ_DROP_QUEUE_FULL);
    }
    return num == 0 || num_pongs < num;
}

static bool is_from(const struct cq_path *path, const struct cq_packet *packet, const uint8_t *data,
                    const struct cq_path_peer *peer)
{
    if (packet->version == 4)
        return cq_table_find4(&path->table, data + 12) == peer;
    return cq_table_find6(&path->table, data + 8) == peer;
}

static void take_data(const struct opening *o, const struct cq_keypair *keypair, uint8_t flags,
                      uint8_t *data, size_t len)
{
    struct cq_packet packet;
    bool elided = (flags & CQ_RECORD_FLAG_ELIDED) != 0;

    if (!cq_packet_read(&packet, data, len) || (elided && cq_packet_csum_at(&packet, data) == 0)) {
        drop(o, CQ_DROP_INNER_MALFORMED);
        return;
    }
    if (packet.len > o->worker->path->mtu) {
        drop(o, CQ_DROP_INNER_TOO_BIG);
        return;
    }
    if (!is_from(o->worker->path, &packet, data, keypair->peer)) {
        drop(o, CQ_DROP_INNER_SOURCE);
        return;
    }
    if (!cq_packet_decap_ecn(&packet, data, o->source->ecn)) {
        drop(o, CQ_DROP_INNER_MALFORMED);
        return;
    }
    if (cq_fit_is_syn(&packet, data))
        cq_fit_clamp_mss(&packet, data,
                         atomic_load_explicit(&keypair->peer->mtu, memory_order_relaxed), elided);
    cq_counter_add(&o->worker->totals.inner_received, 1);
    cq_coalesce_add(o->in, data, &packet, elided);
}

/* A record whose tag verified. */
static void take_record(struct opening *o, struct run *run, size_t i)
{
    const struct cq_record *record = &o->records[i];
    struct cq_keypair *keypair = run->keypair;
    unsigned lane = cq_record_lane(record->counter);
    struct cq_replay *window = cq_keypair_make_window(keypair, lane);
    size_t len = o->ops[i].len;
    bool newest = false;

    if (window == NULL) {
        drop(o, CQ_DROP_NO_BUFFER);
        return;
    }
    if (!cq_replay_commit(window, cq_record_seq(record->counter), &newest)) {
        drop(o, CQ_DROP_REPLAYED_RECORD);
        return;
    }
    run->opened++;
    run->bytes += len + CQ_RECORD_OVERHEAD;
    if (newest && lane == 0) {
        run->newest = true;
        run->counter = record->counter;
    }
    report_first(o, keypair, record->counter, len + CQ_RECORD_OVERHEAD);
    if (record->type == CQ_MSG_DATA) {
        run->data = run->answers = true;
        take_data(o, keypair, record->flags, o->ops[i].out, len);
    } else if (take_control(o, keypair, o->ops[i].out, len)) {
        run->answers = true;
    }
}

/* ---- what a run as a whole brings ---- */

static void note_address(const struct opening *o, const struct run *run)
{
    struct cq_path_peer *peer = run->keypair->peer;
    struct cq_endpoint *endpoint = cq_see(&peer->endpoint);
    bool is_known =
        endpoint != NULL && cq_addr_equal(&endpoint->config.route.remote, &o->source->route.remote);

    if (is_known) {
        if (endpoint->config.validating)
            atomic_fetch_add_explicit(&endpoint->received, run->bytes, memory_order_relaxed);
        return;
    }
    if (!run->newest || cq_see(&peer->current) != run->keypair)
        return;
    struct cq_path_event event = make_event(o, CQ_PATH_MOVED, run->keypair);
    event.counter = run->counter;
    event.bytes = (uint32_t)run->bytes;
    (void)cq_event_push(o->worker, &event); /* lost in a full ring: the next record reports it */
}

static void finish_run(const struct opening *o, const struct run *run)
{
    struct cq_path_worker *worker = o->worker;
    struct cq_keypair *keypair = run->keypair;

    if (run->failed > 0) {
        atomic_fetch_add_explicit(&keypair->failed_tags, run->failed, memory_order_relaxed);
        cq_activity_limits(worker, keypair, o->now);
    }
    if (run->opened == 0)
        return;
    struct cq_peer_lane *lane = &keypair->peer->lanes[worker->number];
    cq_counter_add(&lane->rx_packets, run->opened);
    cq_counter_add(&lane->rx_bytes, run->bytes);
    cq_counter_add(&keypair->lanes[worker->number].opened, run->opened);
    cq_counter_add(&worker->totals.opened, run->opened);
    cq_counter_add(&worker->totals.opened_bytes, run->bytes);
    cq_activity_opened(worker, keypair, run->data, run->answers, o->now);
    note_address(o, run);
}

/* Opens the ops from `first` on that have the same keypair; returns the index after them. */
static size_t open_run(struct opening *o, size_t first)
{
    struct run run = {.keypair = o->keypairs[first]};
    size_t end = first + 1;

    while (end < o->num && o->keypairs[end] == run.keypair)
        end++;
    /* The result stands in each op; no op that failed is looked at again. */
    enum cq_err err =
        cq_aead_open_batch(run.keypair->lanes[o->worker->number].open, &o->ops[first], end - first);
    (void)err;
    for (size_t i = first; i < end; i++) {
        if (o->ops[i].failed) {
            drop(o, CQ_DROP_BAD_TAG);
            run.failed++;
        } else {
            take_record(o, &run, i);
        }
    }
    finish_run(o, &run);
    return end;
}

void cq_path_open(struct cq_path_worker *worker, struct cq_path_in *in,
                  const struct cq_path_source *source, const struct cq_path_datagram *datagrams,
                  size_t num, cq_time now)
{
    struct opening o;

    assert(num <= CQ_PATH_BATCH && num <= cq_path_in_room(in));
    o.worker = worker;
    o.in = in;
    o.source = source;
    o.now = now;
    o.num = 0;
    for (size_t i = 0; i < num; i++)
        add_op(&o, &datagrams[i]);
    for (size_t i = 0; i < o.num;)
        i = open_run(&o, i);
}
