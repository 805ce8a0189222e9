/*
 * The state of a running node as plain data: what `cryprq show` prints, and its JSON form
 * ("version": 1), which is what goes over the control socket and what `show NAME json` prints.
 * Nothing in it is secret. Filled by the node's control thread; no thread safety of its own.
 */
#ifndef CQ_CONF_STATUS_H
#define CQ_CONF_STATUS_H

#include "base/addr.h"
#include "base/diagnosis.h"
#include "base/drop.h"
#include "base/err.h"
#include "base/offload.h"
#include "conf/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CQ_STATUS_VERSION = 1,
    CQ_STATUS_JSON_MAX = 64 * 1024 * 1024, /* bytes accepted by cq_node_status_from_json */
    CQ_STATUS_FLAG_MAX = 31,               /* characters of a flag */
    CQ_STATUS_MAX_FLAGS = 32,
    CQ_SESSION_ID_LEN = 8,
    CQ_STATUS_AEAD_MAX = 31,
    CQ_STATUS_DURATIONS = 16, /* bounds of the distribution of durations */
    CQ_STATUS_MAX_PROCESSES = 4,
};

struct cq_node_peer_status {
    char name[CQ_CONF_NAME_MAX + 1]; /* "": none */
    uint8_t id[CQ_PEER_ID_LEN];
    bool has_psk;
    bool key_known;                  /* the peer's public key is there */
    bool handshaking;                /* an own handshake is in flight */
    char endpoint[CQ_ADDR_TEXT_MAX]; /* in use, or configured; "": none known */
    struct cq_prefix *allowed_ips;   /* owned (malloc) */
    size_t num_allowed_ips;
    uint16_t path_mtu;             /* IP packets of that many bytes reach the peer's address */
    uint16_t persistent_keepalive; /* seconds; 0: off */
    uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets;
    int64_t latest_handshake;       /* seconds since the epoch; 0: none yet */
    uint64_t latest_handshake_secs; /* how long ago, by the clock that does not jump */
    uint64_t handshake_duration_us; /* of the newest completed one */
    bool latest_as_initiator;       /* our role in it */
    uint64_t initiated, responded;  /* completed handshakes, by our role */
    uint64_t rotations;             /* of those, replacing an older session */
    uint64_t failed;                /* attempts given up */
    bool has_session;               /* a current session exists; the next four are its */
    uint8_t suite;                  /* enum cq_suite */
    uint8_t session_id[CQ_SESSION_ID_LEN];
    uint64_t key_age_secs;
    uint64_t rotate_in_secs;   /* to its next planned rotation; 0: due at the next packet */
    unsigned num_sessions;     /* live ones */
    unsigned num_staged;       /* packets waiting for a session */
    enum cq_drop last_drop;    /* last handshake drop that could be told to be this peer's */
    enum cq_drop refused;      /* why the peer's handshakes are refused; NONE: they are not */
    uint64_t last_drop_secs;   /* how long ago */
    char *configured_endpoint; /* owned (malloc): HOST:PORT of the configuration; NULL: none */
    struct cq_attempt_facts attempt; /* our present or last handshake attempt; `began` is unused */
    uint64_t attempt_secs;           /* how long ago it began */
    uint64_t num_refused;            /* how many since we last answered one */
    uint64_t refused_secs;           /* how long ago the last one */
    uint64_t unanswered_secs; /* how long something of ours has waited for any record; 0: nothing */
};

/* How many handshakes took how long, by our role (enum cq_role): counts[r][i] those up to
 * upper_us[i] and longer than the bound before it, the last one those above all bounds. */
struct cq_status_durations {
    uint64_t upper_us[CQ_STATUS_DURATIONS];
    uint64_t counts[2][CQ_STATUS_DURATIONS + 1];
};

struct cq_status_process {
    char name[16]; /* "node", "metrics", "monitor" */
    uint64_t cpu_ms, resident_bytes;
};

struct cq_node_status {
    char interface[CQ_CONF_INTERFACE_MAX + 1];
    uint8_t id[CQ_PEER_ID_LEN]; /* our own */
    uint16_t listen_port;       /* as bound */
    uint32_t fwmark;            /* 0: off */
    uint16_t mtu;
    char metrics_address[CQ_ADDR_TEXT_MAX]; /* of the metrics server; "": none */
    uint8_t suites, preferred_suite;
    uint16_t rotate_secs;
    char aead[CQ_STATUS_AEAD_MAX + 1]; /* what seals and opens records; "": not told */
    uint64_t uptime_secs;
    uint64_t uptime_ms; /* the same, for those who compute rates */
    int64_t time_ms;    /* the moment of all this, since the epoch */
    unsigned num_workers;
    struct {
        uint64_t sealed, opened; /* records */
    } workers[CQ_CONF_MAX_WORKERS];
    char flags[CQ_STATUS_MAX_FLAGS]
              [CQ_STATUS_FLAG_MAX + 1]; /* offloads that are on, "ipv4", "ipv6" */
    size_t num_flags;
    bool has_offloads; /* older nodes do not tell the next two */
    enum cq_offload_state offloads[CQ_OFFLOAD_COUNT];
    uint64_t offload_fallbacks[CQ_OFFLOAD_COUNT]; /* at run time; UDP_GSO: destinations */
    unsigned num_pending;                         /* handshakes of others waiting to be finished */
    bool under_load;
    uint64_t cookies_sent, keys_sent, keys_erased;
    uint64_t drops[CQ_DROP_COUNT]; /* by enum cq_drop, all threads */
    struct cq_status_durations durations;
    struct cq_status_process processes[CQ_STATUS_MAX_PROCESSES];
    size_t num_processes;              /* 0 where they are not known: in the node's own answers */
    struct cq_node_peer_status *peers; /* owned (calloc) */
    size_t num_peers;
};

/* Frees what it holds and zeroes it; a zeroed status is allowed. */
void cq_node_status_free(struct cq_node_status *status);

/* Writes one line of JSON without its end (pretty: several lines, indented) to *out,
 * NUL-terminated, which the caller frees with free(). CQ_ERR_NOMEM. */
CQ_MUST_CHECK enum cq_err cq_node_status_to_json(const struct cq_node_status *status, bool pretty,
                                                 char **out, size_t *out_len);

/* The reverse. Members and drop names that this version does not know are ignored; CQ_ERR_INVALID
 * for another "version", a member that is missing or has a wrong type or range, or text that is not
 * JSON; CQ_ERR_NOMEM. *out is the caller's, zeroed on error. */
CQ_MUST_CHECK enum cq_err cq_node_status_from_json(struct cq_node_status *out, const char *text,
                                                   size_t len);

/* "aes-256-gcm", "chacha20-poly1305", "none" (for values of enum cq_suite). Static storage. */
const char *cq_conf_suite_name(unsigned suite);

#endif
