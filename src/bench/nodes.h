/*
 * Two nodes in memory for benchmarks: an engine and a path each, joined by a queue of datagrams in
 * place of a network, with a clock that stands still unless it is moved. What the nodes do is what
 * they do in the daemon; there are no system calls and no threads. One thread.
 */
#ifndef CQ_BENCH_NODES_H
#define CQ_BENCH_NODES_H

#include "base/addr.h"
#include "engine/engine.h"
#include "path/packet.h"
#include "path/worker.h"
#include "proto/identity.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CQ_BENCH_MTU = 1420,
    CQ_BENCH_FRAME_ROOM = CQ_PATH_FRAME_MAX + CQ_PATH_SLACK,
    CQ_BENCH_OUT_ROOM = 160 * 1024,
    CQ_BENCH_QUEUE = 64, /* datagrams under way */
};

struct cq_bench_node {
    struct cq_engine *engine;
    struct cq_path *path;
    struct cq_path_worker *worker;
    struct cq_identity identity;
    struct cq_route route;  /* by which its datagrams reach the other */
    struct cq_prefix inner; /* 10.0.0.1/32 or 10.0.0.2/32 */
    uint32_t peer;          /* number of the other one in its engine */
    struct cq_path_out out;
    struct cq_path_in in;
    uint8_t *out_buf;
    bool reported;     /* the worker left events */
    uint64_t received; /* inner packets */
};

struct cq_bench_datagram {
    struct cq_bench_node *to;
    size_t len;
    uint8_t data[2048];
};

struct cq_bench_nodes {
    struct cq_bench_node a, b;
    cq_time now;
    struct cq_bench_datagram *queue; /* CQ_BENCH_QUEUE, a ring */
    uint64_t head, tail;
    bool overflown;
};

/* Both know each other's key, or neither does; nothing is sent yet. suite: the only one that they
 * use. NULL: no memory, or libcrypto failed. */
struct cq_bench_nodes *cq_bench_nodes_new(enum cq_suite suite, bool know_keys);
void cq_bench_nodes_free(struct cq_bench_nodes *nodes);

/* Each forgets the other and is told anew, as by a reload of its configuration. */
CQ_MUST_CHECK bool cq_bench_nodes_forget(struct cq_bench_nodes *nodes, bool know_keys);

/* Sends one UDP packet from a to b and carries everything out that follows from it, until nothing
 * is under way. False: it did not arrive. */
CQ_MUST_CHECK bool cq_bench_nodes_send(struct cq_bench_nodes *nodes);

/* Starts a handshake at a for new keys and carries everything out. False: it did not bring any. */
CQ_MUST_CHECK bool cq_bench_nodes_rotate(struct cq_bench_nodes *nodes);

/* Moves the clock; both nodes do what is due. */
void cq_bench_nodes_advance(struct cq_bench_nodes *nodes, cq_time by);

/* New keys if much was sealed under the present ones, so that benchmarks of any length can go on.
 */
CQ_MUST_CHECK bool cq_bench_nodes_refresh(struct cq_bench_nodes *nodes);

/* Handing packets over as the daemon's worker does. The two of a batch: between enter and leave. */
static inline void cq_bench_enter(struct cq_bench_node *node)
{
    cq_path_enter(node->worker);
}

static inline void cq_bench_leave(struct cq_bench_node *node)
{
    node->reported = cq_path_leave(node->worker) || node->reported;
}

/* An IPv4 packet from a to b as the kernel hands it over: checksum partial; TCP (6) or UDP (17)
 * with `payload` bytes, a super-packet where gso_size is not 0. buf: CQ_BENCH_FRAME_ROOM. */
struct cq_path_frame cq_bench_frame(uint8_t *buf, uint8_t proto, size_t payload, uint16_t gso_size);

#endif
