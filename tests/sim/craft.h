/* Handshake messages that a test makes by itself in the name of a node. */
#ifndef CQ_SIM_CRAFT_H
#define CQ_SIM_CRAFT_H

#include "lab.h"

/* An initiator's side of a handshake, kept by the test. */
struct craft {
    const struct lab_node *i, *r;
    struct cq_handshake_params params;
    struct cq_mac_keys macs; /* of r */
    struct cq_initiator state;
    uint8_t psk[32];
    uint8_t init[CQ_INIT_LEN], offer[CQ_OFFER_LEN];
    struct cq_session_keys keys;
};

/* A fresh INIT from i to r; cookie may be NULL. Wipe with craft_wipe. */
void craft_init(struct craft *craft, const struct lab_node *i, const struct lab_node *r,
                const uint8_t cookie[CQ_COOKIE_LEN]);
/* OFFER as the answer to a REPLY. */
void craft_offer(struct craft *craft, const uint8_t reply[CQ_REPLY_LEN]);
/* The session out of an ACCEPT. */
void craft_accept(struct craft *craft, const uint8_t accept[CQ_ACCEPT_LEN]);
/* CONTROL record of the initiator on the session: KEEPALIVE with this counter. */
size_t craft_keepalive(const struct craft *craft, uint64_t counter, uint8_t out[64]);
/* Writes mac1 of INIT, KEY_REQUEST or KEY_PUSH anew for the node that is to receive it. */
void craft_repair_mac1(uint8_t *msg, size_t len, const struct lab_node *r);
void craft_wipe(struct craft *craft);

#endif
