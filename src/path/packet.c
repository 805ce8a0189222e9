#include "path/packet.h"

#include "base/bytes.h"

#include <string.h>

static bool read_ipv4(struct cq_packet *out, const uint8_t *data, size_t len)
{
    if (len < CQ_IPV4_HEADER_LEN)
        return false;

    size_t header = (size_t)(data[0] & 0x0f) * 4;
    size_t total = cq_load_be16(data + 2);
    uint16_t frag = cq_load_be16(data + 6);

    if (header < CQ_IPV4_HEADER_LEN || total < header || total > len)
        return false;
    *out = (struct cq_packet){
        .version = 4,
        .ecn = data[1] & 3,
        .proto = (frag & 0x1fff) == 0 ? data[9] : 0,
        .fragment = (frag & 0x3fff) != 0,
        .l4 = (uint16_t)header,
        .len = (uint32_t)total,
    };
    return true;
}

static bool read_ipv6(struct cq_packet *out, const uint8_t *data, size_t len)
{
    if (len < CQ_IPV6_HEADER_LEN)
        return false;

    size_t total = CQ_IPV6_HEADER_LEN + (size_t)cq_load_be16(data + 4);

    if (total > len)
        return false;
    *out = (struct cq_packet){
        .version = 6,
        .ecn = data[1] >> 4 & 3,
        .proto = data[6],
        .l4 = CQ_IPV6_HEADER_LEN,
        .len = (uint32_t)total,
    };
    return true;
}

bool cq_packet_read(struct cq_packet *out, const uint8_t *data, size_t len)
{
    if (len == 0)
        return false;
    switch (data[0] >> 4) {
    case 4:
        return read_ipv4(out, data, len);
    case 6:
        return read_ipv6(out, data, len);
    default:
        return false;
    }
}

size_t cq_packet_csum_at(const struct cq_packet *packet, const uint8_t *data)
{
    size_t l4_len = packet->len - packet->l4;

    if (packet->fragment)
        return 0;
    if (packet->proto == CQ_PROTO_TCP && l4_len >= CQ_TCP_HEADER_LEN &&
        (size_t)(data[packet->l4 + 12] >> 4) * 4 >= CQ_TCP_HEADER_LEN &&
        (size_t)(data[packet->l4 + 12] >> 4) * 4 <= l4_len)
        return (size_t)packet->l4 + CQ_TCP_CSUM;
    if (packet->proto == CQ_PROTO_UDP && l4_len >= CQ_UDP_HEADER_LEN &&
        cq_load_be16(data + packet->l4 + 4) == l4_len)
        return (size_t)packet->l4 + CQ_UDP_CSUM;
    return 0;
}

/* The sum is taken over words in memory order and turned round at the end (RFC 1071 section 2 B).
 */
uint64_t cq_sum(const uint8_t *data, size_t len)
{
    uint64_t a = 0;
    uint64_t b = 0;

    while (len >= 16) {
        uint32_t w[4];
        memcpy(w, data, sizeof(w));
        a += (uint64_t)w[0] + w[1];
        b += (uint64_t)w[2] + w[3];
        data += 16;
        len -= 16;
    }
    a += b;
    while (len >= 2) {
        uint16_t w;
        memcpy(&w, data, sizeof(w));
        a += w;
        data += 2;
        len -= 2;
    }
    if (len > 0) {
        uint8_t last[2] = {data[0], 0};
        uint16_t w;
        memcpy(&w, last, sizeof(w));
        a += w;
    }

    uint16_t folded = cq_sum_fold(a);
    uint8_t bytes[2];
    memcpy(bytes, &folded, sizeof(bytes));
    return cq_load_be16(bytes);
}

uint16_t cq_sum_fold(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

uint64_t cq_packet_pseudo_sum(const struct cq_packet *packet, const uint8_t *data, uint8_t proto,
                              size_t l4_len)
{
    /* Source and destination stand one after the other in both headers. */
    uint64_t sum = packet->version == 4 ? cq_sum(data + 12, 8) : cq_sum(data + 8, 32);

    return sum + proto + l4_len;
}

void cq_packet_finish_csum(uint8_t *data, size_t len, size_t csum_start, size_t csum_offset,
                           bool udp)
{
    uint16_t sum = (uint16_t)~cq_sum_fold(cq_sum(data + csum_start, len - csum_start));

    cq_store_be16(data + csum_start + csum_offset, udp && sum == 0 ? 0xffff : sum);
}

bool cq_packet_csum_is_right(const struct cq_packet *packet, const uint8_t *data)
{
    size_t l4_len = packet->len - packet->l4;
    uint64_t sum = cq_packet_pseudo_sum(packet, data, packet->proto, l4_len);

    return cq_sum_fold(sum + cq_sum(data + packet->l4, l4_len)) == 0xffff;
}

void cq_packet_set_ipv4_csum(uint8_t *data)
{
    size_t header = (size_t)(data[0] & 0x0f) * 4;

    cq_store_be16(data + 10, 0);
    cq_store_be16(data + 10, (uint16_t)~cq_sum_fold(cq_sum(data, header)));
}

static void set_ecn(struct cq_packet *packet, uint8_t *data, uint8_t ecn)
{
    packet->ecn = ecn;
    if (packet->version == 6) {
        data[1] = (uint8_t)((data[1] & ~0x30) | ecn << 4);
        return;
    }
    /* RFC 1624: HC' = ~(~HC + ~m + m'), so that a wrong checksum stays wrong. */
    uint16_t before = cq_load_be16(data);
    data[1] = (uint8_t)((data[1] & ~3) | ecn);
    uint64_t sum =
        (uint64_t)(uint16_t)~cq_load_be16(data + 10) + (uint16_t)~before + cq_load_be16(data);
    cq_store_be16(data + 10, (uint16_t)~cq_sum_fold(sum));
}

bool cq_packet_decap_ecn(struct cq_packet *packet, uint8_t *data, uint8_t outer)
{
    enum { ECT_1 = 1, ECT_0 = 2 };

    if (packet->ecn == CQ_ECN_NONE)
        return outer != CQ_ECN_CE;
    if (outer == CQ_ECN_CE && packet->ecn != CQ_ECN_CE)
        set_ecn(packet, data, CQ_ECN_CE);
    else if (outer == ECT_1 && packet->ecn == ECT_0)
        set_ecn(packet, data, ECT_1);
    return true;
}
