/*
 * Inner IP packets: reading headers, Internet checksums (RFC 1071), ECN (RFC 6040).
 */
#ifndef CQ_PATH_PACKET_H
#define CQ_PATH_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CQ_IPV4_HEADER_LEN = 20,
    CQ_IPV6_HEADER_LEN = 40,
    CQ_TCP_HEADER_LEN = 20,
    CQ_UDP_HEADER_LEN = 8,
    CQ_PROTO_TCP = 6,
    CQ_PROTO_UDP = 17,
    CQ_TCP_CSUM = 16, /* offset of the checksum in its header */
    CQ_UDP_CSUM = 6,
    CQ_ECN_NONE = 0,
    CQ_ECN_CE = 3,
    CQ_PACKET_MAX_HEADERS = 256, /* of a super-packet: IP, extension headers, TCP */
};

struct cq_packet {
    uint8_t version; /* 4 or 6 */
    uint8_t ecn;     /* 0 to 3 */
    uint8_t proto;   /* of what follows the IP header; 0 in any but the first fragment */
    bool fragment;   /* IPv4: any fragment */
    uint16_t l4;     /* where that begins */
    uint32_t len;    /* total length */
};

/* Reads an IPv4 or IPv6 header; the packet may be followed by other bytes. False: not IP, or its
 * length is above len or below that of its header. */
bool cq_packet_read(struct cq_packet *out, const uint8_t *data, size_t len);

/* Where a TCP or UDP checksum stands, from the start of the packet: 0 where the packet (no
 * fragment) has none that this node may leave out, that is, TCP or UDP directly after the IP header
 * and whole. */
size_t cq_packet_csum_at(const struct cq_packet *packet, const uint8_t *data);

/* Sum of 16-bit words in network order, not folded: sums add up over pieces of even length. */
uint64_t cq_sum(const uint8_t *data, size_t len);
uint16_t cq_sum_fold(uint64_t sum);

/* Sum over the pseudo-header of TCP or UDP for l4_len bytes. */
uint64_t cq_packet_pseudo_sum(const struct cq_packet *packet, const uint8_t *data, uint8_t proto,
                              size_t l4_len);

/* Writes the checksum of a header at csum_start over the rest of the packet; the field holds the
 * pseudo-header's sum. A UDP sum of 0 becomes 0xffff. */
void cq_packet_finish_csum(uint8_t *data, size_t len, size_t csum_start, size_t csum_offset,
                           bool udp);

/* Whether the TCP or UDP checksum of a whole packet is right. */
bool cq_packet_csum_is_right(const struct cq_packet *packet, const uint8_t *data);

/* Computes the IPv4 header checksum anew. */
void cq_packet_set_ipv4_csum(uint8_t *data);

/* Combines the outer ECN bits with the packet's (RFC 6040 section 4.2). False: the packet is to be
 * dropped. */
bool cq_packet_decap_ecn(struct cq_packet *packet, uint8_t *data, uint8_t outer);

#endif
