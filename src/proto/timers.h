/*
 * Times and counts of docs/protocol.md, sections 3 to 6, in one place.
 */
#ifndef CQ_PROTO_TIMERS_H
#define CQ_PROTO_TIMERS_H

#include "base/time.h"

#define CQ_RETRANSMIT_FIRST (400 * CQ_NS_PER_MS) /* doubling, plus 0 to 20 % */
#define CQ_RETRANSMIT_MAX (5 * CQ_NS_PER_S)
#define CQ_STAGE_TIME (8 * CQ_NS_PER_S)    /* INIT's or OFFER's bytes unanswered: a new INIT */
#define CQ_ATTEMPT_TIME (90 * CQ_NS_PER_S) /* then the attempt is given up */
#define CQ_INIT_GAP (400 * CQ_NS_PER_MS)   /* between INITs to one peer */
#define CQ_HOLD_BACK (8 * CQ_NS_PER_S)     /* after the other's INIT, when both would start */

#define CQ_PENDING_LIFE (20 * CQ_NS_PER_S) /* of a responder's slot, from its creation */
#define CQ_SEEN_LIFE (240 * CQ_NS_PER_S)   /* of an accepted INIT's mac1 */
#define CQ_ANSWER_GAP (200 * CQ_NS_PER_MS) /* between cached answers of a slot */
#define CQ_COOKIE_SECRET_LIFE (120 * CQ_NS_PER_S)
#define CQ_COOKIE_HELD (100 * CQ_NS_PER_S) /* by the initiator, from receipt */
#define CQ_LOAD_LASTS (1 * CQ_NS_PER_S)    /* beyond the last overload */

#define CQ_UNCONFIRMED_LIFE (30 * CQ_NS_PER_S) /* of a responder's session, from OFFER */
#define CQ_CONFIRM_TIME (30 * CQ_NS_PER_S)     /* how long the initiator repeats its KEEPALIVE */
#define CQ_RECV_GRACE (15 * CQ_NS_PER_S)       /* keys are erased at R(s) + this */
#define CQ_EARLY_ERASE (10 * CQ_NS_PER_S)      /* quiet time before a superseded session goes */
#define CQ_ROTATE_I_MIN (35 * CQ_NS_PER_S)     /* initiator: R(s) - U(35, 50) s */
#define CQ_ROTATE_I_SPAN (15 * CQ_NS_PER_S)
#define CQ_ROTATE_R_MIN (23 * CQ_NS_PER_S) /* responder: R(s) - 25 +- 2 s */
#define CQ_ROTATE_R_SPAN (4 * CQ_NS_PER_S)

#define CQ_PASSIVE_KEEPALIVE (5 * CQ_NS_PER_S)
#define CQ_DEAD_PEER (15 * CQ_NS_PER_S) /* plus 0 to 0.3 s */
#define CQ_DEAD_PEER_SPAN (300 * CQ_NS_PER_MS)
#define CQ_AFTER_CLOSE (1 * CQ_NS_PER_S)

#define CQ_PING_TIME (30 * CQ_NS_PER_S)  /* how long an unproven address is pinged */
#define CQ_REVERT_TIME (3 * CQ_NS_PER_S) /* a PONG of the previous address counts so long */
#define CQ_BARRED_TIME (10 * CQ_NS_PER_S)

#define CQ_PMTU_INTERVAL (1 * CQ_NS_PER_S) /* between PINGs padded to a size */
#define CQ_PMTU_RAISE (600 * CQ_NS_PER_S)  /* between searches for more */

enum {
    CQ_PMTU_TRIES = 3,   /* PINGs of one size lost in a row: it does not pass */
    CQ_MAX_ANSWERS = 30, /* cached answers per slot */
    CQ_MAX_PONGS = 10,   /* per second, besides answers to padded PINGs */
    CQ_LOAD_DEFAULT = 500,
    CQ_SOURCE_RATE = 20,
    CQ_SOURCE_BURST = 40,
};

#endif
