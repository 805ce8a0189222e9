/*
 * Links, addresses, routes and policy rules over rtnetlink. One object per thread. Every call is
 * one request and its answer; CQ_ERR_IO leaves errno as the kernel gave it.
 */
#ifndef CQ_OS_NETLINK_H
#define CQ_OS_NETLINK_H

#include "base/addr.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct cq_netlink;

/* CQ_ERR_IO, CQ_ERR_NOMEM. The caller owns *out. */
CQ_MUST_CHECK enum cq_err cq_netlink_open(struct cq_netlink **out);
/* NULL is allowed. */
void cq_netlink_close(struct cq_netlink *nl);

/* What the kernel said about the last failed request ("Table does not exist"), else the text of
 * errno. Valid until the next call. */
const char *cq_netlink_reason(const struct cq_netlink *nl);

struct cq_link_options {
    uint32_t mtu;
    uint32_t txqueuelen;
    uint32_t gso_max_size; /* bytes of a super-packet that the stack may hand us */
};

/* Sets what stands above and switches off generated link-local addresses. The sizes of
 * super-packets and the address generation are left alone, silently, on kernels that do not know
 * them. */
CQ_MUST_CHECK enum cq_err cq_netlink_link_configure(struct cq_netlink *nl, unsigned ifindex,
                                                    const struct cq_link_options *options);
CQ_MUST_CHECK enum cq_err cq_netlink_link_up(struct cq_netlink *nl, unsigned ifindex);

/* Adds an address with the network of `bits`, no duplicate detection. CQ_ERR_EXISTS. */
CQ_MUST_CHECK enum cq_err cq_netlink_address_add(struct cq_netlink *nl, unsigned ifindex,
                                                 const struct cq_ip *ip, unsigned bits);

/* Takes an address away. CQ_ERR_NOTFOUND. */
CQ_MUST_CHECK enum cq_err cq_netlink_address_delete(struct cq_netlink *nl, unsigned ifindex,
                                                    const struct cq_ip *ip, unsigned bits);

/* Takes away a route that cq_netlink_route_add made, and no other. CQ_ERR_NOTFOUND. */
CQ_MUST_CHECK enum cq_err cq_netlink_route_delete(struct cq_netlink *nl, unsigned ifindex,
                                                  const struct cq_prefix *prefix, uint32_t table);

/* Adds a route over the interface to a table (0: main). CQ_ERR_EXISTS: there is one for this
 * prefix. */
CQ_MUST_CHECK enum cq_err cq_netlink_route_add(struct cq_netlink *nl, unsigned ifindex,
                                               const struct cq_prefix *prefix, uint32_t table);

/* A policy rule. */
struct cq_rule {
    uint8_t family;      /* enum cq_family */
    uint32_t priority;   /* lower ones are asked first */
    uint32_t table;      /* looked up */
    uint32_t mark;       /* packets with this mark; 0: any */
    bool not_mark;       /* ... or with any other than that */
    bool no_default;     /* routes of prefix length 0 in the table do not count */
    uint32_t uid;        /* packets of this user's processes; 0: any */
    uint16_t udp_source; /* packets made here with UDP and this source port; 0: any */
};

/* CQ_ERR_EXISTS: the same rule is there. */
CQ_MUST_CHECK enum cq_err cq_netlink_rule_add(struct cq_netlink *nl, const struct cq_rule *rule);
/* CQ_ERR_NOTFOUND. */
CQ_MUST_CHECK enum cq_err cq_netlink_rule_delete(struct cq_netlink *nl, const struct cq_rule *rule);

/* Of the rules of a family: the lowest priority in use above 0 (32766 when there is none), and
 * whether one of them leads to `table`. Either pointer may be NULL. */
CQ_MUST_CHECK enum cq_err cq_netlink_rules_look(struct cq_netlink *nl, uint8_t family,
                                                uint32_t table, uint32_t *out_lowest,
                                                bool *out_table_used);

/* Whether a table holds any route of the family. */
CQ_MUST_CHECK enum cq_err cq_netlink_table_used(struct cq_netlink *nl, uint8_t family,
                                                uint32_t table, bool *out);

/* The interface that packets to `to` with this mark (0: none) would leave by, and the address that
 * they would leave from (family NONE: not told). CQ_ERR_IO: there is no way (errno: ENETUNREACH,
 * EHOSTUNREACH, EACCES), or another failure. */
CQ_MUST_CHECK enum cq_err cq_netlink_route_get(struct cq_netlink *nl, const struct cq_ip *to,
                                               uint32_t mark, unsigned *out_ifindex,
                                               struct cq_ip *out_source);

#endif
