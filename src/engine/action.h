/*
 * What the engine wants done: the list of actions that its caller (daemon, simulator, test) carries
 * out in order.
 */
#ifndef CQ_ENGINE_ACTION_H
#define CQ_ENGINE_ACTION_H

#include "base/addr.h"
#include "base/diagnosis.h"
#include "base/drop.h"
#include "base/event.h"
#include "base/time.h"

#include <stdbool.h>
#include <stdint.h>

enum { CQ_ACTION_DATA_MAX = 1232 };

enum cq_action_type {
    CQ_ACTION_SEND,          /* send `data` (handshake datagram) over `route` */
    CQ_ACTION_SEND_CONTROL,  /* a worker seals `data` (TLVs) as CONTROL under keypair `local_idx` on
                                lane 0, grown to  `padded_len` bytes of plaintext by PAD where that
                                is  larger, and sends it over `route`, or  where
                                route.remote.ip.family is  NONE over the peer's endpoint */
    CQ_ACTION_SESSION_READY, /* a worker sends the packets staged for `peer`: it has a current
                                keypair again */
    CQ_ACTION_DROP_STAGED,   /* a worker drops them (staged_expired): the attempt is over */
    CQ_ACTION_STORE_KEY, /* keep the peer's public key (`data`, 1216 bytes) in the cache; also says
                            that it is known now */
    CQ_ACTION_STORE_REPLIED, /* remember in the cache that the peer has replied to a handshake (it
                                knows our key) */
    CQ_ACTION_RESOLVE, /* ask DNS again for the peer's endpoint; answer with cq_engine_set_endpoint
                        */
    CQ_ACTION_LOG,     /* something worth a log line happened: `event` */
};

enum cq_role { CQ_ROLE_INITIATOR, CQ_ROLE_RESPONDER };

struct cq_event_record {
    enum cq_event event;
    enum cq_role role;
    uint8_t suite;        /* enum cq_suite, 0: not applicable */
    uint8_t close_reason; /* SESSION_CLOSED */
    uint16_t path_mtu;    /* PATH_MTU, PATH_TOO_SMALL */
    enum cq_drop reason;  /* HANDSHAKE_FAILED: the last drop seen of this peer, or CQ_DROP_NONE;
                             HANDSHAKE_REFUSED: why */
    enum cq_diagnosis diagnosis; /* of both: what the attempt's facts or the drop say */
    cq_time duration; /* HANDSHAKE_COMPLETE, KEY_ROTATION: from first message to session, ns */
    uint8_t sid[8];   /* session id, where a session is concerned */
};

struct cq_action {
    enum cq_action_type type;
    uint32_t peer; /* number of the peer concerned; UINT32_MAX where none is */
    uint32_t local_idx;
    uint16_t len;
    uint16_t padded_len;
    struct cq_route route;
    struct cq_event_record event;
    uint8_t data[CQ_ACTION_DATA_MAX];
};

/* "initiator", "responder". */
const char *cq_role_name(enum cq_role role);

#endif
