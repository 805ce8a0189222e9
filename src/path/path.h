/*
 * The packet path, control side: what the control thread tells the packet workers (peers, allowed
 * IPs, keypairs, addresses) and what they report back (events). The worker side, which moves
 * packets, is path/worker.h.
 *
 * Nothing here makes a system call, reads a clock or draws randomness. Functions of this header may
 * be called by one thread only (the control thread, which owns the engine), except where they say
 * otherwise. Workers read what is published here without locks: objects are replaced whole and
 * freed when no worker can still see them.
 */
#ifndef CQ_PATH_PATH_H
#define CQ_PATH_PATH_H

#include "base/addr.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/time.h"
#include "crypto/aead.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    CQ_PATH_MAX_WORKERS =
        15, /* each worker seals on the counter lane of its number; lane 15 stays free */
    CQ_PATH_MTU_MIN = 576,
    CQ_PATH_MTU_MAX = 65475,   /* the plaintext of the largest record */
    CQ_PATH_FAREWELL_MAX = 64, /* bytes of a datagram that ends a session */
};

struct cq_path;      /* the whole, one per node */
struct cq_path_peer; /* a configured peer */
struct cq_keypair;   /* the transport keys of one session, with replay windows and limits */

struct cq_path_config {
    const struct cq_allocator *allocator; /* thread-safe, locked memory; must outlive the path */
    unsigned num_workers;                 /* 1 to CQ_PATH_MAX_WORKERS */
    uint16_t mtu; /* of the inner interface: records are padded up to it at most */
};

/* CQ_ERR_NOMEM, CQ_ERR_RANGE. The caller owns *out. */
CQ_MUST_CHECK enum cq_err cq_path_new(struct cq_path **out, const struct cq_path_config *config);

/* Frees everything, keys wiped. No worker may be running. NULL is allowed. */
void cq_path_free(struct cq_path *path);

/*
 * Adds a peer; `number` is the engine's name for it and comes back in events. Prefixes of a peer
 * are set with cq_path_peer_set_prefixes. The peer belongs to the path; cq_path_peer_remove ends it
 * (its keypairs included). CQ_ERR_NOMEM.
 */
CQ_MUST_CHECK enum cq_err cq_path_peer_add(struct cq_path *path, uint32_t number,
                                           struct cq_path_peer **out);
void cq_path_peer_remove(struct cq_path *path, struct cq_path_peer *peer);

/* Replaces the peer's allowed IPs. A prefix that belonged to another peer moves to this one (the
 * configuration layer refuses overlaps beforehand). CQ_ERR_NOMEM changes nothing. Cost:
 * proportional to num and the depth of the trie. */
CQ_MUST_CHECK enum cq_err cq_path_peer_set_prefixes(struct cq_path *path, struct cq_path_peer *peer,
                                                    const struct cq_prefix *prefixes, size_t num);

/* The same for several peers as one change: all allocations come first, and a prefix that moves
 * from one of them to another always has an owner. CQ_ERR_NOMEM changes nothing. */
struct cq_path_prefixes {
    struct cq_path_peer *peer;
    const struct cq_prefix *prefixes;
    size_t num;
    struct cq_prefix *copy; /* used by the function itself */
};
CQ_MUST_CHECK enum cq_err
cq_path_set_prefixes(struct cq_path *path, struct cq_path_prefixes *changes, size_t num_changes);

/* Where a peer's datagrams are sent (docs/protocol.md section 6, "Address"). */
struct cq_path_endpoint {
    struct cq_route route;    /* remote.ip.family NONE: no address is known */
    struct cq_route previous; /* last proven one; family NONE: none */
    bool validating; /* route is not proven: at most 3 times the bytes received from it are sent to
                        it, further DATA goes to previous, anything else is dropped
                        (address_unproven) */
    uint32_t received_bytes; /* received from `route` so far, counted before this call (when
                                validating) */
};

/* CQ_ERR_NOMEM changes nothing. */
CQ_MUST_CHECK enum cq_err cq_path_peer_set_endpoint(struct cq_path *path, struct cq_path_peer *peer,
                                                    const struct cq_path_endpoint *endpoint);

struct cq_keypair_params {
    enum cq_suite suite;
    uint8_t send_key[32], recv_key[32]; /* secret; copied into key schedules, not kept */
    uint8_t send_iv[12], recv_iv[12];
    uint32_t local_idx;  /* by which the peer addresses us */
    uint32_t remote_idx; /* by which we address the peer */
    cq_time send_until;  /* no record is sealed at or after this time */
    cq_time recv_until;  /* no record is opened at or after this time */
    cq_time
        rotate_at; /* DATA at or after this time reports CQ_PATH_ROTATE_DUE; CQ_TIME_NEVER: never */
};

/*
 * Makes a keypair that receives at once (its local_idx is unique). It is used for sending only
 * after cq_path_peer_set_current. CQ_ERR_NOMEM, CQ_ERR_CRYPTO, CQ_ERR_EXISTS (local_idx taken).
 */
CQ_MUST_CHECK enum cq_err cq_path_keypair_add(struct cq_path *path, struct cq_path_peer *peer,
                                              const struct cq_keypair_params *params,
                                              struct cq_keypair **out);

/* Unlinks the keypair for both directions at once; wiped and freed as soon as no worker can see it
 * (at once when none is inside the path; see cq_path_reclaim). The pointer must not be used
 * afterwards. */
void cq_path_keypair_remove(struct cq_path *path, struct cq_keypair *keypair);

/*
 * The same, and the peer is told: as soon as no worker can see the keypair any more, `entries`
 * (control entries, docs/protocol.md section 5) are sealed as the last record under it, which
 * cq_path_next_farewell hands out. Without memory, without an address or past its end the keypair
 * goes in silence.
 */
void cq_path_keypair_close(struct cq_path *path, struct cq_keypair *keypair, const uint8_t *entries,
                           size_t len, cq_time now);

struct cq_path_farewell {
    struct cq_route route;
    size_t len;
    uint8_t data[CQ_PATH_FAREWELL_MAX];
};

/* The next datagram to be sent for a keypair that was closed; false: there is none (yet: see
 * cq_path_reclaim). */
bool cq_path_next_farewell(struct cq_path *path, struct cq_path_farewell *out);

/* The keypair on which the peer's traffic is sent from now on, and from whose records its address
 * is taken: the newest confirmed one. NULL: none (packets are staged). */
void cq_path_peer_set_current(struct cq_path *path, struct cq_path_peer *peer,
                              struct cq_keypair *keypair);

/* Arms (again) the CQ_PATH_ROTATE_DUE report of a keypair for DATA at or after `at`. */
void cq_path_keypair_set_rotate_at(struct cq_keypair *keypair, cq_time at);

/* Frees what was removed and can no longer be seen by a worker. Returns whether something still
 * waits: call again soon (the node does so within 1 ms). */
bool cq_path_reclaim(struct cq_path *path);

/* What the control side may know of a keypair at any time; a consistent snapshot is not promised.
 */
struct cq_keypair_status {
    uint64_t sealed, opened; /* records, all lanes */
    uint64_t sealed_bytes;   /* plaintext */
    uint64_t failed_tags;
    bool exhausted;       /* its sending limits are used up */
    bool carried_data;    /* DATA in either direction since it began */
    cq_time first_opened; /* CQ_TIME_NEVER: nothing opened on it yet */
    cq_time last_opened;  /* CQ_TIME_NEVER: the same */
};
void cq_keypair_get_status(const struct cq_keypair *keypair, struct cq_keypair_status *out);

/* The same of a peer, over all its sessions so far. Bytes are those of outer datagrams' payloads,
 * as `wg show` counts. */
struct cq_path_peer_status {
    uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets;
    cq_time unanswered_since; /* first DATA, or CONTROL under keys that nothing was opened with yet
                                 (a confirmation), sent since a record last opened;
                                 CQ_TIME_NEVER: none */
    cq_time unreplied_since;  /* first DATA received since something was last sent; CQ_TIME_NEVER:
                                 none */
    cq_time last_received;    /* last record opened; CQ_TIME_NEVER: none yet */
    cq_time last_sent;        /* last record sealed; CQ_TIME_NEVER: none yet */
    unsigned num_staged;      /* packets waiting for a session */
};
void cq_path_peer_get_status(const struct cq_path_peer *peer, struct cq_path_peer_status *out);

/*
 * The two reports below come at most once until they are armed again, so that traffic does not
 * flood the control thread: CQ_PATH_UNANSWERED when DATA is sent while armed and nothing is
 * unanswered yet, CQ_PATH_UNREPLIED when DATA is received while armed and nothing is unreplied yet.
 * The engine then sets its timer, looks at the status when it fires, and either sets it again or
 * arms the report. Both start armed. Arming while the condition already holds reports at the next
 * record.
 */
void cq_path_peer_arm_unanswered(struct cq_path_peer *peer);
void cq_path_peer_arm_unreplied(struct cq_path_peer *peer);

/* Packets to the peer are at most so long (docs/protocol.md section 5, "Path MTU"); more than the
 * path's own MTU has no effect. At first they may be that long. */
void cq_path_peer_set_mtu(struct cq_path_peer *peer, uint16_t mtu);

/* Arms CQ_PATH_LARGE (again): it is reported at the next DATA record above CQ_RECORD_BASE_LEN. Not
 * armed at first. */
void cq_path_peer_arm_large(struct cq_path_peer *peer);

/* The MTU that the path was made with. */
uint16_t cq_path_mtu(const struct cq_path *path);

enum cq_path_event_type {
    CQ_PATH_NEED_SESSION, /* a packet for the peer was staged: it has no current keypair that may
                             send. At most one per peer and 100 ms */
    CQ_PATH_FIRST_RECORD, /* the first record opened under a keypair; route is its source, counter
                             its counter */
    CQ_PATH_ROTATE_DUE,   /* DATA sent or received at or after rotate_at (once per arming) */
    CQ_PATH_LIMIT, /* half of a record limit of the sending key, or of the failed-tag limit, is used
                      up (once); `exhausted` set and once more when it is wholly used up */
    CQ_PATH_UNANSWERED,
    CQ_PATH_UNREPLIED,
    CQ_PATH_MOVED, /* a record of the current keypair on lane 0, counter above all seen there, came
                      from another remote address than endpoint.route: at most one per batch and
                      source */
    CQ_PATH_LARGE, /* see cq_path_peer_arm_large */
    CQ_PATH_LANE0_QUIET, /* DATA was sent on another lane, and nothing on lane 0 for 1 s: at most
                            once in that time and session */
    CQ_PATH_PING,        /* control TLVs; `route` is where the record came from */
    CQ_PATH_PONG,
    CQ_PATH_CLOSE,
};

struct cq_path_event {
    enum cq_path_event_type type;
    uint32_t peer;      /* number */
    uint32_t local_idx; /* keypair that the event is about; 0 and has_keypair false where there is
                           none */
    bool has_keypair;
    bool padded;           /* PING: carries padding */
    bool exhausted;        /* LIMIT */
    uint8_t close_reason;  /* CLOSE */
    uint8_t token[8];      /* PING, PONG */
    struct cq_route route; /* FIRST_RECORD, MOVED, PING, PONG, CLOSE */
    uint64_t counter;      /* FIRST_RECORD, MOVED */
    uint32_t bytes;        /* FIRST_RECORD: length of the datagram; MOVED: of all that opened in the
                              batch; counter is that of its newest */
    cq_time when;
};

/* The next event that a worker reported, oldest first; false when there is none. Events of several
 * workers are not ordered among each other. A full queue makes the worker report again at the next
 * record; PING, PONG and CLOSE, of which a peer can send any number, are lost then (queue_full). */
bool cq_path_next_event(struct cq_path *path, struct cq_path_event *out);

#endif
