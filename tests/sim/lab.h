/*
 * A laboratory: virtual nodes (an engine and its packet path each), a virtual network and virtual
 * time, in one thread. A discrete-event simulation: the same seed gives the same run, bit for bit.
 * Nodes are driven exactly as engine/engine.h and path/worker.h say.
 *
 * lab.c holds time and the network, lab_node.c the nodes, lab_flow.c the traffic inside the
 * tunnels. Failures of the laboratory itself (no memory, two nodes with one address) end the
 * program.
 */
#ifndef CQ_SIM_LAB_H
#define CQ_SIM_LAB_H

#include "engine/engine.h"
#include "path/worker.h"
#include "proto/handshake.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LAB_MTU = 1280,     /* of every inner interface */
    LAB_TYPES = 32,     /* message types that are counted by themselves */
    LAB_MAX_FLOWS = 8,  /* per sending node */
    LAB_MAX_PEERS = 32, /* per node */
    LAB_MAX_DATAGRAM = 2048,
};

struct lab;
struct lab_node;

/* xoshiro256**: the laboratory's randomness, for nodes and for the network. */
struct lab_rng {
    uint64_t s[4];
};
void lab_rng_seed(struct lab_rng *rng, uint64_t seed);
uint64_t lab_rng_next(struct lab_rng *rng);
/* Below n. */
uint64_t lab_rng_below(struct lab_rng *rng, uint64_t n);
/* In [0, 1). */
double lab_rng_unit(struct lab_rng *rng);

/* What happens to datagrams that a node sends. */
struct lab_link {
    cq_time delay;    /* one way */
    cq_time jitter;   /* up to so much more, drawn per datagram: more than the gap reorders */
    double loss;      /* probability */
    double duplicate; /* probability of a second copy, with a delay of its own */
};

/* One datagram on its way. */
struct lab_datagram {
    struct cq_addr from, to;
    size_t len;
    uint8_t data[LAB_MAX_DATAGRAM];
};

/* A datagram as it was sent, before the network did anything to it. */
struct lab_sent {
    cq_time when;
    struct lab_datagram *datagram;
};

/* Allocations of all nodes: live ones, and one that is to fail. */
struct lab_memory {
    long live;
    long countdown; /* allocations until the one that fails; negative: none */
    bool failed;
};

/* Traffic from one node to another: numbered packets at a steady interval. */
struct lab_flow {
    struct lab_node *from, *to;
    cq_time interval, until, next;
    uint16_t len;      /* of its packets; 0: the smallest. Larger ones must not be fragmented */
    uint16_t told_mtu; /* what ICMP said last; 0: nothing. The packets become that long then */
    uint64_t refused;  /* packets that ICMP answered */
    uint64_t sent, received, duplicates; /* packets */
    uint64_t link_lost;                  /* DATA that the network lost */
    uint64_t staged;                     /* packets that had to wait for a session */
    cq_time last_received, longest_gap;  /* between arrivals */
    uint8_t *seen;                       /* a bit per packet */
    uint64_t seen_bits;
};

struct lab_node_config {
    uint16_t rotate_secs; /* 0: 300 */
    uint8_t suites;       /* 0: both */
    uint8_t preferred_suite;
    bool yield_suite;
    bool no_key_answers, no_key_pushes;
    uint32_t load_per_second;
    bool ipv6;
};

/* How a node knows another one. */
struct lab_peering {
    bool no_key;      /* the other's public key is not known beforehand */
    bool no_endpoint; /* nor its address */
    bool replied_before;
    uint16_t persistent_keepalive;
    uint8_t psk[32];
};

/* What a node knows of another one and keeps over a restart. */
struct lab_peer {
    struct lab_node *node;
    struct lab_peering peering;
    uint32_t number;
    bool key_stored, replied_stored;
    uint8_t stored_key[CQ_PUBLIC_KEY_LEN];
};

struct lab_node {
    struct lab *lab;
    unsigned number;
    struct lab_node_config config;
    struct cq_identity identity;
    struct cq_addr address; /* outer */
    struct lab_link link;
    struct lab_rng rng;
    long random_countdown; /* draws until the generator fails once; negative: never */
    bool random_failed;
    bool random_broken; /* fails at every draw */

    struct cq_path *path; /* NULL: the node is down */
    struct cq_engine *engine;
    struct cq_path_worker *worker;
    bool reported; /* the worker said that there are events */
    cq_time wake;  /* earliest entry in the queue; CQ_TIME_NEVER: none */

    struct lab_peer peers[LAB_MAX_PEERS];
    unsigned num_peers;
    struct lab_flow flows[LAB_MAX_FLOWS];
    unsigned num_flows;

    uint64_t sent[LAB_TYPES], received[LAB_TYPES]; /* datagrams, by type */
    uint64_t frames;                               /* inner packets received that are no flow's */
    uint64_t events[CQ_EVENT_COUNT];
    struct cq_event_record last_event[CQ_EVENT_COUNT];
    uint64_t resolves, drops_of_staged;
};

/* Looks at a datagram as it is sent; false: the network loses it. May call lab_deliver. */
typedef bool (*lab_filter)(void *ctx, const struct lab_node *from, struct lab_datagram *datagram);

struct lab {
    cq_time now;
    struct lab_rng rng;
    struct lab_memory memory;
    struct cq_allocator allocator;
    struct lab_node **nodes;
    unsigned num_nodes;
    lab_filter filter;
    void *filter_ctx;
    struct lab_entry *queue; /* heap */
    size_t num_queued, max_queued;
    uint64_t serial;
    bool recording;
    struct lab_sent *sent; /* while recording */
    size_t num_sent, max_sent;
    uint64_t lost, undeliverable; /* datagrams */
    struct cq_path_out out;
    struct cq_path_in in;
    uint8_t *out_buf;
};

/* ---- the world ---- */

/* Nodes begin with links of 20 ms that lose nothing. */
struct lab *lab_new(uint64_t seed);
void lab_free(struct lab *lab);

/* Lets everything happen that is due before or at `until`; time is `until` then. */
void lab_run_until(struct lab *lab, cq_time until);
void lab_run_for(struct lab *lab, cq_time duration);
/* The same until done(ctx) is true after some event; false when the time ran out first. */
bool lab_run_while_not(struct lab *lab, bool (*done)(void *ctx), void *ctx, cq_time at_most);

/* Begins (forgetting what was recorded) or ends the recording of all datagrams sent. */
void lab_record(struct lab *lab, bool on);
/* The n-th recorded datagram of this type from that node, or NULL. node NULL: any. */
const struct lab_sent *lab_find_sent(const struct lab *lab, const struct lab_node *from,
                                     uint8_t type, size_t n);
size_t lab_count_sent(const struct lab *lab, const struct lab_node *from, uint8_t type);

/* ---- nodes ---- */

struct lab_node *lab_add_node(struct lab *lab, const struct lab_node_config *config);
/* Makes both configured peers of each other. */
void lab_connect(struct lab_node *a, const struct lab_peering *of_a, struct lab_node *b,
                 const struct lab_peering *of_b);
/* Makes b a peer of a alone. */
void lab_add_peer(struct lab_node *a, struct lab_node *b, const struct lab_peering *peering);
/* Tries once more to bring up a node whose start failed. False: it failed again. */
bool lab_start(struct lab_node *node);
/* Throws engine and path away, as a crash does. */
void lab_crash(struct lab_node *node);
/* Moves the node to another outer address. */
void lab_move(struct lab_node *node, const struct cq_addr *address);

/* What node knows of other. Fails the test when they are no peers. */
struct cq_peer_status lab_status(const struct lab_node *node, const struct lab_node *other);
struct cq_engine_status lab_engine_status(const struct lab_node *node);
struct lab_peer *lab_peer_of(struct lab_node *node, const struct lab_node *other);
/* A handshake now, as `cryprq rotate` starts it. */
void lab_rotate(struct lab_node *node, struct lab_node *other);
/* Whether each has a session with the other on which it may send. */
bool lab_are_connected(const struct lab_node *a, const struct lab_node *b);
/* Drops of a reason, of engine and path together. */
uint64_t lab_drops(const struct lab_node *node, enum cq_drop reason);
uint64_t lab_all_drops(const struct lab_node *node);

/* The current keypair (path/internal.h), NULL: none. */
struct cq_keypair *lab_keypair(const struct lab_node *node, const struct lab_node *other);

/* Gives a datagram to a node at once, from whatever address. */
void lab_deliver(struct lab_node *node, const struct cq_addr *from, const uint8_t *data,
                 size_t len);
/* Lets the node do what it has to; after calls of its engine by a test itself. */
void lab_settle(struct lab_node *node);
/* Sends control entries on the node's current session with other, over `to` or (NULL) the endpoint.
 */
void lab_send_control(struct lab_node *node, struct lab_node *other, const uint8_t *tlvs,
                      uint16_t len, const struct cq_addr *to);

/* ---- traffic ---- */

/* Starts (or changes) the flow from a to b. interval 0: only what lab_send_packet sends. */
struct lab_flow *lab_flow(struct lab_node *from, struct lab_node *to, cq_time interval,
                          cq_time until);
/* Sends the next packet of the flow now; whether it left at once. */
bool lab_send_packet(struct lab_flow *flow);
/* Packets neither received nor lost by the network. */
uint64_t lab_flow_missing(const struct lab_flow *flow);

/* ---- between lab.c, lab_node.c and lab_flow.c ---- */

enum lab_entry_kind { LAB_ARRIVAL, LAB_WAKE, LAB_FLOW };

struct lab_entry {
    cq_time when;
    uint64_t serial; /* first queued, first served */
    enum lab_entry_kind kind;
    struct lab_node *node;
    struct lab_datagram *datagram; /* ARRIVAL */
    struct lab_flow *flow;         /* FLOW */
};

void lab_queue(struct lab *lab, const struct lab_entry *entry);
/* Hands a datagram of a node to the network. */
void lab_transmit(struct lab_node *from, const struct cq_addr *to, const uint8_t *data, size_t len);
struct lab_node *lab_node_at(const struct lab *lab, const struct cq_addr *address);
void lab_node_free(struct lab_node *node);
void lab_node_wake(struct lab_node *node);
void lab_flow_tick(struct lab_flow *flow);
void lab_flow_received(struct lab_node *node, const uint8_t *packet, size_t len);
/* A DATA datagram was lost for good. */
void lab_flow_lost(struct lab_node *from, const struct lab_node *to);
/* Sends what the worker sealed; after each call of its functions. */
void lab_flush(struct lab_node *node);
/* cq_path_leave of the node's worker. */
void lab_leave(struct lab_node *node);
struct cq_ip lab_inner_ip(const struct lab_node *node);
/* Ends the program. */
_Noreturn void lab_die(const char *what);

#endif
