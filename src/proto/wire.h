/*
 * Message types, sizes and layouts of the wire (docs/protocol.md sections 3 and 4), and the checks
 * that need nothing but the bytes themselves. Record layouts are in proto/record.h.
 */
#ifndef CQ_PROTO_WIRE_H
#define CQ_PROTO_WIRE_H

#include "base/drop.h"

#include <stddef.h>
#include <stdint.h>

enum { CQ_PROTOCOL_VERSION = 1 };

enum cq_msg_type {
    CQ_MSG_INIT = 1,
    CQ_MSG_REPLY = 2,
    CQ_MSG_OFFER = 3,
    CQ_MSG_ACCEPT = 4,
    CQ_MSG_COOKIE = 5,
    CQ_MSG_KEY_REQUEST = 6,
    CQ_MSG_KEY_RESPONSE = 7,
    CQ_MSG_KEY_PUSH = 8,
    CQ_MSG_DATA = 16,
    CQ_MSG_CONTROL = 17,
};

enum {
    CQ_INIT_LEN = 1232,
    CQ_REPLY_LEN = 1172,
    CQ_OFFER_LEN = 1220,
    CQ_ACCEPT_LEN = 1132,
    CQ_COOKIE_MSG_LEN = 64,
    CQ_KEY_REQUEST_LEN = 1232,
    CQ_KEY_RESPONSE_LEN = 1224,
    CQ_KEY_PUSH_LEN = 1232,
    CQ_HANDSHAKE_MSG_MAX = 1232,

    CQ_MAC_LEN = 16,      /* mac1 and mac2 */
    CQ_PUSH_MAC_LEN = 12, /* mac1 of KEY_PUSH */
    CQ_COOKIE_LEN = 16,
    CQ_FRESH_LEN = 8,
    CQ_COOKIE_NONCE_LEN = 24,
    CQ_SID_LEN = 8,
};

/* Offsets of the fields of each message. */
enum {
    CQ_INIT_MAX_VERSION = 2,
    CQ_INIT_SUITES = 3,
    CQ_INIT_IDX = 4,
    CQ_INIT_HDR_LEN = 8,
    CQ_INIT_E = 8,
    CQ_INIT_CT = 40,
    CQ_INIT_ENC_ID = 1128,
    CQ_INIT_ENC_FRESH = 1176,
    CQ_INIT_MAC1 = 1200,
    CQ_INIT_MAC2 = 1216,

    CQ_ANSWER_SENDER = 4,   /* REPLY, OFFER, ACCEPT: the index that its sender chose for itself */
    CQ_ANSWER_RECEIVER = 8, /* the index of whoever is to receive it */
    CQ_ANSWER_HDR_LEN = 12,
    CQ_REPLY_E = 12,
    CQ_REPLY_ENC_CT = 44,
    CQ_REPLY_ENC_CHOICE = 1148,
    CQ_OFFER_ENC_OFFER = 12,
    CQ_ACCEPT_ENC_CT = 12,
    CQ_ACCEPT_ENC_FIN = 1116,

    CQ_COOKIE_IDX = 4,
    CQ_COOKIE_NONCE = 8,
    CQ_COOKIE_ENC = 32,

    CQ_KEY_ID = 4, /* request id of KEY_REQUEST and KEY_RESPONSE */
    CQ_KEY_REQUEST_ZEROS = 8,
    CQ_KEY_REQUEST_MAC1 = 1200,
    CQ_KEY_REQUEST_MAC2 = 1216,
    CQ_KEY_RESPONSE_KEY = 8,
    CQ_KEY_PUSH_KEY = 4,
    CQ_KEY_PUSH_MAC1 = 1220,
};

/*
 * Checks length, version, type and reserved bytes of a handshake message. Returns CQ_DROP_NONE when
 * they are right; BAD_LENGTH, BAD_VERSION, BAD_TYPE (DATA and CONTROL included) or RESERVED_BITS.
 * What an INIT offers is checked by the responder, except that its max version is not below its
 * version (BAD_VERSION).
 */
enum cq_drop cq_wire_check(const uint8_t *msg, size_t len);

#endif
