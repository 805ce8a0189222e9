#include "path/fit.h"

#include "base/bytes.h"

#include <string.h>

enum {
    TCP_OFFSET = 12,
    TCP_FLAGS = 13,
    TCP_SYN = 0x02,
    OPTION_END = 0,
    OPTION_NOP = 1,
    OPTION_MSS = 2,
    OPTION_MSS_LEN = 4,
    PROTO_ICMP = 1,
    PROTO_ICMPV6 = 58,
    ICMP_HEADER_LEN = 8,
    ICMP_ECHO_REPLY = 0,
    ICMP_ECHO = 8,
    ICMP_UNREACHABLE = 3,
    ICMP_FRAGMENTATION_NEEDED = 4,
    ICMPV6_TOO_BIG = 2,
    ICMPV6_FIRST_INFORMATIONAL = 128,
    IPV4_REPLY_MAX = 576, /* RFC 1812 section 4.3.2.3 */
    TTL = 64,
    TOS_INTERNET_CONTROL = 0xc0,
    DONT_FRAGMENT = 0x4000,
};

/* ---- maximum segment size ---- */

/* The value of the option, or NULL. */
static uint8_t *find_mss(uint8_t *options, size_t len)
{
    size_t at = 0;

    while (at < len && options[at] != OPTION_END) {
        if (options[at] == OPTION_NOP) {
            at++;
            continue;
        }
        if (at + 1 >= len || options[at + 1] < 2 || at + options[at + 1] > len)
            return NULL;
        if (options[at] == OPTION_MSS)
            return options[at + 1] == OPTION_MSS_LEN ? options + at + 2 : NULL;
        at += options[at + 1];
    }
    return NULL;
}

/* The checksum after a change of one word of what it covers (RFC 1624); the word may lie at an odd
 * offset, where its bytes change places in the sum. */
static void adjust_csum(uint8_t *csum, uint16_t from, uint16_t to, bool odd)
{
    if (odd) {
        from = (uint16_t)(from << 8 | from >> 8);
        to = (uint16_t)(to << 8 | to >> 8);
    }
    uint32_t sum = (uint32_t)(uint16_t)~cq_load_be16(csum) + (uint16_t)~from + to;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    cq_store_be16(csum, (uint16_t)~sum);
}

void cq_fit_clamp_mss(const struct cq_packet *packet, uint8_t *data, uint16_t limit, bool partial)
{
    size_t l4 = packet->l4;

    if (packet->proto != CQ_PROTO_TCP || packet->fragment || packet->len < l4 + CQ_TCP_HEADER_LEN ||
        (data[l4 + TCP_FLAGS] & TCP_SYN) == 0)
        return;
    size_t header = (size_t)(data[l4 + TCP_OFFSET] >> 4) * 4;
    if (header < CQ_TCP_HEADER_LEN || l4 + header > packet->len)
        return;
    uint8_t *mss = find_mss(data + l4 + CQ_TCP_HEADER_LEN, header - (size_t)CQ_TCP_HEADER_LEN);
    size_t headers = (packet->version == 4 ? CQ_IPV4_HEADER_LEN : CQ_IPV6_HEADER_LEN) +
                     (size_t)CQ_TCP_HEADER_LEN;
    if (mss == NULL || limit <= headers || cq_load_be16(mss) <= limit - headers)
        return;
    uint16_t from = cq_load_be16(mss), to = (uint16_t)(limit - headers);
    cq_store_be16(mss, to);
    if (!partial)
        adjust_csum(data + l4 + CQ_TCP_CSUM, from, to, (size_t)(mss - (data + l4)) % 2 != 0);
}

/* ---- too big ---- */

static bool may_answer4(const struct cq_packet *packet, const uint8_t *data)
{
    const uint8_t *source = data + 12, *destination = data + 16;
    bool later_fragment = (cq_load_be16(data + 6) & 0x1fff) != 0;

    if (later_fragment || source[0] == 0 || source[0] >= 224 || destination[0] >= 224)
        return false;
    if (packet->proto != PROTO_ICMP)
        return true;
    return packet->len > packet->l4 &&
           (data[packet->l4] == ICMP_ECHO || data[packet->l4] == ICMP_ECHO_REPLY);
}

static size_t write4(uint8_t *out, const struct cq_packet *packet, const uint8_t *data,
                     uint16_t mtu)
{
    enum { HEADERS = CQ_IPV4_HEADER_LEN + ICMP_HEADER_LEN };
    size_t quoted = packet->len < IPV4_REPLY_MAX - HEADERS ? packet->len : IPV4_REPLY_MAX - HEADERS;
    uint8_t *icmp = out + CQ_IPV4_HEADER_LEN;

    if (!may_answer4(packet, data))
        return 0;
    memset(out, 0, HEADERS);
    out[0] = 0x45;
    out[1] = TOS_INTERNET_CONTROL;
    cq_store_be16(out + 2, (uint16_t)(HEADERS + quoted));
    cq_store_be16(out + 6, DONT_FRAGMENT);
    out[8] = TTL;
    out[9] = PROTO_ICMP;
    memcpy(out + 12, data + 16, 4);
    memcpy(out + 16, data + 12, 4);
    cq_packet_set_ipv4_csum(out);
    icmp[0] = ICMP_UNREACHABLE;
    icmp[1] = ICMP_FRAGMENTATION_NEEDED;
    cq_store_be16(icmp + 6, mtu);
    memcpy(icmp + ICMP_HEADER_LEN, data, quoted);
    cq_store_be16(icmp + 2, (uint16_t)~cq_sum_fold(cq_sum(icmp, ICMP_HEADER_LEN + quoted)));
    return HEADERS + quoted;
}

static bool may_answer6(const struct cq_packet *packet, const uint8_t *data)
{
    static const uint8_t unspecified[16];
    const uint8_t *source = data + 8;

    if (source[0] == 0xff || memcmp(source, unspecified, sizeof(unspecified)) == 0 ||
        data[24] == 0xff)
        return false;
    return packet->proto != PROTO_ICMPV6 ||
           (packet->len > packet->l4 && data[packet->l4] >= ICMPV6_FIRST_INFORMATIONAL);
}

static size_t write6(uint8_t *out, const struct cq_packet *packet, const uint8_t *data,
                     uint16_t mtu)
{
    enum { HEADERS = CQ_IPV6_HEADER_LEN + ICMP_HEADER_LEN };
    size_t quoted =
        packet->len < CQ_FIT_REPLY_MAX - HEADERS ? packet->len : CQ_FIT_REPLY_MAX - HEADERS;
    uint8_t *icmp = out + CQ_IPV6_HEADER_LEN;
    struct cq_packet reply = {.version = 6, .l4 = CQ_IPV6_HEADER_LEN};

    if (!may_answer6(packet, data))
        return 0;
    memset(out, 0, HEADERS);
    out[0] = 0x60;
    cq_store_be16(out + 4, (uint16_t)(ICMP_HEADER_LEN + quoted));
    out[6] = PROTO_ICMPV6;
    out[7] = TTL;
    memcpy(out + 8, data + 24, 16);
    memcpy(out + 24, data + 8, 16);
    icmp[0] = ICMPV6_TOO_BIG;
    cq_store_be16(icmp + 6, mtu);
    memcpy(icmp + ICMP_HEADER_LEN, data, quoted);
    uint64_t pseudo = cq_packet_pseudo_sum(&reply, out, PROTO_ICMPV6, ICMP_HEADER_LEN + quoted);
    cq_store_be16(icmp + 2, cq_sum_fold(pseudo));
    cq_packet_finish_csum(out, HEADERS + quoted, CQ_IPV6_HEADER_LEN, 2, false);
    return HEADERS + quoted;
}

size_t cq_fit_write_too_big(uint8_t out[CQ_FIT_REPLY_MAX], const struct cq_packet *packet,
                            const uint8_t *data, uint16_t mtu)
{
    return packet->version == 4 ? write4(out, packet, data, mtu) : write6(out, packet, data, mtu);
}
