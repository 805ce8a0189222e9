/*
 * The engine's own structures and the functions that its files share. Nothing outside src/engine
 * includes this.
 */
#ifndef CQ_ENGINE_INTERNAL_H
#define CQ_ENGINE_INTERNAL_H

#include "base/diagnosis.h"
#include "engine/engine.h"
#include "engine/map.h"
#include "proto/handshake.h"
#include "proto/mac.h"
#include "proto/timers.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    CQ_MAX_PENDING = 4,   /* responder handshakes per peer */
    CQ_MAX_CONFIRMED = 4, /* confirmed sessions per peer */
    CQ_MAX_SESSIONS = 12, /* with unconfirmed ones, which outlive their slots */
    CQ_NUM_SEEN_MACS = 8, /* accepted INITs remembered per peer */
    CQ_NUM_ACTIONS = 256,
    CQ_ACTIONS_PER_TICK = 32, /* no single event yields more */
    CQ_NUM_SOURCES = 1024,    /* token buckets of proven sources */
    CQ_LOAD_SLICES = 10,      /* of 100 ms */
};

/* One handshake of ours with the bytes sent last: INIT, and OFFER once REPLY came. */
struct cq_own_handshake {
    bool used;
    bool offered; /* OFFER went out */
    bool has_cookie;
    bool cookie_left_out; /* INITs number 3, 6, 9, ... */
    unsigned number;      /* of the INIT within its attempt */
    struct cq_initiator hs;
    uint8_t cookie[CQ_COOKIE_LEN];
    uint8_t msg[CQ_HANDSHAKE_MSG_MAX]; /* INIT, later OFFER */
    uint16_t len;
    cq_time offered_at; /* first transmission of OFFER */
    struct cq_route route;
};

enum cq_stage { CQ_STAGE_KEY, CQ_STAGE_INIT, CQ_STAGE_OFFER };

/* Our attempt to get a session with a peer, from the first KEY_REQUEST or INIT on. */
struct cq_attempt {
    enum cq_stage stage;
    cq_time began, gives_up;
    cq_time next_send, backoff;
    cq_time stage_ends;
    unsigned num_inits;
    bool sent_any;
    bool cookie_answered; /* a COOKIE was answered at once in this attempt */
    uint32_t request_id;  /* of KEY_REQUEST */
    uint8_t request_mac1[CQ_MAC_LEN];
    bool request_sent;
    struct cq_mac_keys macs; /* of the peer */
    struct cq_own_handshake own[2];
    unsigned newest; /* index into own */
};

/* A handshake of the peer's that waits for its OFFER or for its confirmation. */
struct cq_pending {
    cq_time created;
    uint8_t init_hash[32]; /* of INIT before mac2 */
    uint8_t mac1[CQ_MAC_LEN];
    struct cq_responder hs; /* wiped once OFFER verified */
    uint32_t local_idx;
    bool offered; /* OFFER verified: accept is valid */
    uint8_t offer_hash[32];
    cq_time last_answer;
    unsigned num_answers;
    uint8_t reply[CQ_REPLY_LEN];
    uint8_t accept[CQ_ACCEPT_LEN];
};

struct cq_session {
    struct cq_keypair *keypair;
    uint32_t local_idx;
    uint64_t order; /* of completion; later is larger */
    uint8_t sid[CQ_SID_LEN];
    uint8_t suite;
    enum cq_role role;
    bool confirmed; /* may be sent on */
    bool opened;    /* a record opened under it */
    cq_time began, completed;
    cq_time peer_done; /* the peer had completed it by then; CQ_TIME_NEVER: not known to have */
    cq_time send_until, recv_until, rotate_at;
    cq_time unconfirmed_until;                            /* R, before the confirmation */
    cq_time confirm_next, confirm_backoff, confirm_until; /* I: KEEPALIVE until a record opens */
    cq_time duration;
};

/* docs/protocol.md section 6, "Address" */
struct cq_address {
    struct cq_route current;  /* where we send; family NONE: unknown */
    struct cq_route previous; /* last proven, while validating */
    bool validating;
    bool learned;       /* a record of the peer came from `current` (or from `previous`) */
    bool recalled;      /* `current` is from before a restart; nothing came from it yet */
    bool unpublished;   /* the path could not be told, for lack of memory: tried again */
    uint32_t local_idx; /* session on which PINGs are sent */
    uint8_t token_new[8], token_previous[8];
    cq_time began; /* of the validation */
    cq_time next_ping, backoff;
    struct cq_addr barred; /* not adopted before barred_until */
    cq_time barred_until;
};

enum cq_pmtu_state {
    CQ_PMTU_QUIET,
    CQ_PMTU_CHECK,
    CQ_PMTU_FALLEN,
    CQ_PMTU_SEARCH,
    CQ_PMTU_REST,
};

/* Sizes are UDP payloads. */
struct cq_pmtu {
    enum cq_pmtu_state state;
    uint16_t size;    /* in use */
    uint16_t told;    /* in the log; 0: nothing yet, so the largest */
    uint16_t probe;   /* of the PING that is unanswered: CHECK, FALLEN, SEARCH */
    uint16_t too_big; /* what does not pass: SEARCH; one more than what may not: FALLEN */
    uint16_t loss;    /* share of PINGs that chance takes, in 1/65535 */
    unsigned tries;   /* left, the present one included */
    unsigned num_tries;
    bool alarm; /* the size that was lost is being tried once more */
    uint8_t token[8];
    cq_time sent_at, fallen_at;
    cq_time next;
    cq_time raise_at; /* when to look whether more passes; CQ_TIME_NEVER: the largest does */
};

struct cq_peer {
    bool used;
    uint32_t number;
    uint8_t id[CQ_PEER_ID_LEN];
    uint8_t psk[CQ_PSK_LEN];
    bool has_psk;
    bool has_replied;
    struct cq_public_key *key; /* NULL: unknown */
    struct cq_path_peer *path;
    struct cq_addr configured;
    uint16_t persistent_keepalive;

    struct cq_attempt *attempt; /* NULL: none in flight */
    cq_time start_at;           /* an attempt that holds back until then; CQ_TIME_NEVER: none */
    uint64_t start_order;       /* newest session's order when it was put off */
    bool held_back;             /* has held back once for the present need */
    bool need_traffic;          /* packets wait for a session */
    cq_time last_init;          /* when an INIT was last sent; for the gap */
    bool sent_init;
    uint8_t cookie[CQ_COOKIE_LEN];
    cq_time cookie_until; /* CQ_TIME_NEVER: none held */
    struct cq_addr cookie_remote;
    struct cq_ip cookie_local;

    struct cq_pending *pending[CQ_MAX_PENDING];
    struct {
        uint8_t mac1[CQ_MAC_LEN];
        cq_time at; /* CQ_TIME_NEVER: unused */
    } seen[CQ_NUM_SEEN_MACS];
    unsigned next_seen;
    cq_time accepted_at; /* when an INIT of the peer last took a slot; CQ_TIME_NEVER: never */

    struct cq_session *sessions[CQ_MAX_SESSIONS]; /* in no order; NULL: free */
    struct cq_session *current;                   /* newest confirmed, NULL: none */
    struct cq_address address;
    struct cq_pmtu pmtu;

    cq_time dead_check, dead_jitter;
    cq_time passive_check;
    cq_time persistent_at;
    cq_time closed_until; /* traffic starts no handshake before */
    cq_time pong_window;  /* PONGs to unpadded PINGs in the second that began then */
    unsigned num_pongs;
    bool closing; /* CLOSE is still to be sent at shutdown */

    uint64_t initiated, responded, rotations, failed;
    cq_time last_handshake, last_duration;
    enum cq_role last_role;
    enum cq_drop last_drop;
    cq_time last_drop_at;
    struct cq_attempt_facts facts; /* of the present or last attempt */
    struct cq_refusals refused;    /* handshakes of the peer's */

    cq_time deadline; /* in the timer heap */
    uint32_t heap_at; /* position there + 1; 0: not in it */
};

struct cq_source {
    uint8_t key[17]; /* family and address (IPv6: the /64) */
    uint32_t tokens_milli;
    cq_time at;
};

struct cq_engine {
    struct cq_engine_config config;
    struct cq_mac_keys macs; /* own */
    struct cq_counters counters;

    struct cq_peer **peers; /* by number; NULL: free */
    uint32_t num_numbers;   /* numbers below this were used */
    uint32_t max_numbers;   /* allocated */
    uint32_t next_number;   /* where the search for a free one begins */
    unsigned num_peers, num_sessions, num_pending;
    struct cq_map by_id;    /* first 4 bytes of ID -> number */
    struct cq_map by_index; /* session, handshake and request indices -> number */
    struct cq_map by_init;  /* first 4 bytes of a pending INIT's hash -> number */

    struct cq_peer **heap;
    uint32_t heap_len;

    uint8_t cookie_secret[2][32]; /* newest first */
    cq_time cookie_made[2];       /* CQ_TIME_NEVER: none */
    uint32_t load[CQ_LOAD_SLICES];
    int64_t load_slice; /* number of the newest slice */
    cq_time loaded_until;
    struct cq_source *sources;
    uint32_t source_seed;

    uint64_t order; /* of the last completed session */
    uint64_t cookies_sent, keys_sent, keys_erased;

    cq_time now;                      /* of the newest datagram, event or expiry */
    const struct cq_addr *heard_from; /* source of the datagram being received; NULL: none is */

    struct cq_action *actions; /* ring */
    unsigned first_action, num_actions;
};

/* ---- engine.c ---- */

void cq_engine_drop(struct cq_engine *e, struct cq_peer *peer, enum cq_drop reason);
/* len random bytes; false when the generator fails. */
bool cq_engine_random(struct cq_engine *e, void *out, size_t len);
/* A duration drawn evenly from [0, range); 0 when the generator fails. */
cq_time cq_engine_jitter(struct cq_engine *e, cq_time range);
struct cq_peer *cq_engine_peer(const struct cq_engine *e, uint32_t number);
/* The configured peer with this ID, or NULL. */
struct cq_peer *cq_engine_by_id(const struct cq_engine *e, const uint8_t id[CQ_PEER_ID_LEN]);
/* The peer one of whose handshakes, sessions or requests has this index of ours, or NULL. */
struct cq_peer *cq_engine_by_index(const struct cq_engine *e, uint32_t idx);
/* A fresh random index, registered for the peer. CQ_ERR_RANDOM, CQ_ERR_NOMEM. */
CQ_MUST_CHECK enum cq_err cq_engine_take_index(struct cq_engine *e, struct cq_peer *peer,
                                               uint32_t *out_idx);
/* Unregisters the index unless a session, handshake or slot of the peer still has it. */
void cq_engine_release_index(struct cq_engine *e, struct cq_peer *peer, uint32_t idx);
void cq_engine_params(const struct cq_engine *e, const struct cq_peer *peer,
                      struct cq_handshake_params *out);
bool cq_engine_config_is_valid(const struct cq_engine_config *config);
/* Erases the peer's keys and takes it out of everything, also one that is only half made. */
void cq_peer_free(struct cq_engine *e, struct cq_peer *peer);
/* Keeps a verified public key; the peer had none. CQ_ERR_NOMEM. */
CQ_MUST_CHECK enum cq_err cq_peer_learn_key(struct cq_engine *e, struct cq_peer *peer,
                                            const struct cq_public_key *key);

/* ---- action.c ---- */

/* A zeroed action at the end of the ring. When the ring is full (which callers avoid) a scratch one
 * that goes nowhere. */
struct cq_action *cq_action_push(struct cq_engine *e, enum cq_action_type type,
                                 const struct cq_peer *peer);
void cq_action_send(struct cq_engine *e, const struct cq_peer *peer, const struct cq_route *route,
                    const uint8_t *msg, size_t len);
void cq_action_keepalive(struct cq_engine *e, const struct cq_peer *peer,
                         const struct cq_session *session, const struct cq_route *route);
struct cq_event_record *cq_action_log(struct cq_engine *e, const struct cq_peer *peer,
                                      enum cq_event event);
unsigned cq_action_space(const struct cq_engine *e);

/* ---- timer.c ---- */

/* Works out the peer's next deadline and moves it in the heap. After every change of a peer. */
void cq_timer_update(struct cq_engine *e, struct cq_peer *peer);
void cq_timer_remove(struct cq_engine *e, struct cq_peer *peer);

/* ---- attempt.c: handshakes that we start ---- */

enum cq_cause {
    CQ_CAUSE_TRAFFIC,
    CQ_CAUSE_ROTATION,
    CQ_CAUSE_DEAD,
    CQ_CAUSE_PERSISTENT,
    CQ_CAUSE_USER
};

/* Starts an attempt unless one is in flight, no address is known, or a rule puts it off. Returns
 * whether one was started just now. */
bool cq_attempt_want(struct cq_engine *e, struct cq_peer *peer, enum cq_cause cause, cq_time now);
void cq_attempt_end(struct cq_engine *e, struct cq_peer *peer);
cq_time cq_attempt_deadline(const struct cq_peer *peer);
void cq_attempt_tick(struct cq_engine *e, struct cq_peer *peer, cq_time now);
void cq_attempt_on_reply(struct cq_engine *e, const uint8_t *msg, cq_time now);
void cq_attempt_on_accept(struct cq_engine *e, const uint8_t *msg, cq_time now);
void cq_attempt_on_cookie(struct cq_engine *e, const struct cq_route *route, const uint8_t *msg,
                          cq_time now);
void cq_attempt_on_key_response(struct cq_engine *e, const uint8_t *msg, cq_time now);
/* The peer's key was learned, in whatever way: an attempt that waits for it goes on to INIT. */
void cq_attempt_on_key_known(struct cq_engine *e, struct cq_peer *peer, cq_time now);

/* ---- admission.c: handshakes that others start ---- */

void cq_admit_init(struct cq_engine *e, const struct cq_route *route, const uint8_t *msg,
                   cq_time now);
void cq_admit_offer(struct cq_engine *e, const struct cq_route *route, const uint8_t *msg,
                    cq_time now);
void cq_admit_key_request(struct cq_engine *e, const struct cq_route *route, const uint8_t *msg,
                          cq_time now);
void cq_admit_key_push(struct cq_engine *e, const uint8_t *msg, cq_time now);
void cq_pending_free(struct cq_engine *e, struct cq_peer *peer, unsigned slot);
/* Frees the slot whose handshake has this index of ours, if it is still there. */
void cq_pending_free_index(struct cq_engine *e, struct cq_peer *peer, uint32_t local_idx);
cq_time cq_pending_deadline(const struct cq_peer *peer);
void cq_pending_tick(struct cq_engine *e, struct cq_peer *peer, cq_time now);

/* ---- defence.c: load, cookies, sources ---- */

/* Counts an INIT or KEY_REQUEST with a valid mac1. */
void cq_load_note(struct cq_engine *e, cq_time now);
bool cq_load_is_high(const struct cq_engine *e, cq_time now);
/* Whether mac2 was made with a cookie of ours for this source; the cookie goes to out. */
bool cq_cookie_check(struct cq_engine *e, const struct cq_addr *source, const uint8_t *msg,
                     size_t len, uint8_t out_cookie[CQ_COOKIE_LEN], cq_time now);
void cq_cookie_answer(struct cq_engine *e, const struct cq_route *route, const uint8_t *msg,
                      size_t len, cq_time now);
/* Takes a token of a source that proved itself; false: it has none left. */
bool cq_source_take(struct cq_engine *e, const struct cq_addr *source, cq_time now);

/* ---- session.c ---- */

struct cq_session *cq_session_find(const struct cq_peer *peer, uint32_t local_idx);
unsigned cq_session_count(const struct cq_peer *peer);
/* Makes the session of finished keys; NULL when it cannot be had (no memory, too many). began: see
 * "Age". */
struct cq_session *cq_session_add(struct cq_engine *e, struct cq_peer *peer, enum cq_role role,
                                  const struct cq_session_keys *keys, cq_time began, cq_time now);
/* Makes a session usable for sending; the newest confirmed one becomes current. */
void cq_session_confirm(struct cq_engine *e, struct cq_peer *peer, struct cq_session *s,
                        cq_time now);
void cq_session_erase(struct cq_engine *e, struct cq_peer *peer, struct cq_session *s);
/* The same, with `entries` as its last record. */
void cq_session_close(struct cq_engine *e, struct cq_peer *peer, struct cq_session *s,
                      const uint8_t *entries, size_t len, cq_time now);
cq_time cq_session_deadline(const struct cq_peer *peer);
void cq_session_tick(struct cq_engine *e, struct cq_peer *peer, cq_time now);
void cq_session_on_first_record(struct cq_engine *e, struct cq_peer *peer, struct cq_session *s,
                                const struct cq_path_event *ev, cq_time now);

/* ---- liveness.c: keepalives, dead peers, PONG ---- */

cq_time cq_liveness_deadline(const struct cq_peer *peer);
void cq_liveness_tick(struct cq_engine *e, struct cq_peer *peer, cq_time now);
void cq_liveness_on_ping(struct cq_engine *e, struct cq_peer *peer, const struct cq_path_event *ev,
                         cq_time now);

/* ---- address.c ---- */

/* Sets the address without validation (first one, or one that answered our handshake). */
void cq_address_set(struct cq_engine *e, struct cq_peer *peer, const struct cq_route *route);
/* An address from before a restart, unless one is learned already. */
void cq_address_recall(struct cq_engine *e, struct cq_peer *peer, const struct cq_addr *addr);
/* A newer record on lane 0 of the current session came from this address. */
void cq_address_seen(struct cq_engine *e, struct cq_peer *peer, const struct cq_path_event *ev,
                     cq_time now);
void cq_address_on_pong(struct cq_engine *e, struct cq_peer *peer, const struct cq_path_event *ev,
                        cq_time now);
cq_time cq_address_deadline(const struct cq_peer *peer);
void cq_address_tick(struct cq_engine *e, struct cq_peer *peer, cq_time now);

/* ---- pmtu.c ---- */

void cq_pmtu_init(struct cq_engine *e, struct cq_peer *peer);
/* IP packets of that many bytes reach the peer, as far as we know. */
unsigned cq_pmtu_of_path(const struct cq_peer *peer);
void cq_pmtu_on_large(struct cq_engine *e, struct cq_peer *peer, cq_time now);
void cq_pmtu_on_pong(struct cq_engine *e, struct cq_peer *peer, const struct cq_path_event *ev,
                     cq_time now);
/* The peer is at another address now. */
void cq_pmtu_on_new_path(struct cq_engine *e, struct cq_peer *peer);
cq_time cq_pmtu_deadline(const struct cq_peer *peer);
void cq_pmtu_tick(struct cq_engine *e, struct cq_peer *peer, cq_time now);

#endif
