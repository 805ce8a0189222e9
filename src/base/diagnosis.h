/*
 * Why two nodes do not get together: what a node notes of a handshake attempt, what can be
 * concluded from that, and the reason codes in which it is told. The names are public: they stand
 * in the log (handshake_failed and handshake_refused), in metrics, in `cryprq show NAME json`, and
 * in what `cryprq diagnose` and `cryprq ping` say. Plain data and pure functions.
 */
#ifndef CQ_BASE_DIAGNOSIS_H
#define CQ_BASE_DIAGNOSIS_H

#include "base/addr.h"
#include "base/drop.h"
#include "base/time.h"

#include <stdbool.h>
#include <stdint.h>

/* X(symbol, name, what is wrong, how to mend it) */
#define CQ_DIAGNOSIS_LIST(X)                                                                       \
    X(ALL_WELL, "all_well", "all is well", "")                                                     \
    /* before anything is sent */                                                                  \
    X(NOT_RUNNING, "not_running", "no such interface is running here",                             \
      "start it with `cryprq up NAME`; its log says why if it does not stay")                      \
    X(PEER_NOT_CONFIGURED, "peer_not_configured", "the interface has no such peer",                \
      "add a [Peer] with this PeerID, then `cryprq down` and `up`; `cryprq show` lists the peers") \
    X(NO_ENDPOINT, "no_endpoint",                                                                  \
      "no address of the peer is known: it has no Endpoint here and has not called yet",           \
      "set Endpoint, or let the other side call: run the diagnosis there")                         \
    X(NAME_UNRESOLVED, "name_unresolved", "the host name of the endpoint has no address",          \
      "correct the name in Endpoint, or mend this machine's name resolution (/etc/resolv.conf)")   \
    X(NO_ROUTE_TO_PEER, "no_route_to_peer",                                                        \
      "this machine has no route to the endpoint of the peer",                                     \
      "mend the network of this machine: `ip route get ADDRESS` must give a way")                  \
    X(LOCAL_FIREWALL, "local_firewall",                                                            \
      "the packet filter of this machine refuses datagrams to the endpoint",                       \
      "let UDP to the endpoint pass in the output chains (`nft list ruleset`)")                    \
    X(SEND_FAILED, "send_failed", "the kernel refuses datagrams to the endpoint",                  \
      "see the error, and `ip addr` and `ip route get ADDRESS` on this machine")                   \
    /* nothing, or too little, comes back */                                                       \
    X(NOBODY_LISTENS, "nobody_listens",                                                            \
      "the machine at the endpoint says that nobody listens on this UDP port",                     \
      "start the node there; compare its ListenPort with the port of Endpoint, and the address")   \
    X(HOST_UNREACHABLE, "host_unreachable",                                                        \
      "a router or the machine itself says that the endpoint cannot be reached",                   \
      "the machine is off, its address is another, or a firewall on the way forbids it")           \
    X(NO_ANSWER, "no_answer",                                                                      \
      "nothing comes back: UDP is blocked on the way, the address or the port is wrong, or the "   \
      "node there has another Peer ID; from outside these look the same",                          \
      "look for our datagrams on the other machine with tcpdump; where they arrive, see its "      \
      "counters in `cryprq show NAME json`: bad_mac1 (wrong PeerID here), key_answers_off (give "  \
      "it a ListenPort, or install its key with PublicKeyFile here)")                              \
    X(WRONG_PEER_ID, "wrong_peer_id",                                                              \
      "the machine can be reached and something takes datagrams on this port, but does not "       \
      "answer: most likely the node there has another Peer ID than the one configured here",       \
      "compare PeerID with `cryprq pubkey` there; its counter bad_mac1 grows if that is it, "      \
      "key_answers_off if it does not tell its key; else a firewall drops just this port")         \
    X(PEER_SILENT, "peer_silent", "there are keys with the peer, but it does not answer any more", \
      "the other machine or its node is down, or the way to it is broken since")                   \
    X(MTU_TOO_SMALL, "mtu_too_small",                                                              \
      "small datagrams pass, but the handshake's of 1232 bytes do not: the path MTU is below "     \
      "1280 "                                                                                      \
      "(IPv6) or 1260 (IPv4)",                                                                     \
      "raise the MTU of the path: a tunnel or PPP link on the way takes too much off")             \
    X(SILENT_AFTER_COOKIE, "silent_after_cookie",                                                  \
      "the other side knows the Peer ID and asked for a cookie, then fell silent",                 \
      "see the counters rate_limited and queue_full there; large datagrams may be lost on the "    \
      "way back")                                                                                  \
    X(COOKIE_NOT_ACCEPTED, "cookie_not_accepted",                                                  \
      "the other side asks for a cookie again and again: it does not see us at one and the same "  \
      "address and port",                                                                          \
      "a NAT on the way changes address or port from packet to packet; see what it does to UDP")   \
    X(ANSWER_ELSEWHERE, "answer_elsewhere",                                                        \
      "the answers come from another address than the one that was asked",                         \
      "set Endpoint to the address that answers, or mend the NAT before the other machine")        \
    X(VERSION_MISMATCH, "version_mismatch", "the other side speaks another protocol version",      \
      "update the older of the two (`cryprq version`)")                                            \
    /* the other side is there but does not want us */                                             \
    X(KEY_HASH_MISMATCH, "key_hash_mismatch",                                                      \
      "the public key that came does not belong to the Peer ID configured here",                   \
      "compare PeerID with `cryprq pubkey` on the other machine; else somebody in between "        \
      "answers")                                                                                   \
    X(NO_REPLY, "no_reply",                                                                        \
      "the other side is there and knows itself by this Peer ID, but does not reply to the "       \
      "handshake: our Peer ID is not on its list, the pre-shared keys differ, our public key is "  \
      "unknown there, or no suite is common",                                                      \
      "the counter that grows in `cryprq show NAME json` there tells which: unknown_peer (add a "  \
      "[Peer] with our ID), decrypt_fresh (PresharedKey), peer_key_unknown (PublicKeyFile), "      \
      "no_common_suite (Suites)")                                                                  \
    X(BAD_REPLY, "bad_reply", "a REPLY came, but does not verify",                                 \
      "somebody in between changes it, or the node there is no good; update both")                 \
    X(NO_ACCEPT, "no_accept", "the other side began the handshake but does not finish it",         \
      "its counters tell: decrypt_offer, bad_rotate, handshake_internal; or datagrams of more "    \
      "than 1172 bytes are lost on the way")                                                       \
    /* known at the responder */                                                                   \
    X(PSK_MISMATCH, "psk_mismatch",                                                                \
      "the peer calls, but its handshake does not decrypt: the pre-shared keys differ, or only "   \
      "one side has one",                                                                          \
      "compare PresharedKey on both ends")                                                         \
    X(PEER_KEY_UNKNOWN, "peer_key_unknown", "the peer calls, but its public key has not come",     \
      "it passes within seconds unless PushKeys is off there; else install it with PublicKeyFile") \
    X(NO_COMMON_SUITE, "no_common_suite", "the peer calls, but the two have no suite in common",   \
      "change Suites on one of the two ends")                                                      \
    X(REFUSED, "refused", "the peer calls, but its handshake is refused here",                     \
      "see last refusal and the counters in `cryprq show NAME json`")                              \
    /* with keys */                                                                                \
    X(SESSION_SILENT, "session_silent", "there are keys, but nothing comes back under them",       \
      "one direction of the way is broken, or the other side lost the keys: try again")            \
    X(ADDRESS_NOT_COVERED, "address_not_covered",                                                  \
      "the address is in no AllowedIPs: packets to it are dropped (no_route)",                     \
      "add it to the AllowedIPs of the peer that has it")                                          \
    X(ADDRESS_OF_OTHER_PEER, "address_of_other_peer",                                              \
      "packets to the address go to another peer, by its AllowedIPs",                              \
      "AllowedIPs must name each address at the peer that has it")                                 \
    X(ROUTED_ELSEWHERE, "routed_elsewhere",                                                        \
      "this machine does not send packets to the address into the interface",                      \
      "see `ip route get ADDRESS`: another route or rule takes them, or Table is off")             \
    X(INNER_SOURCE, "inner_source",                                                                \
      "packets come out of the tunnel with a source address that is not in the AllowedIPs of "     \
      "their peer here, and are dropped",                                                          \
      "add that address to the peer's AllowedIPs here, or let the other side masquerade")          \
    X(NO_INNER_ANSWER, "no_inner_answer", "the tunnel works, but nothing answers at the address",  \
      "see the counter inner_source there (our address must be in AllowedIPs), and the firewall "  \
      "and the routes there")

enum cq_diagnosis {
#define X(symbol, name, text, mend) CQ_DIAGNOSIS_##symbol,
    /* clang-format off */
    CQ_DIAGNOSIS_LIST(X)
#undef X
    CQ_DIAGNOSIS_COUNT
    /* clang-format on */
};

/* The public name ("no_answer"), what is wrong, and what to do about it ("" for all_well); never
 * NULL. Static storage. */
const char *cq_diagnosis_name(enum cq_diagnosis diagnosis);
const char *cq_diagnosis_text(enum cq_diagnosis diagnosis);
const char *cq_diagnosis_mend(enum cq_diagnosis diagnosis);
/* Whether it is the likeliest explanation of a silence rather than something that was told. */
bool cq_diagnosis_is_inferred(enum cq_diagnosis diagnosis);

/* What an initiator sends and receives in one attempt. X(symbol, name) */
#define CQ_STEP_LIST(X)                                                                            \
    X(KEY_REQUEST_SENT, "key_request_sent")                                                        \
    X(COOKIE_RECEIVED, "cookie_received")                                                          \
    X(KEY_RESPONSE_RECEIVED, "key_response_received")                                              \
    X(KEY_MISMATCH, "key_mismatch")                                                                \
    X(KEY_PUSH_SENT, "key_push_sent")                                                              \
    X(INIT_SENT, "init_sent")                                                                      \
    X(REPLY_RECEIVED, "reply_received")                                                            \
    X(REPLY_REFUSED, "reply_refused")                                                              \
    X(OFFER_SENT, "offer_sent")                                                                    \
    X(ACCEPT_RECEIVED, "accept_received")                                                          \
    X(ANSWER_ELSEWHERE, "answer_elsewhere")                                                        \
    X(SEND_ERROR, "send_error")

enum cq_step {
#define X(symbol, name) CQ_STEP_##symbol,
    /* clang-format off */
    CQ_STEP_LIST(X)
#undef X
    CQ_STEP_COUNT
    /* clang-format on */
};

const char *cq_step_name(enum cq_step step);

/* Why the kernel refused to send, as far as the difference matters. */
enum cq_send_fault {
    CQ_SEND_FAULT_NONE,
    CQ_SEND_FAULT_FORBIDDEN, /* EPERM, EACCES: a packet filter of this machine */
    CQ_SEND_FAULT_NO_ROUTE,  /* ENETUNREACH, EHOSTUNREACH, ENETDOWN */
    CQ_SEND_FAULT_TOO_BIG,   /* EMSGSIZE */
    CQ_SEND_FAULT_OTHER,
    CQ_SEND_FAULT_COUNT
};

/* "none", "forbidden", "no_route", "too_big", "other". */
const char *cq_send_fault_name(enum cq_send_fault fault);

/* One attempt, present or last, as its initiator saw it. Zeroed: there was none. */
struct cq_attempt_facts {
    cq_time began;
    bool happened;
    uint8_t send_fault;              /* enum cq_send_fault, the newest */
    uint16_t num[CQ_STEP_COUNT];     /* how often; stays at the largest value */
    uint32_t last_ms[CQ_STEP_COUNT]; /* when last, from `began` on; valid where num is not 0 */
    struct cq_addr elsewhere; /* where an answer came from that was asked of another address */
};

void cq_facts_begin(struct cq_attempt_facts *facts, cq_time now);
/* Without effect before cq_facts_begin. */
void cq_facts_note(struct cq_attempt_facts *facts, enum cq_step step, cq_time now);

/* Handshakes of a peer's that were refused since its last one that was not. */
struct cq_refusals {
    enum cq_drop drop; /* the newest reason; CQ_DROP_NONE: none */
    uint32_t num;
    cq_time last; /* valid where num is not 0 */
};

/* What the facts of an attempt say so far: ALL_WELL when it succeeded. NO_ANSWER stands for an
 * attempt to which nothing came back, whatever the reason. */
enum cq_diagnosis cq_diagnosis_of_attempt(const struct cq_attempt_facts *facts);

/* Whether it is what cq_diagnosis_of_attempt says of an attempt that was given up. */
bool cq_diagnosis_is_of_attempt(enum cq_diagnosis diagnosis);

/* What a refusal of a peer's handshake means; ALL_WELL for CQ_DROP_NONE. */
enum cq_diagnosis cq_diagnosis_of_refusal(enum cq_drop drop);
/* Whether it is what that says of a refusal. */
bool cq_diagnosis_is_of_refusal(enum cq_diagnosis diagnosis);

#endif
