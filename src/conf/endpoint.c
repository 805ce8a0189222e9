#include "conf/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool parse_port(const char *text, uint16_t *out)
{
    unsigned v = 0;

    if (text[0] == '\0' || text[0] == '0' || strlen(text) > 5)
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        v = 10 * v + (unsigned)(*text - '0');
    }
    *out = (uint16_t)v;
    return v <= UINT16_MAX;
}

/* What is wrong with a host that is not a numeric address, or NULL. */
static const char *check_name(const char *host)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t len = strlen(host);

    if (len == 0)
        return "it has no host before the port";
    if (strchr(host, ':') != NULL)
        return "an IPv6 address stands in brackets: [2001:db8::1]:51820";
    if (len > CQ_CONF_HOST_MAX || strspn(host, allowed) != len || host[0] == '-' || host[0] == '.')
        return "it is not a host name";
    if (strspn(host, "0123456789.") == len)
        return "it is not an IPv4 address";
    return NULL;
}

/* What is wrong with "v6" or "v6%scope" (the content of the brackets), or NULL. */
static const char *check_scoped(const char *host)
{
    static const char wrong[] = "there is no IPv6 address in the brackets";
    const char *percent = strchr(host, '%');
    size_t len = percent != NULL ? (size_t)(percent - host) : strlen(host);
    char copy[CQ_IP_TEXT_MAX];
    struct cq_ip ip;

    if (len >= sizeof(copy))
        return wrong;
    memcpy(copy, host, len);
    copy[len] = '\0';
    if (cq_ip_parse(copy, &ip) != CQ_OK || ip.family != CQ_FAMILY_IPV6)
        return wrong;
    if (percent != NULL && !cq_conf_interface_is_valid(percent + 1))
        return "what follows the % is not an interface";
    return NULL;
}

/* Splits at the last colon outside brackets; host points into copy, which is cut up. */
static const char *split(char *copy, char **out_host, uint16_t *out_port)
{
    char *colon = strrchr(copy, ':');
    char *close = strrchr(copy, ']');

    if (colon == NULL || (close != NULL && close > colon))
        return "it has no port: HOST:PORT";
    *colon = '\0';
    *out_host = copy;
    if (copy[0] == '[') {
        if (close == NULL || close + 1 != colon)
            return "the bracket is not closed before the port";
        *close = '\0';
        *out_host = copy + 1;
    }
    /* An address without brackets has eaten a group as its port; say that first. */
    if (copy[0] != '[' && strchr(copy, ':') != NULL)
        return check_name(copy);
    if (!parse_port(colon + 1, out_port))
        return "its port is not a number from 1 to 65535";
    return NULL;
}

static const char *parse_text(struct cq_conf_endpoint *out, const char *text, char *copy)
{
    char *host = NULL;
    const char *wrong = split(copy, &host, &out->port);

    if (wrong != NULL)
        return wrong;
    out->host = host;
    if (cq_addr_parse(text, &out->addr) == CQ_OK) {
        out->is_numeric = true;
        return cq_addr_is_usable(&out->addr) ? NULL : "no datagram can be sent to that address";
    }
    return copy[0] == '[' ? check_scoped(host) : check_name(host);
}

enum cq_err cq_conf_parse_endpoint(struct cq_conf_endpoint *out, const char *text,
                                   const char **reason)
{
    const char *wrong = "it is too long";
    enum cq_err err = CQ_ERR_INVALID;
    char copy[CQ_CONF_HOST_MAX + 16];
    struct cq_conf_endpoint endpoint = {0};

    *out = (struct cq_conf_endpoint){0};
    if (strlen(text) < sizeof(copy)) {
        memcpy(copy, text, strlen(text) + 1);
        wrong = parse_text(&endpoint, text, copy);
    }
    if (wrong == NULL) {
        endpoint.host = strdup(endpoint.host);
        err = endpoint.host != NULL ? CQ_OK : CQ_ERR_NOMEM;
        wrong = "out of memory";
    }
    if (reason != NULL)
        *reason = err != CQ_OK ? wrong : "";
    if (err == CQ_OK)
        *out = endpoint;
    return err;
}

void cq_conf_endpoint_free(struct cq_conf_endpoint *endpoint)
{
    free(endpoint->host);
    *endpoint = (struct cq_conf_endpoint){0};
}

char *cq_conf_endpoint_format(const struct cq_conf_endpoint *endpoint,
                              char out[CQ_CONF_ENDPOINT_TEXT_MAX])
{
    out[0] = '\0';
    if (endpoint->host == NULL)
        return out;
    bool bare = strchr(endpoint->host, ':') == NULL;
    snprintf(out, CQ_CONF_ENDPOINT_TEXT_MAX, "%s%s%s:%u", bare ? "" : "[", endpoint->host,
             bare ? "" : "]", endpoint->port);
    return out;
}
