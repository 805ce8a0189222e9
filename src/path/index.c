#include "path/index.h"

enum { FIRST_SIZE = 16 };

/* A slot is empty (keypair NULL, not used), live, or was removed (keypair NULL, used); a slot is
 * used at most once, so its idx never changes under a reader that saw it used. */
struct slot {
    _Atomic uint64_t tag; /* idx | USED */
    _Atomic(struct cq_keypair *) keypair;
};

#define USED (UINT64_C(1) << 32)

struct cq_index_slots {
    struct cq_retired retired;
    uint32_t size; /* a power of two */
    uint32_t num_used;
    uint32_t num_live;
    struct slot slots[];
};

static size_t slots_bytes(uint32_t size)
{
    return sizeof(struct cq_index_slots) + size * sizeof(struct slot);
}

static void destroy_slots(const struct cq_allocator *allocator, struct cq_retired *object)
{
    cq_free(allocator, object, slots_bytes(((struct cq_index_slots *)object)->size));
}

void cq_index_init(struct cq_index *index, struct cq_reclaim *reclaim)
{
    *index = (struct cq_index){.reclaim = reclaim};
}

void cq_index_wipe(struct cq_index *index)
{
    struct cq_index_slots *s = cq_see(&index->slots);

    if (s != NULL)
        destroy_slots(index->reclaim->allocator, &s->retired);
    cq_publish(&index->slots, NULL);
}

static void put(struct cq_index_slots *s, uint32_t idx, struct cq_keypair *keypair)
{
    uint32_t i = idx & (s->size - 1);

    while ((cq_see(&s->slots[i].tag) & USED) != 0)
        i = (i + 1) & (s->size - 1);
    cq_publish(&s->slots[i].keypair, keypair);
    cq_publish(&s->slots[i].tag, idx | USED);
    s->num_used++;
    s->num_live++;
}

/* Makes room for one more entry: a new table without the removed ones. */
static enum cq_err make_room(struct cq_index *index)
{
    struct cq_index_slots *old = cq_see(&index->slots);
    uint32_t size = FIRST_SIZE;

    if (old != NULL && old->num_used < old->size / 2)
        return CQ_OK;
    while (old != NULL && old->num_live >= size / 4)
        size *= 2;
    struct cq_index_slots *s = cq_alloc(index->reclaim->allocator, slots_bytes(size));
    if (s == NULL)
        return CQ_ERR_NOMEM;
    s->size = size;
    for (uint32_t i = 0; old != NULL && i < old->size; i++) {
        struct cq_keypair *keypair = cq_see(&old->slots[i].keypair);
        if (keypair != NULL)
            put(s, (uint32_t)cq_see(&old->slots[i].tag), keypair);
    }
    cq_publish(&index->slots, s);
    if (old != NULL)
        cq_reclaim_retire(index->reclaim, &old->retired, destroy_slots);
    return CQ_OK;
}

static struct slot *find_slot(struct cq_index_slots *s, uint32_t idx)
{
    if (s == NULL)
        return NULL;
    /* At most half of the slots are used, so the search ends. */
    for (uint32_t i = idx & (s->size - 1);; i = (i + 1) & (s->size - 1)) {
        uint64_t tag = cq_see(&s->slots[i].tag);
        if ((tag & USED) == 0)
            return NULL;
        if ((uint32_t)tag == idx && cq_see(&s->slots[i].keypair) != NULL)
            return &s->slots[i];
    }
}

enum cq_err cq_index_add(struct cq_index *index, uint32_t idx, struct cq_keypair *keypair)
{
    if (cq_index_find(index, idx) != NULL)
        return CQ_ERR_EXISTS;
    enum cq_err err = make_room(index);
    if (err == CQ_OK)
        put(cq_see(&index->slots), idx, keypair);
    return err;
}

void cq_index_remove(struct cq_index *index, uint32_t idx)
{
    struct cq_index_slots *s = cq_see(&index->slots);
    struct slot *slot = find_slot(s, idx);

    if (slot == NULL)
        return;
    cq_publish(&slot->keypair, NULL);
    s->num_live--;
}

struct cq_keypair *cq_index_find(const struct cq_index *index, uint32_t idx)
{
    struct slot *slot = find_slot(cq_see(&index->slots), idx);

    return slot != NULL ? cq_see(&slot->keypair) : NULL;
}
