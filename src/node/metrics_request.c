#include "node/metrics_request.h"

#include "base/mem.h"
#include "conf/config.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Splits HOST, HOST:PORT, [V6] or [V6]:PORT; false: it is none of them. */
static bool split_host(const char *text, char host[CQ_ADDR_TEXT_MAX])
{
    bool bracket = text[0] == '[';
    const char *from = text + bracket;
    size_t len = strcspn(from, bracket ? "]" : ":");
    const char *rest = from + len;

    if (len == 0 || len >= CQ_ADDR_TEXT_MAX)
        return false;
    if (bracket && *rest++ != ']')
        return false;
    memcpy(host, from, len);
    host[len] = '\0';
    if (*rest == '\0')
        return true;
    if (*rest++ != ':')
        return false;
    size_t digits = strspn(rest, "0123456789");
    return digits > 0 && digits <= 5 && rest[digits] == '\0';
}

static bool is_any(const struct cq_ip *ip)
{
    static const uint8_t zero[sizeof(ip->bytes)];

    return memcmp(ip->bytes, zero, sizeof(zero)) == 0;
}

bool cq_metrics_host_is_ours(const char *host, const struct cq_addr *bound)
{
    char name[CQ_ADDR_TEXT_MAX];
    struct cq_ip ip;

    if (host == NULL || !split_host(host, name))
        return false;
    if (strcasecmp(name, "localhost") == 0)
        return true;
    if (cq_ip_parse(name, &ip) != CQ_OK)
        return false;
    return cq_ip_is_loopback(&ip) || cq_ip_equal(&ip, &bound->ip) || is_any(&bound->ip);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The weight of an item's ";q=0.5", in thousandths; 1000 without one. */
static unsigned read_weight(const char *item, size_t len)
{
    for (size_t i = 0; i + 3 < len; i++) {
        if (item[i] != ';')
            continue;
        size_t at = i + 1;
        while (at < len && is_blank(item[at]))
            at++;
        if (at + 2 >= len || (item[at] | 0x20) != 'q' || item[at + 1] != '=')
            continue;
        unsigned weight = 0, scale = 1000;
        for (at += 2; at < len && scale > 0; at++) {
            if (item[at] == '.')
                continue;
            if (item[at] < '0' || item[at] > '9')
                break;
            weight += (unsigned)(item[at] - '0') * scale;
            scale /= 10;
        }
        return weight <= 1000 ? weight : 1000;
    }
    return 1000;
}

static bool has_type(const char *item, size_t len, const char *type)
{
    size_t type_len = strlen(type);

    return len >= type_len && strncasecmp(item, type, type_len) == 0 &&
           (len == type_len || item[type_len] == ';' || is_blank(item[type_len]));
}

bool cq_metrics_wants_open_metrics(const char *accept)
{
    unsigned open_metrics = 0, text = 0;

    while (accept != NULL && *accept != '\0') {
        size_t len = strcspn(accept, ",");
        const char *item = accept;
        size_t item_len = len;
        while (item_len > 0 && is_blank(*item)) {
            item++;
            item_len--;
        }
        unsigned weight = read_weight(item, item_len);
        if (has_type(item, item_len, "application/openmetrics-text"))
            open_metrics = weight > open_metrics ? weight : open_metrics;
        else if (has_type(item, item_len, "text/plain"))
            text = weight > text ? weight : text;
        accept += len + (accept[len] == ',');
    }
    return open_metrics > 0 && open_metrics >= text;
}

bool cq_metrics_accepts_gzip(const char *accept_encoding)
{
    const char *at = accept_encoding;

    while (at != NULL && *at != '\0') {
        size_t len = strcspn(at, ","), blanks = strspn(at, " \t");
        if (blanks < len && has_type(at + blanks, len - blanks, "gzip"))
            return read_weight(at, len) > 0;
        at += len + (at[len] == ',');
    }
    return false;
}

bool cq_metrics_has_etag(const char *if_none_match, const char *etag)
{
    return if_none_match != NULL &&
           (strcmp(if_none_match, "*") == 0 || strstr(if_none_match, etag) != NULL);
}

bool cq_metrics_token_is_right(const char *authorization, const char *token)
{
    static const char scheme[] = "Bearer ";
    uint8_t given[CQ_CONF_METRICS_TOKEN_MAX + 1] = {0}, wanted[sizeof(given)] = {0};

    if (authorization == NULL || strncasecmp(authorization, scheme, strlen(scheme)) != 0)
        return false;
    authorization += strlen(scheme);
    while (*authorization == ' ')
        authorization++;
    size_t len = strlen(authorization);
    if (len >= sizeof(given) || strlen(token) >= sizeof(wanted))
        return false;
    memcpy(given, authorization, len);
    memcpy(wanted, token, strlen(token));
    bool right = cq_equal_ct(given, wanted, sizeof(given));
    cq_wipe(given, sizeof(given));
    cq_wipe(wanted, sizeof(wanted));
    return right;
}
