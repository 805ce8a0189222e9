#include "os/guard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

/*
 * Per family, one transaction with what `nft` would write as
 *
 *     table ip cryprq-wan0 {
 *         flags owner
 *         chain guard {
 *             type filter hook prerouting priority raw; policy accept;
 *             iifname != "wan0" iifname != "lo" ip daddr 10.8.0.2 drop      (one per address)
 *         }
 *     }
 *
 * What this machine sends to its own addresses arrives over lo.
 */

enum {
    BATCH_BYTES = 64 * 1024, /* some hundred addresses */
    ANSWER_BYTES = 16 * 1024,
    TABLE_OWNER = 2, /* NFT_TABLE_F_OWNER; not in the headers of Debian 12's libc */
    OFFSET_DADDR4 = 16,
    OFFSET_DADDR6 = 24,
    PRIORITY_RAW = -300,
    RULE_BYTES = 1024, /* more than one rule takes */
};

struct cq_guard {
    struct mnl_socket *socket;
    uint32_t seq;
    char table[IFNAMSIZ + 8];
    char interface[IFNAMSIZ];
    struct mnl_nlmsg_batch *batch; /* while one is made */
};

static struct nlmsghdr *begin(struct cq_guard *g, unsigned type, unsigned flags, unsigned family)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(mnl_nlmsg_batch_current(g->batch));

    h->nlmsg_type = (uint16_t)type;
    h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    h->nlmsg_seq = ++g->seq;
    struct nfgenmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->nfgen_family = (uint8_t)family;
    m->version = NFNETLINK_V0;
    return h;
}

/* Begin and end of a transaction. */
static void put_bracket(struct cq_guard *g, unsigned type)
{
    struct nlmsghdr *h = begin(g, type, 0, AF_UNSPEC);
    struct nfgenmsg *m = mnl_nlmsg_get_payload(h);

    m->res_id = htons(NFNL_SUBSYS_NFTABLES);
    mnl_nlmsg_batch_next(g->batch);
}

static struct nlmsghdr *begin_nft(struct cq_guard *g, unsigned type, unsigned flags,
                                  unsigned family)
{
    return begin(g, (NFNL_SUBSYS_NFTABLES << 8) | type, flags | NLM_F_ACK, family);
}

static void put_table(struct cq_guard *g, unsigned family)
{
    struct nlmsghdr *h = begin_nft(g, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, family);

    mnl_attr_put_strz(h, NFTA_TABLE_NAME, g->table);
    mnl_attr_put_u32(h, NFTA_TABLE_FLAGS, htonl(TABLE_OWNER));
    mnl_nlmsg_batch_next(g->batch);
}

static void put_chain(struct cq_guard *g, unsigned family)
{
    struct nlmsghdr *h = begin_nft(g, NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL, family);

    mnl_attr_put_strz(h, NFTA_CHAIN_TABLE, g->table);
    mnl_attr_put_strz(h, NFTA_CHAIN_NAME, "guard");
    mnl_attr_put_strz(h, NFTA_CHAIN_TYPE, "filter");
    mnl_attr_put_u32(h, NFTA_CHAIN_POLICY, htonl(NF_ACCEPT));
    struct nlattr *hook = mnl_attr_nest_start(h, NFTA_CHAIN_HOOK);
    mnl_attr_put_u32(h, NFTA_HOOK_HOOKNUM, htonl(NF_INET_PRE_ROUTING));
    mnl_attr_put_u32(h, NFTA_HOOK_PRIORITY, htonl((uint32_t)PRIORITY_RAW));
    mnl_attr_nest_end(h, hook);
    mnl_nlmsg_batch_next(g->batch);
}

/* An expression of a rule: element, name, and its data, which the caller fills and ends with
 * end_expression. */
struct expression {
    struct nlattr *element, *data;
};

static struct expression begin_expression(struct nlmsghdr *h, const char *name)
{
    struct expression e;

    e.element = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
    mnl_attr_put_strz(h, NFTA_EXPR_NAME, name);
    e.data = mnl_attr_nest_start(h, NFTA_EXPR_DATA);
    return e;
}

static void end_expression(struct nlmsghdr *h, struct expression e)
{
    mnl_attr_nest_end(h, e.data);
    mnl_attr_nest_end(h, e.element);
}

static void put_compare(struct nlmsghdr *h, unsigned operation, const void *value, size_t len)
{
    struct expression e = begin_expression(h, "cmp");

    mnl_attr_put_u32(h, NFTA_CMP_SREG, htonl(NFT_REG_1));
    mnl_attr_put_u32(h, NFTA_CMP_OP, htonl(operation));
    struct nlattr *data = mnl_attr_nest_start(h, NFTA_CMP_DATA);
    mnl_attr_put(h, NFTA_DATA_VALUE, len, value);
    mnl_attr_nest_end(h, data);
    end_expression(h, e);
}

static void put_not_from(struct nlmsghdr *h, const char *interface)
{
    struct expression e = begin_expression(h, "meta");
    char name[IFNAMSIZ] = {0};

    mnl_attr_put_u32(h, NFTA_META_KEY, htonl(NFT_META_IIFNAME));
    mnl_attr_put_u32(h, NFTA_META_DREG, htonl(NFT_REG_1));
    end_expression(h, e);
    snprintf(name, sizeof(name), "%s", interface);
    put_compare(h, NFT_CMP_NEQ, name, sizeof(name));
}

static void put_destination(struct nlmsghdr *h, const struct cq_ip *ip)
{
    struct expression e = begin_expression(h, "payload");
    uint32_t len = (uint32_t)cq_ip_len(ip->family);
    uint32_t offset = ip->family == CQ_FAMILY_IPV4 ? OFFSET_DADDR4 : OFFSET_DADDR6;

    mnl_attr_put_u32(h, NFTA_PAYLOAD_DREG, htonl(NFT_REG_1));
    mnl_attr_put_u32(h, NFTA_PAYLOAD_BASE, htonl(NFT_PAYLOAD_NETWORK_HEADER));
    mnl_attr_put_u32(h, NFTA_PAYLOAD_OFFSET, htonl(offset));
    mnl_attr_put_u32(h, NFTA_PAYLOAD_LEN, htonl(len));
    end_expression(h, e);
    put_compare(h, NFT_CMP_EQ, ip->bytes, len);
}

static void put_drop(struct nlmsghdr *h)
{
    struct expression e = begin_expression(h, "immediate");

    mnl_attr_put_u32(h, NFTA_IMMEDIATE_DREG, htonl(NFT_REG_VERDICT));
    struct nlattr *data = mnl_attr_nest_start(h, NFTA_IMMEDIATE_DATA);
    struct nlattr *verdict = mnl_attr_nest_start(h, NFTA_DATA_VERDICT);
    mnl_attr_put_u32(h, NFTA_VERDICT_CODE, htonl(NF_DROP));
    mnl_attr_nest_end(h, verdict);
    mnl_attr_nest_end(h, data);
    end_expression(h, e);
}

static void put_rule(struct cq_guard *g, unsigned family, const struct cq_ip *ip)
{
    struct nlmsghdr *h = begin_nft(g, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, family);

    mnl_attr_put_strz(h, NFTA_RULE_TABLE, g->table);
    mnl_attr_put_strz(h, NFTA_RULE_CHAIN, "guard");
    struct nlattr *list = mnl_attr_nest_start(h, NFTA_RULE_EXPRESSIONS);
    put_not_from(h, g->interface);
    put_not_from(h, "lo");
    put_destination(h, ip);
    put_drop(h);
    mnl_attr_nest_end(h, list);
    mnl_nlmsg_batch_next(g->batch);
}

/* Reads the answers to the messages up to g->seq, which all ask for one. The first error counts. */
static enum cq_err await_answers(struct cq_guard *g, unsigned expected)
{
    union {
        struct nlmsghdr align;
        char bytes[ANSWER_BYTES];
    } answer;
    int error = 0;

    while (expected > 0 && error == 0) {
        ssize_t n = mnl_socket_recvfrom(g->socket, answer.bytes, sizeof(answer.bytes));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return CQ_ERR_IO;
        const struct nlmsghdr *h = &answer.align;
        int left = (int)n;
        for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
            if (h->nlmsg_type != NLMSG_ERROR)
                continue;
            const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
            if (error == 0)
                error = -e->error;
            expected -= expected > 0;
        }
    }
    errno = error;
    return error == 0 ? CQ_OK : CQ_ERR_IO;
}

static enum cq_err add_family(struct cq_guard *g, uint8_t family, const struct cq_ip *addresses,
                              size_t num)
{
    unsigned nf = family == CQ_FAMILY_IPV4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
    unsigned expected = 2; /* answers: table, chain, and one per rule */
    char *buffer = calloc(1, BATCH_BYTES);

    if (buffer == NULL)
        return CQ_ERR_NOMEM;
    g->batch = mnl_nlmsg_batch_start(buffer, BATCH_BYTES);
    if (g->batch == NULL) {
        free(buffer);
        return CQ_ERR_NOMEM;
    }
    put_bracket(g, NFNL_MSG_BATCH_BEGIN);
    put_table(g, nf);
    put_chain(g, nf);
    for (size_t i = 0; i < num; i++) {
        if (addresses[i].family != family ||
            mnl_nlmsg_batch_size(g->batch) + RULE_BYTES > BATCH_BYTES)
            continue;
        put_rule(g, nf, &addresses[i]);
        expected++;
    }
    put_bracket(g, NFNL_MSG_BATCH_END);
    enum cq_err err = CQ_ERR_IO;
    if (mnl_socket_sendto(g->socket, mnl_nlmsg_batch_head(g->batch),
                          mnl_nlmsg_batch_size(g->batch)) >= 0)
        err = await_answers(g, expected);
    mnl_nlmsg_batch_stop(g->batch);
    g->batch = NULL;
    free(buffer);
    return err;
}

enum cq_err cq_guard_open(struct cq_guard **out, const char *interface,
                          const struct cq_ip *addresses, size_t num)
{
    struct cq_guard *g = calloc(1, sizeof(*g));
    const struct timeval patience = {
        .tv_sec = 5}; /* with a kernel that answers fewer times than expected */
    bool has4 = false, has6 = false;
    enum cq_err err = CQ_OK;

    if (g == NULL)
        return CQ_ERR_NOMEM;
    snprintf(g->interface, sizeof(g->interface), "%s", interface);
    snprintf(g->table, sizeof(g->table), "cryprq-%s", g->interface);
    for (size_t i = 0; i < num; i++) {
        has4 = has4 || addresses[i].family == CQ_FAMILY_IPV4;
        has6 = has6 || addresses[i].family == CQ_FAMILY_IPV6;
    }
    g->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    if (g->socket == NULL || mnl_socket_bind(g->socket, 0, MNL_SOCKET_AUTOPID) != 0 ||
        setsockopt(mnl_socket_get_fd(g->socket), SOL_SOCKET, SO_RCVTIMEO, &patience,
                   sizeof(patience)) != 0)
        err = CQ_ERR_IO;
    if (err == CQ_OK && has4)
        err = add_family(g, CQ_FAMILY_IPV4, addresses, num);
    if (err == CQ_OK && has6)
        err = add_family(g, CQ_FAMILY_IPV6, addresses, num);
    if (err != CQ_OK) {
        int saved = errno;
        cq_guard_close(g);
        errno = saved;
        return err;
    }
    *out = g;
    return CQ_OK;
}

void cq_guard_close(struct cq_guard *guard)
{
    if (guard == NULL)
        return;
    if (guard->socket != NULL)
        mnl_socket_close(guard->socket);
    free(guard);
}
