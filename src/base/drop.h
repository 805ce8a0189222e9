/*
 * Named reasons for which a datagram or packet is dropped. Every drop is counted under exactly one
 * of them (base/counter.h), none is answered and none is logged per packet. The names are public:
 * they appear in `cryprq show NAME json`, logs and metrics, and are documented in docs/protocol.md.
 */
#ifndef CQ_BASE_DROP_H
#define CQ_BASE_DROP_H

/* X(symbol, name, text) */
#define CQ_DROP_LIST(X)                                                                            \
    /* any datagram */                                                                             \
    X(BAD_LENGTH, "bad_length", "datagram length does not fit its type")                           \
    X(BAD_VERSION, "bad_version", "protocol version is not ours")                                  \
    X(BAD_TYPE, "bad_type", "unknown message type")                                                \
    X(RESERVED_BITS, "reserved_bits", "reserved bytes or unknown flags are not zero")              \
    X(BAD_SOURCE, "bad_source", "source address cannot be answered")                               \
    X(QUEUE_FULL, "queue_full", "handshake queue of the node is full")                             \
    /* handshake */                                                                                \
    X(BAD_MAC1, "bad_mac1", "mac1 does not verify: the sender does not know our peer ID")          \
    X(COOKIE_REQUIRED, "cookie_required", "answered with a cookie: source not proven yet")         \
    X(RATE_LIMITED, "rate_limited", "source exceeds its handshake rate")                           \
    X(DH_ZERO, "dh_zero", "X25519 gave an all-zero result")                                        \
    X(DECRYPT_ID, "decrypt_id", "initiator identity does not decrypt")                             \
    X(UNKNOWN_PEER, "unknown_peer", "initiator is not a configured peer")                          \
    X(PEER_KEY_UNKNOWN, "peer_key_unknown", "public key of the initiator is not known yet")        \
    X(DECRYPT_FRESH, "decrypt_fresh",                                                              \
      "INIT does not authenticate: wrong pre-shared key or forged identity")                       \
    X(REPLAYED_INIT, "replayed_init", "INIT was accepted before")                                  \
    X(FRESH_MISMATCH, "fresh_mismatch", "INIT does not carry the sealed proof of its cookie")      \
    X(PENDING_FULL, "pending_full", "too many unfinished handshakes of this peer")                 \
    X(NO_COMMON_SUITE, "no_common_suite", "no transport suite in common")                          \
    X(DOWNGRADE, "downgrade", "a higher protocol version is supported by both sides")              \
    X(UNKNOWN_INDEX, "unknown_index", "no handshake or session has this index")                    \
    X(DECRYPT_REPLY, "decrypt_reply", "REPLY does not authenticate")                               \
    X(DECRYPT_OFFER, "decrypt_offer", "OFFER does not authenticate")                               \
    X(DECRYPT_ACCEPT, "decrypt_accept", "ACCEPT does not authenticate")                            \
    X(BAD_CHOICE, "bad_choice", "REPLY chooses a suite that was not offered")                      \
    X(BAD_ROTATE, "bad_rotate", "rotation period of the peer is outside 60..3600 s")               \
    X(BAD_KEM_KEY, "bad_kem_key", "ML-KEM encapsulation key fails the FIPS 203 modulus check")     \
    X(STALE_HANDSHAKE, "stale_handshake", "message does not fit the state of its handshake")       \
    X(ANSWER_LIMIT, "answer_limit", "cached answer was repeated often enough")                     \
    X(BAD_COOKIE, "bad_cookie", "COOKIE does not decrypt or answers nothing of ours")              \
    X(UNSOLICITED_KEY, "unsolicited_key", "KEY_RESPONSE answers no request of ours")               \
    X(KEY_HASH_MISMATCH, "key_hash_mismatch", "public key does not hash to the peer ID")           \
    X(KEY_NOT_WANTED, "key_not_wanted", "pushed key belongs to no peer whose key is missing")      \
    X(KEY_ANSWERS_OFF, "key_answers_off", "answering key requests is switched off")                \
    X(HANDSHAKE_INTERNAL, "handshake_internal", "a handshake failed for lack of memory or random") \
    /* records */                                                                                  \
    X(BAD_LANE, "bad_lane", "counter lane is above 15")                                            \
    X(REPLAYED_RECORD, "replayed_record", "record counter was seen before or is too old")          \
    X(BAD_TAG, "bad_tag", "record does not authenticate")                                          \
    X(KEY_EXPIRED, "key_expired", "session keys are past their life or limits")                    \
    X(BAD_CONTROL, "bad_control", "malformed control record")                                      \
    X(RATE_CONTROL, "rate_control", "PING answered often enough this second")                      \
    /* inner packets, received */                                                                  \
    X(INNER_MALFORMED, "inner_malformed",                                                          \
      "inner packet is not IPv4 or IPv6 or its length is wrong")                                   \
    X(INNER_SOURCE, "inner_source", "inner source address does not belong to the peer")            \
    X(INNER_TOO_BIG, "inner_too_big", "inner packet is larger than the interface MTU")             \
    X(TUN_WRITE, "tun_write", "the interface refused the packet")                                  \
    /* inner packets, sent */                                                                      \
    X(TUN_MALFORMED, "tun_malformed", "packet from the interface is malformed")                    \
    X(NO_ROUTE, "no_route", "destination belongs to no peer")                                      \
    X(NO_ENDPOINT, "no_endpoint", "no address of the peer is known")                               \
    X(PATH_MTU, "path_mtu", "packet is larger than the path to the peer takes")                    \
    X(STAGED_FULL, "staged_full", "oldest packet waiting for a session was dropped")               \
    X(STAGED_EXPIRED, "staged_expired", "packet waited too long for a session")                    \
    X(NO_BUFFER, "no_buffer", "out of packet buffers")                                             \
    X(ADDRESS_UNPROVEN, "address_unproven", "new address of the peer is not proven yet")           \
    X(SEND_ERROR, "send_error", "the socket refused the datagram")

enum cq_drop {
    CQ_DROP_NONE = 0,
#define X(symbol, name, text) CQ_DROP_##symbol,
    /* clang-format off */
    CQ_DROP_LIST(X)
#undef X
    CQ_DROP_COUNT
    /* clang-format on */
};

/* The public name ("bad_mac1") and a one-line English explanation. "none" for CQ_DROP_NONE; never
 * NULL. */
const char *cq_drop_name(enum cq_drop drop);
const char *cq_drop_text(enum cq_drop drop);

#endif
