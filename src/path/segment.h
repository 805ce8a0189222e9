/*
 * Cuts super-packets of the TUN (TCP and UDP) into the packets that go on the wire, in place: the
 * headers of each segment are written over the end of the payload before it, which must have been
 * used by then. Ordinary packets come out as they are. Checksums that the kernel left to us are
 * left out (elided) where the receiver can fill them in, and computed where it cannot.
 */
#ifndef CQ_PATH_SEGMENT_H
#define CQ_PATH_SEGMENT_H

#include "base/drop.h"
#include "path/packet.h"
#include "path/worker.h"

struct cq_segmenter {
    struct cq_packet packet; /* the whole */
    uint8_t *data;
    uint16_t mtu;
    uint16_t header_len; /* of each segment, IP to TCP or UDP; 0: not a super-packet */
    uint16_t size;       /* payload of each segment but the last */
    uint16_t csum_start, csum_offset;
    uint8_t l4_proto;
    bool elided;    /* checksums of all segments are undefined */
    bool finish;    /* checksums must be computed here */
    bool fragments; /* of IPv4, not segments */
    bool done;
    uint32_t offset; /* of the next payload */
    uint32_t index;
    uint8_t headers[CQ_PACKET_MAX_HEADERS];
};

struct cq_segment {
    uint8_t *data; /* CQ_PATH_SLACK bytes behind it are writable, but belong to the next segment */
    size_t len;
    bool elided;
};

/* Begins a frame. CQ_DROP_TUN_MALFORMED: it is no IP packet, its header or sizes are wrong, or its
 * segments are longer than mtu. */
enum cq_drop cq_segment_begin(struct cq_segmenter *s, const struct cq_path_frame *frame,
                              uint16_t mtu);

/*
 * Makes what comes out at most `limit` bytes long (at least 576): TCP is cut into smaller segments,
 * IPv4 packets that may be fragmented into fragments. False: what comes out is longer and must stay
 * as it is. Only between cq_segment_begin and the first packet.
 */
bool cq_segment_fit(struct cq_segmenter *s, uint16_t limit);

/* Upper bound for the length of all segments. */
static inline size_t cq_segment_max_len(const struct cq_segmenter *s)
{
    return s->header_len == 0 ? s->packet.len : (size_t)s->header_len + s->size;
}

/* The next packet; false: there are no more. */
bool cq_segment_next(struct cq_segmenter *s, struct cq_segment *out);

#endif
