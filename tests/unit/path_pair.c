#include "path_pair.h"

#include "crypto/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct cq_route pair_route(uint8_t last)
{
    return (struct cq_route){
        .remote = {.ip = {CQ_FAMILY_IPV4, {192, 0, 2, last}}, .port = 51820},
        .local = {CQ_FAMILY_IPV4, {192, 0, 2, 200}},
    };
}

struct cq_keypair_params pair_params(enum cq_suite suite, uint8_t self, uint32_t local_idx,
                                     uint32_t remote_idx)
{
    struct cq_keypair_params p = {
        .suite = suite,
        .local_idx = local_idx,
        .remote_idx = remote_idx,
        .send_until = 300 * CQ_NS_PER_S,
        .recv_until = 315 * CQ_NS_PER_S,
        .rotate_at = CQ_TIME_NEVER,
    };

    memset(p.send_key, self == 1 ? 0x11 : 0x22, sizeof(p.send_key));
    memset(p.recv_key, self == 1 ? 0x22 : 0x11, sizeof(p.recv_key));
    memset(p.send_iv, self == 1 ? 0x33 : 0x44, sizeof(p.send_iv));
    memset(p.recv_iv, self == 1 ? 0x44 : 0x33, sizeof(p.recv_iv));
    return p;
}

static enum cq_err set_peer(struct pair_side *side, uint8_t other)
{
    struct cq_prefix prefixes[] = {
        {{CQ_FAMILY_IPV4, {10, 0, 0, other}}, 32},
        {{CQ_FAMILY_IPV6, {0xfd, [15] = other}}, 128},
    };
    struct cq_path_endpoint endpoint = {.route = pair_route(other)};
    enum cq_err err = cq_path_peer_add(side->path, PAIR_PEER, &side->peer);

    if (err == CQ_OK)
        err = cq_path_peer_set_prefixes(side->path, side->peer, prefixes, 2);
    if (err == CQ_OK)
        err = cq_path_peer_set_endpoint(side->path, side->peer, &endpoint);
    return err;
}

enum cq_err pair_init_side(struct pair_side *side, const struct pair_options *options, uint8_t self,
                           uint8_t other)
{
    enum cq_suite suite = options->suite != 0 ? options->suite : CQ_SUITE_AES_256_GCM;
    struct cq_path_config config = {
        .allocator = options->allocator != NULL ? options->allocator : &cq_heap_allocator,
        .num_workers = options->workers != 0 ? options->workers : 1,
        .mtu = PAIR_MTU,
    };

    memset(side, 0, sizeof(*side));
    side->params = pair_params(suite, self, 0x1000u + self, 0x1000u + other);
    side->source.route = pair_route(self);
    enum cq_err err = cq_path_new(&side->path, &config);
    if (err != CQ_OK)
        return err;
    side->worker = cq_path_get_worker(side->path, 0);
    err = set_peer(side, other);
    if (err == CQ_OK)
        err = cq_path_keypair_add(side->path, side->peer, &side->params, &side->keypair);
    if (err == CQ_OK)
        cq_path_peer_set_current(side->path, side->peer, side->keypair);
    side->out_buf = malloc(PAIR_OUT);
    assert_non_null(side->out_buf);
    cq_path_out_init(&side->out, side->out_buf, PAIR_OUT);
    cq_path_in_init(&side->in, !options->no_offloads, !options->no_offloads, !options->no_offloads);
    return err;
}

void pair_init(struct pair *pair, const struct pair_options *options)
{
    static const struct pair_options none;
    static bool ready;

    if (!ready)
        assert_int_equal(cq_crypto_init(false), CQ_OK);
    ready = true;
    if (options == NULL)
        options = &none;
    pair->now = CQ_NS_PER_S;
    assert_int_equal(pair_init_side(&pair->a, options, 1, 2), CQ_OK);
    assert_int_equal(pair_init_side(&pair->b, options, 2, 1), CQ_OK);
}

void pair_free(struct pair *pair)
{
    cq_path_free(pair->a.path);
    cq_path_free(pair->b.path);
    free(pair->a.out_buf);
    free(pair->b.out_buf);
}

size_t pair_take(struct pair_side *from, struct pair_record *out)
{
    size_t num = 0;

    for (size_t i = 0; i < from->out.num_sends; i++) {
        const struct cq_path_send *send = &from->out.sends[i];
        assert_true(send->len <= CQ_PATH_DATAGRAM_MAX);
        for (size_t at = 0; at < send->len; at += send->segment) {
            size_t len = send->len - at < send->segment ? send->len - at : send->segment;
            assert_true(num < PAIR_RECORDS && len <= sizeof(out->data));
            memcpy(out[num].data, send->data + at, len);
            out[num++].len = len;
        }
    }
    cq_path_out_reset(&from->out);
    return num;
}

size_t pair_seal(struct pair *pair, struct pair_side *from, const struct packet_spec *spec,
                 uint16_t gso_size, struct pair_record *out)
{
    static uint8_t buf[PACKET_MAX + CQ_PATH_SLACK];
    struct cq_path_frame frame = packet_make_frame(buf, spec, gso_size);
    size_t num = 0;

    cq_path_enter(from->worker);
    while (!cq_path_seal(from->worker, &from->out, &frame, pair->now))
        num += pair_take(from, out + num);
    (void)!cq_path_leave(from->worker);
    return num + pair_take(from, out + num);
}

size_t pair_control(struct pair *pair, struct pair_side *from, const void *data, size_t len,
                    size_t padded_len, const struct cq_route *route, struct pair_record *out)
{
    struct cq_path_control control = {
        .local_idx = from->params.local_idx,
        .len = (uint16_t)len,
        .padded_len = (uint16_t)padded_len,
        .data = data,
    };

    if (route != NULL)
        control.route = *route;
    cq_path_enter(from->worker);
    assert_true(cq_path_seal_control(from->worker, &from->out, &control, pair->now));
    (void)!cq_path_leave(from->worker);
    return pair_take(from, out);
}

void pair_open(struct pair *pair, struct pair_side *to, const struct pair_side *from,
               struct pair_record *records, size_t num)
{
    static uint8_t buf[PAIR_RECORDS][2048];
    struct cq_path_datagram datagrams[CQ_PATH_BATCH];

    cq_path_in_reset(&to->in);
    cq_path_enter(to->worker);
    for (size_t i = 0; i < num;) {
        size_t n = num - i < CQ_PATH_BATCH ? num - i : CQ_PATH_BATCH;
        for (size_t j = 0; j < n; j++) {
            memcpy(buf[i + j], records[i + j].data, records[i + j].len);
            datagrams[j] = (struct cq_path_datagram){buf[i + j], records[i + j].len};
        }
        cq_path_open(to->worker, &to->in, &from->source, datagrams, n, pair->now);
        i += n;
    }
    (void)!cq_path_leave(to->worker);
    cq_path_in_finish(&to->in);
}

size_t pair_frame(const struct pair_side *side, size_t i, uint8_t *out)
{
    const struct cq_path_in_frame *frame = &side->in.frames[i];
    size_t len = 0;

    assert_true(i < side->in.num_frames);
    for (uint32_t p = frame->first; p != CQ_PATH_IN_FRAMES; p = side->in.pieces[p].next) {
        memcpy(out + len, side->in.pieces[p].data, side->in.pieces[p].len);
        len += side->in.pieces[p].len;
    }
    assert_int_equal(len, frame->len);
    return len;
}

uint64_t pair_drops(const struct pair_side *side, enum cq_drop drop)
{
    return cq_counter_get(&cq_path_worker_counters(side->worker)->drops[drop]);
}

struct cq_path_event pair_expect(struct pair_side *side, enum cq_path_event_type type)
{
    struct cq_path_event event = {0};

    assert_true(cq_path_next_event(side->path, &event));
    assert_int_equal(event.type, type);
    assert_int_equal(event.peer, PAIR_PEER);
    return event;
}

void pair_expect_none(struct pair_side *side)
{
    struct cq_path_event event;

    if (cq_path_next_event(side->path, &event))
        fail_msg("unexpected event %d", (int)event.type);
}

void pair_skip_events(struct pair_side *side)
{
    struct cq_path_event event;

    while (cq_path_next_event(side->path, &event))
        ;
}
