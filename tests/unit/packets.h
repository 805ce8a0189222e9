/*
 * Inner packets for tests, made and checked without the code under test.
 */
#ifndef PACKETS_H
#define PACKETS_H

#include "path/worker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PACKET_MAX = 65535 + 64 };

struct packet_spec {
    uint8_t version;  /* 4 or 6 */
    uint8_t proto;    /* 6, 17; others have no header of their own */
    uint8_t src, dst; /* 10.0.0.x or fd00::x */
    uint16_t sport, dport;
    uint32_t seq, ack;
    uint8_t flags;
    uint16_t window;
    uint8_t options; /* bytes of TCP options, a multiple of 4 */
    uint16_t id;
    bool df;
    uint8_t tos, ttl;
    size_t extension; /* bytes of IPv6 destination options before the TCP or UDP header, a multiple
                         of 8 */
    size_t payload;
    uint32_t fill; /* the payload is a function of fill and the position */
};

/* A TCP (6) or UDP (17) packet of that version, everything else at a usual value. */
struct packet_spec packet_spec(uint8_t version, uint8_t proto, size_t payload);

/* IP header to the end of the TCP or UDP header. */
size_t packet_header_len(const struct packet_spec *spec);

/* Writes a packet with right checksums; returns its length. */
size_t packet_make(uint8_t *out, const struct packet_spec *spec);

/* The same as the kernel hands it over: checksum partial, as a super-packet where gso_size > 0. */
struct cq_path_frame packet_make_frame(uint8_t *out, const struct packet_spec *spec,
                                       uint16_t gso_size);

/* The spec of segment i of a super-packet with that spec. */
struct packet_spec packet_segment(const struct packet_spec *spec, uint16_t gso_size, size_t i);

/* Whether lengths and all checksums are right. */
bool packet_is_right(const uint8_t *p, size_t len);

/* Computes the TCP or UDP checksum of a packet without extension headers. */
void packet_fix_checksum(uint8_t *p, size_t len);

uint32_t packet_random(void);

#endif
