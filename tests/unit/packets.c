#include "packets.h"

#include <string.h>

static uint64_t random_state = 0x9e3779b97f4a7c15u;

uint32_t packet_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 20);
}

static void put16(uint8_t *p, size_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v & 0xffff);
}

static size_t get16(const uint8_t *p)
{
    return (size_t)p[0] << 8 | p[1];
}

/* One byte after the other, the slow way. */
static uint32_t add_up(uint32_t sum, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        sum += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
        if (sum > 0xffff)
            sum -= 0xffff;
    }
    return sum;
}

struct packet_spec packet_spec(uint8_t version, uint8_t proto, size_t payload)
{
    return (struct packet_spec){
        .version = version,
        .proto = proto,
        .src = 1,
        .dst = 2,
        .sport = 40000,
        .dport = 5201,
        .seq = 0xfffffe00u, /* wraps soon */
        .ack = 77,
        .flags = 0x10,
        .window = 501,
        .options = proto == 6 ? 12 : 0,
        .id = 0xfffe,
        .df = true,
        .ttl = 64,
        .payload = payload,
        .fill = 1,
    };
}

static size_t ip_len(const struct packet_spec *s)
{
    return s->version == 4 ? 20 : 40 + s->extension;
}

size_t packet_header_len(const struct packet_spec *s)
{
    return ip_len(s) + (s->proto == 6 ? 20u + s->options : s->proto == 17 ? 8u : 0u);
}

static void put_ip(uint8_t *p, const struct packet_spec *s, size_t len)
{
    if (s->version == 4) {
        p[0] = 0x45;
        p[1] = s->tos;
        put16(p + 2, len);
        put16(p + 4, s->id);
        p[6] = s->df ? 0x40 : 0;
        p[8] = s->ttl;
        p[9] = s->proto;
        memcpy(p + 12, (uint8_t[8]){10, 0, 0, s->src, 10, 0, 0, s->dst}, 8);
        put16(p + 10, 0xffff - add_up(0, p, 20));
        return;
    }
    put32(p, 0x60000000u | (uint32_t)s->tos << 20 | 0x12345);
    put16(p + 4, len - 40);
    p[6] = s->extension > 0 ? 60 : s->proto;
    p[7] = s->ttl;
    p[8] = p[24] = 0xfd;
    p[23] = s->src;
    p[39] = s->dst;
    if (s->extension > 0) {
        p[40] = s->proto;
        p[41] = (uint8_t)(s->extension / 8 - 1);
        p[42] = 1; /* PadN */
        p[43] = (uint8_t)(s->extension - 4);
    }
}

static uint32_t pseudo(const uint8_t *p, uint8_t proto, size_t l4, size_t len)
{
    uint32_t sum = p[0] >> 4 == 4 ? add_up(0, p + 12, 8) : add_up(0, p + 8, 32);
    uint8_t rest[4] = {0, proto, (uint8_t)((len - l4) >> 8), (uint8_t)(len - l4)};

    return add_up(sum, rest, 4);
}

static void put_checksum(uint8_t *p, uint8_t proto, size_t l4, size_t len)
{
    uint8_t *field = p + l4 + (proto == 6 ? 16 : 6);

    put16(field, 0);
    size_t sum = 0xffff - add_up(pseudo(p, proto, l4, len), p + l4, len - l4);
    put16(field, proto == 17 && sum == 0 ? 0xffff : sum);
}

size_t packet_make(uint8_t *p, const struct packet_spec *s)
{
    size_t l4 = ip_len(s);
    size_t header = packet_header_len(s);
    size_t len = header + s->payload;

    memset(p, 0, header);
    put_ip(p, s, len);
    for (size_t i = 0; i < s->payload; i++)
        p[header + i] = (uint8_t)(((s->seq + i) * 2654435761u + s->fill) >> 11);
    put16(p + l4, s->sport);
    put16(p + l4 + 2, s->dport);
    if (s->proto == 6) {
        put32(p + l4 + 4, s->seq);
        put32(p + l4 + 8, s->ack);
        p[l4 + 12] = (uint8_t)((20 + s->options) / 4 << 4);
        p[l4 + 13] = s->flags;
        put16(p + l4 + 14, s->window);
        for (size_t i = 0; i < s->options; i++)
            p[l4 + 20 + i] = 1;
        put_checksum(p, 6, l4, len);
    } else if (s->proto == 17) {
        put16(p + l4 + 4, len - l4);
        put_checksum(p, 17, l4, len);
    }
    return len;
}

struct cq_path_frame packet_make_frame(uint8_t *p, const struct packet_spec *s, uint16_t gso_size)
{
    size_t l4 = ip_len(s);
    size_t len = packet_make(p, s);
    uint16_t at = s->proto == 6 ? 16 : 6;

    put16(p + l4 + at, pseudo(p, s->proto, l4, len));
    return (struct cq_path_frame){
        .vnet =
            {
                .flags = CQ_VNET_NEEDS_CSUM,
                .gso_type = gso_size == 0     ? CQ_VNET_GSO_NONE
                            : s->proto == 17  ? CQ_VNET_GSO_UDP_L4
                            : s->version == 4 ? CQ_VNET_GSO_TCPV4
                                              : CQ_VNET_GSO_TCPV6,
                .hdr_len = 7, /* never to be trusted */
                .gso_size = gso_size,
                .csum_start = (uint16_t)l4,
                .csum_offset = at,
            },
        .data = p,
        .len = len,
    };
}

struct packet_spec packet_segment(const struct packet_spec *s, uint16_t gso_size, size_t i)
{
    struct packet_spec one = *s;
    size_t at = i * gso_size;
    bool last = at + gso_size >= s->payload;

    one.seq = s->seq + (uint32_t)at;
    one.id = (uint16_t)(s->id + i);
    one.payload = last ? s->payload - at : gso_size;
    if (!last)
        one.flags &= (uint8_t)~0x09;
    if (i > 0)
        one.flags &= 0x7f;
    return one;
}

bool packet_is_right(const uint8_t *p, size_t len)
{
    size_t l4 = p[0] >> 4 == 4 ? 20 : 40;
    uint8_t proto = p[0] >> 4 == 4 ? p[9] : p[6];

    if (l4 == 20 && (get16(p + 2) != len || add_up(0, p, 20) != 0xffff))
        return false;
    if (l4 == 40 && get16(p + 4) + 40 != len)
        return false;
    if (l4 == 40 && proto == 60) {
        proto = p[40];
        l4 += 8 + (size_t)p[41] * 8;
    }
    if (proto == 17 && get16(p + l4 + 4) != len - l4)
        return false;
    return add_up(pseudo(p, proto, l4, len), p + l4, len - l4) == 0xffff;
}

void packet_fix_checksum(uint8_t *p, size_t len)
{
    bool v4 = p[0] >> 4 == 4;

    put_checksum(p, v4 ? p[9] : p[6], v4 ? 20 : 40, len);
}
