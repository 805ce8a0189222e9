/*
 * Network addresses as plain bytes, so that pure code needs no socket headers.
 */
#ifndef CQ_BASE_ADDR_H
#define CQ_BASE_ADDR_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cq_family {
    CQ_FAMILY_NONE = 0,
    CQ_FAMILY_IPV4 = 4,
    CQ_FAMILY_IPV6 = 6,
};

/* An IP address; IPv4 stands in the first 4 bytes, the rest is zero. */
struct cq_ip {
    uint8_t family; /* enum cq_family */
    uint8_t bytes[16];
};

/* An IP address, UDP port (host order) and, for link-local IPv6, the scope. All-zero is "none". */
struct cq_addr {
    struct cq_ip ip;
    uint16_t port;
    uint32_t scope_id;
};

/* One end-to-end way of outer datagrams: the peer's address, and our own one that it uses (family
 * NONE: let the kernel choose). ifindex 0: any. */
struct cq_route {
    struct cq_addr remote;
    struct cq_ip local;
    uint32_t ifindex;
};

/* An IP prefix; bits beyond `bits` are zero. */
struct cq_prefix {
    struct cq_ip ip;
    uint8_t bits;
};

static inline size_t cq_ip_len(uint8_t family)
{
    return family == CQ_FAMILY_IPV4 ? 4 : family == CQ_FAMILY_IPV6 ? 16 : 0;
}

bool cq_ip_equal(const struct cq_ip *a, const struct cq_ip *b);
bool cq_addr_equal(const struct cq_addr *a, const struct cq_addr *b);
bool cq_prefix_equal(const struct cq_prefix *a, const struct cq_prefix *b);
bool cq_prefix_contains(const struct cq_prefix *prefix, const struct cq_ip *ip);

/* Whether datagrams may be sent to it: a unicast address (not unspecified, multicast or IPv4
 * broadcast), port not 0. */
bool cq_addr_is_usable(const struct cq_addr *a);

/* Whether it is an address of this machine to itself: 127.0.0.0/8, ::1. */
bool cq_ip_is_loopback(const struct cq_ip *ip);

enum {
    CQ_IP_TEXT_MAX = 46,     /* with the terminating NUL */
    CQ_ADDR_TEXT_MAX = 72,   /* "[v6%scope]:port" */
    CQ_PREFIX_TEXT_MAX = 50, /* "v6/128" */
};

/* Text forms (RFC 5952 for IPv6); out must have room for the maximum above. Return out. */
char *cq_ip_format(const struct cq_ip *ip, char out[CQ_IP_TEXT_MAX]);
char *cq_addr_format(const struct cq_addr *a, char out[CQ_ADDR_TEXT_MAX]);
char *cq_prefix_format(const struct cq_prefix *p, char out[CQ_PREFIX_TEXT_MAX]);

/* Parse "192.0.2.1", "2001:db8::1" (no scope). CQ_ERR_INVALID leaves *out zeroed. */
CQ_MUST_CHECK enum cq_err cq_ip_parse(const char *text, struct cq_ip *out);
/* Parse "192.0.2.1:51820" or "[2001:db8::1%3]:51820" (numeric scope). */
CQ_MUST_CHECK enum cq_err cq_addr_parse(const char *text, struct cq_addr *out);
/* Parse "10.0.0.0/8", "fd00::/64"; without "/n" a host prefix. Host bits are kept in *out_host (may
 * be NULL) and cleared in *out. */
CQ_MUST_CHECK enum cq_err cq_prefix_parse(const char *text, struct cq_prefix *out,
                                          struct cq_ip *out_host);

#endif
