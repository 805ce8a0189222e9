#include "base/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

bool cq_ip_equal(const struct cq_ip *a, const struct cq_ip *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, cq_ip_len(a->family)) == 0;
}

bool cq_addr_equal(const struct cq_addr *a, const struct cq_addr *b)
{
    return cq_ip_equal(&a->ip, &b->ip) && a->port == b->port && a->scope_id == b->scope_id;
}

bool cq_prefix_equal(const struct cq_prefix *a, const struct cq_prefix *b)
{
    return a->bits == b->bits && cq_ip_equal(&a->ip, &b->ip);
}

bool cq_prefix_contains(const struct cq_prefix *prefix, const struct cq_ip *ip)
{
    size_t whole = prefix->bits / 8;
    unsigned rest = prefix->bits % 8;

    if (prefix->ip.family != ip->family || prefix->bits > 8 * cq_ip_len(ip->family))
        return false;
    if (cq_ip_len(ip->family) == 0 || memcmp(prefix->ip.bytes, ip->bytes, whole) != 0)
        return false;
    return rest == 0 || (prefix->ip.bytes[whole] ^ ip->bytes[whole]) >> (8 - rest) == 0;
}

static bool is_usable_ipv4(const uint8_t *b)
{
    static const uint8_t any[4] = {0, 0, 0, 0};
    static const uint8_t broadcast[4] = {255, 255, 255, 255};

    return memcmp(b, any, 4) != 0 && memcmp(b, broadcast, 4) != 0 && (b[0] & 0xf0) != 0xe0;
}

static bool is_usable_ipv6(const uint8_t *b)
{
    static const uint8_t any[16] = {0};
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    /* An IPv4 address that came through an IPv6 socket. */
    if (memcmp(b, mapped, sizeof(mapped)) == 0)
        return is_usable_ipv4(b + 12);
    return memcmp(b, any, 16) != 0 && b[0] != 0xff;
}

bool cq_ip_is_loopback(const struct cq_ip *ip)
{
    static const uint8_t own[16] = {[15] = 1};

    if (ip->family == CQ_FAMILY_IPV4)
        return ip->bytes[0] == 127;
    return ip->family == CQ_FAMILY_IPV6 && memcmp(ip->bytes, own, sizeof(own)) == 0;
}

bool cq_addr_is_usable(const struct cq_addr *a)
{
    if (a->port == 0)
        return false;
    switch (a->ip.family) {
    case CQ_FAMILY_IPV4:
        return is_usable_ipv4(a->ip.bytes);
    case CQ_FAMILY_IPV6:
        return is_usable_ipv6(a->ip.bytes);
    default:
        return false;
    }
}

char *cq_ip_format(const struct cq_ip *ip, char out[CQ_IP_TEXT_MAX])
{
    int af = ip->family == CQ_FAMILY_IPV4 ? AF_INET : AF_INET6;

    if (cq_ip_len(ip->family) == 0 || inet_ntop(af, ip->bytes, out, CQ_IP_TEXT_MAX) == NULL)
        memcpy(out, "none", sizeof("none"));
    return out;
}

char *cq_addr_format(const struct cq_addr *a, char out[CQ_ADDR_TEXT_MAX])
{
    char ip[CQ_IP_TEXT_MAX];

    cq_ip_format(&a->ip, ip);
    if (a->ip.family == CQ_FAMILY_IPV4)
        snprintf(out, CQ_ADDR_TEXT_MAX, "%s:%u", ip, (unsigned)a->port);
    else if (a->ip.family == CQ_FAMILY_IPV6 && a->scope_id != 0)
        snprintf(out, CQ_ADDR_TEXT_MAX, "[%s%%%u]:%u", ip, (unsigned)a->scope_id,
                 (unsigned)a->port);
    else if (a->ip.family == CQ_FAMILY_IPV6)
        snprintf(out, CQ_ADDR_TEXT_MAX, "[%s]:%u", ip, (unsigned)a->port);
    else
        snprintf(out, CQ_ADDR_TEXT_MAX, "%s", ip);
    return out;
}

char *cq_prefix_format(const struct cq_prefix *p, char out[CQ_PREFIX_TEXT_MAX])
{
    char ip[CQ_IP_TEXT_MAX];

    cq_ip_format(&p->ip, ip);
    if (cq_ip_len(p->ip.family) == 0)
        snprintf(out, CQ_PREFIX_TEXT_MAX, "%s", ip);
    else
        snprintf(out, CQ_PREFIX_TEXT_MAX, "%s/%u", ip, (unsigned)p->bits);
    return out;
}

/* Decimal digits alone, no leading zero, at most max. */
static bool parse_number(const char *text, size_t len, uint32_t max, uint32_t *out)
{
    uint64_t v = 0;

    if (len == 0 || len > 10 || (len > 1 && text[0] == '0'))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        v = 10 * v + (uint64_t)(text[i] - '0');
    }
    if (v > max)
        return false;
    *out = (uint32_t)v;
    return true;
}

static bool parse_ip(const char *text, size_t len, struct cq_ip *out)
{
    char copy[CQ_IP_TEXT_MAX];
    bool v6 = memchr(text, ':', len) != NULL;

    memset(out, 0, sizeof(*out));
    if (len >= sizeof(copy))
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (inet_pton(v6 ? AF_INET6 : AF_INET, copy, out->bytes) != 1) {
        memset(out, 0, sizeof(*out));
        return false;
    }
    out->family = v6 ? CQ_FAMILY_IPV6 : CQ_FAMILY_IPV4;
    return true;
}

enum cq_err cq_ip_parse(const char *text, struct cq_ip *out)
{
    return parse_ip(text, strlen(text), out) ? CQ_OK : CQ_ERR_INVALID;
}

/* Splits "[v6]", "[v6%scope]" or "v4" off the front of text; *end is where the rest begins. */
static bool parse_host(const char *text, struct cq_addr *out, const char **end)
{
    if (text[0] != '[') {
        *end = strchr(text, ':');
        return *end != NULL && parse_ip(text, (size_t)(*end - text), &out->ip);
    }
    const char *close = strchr(++text, ']');
    if (close == NULL)
        return false;
    const char *percent = memchr(text, '%', (size_t)(close - text));
    const char *ip_end = percent != NULL ? percent : close;
    *end = close + 1;
    if (!parse_ip(text, (size_t)(ip_end - text), &out->ip) || out->ip.family != CQ_FAMILY_IPV6)
        return false;
    if (percent == NULL)
        return true;
    return parse_number(percent + 1, (size_t)(close - percent - 1), UINT32_MAX, &out->scope_id) &&
           out->scope_id != 0;
}

enum cq_err cq_addr_parse(const char *text, struct cq_addr *out)
{
    struct cq_addr addr = {0};
    const char *rest = NULL;
    uint32_t port = 0;

    memset(out, 0, sizeof(*out));
    if (!parse_host(text, &addr, &rest) || rest[0] != ':' ||
        !parse_number(rest + 1, strlen(rest + 1), UINT16_MAX, &port))
        return CQ_ERR_INVALID;
    addr.port = (uint16_t)port;
    *out = addr;
    return CQ_OK;
}

static void clear_host_bits(struct cq_prefix *p)
{
    for (size_t i = 0; i < cq_ip_len(p->ip.family); i++) {
        unsigned kept = p->bits > 8 * i ? p->bits - 8 * (unsigned)i : 0;
        if (kept < 8)
            p->ip.bytes[i] &= (uint8_t)(0xff00 >> kept);
    }
}

enum cq_err cq_prefix_parse(const char *text, struct cq_prefix *out, struct cq_ip *out_host)
{
    const char *slash = strchr(text, '/');
    size_t ip_len = slash != NULL ? (size_t)(slash - text) : strlen(text);
    struct cq_ip ip;

    memset(out, 0, sizeof(*out));
    if (out_host != NULL)
        memset(out_host, 0, sizeof(*out_host));
    if (!parse_ip(text, ip_len, &ip))
        return CQ_ERR_INVALID;
    uint32_t max = (uint32_t)(8 * cq_ip_len(ip.family));
    uint32_t bits = max;
    if (slash != NULL && !parse_number(slash + 1, strlen(slash + 1), max, &bits))
        return CQ_ERR_INVALID;
    out->ip = ip;
    out->bits = (uint8_t)bits;
    clear_host_bits(out);
    if (out_host != NULL)
        *out_host = ip;
    return CQ_OK;
}
