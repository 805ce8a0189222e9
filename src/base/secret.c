#include "base/secret.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * A block is a header, `size` bytes of payload and a canary right behind them:
 *
 *     | header 16 | payload size | canary 8 | rest of the block, zero |
 *
 * Blocks come from chunks, in size classes (buckets) of four steps per doubling; a freed block goes
 * to the list of its bucket and never merges. What libcrypto asks for repeats itself, so this stays
 * small. Blocks above the largest bucket get a mapping of their own. Invariant: the payload of a
 * free block is zero, so that allocating clears nothing.
 */

enum {
    CHUNK_BYTES = 256 * 1024,
    HEADER_BYTES = 16,
    CANARY_BYTES = 8,
    MIN_BLOCK_BYTES = 64,
    MAX_BLOCK_BYTES = 32 * 1024,
    NUM_BUCKETS = 37, /* 64, 80, 96, 112, 128, 160, ... 32768 */
    BUCKET_LARGE = 0xfe,
    BUCKET_HEAP = 0xff,
};

struct header {
    uint64_t guard; /* tells a live block from a free or overwritten one */
    union {
        uint64_t meta;       /* of a live block: size << 8 | bucket */
        struct header *next; /* of a free one */
    };
};

_Static_assert(sizeof(struct header) == HEADER_BYTES, "header size");

/* At the start of every mapping: chunks, and large blocks with just one block behind it. */
struct mapping {
    struct mapping *next;
    struct mapping *prev;
    size_t len;
    uint64_t alive; /* 1; zero in a forked child, where the kernel wiped the pages */
};

_Static_assert(sizeof(struct mapping) % 16 == 0, "blocks are 16-byte aligned");

static struct {
    pthread_mutex_t mutex;
    struct mapping *mappings; /* newest first */
    struct mapping *first;    /* NULL: no arena */
    struct header *free[NUM_BUCKETS];
    uint8_t *bump; /* not handed out yet, in the newest chunk */
    size_t bump_len;
    size_t max_bytes;
    size_t mapped;
    size_t used;
    uint64_t num_allocations;
    bool require_lock;
} arena = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/*
 * Process-wide and constant, so that a block can be told from nonsense. Mixed from the kernel's 16
 * random bytes in such a way that neither half, which libc uses for guards of its own, can be
 * computed back from it.
 */
static uint64_t load_cookie(void)
{
    static _Atomic uint64_t cached;
    uint64_t cookie = atomic_load_explicit(&cached, memory_order_relaxed);
    uint64_t random[2] = {0};

    if (cookie != 0)
        return cookie;
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): that is how the kernel hands it over */
    const void *bytes = (const void *)getauxval(AT_RANDOM);
    if (bytes != NULL)
        memcpy(random, bytes, sizeof(random));
    cookie = random[0] * UINT64_C(0x9e3779b97f4a7c15) + random[1] * UINT64_C(0xc2b2ae3d27d4eb4f);
    cookie ^= cookie >> 32;
    cookie |= 1; /* 0 means "not loaded" */
    atomic_store_explicit(&cached, cookie, memory_order_relaxed);
    return cookie;
}

static uint64_t live_guard(const struct header *h)
{
    return load_cookie() ^ (uint64_t)(uintptr_t)h ^ h->meta;
}

static uint64_t free_guard(const struct header *h)
{
    return ~live_guard(h);
}

static uint8_t *payload(struct header *h)
{
    return (uint8_t *)h + HEADER_BYTES;
}

static unsigned header_bucket(const struct header *h)
{
    return (unsigned)(h->meta & 0xff);
}

static size_t header_size(const struct header *h)
{
    return (size_t)(h->meta >> 8);
}

/* A broken heap of secrets is no place to go on from. */
static void die_corrupt(void)
{
    static const char text[] = "event=secret_memory_corrupt\n";

    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    abort();
}

static void set_live(struct header *h, size_t size, unsigned bucket)
{
    h->meta = (uint64_t)size << 8 | bucket;
    h->guard = live_guard(h);
    memcpy(payload(h) + size, &h->guard, CANARY_BYTES);
}

static struct header *find_live(void *p)
{
    struct header *h = (struct header *)((uint8_t *)p - HEADER_BYTES);

    if (((uintptr_t)p & 15) != 0 || h->guard != live_guard(h) ||
        memcmp(payload(h) + header_size(h), &h->guard, CANARY_BYTES) != 0)
        die_corrupt();
    return h;
}

/* 64 + 16 * i for the first four, then four steps for every doubling. */
static size_t bucket_bytes(unsigned bucket)
{
    return (size_t)(4 + bucket % 4) << (bucket / 4 + 4);
}

static unsigned find_bucket(size_t block_bytes)
{
    if (block_bytes <= MIN_BLOCK_BYTES)
        return 0;
    unsigned top = 63 - (unsigned)__builtin_clzll(block_bytes - 1);
    return (top - 6) * 4 + (unsigned)((block_bytes - 1) >> (top - 2)) - 4 + 1;
}

/* In a forked child the arena's pages are zero: nothing in it may be used or trusted. */
static bool is_forked(void)
{
    return arena.first != NULL && arena.first->alive == 0;
}

static struct mapping *map_locked(size_t len)
{
    if (len > arena.max_bytes - arena.mapped)
        return NULL;
    struct mapping *m = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED)
        return NULL;
    bool hidden = madvise(m, len, MADV_DONTDUMP) == 0 && madvise(m, len, MADV_WIPEONFORK) == 0;
    bool locked = mlock(m, len) == 0;
    if (arena.require_lock && (!hidden || !locked)) {
        munmap(m, len);
        return NULL;
    }
    *m = (struct mapping){.next = arena.mappings, .len = len, .alive = 1};
    if (m->next != NULL)
        m->next->prev = m;
    arena.mappings = m;
    arena.mapped += len;
    return m;
}

static void unmap(struct mapping *m)
{
    if (m->next != NULL)
        m->next->prev = m->prev;
    if (m->prev != NULL)
        m->prev->next = m->next;
    else
        arena.mappings = m->next;
    arena.mapped -= m->len;
    size_t len = m->len;
    cq_wipe(m, len);
    munmap(m, len);
}

static void push_free(struct header *h, unsigned bucket)
{
    h->meta = 0;
    h->next = arena.free[bucket];
    h->guard = free_guard(h);
    arena.free[bucket] = h;
}

static struct header *pop_free(unsigned bucket)
{
    struct header *h = arena.free[bucket];

    if (h == NULL)
        return NULL;
    if (h->guard != free_guard(h))
        die_corrupt();
    arena.free[bucket] = h->next;
    return h;
}

static struct header *carve(size_t bytes)
{
    struct header *h = (struct header *)arena.bump;

    arena.bump += bytes;
    arena.bump_len -= bytes;
    return h;
}

/* Gives what is left of the present chunk to the free lists, largest pieces first. */
static void retire_bump(void)
{
    for (unsigned bucket = NUM_BUCKETS; bucket-- > 0;) {
        while (arena.bump_len >= bucket_bytes(bucket))
            push_free(carve(bucket_bytes(bucket)), bucket);
    }
    arena.bump_len = 0;
}

static bool add_chunk(void)
{
    struct mapping *m = map_locked(CHUNK_BYTES);

    if (m == NULL)
        return false;
    retire_bump();
    arena.bump = (uint8_t *)(m + 1);
    arena.bump_len = CHUNK_BYTES - sizeof(*m);
    return true;
}

static size_t page_round(size_t len)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (len + page - 1) / page * page;
}

static struct header *take_block(size_t block_bytes, unsigned *out_bucket)
{
    if (block_bytes > MAX_BLOCK_BYTES) {
        struct mapping *m = map_locked(page_round(sizeof(struct mapping) + block_bytes));
        *out_bucket = BUCKET_LARGE;
        return m != NULL ? (struct header *)(m + 1) : NULL;
    }
    unsigned bucket = find_bucket(block_bytes);
    *out_bucket = bucket;
    struct header *h = pop_free(bucket);
    if (h != NULL)
        return h;
    if (arena.bump_len < bucket_bytes(bucket) && !add_chunk())
        return NULL;
    return carve(bucket_bytes(bucket));
}

static void *alloc_arena(size_t size)
{
    unsigned bucket = 0;

    pthread_mutex_lock(&arena.mutex);
    struct header *h = take_block(HEADER_BYTES + size + CANARY_BYTES, &bucket);
    if (h != NULL) {
        set_live(h, size, bucket);
        arena.used += size;
        arena.num_allocations++;
    }
    pthread_mutex_unlock(&arena.mutex);
    return h != NULL ? payload(h) : NULL;
}

static void free_arena(struct header *h)
{
    unsigned bucket = header_bucket(h);
    size_t size = header_size(h);

    cq_wipe(payload(h), size + CANARY_BYTES);
    pthread_mutex_lock(&arena.mutex);
    arena.used -= size;
    if (bucket == BUCKET_LARGE)
        unmap((struct mapping *)(void *)h - 1);
    else
        push_free(h, bucket);
    pthread_mutex_unlock(&arena.mutex);
}

static void *alloc_heap(size_t size)
{
    struct header *h = calloc(1, HEADER_BYTES + size + CANARY_BYTES);

    if (h == NULL)
        return NULL;
    set_live(h, size, BUCKET_HEAP);
    return payload(h);
}

static void free_heap(struct header *h)
{
    cq_wipe(h, HEADER_BYTES + header_size(h) + CANARY_BYTES);
    free(h);
}

enum cq_err cq_secret_init(size_t max_bytes, bool require_lock)
{
    enum cq_err err = CQ_OK;

    if (arena.first != NULL)
        return CQ_ERR_STATE;
    arena.max_bytes = max_bytes > CHUNK_BYTES ? page_round(max_bytes) : CHUNK_BYTES;
    arena.require_lock = require_lock;
    pthread_mutex_lock(&arena.mutex);
    if (!add_chunk())
        err = require_lock ? CQ_ERR_PERM : CQ_ERR_NOMEM;
    else
        arena.first = arena.mappings;
    pthread_mutex_unlock(&arena.mutex);
    return err;
}

void cq_secret_shutdown(void)
{
    if (arena.first == NULL)
        return;
    bool forked = is_forked();
    /* The links between the mappings are gone in a forked child; they end with it. */
    while (!forked && arena.mappings != NULL)
        unmap(arena.mappings);
    memset(&arena, 0, sizeof(arena));
    pthread_mutex_init(&arena.mutex, NULL);
}

void *cq_secret_alloc(size_t size)
{
    if (size > PTRDIFF_MAX / 2)
        return NULL;
    if (arena.first == NULL)
        return alloc_heap(size);
    if (is_forked())
        return NULL;
    return alloc_arena(size);
}

/* How many bytes a live block can hold without moving. */
static size_t block_capacity(const struct header *h)
{
    unsigned bucket = header_bucket(h);

    if (bucket >= NUM_BUCKETS)
        return header_size(h);
    return bucket_bytes(bucket) - HEADER_BYTES - CANARY_BYTES;
}

static void resize_in_place(struct header *h, size_t size)
{
    size_t old = header_size(h);
    unsigned bucket = header_bucket(h);

    cq_wipe(payload(h) + old, CANARY_BYTES);
    if (size < old)
        cq_wipe(payload(h) + size, old - size);
    set_live(h, size, bucket);
    if (bucket == BUCKET_HEAP)
        return;
    pthread_mutex_lock(&arena.mutex);
    arena.used = arena.used - old + size;
    pthread_mutex_unlock(&arena.mutex);
}

void *cq_secret_realloc(void *p, size_t size)
{
    if (p == NULL)
        return cq_secret_alloc(size);
    if (is_forked())
        return NULL;
    struct header *h = find_live(p);
    size_t old = header_size(h);
    if (size <= block_capacity(h) && size >= old / 2) {
        resize_in_place(h, size);
        return p;
    }
    void *moved = cq_secret_alloc(size);
    if (moved == NULL)
        return NULL;
    memcpy(moved, p, old < size ? old : size);
    cq_secret_free(p);
    return moved;
}

void cq_secret_free(void *p)
{
    if (p == NULL || is_forked())
        return;
    struct header *h = find_live(p);
    unsigned bucket = header_bucket(h);
    if (bucket == BUCKET_HEAP)
        free_heap(h);
    else if (bucket == BUCKET_LARGE || bucket < NUM_BUCKETS)
        free_arena(h);
    else
        die_corrupt();
}

void cq_secret_usage(size_t *out_used, size_t *out_mapped)
{
    pthread_mutex_lock(&arena.mutex);
    *out_used = arena.used;
    *out_mapped = arena.mapped;
    pthread_mutex_unlock(&arena.mutex);
}

uint64_t cq_secret_num_allocations(void)
{
    pthread_mutex_lock(&arena.mutex);
    uint64_t num = arena.num_allocations;
    pthread_mutex_unlock(&arena.mutex);
    return num;
}

static void *alloc_interface(void *ctx, size_t size)
{
    (void)ctx;
    return cq_secret_alloc(size);
}

static void free_interface(void *ctx, void *p, size_t size)
{
    (void)ctx;
    (void)size; /* the block knows its own size */
    cq_secret_free(p);
}

const struct cq_allocator cq_secret_allocator = {.alloc = alloc_interface, .free = free_interface};
