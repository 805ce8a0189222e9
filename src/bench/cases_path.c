/*
 * The packet path between two nodes with a session. path/seal, path/open: packets one by one in
 * batches, as a worker handles them between two system calls. path/out, path/in: super-packets to
 * datagrams and back. path/segment, path/coalesce: these steps alone.
 */
#include "bench/nodes.h"
#include "bench/suite.h"

#include "path/coalesce.h"
#include "path/segment.h"

#include <stdlib.h>
#include <string.h>

enum {
    SLOTS = 64, /* packets made at a time */
    TCP_SEGMENT = CQ_BENCH_MTU - CQ_IPV4_HEADER_LEN - CQ_TCP_HEADER_LEN,
    TCP_SEGMENTS = 45, /* fill one datagram of UDP GSO */
    UDP_SEGMENT = 64,
    UDP_SEGMENTS = 64,
    DATAGRAMS_ROOM = 2 * CQ_PATH_DATAGRAM_MAX,
};

struct traffic {
    struct cq_bench_nodes *nodes;
    struct cq_path_source source; /* of a's datagrams */
    unsigned batch;
    uint8_t proto;
    size_t payload;    /* of a frame */
    uint16_t gso_size; /* 0: ordinary packets */
    unsigned num_frames;
    struct cq_path_frame frames[SLOTS];
    uint8_t *frame_buf, *pristine; /* room for each frame; as they were before they were used */
    size_t stride;
    struct cq_path_datagram datagrams[SLOTS];
    size_t num_datagrams;
    uint8_t *datagram_buf;
    struct cq_packet packets[SLOTS]; /* path/coalesce */
};

static void free_traffic(void *ctx)
{
    struct traffic *t = ctx;

    if (t == NULL)
        return;
    cq_bench_nodes_free(t->nodes);
    free(t->frame_buf);
    free(t->pristine);
    free(t->datagram_buf);
    free(t);
}

static struct traffic *new_traffic(const struct cq_bench_params *params, uint8_t proto,
                                   size_t payload, uint16_t gso_size)
{
    struct traffic *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return NULL;
    t->proto = proto;
    t->payload = payload;
    t->gso_size = gso_size;
    t->batch = params->batch;
    t->num_frames = gso_size > 0 ? 1 : SLOTS;
    t->stride = gso_size > 0 ? CQ_BENCH_FRAME_ROOM : CQ_BENCH_MTU + CQ_PATH_SLACK;
    t->frame_buf = calloc(t->num_frames, t->stride);
    t->pristine = calloc(t->num_frames, t->stride);
    t->datagram_buf = malloc(DATAGRAMS_ROOM);
    t->nodes = cq_bench_nodes_new(params->suite, true);
    if (t->frame_buf == NULL || t->pristine == NULL || t->datagram_buf == NULL ||
        t->nodes == NULL || !cq_bench_nodes_send(t->nodes)) {
        free_traffic(t);
        return NULL;
    }
    t->source.route = t->nodes->a.route;
    for (unsigned i = 0; i < t->num_frames; i++)
        t->frames[i] = cq_bench_frame(t->pristine + i * t->stride, proto, payload, gso_size);
    return t;
}

/* Packets of `size` bytes, IP header included. */
static void *setup_packets(const struct cq_bench_params *params)
{
    return new_traffic(params, CQ_PROTO_UDP, params->size - CQ_IPV4_HEADER_LEN - CQ_UDP_HEADER_LEN,
                       0);
}

static void *setup_tcp(const struct cq_bench_params *params)
{
    return new_traffic(params, CQ_PROTO_TCP, TCP_SEGMENTS * TCP_SEGMENT, TCP_SEGMENT);
}

static void *setup_udp(const struct cq_bench_params *params)
{
    return new_traffic(params, CQ_PROTO_UDP, UDP_SEGMENTS * UDP_SEGMENT, UDP_SEGMENT);
}

/* ---- out ---- */

/* Frames as the kernel has just written them: sealing uses their buffers up. */
static bool prepare_frames(void *ctx, uint64_t ops)
{
    struct traffic *t = ctx;

    memcpy(t->frame_buf, t->pristine, (size_t)ops * t->stride);
    for (unsigned i = 0; i < ops; i++)
        t->frames[i].data = t->frame_buf + i * t->stride;
    return cq_bench_nodes_refresh(t->nodes);
}

static bool seal_frames(struct traffic *t, unsigned first, unsigned num)
{
    struct cq_bench_node *a = &t->nodes->a;
    bool ok = true;

    cq_bench_enter(a);
    for (unsigned i = first; i < first + num; i++)
        ok = cq_path_seal(a->worker, &a->out, &t->frames[i], t->nodes->now) && ok;
    cq_bench_leave(a);
    return ok;
}

static bool run_seal(void *ctx, uint64_t ops)
{
    struct traffic *t = ctx;
    struct cq_path_out *out = &t->nodes->a.out;

    for (unsigned at = 0; at < ops; at += t->batch) {
        unsigned num = ops - at < t->batch ? (unsigned)ops - at : t->batch;
        if (!seal_frames(t, at, num) || out->num_sends == 0)
            return false;
        cq_bench_consume(out->buf);
        cq_path_out_reset(out);
    }
    return true;
}

/* ---- in ---- */

/* Copies the datagrams that a sealed to where they would have been received. */
static bool take_datagrams(struct traffic *t)
{
    struct cq_path_out *out = &t->nodes->a.out;
    size_t used = 0;

    for (size_t i = 0; i < out->num_sends; i++) {
        const struct cq_path_send *send = &out->sends[i];
        if (used + send->len > DATAGRAMS_ROOM)
            return false;
        memcpy(t->datagram_buf + used, send->data, send->len);
        for (size_t at = 0; at < send->len; at += send->segment) {
            size_t rest = send->len - at;
            if (t->num_datagrams == SLOTS)
                return false;
            t->datagrams[t->num_datagrams++] = (struct cq_path_datagram){
                t->datagram_buf + used + at, rest < send->segment ? rest : send->segment};
        }
        used += send->len;
    }
    cq_path_out_reset(out);
    return t->num_datagrams > 0;
}

static bool prepare_datagrams(void *ctx, uint64_t ops)
{
    struct traffic *t = ctx;

    t->num_datagrams = 0;
    return prepare_frames(t, ops) && seal_frames(t, 0, (unsigned)ops) && take_datagrams(t);
}

static void open_datagrams(struct traffic *t, size_t first, size_t num)
{
    struct cq_bench_node *b = &t->nodes->b;

    cq_bench_enter(b);
    cq_path_open(b->worker, &b->in, &t->source, t->datagrams + first, num, t->nodes->now);
    cq_bench_leave(b);
}

/* All packets came out: in frames that could be written now. */
static bool finish_in(struct traffic *t, size_t packets)
{
    struct cq_path_in *in = &t->nodes->b.in;
    bool ok = in->num_pieces == packets;

    cq_path_in_finish(in);
    cq_bench_consume(in);
    cq_path_in_reset(in);
    return ok;
}

static bool run_open(void *ctx, uint64_t ops)
{
    struct traffic *t = ctx;

    for (unsigned at = 0; at < ops; at += t->batch) {
        unsigned num = ops - at < t->batch ? (unsigned)ops - at : t->batch;
        open_datagrams(t, at, num);
        if (!finish_in(t, num))
            return false;
    }
    return true;
}

/* All datagrams of one super-packet, which they must become again. */
static bool run_in(void *ctx, uint64_t ops)
{
    struct traffic *t = ctx;

    (void)ops;
    open_datagrams(t, 0, t->num_datagrams);
    return t->nodes->b.in.num_frames == 1 && finish_in(t, t->num_datagrams);
}

/* ---- segment and coalesce alone ---- */

static bool segment(struct traffic *t)
{
    struct cq_segmenter *s = &(struct cq_segmenter){0};
    struct cq_segment one;
    unsigned num = 0;

    if (cq_segment_begin(s, &t->frames[0], CQ_BENCH_MTU) != CQ_DROP_NONE)
        return false;
    for (; cq_segment_next(s, &one); num++)
        cq_bench_consume(one.data);
    return num == t->payload / t->gso_size;
}

static bool run_segment(void *ctx, uint64_t ops)
{
    (void)ops;
    return segment(ctx);
}

/* The packets of a super-packet, one after the other, as they come out of their records. */
static bool prepare_packets(void *ctx, uint64_t ops)
{
    struct traffic *t = ctx;
    struct cq_segmenter s;
    struct cq_segment one;
    size_t used = 0;

    t->num_datagrams = 0;
    if (!prepare_frames(t, ops) ||
        cq_segment_begin(&s, &t->frames[0], CQ_BENCH_MTU) != CQ_DROP_NONE)
        return false;
    while (t->num_datagrams < SLOTS && cq_segment_next(&s, &one)) {
        size_t i = t->num_datagrams++;
        t->datagrams[i] = (struct cq_path_datagram){t->datagram_buf + used, one.len};
        memcpy(t->datagrams[i].data, one.data, one.len);
        used += one.len;
        if (!cq_packet_read(&t->packets[i], t->datagrams[i].data, one.len))
            return false;
    }
    return true;
}

static bool run_coalesce(void *ctx, uint64_t ops)
{
    struct traffic *t = ctx;
    struct cq_path_in *in = &t->nodes->b.in;

    (void)ops;
    for (size_t i = 0; i < t->num_datagrams; i++)
        cq_coalesce_add(in, t->datagrams[i].data, &t->packets[i], true);
    return in->num_frames == 1 && finish_in(t, t->num_datagrams);
}

/* ---- the list ---- */

static const struct cq_bench_kind seal_kind = {
    .unit = "ns/op",
    .things = "packets",
    .chunk = SLOTS,
    .setup = setup_packets,
    .prepare = prepare_frames,
    .run = run_seal,
    .teardown = free_traffic,
};

static const struct cq_bench_kind open_kind = {
    .unit = "ns/op",
    .things = "packets",
    .chunk = SLOTS,
    .setup = setup_packets,
    .prepare = prepare_datagrams,
    .run = run_open,
    .teardown = free_traffic,
};

/* Super-packets: one at a time. */
#define SUPER(name, set, prep, function)                                                           \
    static const struct cq_bench_kind name = {                                                     \
        .unit = "ns/op",                                                                           \
        .things = "super-packets",                                                                 \
        .chunk = 1,                                                                                \
        .setup = (set),                                                                            \
        .prepare = (prep),                                                                         \
        .run = (function),                                                                         \
        .teardown = free_traffic,                                                                  \
    };

SUPER(tcp_out_kind, setup_tcp, prepare_frames, run_seal)
SUPER(udp_out_kind, setup_udp, prepare_frames, run_seal)
SUPER(tcp_in_kind, setup_tcp, prepare_datagrams, run_in)
SUPER(udp_in_kind, setup_udp, prepare_datagrams, run_in)
SUPER(tcp_segment_kind, setup_tcp, prepare_frames, run_segment)
SUPER(udp_segment_kind, setup_udp, prepare_frames, run_segment)
SUPER(tcp_coalesce_kind, setup_tcp, prepare_packets, run_coalesce)
SUPER(udp_coalesce_kind, setup_udp, prepare_packets, run_coalesce)

static void add_packets(struct cq_bench_suite *suite, unsigned aead)
{
    static const size_t sizes[] = {64, 512, 1420};
    static const unsigned batches[] = {1, 8};
    const char *name = cq_suite_name(aead);

    for (int i = 0; i < 3; i++) {
        struct cq_bench_params p = {.suite = aead, .size = sizes[i], .batch = SLOTS};
        cq_bench_add(suite, &seal_kind, &p, "path/seal/%s/%zu", name, p.size);
        cq_bench_add(suite, &open_kind, &p, "path/open/%s/%zu", name, p.size);
    }
    for (int i = 0; i < 2; i++) {
        struct cq_bench_params p = {.suite = aead, .size = 1420, .batch = batches[i]};
        cq_bench_add(suite, &seal_kind, &p, "path/seal/%s/%zu/batch-%u", name, p.size, p.batch);
        cq_bench_add(suite, &open_kind, &p, "path/open/%s/%zu/batch-%u", name, p.size, p.batch);
    }
}

static void add_super(struct cq_bench_suite *suite, const struct cq_bench_kind *tcp,
                      const struct cq_bench_kind *udp, const char *verb, unsigned aead)
{
    struct cq_bench_params p = {.suite = aead, .batch = 1};
    const char *slash = verb[strlen(verb) - 1] == '/' ? cq_suite_name(aead) : "";

    p.size = TCP_SEGMENTS * TCP_SEGMENT;
    cq_bench_add(suite, tcp, &p, "path/%s%s/tcp-%ux%u", verb, slash, TCP_SEGMENTS, TCP_SEGMENT);
    p.size = UDP_SEGMENTS * UDP_SEGMENT;
    cq_bench_add(suite, udp, &p, "path/%s%s/udp-%ux%u", verb, slash, UDP_SEGMENTS, UDP_SEGMENT);
}

void cq_bench_add_path(struct cq_bench_suite *suite)
{
    static const unsigned suites[] = {CQ_SUITE_AES_256_GCM, CQ_SUITE_CHACHA20_POLY1305};

    for (int i = 0; i < 2; i++) {
        add_packets(suite, suites[i]);
        add_super(suite, &tcp_out_kind, &udp_out_kind, "out/", suites[i]);
        add_super(suite, &tcp_in_kind, &udp_in_kind, "in/", suites[i]);
    }
    add_super(suite, &tcp_segment_kind, &udp_segment_kind, "segment", suites[0]);
    add_super(suite, &tcp_coalesce_kind, &udp_coalesce_kind, "coalesce", suites[0]);
}
