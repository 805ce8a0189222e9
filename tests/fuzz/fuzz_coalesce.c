/*
 * Merging, without keys in the way. The input is a list of flags(1) || length(2) || packet; flags &
 * 1: checksum elided. What is merged is segmented again and must come out as it went in, but for
 * the fields that merging may change.
 */
#include "base/bytes.h"
#include "path/coalesce.h"
#include "path/packet.h"
#include "path/segment.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { MAX_PACKETS = 64, MTU = 1500 };

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
            originals[i].used = true;
            return;
        }
    }
    abort();
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
