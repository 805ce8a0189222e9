/*
 * Session index -> keypair, for received records. Open addressing over a table that is replaced
 * when it gets full. One writer; readers without locks (path/reclaim.h). Indices are random and
 * chosen by this node, so nobody can aim at a slot.
 */
#ifndef CQ_PATH_INDEX_H
#define CQ_PATH_INDEX_H

#include "base/err.h"
#include "path/reclaim.h"

struct cq_keypair;
struct cq_index_slots;

struct cq_index {
    struct cq_reclaim *reclaim;
    _Atomic(struct cq_index_slots *) slots;
};

void cq_index_init(struct cq_index *index, struct cq_reclaim *reclaim);
void cq_index_wipe(struct cq_index *index);

/* CQ_ERR_EXISTS, CQ_ERR_NOMEM. */
CQ_MUST_CHECK enum cq_err cq_index_add(struct cq_index *index, uint32_t idx,
                                       struct cq_keypair *keypair);
void cq_index_remove(struct cq_index *index, uint32_t idx);

/* Reader: NULL where there is none. */
struct cq_keypair *cq_index_find(const struct cq_index *index, uint32_t idx);

#endif
