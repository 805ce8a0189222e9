/* Two nodes, each other's only peers, as most tests of the simulator want them. */
#ifndef CQ_SIM_DUO_H
#define CQ_SIM_DUO_H

#include "lab.h"

struct duo {
    struct lab *lab;
    struct lab_node *a, *b;
};

struct duo_config {
    uint64_t seed;
    struct lab_node_config a, b;
    struct lab_peering of_a, of_b; /* how a knows b, how b knows a */
    bool a_is_larger;              /* a's ID is the larger one (else nothing is promised) */
    bool a_is_smaller;
};

/* config may be NULL. */
struct duo duo_new(const struct duo_config *config);
void duo_free(struct duo *duo);
/* Packets from a until both have a session, and quiet; fails the test after 10 s. */
void duo_establish(struct duo *duo);
/* The traffic of both directions, if any, and how many packets are missing. */
uint64_t duo_missing(struct duo *duo);

/* Everything of both nodes' states that a dropped datagram must leave alone. */
struct duo_state {
    struct cq_peer_status a, b;
    struct cq_engine_status engine_a, engine_b;
    cq_time expiry_a, expiry_b;
    uint64_t sent_a, sent_b;
};
void duo_snapshot(const struct duo *duo, struct duo_state *out);
void duo_assert_unchanged(const struct duo *duo, const struct duo_state *before);

/* Filters for lab->filter, ctx unused. */
bool filter_no_handshakes(void *ctx, const struct lab_node *from, struct lab_datagram *d);
bool filter_nothing_passes(void *ctx, const struct lab_node *from, struct lab_datagram *d);
/* ctx: uint64_t, a bit per message type that is lost. */
bool filter_types(void *ctx, const struct lab_node *from, struct lab_datagram *d);

#define MS(n) ((n)*CQ_NS_PER_MS)
#define SECS(n) ((n)*CQ_NS_PER_S)
#define TYPE_BIT(type) (UINT64_C(1) << (type))

/* cmocka wants these before itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#endif
