#include "path/coalesce.h"

#include "base/bytes.h"

#include <assert.h>
#include <string.h>

enum {
    TCP_SEQ = 4,
    TCP_ACK = 8,
    TCP_OFFSET = 12,
    TCP_FLAGS = 13,
    TCP_WINDOW = 14,
    TCP_URGENT = 18,
    TCP_FLAG_PSH = 0x08,
    TCP_FLAG_ACK = 0x10,
    UDP_LEN = 4,
    IPV4_ID = 4,
    IPV4_DF = 0x40,
};

void cq_path_in_init(struct cq_path_in *in, bool csum, bool tso, bool uso)
{
    cq_path_in_reset(in);
    in->csum = csum;
    in->tso = csum && tso;
    in->uso = csum && uso;
    in->max_udp = CQ_PATH_IN_PIECES;
}

void cq_path_in_reset(struct cq_path_in *in)
{
    in->num_frames = 0;
    in->num_pieces = 0;
    in->num_flows = 0;
    in->next_flow = 0;
}

static struct cq_path_in_frame *start_frame(struct cq_path_in *in, uint8_t *data,
                                            const struct cq_packet *packet, bool elided)
{
    assert(in->num_frames < CQ_PATH_IN_FRAMES && in->num_pieces < CQ_PATH_IN_FRAMES);
    uint32_t piece = (uint32_t)in->num_pieces++;
    struct cq_path_in_frame *frame = &in->frames[in->num_frames++];

    in->pieces[piece] = (struct cq_path_piece){data, packet->len, CQ_PATH_IN_FRAMES};
    *frame = (struct cq_path_in_frame){
        .len = packet->len,
        .first = piece,
        .last = piece,
        .num_pieces = 1,
        .l4 = packet->l4,
        .version = packet->version,
        .proto = packet->proto,
        .elided = elided,
        .verified = elided,
        .closed = true,
    };
    return frame;
}

static uint8_t *frame_data(const struct cq_path_in *in, const struct cq_path_in_frame *frame)
{
    return in->pieces[frame->first].data;
}

/* Addresses and ports; both have no options or extension headers, so that both lie at fixed places.
 */
static bool is_same_flow(const struct cq_path_in_frame *frame, const uint8_t *a,
                         const struct cq_packet *packet, const uint8_t *b)
{
    if (frame->version != packet->version || frame->proto != packet->proto ||
        frame->l4 != packet->l4)
        return false;
    if (packet->version == 4)
        return memcmp(a + 12, b + 12, 12) == 0;
    return memcmp(a + 8, b + 8, 36) == 0;
}

/* What a super-packet has only once: version, TOS, flow label, TTL, DF. An id is one up per packet,
 * or free with DF. */
static bool has_same_ip(const struct cq_path_in_frame *frame, const uint8_t *a,
                        const struct cq_packet *packet, const uint8_t *b)
{
    if (packet->version == 6)
        return memcmp(a, b, 4) == 0 && a[7] == b[7];
    if (a[0] != b[0] || a[1] != b[1] || a[6] != b[6] || a[7] != b[7] || a[8] != b[8])
        return false;
    uint16_t expected = (uint16_t)(cq_load_be16(a + IPV4_ID) + frame->num_pieces);
    return (a[6] & IPV4_DF) != 0 || cq_load_be16(b + IPV4_ID) == expected;
}

/* The header's checksum is made anew in what is merged, which must not mend a wrong one. Only for a
 * plain header. */
static bool has_right_header(const struct cq_packet *packet, const uint8_t *data)
{
    uint32_t w[CQ_IPV4_HEADER_LEN / 4];

    if (packet->version == 6)
        return true;
    memcpy(w, data, sizeof(w));
    /* All ones in either byte order (RFC 1071 section 2 B). */
    return cq_sum_fold((uint64_t)w[0] + w[1] + w[2] + w[3] + w[4]) == 0xffff;
}

/* A packet that came with a complete checksum is verified before its checksum is given up. */
static bool is_vouched_for(struct cq_path_in *in, struct cq_path_in_frame *frame,
                           const struct cq_packet *packet, const uint8_t *data, bool elided)
{
    if (!frame->verified) {
        struct cq_packet first;
        const uint8_t *a = frame_data(in, frame);
        frame->verified =
            cq_packet_read(&first, a, frame->len) && cq_packet_csum_is_right(&first, a);
    }
    return frame->verified && (elided || cq_packet_csum_is_right(packet, data));
}

static void append(struct cq_path_in *in, struct cq_path_in_frame *frame, uint8_t *payload,
                   uint32_t len)
{
    uint32_t piece = (uint32_t)in->num_pieces++;

    in->pieces[piece] = (struct cq_path_piece){payload, len, CQ_PATH_IN_FRAMES};
    in->pieces[frame->last].next = piece;
    frame->last = piece;
    frame->num_pieces++;
    frame->len += len;
}

static bool has_room(const struct cq_path_in_frame *frame, size_t payload)
{
    return !frame->closed && frame->num_pieces < CQ_PATH_IN_PIECES && payload <= frame->segment &&
           frame->len + payload <= CQ_PATH_FRAME_MAX;
}

static bool has_plain_header(const struct cq_packet *packet)
{
    return !packet->fragment &&
           packet->l4 == (packet->version == 4 ? CQ_IPV4_HEADER_LEN : CQ_IPV6_HEADER_LEN);
}

/* ---- TCP ---- */

/* The open frame of the packet's stream; NULL: none. *out_flow: its place in in->flows. */
static struct cq_path_in_frame *find_stream(struct cq_path_in *in, const uint8_t *data,
                                            const struct cq_packet *packet, unsigned *out_flow)
{
    for (unsigned i = 0; i < in->num_flows; i++) {
        struct cq_path_in_frame *frame = &in->frames[in->flows[i]];
        if (is_same_flow(frame, frame_data(in, frame), packet, data)) {
            *out_flow = i;
            return frame;
        }
    }
    return NULL;
}

static void close_stream(struct cq_path_in *in, unsigned flow)
{
    in->frames[in->flows[flow]].closed = true;
    in->flows[flow] = in->flows[--in->num_flows];
}

static bool is_mergeable_tcp(const struct cq_packet *packet, const uint8_t *data,
                             size_t *out_header)
{
    const uint8_t *tcp = data + packet->l4;
    size_t header = (size_t)(tcp[TCP_OFFSET] >> 4) * 4;

    *out_header = packet->l4 + header;
    return (tcp[TCP_OFFSET] & 0x0f) == 0 && packet->len > packet->l4 + header &&
           (tcp[TCP_FLAGS] & ~TCP_FLAG_PSH) == TCP_FLAG_ACK && cq_load_be16(tcp + TCP_URGENT) == 0;
}

/* The same acknowledgement, window and options, and the next sequence number. */
static bool follows(const struct cq_path_in_frame *frame, const uint8_t *a, const uint8_t *b,
                    size_t header)
{
    const uint8_t *x = a + frame->l4;
    const uint8_t *y = b + frame->l4;
    uint32_t next = cq_load_be32(x + TCP_SEQ) + (frame->len - frame->header_len);

    return frame->header_len == header && cq_load_be32(y + TCP_SEQ) == next &&
           memcmp(x + TCP_ACK, y + TCP_ACK, 5) == 0 &&
           memcmp(x + TCP_WINDOW, y + TCP_WINDOW, 2) == 0 &&
           memcmp(x + CQ_TCP_HEADER_LEN, y + CQ_TCP_HEADER_LEN,
                  header - frame->l4 - CQ_TCP_HEADER_LEN) == 0;
}

static void open_stream(struct cq_path_in *in, struct cq_path_in_frame *frame, size_t header)
{
    frame->closed = false;
    frame->header_len = (uint16_t)header;
    frame->segment = (uint16_t)(frame->len - header);
    if (in->num_flows == CQ_PATH_IN_FLOWS) {
        close_stream(in, in->next_flow % CQ_PATH_IN_FLOWS);
        in->next_flow++;
    }
    in->flows[in->num_flows++] = (uint16_t)(frame - in->frames);
}

static void add_tcp(struct cq_path_in *in, uint8_t *data, const struct cq_packet *packet,
                    bool elided)
{
    unsigned flow = 0;
    size_t header = 0;
    struct cq_path_in_frame *frame = find_stream(in, data, packet, &flow);
    bool mergeable = is_mergeable_tcp(packet, data, &header);
    bool push = (data[packet->l4 + TCP_FLAGS] & TCP_FLAG_PSH) != 0;
    size_t payload = packet->len - header;

    if (frame != NULL && mergeable && has_room(frame, payload) &&
        has_same_ip(frame, frame_data(in, frame), packet, data) &&
        follows(frame, frame_data(in, frame), data, header) &&
        is_vouched_for(in, frame, packet, data, elided)) {
        append(in, frame, data + header, (uint32_t)payload);
        if (push)
            frame_data(in, frame)[frame->l4 + TCP_FLAGS] |= TCP_FLAG_PSH;
        if (push || payload < frame->segment)
            close_stream(in, flow);
        return;
    }
    /* Whatever comes next of this stream comes after this packet. */
    if (frame != NULL)
        close_stream(in, flow);
    frame = start_frame(in, data, packet, elided);
    if (mergeable && !push)
        open_stream(in, frame, header);
}

/* ---- UDP ---- */

static void add_udp(struct cq_path_in *in, uint8_t *data, const struct cq_packet *packet,
                    bool elided)
{
    size_t header = (size_t)packet->l4 + CQ_UDP_HEADER_LEN;
    size_t payload = packet->len - header;
    /* Without a checksum (IPv4) it must stay without. */
    bool mergeable = payload > 0 && (elided || cq_load_be16(data + packet->l4 + CQ_UDP_CSUM) != 0);
    struct cq_path_in_frame *newest = in->num_frames > 0 ? &in->frames[in->num_frames - 1] : NULL;

    if (newest != NULL && newest->proto == CQ_PROTO_UDP && mergeable && has_room(newest, payload) &&
        newest->num_pieces < in->max_udp &&
        is_same_flow(newest, frame_data(in, newest), packet, data) &&
        has_same_ip(newest, frame_data(in, newest), packet, data) &&
        is_vouched_for(in, newest, packet, data, elided)) {
        append(in, newest, data + header, (uint32_t)payload);
        newest->closed = payload < newest->segment;
        return;
    }
    struct cq_path_in_frame *frame = start_frame(in, data, packet, elided);
    if (mergeable) {
        frame->closed = false;
        frame->header_len = (uint16_t)header;
        frame->segment = (uint16_t)payload;
    }
}

void cq_coalesce_add(struct cq_path_in *in, uint8_t *data, const struct cq_packet *packet,
                     bool elided)
{
    bool plain = has_plain_header(packet) && cq_packet_csum_at(packet, data) != 0 &&
                 has_right_header(packet, data);

    if (plain && in->tso && packet->proto == CQ_PROTO_TCP)
        add_tcp(in, data, packet, elided);
    else if (plain && in->uso && packet->proto == CQ_PROTO_UDP)
        add_udp(in, data, packet, elided);
    else
        start_frame(in, data, packet, elided);
}

/* ---- headers of what goes to the TUN ---- */

static size_t csum_offset(uint8_t proto)
{
    return proto == CQ_PROTO_TCP ? CQ_TCP_CSUM : CQ_UDP_CSUM;
}

/* Puts the folded sum of the pseudo-header into the checksum field. */
static void put_pseudo_sum(uint8_t *data, const struct cq_path_in_frame *frame, size_t len)
{
    struct cq_packet packet = {.version = frame->version};
    uint64_t sum = cq_packet_pseudo_sum(&packet, data, frame->proto, len - frame->l4);

    cq_store_be16(data + frame->l4 + csum_offset(frame->proto), cq_sum_fold(sum));
}

static void set_length(uint8_t *data, const struct cq_path_in_frame *frame, size_t len)
{
    if (frame->proto == CQ_PROTO_UDP)
        cq_store_be16(data + frame->l4 + UDP_LEN, (uint16_t)(len - frame->l4));
    if (frame->version == 6) {
        cq_store_be16(data + 4, (uint16_t)(len - CQ_IPV6_HEADER_LEN));
        return;
    }
    cq_store_be16(data + 2, (uint16_t)len);
    cq_packet_set_ipv4_csum(data);
}

static struct cq_vnet partial_csum(const struct cq_path_in_frame *frame)
{
    return (struct cq_vnet){
        .flags = CQ_VNET_NEEDS_CSUM,
        .csum_start = frame->l4,
        .csum_offset = (uint16_t)csum_offset(frame->proto),
    };
}

/* One packet whose checksum is undefined: partial where the TUN takes that. */
static struct cq_vnet finish_elided(const struct cq_path_in *in, uint8_t *data,
                                    const struct cq_path_in_frame *frame, size_t len)
{
    put_pseudo_sum(data, frame, len);
    if (in->csum)
        return partial_csum(frame);
    cq_packet_finish_csum(data, len, frame->l4, csum_offset(frame->proto),
                          frame->proto == CQ_PROTO_UDP);
    return (struct cq_vnet){0};
}

static void finish_merged(const struct cq_path_in *in, struct cq_path_in_frame *frame)
{
    uint8_t *data = frame_data(in, frame);

    set_length(data, frame, frame->len);
    put_pseudo_sum(data, frame, frame->len);
    frame->vnet = partial_csum(frame);
    frame->vnet.hdr_len = frame->header_len;
    frame->vnet.gso_size = frame->segment;
    if (frame->proto == CQ_PROTO_UDP)
        frame->vnet.gso_type = CQ_VNET_GSO_UDP_L4;
    else
        frame->vnet.gso_type = frame->version == 4 ? CQ_VNET_GSO_TCPV4 : CQ_VNET_GSO_TCPV6;
}

void cq_path_in_finish(struct cq_path_in *in)
{
    for (size_t i = 0; i < in->num_frames; i++) {
        struct cq_path_in_frame *frame = &in->frames[i];
        if (frame->num_pieces > 1)
            finish_merged(in, frame);
        else if (frame->elided)
            frame->vnet = finish_elided(in, frame_data(in, frame), frame, frame->len);
    }
}

void cq_path_in_split(struct cq_path_in *in, size_t index,
                      void (*write)(void *ctx, const struct cq_vnet *vnet, uint8_t *data,
                                    size_t len),
                      void *ctx)
{
    struct cq_path_in_frame *frame = &in->frames[index];

    for (uint32_t i = frame->first; i != CQ_PATH_IN_FRAMES; i = in->pieces[i].next) {
        uint8_t *data = in->pieces[i].data;
        size_t len = in->pieces[i].len;
        if (i == frame->first) {
            /* Its headers were changed for the whole; no packet with PSH begins a merged frame. */
            set_length(data, frame, len);
            if (frame->proto == CQ_PROTO_TCP)
                data[frame->l4 + TCP_FLAGS] &= (uint8_t)~TCP_FLAG_PSH;
        } else {
            /* The others still have theirs in front of the payload. */
            data -= frame->header_len;
            len += frame->header_len;
        }
        struct cq_vnet vnet = finish_elided(in, data, frame, len);
        write(ctx, &vnet, data, len);
    }
}
