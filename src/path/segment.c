#include "path/segment.h"

#include "base/bytes.h"

#include <string.h>

enum {
    TCP_SEQ = 4,
    TCP_OFFSET = 12,
    TCP_FLAGS = 13,
    TCP_FIN = 0x01,
    TCP_SYN = 0x02,
    TCP_RST = 0x04,
    TCP_URG = 0x20,
    TCP_PSH = 0x08,
    TCP_CWR = 0x80,
    UDP_LEN = 4,
    MORE_FRAGMENTS = 0x2000,
    DONT_FRAGMENT = 0x4000,
    FRAGMENT_OFFSET = 0x1fff, /* in units of 8 bytes */
};

/* Whether IPv6 extension headers lead from the fixed header to `proto` at offset `at`. */
static bool leads_to(const uint8_t *data, size_t len, size_t at, uint8_t proto)
{
    enum { HOP_BY_HOP = 0, ROUTING = 43, DESTINATION = 60 };
    size_t here = CQ_IPV6_HEADER_LEN;
    uint8_t next = data[6];

    while (here < at) {
        if (next != HOP_BY_HOP && next != ROUTING && next != DESTINATION)
            return false;
        if (here + 8 > len)
            return false;
        next = data[here];
        here += 8 * ((size_t)data[here + 1] + 1);
    }
    return here == at && next == proto;
}

/* Checks that the headers of a super-packet are what its type says; sets header_len. */
static bool read_headers(struct cq_segmenter *s, uint8_t version, uint8_t proto)
{
    size_t l4 = s->csum_start;

    if (s->packet.version != version || s->packet.fragment)
        return false;
    if (version == 4 && (l4 != s->packet.l4 || s->packet.proto != proto))
        return false;
    if (version == 6 && !leads_to(s->data, s->packet.len, l4, proto))
        return false;

    size_t l4_header = CQ_UDP_HEADER_LEN;
    if (proto == CQ_PROTO_TCP) {
        if (l4 + CQ_TCP_HEADER_LEN > s->packet.len)
            return false;
        l4_header = (size_t)(s->data[l4 + TCP_OFFSET] >> 4) * 4;
        if (l4_header < CQ_TCP_HEADER_LEN)
            return false;
    }
    if (l4 + l4_header > s->packet.len || l4 + l4_header > sizeof(s->headers))
        return false;
    if (s->csum_offset != (proto == CQ_PROTO_TCP ? CQ_TCP_CSUM : CQ_UDP_CSUM))
        return false;
    s->header_len = (uint16_t)(l4 + l4_header);
    s->l4_proto = proto;
    return true;
}

static bool begin_super(struct cq_segmenter *s, const struct cq_vnet *vnet)
{
    bool ok = false;

    /* Without a partial checksum the segments would need one that nobody computed. */
    if ((vnet->flags & CQ_VNET_NEEDS_CSUM) == 0 || vnet->gso_size == 0)
        return false;
    switch (vnet->gso_type & ~CQ_VNET_GSO_ECN) {
    case CQ_VNET_GSO_TCPV4:
        ok = read_headers(s, 4, CQ_PROTO_TCP);
        break;
    case CQ_VNET_GSO_TCPV6:
        ok = read_headers(s, 6, CQ_PROTO_TCP);
        break;
    case CQ_VNET_GSO_UDP_L4:
        ok = read_headers(s, s->packet.version, CQ_PROTO_UDP);
        break;
    default:
        break;
    }
    if (!ok || (size_t)s->header_len + vnet->gso_size > s->mtu)
        return false;
    s->size = vnet->gso_size;
    s->offset = s->header_len;
    s->elided = s->csum_start == s->packet.l4;
    s->finish = !s->elided;
    memcpy(s->headers, s->data, s->header_len);
    return true;
}

static bool begin_single(struct cq_segmenter *s, const struct cq_vnet *vnet)
{
    if (s->packet.len > s->mtu)
        return false;
    if ((vnet->flags & CQ_VNET_NEEDS_CSUM) == 0)
        return true;

    size_t at = (size_t)s->csum_start + s->csum_offset;
    if (s->csum_start < s->packet.l4 || at + 2 > s->packet.len)
        return false;
    s->elided = cq_packet_csum_at(&s->packet, s->data) == at;
    if (!s->elided)
        cq_packet_finish_csum(s->data, s->packet.len, s->csum_start, s->csum_offset,
                              s->csum_offset == CQ_UDP_CSUM);
    return true;
}

enum cq_drop cq_segment_begin(struct cq_segmenter *s, const struct cq_path_frame *frame,
                              uint16_t mtu)
{
    const struct cq_vnet *vnet = &frame->vnet;
    struct cq_packet packet;

    if (frame->len > CQ_PATH_FRAME_MAX || !cq_packet_read(&packet, frame->data, frame->len))
        return CQ_DROP_TUN_MALFORMED;
    s->packet = packet;
    s->data = frame->data;
    s->mtu = mtu;
    s->header_len = 0;
    s->size = 0;
    s->csum_start = vnet->csum_start;
    s->csum_offset = vnet->csum_offset;
    s->elided = s->finish = s->fragments = s->done = false;
    s->offset = 0;
    s->index = 0;

    bool super = (vnet->gso_type & ~CQ_VNET_GSO_ECN) != CQ_VNET_GSO_NONE;
    if (super ? !begin_super(s, vnet) : !begin_single(s, vnet))
        return CQ_DROP_TUN_MALFORMED;
    return CQ_DROP_NONE;
}

/* A TCP packet becomes a super-packet of several segments. */
static bool split_tcp(struct cq_segmenter *s, uint16_t limit)
{
    size_t l4 = s->packet.l4;

    if (s->packet.proto != CQ_PROTO_TCP || cq_packet_csum_at(&s->packet, s->data) == 0 ||
        (s->data[l4 + TCP_FLAGS] & (TCP_SYN | TCP_RST | TCP_URG)) != 0)
        return false;
    size_t headers = l4 + (size_t)(s->data[l4 + TCP_OFFSET] >> 4) * 4;
    /* New checksums would hide that this one is wrong. */
    if (headers > sizeof(s->headers) || headers >= limit ||
        (!s->elided && !cq_packet_csum_is_right(&s->packet, s->data)))
        return false;
    s->l4_proto = CQ_PROTO_TCP;
    s->csum_start = s->packet.l4;
    s->csum_offset = CQ_TCP_CSUM;
    s->finish = !s->elided;
    s->header_len = (uint16_t)headers;
    s->size = (uint16_t)(limit - headers);
    return true;
}

static bool split_ipv4(struct cq_segmenter *s, uint16_t limit)
{
    if (s->packet.version != 4 || s->packet.l4 != CQ_IPV4_HEADER_LEN ||
        (cq_load_be16(s->data + 6) & DONT_FRAGMENT) != 0)
        return false;
    if (s->elided) {
        size_t at = cq_packet_csum_at(&s->packet, s->data);
        cq_packet_finish_csum(s->data, s->packet.len, s->packet.l4, at - s->packet.l4,
                              s->packet.proto == CQ_PROTO_UDP);
        s->elided = false;
    }
    s->fragments = true;
    s->header_len = CQ_IPV4_HEADER_LEN;
    s->size = (uint16_t)((limit - CQ_IPV4_HEADER_LEN) / 8 * 8);
    return true;
}

bool cq_segment_fit(struct cq_segmenter *s, uint16_t limit)
{
    if (cq_segment_max_len(s) <= limit)
        return true;
    if (s->header_len > 0) {
        if (s->l4_proto != CQ_PROTO_TCP || s->header_len >= limit)
            return false;
        s->size = (uint16_t)(limit - s->header_len);
        return true;
    }
    if (!split_tcp(s, limit) && !split_ipv4(s, limit))
        return false;
    s->offset = s->header_len;
    memcpy(s->headers, s->data, s->header_len);
    return true;
}

static void patch_ip(const struct cq_segmenter *s, uint8_t *p, size_t len)
{
    if (s->packet.version == 6) {
        cq_store_be16(p + 4, (uint16_t)(len - CQ_IPV6_HEADER_LEN));
        return;
    }
    cq_store_be16(p + 2, (uint16_t)len);
    cq_store_be16(p + 4, (uint16_t)(cq_load_be16(s->headers + 4) + s->index));
    cq_packet_set_ipv4_csum(p);
}

static void patch_fragment(const struct cq_segmenter *s, uint8_t *p, size_t len, bool last)
{
    uint16_t field = cq_load_be16(s->headers + 6);
    uint32_t units = (field & FRAGMENT_OFFSET) + (s->offset - s->header_len) / 8;
    uint16_t more = last ? field & MORE_FRAGMENTS : MORE_FRAGMENTS;

    cq_store_be16(p + 2, (uint16_t)len);
    cq_store_be16(p + 6, (uint16_t)(more | (units & FRAGMENT_OFFSET)));
    cq_packet_set_ipv4_csum(p);
}

static void patch_l4(const struct cq_segmenter *s, uint8_t *p, size_t len, bool last)
{
    uint8_t *l4 = p + s->csum_start;

    if (s->l4_proto == CQ_PROTO_UDP) {
        cq_store_be16(l4 + UDP_LEN, (uint16_t)(len - s->csum_start));
    } else {
        uint32_t done = s->offset - s->header_len;
        cq_store_be32(l4 + TCP_SEQ, cq_load_be32(s->headers + s->csum_start + TCP_SEQ) + done);
        uint8_t flags = s->headers[s->csum_start + TCP_FLAGS];
        if (!last)
            flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
        if (s->index > 0)
            flags &= (uint8_t)~TCP_CWR;
        l4[TCP_FLAGS] = flags;
    }
    if (!s->finish)
        return;
    uint64_t pseudo = cq_packet_pseudo_sum(&s->packet, p, s->l4_proto, len - s->csum_start);
    cq_store_be16(l4 + s->csum_offset, cq_sum_fold(pseudo));
    cq_packet_finish_csum(p, len, s->csum_start, s->csum_offset, s->l4_proto == CQ_PROTO_UDP);
}

bool cq_segment_next(struct cq_segmenter *s, struct cq_segment *out)
{
    if (s->done)
        return false;
    if (s->header_len == 0) {
        *out = (struct cq_segment){s->data, s->packet.len, s->elided};
        s->done = true;
        return true;
    }

    size_t left = s->packet.len - s->offset;
    bool last = left <= s->size;
    size_t payload = last ? left : s->size;
    uint8_t *p = s->data + s->offset - s->header_len;

    if (s->index > 0)
        memcpy(p, s->headers, s->header_len);
    if (s->fragments) {
        patch_fragment(s, p, s->header_len + payload, last);
    } else {
        patch_ip(s, p, s->header_len + payload);
        patch_l4(s, p, s->header_len + payload, last);
    }
    *out = (struct cq_segment){p, s->header_len + payload, s->elided};
    s->offset += (uint32_t)payload;
    s->index++;
    s->done = last;
    return true;
}
