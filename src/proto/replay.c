#include "proto/replay.h"

#include <assert.h>

enum { BLOCK_BITS = 64 };

/* Constant divisors for the two sizes that exist, so that no division happens per record. */
static size_t block_of(const struct cq_replay *window, uint64_t seq)
{
    uint64_t block = seq / BLOCK_BITS;

    if (window->size == CQ_REPLAY_WINDOW_FIRST)
        return (size_t)(block % (CQ_REPLAY_WINDOW_FIRST / BLOCK_BITS + 1));
    if (window->size == CQ_REPLAY_WINDOW_OTHER)
        return (size_t)(block % (CQ_REPLAY_WINDOW_OTHER / BLOCK_BITS + 1));
    return (size_t)(block % (window->size / BLOCK_BITS + 1));
}

void cq_replay_init(struct cq_replay *window, uint32_t size)
{
    assert(size > 0 && size % BLOCK_BITS == 0);
    window->size = size;
    atomic_init(&window->locked, false);
    atomic_init(&window->next, 0);
    for (size_t i = 0; i <= size / BLOCK_BITS; i++)
        atomic_init(&window->blocks[i], 0);
}

static bool is_too_old(const struct cq_replay *window, uint64_t next, uint64_t seq)
{
    return seq < next && next - 1 - seq >= window->size;
}

bool cq_replay_look(const struct cq_replay *window, uint64_t seq)
{
    uint64_t next = atomic_load_explicit(&window->next, memory_order_relaxed);

    if (seq >= next)
        return true;
    if (is_too_old(window, next, seq))
        return false;
    uint64_t block =
        atomic_load_explicit(&window->blocks[block_of(window, seq)], memory_order_relaxed);
    return (block >> (seq % BLOCK_BITS) & 1) == 0;
}

/* Clears the blocks that begin to stand for numbers above the newest one so far. */
static void advance(struct cq_replay *window, uint64_t next, uint64_t seq)
{
    uint64_t num_blocks = window->size / BLOCK_BITS + 1;
    uint64_t first =
        next == 0 ? 0 : (next - 1) / BLOCK_BITS + 1; /* the first block not in use yet */
    uint64_t last = seq / BLOCK_BITS;

    if (last >= num_blocks && first < last - num_blocks + 1)
        first = last - num_blocks + 1;
    for (uint64_t b = first; b <= last; b++)
        atomic_store_explicit(&window->blocks[block_of(window, b * BLOCK_BITS)], 0,
                              memory_order_relaxed);
    atomic_store_explicit(&window->next, seq + 1, memory_order_relaxed);
}

bool cq_replay_commit(struct cq_replay *window, uint64_t seq, bool *out_newest)
{
    bool fresh = false;

    *out_newest = false;
    while (atomic_exchange_explicit(&window->locked, true, memory_order_acquire))
        ;
    uint64_t next = atomic_load_explicit(&window->next, memory_order_relaxed);
    if (!is_too_old(window, next, seq)) {
        if (seq >= next) {
            advance(window, next, seq);
            *out_newest = true;
        }
        _Atomic uint64_t *block = &window->blocks[block_of(window, seq)];
        uint64_t bits = atomic_load_explicit(block, memory_order_relaxed);
        uint64_t bit = UINT64_C(1) << (seq % BLOCK_BITS);
        fresh = (bits & bit) == 0;
        atomic_store_explicit(block, bits | bit, memory_order_relaxed);
    }
    atomic_store_explicit(&window->locked, false, memory_order_release);
    return fresh;
}
