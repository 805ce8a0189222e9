/*
 * A handshake without a daemon, for `ping` and `diagnose`: the initiator's side of
 * docs/protocol.md sections 3 to 5 over a socket of its own (os/probe.h), one peer, one attempt,
 * waiting in the foreground. What was sent and received is noted as the engine does it
 * (base/diagnosis.h). The object holds secrets: it lies in secret memory, and cq_contact_free wipes
 * it.
 */
#ifndef CQ_CLI_CONTACT_H
#define CQ_CLI_CONTACT_H

#include "base/diagnosis.h"
#include "os/probe.h"
#include "proto/handshake.h"

struct cq_contact;

/* Opens the socket. identity and psk (NULL: none) are borrowed; identity may be NULL where only the
 * key is asked for. peer_key may be NULL: it is asked for then. CQ_ERR_NOMEM; CQ_ERR_PERM (mark);
 * CQ_ERR_IO (errno); CQ_ERR_CRYPTO. */
CQ_MUST_CHECK enum cq_err cq_contact_new(struct cq_contact **out, const uint8_t peer_id[32],
                                         const struct cq_addr *to, uint32_t mark,
                                         const struct cq_identity *identity, const uint8_t *psk,
                                         const struct cq_public_key *peer_key);
/* NULL is allowed. */
void cq_contact_free(struct cq_contact *contact);

/* Asks for the peer's public key until it is there; whether it is. Returns early where the kernel
 * or the network say that there is no use in waiting. */
bool cq_contact_key(struct cq_contact *contact, cq_time until);
/* Goes on to a session, in the same way. */
bool cq_contact_handshake(struct cq_contact *contact, cq_time until);
/* One PING under the session, repeated until its PONG comes; the time between the two. */
bool cq_contact_ping(struct cq_contact *contact, cq_time until, cq_time *out_took);
/* Takes leave, so that the other side lets go of the session. */
void cq_contact_close(struct cq_contact *contact);

/* What happened. Valid until the contact is freed. */
struct cq_contact_view {
    const struct cq_attempt_facts *facts;
    const struct cq_probe *probe; /* the last error of the network */
    enum cq_send_fault fault;     /* of sending, by this machine itself */
    bool other_version;           /* an answer of another protocol version came */
    bool refused;                 /* ICMP: nobody listens */
    bool unreachable;             /* ICMP: no way, or forbidden */
    cq_time first_answer;         /* CQ_TIME_NEVER: none came */
    uint8_t suite;
};
void cq_contact_look(const struct cq_contact *contact, struct cq_contact_view *out);

/* What the whole says, as far as one's own messages tell. */
enum cq_diagnosis cq_contact_diagnosis(const struct cq_contact *contact);

#endif
