#include "node/network.h"

#include "base/log.h"
#include "os/file.h"
#include "os/guard.h"
#include "os/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum {
    FIRST_TABLE = 51820,
    LAST_TABLE = 52819,
    MAIN_TABLE = 254,
    TXQUEUELEN = 2000,    /* packets; 500 drops with several streams */
    GSO_MAX_SIZE = 61000, /* one super-packet, sealed, fits one UDP send */
};

int cq_network_lock(void)
{
    int fd = open(cq_file_runtime_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0 && flock(fd, LOCK_EX) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool has_default(const struct cq_conf *conf, uint8_t family)
{
    for (size_t i = 0; i < conf->num_peers; i++)
        for (size_t j = 0; j < conf->peers[i].num_allowed_ips; j++) {
            const struct cq_prefix *p = &conf->peers[i].allowed_ips[j];
            if (p->bits == 0 && p->ip.family == family)
                return true;
        }
    return false;
}

bool cq_network_takes_all(const struct cq_conf *conf)
{
    return conf->table == CQ_CONF_TABLE_AUTO &&
           (has_default(conf, CQ_FAMILY_IPV4) || has_default(conf, CQ_FAMILY_IPV6));
}

/* Whether neither rules nor routes of the family know the table. */
static bool table_is_free(struct cq_netlink *nl, uint8_t family, uint32_t table)
{
    bool by_rules = true, by_routes = true;

    if (cq_netlink_rules_look(nl, family, table, NULL, &by_rules) != CQ_OK ||
        cq_netlink_table_used(nl, family, table, &by_routes) != CQ_OK)
        return false;
    return !by_rules && !by_routes;
}

static bool choose_table(struct cq_network *n, struct cq_failure *failure)
{
    if (n->mark != 0)
        return true; /* configured: the person who chose it knows about it */
    for (uint32_t table = FIRST_TABLE; table <= LAST_TABLE; table++)
        if ((!n->default4 || table_is_free(n->nl, CQ_FAMILY_IPV4, table)) &&
            (!n->default6 || table_is_free(n->nl, CQ_FAMILY_IPV6, table))) {
            n->mark = table;
            return true;
        }
    return cq_fail(failure, "no free routing table between %d and %d: %s", FIRST_TABLE, LAST_TABLE,
                   cq_netlink_reason(n->nl));
}

bool cq_network_plan(struct cq_network *network, const struct cq_conf *conf, struct cq_netlink *nl,
                     unsigned ifindex, struct cq_failure *failure)
{
    *network =
        (struct cq_network){.conf = conf, .nl = nl, .ifindex = ifindex, .mark = conf->fwmark};
    if (!cq_network_takes_all(conf))
        return true;
    network->default4 = has_default(conf, CQ_FAMILY_IPV4);
    network->default6 = has_default(conf, CQ_FAMILY_IPV6);
    return choose_table(network, failure);
}

static bool add_addresses(const struct cq_network *n, struct cq_failure *failure)
{
    char text[CQ_IP_TEXT_MAX];

    for (size_t i = 0; i < n->conf->num_addresses; i++) {
        const struct cq_conf_address *a = &n->conf->addresses[i];
        if (cq_netlink_address_add(n->nl, n->ifindex, &a->host, a->prefix.bits) != CQ_OK)
            return cq_fail(failure, "cannot set address %s/%u: %s", cq_ip_format(&a->host, text),
                           a->prefix.bits, cq_netlink_reason(n->nl));
    }
    return true;
}

/* Whether the kernel made a route for it already, with one of our addresses. */
static bool is_connected(const struct cq_conf *conf, const struct cq_prefix *prefix)
{
    for (size_t i = 0; i < conf->num_addresses; i++) {
        const struct cq_prefix *net = &conf->addresses[i].prefix;
        if (net->ip.family == prefix->ip.family && net->bits <= prefix->bits &&
            cq_prefix_contains(net, &prefix->ip))
            return true;
    }
    return false;
}

static bool add_route(const struct cq_network *n, const struct cq_prefix *prefix,
                      struct cq_failure *failure)
{
    bool is_default = prefix->bits == 0;
    uint32_t table = 0;
    char text[CQ_PREFIX_TEXT_MAX];

    if (n->conf->table == CQ_CONF_TABLE_NUMBER)
        table = n->conf->table_number;
    else if (is_default)
        table = n->mark;
    else if (is_connected(n->conf, prefix))
        return true;
    enum cq_err err = cq_netlink_route_add(n->nl, n->ifindex, prefix, table);
    if (err == CQ_OK)
        return true;
    return cq_fail(failure, "cannot add route %s: %s", cq_prefix_format(prefix, text),
                   err == CQ_ERR_EXISTS ? "there is a route to it already"
                                        : cq_netlink_reason(n->nl));
}

static bool add_routes(const struct cq_network *n, struct cq_failure *failure)
{
    if (n->conf->table == CQ_CONF_TABLE_OFF)
        return true;
    for (size_t i = 0; i < n->conf->num_peers; i++)
        for (size_t j = 0; j < n->conf->peers[i].num_allowed_ips; j++)
            if (!add_route(n, &n->conf->peers[i].allowed_ips[j], failure))
                return false;
    return true;
}

static bool add_rule(const struct cq_network *n, const struct cq_rule *rule,
                     const struct cq_undo *undo, struct cq_failure *failure)
{
    if (cq_undo_rule(undo, rule) != CQ_OK)
        return cq_fail(failure, "cannot write the undo journal: %s", strerror(errno));
    if (cq_netlink_rule_add(n->nl, rule) != CQ_OK)
        return cq_fail(failure, "cannot add routing rule %u: %s", rule->priority,
                       cq_netlink_reason(n->nl));
    return true;
}

/* The rules of the table at the head of this file, last one first, before all rules that are there.
 */
static bool add_rules(const struct cq_network *n, uint8_t family, uint16_t port,
                      const struct cq_undo *undo, struct cq_failure *failure)
{
    uint32_t lowest;

    if (cq_netlink_rules_look(n->nl, family, 0, &lowest, NULL) != CQ_OK)
        return cq_fail(failure, "cannot read the routing rules: %s", cq_netlink_reason(n->nl));
    if (lowest < 5)
        return cq_fail(failure, "there is no room before routing rule %u", lowest);
    struct cq_rule tunnel = {.family = family,
                             .priority = lowest - 1,
                             .table = n->mark,
                             .mark = n->mark,
                             .not_mark = true};
    struct cq_rule specific = tunnel;
    specific.priority = lowest - 2;
    specific.table = MAIN_TABLE;
    specific.no_default = true;
    struct cq_rule look_ups = {.family = family,
                               .priority = lowest - 3,
                               .table = MAIN_TABLE,
                               .uid = CQ_SANDBOX_RESOLVER_ID};
    struct cq_rule arriving = {
        .family = family, .priority = lowest - 4, .table = MAIN_TABLE, .udp_source = port};
    if (family == CQ_FAMILY_IPV4 && !add_rule(n, &arriving, undo, failure))
        return false;
    return add_rule(n, &look_ups, undo, failure) && add_rule(n, &specific, undo, failure) &&
           add_rule(n, &tunnel, undo, failure);
}

/* Not having it is no reason to fail: it needs nf_tables and Linux 5.12. */
static void put_guard_up(struct cq_network *n)
{
    struct cq_ip guarded[CQ_CONF_MAX_ADDRESSES];
    size_t num = 0;

    for (size_t i = 0; i < n->conf->num_addresses && num < CQ_CONF_MAX_ADDRESSES; i++) {
        const struct cq_ip *ip = &n->conf->addresses[i].host;
        if (ip->family == CQ_FAMILY_IPV4 ? n->default4 : n->default6)
            guarded[num++] = *ip;
    }
    if (num > 0 && cq_guard_open(&n->guard, n->conf->interface, guarded, num) != CQ_OK) {
        n->guard = NULL;
        char reason[128];
        snprintf(reason, sizeof(reason), "nf_tables: %s", strerror(errno));
        cq_log(CQ_EVENT_NO_GUARD, cq_field_text("interface", n->conf->interface),
               cq_field_text("reason", reason));
    }
}

void cq_network_wipe(struct cq_network *network)
{
    cq_guard_close(network->guard);
    network->guard = NULL;
}

bool cq_network_set_up(struct cq_network *network, uint16_t mtu, uint16_t port,
                       const struct cq_undo *undo, struct cq_failure *failure)
{
    struct cq_link_options link = {
        .mtu = mtu, .txqueuelen = TXQUEUELEN, .gso_max_size = GSO_MAX_SIZE};

    if (cq_netlink_link_configure(network->nl, network->ifindex, &link) != CQ_OK)
        return cq_fail(failure, "cannot set the MTU to %u: %s", mtu,
                       cq_netlink_reason(network->nl));
    put_guard_up(network);
    if (!add_addresses(network, failure))
        return false;
    if (cq_netlink_link_up(network->nl, network->ifindex) != CQ_OK)
        return cq_fail(failure, "cannot bring the interface up: %s",
                       cq_netlink_reason(network->nl));
    if (!add_routes(network, failure))
        return false;
    if (network->default4 && !add_rules(network, CQ_FAMILY_IPV4, port, undo, failure))
        return false;
    return !network->default6 || add_rules(network, CQ_FAMILY_IPV6, port, undo, failure);
}
