/*
 * Where peers were last: the list of recently active peers that outlasts a restart
 * (docs/protocol.md section 6, "Restart"). Here are its forms, as a file (the monitor's side) and
 * as messages between monitor and node (node/channel.h); what the node does with it is in
 * node/revive.h. It says who talked to whom, so that root alone may read the file.
 *
 * STATE_DIR/INTERFACE.recent is text, a line per peer, newest first:
 *
 *   PEER-ID ADDRESS:PORT SECONDS-SINCE-1970
 *
 * Lines that are none are left out: a damaged file costs what is damaged.
 */
#ifndef CQ_NODE_RECENT_H
#define CQ_NODE_RECENT_H

#include "base/addr.h"
#include "base/err.h"
#include "node/channel.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CQ_RECENT_MAX = 20000, /* peers in the list: the newest ones */
    CQ_RECENT_ENTRY_BYTES = 32 + 1 + 16 + 2 + 4 + 8,
    CQ_RECENT_PER_MESSAGE = CQ_CHANNEL_DATA_MAX / CQ_RECENT_ENTRY_BYTES,
};

struct cq_recent_entry {
    uint8_t id[32];
    struct cq_addr addr;
    int64_t seen; /* seconds since 1970-01-01 UTC: when a record of the peer last opened */
};

/* Zeroed: empty. */
struct cq_recent_list {
    struct cq_recent_entry *entries;
    size_t num, size;
    bool whole; /* cq_recent_take: the last message has come */
};

/* CQ_ERR_NOMEM, CQ_ERR_RANGE (CQ_RECENT_MAX). */
CQ_MUST_CHECK enum cq_err cq_recent_add(struct cq_recent_list *list,
                                        const struct cq_recent_entry *entry);
void cq_recent_free(struct cq_recent_list *list);
/* Newest first; those of one second in the order of their IDs. */
void cq_recent_sort(struct cq_recent_list *list);

/* The file of an interface. CQ_ERR_NOTFOUND, CQ_ERR_IO (errno), CQ_ERR_RANGE (larger than any that
 * is written here), CQ_ERR_NOMEM; *out is empty then. The caller owns *out. */
CQ_MUST_CHECK enum cq_err cq_recent_load(const char *interface, struct cq_recent_list *out);
/* Replaces the file, whole or not at all; sorts the list. CQ_ERR_IO (errno), CQ_ERR_PERM (the
 * directory is not ours), CQ_ERR_RANGE, CQ_ERR_NOMEM. */
CQ_MUST_CHECK enum cq_err cq_recent_store(const char *interface, struct cq_recent_list *list);
/* Removes the file; none is fine. CQ_ERR_IO (errno), CQ_ERR_RANGE. */
CQ_MUST_CHECK enum cq_err cq_recent_remove(const char *interface);

/* Sends the whole list as messages CQ_CHANNEL_RECENT; an empty one is a message as well.
 * CQ_ERR_AGAIN: the other side is behind and has got a part, which it will forget; CQ_ERR_IO. */
CQ_MUST_CHECK enum cq_err cq_recent_send(int channel, const struct cq_recent_list *list);
/* Takes one of these messages; after the last one list->whole is true. The first one empties the
 * list. CQ_ERR_INVALID, CQ_ERR_NOMEM, CQ_ERR_RANGE: the list is empty. */
CQ_MUST_CHECK enum cq_err cq_recent_take(struct cq_recent_list *list,
                                         const struct cq_channel_message *message);

#endif
