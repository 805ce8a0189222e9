/*
 * The objects of the packet path that its files share. Nothing here is for other folders (unit
 * tests excepted).
 *
 * Who writes what: fields without _Atomic are set before an object is published and constant
 * afterwards, unless they are marked as the control thread's or as one worker's own. Relaxed
 * atomics are enough for status values.
 */
#ifndef CQ_PATH_INTERNAL_H
#define CQ_PATH_INTERNAL_H

#include "path/fit.h"
#include "path/index.h"
#include "path/path.h"
#include "path/reclaim.h"
#include "path/segment.h"
#include "path/stage.h"
#include "path/table.h"
#include "path/worker.h"
#include "proto/record.h"
#include "proto/replay.h"

enum {
    CQ_KEYPAIR_RESERVE = 64,   /* counters that a sender reserves at a time */
    CQ_EVENT_RING = 64,        /* a power of two */
    CQ_PATH_MAX_REPLIES = 100, /* ICMP messages a second and worker */
    CQ_EVENT_RING_KEPT = 16,   /* slots that PING, PONG and CLOSE leave to the others */
};

static inline uint64_t cq_relaxed(const _Atomic uint64_t *p)
{
    return atomic_load_explicit(p, memory_order_relaxed);
}

static inline cq_time cq_relaxed_time(const _Atomic cq_time *p)
{
    return atomic_load_explicit(p, memory_order_relaxed);
}

static inline void cq_set_time(_Atomic cq_time *p, cq_time value)
{
    atomic_store_explicit(p, value, memory_order_relaxed);
}

static inline bool cq_flag(const _Atomic bool *p)
{
    return atomic_load_explicit(p, memory_order_relaxed);
}

static inline void cq_set_flag(_Atomic bool *p, bool value)
{
    atomic_store_explicit(p, value, memory_order_relaxed);
}

/* Where a peer's datagrams go; replaced whole. */
struct cq_endpoint {
    struct cq_retired retired;
    struct cq_path_endpoint config;
    uint64_t serial;           /* unique: tells whether two records may share a send */
    _Atomic uint64_t received; /* bytes from config.route; counted while validating */
    _Atomic uint64_t sent;     /* bytes to config.route; the same */
};

/* What one worker does under a keypair. Written by it alone. */
struct cq_keypair_lane {
    struct cq_aead *seal, *open;
    uint64_t budget;           /* records reserved and not used yet */
    uint64_t unreported_bytes; /* plaintext not yet in cq_keypair.reported_bytes */
    _Atomic uint64_t seq;      /* of the next record sealed: also how many were */
    _Atomic uint64_t sealed_bytes;
    _Atomic uint64_t opened;
    uint64_t unused; /* 64 bytes: neighbours do not share a cache line if the first is aligned */
};

/* A session's last record, control thread: entries in plain until the keypair is destroyed. */
struct cq_farewell {
    struct cq_farewell *next;
    struct cq_path *path;
    size_t entries_len;
    struct cq_path_farewell datagram;
};

struct cq_keypair {
    struct cq_retired retired;
    struct cq_path_peer *peer;
    uint32_t local_idx, remote_idx;
    cq_time send_until, recv_until;
    uint8_t send_iv[12], recv_iv[12];
    struct cq_record_limits limits;
    unsigned num_lanes;
    struct cq_keypair *next; /* of the same peer; control thread */
    size_t size;
    struct cq_farewell *farewell; /* to be sealed at the end; NULL: none; control thread */

    _Atomic cq_time rotate_at; /* NEVER: not armed */
    _Atomic uint64_t reserved; /* records, all lanes */
    _Atomic uint64_t reported_bytes;
    _Atomic uint64_t failed_tags;
    _Atomic bool exhausted; /* for sending */
    _Atomic bool half_reported, exhausted_reported;
    _Atomic bool tags_half_reported, tags_reported;
    _Atomic bool first_reported;
    _Atomic bool carried_data;
    _Atomic cq_time first_opened, last_opened;
    _Atomic cq_time lane0_used; /* when something was last sent on lane 0, or asked to be */

    _Atomic(struct cq_replay *) windows[CQ_RECORD_NUM_LANES];
    struct cq_keypair_lane lanes[];
};

/* What one worker counts and holds for a peer. */
struct cq_peer_lane {
    _Atomic uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets;
    struct cq_stage_queue staged;
};

struct cq_path_peer {
    struct cq_retired retired;
    struct cq_path *path;
    uint32_t number;
    unsigned num_lanes;

    /* Control thread. */
    struct cq_path_peer *next, *previous;
    struct cq_keypair *keypairs;
    struct cq_prefix *prefixes;
    size_t num_prefixes;

    _Atomic(struct cq_keypair *) current;
    _Atomic(struct cq_endpoint *) endpoint; /* NULL: no address */
    _Atomic cq_time unanswered_since, unreplied_since, last_received, last_sent;
    _Atomic cq_time need_reported; /* last CQ_PATH_NEED_SESSION */
    _Atomic bool unanswered_armed, unreplied_armed, large_armed;
    _Atomic uint16_t mtu; /* of packets to the peer: at most the path's */
    struct cq_stage_total staged;
    struct cq_peer_lane lanes[];
};

/* Peers by number; replaced when it grows. */
struct cq_peer_map {
    struct cq_retired retired;
    uint32_t size;
    _Atomic(struct cq_path_peer *) peers[];
};

/* One worker writes, the control thread reads. */
struct cq_event_ring {
    _Atomic uint32_t head, tail; /* next to write, next to read */
    struct cq_path_event slots[CQ_EVENT_RING];
};

struct cq_path_worker {
    struct cq_path *path;
    unsigned number;
    bool reported;    /* events since enter */
    size_t reply_len; /* 0: none */
    cq_time reply_window;
    unsigned num_replies; /* in the second that began then */
    uint8_t reply[CQ_FIT_REPLY_MAX];
    bool frame_begun; /* segmenter holds a frame that is not finished */
    struct cq_segmenter segmenter;
    struct cq_stage_pool stage;
    struct cq_counters counters;
    struct cq_path_totals totals;
    struct cq_event_ring events;
};

struct cq_path {
    const struct cq_allocator *allocator;
    unsigned num_workers;
    uint16_t mtu;
    struct cq_reclaim reclaim;
    struct cq_table table;
    struct cq_index index;
    _Atomic(struct cq_peer_map *) map;
    /* Control thread. */
    struct cq_path_peer *peers;
    struct cq_farewell *first_farewell, *last_farewell; /* sealed, to be sent */
    uint64_t last_serial;
    unsigned next_event; /* worker whose events are looked at next */
    struct cq_path_worker *workers[CQ_PATH_MAX_WORKERS];
};

/* path.c; reader */
struct cq_path_peer *cq_path_find_peer(struct cq_path *path, uint32_t number);

/* keypair.c */
void cq_keypair_destroy(const struct cq_allocator *allocator, struct cq_retired *object);
/* Whether records may be sealed under it now. */
bool cq_keypair_may_send(const struct cq_keypair *keypair, cq_time now);
/* The next counter of the worker's lane for a record with `bytes` of plaintext. False: a limit is
 * used up. */
bool cq_keypair_reserve(struct cq_keypair *keypair, unsigned lane, size_t bytes,
                        uint64_t *out_counter);
/* Half of the sending limits is used up. */
bool cq_keypair_is_half_used(const struct cq_keypair *keypair);
/* The window of a lane, NULL: not made yet. */
struct cq_replay *cq_keypair_window(const struct cq_keypair *keypair, unsigned lane);
/* The same, made if need be; NULL: no memory. Several workers may call it at once. */
struct cq_replay *cq_keypair_make_window(struct cq_keypair *keypair, unsigned lane);

/* farewell.c: seals the keypair's farewell, which nobody else can see by now, and puts it into the
 * path's list. */
void cq_farewell_seal(struct cq_keypair *keypair);
/* Frees the list. */
void cq_farewell_wipe(struct cq_path *path);

/* event.c: false when the ring is full. */
bool cq_event_push(struct cq_path_worker *worker, const struct cq_path_event *event);

/* activity.c: what a worker notes and reports when records of a keypair were sealed or opened. */
void cq_activity_sealed(struct cq_path_worker *worker, struct cq_keypair *keypair, bool data,
                        cq_time now);
/* answers: something that tells that DATA arrives. */
void cq_activity_opened(struct cq_path_worker *worker, struct cq_keypair *keypair, bool data,
                        bool answers, cq_time now);
/* A DATA record above CQ_RECORD_BASE_LEN was sealed. */
void cq_activity_large(struct cq_path_worker *worker, struct cq_keypair *keypair, cq_time now);
void cq_activity_limits(struct cq_path_worker *worker, struct cq_keypair *keypair, cq_time now);
void cq_activity_need_session(struct cq_path_worker *worker, struct cq_path_peer *peer,
                              cq_time now);

#endif
