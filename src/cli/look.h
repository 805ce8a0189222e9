/*
 * Why an address stays silent: the route to it, a question that any node with the Peer ID answers,
 * and what the machine there says by ICMP.
 */
#ifndef CQ_CLI_LOOK_H
#define CQ_CLI_LOOK_H

#include "base/addr.h"
#include "cli/findings.h"
#include "conf/config.h"

#include <stdbool.h>
#include <stdint.h>

struct cq_look {
    bool cookie; /* a node with this Peer ID is there: it asked for a cookie */
    bool key;    /* and sent its public key, in a large datagram */
};

/* The address of a host name or numeric address; false after concluding that there is none. */
bool cq_look_name(struct cq_cli_findings *findings, const struct cq_conf_endpoint *endpoint,
                  struct cq_addr *out);

/* The kernel's route to the address; false after concluding that there is none. */
bool cq_look_route(struct cq_cli_findings *findings, const struct cq_addr *to, uint32_t mark);

/*
 * Asks the address for the public key of peer_id, and tries a port where nobody listens. Gives what
 * explains a silence, having concluded it; ALL_WELL (not concluded) when the key came. *out says
 * what came. Takes a few seconds.
 */
enum cq_diagnosis cq_look_silence(struct cq_cli_findings *findings, struct cq_look *out,
                                  const struct cq_addr *to, uint32_t mark,
                                  const uint8_t peer_id[32]);

/* The last part of it alone, where the question was asked already. */
enum cq_diagnosis cq_look_port(struct cq_cli_findings *findings, const struct cq_addr *to,
                               uint32_t mark);

#endif
