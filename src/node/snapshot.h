/*
 * The state of a node in memory that three processes share: the monitor makes it and writes what
 * does not change (names, allowed IPs), the node's control thread fills in the rest whenever it is
 * asked to, the metrics server reads. Plain numbers and fixed texts; no key and no secret is ever
 * in it.
 *
 * Writer and reader agree over a socket when it is filled (node/source.h); should they overlap all
 * the same, the version tells the reader.
 */
#ifndef CQ_NODE_SNAPSHOT_H
#define CQ_NODE_SNAPSHOT_H

#include "base/diagnosis.h"
#include "base/drop.h"
#include "base/err.h"
#include "base/time.h"
#include "conf/config.h"
#include "engine/engine.h"
#include "node/worker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Upper ends of the durations that are counted apart, ns: 100 us to 10 s. */
enum { CQ_SNAPSHOT_DURATIONS = 16 };
extern const cq_time cq_snapshot_durations[CQ_SNAPSHOT_DURATIONS];

struct cq_snapshot_durations {
    uint64_t counts[CQ_SNAPSHOT_DURATIONS + 1]; /* each in one of them; the last one: longer */
    cq_time sum;
};

/* Adds one duration. */
void cq_snapshot_durations_add(struct cq_snapshot_durations *durations, cq_time duration);

/* What happened since the node started, by our role (enum cq_role). */
struct cq_snapshot_counts {
    struct cq_snapshot_durations handshakes[2]; /* completed; rotations among them */
    struct cq_snapshot_durations rotations[2];
    uint64_t failed[CQ_DIAGNOSIS_COUNT]; /* attempts of ours that were given up, by reason */
};

struct cq_snapshot_node {
    cq_time now;  /* when it was filled, by the clock of all times in it */
    cq_time wall; /* the same moment since 1970-01-01 UTC */
    cq_time started;
    uint8_t id[CQ_PEER_ID_LEN];
    char metrics_address[CQ_ADDR_TEXT_MAX]; /* "": none */
    uint16_t listen_port, mtu, rotate_secs;
    uint32_t fwmark;
    uint8_t suites, preferred_suite;
    bool has_ipv4, has_ipv6;
    unsigned num_workers;
    uint64_t drops[CQ_DROP_COUNT]; /* all threads */
    struct cq_engine_status engine;
    struct cq_worker_status worker; /* all workers together */
    struct {
        uint64_t sealed, opened; /* records */
    } by_worker[CQ_PATH_MAX_WORKERS];
    bool switched_off[CQ_OFFLOAD_COUNT]; /* by the configuration */
    struct cq_snapshot_counts counts;
};

/* Of a peer, what does not change. */
struct cq_snapshot_info {
    uint8_t id[CQ_PEER_ID_LEN];
    char name[CQ_CONF_NAME_MAX + 1]; /* "": none */
    uint32_t first_prefix, num_prefixes;
    uint32_t host; /* of the endpoint as configured: where it begins in texts; "": there is none */
    uint16_t port;
};

struct cq_snapshot_front;

/* A mapping of the memory; all parts lie in it. */
struct cq_snapshot {
    int fd; /* -1: none */
    size_t len;
    struct cq_snapshot_front *front;
    uint32_t num_peers, num_prefixes, num_text;
    struct cq_snapshot_info *infos;
    struct cq_prefix *prefixes;
    char *texts;                  /* num_text bytes, the last one NUL */
    struct cq_peer_status *peers; /* num_peers, in the order of the configuration */
};

/* Makes the memory for a configuration. CQ_ERR_IO (errno). */
CQ_MUST_CHECK enum cq_err cq_snapshot_make(struct cq_snapshot *out, const struct cq_conf *conf);

/* Another descriptor of the same memory, which can only be read through it. CQ_ERR_IO (errno). */
CQ_MUST_CHECK enum cq_err cq_snapshot_reader(const struct cq_snapshot *snapshot, int *out_fd);

/* Maps memory that another process of this program made; the descriptor is taken over in any case.
 * len 0: the file says it. CQ_ERR_IO, CQ_ERR_INVALID. */
CQ_MUST_CHECK enum cq_err cq_snapshot_open(struct cq_snapshot *out, int fd, size_t len,
                                           bool writable);

/* A zeroed one (but for fd -1) is allowed. */
void cq_snapshot_close(struct cq_snapshot *snapshot);

/* Monitor: whether the interface is up. */
void cq_snapshot_set_ready(struct cq_snapshot *snapshot, bool ready);
bool cq_snapshot_is_ready(const struct cq_snapshot *snapshot);
const char *cq_snapshot_interface(const struct cq_snapshot *snapshot);

/* Node: between these two the memory is written; end gives the version that it has then. */
void cq_snapshot_begin(struct cq_snapshot *snapshot);
uint64_t cq_snapshot_end(struct cq_snapshot *snapshot, const struct cq_snapshot_node *node);

/* Server: copies out what has this version. CQ_ERR_AGAIN: it was written meanwhile. peers has room
 * for num_peers. */
CQ_MUST_CHECK enum cq_err cq_snapshot_read(const struct cq_snapshot *snapshot, uint64_t version,
                                           struct cq_snapshot_node *out,
                                           struct cq_peer_status *out_peers);

#endif
