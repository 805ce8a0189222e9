/*
 * The way out: frame -> peer -> segments -> counter, seal, place in the send buffer. Each segment
 * is sealed straight from the frame into the send buffer, one after the other, since each
 * overwrites the end of the one before (path/segment.h).
 */
#include "path/internal.h"

#include "base/bytes.h"
#include "path/fit.h"
#include "proto/wire.h"

#include <assert.h>
#include <string.h>

/* What is constant while the records of one frame, queue or action are sealed. */
struct sealing {
    struct cq_path_worker *worker;
    struct cq_path_out *out;
    struct cq_keypair *keypair;
    struct cq_endpoint *endpoint; /* NULL: none */
    const struct cq_route *route; /* instead of the endpoint's; NULL: none */
    uint16_t mtu;                 /* of packets to the peer */
    uint8_t ecn;
    uint64_t records, bytes; /* sealed so far */
};

/* One record: its plaintext lies at `in`, or is built in place where in is NULL. */
struct record {
    uint8_t type, flags;
    const uint8_t *in;
    size_t len; /* of the plaintext, with padding */
};

enum outcome { SEALED, DROPPED, NO_KEY };

void cq_path_out_init(struct cq_path_out *out, uint8_t *buf, size_t size)
{
    assert(size >= CQ_PATH_DATAGRAM_MAX + CQ_AEAD_TAG_LEN);
    *out = (struct cq_path_out){.buf = buf, .size = size};
}

void cq_path_out_reset(struct cq_path_out *out)
{
    out->num_sends = 0;
    out->used = 0;
    out->tail_segments = 0;
    out->tail_route = 0;
}

/* Whether one more record of that plaintext fits, whatever its route. */
static bool has_room(const struct cq_path_out *out, size_t plaintext)
{
    return out->num_sends < CQ_PATH_OUT_SENDS &&
           out->used + plaintext + CQ_RECORD_OVERHEAD <= out->size;
}

/* Adds the sealed record at buf + used to the last send, or begins a new one. serial 0: never
 * joined. */
static void place(struct cq_path_out *out, size_t len, const struct cq_route *route,
                  uint64_t serial, uint8_t ecn)
{
    struct cq_path_send *tail = &out->sends[out->num_sends - (out->num_sends > 0)];

    if (out->tail_segments > 0 && out->tail_segments < CQ_PATH_MAX_SEGMENTS &&
        out->tail_route == serial && tail->ecn == ecn && len <= tail->segment &&
        tail->len + len <= CQ_PATH_DATAGRAM_MAX) {
        tail->len += len;
        /* Only the last one of a send may be short. */
        out->tail_segments = len < tail->segment ? 0 : out->tail_segments + 1;
    } else {
        out->sends[out->num_sends++] = (struct cq_path_send){
            .route = *route,
            .data = out->buf + out->used,
            .len = len,
            .segment = (uint16_t)len,
            .ecn = ecn,
        };
        out->tail_segments = serial != 0 && !out->single ? 1 : 0;
        out->tail_route = serial;
    }
    out->used += len;
}

/* Takes len bytes out of what may be sent to an address that is not proven yet. */
static bool spend(struct cq_endpoint *endpoint, size_t len)
{
    uint64_t limit = 3 * cq_relaxed(&endpoint->received);

    if (atomic_fetch_add_explicit(&endpoint->sent, len, memory_order_relaxed) + len <= limit)
        return true;
    atomic_fetch_sub_explicit(&endpoint->sent, len, memory_order_relaxed);
    return false;
}

/* Where a record of len bytes goes; NULL: nowhere, and *drop says why. */
static const struct cq_route *choose_route(const struct sealing *s, bool data, size_t len,
                                           uint64_t *serial, enum cq_drop *drop)
{
    struct cq_endpoint *e = s->endpoint;

    *serial = 0;
    *drop = CQ_DROP_ADDRESS_UNPROVEN;
    if (s->route != NULL) {
        if (e != NULL && e->config.validating &&
            cq_addr_equal(&s->route->remote, &e->config.route.remote) && !spend(e, len))
            return NULL;
        return s->route;
    }
    if (e == NULL) {
        *drop = CQ_DROP_NO_ENDPOINT;
        return NULL;
    }
    *serial = e->serial;
    if (!e->config.validating || spend(e, len))
        return &e->config.route;
    if (!data || e->config.previous.remote.ip.family == CQ_FAMILY_NONE)
        return NULL;
    *serial = e->serial + 1;
    return &e->config.previous;
}

/* Seals one record into the send buffer, which has room. */
static enum outcome seal_record(struct sealing *s, const struct record *record)
{
    struct cq_path_worker *worker = s->worker;
    struct cq_keypair *keypair = s->keypair;
    size_t len = record->len + CQ_RECORD_OVERHEAD;
    uint8_t *to = s->out->buf + s->out->used;
    struct cq_record header = {record->type, record->flags, keypair->remote_idx, 0};
    uint64_t serial = 0;
    enum cq_drop drop = CQ_DROP_NONE;

    if (cq_flag(&keypair->exhausted))
        return NO_KEY;
    const struct cq_route *route =
        choose_route(s, record->type == CQ_MSG_DATA, len, &serial, &drop);
    if (route == NULL) {
        cq_drop_count(&worker->counters, drop, 1);
        return DROPPED;
    }
    if (!cq_keypair_reserve(keypair, worker->number, record->len, &header.counter))
        return NO_KEY;
    cq_record_write(to, &header);
    struct cq_aead_op op = {
        .ad = to,
        .ad_len = CQ_RECORD_HEADER_LEN,
        .in = record->in != NULL ? record->in : to + CQ_RECORD_HEADER_LEN,
        .out = to + CQ_RECORD_HEADER_LEN,
        .len = record->len,
        .tag = to + CQ_RECORD_HEADER_LEN + record->len,
    };
    cq_record_nonce(op.nonce, keypair->send_iv, header.counter);
    if (cq_aead_seal_batch(keypair->lanes[worker->number].seal, &op, 1) != CQ_OK) {
        cq_drop_count(&worker->counters, CQ_DROP_SEND_ERROR, 1);
        return DROPPED;
    }
    place(s->out, len, route, serial, s->ecn);
    s->records++;
    s->bytes += len;
    return SEALED;
}

/* Seals a packet as DATA. Up to CQ_PATH_SLACK bytes behind it are used for padding and put back. */
static enum outcome seal_packet(struct sealing *s, uint8_t *data, size_t len, bool elided)
{
    uint8_t saved[CQ_PATH_SLACK];
    size_t padded = cq_record_padded_len(len, s->mtu);
    struct record record = {
        .type = CQ_MSG_DATA,
        .flags = elided ? CQ_RECORD_FLAG_ELIDED : 0,
        .in = data,
        .len = padded,
    };

    memcpy(saved, data + len, padded - len);
    memset(data + len, 0, padded - len);
    enum outcome outcome = seal_record(s, &record);
    memcpy(data + len, saved, padded - len);
    return outcome;
}

static void finish_sealing(const struct sealing *s, bool data, cq_time now)
{
    struct cq_path_worker *worker = s->worker;
    struct cq_keypair *keypair = s->keypair;

    if (keypair == NULL)
        return;
    if (s->records == 0) {
        cq_activity_limits(worker, keypair, now);
        return;
    }
    struct cq_peer_lane *lane = &keypair->peer->lanes[worker->number];
    cq_counter_add(&lane->tx_packets, s->records);
    cq_counter_add(&lane->tx_bytes, s->bytes);
    cq_counter_add(&worker->totals.sealed, s->records);
    cq_counter_add(&worker->totals.sealed_bytes, s->bytes);
    if (data)
        cq_counter_add(&worker->totals.inner_sent, s->records);
    cq_activity_sealed(worker, keypair, data, now);
}

static struct sealing begin_sealing(struct cq_path_worker *worker, struct cq_path_out *out,
                                    const struct cq_path_peer *peer, cq_time now)
{
    struct cq_keypair *current = cq_see(&peer->current);

    return (struct sealing){
        .worker = worker,
        .out = out,
        .keypair = current != NULL && cq_keypair_may_send(current, now) ? current : NULL,
        .endpoint = cq_see(&peer->endpoint),
        .mtu = atomic_load_explicit(&peer->mtu, memory_order_relaxed),
    };
}

/* ---- staging ---- */

static void stage_packet(struct cq_path_worker *worker, struct cq_path_peer *peer,
                         const struct cq_segment *segment, uint8_t ecn, cq_time now)
{
    struct cq_stage_queue *queue = &peer->lanes[worker->number].staged;

    cq_stage_expire(&worker->stage, queue, &worker->counters, now);
    if (!cq_stage_reserve(&worker->stage, queue, segment->len, &worker->counters)) {
        cq_drop_count(&worker->counters, CQ_DROP_STAGED_FULL, 1);
        return;
    }
    struct cq_staged *slot = cq_stage_take(&worker->stage);
    if (slot == NULL) {
        /* The pool is used up: the oldest of this peer, or this packet, goes. */
        slot = cq_stage_pop(queue);
        cq_drop_count(&worker->counters, CQ_DROP_STAGED_FULL, 1);
        if (slot == NULL) {
            cq_stage_release(queue, segment->len);
            return;
        }
    }
    slot->when = now;
    slot->len = (uint32_t)segment->len;
    slot->elided = segment->elided;
    slot->ecn = ecn;
    memcpy(slot->data, segment->data, segment->len);
    cq_stage_push(queue, slot);
    cq_activity_need_session(worker, peer, now);
}

static bool send_staged(struct cq_path_worker *worker, struct cq_path_out *out,
                        struct cq_path_peer *peer, cq_time now)
{
    bool done = true;
    struct cq_stage_queue *queue = &peer->lanes[worker->number].staged;
    struct sealing s = begin_sealing(worker, out, peer, now);
    cq_stage_expire(&worker->stage, queue, &worker->counters, now);
    while (s.keypair != NULL && queue->first != NULL) {
        if (!has_room(out, worker->path->mtu)) {
            done = false;
            break;
        }
        struct cq_staged *slot = queue->first;
        s.ecn = slot->ecn;
        if (seal_packet(&s, slot->data, slot->len, slot->elided) == NO_KEY)
            break;
        cq_stage_give(&worker->stage, cq_stage_pop(queue));
    }
    finish_sealing(&s, true, now);
    return done;
}

bool cq_path_send_staged(struct cq_path_worker *worker, struct cq_path_out *out, uint32_t number,
                         cq_time now)
{
    struct cq_path_peer *peer = cq_path_find_peer(worker->path, number);

    return peer == NULL || send_staged(worker, out, peer, now);
}

void cq_path_drop_staged(struct cq_path_worker *worker, uint32_t number)
{
    struct cq_path_peer *peer = cq_path_find_peer(worker->path, number);
    struct cq_staged *slot;

    if (peer == NULL)
        return;
    while ((slot = cq_stage_pop(&peer->lanes[worker->number].staged)) != NULL) {
        cq_stage_give(&worker->stage, slot);
        cq_drop_count(&worker->counters, CQ_DROP_STAGED_EXPIRED, 1);
    }
}

/* ---- frames ---- */

static struct cq_path_peer *find_destination(const struct cq_path_worker *worker)
{
    const struct cq_segmenter *s = &worker->segmenter;
    /* Segments already made may lie over the frame's own headers. */
    const uint8_t *headers = s->header_len > 0 ? s->headers : s->data;

    if (s->packet.version == 4)
        return cq_table_find4(&worker->path->table, headers + 16);
    return cq_table_find6(&worker->path->table, headers + 24);
}

/* False: out is full and the segmenter holds the rest. */
static bool seal_segments(struct cq_path_worker *worker, struct cq_path_out *out,
                          struct cq_path_peer *peer, cq_time now)
{
    struct cq_segmenter *segmenter = &worker->segmenter;
    struct sealing s = begin_sealing(worker, out, peer, now);
    size_t max = cq_record_padded_len(cq_segment_max_len(segmenter), s.mtu);
    struct cq_segment segment;
    bool done = true;

    s.ecn = segmenter->packet.ecn;
    while (!segmenter->done) {
        if (s.keypair != NULL && !has_room(out, max)) {
            done = false;
            break;
        }
        (void)cq_segment_next(segmenter, &segment);
        if (s.keypair == NULL ||
            seal_packet(&s, segment.data, segment.len, segment.elided) == NO_KEY)
            stage_packet(worker, peer, &segment, s.ecn, now);
    }
    finish_sealing(&s, true, now);
    if (s.records > 0 && max + CQ_RECORD_OVERHEAD > CQ_RECORD_BASE_LEN)
        cq_activity_large(worker, s.keypair, now);
    return done;
}

/* ---- packets that the path to the peer does not take ---- */

/* Tells the sender of a packet, at a bounded rate. */
static void answer_too_big(struct cq_path_worker *worker, uint16_t mtu, cq_time now)
{
    struct cq_segmenter *s = &worker->segmenter;
    struct cq_segment first;
    struct cq_packet packet;

    if (worker->num_replies == 0 || now >= worker->reply_window + CQ_NS_PER_S) {
        worker->reply_window = now;
        worker->num_replies = 0;
    }
    if (worker->num_replies >= CQ_PATH_MAX_REPLIES)
        return;
    /* Of a super-packet, the first packet in it. */
    if (!cq_segment_next(s, &first) || !cq_packet_read(&packet, first.data, first.len))
        return;
    worker->reply_len = cq_fit_write_too_big(worker->reply, &packet, first.data, mtu);
    worker->num_replies += worker->reply_len > 0;
}

/* Makes the frame fit. False: that cannot be. */
static bool make_fit(struct cq_path_worker *worker, uint16_t mtu, cq_time now)
{
    struct cq_segmenter *s = &worker->segmenter;

    if (s->header_len == 0)
        cq_fit_clamp_mss(&s->packet, s->data, mtu, s->elided);
    if (cq_segment_fit(s, mtu))
        return true;
    answer_too_big(worker, mtu, now);
    return false;
}

static bool fit(struct cq_path_worker *worker, const struct cq_path_peer *peer, cq_time now)
{
    const struct cq_segmenter *s = &worker->segmenter;
    uint16_t mtu = atomic_load_explicit(&peer->mtu, memory_order_relaxed);

    return (cq_segment_max_len(s) <= mtu && !cq_fit_is_syn(&s->packet, s->data)) ||
           make_fit(worker, mtu, now);
}

bool cq_path_take_reply(struct cq_path_worker *worker, uint8_t **data, size_t *len)
{
    *data = worker->reply;
    *len = worker->reply_len;
    worker->reply_len = 0;
    return *len > 0;
}

bool cq_path_seal(struct cq_path_worker *worker, struct cq_path_out *out,
                  struct cq_path_frame *frame, cq_time now)
{
    if (!worker->frame_begun) {
        enum cq_drop drop = cq_segment_begin(&worker->segmenter, frame, worker->path->mtu);
        cq_counter_add(&worker->totals.frames_read, 1);
        if (drop != CQ_DROP_NONE) {
            cq_drop_count(&worker->counters, drop, 1);
            return true;
        }
    }
    struct cq_path_peer *peer = find_destination(worker);
    bool begun = worker->frame_begun;
    worker->frame_begun = false;
    if (peer == NULL) {
        cq_drop_count(&worker->counters, CQ_DROP_NO_ROUTE, 1);
        return true;
    }
    if (!begun && !fit(worker, peer, now)) {
        cq_drop_count(&worker->counters, CQ_DROP_PATH_MTU, 1);
        return true;
    }
    /* What waited for a session goes first, also before the control thread's word of it is here. */
    bool waiting = peer->lanes[worker->number].staged.first != NULL;
    worker->frame_begun =
        (waiting && !send_staged(worker, out, peer, now)) || !seal_segments(worker, out, peer, now);
    return !worker->frame_begun;
}

/* ---- control records ---- */

bool cq_path_seal_control(struct cq_path_worker *worker, struct cq_path_out *out,
                          const struct cq_path_control *control, cq_time now)
{
    struct cq_keypair *keypair = cq_index_find(&worker->path->index, control->local_idx);
    size_t len = control->padded_len > control->len ? control->padded_len : control->len;

    assert(worker->number == 0);
    if (control->len > CQ_PATH_CONTROL_MAX || len > CQ_RECORD_PLAINTEXT_MAX) {
        cq_drop_count(&worker->counters, CQ_DROP_BAD_CONTROL, 1);
        return true;
    }
    if (keypair == NULL || !cq_keypair_may_send(keypair, now)) {
        cq_drop_count(&worker->counters, CQ_DROP_KEY_EXPIRED, 1);
        return true;
    }
    if (!has_room(out, len))
        return false;

    struct sealing s = {
        .worker = worker,
        .out = out,
        .keypair = keypair,
        .endpoint = cq_see(&keypair->peer->endpoint),
        .route = control->route.remote.ip.family != CQ_FAMILY_NONE ? &control->route : NULL,
    };
    uint8_t *plaintext = out->buf + out->used + CQ_RECORD_HEADER_LEN;
    memcpy(plaintext, control->data, control->len);
    memset(plaintext + control->len, 0, len - control->len);
    if (seal_record(&s, &(struct record){.type = CQ_MSG_CONTROL, .len = len}) == NO_KEY)
        cq_drop_count(&worker->counters, CQ_DROP_KEY_EXPIRED, 1);
    finish_sealing(&s, false, now);
    return true;
}
