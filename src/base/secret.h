/*
 * Locked memory for secrets that last: an arena of locked pages, left out of core dumps and wiped
 * in a forked child, from which libcrypto allocates as well (crypto/crypto.h). Everything is wiped
 * when freed. Thread-safe.
 */
#ifndef CQ_BASE_SECRET_H
#define CQ_BASE_SECRET_H

#include "base/err.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Makes the process's arena. It grows in chunks up to max_bytes. With require_lock, failing to lock
 * pages is an error (CQ_ERR_PERM); without it the arena works unlocked. CQ_ERR_STATE when it exists
 * already, CQ_ERR_NOMEM.
 */
CQ_MUST_CHECK enum cq_err cq_secret_init(size_t max_bytes, bool require_lock);

/* Wipes and unmaps the whole arena. Only when nothing allocated from it is in use any more. In a
 * forked child the arena is dead (its pages are zero): allocating gives NULL and freeing does
 * nothing until this call has put it away. */
void cq_secret_shutdown(void);

/* Zeroed memory of at least `size` bytes, 16-byte aligned, or NULL. Before cq_secret_init it comes
 * from the heap (tools and tests). */
void *cq_secret_alloc(size_t size);

/* Like realloc; the old block is wiped. NULL leaves the old block as it was. */
void *cq_secret_realloc(void *p, size_t size);

/* Wipes and frees; NULL is allowed. Aborts the process when the block was overrun or is free
 * already. */
void cq_secret_free(void *p);

/* Bytes in use and bytes mapped (locked) at present. */
void cq_secret_usage(size_t *out_used, size_t *out_mapped);

/* How many blocks the arena has handed out so far: what does not grow it does not allocate. */
uint64_t cq_secret_num_allocations(void);

/* The same as an allocator for pure code. */
extern const struct cq_allocator cq_secret_allocator;

#endif
