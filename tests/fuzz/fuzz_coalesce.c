/*
 * Merging, without keys in the way. The input is a list of flags(1) || length(2) || packet; flags &
 * 1: checksum elided. What is merged is segmented again and must come out as it went in, but for
 * the fields that merging may change. Every frame must be what a TUN takes, by rules of its own.
 */
#include "base/bytes.h"
#include "path/coalesce.h"
#include "path/packet.h"
#include "path/segment.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { MAX_PACKETS = 200, MTU = 1500 };

static struct cq_path_in in;

static void require(int condition)
{
    if (!condition)
        abort();
}

/* Each packet that went in, kept as it was. */
struct original {
    uint8_t *data; /* in its own allocation, after room for a record's header */
    uint8_t *copy;
    size_t len;
    bool used;
};
static struct original originals[MAX_PACKETS];
static size_t num_originals;

static void blank(uint8_t *p, const struct cq_packet *packet, size_t csum_at)
{
    if (packet->version == 4) {
        memset(p + 4, 0, 2);  /* identification: free with DF */
        memset(p + 10, 0, 2); /* header checksum: rebuilt */
    }
    if (csum_at != 0)
        memset(p + csum_at, 0, 2);
}

static bool has_right_header(const uint8_t *p)
{
    return cq_sum_fold(cq_sum(p, (size_t)(p[0] & 15) * 4)) == 0xffff;
}

static void take_back(const uint8_t *data, size_t len)
{
    static uint8_t a[MTU + 1], b[MTU + 1];
    struct cq_packet packet;

    require(cq_packet_read(&packet, data, len) && packet.len == len);
    memcpy(a, data, len);
    blank(a, &packet, cq_packet_csum_at(&packet, data));
    for (size_t i = 0; i < num_originals; i++) {
        if (originals[i].used || originals[i].len != len)
            continue;
        memcpy(b, originals[i].copy, len);
        blank(b, &packet, cq_packet_csum_at(&packet, data));
        if (memcmp(a, b, len) == 0) {
            /* Nothing was mended. */
            require(packet.version == 6 ||
                    has_right_header(data) == has_right_header(originals[i].copy));
            originals[i].used = true;
            return;
        }
    }
    abort();
}

/* What Linux demands of a virtio header, and what it takes without a word and should not. */
static void check_vnet(const struct cq_vnet *v, const uint8_t *p, size_t len, size_t pieces)
{
    static const struct cq_vnet none;
    bool v4 = p[0] >> 4 == 4;

    require(len <= 65535 && (v4 || p[0] >> 4 == 6));
    require((v4 ? cq_load_be16(p + 2) : cq_load_be16(p + 4) + 40u) == len);
    require(pieces > 1 || len <= MTU);
    if (memcmp(v, &none, sizeof(none)) == 0) {
        require(pieces == 1);
        return;
    }
    size_t start = v4 ? (size_t)(p[0] & 15) * 4 : 40;
    uint8_t proto = v4 ? p[9] : p[6];
    require(v->flags == CQ_VNET_NEEDS_CSUM && v->csum_start == start);
    require((proto == 6 && v->csum_offset == 16) || (proto == 17 && v->csum_offset == 6));
    require(start + v->csum_offset + 2u <= len && (!v4 || (cq_load_be16(p + 6) & 0x3fff) == 0));
    /* The field holds the pseudo-header's sum. */
    uint64_t sum = cq_sum(p + (v4 ? 12 : 8), v4 ? 8 : 32) + proto + (len - start);
    require(cq_load_be16(p + start + v->csum_offset) == cq_sum_fold(sum));
    if (v->gso_type == CQ_VNET_GSO_NONE) {
        require(pieces == 1 && v->gso_size == 0);
        return;
    }
    size_t header = start + (proto == 6 ? (size_t)(p[start + 12] >> 4) * 4 : 8);
    require(v->gso_type == (proto == 17 ? CQ_VNET_GSO_UDP_L4
                            : v4        ? CQ_VNET_GSO_TCPV4
                                        : CQ_VNET_GSO_TCPV6));
    require(v->gso_size > 0 && v->hdr_len == header && header + v->gso_size <= MTU);
    require(len - header > v->gso_size && (len - header + v->gso_size - 1) / v->gso_size == pieces);
    require(pieces <= (proto == 17 ? in.max_udp : CQ_PATH_IN_PIECES));
    require(proto != 17 || cq_load_be16(p + start + 4) == len - start);
    require(!v4 || has_right_header(p));
}

static void check_frame(const struct cq_path_in_frame *f)
{
    static uint8_t buf[CQ_PATH_FRAME_MAX + CQ_PATH_SLACK];
    struct cq_path_frame frame = {.vnet = f->vnet, .data = buf};
    struct cq_segmenter s;
    struct cq_segment segment;

    for (uint32_t k = f->first; k != CQ_PATH_IN_FRAMES; k = in.pieces[k].next) {
        memcpy(buf + frame.len, in.pieces[k].data, in.pieces[k].len);
        frame.len += in.pieces[k].len;
    }
    require(frame.len == f->len);
    check_vnet(&f->vnet, buf, frame.len, f->num_pieces);
    require(cq_segment_begin(&s, &frame, MTU) == CQ_DROP_NONE);
    while (cq_segment_next(&s, &segment))
        take_back(segment.data, segment.len);
}

static void add(const uint8_t *bytes, size_t n, bool elided)
{
    struct cq_packet packet;

    if (!cq_packet_read(&packet, bytes, n) || packet.len > MTU)
        return;
    struct original *o = &originals[num_originals++];
    o->used = false;
    o->len = packet.len;
    o->data = malloc(n);
    o->copy = malloc(n);
    require(o->data != NULL && o->copy != NULL);
    memcpy(o->data, bytes, n);
    memcpy(o->copy, bytes, n);
    cq_coalesce_add(&in, o->data, &packet, elided && cq_packet_csum_at(&packet, bytes) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct cq_reader r = cq_reader_make(data, len);
    uint8_t mode = cq_read_u8(&r);

    cq_path_in_init(&in, (mode & 1) == 0, (mode & 2) == 0, (mode & 4) == 0);
    if (mode & 8)
        in.max_udp = CQ_PATH_IN_PIECES_OLD;
    num_originals = 0;
    while (r.len > 0 && num_originals < MAX_PACKETS) {
        uint8_t flags = cq_read_u8(&r);
        size_t n = cq_read_u16(&r);
        const uint8_t *bytes = cq_read_span(&r, n);
        if (r.failed)
            break;
        add(bytes, n, (flags & 1) != 0);
    }
    cq_path_in_finish(&in);
    for (size_t i = 0; i < in.num_frames; i++)
        check_frame(&in.frames[i]);
    for (size_t i = 0; i < num_originals; i++) {
        require(originals[i].used);
        free(originals[i].data);
        free(originals[i].copy);
    }
    return 0;
}
