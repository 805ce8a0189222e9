#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { STACK_WIPE_BYTES = 32 * 1024 };

void cq_wipe(void *p, size_t len)
{
    if (len == 0)
        return;
    memset(p, 0, len);
    /* The compiler must assume that somebody reads the zeroes through p. */
    __asm__ volatile("" : : "r"(p) : "memory");
}

/* Not inlined: the array must lie where the frames of earlier calls of the caller lay. */
__attribute__((noinline)) void cq_wipe_stack(void)
{
    uint8_t below[STACK_WIPE_BYTES];
    cq_wipe(below, sizeof(below));
}

bool cq_equal_ct(const void *a, const void *b, size_t len)
{
    const uint8_t *x = a;
    const uint8_t *y = b;
    uint8_t diff = 0;

    for (size_t i = 0; i < len; i++) {
        diff = (uint8_t)(diff | (x[i] ^ y[i]));
        /* Keeps the compiler from leaving the loop early or from branching on a partial result. */
        __asm__ volatile("" : "+r"(diff));
    }
    return diff == 0;
}

bool cq_is_zero_ct(const void *p, size_t len)
{
    const uint8_t *x = p;
    uint8_t any = 0;

    for (size_t i = 0; i < len; i++) {
        any = (uint8_t)(any | x[i]);
        __asm__ volatile("" : "+r"(any));
    }
    return any == 0;
}

static void *alloc_heap(void *ctx, size_t size)
{
    (void)ctx;
    return calloc(1, size);
}

static void free_heap(void *ctx, void *p, size_t size)
{
    (void)ctx;
    if (p == NULL)
        return;
    cq_wipe(p, size);
    free(p);
}

const struct cq_allocator cq_heap_allocator = {.alloc = alloc_heap, .free = free_heap};
