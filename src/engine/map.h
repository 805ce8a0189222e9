/*
 * A hash multimap from 32-bit keys to 32-bit values: open addressing, growing through the engine's
 * allocator. Keys are expected to be random (session indices, hashes). Used by the engine alone.
 */
#ifndef CQ_ENGINE_MAP_H
#define CQ_ENGINE_MAP_H

#include "base/err.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>

struct cq_map_entry {
    uint32_t key;
    uint32_t value; /* CQ_MAP_EMPTY: free */
};

#define CQ_MAP_EMPTY UINT32_MAX

struct cq_map {
    const struct cq_allocator *allocator;
    struct cq_map_entry *entries;
    uint32_t capacity; /* a power of two, or 0 */
    uint32_t num_used;
};

void cq_map_init(struct cq_map *map, const struct cq_allocator *allocator);
void cq_map_wipe(struct cq_map *map);

/* Adds a pair; value is not CQ_MAP_EMPTY. CQ_ERR_NOMEM changes nothing. */
CQ_MUST_CHECK enum cq_err cq_map_add(struct cq_map *map, uint32_t key, uint32_t value);

/* Removes one such pair, if there is one. */
void cq_map_remove(struct cq_map *map, uint32_t key, uint32_t value);

/* The values of a key one after the other: *cursor starts at 0. CQ_MAP_EMPTY at the end. The map
 * must not change meanwhile. */
uint32_t cq_map_next(const struct cq_map *map, uint32_t key, uint32_t *cursor);

#endif
