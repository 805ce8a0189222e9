#include "path/segment.h"

#include "packets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static uint8_t frame_buf[PACKET_MAX + CQ_PATH_SLACK];
static uint8_t expected[PACKET_MAX];

/* Segments a super-packet and compares each segment with the packet that it should be. */
static void check_super(const struct packet_spec *spec, uint16_t gso_size, uint16_t mtu)
{
    struct cq_path_frame frame = packet_make_frame(frame_buf, spec, gso_size);
    struct cq_segmenter s;
    struct cq_segment segment;
    size_t num = 0;
    size_t num_expected = (spec->payload + gso_size - 1) / gso_size;

    assert_int_equal(cq_segment_begin(&s, &frame, mtu), CQ_DROP_NONE);
    while (cq_segment_next(&s, &segment)) {
        struct packet_spec one = packet_segment(spec, gso_size, num);
        size_t len = packet_make(expected, &one);
        assert_true(len <= cq_segment_max_len(&s));
        assert_int_equal(segment.len, len);
        assert_int_equal(segment.elided, spec->extension == 0);
        if (segment.elided)
            packet_fix_checksum(segment.data, segment.len);
        assert_true(packet_is_right(segment.data, segment.len));
        assert_memory_equal(segment.data, expected, len);
        /* What a sealer may do to a segment that it is done with. */
        memset(segment.data, 0xee, segment.len);
        num++;
    }
    assert_int_equal(num, num_expected > 0 ? num_expected : 1);
}

static void test_supers(void **state)
{
    static const struct {
        uint8_t version, proto;
        size_t extension;
    } kinds[] = {{4, 6, 0}, {6, 6, 0}, {4, 17, 0}, {6, 17, 0}, {6, 6, 8}, {6, 17, 24}};
    static const uint16_t sizes[] = {1, 7, 39, 40, 41, 100, 536, 1300, 1348};

    (void)state;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            for (int round = 0; round < 6; round++) {
                size_t max = sizes[i] < 100 ? 2000 : 60000;
                struct packet_spec spec =
                    packet_spec(kinds[k].version, kinds[k].proto, 1 + packet_random() % max);
                spec.extension = kinds[k].extension;
                spec.options = spec.proto == 6 ? (uint8_t)(packet_random() % 11 * 4) : 0;
                if (round == 0)
                    spec.payload = sizes[i] * 5u;
                if (round == 1)
                    spec.payload = sizes[i];
                if (round == 2)
                    spec.payload = sizes[i] + 1u;
                if (round > 2)
                    spec.flags = (uint8_t)(0x10 | (packet_random() & 0x89));
                check_super(&spec, sizes[i], 1460);
            }
        }
    }
}

static void test_largest(void **state)
{
    struct packet_spec spec = packet_spec(4, 6, 65535 - 52);

    (void)state;
    check_super(&spec, 1368, 1420);
}

static void test_single(void **state)
{
    static const uint8_t versions[] = {4, 6};
    static const uint8_t protos[] = {6, 17};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct packet_spec spec = packet_spec(versions[i / 2], protos[i % 2], 333);
        size_t len = packet_make(expected, &spec);
        struct cq_segmenter s;
        struct cq_segment segment;

        /* A checksum left to us is elided. */
        struct cq_path_frame frame = packet_make_frame(frame_buf, &spec, 0);
        assert_int_equal(cq_segment_begin(&s, &frame, 1420), CQ_DROP_NONE);
        assert_true(cq_segment_next(&s, &segment));
        assert_true(segment.elided);
        assert_int_equal(segment.len, len);
        packet_fix_checksum(segment.data, len);
        assert_memory_equal(segment.data, expected, len);
        assert_false(cq_segment_next(&s, &segment));

        /* A complete one stays as it is, also if it is wrong. */
        frame.vnet = (struct cq_vnet){0};
        frame_buf[len - 1] ^= 1;
        assert_int_equal(cq_segment_begin(&s, &frame, 1420), CQ_DROP_NONE);
        assert_true(cq_segment_next(&s, &segment));
        assert_false(segment.elided);
        frame_buf[len - 1] ^= 1;
        assert_memory_equal(segment.data, expected, len);
    }
}

/* What the receiver could not fill in is computed here. */
static void test_single_finished(void **state)
{
    struct packet_spec specs[] = {packet_spec(6, 6, 100), packet_spec(6, 17, 101)};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct cq_segmenter s;
        struct cq_segment segment;
        specs[i].extension = 8;
        struct cq_path_frame frame = packet_make_frame(frame_buf, &specs[i], 0);
        assert_int_equal(cq_segment_begin(&s, &frame, 1420), CQ_DROP_NONE);
        assert_true(cq_segment_next(&s, &segment));
        assert_false(segment.elided);
        assert_true(packet_is_right(segment.data, segment.len));
    }
}

/* A UDP sum of zero goes out as 0xffff. */
static void test_zero_sum(void **state)
{
    struct packet_spec spec = packet_spec(6, 17, 2);
    struct cq_segmenter s;
    uint8_t sum[2];

    (void)state;
    spec.extension = 8;
    struct cq_path_frame frame = packet_make_frame(frame_buf, &spec, 0);
    memset(frame_buf + 56, 0, 2);
    assert_int_equal(cq_segment_begin(&s, &frame, 1420), CQ_DROP_NONE);
    memcpy(sum, frame_buf + 54, 2);
    assert_true(sum[0] != 0xff || sum[1] != 0xff);
    /* The sum over an empty payload, as the payload, makes the sum zero. */
    frame = packet_make_frame(frame_buf, &spec, 0);
    memcpy(frame_buf + 56, sum, 2);
    assert_int_equal(cq_segment_begin(&s, &frame, 1420), CQ_DROP_NONE);
    assert_int_equal(frame_buf[54], 0xff);
    assert_int_equal(frame_buf[55], 0xff);
}

static const struct malformed {
    int number;
    uint8_t version, proto;
    uint16_t gso_size; /* 0: single */
    size_t at;         /* this byte of the packet, where value is not -1 */
    int value;
    int csum_start, csum_offset, gso_type, flags, len; /* -1: as it is */
} malformed[] = {
    {1, 4, 6, 0, 0, 0x55, -1, -1, -1, -1, -1}, /* IP version */
    {2, 4, 6, 0, 0, 0x44, -1, -1, -1, -1, -1}, /* header below 20 */
    {3, 4, 6, 0, 2, 0xff, -1, -1, -1, -1, -1}, /* total length above the frame */
    {4, 4, 6, 0, 2, 0x00, -1, -1, -1, -1, 19}, /* frame below a header */
    {5, 6, 6, 0, 4, 0xff, -1, -1, -1, -1, -1},
    {6, 6, 6, 0, 0, -1, -1, -1, -1, -1, 39},
    {7, 4, 6, 0, 0, -1, -1, -1, -1, -1, 0},
    {8, 4, 6, 0, 0, -1, 19, -1, -1, -1, -1},    /* checksum inside the IP header */
    {9, 4, 6, 0, 0, -1, 65535, -1, -1, -1, -1}, /* checksum behind the packet */
    {10, 4, 6, 0, 0, -1, -1, 65535, -1, -1, -1},
    {11, 4, 6, 0, 0, -1, -1, 0x7fff, -1, -1, -1},
    {12, 4, 6, 500, 0, -1, -1, -1, -1, 0, -1}, /* TSO without NEEDS_CSUM */
    {13, 4, 6, 500, 0, -1, -1, -1, 3, -1, -1}, /* UFO is not ours */
    {14, 4, 6, 500, 0, -1, -1, -1, 4, -1, -1}, /* TCPV6 with IPv4 */
    {15, 6, 6, 500, 0, -1, -1, -1, 1, -1, -1},
    {16, 4, 6, 500, 0, -1, -1, -1, 5, -1, -1}, /* UDP with TCP */
    {17, 4, 17, 500, 0, -1, -1, -1, 1, -1, -1},
    {18, 4, 6, 500, 0, -1, 24, -1, -1, -1, -1}, /* checksum does not begin behind the IP header */
    {19, 6, 6, 500, 0, -1, 48, -1, -1, -1, -1},
    {20, 4, 6, 500, 0, -1, -1, 6, -1, -1, -1},
    {21, 4, 6, 500, 32, 0x40, -1, -1, -1, -1, -1}, /* TCP header below 20 */
    {22, 4, 6, 500, 6, 0x20, -1, -1, -1, -1, -1},  /* a fragment */
    {23, 6, 6, 500, 6, 44, -1, -1, -1, -1, -1},    /* IPv6 fragment header */
    {24, 6, 6, 500, 6, 0, 2000, -1, -1, -1, -1},   /* extension headers lead past csum_start */
    {25, 4, 6, 1400, 0, -1, -1, -1, -1, -1, -1},   /* segments above the MTU */
    {26, 4, 6, 500, 0, -1, -1, -1, 0x7f, -1, -1},
};

static void test_malformed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        const struct malformed *m = &malformed[i];
        struct packet_spec spec = packet_spec(m->version, m->proto, m->gso_size ? 3000 : 300);
        struct cq_path_frame frame = packet_make_frame(frame_buf, &spec, m->gso_size);
        struct cq_segmenter s;
        if (m->value >= 0)
            frame_buf[m->at] = (uint8_t)m->value;
        if (m->csum_start >= 0)
            frame.vnet.csum_start = (uint16_t)m->csum_start;
        if (m->csum_offset >= 0)
            frame.vnet.csum_offset = (uint16_t)m->csum_offset;
        if (m->gso_type >= 0)
            frame.vnet.gso_type = (uint8_t)m->gso_type;
        if (m->flags >= 0)
            frame.vnet.flags = (uint8_t)m->flags;
        if (m->len >= 0)
            frame.len = (size_t)m->len;
        if (cq_segment_begin(&s, &frame, 1420) != CQ_DROP_TUN_MALFORMED)
            fail_msg("case %d is accepted", m->number);
    }
}

static void test_mtu(void **state)
{
    struct packet_spec spec = packet_spec(4, 17, 1420 - 28);
    struct cq_path_frame frame = packet_make_frame(frame_buf, &spec, 0);
    struct cq_segmenter s;

    (void)state;
    assert_int_equal(cq_segment_begin(&s, &frame, 1420), CQ_DROP_NONE);
    assert_int_equal(cq_segment_begin(&s, &frame, 1419), CQ_DROP_TUN_MALFORMED);
    spec.payload = 10000;
    frame = packet_make_frame(frame_buf, &spec, 1392);
    assert_int_equal(cq_segment_begin(&s, &frame, 1420), CQ_DROP_NONE);
    frame = packet_make_frame(frame_buf, &spec, 1393);
    assert_int_equal(cq_segment_begin(&s, &frame, 1420), CQ_DROP_TUN_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_supers),   cmocka_unit_test(test_largest),
        cmocka_unit_test(test_single),   cmocka_unit_test(test_single_finished),
        cmocka_unit_test(test_zero_sum), cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_mtu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
