/*
 * Replay window of one lane of a receiving key (docs/protocol.md section 5): which of the newest
 * records were opened. A ring of 64-bit blocks as in RFC 6479: advancing clears whole blocks and
 * shifts nothing.
 *
 * Concurrency: any number of threads may look and commit at the same time. cq_replay_look takes no
 * lock and may be outdated when it returns, which is why it only saves the work of opening;
 * cq_replay_commit is atomic and decides: of several threads that commit the same number exactly
 * one is told that it is fresh. It holds a spin lock for the few instructions that this takes (some
 * 300 ns where the window jumps by its whole width), so only threads of equal standing, the packet
 * workers, may commit.
 */
#ifndef CQ_PROTO_REPLAY_H
#define CQ_PROTO_REPLAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CQ_REPLAY_WINDOW_FIRST = 65536, /* records of lane 0 */
    CQ_REPLAY_WINDOW_OTHER = 8192,
};

struct cq_replay {
    _Atomic bool locked;
    uint32_t size;             /* records */
    _Atomic uint64_t next;     /* the newest committed number plus one; 0: none yet */
    _Atomic uint64_t blocks[]; /* size / 64 + 1 */
};

/* Bytes of a window for `size` records, a multiple of 64. */
static inline size_t cq_replay_bytes(uint32_t size)
{
    return sizeof(struct cq_replay) + (size / 64 + 1) * sizeof(uint64_t);
}

/* Makes an empty window in cq_replay_bytes(size) bytes of zeroed memory, 8-byte aligned. */
void cq_replay_init(struct cq_replay *window, uint32_t size);

/* Whether seq (below 2^56) looks fresh: not seen and not older than the window. */
bool cq_replay_look(const struct cq_replay *window, uint64_t seq);

/* Tests and sets: true when seq was fresh and is now seen. *out_newest: it is above all committed
 * before. */
bool cq_replay_commit(struct cq_replay *window, uint64_t seq, bool *out_newest);

#endif
