/*
 * The state of the connection to a peer in plain words: one sentence or two, for people who look at
 * a page or at JSON. Pure functions of a status; any thread.
 */
#ifndef CQ_CONF_WORDS_H
#define CQ_CONF_WORDS_H

#include "conf/status.h"

enum cq_link_state {
    CQ_LINK_CONNECTED,  /* there are keys, and answers under them */
    CQ_LINK_CONNECTING, /* a handshake has just begun */
    CQ_LINK_IDLE,       /* no keys, and nothing that wants any */
    CQ_LINK_TROUBLE,    /* keys are wanted and do not come, or nothing comes back under them */
    CQ_LINK_STATES
};

/* "connected", "connecting", "idle", "trouble". Static storage. */
const char *cq_link_state_name(enum cq_link_state state);

enum { CQ_WORDS_MAX = 640 }; /* characters of the words, with NUL */

/* The state, and what it means: "Connected; keys 2 min old, next rotation in 3 min."; where
 * there is trouble, the command that says more. `interface` is the interface's name. */
enum cq_link_state cq_peer_words(char out[CQ_WORDS_MAX], const struct cq_node_peer_status *peer,
                                 const char *interface);

enum { CQ_SPAN_MAX = 32 };

/* "40 s", "2 min", "3 h 12 min", "5 d 3 h". Returns out. */
char *cq_words_span(uint64_t secs, char out[CQ_SPAN_MAX]);

#endif
