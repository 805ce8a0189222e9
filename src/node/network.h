/*
 * The machine's side of an interface: link settings, addresses, routes and, where all traffic goes
 * through the tunnel, the rules that keep the tunnel's own datagrams out of it. Rules are recorded
 * in the undo journal before they are made; everything else vanishes with the interface. Called by
 * the monitor.
 *
 * All traffic (AllowedIPs with 0.0.0.0/0 or ::/0, Table = auto): the default route stands in a
 * table of its own, whose number is also the mark of our datagrams. Rules, in the order in which
 * the kernel asks them, per family:
 *
 *   from here, UDP, source port = ours -> main     (IPv4 only; below)
 *   user of name look-ups -> main                  else a dead tunnel keeps its own peer from being
 * found not marked -> main, but not its default route  what has a more specific route keeps it not
 * marked -> table N                          everything else goes into the tunnel
 *
 * The first one is for datagrams that arrive: strict reverse-path filtering asks for the way back
 * with their addresses and ports reversed, but without a mark. So neither connection marks nor a
 * system-wide setting (src_valid_mark) are needed. Besides, a guard (os/guard.h) drops what arrives
 * for the interface's addresses over other interfaces; where the kernel cannot, that is logged.
 */
#ifndef CQ_NODE_NETWORK_H
#define CQ_NODE_NETWORK_H

#include "conf/config.h"
#include "node/failure.h"
#include "node/undo.h"
#include "os/netlink.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct cq_network {
    const struct cq_conf *conf;
    struct cq_netlink *nl;
    struct cq_guard *guard; /* owned; NULL: none */
    unsigned ifindex;
    uint32_t mark;           /* of our datagrams; 0: none */
    bool default4, default6; /* all traffic of the family goes through the tunnel by rules */
};

/* Whether all traffic of a family is to go through the tunnel by rules. */
bool cq_network_takes_all(const struct cq_conf *conf);

/* Chooses the mark and the table. False: *failure says why. The caller holds the lock of
 * cq_network_lock. */
bool cq_network_plan(struct cq_network *network, const struct cq_conf *conf, struct cq_netlink *nl,
                     unsigned ifindex, struct cq_failure *failure);

/* Link, addresses, link up, routes, rules. `port` is the one that our sockets are bound to. False:
 * *failure says why; what was done is in the journal or goes with the interface. */
bool cq_network_set_up(struct cq_network *network, uint16_t mtu, uint16_t port,
                       const struct cq_undo *undo, struct cq_failure *failure);

/*
 * Another configuration of the running interface: first what is new (addresses, routes), which can
 * fail, then, when nothing else can fail any more, what is not wanted any longer. Whether all
 * traffic goes through the tunnel cannot be changed: it takes other marks and rules.
 */
struct cq_network_route;
struct cq_network_change {
    struct cq_network *network;
    const struct cq_conf *before, *after;
    struct cq_network_route *old_routes, *new_routes; /* wanted then and now, in order */
    size_t num_old, num_new;
    bool *added_routes, *added_addresses; /* by index in new_routes and after->addresses */
};

/* Works out what changes. False: *failure says why. The caller wipes it in any case. */
bool cq_network_change_plan(struct cq_network_change *change, struct cq_network *network,
                            const struct cq_conf *after, struct cq_failure *failure);
/* "+ route 10.0.0.0/24", one line each. */
void cq_network_change_print(FILE *out, const struct cq_network_change *change);
/* Adds what is new. False: nothing is changed, *failure says why. */
bool cq_network_change_begin(struct cq_network_change *change, struct cq_failure *failure);
/* Takes it back. */
void cq_network_change_abort(struct cq_network_change *change);
/* Removes what is not wanted any longer; the network belongs to `after` then. */
void cq_network_change_finish(struct cq_network_change *change);
void cq_network_change_wipe(struct cq_network_change *change);

/* Takes the guard down. A zeroed network is allowed. */
void cq_network_wipe(struct cq_network *network);

/* One at a time on this machine, so that two nodes do not choose the same table: a descriptor to be
 * closed, or -1. */
int cq_network_lock(void);

#endif
