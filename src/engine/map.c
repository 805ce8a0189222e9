#include "engine/map.h"

#include <string.h>

enum { MAP_MIN = 16 };

void cq_map_init(struct cq_map *map, const struct cq_allocator *allocator)
{
    memset(map, 0, sizeof(*map));
    map->allocator = allocator;
}

void cq_map_wipe(struct cq_map *map)
{
    if (map->entries != NULL)
        cq_free(map->allocator, map->entries, map->capacity * sizeof(*map->entries));
    cq_map_init(map, map->allocator);
}

/* Fibonacci hashing: keys may share low bits. */
static uint32_t home(const struct cq_map *map, uint32_t key)
{
    return (key * UINT32_C(2654435769)) & (map->capacity - 1);
}

static void put(struct cq_map *map, uint32_t key, uint32_t value)
{
    uint32_t i = home(map, key);
    while (map->entries[i].value != CQ_MAP_EMPTY)
        i = (i + 1) & (map->capacity - 1);
    map->entries[i] = (struct cq_map_entry){.key = key, .value = value};
    map->num_used++;
}

static enum cq_err grow(struct cq_map *map)
{
    struct cq_map old = *map;
    uint32_t capacity = old.capacity == 0 ? MAP_MIN : old.capacity * 2;
    struct cq_map_entry *entries = cq_alloc(map->allocator, capacity * sizeof(*entries));
    if (entries == NULL)
        return CQ_ERR_NOMEM;
    for (uint32_t i = 0; i < capacity; i++)
        entries[i].value = CQ_MAP_EMPTY;
    map->entries = entries;
    map->capacity = capacity;
    map->num_used = 0;
    for (uint32_t i = 0; i < old.capacity; i++)
        if (old.entries[i].value != CQ_MAP_EMPTY)
            put(map, old.entries[i].key, old.entries[i].value);
    cq_map_wipe(&old);
    return CQ_OK;
}

enum cq_err cq_map_add(struct cq_map *map, uint32_t key, uint32_t value)
{
    if ((map->num_used + 1) * 2 > map->capacity) {
        enum cq_err err = grow(map);
        if (err != CQ_OK)
            return err;
    }
    put(map, key, value);
    return CQ_OK;
}

/* Moves later entries of the run back over the hole at i, so that no search ends early. */
static void close_hole(struct cq_map *map, uint32_t i)
{
    uint32_t mask = map->capacity - 1;
    for (uint32_t j = (i + 1) & mask; map->entries[j].value != CQ_MAP_EMPTY; j = (j + 1) & mask) {
        uint32_t h = home(map, map->entries[j].key);
        if (((j - h) & mask) >= ((j - i) & mask)) {
            map->entries[i] = map->entries[j];
            i = j;
        }
    }
    map->entries[i].value = CQ_MAP_EMPTY;
}

void cq_map_remove(struct cq_map *map, uint32_t key, uint32_t value)
{
    if (map->capacity == 0)
        return;
    uint32_t mask = map->capacity - 1;
    for (uint32_t i = home(map, key); map->entries[i].value != CQ_MAP_EMPTY; i = (i + 1) & mask) {
        if (map->entries[i].key == key && map->entries[i].value == value) {
            close_hole(map, i);
            map->num_used--;
            return;
        }
    }
}

uint32_t cq_map_next(const struct cq_map *map, uint32_t key, uint32_t *cursor)
{
    if (map->capacity == 0)
        return CQ_MAP_EMPTY;
    uint32_t mask = map->capacity - 1;
    for (;;) {
        const struct cq_map_entry *e = &map->entries[(home(map, key) + *cursor) & mask];
        if (e->value == CQ_MAP_EMPTY)
            return CQ_MAP_EMPTY;
        (*cursor)++;
        if (e->key == key)
            return e->value;
    }
}
