/*
 * The event vocabulary of the whole program: what can be told in a log, to `cryprq watch` and to
 * the journal.
 * docs/events.md says the same for people; tests/cli/test_vocabulary.py holds table, document and
 * the places that log to each other. A new event or field goes into all three.
 */
#ifndef CQ_BASE_EVENT_H
#define CQ_BASE_EVENT_H

#include "base/time.h"

#include <stdint.h>

enum cq_level { CQ_LOG_ERROR, CQ_LOG_WARN, CQ_LOG_INFO, CQ_LOG_DEBUG };

/* X(symbol, name, level, fields, text). Every event carries `interface` first; those of a peer
 * `peer` and, where it has one, `name`. No field is called time, level or event. */
#define CQ_EVENT_LIST(X)                                                                           \
    /* of the engine (engine/action.h) */                                                          \
    X(HANDSHAKE_STARTED, "handshake_started", DEBUG, "interface peer name",                        \
      "the first message of an own handshake went out")                                            \
    X(HANDSHAKE_COMPLETE, "handshake_complete", INFO,                                              \
      "interface peer name role duration_ms suite session", "first session with a peer")           \
    X(KEY_ROTATION, "key_rotation", INFO, "interface peer name role duration_ms suite session",    \
      "a new session replaced an older one")                                                       \
    X(HANDSHAKE_FAILED, "handshake_failed", WARN, "interface peer name reason drop",               \
      "no session within 90 s")                                                                    \
    X(HANDSHAKE_REFUSED, "handshake_refused", WARN, "interface peer name reason drop",             \
      "the third handshake of the peer in a row was refused; told again after one that was not")   \
    X(SESSION_EXPIRED, "session_expired", INFO, "interface peer name",                             \
      "the last session of a peer was erased by age")                                              \
    X(SESSION_CLOSED, "session_closed", INFO, "interface peer name reason session",                \
      "the peer took leave")                                                                       \
    X(KEY_LEARNED, "key_learned", INFO, "interface peer name",                                     \
      "a peer's public key arrived and fits its ID")                                               \
    X(ENDPOINT_CHANGED, "endpoint_changed", INFO, "interface peer name endpoint",                  \
      "the peer is at another address now")                                                        \
    X(ENDPOINT_REVERTED, "endpoint_reverted", WARN, "interface peer name endpoint",                \
      "a new address did not prove itself; the old one is in use again")                           \
    X(PATH_MTU, "path_mtu", INFO, "interface peer name path_mtu",                                  \
      "the largest packet that reaches the peer was found")                                        \
    X(PATH_TOO_SMALL, "path_too_small", WARN, "interface peer name path_mtu",                      \
      "the path does not take what IPv6 inside the tunnel needs")                                  \
    X(PEER_UNREACHABLE, "peer_unreachable", WARN, "interface peer name",                           \
      "nothing came for 15 s although something was sent; a handshake begins")                     \
    X(KEYS_ERASED, "keys_erased", DEBUG, "interface peer name session",                            \
      "the keys of a session were erased")                                                         \
    /* of the processes */                                                                         \
    X(READY, "ready", INFO, "interface id listen_port mtu fwmark",                                 \
      "the interface is up, hooks have run")                                                       \
    X(STOPPING, "stopping", INFO, "interface", "the node was asked to end, or has ended")          \
    X(CONFIG_CHANGED, "config_changed", INFO, "interface source added removed changed",            \
      "the node runs with another configuration")                                                  \
    X(CONFIG_REFUSED, "config_refused", WARN, "interface reason",                                  \
      "a change of the configuration was refused; nothing is changed")                             \
    X(NODE_STARTED, "node_started", DEBUG, "interface process",                                    \
      "the unprivileged process is confined and serves")                                           \
    X(NODE_DIED, "node_died", ERROR, "interface signal",                                           \
      "a signal ended the unprivileged process")                                                   \
    X(NODE_ENDED, "node_ended", ERROR, "interface status",                                         \
      "the unprivileged process ended by itself")                                                  \
    X(START_FAILED, "start_failed", ERROR, "interface reason",                                     \
      "the unprivileged process could not start, nor tell the monitor")                            \
    X(KEEPER_DIED, "keeper_died", WARN, "interface started_again",                                 \
      "the keeper ended; another one was started (1) or could not be (0)")                         \
    X(MONITOR_DIED, "monitor_died", WARN, "interface",                                             \
      "the monitor was killed; its keeper puts everything back")                                   \
    X(MONITOR_BUSY, "monitor_busy", WARN, "interface message reason",                              \
      "the monitor is behind; it did not get a message of the node")                               \
    X(COMMAND_REFUSED, "command_refused", ERROR, "interface action reason",                        \
      "the packet worker refused an action of the engine")                                         \
    X(PUT_BACK, "put_back", WARN, "interface failures after",                                      \
      "what a killed run left was put back, but for so many failures")                             \
    X(UNDO_FAILED, "undo_failed", ERROR, "interface rule file reason",                             \
      "one step could not be taken back")                                                          \
    X(HOOK_FAILED, "hook_failed", WARN, "interface hook command status signal reason",             \
      "a hook command failed")                                                                     \
    X(RESOLVE_FAILED, "resolve_failed", WARN, "interface peer name host reason again_in_s",        \
      "a host name has no address")                                                                \
    X(CACHE_FAILED, "cache_failed", WARN, "interface directory reason",                            \
      "the key cache could not be written")                                                        \
    X(CACHE_DAMAGED, "cache_damaged", WARN, "interface peer name reason",                          \
      "a file of the key cache could not be read")                                                 \
    X(CACHED_KEY_WRONG, "cached_key_wrong", WARN, "interface peer name",                           \
      "a key in the cache does not fit its ID; it is asked for again")                             \
    X(MACHINE_CLONED, "machine_cloned", WARN, "interface",                                         \
      "the kernel announced a snapshot or clone; all sessions were wiped and begin anew")          \
    X(NO_GUARD, "no_guard", WARN, "interface reason",                                              \
      "all traffic goes through the tunnel, but the kernel cannot guard its addresses")            \
    X(NO_OFFLOAD, "no_offload", INFO, "interface offload",                                         \
      "the kernel does not have an offload that would be used")                                    \
    X(NO_STEERING, "no_steering", INFO, "interface reason",                                         \
      "small packets wait behind bulk ones; several workers may reorder a flow once")              \
    X(OFFLOAD_GIVEN_UP, "offload_given_up", WARN, "interface offload endpoint reason",             \
      "the kernel refused an offload that it has; the same packets went without it")               \
    X(NO_METRICS, "no_metrics", WARN, "interface reason",                                          \
      "there is no metrics server: no port is free")                                               \
    X(METRICS_STARTED, "metrics_started", DEBUG, "interface",                                      \
      "the metrics server is confined and serves")                                                 \
    X(METRICS_FAILED, "metrics_failed", ERROR, "interface reason",                                 \
      "the metrics server could not start")                                                        \
    X(METRICS_DIED, "metrics_died", WARN, "interface signal status again_in_s",                    \
      "the metrics server ended; another one is started in so many seconds")                       \
    /* of the log itself */                                                                        \
    X(LOG_SUPPRESSED, "log_suppressed", WARN, "interface peer name count of",                      \
      "so many events of one kind (and peer) came too fast and were left out")                     \
    X(LOG_LOST, "log_lost", WARN, "interface count",                                               \
      "so many lines were lost since nobody took them from the log's descriptor")                  \
    X(EVENTS_MISSED, "events_missed", WARN, "interface count",                                     \
      "told to a slow `cryprq watch` alone: so many events did not fit")

enum cq_event {
#define X(symbol, name, level, fields, text) CQ_EVENT_##symbol,
    /* clang-format off */
    CQ_EVENT_LIST(X)
#undef X
    CQ_EVENT_COUNT
    /* clang-format on */
};

/* "handshake_complete" and so on; "unknown" for no event. Static storage. */
const char *cq_event_name(enum cq_event event);
enum cq_level cq_event_level(enum cq_event event);
/* Its fields, separated by blanks, and what it means. */
const char *cq_event_fields(enum cq_event event);
const char *cq_event_text(enum cq_event event);

/* "error", "warn", "info", "debug". */
const char *cq_level_name(enum cq_level level);

/* One value of an event. A list of them ends with one whose name is NULL. */
struct cq_field {
    const char *name;
    enum cq_field_kind { CQ_FIELD_TEXT, CQ_FIELD_INT, CQ_FIELD_MS } kind;
    union {
        const char *text; /* NULL: the field is left out */
        int64_t number;
        cq_time duration; /* written in milliseconds with two decimals */
    };
};

static inline struct cq_field cq_field_text(const char *name, const char *text)
{
    return (struct cq_field){.name = name, .kind = CQ_FIELD_TEXT, .text = text};
}

static inline struct cq_field cq_field_int(const char *name, int64_t number)
{
    return (struct cq_field){.name = name, .kind = CQ_FIELD_INT, .number = number};
}

static inline struct cq_field cq_field_ms(const char *name, cq_time duration)
{
    return (struct cq_field){.name = name, .kind = CQ_FIELD_MS, .duration = duration};
}

#endif
