/*
 * The state of a node on standard output, for people and for scripts.
 */
#ifndef CQ_CLI_SHOW_H
#define CQ_CLI_SHOW_H

#include "conf/status.h"

#include <stdbool.h>

/* Laid out as `wg show` does; in colour where `colour` is set. Peers with the latest handshake come
 * first (this sorts them). */
void cq_show_text(struct cq_node_status *status, bool colour);

/*
 * One line for the interface and one for each peer, separated by tabs; each begins with the
 * interface's name where with_name is set. Fields of an interface: "(hidden)", peer ID, port, mark;
 * MTU, rotation period in seconds. Fields of a peer: peer ID, preshared key ("(hidden)" or
 * "(none)"), endpoint, allowed IPs, time of the latest handshake, received and sent bytes,
 * persistent keepalive; name, suite, session ID, handshake duration in us, age of the keys and time
 * to the next rotation in seconds, handshakes as initiator, as responder, rotations, failed
 * attempts.
 */
void cq_show_dump(const struct cq_node_status *status, bool with_name);

#endif
