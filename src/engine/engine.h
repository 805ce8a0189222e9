/*
 * The control of one node: peers, handshakes, sessions and their rotation, addresses, timers. Pure:
 * events and the time go in, actions come out (engine/action.h); no system call, clock or
 * randomness of its own. One thread owns an engine and the control side of its path (path/path.h),
 * which the engine drives directly.
 *
 * How to drive it: after every call that takes `now`, take all actions with cq_engine_next_action
 * and carry them out; feed every event of cq_path_next_event to cq_engine_path_event; call
 * cq_engine_handle_expiry when cq_engine_next_expiry has come. `now` never decreases.
 */
#ifndef CQ_ENGINE_ENGINE_H
#define CQ_ENGINE_ENGINE_H

#include "base/counter.h"
#include "base/diagnosis.h"
#include "base/mem.h"
#include "engine/action.h"
#include "path/path.h"
#include "proto/identity.h"

struct cq_engine;

struct cq_engine_config {
    const struct cq_allocator *allocator; /* locked memory; outlives the engine */
    struct cq_random random;
    struct cq_path *path;               /* outlives the engine */
    const struct cq_identity *identity; /* outlives the engine */
    uint16_t rotate_secs;               /* 60 to 3600 */
    uint8_t suites;                     /* enum cq_suite bits offered and allowed */
    uint8_t preferred_suite;            /* chosen as responder where both sides allow it */
    bool yield_suite;                   /* an initiator that prefers ChaCha20-Poly1305 gets it */
    bool answer_keys;                   /* answer KEY_REQUEST */
    bool push_keys;                     /* send KEY_PUSH */
    uint32_t load_per_second;   /* INIT and KEY_REQUEST per second that count as load; 0: 500 */
    uint32_t source_per_second; /* per proven source; 0: 20 */
    uint32_t source_burst;      /* 0: 40 */
};

struct cq_peer_config {
    uint8_t id[32];
    uint8_t psk[32];                 /* all zero: none */
    const struct cq_public_key *key; /* NULL: not known yet; copied */
    bool replied_before;     /* from the cache: the peer has replied once, so it knows our key */
    struct cq_addr endpoint; /* family NONE: none */
    uint16_t persistent_keepalive;       /* seconds; 0: off */
    const struct cq_prefix *allowed_ips; /* copied */
    size_t num_allowed_ips;
};

/* CQ_ERR_NOMEM, CQ_ERR_RANGE, CQ_ERR_RANDOM. The caller owns *out. */
CQ_MUST_CHECK enum cq_err cq_engine_new(struct cq_engine **out,
                                        const struct cq_engine_config *config, cq_time now);
/* Erases all keys and frees; NULL is allowed. */
void cq_engine_free(struct cq_engine *engine);

/*
 * Adds a peer and gives its number (small, reused after removal). CQ_ERR_EXISTS (ID already there),
 * CQ_ERR_INVALID (our own ID, or a key that does not hash to the ID or fails the modulus check),
 * CQ_ERR_NOMEM; nothing is changed then. A persistent keepalive starts a handshake at once where an
 * endpoint is known.
 */
CQ_MUST_CHECK enum cq_err cq_engine_add_peer(struct cq_engine *engine,
                                             const struct cq_peer_config *config, cq_time now,
                                             uint32_t *out_number);
/* Erases the peer's keys and stops its traffic at once; CLOSE (removed) goes out as the farewell of
 * each of its sessions (cq_path_next_farewell). CQ_ERR_NOTFOUND. */
CQ_MUST_CHECK enum cq_err cq_engine_remove_peer(struct cq_engine *engine, uint32_t number,
                                                cq_time now);

/* ---- changes of a running engine (engine/change.c) ---- */

/* What cq_engine_update_peer is to take from the configuration. */
enum {
    CQ_CHANGE_PSK = 1,      /* another one ends all sessions and handshakes; the peer gets CLOSE */
    CQ_CHANGE_ENDPOINT = 2, /* used at once; family NONE: the address in use stays */
    CQ_CHANGE_KEEPALIVE = 4,
    CQ_CHANGE_KEY = 8, /* key, where none is known yet */
};

/* Changes a peer; id and allowed IPs of the configuration are not looked at. CQ_ERR_NOTFOUND;
 * CQ_ERR_INVALID (a key that is not the peer's), CQ_ERR_NOMEM (for the key), and nothing is changed
 * then. */
CQ_MUST_CHECK enum cq_err cq_engine_update_peer(struct cq_engine *engine, uint32_t number,
                                                unsigned what, const struct cq_peer_config *config,
                                                cq_time now);

/* Whether the peer has this pre-shared key (all zero: none); in constant time. */
bool cq_engine_psk_is(const struct cq_engine *engine, uint32_t number, const uint8_t psk[32]);

/* Replaces the allowed IPs of several peers as one change; a prefix that moves from one to another
 * always has an owner. CQ_ERR_NOTFOUND, CQ_ERR_NOMEM: nothing is changed. */
struct cq_peer_prefixes {
    uint32_t number;
    const struct cq_prefix *allowed_ips;
    size_t num_allowed_ips;
};
CQ_MUST_CHECK enum cq_err cq_engine_set_prefixes(struct cq_engine *engine,
                                                 const struct cq_peer_prefixes *changes,
                                                 size_t num_changes);

/* Takes suites, rotate_secs, answer_keys and push_keys over for handshakes from now on.
 * CQ_ERR_RANGE changes nothing. */
CQ_MUST_CHECK enum cq_err cq_engine_set_options(struct cq_engine *engine,
                                                const struct cq_engine_config *options);

/*
 * Another identity of our own, which outlives the engine; the old one is not used any more. What is
 * under way to a session ends, sessions stay until their time is over: a handshake with each peer
 * that has one follows soon, spread over some seconds. CQ_ERR_CRYPTO, CQ_ERR_INVALID (a peer has
 * this ID): nothing is changed.
 */
CQ_MUST_CHECK enum cq_err cq_engine_set_identity(struct cq_engine *engine,
                                                 const struct cq_identity *identity, cq_time now);

/* CQ_ERR_NOTFOUND. */
CQ_MUST_CHECK enum cq_err cq_engine_find_peer(const struct cq_engine *engine, const uint8_t id[32],
                                              uint32_t *out_number);

/* A configured or newly resolved address. It is used for the next handshake; a running session
 * keeps the address learned from the peer. */
void cq_engine_set_endpoint(struct cq_engine *engine, uint32_t number,
                            const struct cq_addr *endpoint, cq_time now);

/*
 * An address at which the peer proved itself before a restart: used for the next handshake, where
 * no session, handshake or learned address is there yet. The configured one stays the alternative
 * (the second message goes there).
 */
void cq_engine_recall_endpoint(struct cq_engine *engine, uint32_t number,
                               const struct cq_addr *endpoint, cq_time now);

/* A datagram whose type is not DATA or CONTROL (anything may be passed; what does not fit is
 * counted and dropped). route: where it came from and which of our addresses it reached. */
void cq_engine_receive(struct cq_engine *engine, const struct cq_route *route, const uint8_t *data,
                       size_t len, cq_time now);

/* The queue of handshake datagrams towards the engine overflowed: cookies are demanded for a while.
 */
void cq_engine_note_overload(struct cq_engine *engine, cq_time now);

/* A handshake datagram for the peer could not be sent. For its status alone. */
void cq_engine_note_send_error(struct cq_engine *engine, uint32_t number, enum cq_send_fault fault,
                               cq_time now);

/* An event of cq_path_next_event. */
void cq_engine_path_event(struct cq_engine *engine, const struct cq_path_event *event, cq_time now);

/* Starts a handshake with the peer now (`cryprq rotate`), unless one is in flight, which then
 * counts as it. Progress is seen in the status (`completed` grows, `handshaking` ends).
 * CQ_ERR_NOTFOUND, CQ_ERR_STATE (no address known). */
CQ_MUST_CHECK enum cq_err cq_engine_rotate(struct cq_engine *engine, uint32_t number, cq_time now);

/* The next time at which handle_expiry has work; CQ_TIME_NEVER when it has none. */
cq_time cq_engine_next_expiry(const struct cq_engine *engine);
void cq_engine_handle_expiry(struct cq_engine *engine, cq_time now);

/* Ends all handshakes and sends CLOSE (shutdown) on every session. With many peers it takes several
 * rounds: the caller carries actions out and calls cq_engine_handle_expiry until
 * cq_engine_next_expiry is in the future, then frees. */
void cq_engine_shutdown(struct cq_engine *engine, cq_time now);

/* Wipes all sessions, handshakes and cookie secrets (machine snapshot or clone). */
void cq_engine_wipe(struct cq_engine *engine, cq_time now);

/* The next action, oldest first; false when there is none. */
bool cq_engine_next_action(struct cq_engine *engine, struct cq_action *out);

/* Counters of this engine's thread (drops of handshake datagrams). Readable from any thread. */
const struct cq_counters *cq_engine_counters(const struct cq_engine *engine);

struct cq_peer_status {
    uint8_t id[32];
    bool key_known;
    bool has_psk;
    bool handshaking;        /* an own handshake is in flight */
    struct cq_addr endpoint; /* in use, or configured; family NONE: none */
    uint16_t path_mtu;    /* IP packets of that many bytes reach it; until proven wrong, the largest
                             that    the interface's MTU makes */
    bool endpoint_proven; /* a record of the peer came from it, and it is not on trial */
    uint16_t persistent_keepalive;
    uint64_t completed;            /* handshakes, both roles */
    uint64_t initiated, responded; /* of those, by role */
    uint64_t rotations;            /* of those, replacing an older session */
    uint64_t failed;               /* attempts given up */
    cq_time last_handshake;        /* completion of the newest session; CQ_TIME_NEVER: none yet */
    cq_time last_duration;         /* of the newest completed handshake, ns */
    enum cq_role last_role;
    bool has_session; /* a current keypair exists; the following are its */
    uint8_t suite;
    uint8_t sid[8];
    cq_time began;     /* its age counts from here */
    cq_time rotate_at; /* its next planned rotation at this side */
    cq_time send_until, recv_until;
    unsigned num_sessions;           /* live ones, at most 4 */
    enum cq_drop last_drop;          /* last handshake drop that could be attributed to this peer */
    cq_time last_drop_at;            /* valid where there is one */
    struct cq_attempt_facts attempt; /* our present or last one */
    struct cq_refusals refused;      /* the peer's handshakes, since we last answered one */
    struct cq_path_peer_status path;
};
/* CQ_ERR_NOTFOUND. */
CQ_MUST_CHECK enum cq_err cq_engine_peer_status(const struct cq_engine *engine, uint32_t number,
                                                struct cq_peer_status *out);
/* Numbers run below this; some may be unused. */
uint32_t cq_engine_peer_limit(const struct cq_engine *engine);

struct cq_engine_status {
    unsigned num_peers;
    unsigned num_sessions;
    unsigned num_pending; /* responder handshakes waiting for OFFER */
    bool under_load;
    uint64_t cookies_sent, keys_sent, keys_erased;
};
void cq_engine_get_status(const struct cq_engine *engine, struct cq_engine_status *out,
                          cq_time now);

#endif
