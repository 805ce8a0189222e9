#include "proto/wire.h"

#include <stdbool.h>

static bool is_zero(const uint8_t *p, size_t len)
{
    uint8_t acc = 0;
    for (size_t i = 0; i < len; i++)
        acc |= p[i];
    return acc == 0;
}

static size_t length_of(uint8_t type)
{
    switch (type) {
    case CQ_MSG_INIT:
        return CQ_INIT_LEN;
    case CQ_MSG_REPLY:
        return CQ_REPLY_LEN;
    case CQ_MSG_OFFER:
        return CQ_OFFER_LEN;
    case CQ_MSG_ACCEPT:
        return CQ_ACCEPT_LEN;
    case CQ_MSG_COOKIE:
        return CQ_COOKIE_MSG_LEN;
    case CQ_MSG_KEY_REQUEST:
        return CQ_KEY_REQUEST_LEN;
    case CQ_MSG_KEY_RESPONSE:
        return CQ_KEY_RESPONSE_LEN;
    case CQ_MSG_KEY_PUSH:
        return CQ_KEY_PUSH_LEN;
    default:
        return 0;
    }
}

enum cq_drop cq_wire_check(const uint8_t *msg, size_t len)
{
    if (len < 2)
        return CQ_DROP_BAD_LENGTH;
    size_t expected = length_of(msg[0]);
    if (expected == 0)
        return CQ_DROP_BAD_TYPE;
    if (len != expected)
        return CQ_DROP_BAD_LENGTH;
    if (msg[1] != CQ_PROTOCOL_VERSION)
        return CQ_DROP_BAD_VERSION;
    if (msg[0] == CQ_MSG_INIT)
        return msg[CQ_INIT_MAX_VERSION] < msg[1] ? CQ_DROP_BAD_VERSION : CQ_DROP_NONE;
    if (!is_zero(msg + 2, 2))
        return CQ_DROP_RESERVED_BITS;
    if (msg[0] == CQ_MSG_KEY_REQUEST &&
        !is_zero(msg + CQ_KEY_REQUEST_ZEROS, CQ_KEY_REQUEST_MAC1 - CQ_KEY_REQUEST_ZEROS))
        return CQ_DROP_RESERVED_BITS;
    return CQ_DROP_NONE;
}
