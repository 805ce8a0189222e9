#include "world.h"

#include "crypto/crypto.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const char *const world_property_names[WORLD_NUM_PROPERTIES] = {
#define X(symbol, name) name,
    WORLD_PROPERTIES(X)
#undef X
};

void *world_alloc(size_t size)
{
    void *p = calloc(1, size);
    if (p == NULL)
        lab_die("no memory");
    return p;
}

void *world_grow(void *p, size_t size)
{
    p = realloc(p, size);
    if (p == NULL)
        lab_die("no memory");
    return p;
}

/* ---- randomness ---- */

static uint64_t scramble(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

void world_stream(struct lab_rng *out, const struct world *world, const char *what, uint64_t a,
                  uint64_t b)
{
    uint64_t seed = scramble(world->options.seed + UINT64_C(0x9e3779b97f4a7c15));
    for (const char *c = what; *c != '\0'; c++)
        seed = scramble(seed ^ (uint8_t)*c);
    seed = scramble(seed ^ scramble(a + 1)) ^ scramble(b + UINT64_C(0x100000001));
    lab_rng_seed(out, seed);
}

bool world_chance(struct lab_rng *rng, double probability)
{
    return lab_rng_unit(rng) < probability;
}

cq_time world_between(struct lab_rng *rng, cq_time low, cq_time high)
{
    return low + (cq_time)lab_rng_below(rng, (uint64_t)(high - low));
}

/* ---- the hash over everything that happens ---- */

void world_mix_number(struct world *world, uint64_t number)
{
    uint64_t h = (world->hash ^ number) * UINT64_C(0x9fb21c651e98df25);
    world->hash = h ^ h >> 32;
}

void world_mix(struct world *world, const void *data, size_t len)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < len; i += 8) {
        uint64_t word = 0;
        memcpy(&word, p + i, len - i < 8 ? len - i : 8);
        world_mix_number(world, word);
    }
}

/* ---- the queue: a heap by time, then by order of insertion ---- */

static bool before(const struct world_entry *a, const struct world_entry *b)
{
    return a->when != b->when ? a->when < b->when : a->serial < b->serial;
}

void world_queue(struct world *world, cq_time when, enum world_entry_kind kind, void *object)
{
    if (world->num_queued == world->max_queued) {
        world->max_queued = world->max_queued == 0 ? 256 : world->max_queued * 2;
        world->queue = world_grow(world->queue, world->max_queued * sizeof(*world->queue));
    }
    struct world_entry e = {
        .when = when, .serial = world->serial++, .kind = kind, .object = object};
    size_t at = world->num_queued++;
    while (at > 0 && before(&e, &world->queue[(at - 1) / 2])) {
        world->queue[at] = world->queue[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    world->queue[at] = e;
}

static struct world_entry pop(struct world *world)
{
    struct world_entry first = world->queue[0];
    struct world_entry last = world->queue[--world->num_queued];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= world->num_queued)
            break;
        if (child + 1 < world->num_queued && before(&world->queue[child + 1], &world->queue[child]))
            child++;
        if (before(&last, &world->queue[child]))
            break;
        world->queue[at] = world->queue[child];
        at = child;
    }
    world->queue[at] = last;
    return first;
}

/* ---- time ---- */

static void check_all_memory(struct world *world)
{
    for (unsigned i = 0; i < world->num_nodes; i++)
        world_check_memory(world->nodes[i]);
    world_queue(world, world->now + (world->light ? SECS(20) : SECS(1)), WORLD_SECOND, NULL);
}

static void step(struct world *world, struct world_entry e)
{
    world->now = e.when;
    world->totals.events++;
    switch (e.kind) {
    case WORLD_ARRIVAL:
        world_arrive(world, e.object);
        break;
    case WORLD_WAKE:
        if (((struct world_node *)e.object)->wake == e.when)
            world_on_wake(e.object);
        break;
    case WORLD_FLOW:
        world_flow_tick(e.object);
        break;
    case WORLD_FAULT_BEGIN:
        world_fault_begin(e.object);
        break;
    case WORLD_FAULT_STEP:
        world_fault_step(e.object);
        break;
    case WORLD_FAULT_END:
        world_fault_end(e.object);
        break;
    case WORLD_KEY_CHECK:
        world_keys_check(world, e.object);
        break;
    case WORLD_RESOLVED:
        world_set_endpoint(e.object);
        break;
    case WORLD_SECOND:
        check_all_memory(world);
        break;
    case WORLD_PLANTING:
        world_plant(world);
        break;
    }
}

void world_run_until(struct world *world, cq_time until)
{
    while (world->num_queued > 0 && world->queue[0].when <= until && world->num_violations == 0)
        step(world, pop(world));
    if (world->num_violations == 0)
        world->now = until;
}

/* ---- the world ---- */

struct world *world_new(const struct world_options *options)
{
    struct world *world = world_alloc(sizeof(*world));
    if (cq_crypto_init(false) != CQ_OK)
        lab_die("no libcrypto");
    world->options = *options;
    world->now = world->began = SECS(1000);
    size_t size = CQ_PATH_DATAGRAM_MAX + CQ_AEAD_TAG_LEN;
    world->out_buf = world_alloc(size);
    cq_path_out_init(&world->out, world->out_buf, size);
    cq_path_in_init(&world->in, false, false, false);
    world->keys = world_keys_new(world);
    world->attacker = world_attacker_new(world);
    return world;
}

static void free_queue(struct world *world)
{
    for (size_t i = 0; i < world->num_queued; i++) {
        if (world->queue[i].kind == WORLD_ARRIVAL)
            free(world->queue[i].object);
        if (world->queue[i].kind == WORLD_KEY_CHECK)
            free(world->queue[i].object);
    }
    free(world->queue);
}

void world_free(struct world *world)
{
    for (unsigned i = 0; i < world->num_nodes; i++)
        world_node_free(world->nodes[i]);
    free_queue(world);
    for (unsigned i = 0; i < world->num_pairs; i++)
        free(world->pairs[i]);
    for (unsigned i = 0; i < world->num_nats; i++)
        free(world->nats[i].mappings);
    world_keys_free(world->keys);
    world_attacker_free(world->attacker);
    free(world->hoarded);
    free(world->nats);
    free(world->pairs);
    free(world->nodes);
    free(world->out_buf);
    free(world);
}

void world_trace(struct world *world, const char *format, ...)
{
    va_list args;
    if (world->options.trace == NULL || world->mute)
        return;
    fprintf(world->options.trace, "%10.3f  ", (double)(world->now - world->began) / 1e9);
    va_start(args, format);
    vfprintf(world->options.trace, format, args);
    va_end(args);
    fputc('\n', world->options.trace);
}
