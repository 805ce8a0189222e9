/*
 * The simulator: virtual nodes (engine and packet path as the daemon has them), a virtual network
 * with its faults and an attacker, and the properties that must hold at every step
 * (docs/reliability.md). One thread, virtual time; the same options give the same run, bit for bit:
 * everything random comes from streams of the seed, one for each node, link, fault and flow, so
 * that leaving one of them out does not shift the others.
 *
 * world.c: time, queue, memory. world_node.c: driving a node. world_net.c: the network.
 * world_flow.c: traffic inside the tunnels. world_check.c, world_keys.c: the properties.
 * world_fault.c, world_attack.c: what goes wrong. world_mixed.c, world_crowd.c, world_matrix.c: the
 * scenarios.
 */
#ifndef CQ_SIM_WORLD_H
#define CQ_SIM_WORLD_H

#include "engine/engine.h"
#include "lab.h"
#include "path/worker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    WORLD_MTU = 1280, /* of every inner interface */
    WORLD_MAX_FAULTS = 64,
    WORLD_MAX_DATAGRAM = 2048,
    WORLD_OFFERS = 32, /* OFFERs of a node whose first transmission is remembered */
    WORLD_MAX_VIOLATIONS = 8,
    WORLD_NAT_REMOTES = 8,
};

#define MS(n) ((n)*CQ_NS_PER_MS)
#define SECS(n) ((n)*CQ_NS_PER_S)

/* X(symbol, name): what is checked; docs/reliability.md explains each. */
#define WORLD_PROPERTIES(X)                                                                        \
    X(LIVENESS, "liveness")           /* traffic again within the bound */                         \
    X(CONTINUITY, "continuity")       /* a calm pair loses and delays nothing by itself */         \
    X(SEND_LIFE, "send-life")         /* no key sends beyond R(s) */                               \
    X(ERASURE, "erasure")             /* no key exists beyond R(s) + 15 s */                       \
    X(NONCE, "nonce")                 /* no (key, nonce) pair twice */                             \
    X(ONCE, "once")                   /* no packet accepted twice, none that nobody sent */        \
    X(AMPLIFICATION, "amplification") /* no reply larger than its request */                       \
    X(MEMORY, "memory")               /* bounded, and all given back */                            \
    X(AGREEMENT, "agreement")         /* both ends mean the same peer, session and keys */         \
    X(CONFIGURED, "configured") /* sessions with configured peers alone, by their messages */      \
    X(SIZE, "size")             /* handshake datagrams of at most 1232 bytes */

enum world_property {
#define X(symbol, name) WORLD_##symbol,
    WORLD_PROPERTIES(X)
#undef X
        WORLD_NUM_PROPERTIES
};
extern const char *const world_property_names[WORLD_NUM_PROPERTIES];

/* Violations planted by the self-test, one for each way in which a property can fail. */
#define WORLD_PLANTS(X)                                                                            \
    X(NONE, "none", NUM_PROPERTIES)                                                                \
    X(SILENCE, "silence", LIVENESS)              /* a link goes dead without anybody being told */ \
    X(SWALLOW, "swallow", CONTINUITY)            /* a delivered record is not given to the node */ \
    X(NO_SESSION, "no-session", CONTINUITY)      /* a calm node is wiped */                        \
    X(LATE_SEND, "late-send", SEND_LIFE)         /* keys may send for longer */                    \
    X(STUCK_TIMERS, "stuck-timers", ERASURE)     /* a node's timers do not run */                  \
    X(COUNTER_BACK, "counter-back", NONCE)       /* a counter is used once more */                 \
    X(TWICE, "twice", ONCE)                      /* a packet is handed over twice */               \
    X(NEVER_SENT, "never-sent", ONCE)            /* a packet comes that nobody sent */             \
    X(LARGE_REPLY, "large-reply", AMPLIFICATION) /* an answer is sent twice */                     \
    X(REFLECTION, "reflection", AMPLIFICATION)   /* records go to an address that is nobody's */   \
    X(HOARD, "hoard", MEMORY)                    /* a node allocates and allocates */              \
    X(LEAK, "leak", MEMORY)                      /* a node does not give everything back */        \
    X(OTHER_KEYS, "other-keys", AGREEMENT)       /* one end gets other keys than the other */      \
    X(OTHER_INDEX, "other-index", AGREEMENT)     /* one end takes another index */                 \
    X(STRANGER, "stranger", CONFIGURED)          /* a node takes a peer that nobody configured */  \
    X(LONG_INIT, "long-init", SIZE)              /* an INIT is one byte longer */

enum world_plant {
#define X(symbol, name, property) WORLD_PLANT_##symbol,
    WORLD_PLANTS(X)
#undef X
        WORLD_NUM_PLANTS
};

struct world;
struct world_node;
struct world_pair;

/* One direction of the way between two nodes. */
struct world_link {
    cq_time delay, jitter; /* one way, plus up to so much: more than the gap reorders */
    double loss, duplicate;
    unsigned mtu;       /* of the outer network; 0: any */
    unsigned blocked;   /* faults that stop everything */
    uint64_t lost_data; /* DATA */
    struct lab_rng rng;
};

/* Two nodes that are configured peers of each other. */
struct world_pair {
    unsigned number;
    struct world_node *ends[2];
    struct world_peer *peers[2]; /* of ends[i]: how it knows the other */
    struct world_link links[2];  /* [0]: from ends[0] to ends[1] */
    struct world_link usual[2];  /* without faults */
    unsigned disturbed;          /* faults under way that concern it */
    cq_time calm_since;
    cq_time works_since[2]; /* first packet taken since it is calm, by sender */
    cq_time attacked_until; /* somebody makes nodes ask for cookies */
    unsigned tapped;        /* attackers on the path */
};

/* Numbered packets from a node to a peer of it, by turns on and off. */
struct world_flow {
    struct world_peer *peer;
    struct lab_rng rng;
    cq_time interval, on_time, off_time; /* interval 0: none; off_time 0: always on */
    cq_time next, on_since, off_at;
    bool on;
    cq_time waiting_since; /* first packet sent since one arrived; CQ_TIME_NEVER: none */
    cq_time last_arrival;
    uint64_t sent, received, staged;
    uint64_t refused; /* ICMP said that they are too big for the path */
    uint8_t *seen;    /* a bit per packet */
    uint64_t seen_bits;
    cq_time first_arrival, worst_gap; /* between arrivals while on */
};

/* What a node knows of another one. */
struct world_peer {
    struct world_node *node, *other;
    struct world_pair *pair;
    unsigned side; /* pair->ends[side] is node */
    bool no_key, no_endpoint, by_name, stranger;
    uint16_t persistent_keepalive;
    struct cq_addr endpoint; /* as configured */
    bool key_stored, replied_stored;
    struct {
        struct cq_addr endpoint;
        bool key_stored, replied_stored;
    } at_start; /* what the running engine was told; for copies */
    struct world_flow flow;
};

struct world_memory {
    int64_t live, live_bytes, empty_bytes; /* empty: of a node without peers */
    int64_t peak_bytes;
};

/* Port translation in front of one or more nodes. */
struct world_mapping {
    struct world_node *node;
    struct cq_addr remote; /* of a mapping for one remote address; family NONE: for all */
    uint16_t port;         /* outside */
    cq_time used;
    struct cq_addr remotes[WORLD_NAT_REMOTES]; /* that were sent to */
    unsigned num_remotes;
};

struct world_nat {
    struct cq_addr address;
    bool mapping_by_remote, filtering; /* else: independent of the remote end */
    cq_time timeout;
    uint16_t next_port;
    struct world_mapping *mappings;
    unsigned num_mappings;
};

/* What an address got of a node and gave to it; for the rule against amplification. */
struct world_contact {
    struct cq_addr address;
    uint64_t received, sent;
    cq_time heard; /* last */
    bool reached;  /* something for a genuine peer arrived there, or a name stands for it */
};

struct world_node {
    struct world *world;
    unsigned number, identity_number;
    struct world_node *original; /* of a twin */
    struct cq_identity identity;
    uint16_t rotate_secs;
    uint8_t suites, preferred_suite;
    uint32_t load_per_second;
    struct cq_addr address; /* of its own socket */
    unsigned num_moves;
    struct world_nat *nat; /* NULL: none */
    struct lab_rng rng;
    unsigned num_starts;

    struct world_memory memory;
    struct cq_allocator allocator;
    struct cq_path *path; /* NULL: the node is down */
    struct cq_engine *engine;
    struct cq_path_worker *worker;
    bool reported; /* the worker said that there are events */
    bool asleep, stuck;
    cq_time awake_since;
    unsigned epoch; /* grows when sessions are lost: start, wipe */
    cq_time wake;   /* earliest entry in the queue; CQ_TIME_NEVER: none */
    cq_time offset; /* of its clock */

    struct world_peer *peers;
    unsigned num_peers, max_peers;
    struct {
        uint32_t idx;
        cq_time when;
    } offers[WORLD_OFFERS];
    unsigned next_offer;
    struct world_contact *contacts;
    unsigned num_contacts, max_contacts;

    /* While it answers a handshake datagram: how much may go back. */
    bool answering;
    struct cq_addr answered;
    size_t request_len, answer_len;

    bool logging; /* inputs are kept so that it can be copied */
    struct world_input *inputs;
    size_t num_inputs, max_inputs;
    struct lab_rng rng_at_start;
    cq_time started; /* by its clock */
};

/* An input of a node, for copies: everything that a node is follows from its inputs. */
enum world_input_kind {
    WORLD_INPUT_DATAGRAM,
    WORLD_INPUT_PACKET,
    WORLD_INPUT_WAKE,
    WORLD_INPUT_ENDPOINT,
    WORLD_INPUT_ROTATE,
    WORLD_INPUT_OVERLOAD,
    WORLD_INPUT_WIPE,
};
struct world_input {
    enum world_input_kind kind;
    cq_time when; /* by the node's clock */
    uint32_t peer;
    struct cq_addr address;
    struct cq_ip local;
    size_t len;
    uint8_t *data;
};

struct world_datagram {
    struct cq_addr from, to;
    struct world_node *sender; /* NULL: the attacker */
    unsigned sender_epoch, receiver_epoch;
    struct world_pair *pair; /* NULL: no configured peers */
    unsigned side;           /* of the sender in it */
    bool copy;               /* not the first one: duplicated, replayed or held back */
    bool counts;             /* continuity is promised for it */
    bool damaged;
    size_t len;
    uint8_t data[];
};

enum world_entry_kind {
    WORLD_ARRIVAL,
    WORLD_WAKE,
    WORLD_FLOW,
    WORLD_FAULT_BEGIN,
    WORLD_FAULT_STEP,
    WORLD_FAULT_END,
    WORLD_KEY_CHECK,
    WORLD_RESOLVED,
    WORLD_SECOND,
    WORLD_PLANTING,
};
struct world_entry {
    cq_time when;
    uint64_t serial; /* first queued, first served */
    enum world_entry_kind kind;
    void *object;
};

enum world_fault_kind {
    FAULT_LOSS,
    FAULT_BURSTS,
    FAULT_DELAY,
    FAULT_DUPLICATE,
    FAULT_REORDER,
    FAULT_PARTITION,
    FAULT_ISOLATION,
    FAULT_ONE_WAY,
    FAULT_MTU,
    FAULT_CRASH,
    FAULT_CRASH_NO_CACHE,
    FAULT_SHUTDOWN,
    FAULT_SLEEP,
    FAULT_ROAM,
    FAULT_NAT_RESET,
    FAULT_RESTORE,
    FAULT_TWIN,
    FAULT_ROTATE,
    FAULT_OVERLOAD,
    FAULT_REPLAY,
    FAULT_DAMAGE,
    FAULT_HOLD,
    FAULT_STEAL,
    FAULT_FORGE,
    FAULT_FLOOD,
    FAULT_NUM_KINDS
};

struct world_fault {
    struct world *world;
    unsigned number;
    enum world_fault_kind kind;
    cq_time begin, length;
    struct lab_rng rng;
    unsigned pair, node; /* whichever the kind concerns */
    double amount;
    bool on; /* under way */
    bool stepping;
    unsigned steps;
    struct world_node *twin;
};

struct world_options {
    const char *scenario;
    uint64_t seed;
    unsigned max_nodes; /* 0: what the seed says */
    cq_time length;     /* 0: the scenario's own */
    uint64_t without;   /* a bit per fault that is left out */
    enum world_plant plant;
    FILE *trace;
    unsigned nodes; /* crowd */
};

struct world_violation {
    enum world_property property;
    cq_time when;
    char text[200];
};

struct world_totals {
    uint64_t datagrams, handshakes, rotations, packets, events;
    cq_time virtual_time;
    cq_time worst_outage; /* in promised flows */
    double worst_share;   /* of the bound */
    uint64_t outages;     /* recoveries that were measured against a bound */
    int64_t peak_bytes;
};

struct world {
    struct world_options options;
    cq_time now, began;
    uint64_t hash;
    struct world_entry *queue; /* heap */
    size_t num_queued, max_queued;
    uint64_t serial;

    struct world_node **nodes;       /* twins at the end */
    unsigned num_nodes, num_regular; /* without twins and strangers */
    struct world_pair **pairs;
    unsigned num_pairs, max_pairs;
    struct world_nat *nats;
    unsigned num_nats;
    struct world_fault faults[WORLD_MAX_FAULTS];
    unsigned num_faults;
    bool ipv6;
    bool light; /* leaves out what thousands of nodes make too expensive */

    struct world_node *running; /* whose code runs */
    bool mute;                  /* a copy is being made: nothing is sent, nothing counts */
    cq_time replayed;           /* the copy's time meanwhile */
    uint64_t request_origin;    /* who really sent the OFFER or ACCEPT that is read, plus 1 */
    struct world_keys *keys;
    struct world_attacker *attacker;

    struct world_violation violations[WORLD_MAX_VIOLATIONS];
    unsigned num_violations;
    bool planted;
    void *hoarded; /* by the self-test */
    struct world_totals totals;

    struct cq_path_out out;
    struct cq_path_in in;
    uint8_t *out_buf;
    bool accepted; /* the record that was opened last brought a packet */
};

/* ---- world.c ---- */

struct world *world_new(const struct world_options *options);
void world_free(struct world *world);
void world_queue(struct world *world, cq_time when, enum world_entry_kind kind, void *object);
/* Until that time, or a violation. */
void world_run_until(struct world *world, cq_time until);
/* A stream of the seed that depends on nothing but these numbers. */
void world_stream(struct lab_rng *out, const struct world *world, const char *what, uint64_t a,
                  uint64_t b);
bool world_chance(struct lab_rng *rng, double probability);
/* In [low, high). */
cq_time world_between(struct lab_rng *rng, cq_time low, cq_time high);
void world_mix(struct world *world, const void *data, size_t len);
void world_mix_number(struct world *world, uint64_t number);
void *world_alloc(size_t size);
void *world_grow(void *p, size_t size);
/* A line of the trace, if there is one. */
void world_trace(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- world_node.c ---- */

struct world_node *world_add_node(struct world *world);
struct world_pair *world_connect(struct world_node *a, struct world_node *b);
struct world_peer *world_add_peer(struct world_node *a, struct world_node *b,
                                  struct world_pair *pair, unsigned side);
void world_start(struct world_node *node);
void world_crash(struct world_node *node);
void world_shutdown(struct world_node *node);
void world_wipe(struct world_node *node);
void world_sleep(struct world_node *node);
void world_wake_up(struct world_node *node);
void world_rotate(struct world_node *node, struct world_peer *peer);
void world_overload(struct world_node *node);
void world_set_endpoint(struct world_peer *peer);
bool world_is_up(const struct world_node *node);
cq_time world_local_time(const struct world_node *node);
void world_deliver(struct world_node *node, const struct cq_addr *from, uint8_t *data, size_t len);
/* Gives a packet to the node's interface; whether a record left at once, or ICMP answered: it was
 * refused. */
bool world_send_packet(struct world_node *node, uint8_t *packet, size_t len, bool *out_refused);
void world_on_wake(struct world_node *node);
void world_node_free(struct world_node *node);
struct cq_ip world_inner_ip(unsigned identity_number);
struct cq_keypair *world_current_keypair(struct world_peer *peer);
/* Replaces the node's state (`onto`: itself, or a twin) by a copy of what the node was at that time
 * of its clock; false where its inputs are not known. */
bool world_copy(struct world_node *onto, struct world_node *of, cq_time local_then);
void world_forget_inputs(struct world_node *node);

/* ---- world_net.c ---- */

struct cq_addr world_address(const struct world *world, unsigned number, unsigned generation);
struct world_nat *world_add_nat(struct world *world);
void world_reset_nat(struct world *world, struct world_nat *nat);
void world_transmit(struct world_node *from, const struct cq_addr *to, const uint8_t *data,
                    size_t len);
/* A datagram of the attacker's. */
void world_inject(struct world *world, const struct cq_addr *from, const struct cq_addr *to,
                  const uint8_t *data, size_t len, cq_time delay);
void world_fly(struct world *world, struct world_datagram *datagram, cq_time delay);
void world_arrive(struct world *world, struct world_datagram *datagram);
/* Whether a datagram of the node's to its peer would go through now. */
bool world_is_direct(const struct world_node *node);

/* ---- world_flow.c ---- */

void world_flow_begin(struct world_flow *flow, cq_time at);
void world_flow_tick(struct world_flow *flow);
void world_packet_received(struct world_node *node, const uint8_t *packet, size_t len);

/* ---- world_check.c ---- */

void world_violate(struct world *world, enum world_property property, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void world_disturb(struct world_pair *pair);
void world_calm(struct world_pair *pair);
/* How long the pair may need to have traffic again (docs/reliability.md). */
cq_time world_bound(const struct world_pair *pair, cq_time interval);
/* Whether the flow must get through, and from when on. */
bool world_is_promised(const struct world_flow *flow, cq_time *out_since);
void world_note_taken(struct world_flow *flow);
void world_check_waiting(struct world_flow *flow);
void world_check_staged(struct world_flow *flow);
bool world_continuity_holds(const struct world_pair *pair, unsigned side);
void world_check_memory(struct world_node *node);
void world_note_received(struct world_node *node, const struct cq_addr *from, size_t len);
void world_note_sent(struct world_node *node, const struct cq_addr *to, const uint8_t *data,
                     size_t len);
void world_note_reached(struct world_node *node, const struct cq_addr *to);
void world_note_configured(struct world_node *node, const struct cq_addr *address);
void world_copy_contact(struct world_node *node, const struct world_contact *contact);
void world_begin_answer(struct world_node *node, const struct cq_addr *from, const uint8_t *data,
                        size_t len);
void world_end_answer(struct world_node *node);
void world_plant(struct world *world);

/* ---- world_keys.c ---- */

struct world_keys *world_keys_new(struct world *world);
void world_keys_free(struct world_keys *keys);
void world_keys_check(struct world *world, void *object);
/* An OFFER or ACCEPT that a node sends, and who is known to have sent this one; 0: nobody. */
void world_keys_sent(struct world_node *node, const uint8_t *data, size_t len);
uint64_t world_keys_origin(struct world *world, const uint8_t *data, size_t len);
void world_keys_session(struct world_node *node, struct world_peer *peer, const uint8_t sid[8]);

/* ---- world_fault.c, world_attack.c ---- */

extern const char *const world_fault_names[FAULT_NUM_KINDS];
void world_fault_begin(struct world_fault *fault);
void world_fault_step(struct world_fault *fault);
void world_fault_end(struct world_fault *fault);
struct world_attacker *world_attacker_new(struct world *world);
void world_attacker_free(struct world_attacker *attacker);
/* A datagram on a tapped way; false: the attacker took it. */
bool world_attacker_sees(struct world *world, struct world_datagram *datagram);
void world_attack_step(struct world_fault *fault);

/* ---- scenarios ---- */

void world_mixed_build(struct world *world);
void world_crowd_build(struct world *world);
int world_matrix(unsigned seeds, unsigned jobs);

#endif
