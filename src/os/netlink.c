#include "os/netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
    REQUEST_BYTES = 1024,
    ANSWER_BYTES = 32 * 1024,
    RULE_PRIORITY_MAIN = 32766,
};

struct cq_netlink {
    struct mnl_socket *socket;
    unsigned portid;
    uint32_t seq;
    char reason[160];
    union {
        struct nlmsghdr align;
        char bytes[REQUEST_BYTES];
    } request;
    char answer[ANSWER_BYTES];
};

enum cq_err cq_netlink_open(struct cq_netlink **out)
{
    struct cq_netlink *nl = calloc(1, sizeof(*nl));
    int on = 1;

    if (nl == NULL)
        return CQ_ERR_NOMEM;
    nl->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (nl->socket == NULL || mnl_socket_bind(nl->socket, 0, MNL_SOCKET_AUTOPID) != 0) {
        int saved = errno;
        cq_netlink_close(nl);
        errno = saved;
        return CQ_ERR_IO;
    }
    /* Reasons in words, and dumps of one table only: newer kernels; without them there is less of
     * both. */
    (void)mnl_socket_setsockopt(nl->socket, NETLINK_EXT_ACK, &on, sizeof(on));
    (void)mnl_socket_setsockopt(nl->socket, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
    nl->portid = mnl_socket_get_portid(nl->socket);
    nl->seq = (uint32_t)time(NULL);
    *out = nl;
    return CQ_OK;
}

void cq_netlink_close(struct cq_netlink *nl)
{
    if (nl == NULL)
        return;
    if (nl->socket != NULL)
        mnl_socket_close(nl->socket);
    free(nl);
}

const char *cq_netlink_reason(const struct cq_netlink *nl)
{
    return nl->reason;
}

static int family_of(uint8_t family)
{
    return family == CQ_FAMILY_IPV6 ? AF_INET6 : AF_INET;
}

static struct nlmsghdr *begin(struct cq_netlink *nl, int type, int flags)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(nl->request.bytes);

    h->nlmsg_type = (uint16_t)type;
    h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
    h->nlmsg_seq = ++nl->seq;
    nl->reason[0] = '\0';
    return h;
}

static const struct nlattr *first_attr(const struct nlmsghdr *h, size_t skip)
{
    return mnl_nlmsg_get_payload_offset(h, skip);
}

static bool attr_is_within(const struct nlattr *attr, const struct nlmsghdr *h)
{
    const char *end = (const char *)h + h->nlmsg_len;

    return mnl_attr_ok(attr, (int)(end - (const char *)attr));
}

/* Keeps the kernel's own words (extended acknowledgement) where it has some. */
static void note_reason(struct cq_netlink *nl, const struct nlmsghdr *h, int error)
{
    const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
    size_t skip = sizeof(*e);
    const struct nlattr *attr;

    snprintf(nl->reason, sizeof(nl->reason), "%s", strerror(error));
    if ((h->nlmsg_flags & NLM_F_ACK_TLVS) == 0)
        return;
    if ((h->nlmsg_flags & NLM_F_CAPPED) == 0)
        skip += mnl_nlmsg_get_payload_len(h) > sizeof(*e) + e->msg.nlmsg_len - NLMSG_HDRLEN
                    ? e->msg.nlmsg_len - NLMSG_HDRLEN
                    : 0;
    for (attr = first_attr(h, skip); attr_is_within(attr, h); attr = mnl_attr_next(attr)) {
        if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG &&
            mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
            snprintf(nl->reason, sizeof(nl->reason), "%s", mnl_attr_get_str(attr));
    }
}

/* One answer message. 1: go on; 0: the request is done; -1: it failed (errno). */
static int handle(struct cq_netlink *nl, const struct nlmsghdr *h,
                  void (*each)(const struct nlmsghdr *, void *), void *ctx)
{
    if (h->nlmsg_seq != nl->seq)
        return 1; /* left from a request that failed half way */
    if (h->nlmsg_type == NLMSG_ERROR || h->nlmsg_type == NLMSG_DONE) {
        int error = 0;
        if (mnl_nlmsg_get_payload_len(h) >= sizeof(int))
            memcpy(&error, mnl_nlmsg_get_payload(h), sizeof(error));
        if (error == 0)
            return 0;
        if (h->nlmsg_type == NLMSG_ERROR)
            note_reason(nl, h, -error);
        else
            snprintf(nl->reason, sizeof(nl->reason), "%s", strerror(-error));
        errno = -error;
        return -1;
    }
    if (each != NULL)
        each(h, ctx);
    return 1;
}

/* Sends what `begin` started and reads the answer; each message of a dump goes to `each`. */
static enum cq_err talk(struct cq_netlink *nl, const struct nlmsghdr *request,
                        void (*each)(const struct nlmsghdr *, void *), void *ctx)
{
    if (mnl_socket_sendto(nl->socket, request, request->nlmsg_len) < 0)
        goto fail;
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(nl->socket, nl->answer, sizeof(nl->answer));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            goto fail;
        const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)nl->answer;
        int left = (int)n;
        for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
            int r = handle(nl, h, each, ctx);
            if (r == 0)
                return CQ_OK;
            if (r < 0)
                return errno == EEXIST ? CQ_ERR_EXISTS : CQ_ERR_IO;
        }
    }
fail:
    snprintf(nl->reason, sizeof(nl->reason), "%s", strerror(errno));
    return CQ_ERR_IO;
}

static struct nlmsghdr *begin_link(struct cq_netlink *nl, unsigned ifindex, unsigned flags,
                                   unsigned change)
{
    struct nlmsghdr *h = begin(nl, RTM_NEWLINK, 0);
    struct ifinfomsg *info = mnl_nlmsg_put_extra_header(h, sizeof(*info));

    info->ifi_family = AF_UNSPEC;
    info->ifi_index = (int)ifindex;
    info->ifi_flags = flags;
    info->ifi_change = change;
    return h;
}

/* What a kernel may not know: its refusal is no failure. */
static void set_if_known(struct cq_netlink *nl, unsigned ifindex, uint32_t gso_max_size)
{
    /* Kernels with a limit of their own for IPv4 set it along with this one up to 65536. */
    struct nlmsghdr *h = begin_link(nl, ifindex, 0, 0);
    mnl_attr_put_u32(h, IFLA_GSO_MAX_SIZE, gso_max_size);
    (void)!talk(nl, h, NULL, NULL);

    h = begin_link(nl, ifindex, 0, 0);
    struct nlattr *spec = mnl_attr_nest_start(h, IFLA_AF_SPEC);
    struct nlattr *inet6 = mnl_attr_nest_start(h, AF_INET6);
    mnl_attr_put_u8(h, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
    mnl_attr_nest_end(h, inet6);
    mnl_attr_nest_end(h, spec);
    (void)!talk(nl, h, NULL, NULL);
}

enum cq_err cq_netlink_link_configure(struct cq_netlink *nl, unsigned ifindex,
                                      const struct cq_link_options *options)
{
    set_if_known(nl, ifindex, options->gso_max_size);
    struct nlmsghdr *h = begin_link(nl, ifindex, 0, 0);
    mnl_attr_put_u32(h, IFLA_MTU, options->mtu);
    mnl_attr_put_u32(h, IFLA_TXQLEN, options->txqueuelen);
    return talk(nl, h, NULL, NULL);
}

enum cq_err cq_netlink_link_up(struct cq_netlink *nl, unsigned ifindex)
{
    return talk(nl, begin_link(nl, ifindex, IFF_UP, IFF_UP), NULL, NULL);
}

static struct nlmsghdr *begin_address(struct cq_netlink *nl, int type, int flags, unsigned ifindex,
                                      const struct cq_ip *ip, unsigned bits)
{
    struct nlmsghdr *h = begin(nl, type, flags);
    struct ifaddrmsg *a = mnl_nlmsg_put_extra_header(h, sizeof(*a));

    a->ifa_family = (uint8_t)family_of(ip->family);
    a->ifa_prefixlen = (uint8_t)bits;
    a->ifa_flags = ip->family == CQ_FAMILY_IPV6 ? IFA_F_NODAD : 0;
    a->ifa_scope = RT_SCOPE_UNIVERSE;
    a->ifa_index = ifindex;
    mnl_attr_put(h, IFA_LOCAL, cq_ip_len(ip->family), ip->bytes);
    mnl_attr_put(h, IFA_ADDRESS, cq_ip_len(ip->family), ip->bytes);
    return h;
}

enum cq_err cq_netlink_address_add(struct cq_netlink *nl, unsigned ifindex, const struct cq_ip *ip,
                                   unsigned bits)
{
    const int flags = NLM_F_CREATE | NLM_F_EXCL;

    return talk(nl, begin_address(nl, RTM_NEWADDR, flags, ifindex, ip, bits), NULL, NULL);
}

enum cq_err cq_netlink_address_delete(struct cq_netlink *nl, unsigned ifindex,
                                      const struct cq_ip *ip, unsigned bits)
{
    enum cq_err err = talk(nl, begin_address(nl, RTM_DELADDR, 0, ifindex, ip, bits), NULL, NULL);

    return err == CQ_ERR_IO && errno == EADDRNOTAVAIL ? CQ_ERR_NOTFOUND : err;
}

static struct nlmsghdr *begin_route(struct cq_netlink *nl, int type, int flags, unsigned ifindex,
                                    const struct cq_prefix *prefix, uint32_t table)
{
    struct nlmsghdr *h = begin(nl, type, flags);
    struct rtmsg *r = mnl_nlmsg_put_extra_header(h, sizeof(*r));

    if (table == 0)
        table = RT_TABLE_MAIN;
    r->rtm_family = (uint8_t)family_of(prefix->ip.family);
    r->rtm_dst_len = prefix->bits;
    r->rtm_table = table < 256 ? (uint8_t)table : RT_TABLE_UNSPEC;
    r->rtm_protocol = RTPROT_BOOT;
    r->rtm_scope = prefix->ip.family == CQ_FAMILY_IPV4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    r->rtm_type = RTN_UNICAST;
    mnl_attr_put(h, RTA_DST, cq_ip_len(prefix->ip.family), prefix->ip.bytes);
    mnl_attr_put_u32(h, RTA_OIF, ifindex);
    mnl_attr_put_u32(h, RTA_TABLE, table);
    return h;
}

enum cq_err cq_netlink_route_add(struct cq_netlink *nl, unsigned ifindex,
                                 const struct cq_prefix *prefix, uint32_t table)
{
    const int flags = NLM_F_CREATE | NLM_F_EXCL;

    return talk(nl, begin_route(nl, RTM_NEWROUTE, flags, ifindex, prefix, table), NULL, NULL);
}

enum cq_err cq_netlink_route_delete(struct cq_netlink *nl, unsigned ifindex,
                                    const struct cq_prefix *prefix, uint32_t table)
{
    enum cq_err err =
        talk(nl, begin_route(nl, RTM_DELROUTE, 0, ifindex, prefix, table), NULL, NULL);

    return err == CQ_ERR_IO && errno == ESRCH ? CQ_ERR_NOTFOUND : err;
}

static struct nlmsghdr *begin_rule(struct cq_netlink *nl, int type, int flags,
                                   const struct cq_rule *rule)
{
    struct nlmsghdr *h = begin(nl, type, flags);
    struct fib_rule_hdr *r = mnl_nlmsg_put_extra_header(h, sizeof(*r));

    r->family = (uint8_t)family_of(rule->family);
    r->table = rule->table < 256 ? (uint8_t)rule->table : RT_TABLE_UNSPEC;
    r->action = FR_ACT_TO_TBL;
    r->flags = rule->not_mark ? FIB_RULE_INVERT : 0;
    mnl_attr_put_u32(h, FRA_TABLE, rule->table);
    mnl_attr_put_u32(h, FRA_PRIORITY, rule->priority);
    if (rule->mark != 0) {
        mnl_attr_put_u32(h, FRA_FWMARK, rule->mark);
        mnl_attr_put_u32(h, FRA_FWMASK, UINT32_MAX);
    }
    if (rule->no_default)
        mnl_attr_put_u32(h, FRA_SUPPRESS_PREFIXLEN, 0);
    if (rule->uid != 0) {
        struct fib_rule_uid_range range = {rule->uid, rule->uid};
        mnl_attr_put(h, FRA_UID_RANGE, sizeof(range), &range);
    }
    if (rule->udp_source != 0) {
        struct fib_rule_port_range port = {rule->udp_source, rule->udp_source};
        mnl_attr_put_strz(h, FRA_IIFNAME, "lo");
        mnl_attr_put_u8(h, FRA_IP_PROTO, IPPROTO_UDP);
        mnl_attr_put(h, FRA_SPORT_RANGE, sizeof(port), &port);
    }
    return h;
}

enum cq_err cq_netlink_rule_add(struct cq_netlink *nl, const struct cq_rule *rule)
{
    return talk(nl, begin_rule(nl, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule), NULL, NULL);
}

enum cq_err cq_netlink_rule_delete(struct cq_netlink *nl, const struct cq_rule *rule)
{
    enum cq_err err = talk(nl, begin_rule(nl, RTM_DELRULE, 0, rule), NULL, NULL);

    return err == CQ_ERR_IO && errno == ENOENT ? CQ_ERR_NOTFOUND : err;
}

struct rules_seen {
    uint32_t table;
    uint32_t lowest;
    bool used;
};

static void look_at_rule(const struct nlmsghdr *h, void *ctx)
{
    struct rules_seen *seen = ctx;
    const struct fib_rule_hdr *r = mnl_nlmsg_get_payload(h);
    uint32_t priority = 0, table = r->table;
    const struct nlattr *attr;

    for (attr = first_attr(h, sizeof(*r)); attr_is_within(attr, h); attr = mnl_attr_next(attr)) {
        if (mnl_attr_validate(attr, MNL_TYPE_U32) < 0)
            continue;
        if (mnl_attr_get_type(attr) == FRA_PRIORITY)
            priority = mnl_attr_get_u32(attr);
        else if (mnl_attr_get_type(attr) == FRA_TABLE)
            table = mnl_attr_get_u32(attr);
    }
    if (priority > 0 && priority < seen->lowest)
        seen->lowest = priority;
    if (table == seen->table)
        seen->used = true;
}

enum cq_err cq_netlink_rules_look(struct cq_netlink *nl, uint8_t family, uint32_t table,
                                  uint32_t *out_lowest, bool *out_table_used)
{
    struct rules_seen seen = {.table = table, .lowest = RULE_PRIORITY_MAIN};
    struct nlmsghdr *h = begin(nl, RTM_GETRULE, NLM_F_DUMP);
    struct fib_rule_hdr *r = mnl_nlmsg_put_extra_header(h, sizeof(*r));

    r->family = (uint8_t)family_of(family);
    enum cq_err err = talk(nl, h, look_at_rule, &seen);
    if (out_lowest != NULL)
        *out_lowest = seen.lowest;
    if (out_table_used != NULL)
        *out_table_used = seen.used;
    return err;
}

struct routes_seen {
    uint32_t table;
    bool used;
};

static void look_at_route(const struct nlmsghdr *h, void *ctx)
{
    struct routes_seen *seen = ctx;
    const struct rtmsg *r = mnl_nlmsg_get_payload(h);
    uint32_t table = r->rtm_table;
    const struct nlattr *attr;

    for (attr = first_attr(h, sizeof(*r)); attr_is_within(attr, h); attr = mnl_attr_next(attr)) {
        if (mnl_attr_get_type(attr) == RTA_TABLE && mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
            table = mnl_attr_get_u32(attr);
    }
    if (table == seen->table)
        seen->used = true;
}

enum cq_err cq_netlink_table_used(struct cq_netlink *nl, uint8_t family, uint32_t table, bool *out)
{
    struct routes_seen seen = {.table = table};
    struct nlmsghdr *h = begin(nl, RTM_GETROUTE, NLM_F_DUMP);
    struct rtmsg *r = mnl_nlmsg_put_extra_header(h, sizeof(*r));

    r->rtm_family = (uint8_t)family_of(family);
    mnl_attr_put_u32(h, RTA_TABLE, table);
    enum cq_err err = talk(nl, h, look_at_route, &seen);
    *out = seen.used;
    return err == CQ_ERR_IO && errno == ENOENT ? CQ_OK : err; /* no such table */
}

struct way {
    uint8_t family;
    unsigned ifindex;
    struct cq_ip source;
};

static void look_at_way(const struct nlmsghdr *h, void *ctx)
{
    struct way *way = ctx;
    const struct rtmsg *r = mnl_nlmsg_get_payload(h);
    size_t len = cq_ip_len(way->family);
    const struct nlattr *attr;

    for (attr = first_attr(h, sizeof(*r)); attr_is_within(attr, h); attr = mnl_attr_next(attr)) {
        if (mnl_attr_get_type(attr) == RTA_OIF && mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
            way->ifindex = mnl_attr_get_u32(attr);
        if (mnl_attr_get_type(attr) == RTA_PREFSRC && mnl_attr_get_payload_len(attr) == len) {
            way->source.family = way->family;
            memcpy(way->source.bytes, mnl_attr_get_payload(attr), len);
        }
    }
}

enum cq_err cq_netlink_route_get(struct cq_netlink *nl, const struct cq_ip *to, uint32_t mark,
                                 unsigned *out_ifindex, struct cq_ip *out_source)
{
    struct way way = {.family = to->family};
    struct nlmsghdr *h = begin(nl, RTM_GETROUTE, 0);
    struct rtmsg *r = mnl_nlmsg_put_extra_header(h, sizeof(*r));

    r->rtm_family = (uint8_t)family_of(to->family);
    r->rtm_dst_len = (uint8_t)(8 * cq_ip_len(to->family));
    mnl_attr_put(h, RTA_DST, cq_ip_len(to->family), to->bytes);
    if (mark != 0)
        mnl_attr_put_u32(h, RTA_MARK, mark);
    enum cq_err err = talk(nl, h, look_at_way, &way);
    *out_ifindex = way.ifindex;
    *out_source = way.source;
    return err;
}
