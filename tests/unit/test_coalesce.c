#include "path/coalesce.h"

#include "packets.h"
#include "path/segment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_PACKETS = 300, STRIDE = 1600, MTU = 1500 };

static struct cq_path_in in;
/* Each packet has room before it, as it has in a record. */
static uint8_t bufs[MAX_PACKETS][STRIDE];
static struct packet_spec specs[MAX_PACKETS];
static size_t num_added;

static void begin(bool csum, bool tso, bool uso)
{
    cq_path_in_init(&in, csum, tso, uso);
    num_added = 0;
}

/* Adds a packet; an elided one has nonsense in its checksum field. */
static void add_packet(const struct packet_spec *spec, bool elided)
{
    uint8_t *data = bufs[num_added] + 16;
    size_t len = packet_make(data, spec);
    struct cq_packet packet;

    assert_true(len <= STRIDE - 16 && num_added < MAX_PACKETS);
    assert_true(cq_packet_read(&packet, data, len + 7));
    if (elided)
        memset(data + cq_packet_csum_at(&packet, data), 0x5a, 2);
    specs[num_added++] = *spec;
    cq_coalesce_add(&in, data, &packet, elided);
}

static void flatten(size_t frame, uint8_t *out, size_t *len)
{
    const struct cq_path_in_frame *f = &in.frames[frame];

    *len = 0;
    for (uint32_t i = f->first; i != CQ_PATH_IN_FRAMES; i = in.pieces[i].next) {
        memcpy(out + *len, in.pieces[i].data, in.pieces[i].len);
        *len += in.pieces[i].len;
    }
    assert_int_equal(*len, f->len);
}

/* What comes out of all frames when the kernel segments them again, in order. */
struct output {
    uint8_t data[MAX_PACKETS][STRIDE];
    size_t len[MAX_PACKETS];
    size_t num;
};
static struct output output;

static void take_packet(const uint8_t *data, size_t len)
{
    assert_true(output.num < MAX_PACKETS);
    memcpy(output.data[output.num], data, len);
    output.len[output.num++] = len;
}

static void take_split(void *ctx, const struct cq_vnet *vnet, uint8_t *data, size_t len)
{
    (void)ctx;
    assert_int_equal(vnet->gso_type, CQ_VNET_GSO_NONE);
    take_packet(data, len);
    if (vnet->flags & CQ_VNET_NEEDS_CSUM)
        packet_fix_checksum(output.data[output.num - 1], len);
}

static void take_frame(size_t i)
{
    static uint8_t buf[PACKET_MAX + CQ_PATH_SLACK];
    struct cq_path_frame frame = {.vnet = in.frames[i].vnet, .data = buf};
    struct cq_segmenter s;
    struct cq_segment segment;

    flatten(i, buf, &frame.len);
    /* The kernel trusts the partial sum: over the pseudo-header with the full length. */
    if (frame.vnet.flags & CQ_VNET_NEEDS_CSUM) {
        static uint8_t whole[PACKET_MAX];
        memcpy(whole, buf, frame.len);
        cq_packet_finish_csum(whole, frame.len, frame.vnet.csum_start, frame.vnet.csum_offset,
                              frame.vnet.csum_offset == 6);
        assert_true(packet_is_right(whole, frame.len));
    }
    assert_int_equal(cq_segment_begin(&s, &frame, MTU), CQ_DROP_NONE);
    while (cq_segment_next(&s, &segment)) {
        if (segment.elided)
            packet_fix_checksum(segment.data, segment.len);
        take_packet(segment.data, segment.len);
    }
}

static bool is_same_flow(const struct packet_spec *a, const struct packet_spec *b)
{
    return a->version == b->version && a->proto == b->proto && a->src == b->src &&
           a->sport == b->sport && a->dport == b->dport;
}

static struct packet_spec spec_of(const uint8_t *p)
{
    size_t l4 = p[0] >> 4 == 4 ? 20 : 40;

    return (struct packet_spec){
        .version = p[0] >> 4,
        .proto = l4 == 20 ? p[9] : p[6],
        .src = l4 == 20 ? p[15] : p[23],
        .sport = (uint16_t)(p[l4] << 8 | p[l4 + 1]),
        .dport = (uint16_t)(p[l4 + 2] << 8 | p[l4 + 3]),
    };
}

/* All that was added came out: within each flow in the same order, and equal to the last bit. */
static void check_output(void)
{
    static uint8_t expected[STRIDE];
    static bool taken[MAX_PACKETS];

    memset(taken, 0, sizeof(taken));
    assert_int_equal(output.num, num_added);
    for (size_t i = 0; i < output.num; i++) {
        struct packet_spec flow = spec_of(output.data[i]);
        size_t k = 0;
        while (k < num_added && (taken[k] || !is_same_flow(&specs[k], &flow)))
            k++;
        assert_true(k < num_added);
        taken[k] = true;
        size_t len = packet_make(expected, &specs[k]);
        assert_int_equal(output.len[i], len);
        assert_memory_equal(output.data[i], expected, len);
        assert_true(packet_is_right(output.data[i], len));
    }
}

static void finish_and_check(void)
{
    output.num = 0;
    cq_path_in_finish(&in);
    for (size_t i = 0; i < in.num_frames; i++)
        take_frame(i);
    check_output();
}

/* The same, but every merged frame is refused by the TUN. */
static void finish_and_split(void)
{
    output.num = 0;
    cq_path_in_finish(&in);
    for (size_t i = 0; i < in.num_frames; i++) {
        if (in.frames[i].num_pieces > 1)
            cq_path_in_split(&in, i, take_split, NULL);
        else
            take_frame(i);
    }
    check_output();
}

/* Streams of several flows with everything that may happen to them. */
static void add_random_streams(void)
{
    struct packet_spec flows[6];
    size_t total = 20 + packet_random() % 200;

    for (size_t i = 0; i < 6; i++) {
        flows[i] = packet_spec(i % 2 ? 6 : 4, i < 3 ? 6 : 17, 0);
        flows[i].sport = (uint16_t)(1000 + i);
        flows[i].df = i % 3 != 0;
    }
    size_t flow = 0;
    while (num_added < total) {
        if (packet_random() % 4 == 0)
            flow = packet_random() % 6;
        struct packet_spec *f = &flows[flow];
        uint32_t r = packet_random() % 40;
        f->payload = r == 0 ? 0 : r == 1 ? packet_random() % 1300 : 1000;
        f->flags = (uint8_t)(r == 2 ? 0x18 : r == 3 ? 0x11 : r == 4 ? 0x90 : 0x10);
        if (r == 5)
            f->ack++;
        if (r == 6)
            f->window++;
        if (r == 7)
            f->tos ^= 1;
        if (r == 8)
            f->ttl--;
        if (r == 9)
            f->seq += 5;
        add_packet(f, packet_random() % 5 != 0);
        f->seq += (uint32_t)f->payload;
        f->id++;
    }
}

static void test_random_streams(void **state)
{
    size_t merged = 0;

    (void)state;
    for (int round = 0; round < 300; round++) {
        begin(round % 5 != 4, round % 3 != 2, round % 4 != 3);
        add_random_streams();
        if (round % 2)
            finish_and_check();
        else
            finish_and_split();
        merged += num_added - in.num_frames;
        if (!in.tso && !in.uso)
            assert_int_equal(in.num_frames, num_added);
    }
    assert_true(merged > 3000);
}

/* Pairs of packets that differ in one thing: merged or not. */
static void test_pairs(void **state)
{
    enum field {
        SAME,
        SEQ,
        ACK,
        WINDOW,
        FLAGS,
        FIRST_FLAGS,
        OPTIONS,
        SPORT,
        DPORT,
        SRC,
        TOS,
        TTL,
        DF,
        ID,
        ID_FREE,
        LONGER,
        SHORTER,
        EMPTY,
        SUM,
        FIRST_SUM,
        NO_SUM
    };
    static const struct {
        int number;
        uint8_t proto;
        enum field field;
        unsigned value;
        bool merged;
    } cases[] = {
        {1, 6, SAME, 0, true},
        {2, 6, SEQ, 1, false},
        {3, 6, ACK, 1, false},
        {4, 6, WINDOW, 1, false},
        {5, 6, FLAGS, 0x18, true},
        {6, 6, FLAGS, 0x11, false},
        {7, 6, FLAGS, 0x12, false},
        {8, 6, FLAGS, 0x14, false},
        {9, 6, FLAGS, 0x30, false},
        {10, 6, FLAGS, 0x50, false},
        {11, 6, FLAGS, 0x90, false},
        {12, 6, FLAGS, 0x08, false},
        {13, 6, FIRST_FLAGS, 0x18, false},
        {14, 6, OPTIONS, 8, false},
        {15, 6, SPORT, 1, false},
        {16, 6, DPORT, 1, false},
        {17, 6, SRC, 1, false},
        {18, 6, TOS, 3, false},
        {19, 6, TTL, 1, false},
        {20, 6, DF, 0, false},
        {21, 6, ID, 5, false},
        {22, 6, ID_FREE, 5, true},
        {23, 6, LONGER, 0, false},
        {24, 6, SHORTER, 0, true},
        {25, 6, EMPTY, 0, false},
        {26, 6, SUM, 0, false},
        {27, 6, FIRST_SUM, 0, false},
        {31, 17, SAME, 0, true},
        {32, 17, SPORT, 1, false},
        {33, 17, DPORT, 1, false},
        {34, 17, SRC, 1, false},
        {35, 17, TOS, 3, false},
        {36, 17, TTL, 1, false},
        {37, 17, DF, 0, false},
        {38, 17, ID, 5, false},
        {39, 17, ID_FREE, 5, true},
        {40, 17, LONGER, 0, false},
        {41, 17, SHORTER, 0, true},
        {42, 17, EMPTY, 0, false},
        {43, 17, SUM, 0, false},
        {44, 17, FIRST_SUM, 0, false},
        {45, 17, NO_SUM, 0, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum field field = cases[i].field;
        unsigned v = cases[i].value;
        struct packet_spec a = packet_spec(4, cases[i].proto, 500);
        a.df = field != ID;
        if (field == FIRST_FLAGS)
            a.flags = (uint8_t)v;
        struct packet_spec b = a;
        b.flags = field == FLAGS ? (uint8_t)v : 0x10;
        b.seq += 500 + (field == SEQ ? v : 0);
        b.ack += field == ACK ? v : 0;
        b.window = (uint16_t)(b.window + (field == WINDOW ? v : 0));
        b.options = field == OPTIONS ? (uint8_t)v : b.options;
        b.sport = (uint16_t)(b.sport + (field == SPORT ? v : 0));
        b.dport = (uint16_t)(b.dport + (field == DPORT ? v : 0));
        b.src = (uint8_t)(b.src + (field == SRC ? v : 0));
        b.tos = field == TOS ? (uint8_t)v : 0;
        b.ttl = (uint8_t)(b.ttl - (field == TTL ? v : 0));
        b.df = field == DF ? false : a.df;
        b.id = (uint16_t)(b.id + 1 + (field == ID || field == ID_FREE ? v : 0));
        b.payload = field == LONGER ? 501 : field == SHORTER ? 499 : field == EMPTY ? 0 : 500;

        struct packet_spec both[] = {a, b};
        begin(true, true, true);
        for (size_t k = 0; k < 2; k++) {
            uint8_t *data = bufs[k] + 16;
            struct cq_packet packet;
            size_t len = packet_make(data, &both[k]);
            size_t at = 20 + (cases[i].proto == 6 ? 16u : 6u);
            if ((field == SUM && k == 1) || (field == FIRST_SUM && k == 0))
                data[at] ^= 1;
            if (field == NO_SUM)
                memset(data + at, 0, 2);
            assert_true(cq_packet_read(&packet, data, len));
            cq_coalesce_add(&in, data, &packet, false);
        }
        if (in.num_frames != (cases[i].merged ? 1u : 2u))
            fail_msg("case %d", cases[i].number);
        cq_path_in_finish(&in);
        /* What is not merged, and did not come elided, stays as it came. */
        for (size_t k = 0; !cases[i].merged && k < 2; k++) {
            assert_int_equal(in.frames[k].vnet.flags, 0);
            assert_int_equal(in.frames[k].num_pieces, 1);
        }
    }
}

/* PSH and a short segment end a super-packet; the next segment begins another. */
static void test_ends(void **state)
{
    struct packet_spec s = packet_spec(6, 6, 1000);

    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        s = packet_spec(6, 6, 1000);
        begin(true, true, true);
        for (int i = 0; i < 9; i++) {
            bool last = i % 3 == 2;
            s.flags = last && kind == 0 ? 0x18 : 0x10;
            s.payload = last && kind == 1 ? 900 : 1000;
            add_packet(&s, true);
            s.seq += (uint32_t)s.payload;
        }
        assert_int_equal(in.num_frames, 3);
        finish_and_check();
    }
}

/* No frame is longer than an IP packet can be, nor of more pieces than writev takes. */
static void test_bounds(void **state)
{
    static const uint8_t protos[] = {6, 17};
    static const size_t payloads[] = {1400, 4};

    (void)state;
    for (size_t k = 0; k < 4; k++) {
        struct packet_spec s = packet_spec(k % 2 ? 6 : 4, protos[k / 2], 0);
        for (size_t p = 0; p < 2; p++) {
            s.payload = payloads[p];
            begin(true, true, true);
            if (k % 2 == 0)
                in.max_udp = CQ_PATH_IN_PIECES_OLD;
            for (int i = 0; i < 280; i++) {
                add_packet(&s, true);
                s.seq += (uint32_t)s.payload;
                s.id++;
            }
            assert_true(in.num_frames < 10);
            for (size_t i = 0; i < in.num_frames; i++) {
                assert_true(in.frames[i].len <= 65535);
                assert_true(in.frames[i].num_pieces <= CQ_PATH_IN_PIECES);
                if (k == 2)
                    assert_true(in.frames[i].num_pieces <= CQ_PATH_IN_PIECES_OLD);
            }
            finish_and_check();
        }
    }
}

/* A wrong IPv4 header checksum is still wrong afterwards, wherever in a stream the packet comes. */
static void test_wrong_header(void **state)
{
    static const uint8_t protos[] = {6, 17};

    (void)state;
    for (int k = 0; k < 2; k++)
        for (int wrong = 0; wrong < 3; wrong++) {
            struct packet_spec s = packet_spec(4, protos[k], 100);
            begin(true, true, true);
            for (int i = 0; i < 3; i++) {
                uint8_t *data = bufs[i] + 16;
                struct cq_packet packet;
                size_t len = packet_make(data, &s);
                data[10] ^= i == wrong;
                assert_true(cq_packet_read(&packet, data, len));
                cq_coalesce_add(&in, data, &packet, false);
                s.seq += 100;
                s.id++;
            }
            cq_path_in_finish(&in);
            assert_int_equal(in.num_frames, wrong == 1 ? 3 : 2);
            for (size_t i = 0; i < in.num_frames; i++) {
                const uint8_t *data = in.pieces[in.frames[i].first].data;
                bool right = cq_sum_fold(cq_sum(data, 20)) == 0xffff;
                assert_int_equal(right, data != bufs[wrong] + 16);
            }
        }
}

/* Fragments, IP options and extension headers are left alone. */
static void test_left_alone(void **state)
{
    struct packet_spec s = packet_spec(6, 6, 100);

    (void)state;
    begin(true, true, true);
    s.extension = 8;
    for (int i = 0; i < 3; i++) {
        uint8_t *data = bufs[i] + 16;
        struct cq_packet packet;
        size_t len = packet_make(data, &s);
        assert_true(cq_packet_read(&packet, data, len));
        cq_coalesce_add(&in, data, &packet, false);
        s.seq += 100;
    }
    assert_int_equal(in.num_frames, 3);
    begin(true, true, true);
    s = packet_spec(4, 17, 100);
    for (int i = 0; i < 3; i++) {
        uint8_t *data = bufs[i] + 16;
        struct cq_packet packet;
        size_t len = packet_make(data, &s);
        data[6] = 0x20;
        assert_true(cq_packet_read(&packet, data, len));
        cq_coalesce_add(&in, data, &packet, false);
    }
    assert_int_equal(in.num_frames, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_streams), cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_ends),           cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_left_alone),     cmocka_unit_test(test_wrong_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
