/* Packets that are larger than the path takes: path/fit.h, and cq_segment_fit. */
#include "path/fit.h"
#include "path/segment.h"

#include "packets.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static uint8_t buf[PACKET_MAX + CQ_PATH_SLACK], copy[PACKET_MAX], whole[PACKET_MAX];

/* ---- cutting ---- */

/* Cuts what the frame holds to at most `limit` bytes each and puts the payloads together again. */
static size_t cut(const struct cq_path_frame *frame, uint16_t limit, size_t headers, bool elided)
{
    struct cq_segmenter s;
    struct cq_segment segment;
    size_t len = 0;
    uint32_t seq = 0;

    assert_int_equal(cq_segment_begin(&s, frame, 9000), CQ_DROP_NONE);
    assert_true(cq_segment_fit(&s, limit));
    assert_true(cq_segment_max_len(&s) <= limit);
    while (cq_segment_next(&s, &segment)) {
        assert_true(segment.len <= limit);
        assert_int_equal(segment.elided, elided);
        if (segment.elided)
            packet_fix_checksum(segment.data, segment.len);
        assert_true(packet_is_right(segment.data, segment.len));
        uint32_t at = cq_load_be32(segment.data + (segment.data[0] >> 4 == 4 ? 24 : 44));
        if (len == 0)
            seq = at;
        assert_int_equal(at - seq, len);
        memcpy(whole + len, segment.data + headers, segment.len - headers);
        len += segment.len - headers;
        memset(segment.data, 0xee, segment.len);
    }
    return len;
}

static void test_tcp(void **state)
{
    static const uint16_t limits[] = {1200, 1207, 1280, 1399};

    (void)state;
    for (unsigned version = 4; version <= 6; version += 2) {
        for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
            for (int kind = 0; kind < 3; kind++) {
                struct packet_spec spec = packet_spec((uint8_t)version, 6, 1348);
                struct cq_path_frame frame;
                spec.options = 12;
                spec.payload = kind == 2 ? 30000 : 1348;
                size_t headers = packet_header_len(&spec), len = packet_make(copy, &spec);
                if (kind == 0) /* complete, as of a packet that is forwarded */
                    frame = (struct cq_path_frame){.data = buf, .len = packet_make(buf, &spec)};
                else
                    frame = packet_make_frame(buf, &spec, kind == 1 ? 0 : 1340);
                assert_int_equal(cut(&frame, limits[i], headers, kind != 0), spec.payload);
                assert_memory_equal(whole, copy + headers, len - headers);
            }
        }
    }
}

/* What must not be cut: a wrong checksum, flags that belong to one segment, other protocols. */
static void test_not_cut(void **state)
{
    static const struct {
        uint8_t version, proto, flags;
        bool damaged;
    } rows[] = {{4, 6, 0x12, false}, {6, 6, 0x14, false}, {4, 6, 0x30, false},
                {4, 6, 0x10, true},  {4, 17, 0, false},   {6, 17, 0, false}};
    struct cq_segmenter s;
    struct cq_segment segment;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct packet_spec spec = packet_spec(rows[i].version, rows[i].proto, 1300);
        spec.df = true;
        spec.flags = rows[i].flags;
        struct cq_path_frame frame = {.data = buf, .len = packet_make(buf, &spec)};
        buf[frame.len - 1] ^= rows[i].damaged;
        memcpy(copy, buf, frame.len);
        assert_int_equal(cq_segment_begin(&s, &frame, 9000), CQ_DROP_NONE);
        assert_false(cq_segment_fit(&s, 1200));
        assert_true(cq_segment_fit(&s, (uint16_t)frame.len));
        assert_true(cq_segment_next(&s, &segment));
        assert_int_equal(segment.len, frame.len);
        assert_memory_equal(segment.data, copy, frame.len);
    }
    struct packet_spec spec = packet_spec(4, 17, 5000);
    struct cq_path_frame super = packet_make_frame(buf, &spec, 1300);
    assert_int_equal(cq_segment_begin(&s, &super, 9000), CQ_DROP_NONE);
    assert_false(cq_segment_fit(&s, 1200));
}

static void test_fragments(void **state)
{
    static const uint16_t limits[] = {576, 1200, 1207, 1311};
    struct cq_segmenter s;
    struct cq_segment segment;

    (void)state;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        for (int partial = 0; partial < 2; partial++) {
            struct packet_spec spec = packet_spec(4, 17, 1301);
            spec.df = false;
            spec.id = 77;
            size_t len = packet_make(copy, &spec), got = 0;
            struct cq_path_frame frame = packet_make_frame(buf, &spec, 0);
            if (!partial)
                frame = (struct cq_path_frame){.data = buf, .len = packet_make(buf, &spec)};
            assert_int_equal(cq_segment_begin(&s, &frame, 9000), CQ_DROP_NONE);
            assert_true(cq_segment_fit(&s, limits[i]));
            while (cq_segment_next(&s, &segment)) {
                uint16_t field = cq_load_be16(segment.data + 6);
                assert_true(segment.len <= limits[i] && !segment.elided);
                assert_int_equal(cq_load_be16(segment.data + 2), segment.len);
                assert_int_equal(cq_load_be16(segment.data + 4), 77);
                assert_int_equal((field & 0x1fff) * 8, got);
                assert_int_equal(cq_sum_fold(cq_sum(segment.data, 20)), 0xffff);
                memcpy(whole + got, segment.data + 20, segment.len - 20);
                got += segment.len - 20;
                assert_int_equal((field & 0x2000) != 0, got < len - 20);
            }
            assert_int_equal(got, len - 20);
            assert_memory_equal(whole, copy + 20, got);
        }
    }
    /* A fragment is cut into fragments of the same packet. */
    struct packet_spec spec = packet_spec(4, 17, 1300);
    size_t len = packet_make(buf, &spec);
    cq_store_be16(buf + 6, 0x2000 | 100);
    cq_packet_set_ipv4_csum(buf);
    struct cq_path_frame frame = {.data = buf, .len = len};
    assert_int_equal(cq_segment_begin(&s, &frame, 9000), CQ_DROP_NONE);
    assert_true(cq_segment_fit(&s, 1000));
    assert_true(cq_segment_next(&s, &segment));
    assert_int_equal(cq_load_be16(segment.data + 6), 0x2000 | 100);
    assert_int_equal(segment.len, 20 + 976);
    assert_true(cq_segment_next(&s, &segment));
    assert_int_equal(cq_load_be16(segment.data + 6), 0x2000 | (100 + 976 / 8));
    assert_false(cq_segment_next(&s, &segment));
}

/* ---- maximum segment size ---- */

static void test_mss(void **state)
{
    static const struct {
        uint8_t flags;
        uint8_t options[12];
        uint16_t limit;
        int changed; /* offset of the value in the options; -1: nothing changes */
    } rows[] = {
        {0x02, {2, 4, 5, 0xb4}, 1200, 2},
        {0x12, {1, 1, 2, 4, 0xff, 0xff, 1, 0}, 1200, 4},
        {0x02, {1, 2, 4, 5, 0xb4, 0}, 1200, 3}, /* at an odd offset */
        {0x02, {8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}, 1200, -1},
        {0x10, {2, 4, 5, 0xb4}, 1200, -1}, /* no SYN */
        {0x02, {2, 4, 4, 0}, 1200, -1},    /* small enough */
        {0x02, {0, 0, 2, 4, 5, 0xb4}, 1200, -1},
        {0x02, {2, 3, 5, 0xb4}, 1200, -1},
        {0x02, {3, 0, 2, 4, 5, 0xb4}, 1200, -1},
        {0x02, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2}, 1200, -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (unsigned version = 4; version <= 6; version += 2) {
            for (int partial = 0; partial < 2; partial++) {
                struct packet_spec spec = packet_spec((uint8_t)version, 6, 0);
                struct cq_packet packet;
                spec.flags = rows[i].flags;
                spec.options = sizeof(rows[i].options);
                size_t len = packet_make(buf, &spec);
                uint8_t *options = buf + len - sizeof(rows[i].options);
                memcpy(options, rows[i].options, sizeof(rows[i].options));
                packet_fix_checksum(buf, len);
                memcpy(copy, buf, len);
                assert_true(cq_packet_read(&packet, buf, len));
                cq_fit_clamp_mss(&packet, buf, rows[i].limit, partial);
                if (rows[i].changed < 0) {
                    assert_memory_equal(buf, copy, len);
                    continue;
                }
                unsigned mss = rows[i].limit - (version == 4 ? 40U : 60U);
                assert_int_equal(cq_load_be16(options + rows[i].changed), mss);
                assert_int_equal(cq_packet_csum_is_right(&packet, buf), !partial);
                cq_store_be16(copy + (options - buf) + rows[i].changed, (uint16_t)mss);
                if (!partial)
                    packet_fix_checksum(copy, len);
                assert_memory_equal(buf, copy, len);
            }
        }
    }
}

/* ---- too big ---- */

static void test_too_big(void **state)
{
    static uint8_t out[CQ_FIT_REPLY_MAX];
    struct cq_packet packet, reply;

    (void)state;
    for (unsigned version = 4; version <= 6; version += 2) {
        struct packet_spec spec = packet_spec((uint8_t)version, 17, 1372);
        size_t len = packet_make(buf, &spec);
        size_t addresses = version == 4 ? 12 : 8, width = version == 4 ? 4 : 16;
        assert_true(cq_packet_read(&packet, buf, len));
        size_t got = cq_fit_write_too_big(out, &packet, buf, 1300);
        assert_int_equal(got, version == 4 ? 576 : 1280);
        assert_true(cq_packet_read(&reply, out, got));
        assert_int_equal(reply.len, got);
        assert_memory_equal(out + addresses, buf + addresses + width, width);
        assert_memory_equal(out + addresses + width, buf + addresses, width);
        const uint8_t *icmp = out + reply.l4;
        if (version == 4) {
            assert_true(icmp[0] == 3 && icmp[1] == 4);
            assert_int_equal(cq_sum_fold(cq_sum(out, 20)), 0xffff);
            assert_int_equal(cq_sum_fold(cq_sum(icmp, got - 20)), 0xffff);
        } else {
            assert_true(icmp[0] == 2 && icmp[1] == 0);
            assert_true(cq_packet_csum_is_right(&reply, out));
        }
        assert_int_equal(cq_load_be32(icmp + 4), 1300);
        assert_memory_equal(icmp + 8, buf, got - reply.l4 - 8);
    }
}

static void test_no_answer(void **state)
{
    static const struct {
        uint8_t version;
        uint16_t at; /* this byte is set */
        uint8_t to;
        uint8_t proto;
    } rows[] = {
        {4, 7, 1, 17},    {4, 12, 0, 17},    {4, 12, 224, 17}, {4, 12, 255, 17},
        {4, 16, 224, 17}, {4, 20, 3, 1},     {4, 20, 11, 1},   {4, 20, 5, 1},
        {6, 8, 0xff, 17}, {6, 24, 0xff, 17}, {6, 40, 1, 58},   {6, 40, 127, 58},
    };
    static uint8_t out[CQ_FIT_REPLY_MAX];
    struct cq_packet packet;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct packet_spec spec = packet_spec(rows[i].version, rows[i].proto, 1300);
        size_t len = packet_make(buf, &spec);
        buf[rows[i].at] = rows[i].to;
        assert_true(cq_packet_read(&packet, buf, len));
        assert_int_equal(cq_fit_write_too_big(out, &packet, buf, 1300), 0);
    }
    /* ICMP that is no error gets an answer: `ping -M do -s` shows what fits. */
    static const uint8_t echo[] = {4, 8, 6, 128};
    for (size_t i = 0; i < sizeof(echo); i += 2) {
        struct packet_spec spec = packet_spec(echo[i], echo[i] == 4 ? 1 : 58, 1300);
        size_t len = packet_make(buf, &spec);
        buf[echo[i] == 4 ? 20 : 40] = echo[i + 1];
        assert_true(cq_packet_read(&packet, buf, len));
        assert_true(cq_fit_write_too_big(out, &packet, buf, 1300) > 0);
    }
    struct packet_spec spec = packet_spec(6, 17, 1300);
    size_t len = packet_make(buf, &spec);
    memset(buf + 8, 0, 16);
    assert_true(cq_packet_read(&packet, buf, len));
    assert_int_equal(cq_fit_write_too_big(out, &packet, buf, 1300), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp),       cmocka_unit_test(test_not_cut),
        cmocka_unit_test(test_fragments), cmocka_unit_test(test_mss),
        cmocka_unit_test(test_too_big),   cmocka_unit_test(test_no_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
