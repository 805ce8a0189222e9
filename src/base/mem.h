/*
 * Memory helpers: erasing, constant-time comparison, and the allocator interface handed to pure
 * code.
 */
#ifndef CQ_BASE_MEM_H
#define CQ_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Overwrites len bytes with zero; never optimised away. p may be NULL when len is 0. */
void cq_wipe(void *p, size_t len);

/* Overwrites the unused stack below the caller (32 kB), where called functions may have left
 * secrets. */
void cq_wipe_stack(void);

/* Whether two byte strings of equal length are equal, in time that depends on len alone. */
bool cq_equal_ct(const void *a, const void *b, size_t len);

/* Whether all len bytes are zero, in time that depends on len alone. */
bool cq_is_zero_ct(const void *p, size_t len);

/*
 * Where pure code gets memory from, when a peer or a session comes into being. alloc returns zeroed
 * memory or NULL; free accepts NULL and wipes `size` bytes first.
 */
struct cq_allocator {
    void *(*alloc)(void *ctx, size_t size);
    void (*free)(void *ctx, void *p, size_t size);
    void *ctx;
};

static inline void *cq_alloc(const struct cq_allocator *a, size_t size)
{
    return a->alloc(a->ctx, size);
}

static inline void cq_free(const struct cq_allocator *a, void *p, size_t size)
{
    a->free(a->ctx, p, size);
}

/* calloc/free with wiping, for tests and tools. */
extern const struct cq_allocator cq_heap_allocator;

/* Where pure code gets randomness from. fill writes len bytes; anything but CQ_OK leaves the buffer
 * undefined. */
struct cq_random {
    int (*fill)(void *ctx, void *buf, size_t len); /* 0 on success, else an enum cq_err */
    void *ctx;
};

#endif
