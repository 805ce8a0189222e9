/*
 * Host names of the peers' endpoints: asked for one after the other without ever waiting, again
 * with growing distance when a name has no address. Called by the monitor.
 */
#ifndef CQ_NODE_NAMES_H
#define CQ_NODE_NAMES_H

#include "base/addr.h"
#include "base/time.h"
#include "conf/config.h"
#include "os/resolve.h"

#include <stdbool.h>
#include <stddef.h>

enum { CQ_NAMES_AT_ONCE = 8 };

struct cq_name; /* of one peer */

struct cq_names {
    const struct cq_conf *conf;
    struct cq_name *names; /* one per peer; NULL: nothing to do, ever */
    size_t num_wanted;     /* names that wait to be asked for */
    struct {
        struct cq_resolve resolve; /* fd -1: free */
        size_t peer;
    } running[CQ_NAMES_AT_ONCE];
};

/* CQ_ERR_NOMEM. */
CQ_MUST_CHECK enum cq_err cq_names_init(struct cq_names *names, const struct cq_conf *conf);
/* Ends what runs. A zeroed object is not allowed. */
void cq_names_wipe(struct cq_names *names);

/* Peer `index` needs its address (again); of no effect where it has no host name. */
void cq_names_want(struct cq_names *names, size_t index);

/* Another configuration: to_after[i] is the index of peer i in it, negative where it is gone. What
 * is being asked for goes on where the name is the same; other names are wanted. CQ_ERR_NOMEM:
 * nothing is asked for any more. */
CQ_MUST_CHECK enum cq_err cq_names_replace(struct cq_names *names, const struct cq_conf *conf,
                                           const int *to_after);

/* Starts what is due. */
void cq_names_start(struct cq_names *names, cq_time now);

/* The answer of running[slot], whose descriptor is readable: true with peer and address. Without an
 * address it is logged and asked for again later. */
bool cq_names_finish(struct cq_names *names, int slot, cq_time now, size_t *out_peer,
                     struct cq_addr *out);

/* The next time at which cq_names_start has work; CQ_TIME_NEVER: none. */
cq_time cq_names_next_expiry(const struct cq_names *names);

#endif
