/*
 * Allowed IPs: which peer an inner address belongs to, by longest prefix. One compressed binary
 * trie per family.
 *
 * One writer; any number of readers without locks (path/reclaim.h). Each change becomes visible by
 * one pointer store, after which the trie is whole again; a node that is no longer needed is
 * unlinked and retired.
 */
#ifndef CQ_PATH_TABLE_H
#define CQ_PATH_TABLE_H

#include "base/addr.h"
#include "base/err.h"
#include "path/reclaim.h"

struct cq_table_node;
struct cq_path_peer;

struct cq_table {
    struct cq_reclaim *reclaim;
    _Atomic(struct cq_table_node *) roots[2]; /* IPv4, IPv6 */
    struct cq_table_node *spare;              /* nodes set aside by cq_table_reserve */
    uint64_t change;                          /* number of the change that cq_table_reserve began */
};

void cq_table_init(struct cq_table *table, struct cq_reclaim *reclaim);
/* Frees all nodes; no reader is inside. */
void cq_table_wipe(struct cq_table *table);

/* Begins a change: sets aside memory so that `num` following calls of cq_table_set cannot fail.
 * CQ_ERR_NOMEM changes nothing; with num 0 it cannot fail. */
CQ_MUST_CHECK enum cq_err cq_table_reserve(struct cq_table *table, size_t num);
/* Gives back what was set aside and not used. */
void cq_table_release(struct cq_table *table);

/* The prefix (valid, host bits zero) belongs to peer from now on. Only after cq_table_reserve. */
void cq_table_set(struct cq_table *table, const struct cq_prefix *prefix,
                  struct cq_path_peer *peer);

/* Removes the prefix if it belongs to peer and was not set by this very change. Needs no memory. */
void cq_table_remove(struct cq_table *table, const struct cq_prefix *prefix,
                     const struct cq_path_peer *peer);

/* Reader: whom the address (4 or 16 bytes) belongs to; NULL: nobody. */
struct cq_path_peer *cq_table_find4(const struct cq_table *table, const uint8_t *address);
struct cq_path_peer *cq_table_find6(const struct cq_table *table, const uint8_t *address);

#endif
