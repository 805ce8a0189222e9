/*
 * Two packet paths joined back to back for tests: A (10.0.0.1, fd00::1) and B (10.0.0.2, fd00::2),
 * each the other's only peer, with a pair of keypairs. Nothing is sent anywhere: records are copied
 * from one to the other.
 */
#ifndef PATH_PAIR_H
#define PATH_PAIR_H

#include "packets.h"
#include "path/path.h"
#include "path/worker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PAIR_MTU = 1420,
    PAIR_OUT = 160 * 1024,
    PAIR_RECORDS = 2048,
    PAIR_PEER = 3, /* its number at both */
};

struct pair_options {
    unsigned workers;                     /* 0: 1 */
    enum cq_suite suite;                  /* 0: AES-256-GCM */
    const struct cq_allocator *allocator; /* NULL: the heap */
    bool no_offloads;
};

struct pair_side {
    struct cq_path *path;
    struct cq_path_worker *worker; /* number 0 */
    struct cq_path_peer *peer;
    struct cq_keypair *keypair;
    struct cq_keypair_params params;
    struct cq_path_out out;
    struct cq_path_in in;
    uint8_t *out_buf;
    struct cq_path_source source; /* of its datagrams, as the other side sees it */
};

struct pair {
    struct pair_side a, b;
    cq_time now;
    const struct cq_allocator *allocator;
};

/* One record. */
struct pair_record {
    uint8_t data[2048];
    size_t len;
};

struct cq_route pair_route(uint8_t last);

/* All of it, ready to send: endpoints set, keypairs current. */
void pair_init(struct pair *pair, const struct pair_options *options);
void pair_free(struct pair *pair);

/* The parts of pair_init, for tests that want to see an error. */
enum cq_err pair_init_side(struct pair_side *side, const struct pair_options *options, uint8_t self,
                           uint8_t other);
struct cq_keypair_params pair_params(enum cq_suite suite, uint8_t self, uint32_t local_idx,
                                     uint32_t remote_idx);

/* Seals one packet of spec and takes its records out; returns how many there are. */
size_t pair_seal(struct pair *pair, struct pair_side *from, const struct packet_spec *spec,
                 uint16_t gso_size, struct pair_record *out);
/* Takes the records out of from->out and resets it. */
size_t pair_take(struct pair_side *from, struct pair_record *out);
/* Lets `to` open records (copied), coming from `from`; frames are in to->in, finished. */
void pair_open(struct pair *pair, struct pair_side *to, const struct pair_side *from,
               struct pair_record *records, size_t num);
/* Seals control data under the side's keypair. */
size_t pair_control(struct pair *pair, struct pair_side *from, const void *data, size_t len,
                    size_t padded_len, const struct cq_route *route, struct pair_record *out);

/* The packet in frame i, in one piece. */
size_t pair_frame(const struct pair_side *side, size_t i, uint8_t *out);

uint64_t pair_drops(const struct pair_side *side, enum cq_drop drop);
/* The next event; fails the test when it is not of that type. */
struct cq_path_event pair_expect(struct pair_side *side, enum cq_path_event_type type);
void pair_expect_none(struct pair_side *side);
/* Throws waiting events away. */
void pair_skip_events(struct pair_side *side);

#endif
