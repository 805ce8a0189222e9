/*
 * The key cache: what a node learned of its peers and needs again after a restart, one file per
 * peer ID in STATE_DIR/keys (mode 0700), shared by all interfaces of the machine. Nothing in it is
 * secret. Used by the monitor; the node holds every key that comes from here against its peer ID
 * again.
 *
 *   magic "CRYPRQKC" ‖ version(4) = 1 ‖ ID(32) ‖ flags(4): 1 key is there, 2 the peer has replied ‖
 * key(1216) ‖ sum(8)
 *
 * Integers big-endian; sum: FNV-1a, 64 bits, over all before it. The file's name is the ID in
 * base64url, then ".key".
 */
#ifndef CQ_NODE_CACHE_H
#define CQ_NODE_CACHE_H

#include "base/err.h"
#include "proto/identity.h"

#include <stdbool.h>

struct cq_cache_entry {
    bool has_key, replied;
    struct cq_public_key key; /* zero without has_key */
};

/* Makes the directories. CQ_ERR_PERM (they belong to somebody else, or others may write there),
 * CQ_ERR_IO (errno), CQ_ERR_RANGE. */
CQ_MUST_CHECK enum cq_err cq_cache_prepare(void);

/* CQ_ERR_NOTFOUND (*out is zeroed). CQ_ERR_INVALID: the file was damaged and stands beside as
 * ".damaged" now. CQ_ERR_IO (errno), CQ_ERR_RANGE, CQ_ERR_NOMEM. */
CQ_MUST_CHECK enum cq_err cq_cache_load(const uint8_t id[CQ_PEER_ID_LEN],
                                        struct cq_cache_entry *out);

/* Replaces the entry, whole or not at all. CQ_ERR_IO (errno), CQ_ERR_RANGE. */
CQ_MUST_CHECK enum cq_err cq_cache_store(const uint8_t id[CQ_PEER_ID_LEN],
                                         const struct cq_cache_entry *entry);

#endif
