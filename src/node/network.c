#include "node/network.h"

#include "base/log.h"
#include "os/file.h"
#include "os/guard.h"
#include "os/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
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

/* The table that a prefix is routed in (0: main). False: it needs no route of ours. */
static bool choose_route(const struct cq_network *n, const struct cq_conf *conf,
                         const struct cq_prefix *prefix, uint32_t *table)
{
    *table = 0;
    if (conf->table == CQ_CONF_TABLE_NUMBER)
        *table = conf->table_number;
    else if (prefix->bits == 0)
        *table = n->mark;
    else
        return !is_connected(conf, prefix);
    return true;
}

static bool add_route(const struct cq_network *n, const struct cq_prefix *prefix,
                      struct cq_failure *failure)
{
    uint32_t table;
    char text[CQ_PREFIX_TEXT_MAX];

    if (!choose_route(n, n->conf, prefix, &table))
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

/* ---- another configuration ---- */

struct cq_network_route {
    struct cq_prefix prefix;
    uint32_t table;
};

static int compare_routes(const void *pa, const void *pb)
{
    const struct cq_network_route *a = pa, *b = pb;

    if (a->prefix.ip.family != b->prefix.ip.family)
        return a->prefix.ip.family < b->prefix.ip.family ? -1 : 1;
    int c = memcmp(a->prefix.ip.bytes, b->prefix.ip.bytes, sizeof(a->prefix.ip.bytes));
    if (c != 0)
        return c;
    if (a->prefix.bits != b->prefix.bits)
        return a->prefix.bits < b->prefix.bits ? -1 : 1;
    return a->table < b->table ? -1 : a->table > b->table;
}

/* All routes of a configuration, sorted, none twice. NULL: no memory. */
static struct cq_network_route *list_routes(const struct cq_network *n, const struct cq_conf *conf,
                                            size_t *out_num)
{
    size_t max = 1, num = 0, kept = 0;

    for (size_t i = 0; i < conf->num_peers; i++)
        max += conf->table == CQ_CONF_TABLE_OFF ? 0 : conf->peers[i].num_allowed_ips;
    struct cq_network_route *routes = calloc(max, sizeof(*routes));
    *out_num = 0;
    if (routes == NULL || conf->table == CQ_CONF_TABLE_OFF)
        return routes;
    for (size_t i = 0; i < conf->num_peers; i++)
        for (size_t k = 0; k < conf->peers[i].num_allowed_ips; k++) {
            routes[num].prefix = conf->peers[i].allowed_ips[k];
            num += choose_route(n, conf, &routes[num].prefix, &routes[num].table);
        }
    qsort(routes, num, sizeof(*routes), compare_routes);
    for (size_t i = 0; i < num; i++)
        if (i == 0 || compare_routes(&routes[i], &routes[kept - 1]) != 0)
            routes[kept++] = routes[i];
    *out_num = kept;
    return routes;
}

static bool is_listed(const struct cq_network_route *routes, size_t num,
                      const struct cq_network_route *route)
{
    return bsearch(route, routes, num, sizeof(*routes), compare_routes) != NULL;
}

static bool has_address(const struct cq_conf *conf, const struct cq_conf_address *address)
{
    for (size_t i = 0; i < conf->num_addresses; i++)
        if (cq_ip_equal(&conf->addresses[i].host, &address->host) &&
            conf->addresses[i].prefix.bits == address->prefix.bits)
            return true;
    return false;
}

bool cq_network_change_plan(struct cq_network_change *change, struct cq_network *network,
                            const struct cq_conf *after, struct cq_failure *failure)
{
    struct cq_network_change *c = change;

    *c = (struct cq_network_change){.network = network, .before = network->conf, .after = after};
    if (after->table == CQ_CONF_TABLE_AUTO &&
        (network->default4 != has_default(after, CQ_FAMILY_IPV4) ||
         network->default6 != has_default(after, CQ_FAMILY_IPV6)))
        return cq_fail(failure, "0.0.0.0/0 or ::/0 come to the allowed IPs or go: whether all "
                                "traffic takes the tunnel cannot be changed while it runs "
                                "(cryprq down, then cryprq up)");
    c->old_routes = list_routes(network, c->before, &c->num_old);
    c->new_routes = list_routes(network, after, &c->num_new);
    c->added_routes = calloc(c->num_new + 1, sizeof(*c->added_routes));
    c->added_addresses = calloc(after->num_addresses + 1, sizeof(*c->added_addresses));
    return (c->old_routes != NULL && c->new_routes != NULL && c->added_routes != NULL &&
            c->added_addresses != NULL) ||
           cq_fail(failure, "out of memory");
}

void cq_network_change_wipe(struct cq_network_change *change)
{
    free(change->old_routes);
    free(change->new_routes);
    free(change->added_routes);
    free(change->added_addresses);
    *change = (struct cq_network_change){.network = NULL};
}

void cq_network_change_print(FILE *out, const struct cq_network_change *c)
{
    char text[CQ_PREFIX_TEXT_MAX];

    for (size_t i = 0; i < c->num_old; i++)
        if (!is_listed(c->new_routes, c->num_new, &c->old_routes[i]))
            fprintf(out, "- route %s\n", cq_prefix_format(&c->old_routes[i].prefix, text));
    for (size_t i = 0; i < c->num_new; i++)
        if (!is_listed(c->old_routes, c->num_old, &c->new_routes[i]))
            fprintf(out, "+ route %s\n", cq_prefix_format(&c->new_routes[i].prefix, text));
}

static bool begin_addresses(struct cq_network_change *c, struct cq_failure *failure)
{
    struct cq_network *n = c->network;
    char text[CQ_IP_TEXT_MAX];

    for (size_t i = 0; i < c->after->num_addresses; i++) {
        const struct cq_conf_address *a = &c->after->addresses[i];
        if (has_address(c->before, a))
            continue;
        if (cq_netlink_address_add(n->nl, n->ifindex, &a->host, a->prefix.bits) != CQ_OK)
            return cq_fail(failure, "cannot set address %s/%u: %s", cq_ip_format(&a->host, text),
                           a->prefix.bits, cq_netlink_reason(n->nl));
        c->added_addresses[i] = true;
    }
    return true;
}

/* A route that an address made so far (and that goes with it) is made later. */
static bool is_for_later(const struct cq_network_change *c, const struct cq_network_route *route)
{
    return route->table == 0 && is_connected(c->before, &route->prefix);
}

static bool begin_routes(struct cq_network_change *c, struct cq_failure *failure)
{
    struct cq_network *n = c->network;
    char text[CQ_PREFIX_TEXT_MAX];

    for (size_t i = 0; i < c->num_new; i++) {
        const struct cq_network_route *r = &c->new_routes[i];
        if (is_listed(c->old_routes, c->num_old, r) || is_for_later(c, r))
            continue;
        enum cq_err err = cq_netlink_route_add(n->nl, n->ifindex, &r->prefix, r->table);
        if (err != CQ_OK)
            return cq_fail(failure, "cannot add route %s: %s", cq_prefix_format(&r->prefix, text),
                           err == CQ_ERR_EXISTS ? "there is a route to it already"
                                                : cq_netlink_reason(n->nl));
        c->added_routes[i] = true;
    }
    return true;
}

bool cq_network_change_begin(struct cq_network_change *change, struct cq_failure *failure)
{
    if (begin_addresses(change, failure) && begin_routes(change, failure))
        return true;
    cq_network_change_abort(change);
    return false;
}

void cq_network_change_abort(struct cq_network_change *c)
{
    struct cq_network *n = c->network;

    for (size_t i = 0; i < c->num_new; i++)
        if (c->added_routes[i])
            (void)!cq_netlink_route_delete(n->nl, n->ifindex, &c->new_routes[i].prefix,
                                           c->new_routes[i].table);
    for (size_t i = 0; i < c->after->num_addresses; i++)
        if (c->added_addresses[i])
            (void)!cq_netlink_address_delete(n->nl, n->ifindex, &c->after->addresses[i].host,
                                             c->after->addresses[i].prefix.bits);
}

void cq_network_change_finish(struct cq_network_change *c)
{
    struct cq_network *n = c->network;
    bool other_addresses = false;

    for (size_t i = 0; i < c->num_old; i++)
        if (!is_listed(c->new_routes, c->num_new, &c->old_routes[i]))
            (void)!cq_netlink_route_delete(n->nl, n->ifindex, &c->old_routes[i].prefix,
                                           c->old_routes[i].table);
    for (size_t i = 0; i < c->before->num_addresses; i++) {
        const struct cq_conf_address *a = &c->before->addresses[i];
        if (has_address(c->after, a))
            continue;
        other_addresses = true;
        (void)!cq_netlink_address_delete(n->nl, n->ifindex, &a->host, a->prefix.bits);
    }
    n->conf = c->after;
    for (size_t i = 0; i < c->num_new; i++) {
        const struct cq_network_route *r = &c->new_routes[i];
        if (is_for_later(c, r) && !is_listed(c->old_routes, c->num_old, r))
            (void)!cq_netlink_route_add(n->nl, n->ifindex, &r->prefix, r->table);
    }
    for (size_t i = 0; i < c->after->num_addresses; i++)
        other_addresses = other_addresses || c->added_addresses[i];
    if (!other_addresses || (!n->default4 && !n->default6))
        return;
    cq_network_wipe(n);
    put_guard_up(n);
}
