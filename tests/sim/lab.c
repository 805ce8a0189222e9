#include "lab.h"

#include "base/mem.h"
#include "crypto/crypto.h"
#include "proto/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void lab_die(const char *what)
{
    fprintf(stderr, "lab: %s\n", what);
    abort();
}

/* ---- randomness ---- */

void lab_rng_seed(struct lab_rng *rng, uint64_t seed)
{
    for (unsigned i = 0; i < 4; i++) { /* splitmix64 */
        seed += UINT64_C(0x9e3779b97f4a7c15);
        uint64_t z = seed;
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        rng->s[i] = z ^ z >> 31;
    }
}

static uint64_t rotl(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

uint64_t lab_rng_next(struct lab_rng *rng)
{
    uint64_t *s = rng->s;
    uint64_t out = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}

uint64_t lab_rng_below(struct lab_rng *rng, uint64_t n)
{
    return lab_rng_next(rng) % n;
}

double lab_rng_unit(struct lab_rng *rng)
{
    return (double)(lab_rng_next(rng) >> 11) * 0x1p-53;
}

/* ---- memory ---- */

static void *alloc_counted(void *ctx, size_t size)
{
    struct lab_memory *m = ctx;
    if (m->countdown >= 0 && m->countdown-- == 0) {
        m->failed = true;
        return NULL;
    }
    m->live++;
    return cq_alloc(&cq_heap_allocator, size);
}

static void free_counted(void *ctx, void *p, size_t size)
{
    struct lab_memory *m = ctx;
    m->live -= p != NULL;
    cq_free(&cq_heap_allocator, p, size);
}

/* ---- the world ---- */

struct lab *lab_new(uint64_t seed)
{
    struct lab *lab = calloc(1, sizeof(*lab));
    if (lab == NULL || cq_crypto_init(false) != CQ_OK)
        lab_die("no memory, or no libcrypto");
    lab->now = 1000 * CQ_NS_PER_S; /* not 0: nothing may depend on where the clock starts */
    lab_rng_seed(&lab->rng, seed);
    lab->memory.countdown = -1;
    lab->allocator = (struct cq_allocator){alloc_counted, free_counted, &lab->memory};
    size_t size = CQ_PATH_DATAGRAM_MAX + CQ_AEAD_TAG_LEN;
    lab->out_buf = malloc(size);
    if (lab->out_buf == NULL)
        lab_die("no memory");
    cq_path_out_init(&lab->out, lab->out_buf, size);
    cq_path_in_init(&lab->in, false, false, false);
    return lab;
}

void lab_free(struct lab *lab)
{
    lab_record(lab, false);
    lab_record(lab, true);
    for (unsigned i = 0; i < lab->num_nodes; i++)
        lab_node_free(lab->nodes[i]);
    for (size_t i = 0; i < lab->num_queued; i++)
        free(lab->queue[i].datagram);
    long live = lab->memory.live;
    free(lab->nodes);
    free(lab->queue);
    free(lab->sent);
    free(lab->out_buf);
    free(lab);
    if (live != 0)
        lab_die("engine or path leaked memory");
}

/* ---- the queue: a heap by time, then by order of insertion ---- */

static bool before(const struct lab_entry *a, const struct lab_entry *b)
{
    return a->when != b->when ? a->when < b->when : a->serial < b->serial;
}

void lab_queue(struct lab *lab, const struct lab_entry *entry)
{
    if (lab->num_queued == lab->max_queued) {
        lab->max_queued = lab->max_queued == 0 ? 64 : lab->max_queued * 2;
        lab->queue = realloc(lab->queue, lab->max_queued * sizeof(*lab->queue));
        if (lab->queue == NULL)
            lab_die("no memory");
    }
    size_t at = lab->num_queued++;
    struct lab_entry e = *entry;
    e.serial = lab->serial++;
    while (at > 0 && before(&e, &lab->queue[(at - 1) / 2])) {
        lab->queue[at] = lab->queue[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    lab->queue[at] = e;
}

static struct lab_entry pop(struct lab *lab)
{
    struct lab_entry first = lab->queue[0];
    struct lab_entry last = lab->queue[--lab->num_queued];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= lab->num_queued)
            break;
        if (child + 1 < lab->num_queued && before(&lab->queue[child + 1], &lab->queue[child]))
            child++;
        if (before(&last, &lab->queue[child]))
            break;
        lab->queue[at] = lab->queue[child];
        at = child;
    }
    lab->queue[at] = last;
    return first;
}

/* ---- the network ---- */

struct lab_node *lab_node_at(const struct lab *lab, const struct cq_addr *address)
{
    for (unsigned i = 0; i < lab->num_nodes; i++)
        if (cq_addr_equal(&lab->nodes[i]->address, address))
            return lab->nodes[i];
    return NULL;
}

static void remember_sent(struct lab *lab, const struct lab_datagram *d)
{
    if (lab->num_sent == lab->max_sent) {
        lab->max_sent = lab->max_sent == 0 ? 64 : lab->max_sent * 2;
        lab->sent = realloc(lab->sent, lab->max_sent * sizeof(*lab->sent));
        if (lab->sent == NULL)
            lab_die("no memory");
    }
    struct lab_datagram *copy = malloc(sizeof(*copy));
    if (copy == NULL)
        lab_die("no memory");
    *copy = *d;
    lab->sent[lab->num_sent++] = (struct lab_sent){.when = lab->now, .datagram = copy};
}

static void fly(struct lab_node *from, const struct lab_datagram *d)
{
    struct lab_datagram *copy = malloc(sizeof(*copy));
    if (copy == NULL)
        lab_die("no memory");
    copy->from = d->from;
    copy->to = d->to;
    copy->len = d->len;
    memcpy(copy->data, d->data, d->len);
    cq_time delay = from->link.delay;
    if (from->link.jitter > 0)
        delay += (cq_time)lab_rng_below(&from->lab->rng, (uint64_t)from->link.jitter);
    lab_queue(
        from->lab,
        &(struct lab_entry){.when = from->lab->now + delay, .kind = LAB_ARRIVAL, .datagram = copy});
}

void lab_transmit(struct lab_node *from, const struct cq_addr *to, const uint8_t *data, size_t len)
{
    struct lab *lab = from->lab;
    struct lab_datagram d = {.from = from->address, .to = *to, .len = len};
    const struct lab_link *link = &from->link;
    if (len > sizeof(d.data))
        lab_die("a datagram above what the laboratory takes");
    memcpy(d.data, data, len);
    from->sent[data[0] % LAB_TYPES]++;
    if (lab->recording)
        remember_sent(lab, &d);
    bool lost = lab->filter != NULL && !lab->filter(lab->filter_ctx, from, &d);
    /* Drawn in any case, so that a filter does not shift the rest of the run. */
    bool unlucky = link->loss > 0 && lab_rng_unit(&lab->rng) < link->loss;
    bool twice = link->duplicate > 0 && lab_rng_unit(&lab->rng) < link->duplicate;
    if (lost || unlucky) {
        lab->lost++;
        const struct lab_node *receiver = lab_node_at(lab, &d.to);
        if (data[0] == CQ_MSG_DATA && receiver != NULL)
            lab_flow_lost(from, receiver);
        return;
    }
    fly(from, &d);
    if (twice)
        fly(from, &d);
}

/* ---- time ---- */

static void arrive(struct lab *lab, struct lab_datagram *d)
{
    struct lab_node *node = lab_node_at(lab, &d->to);
    if (node != NULL && node->path != NULL)
        lab_deliver(node, &d->from, d->data, d->len);
    else
        lab->undeliverable++;
    free(d);
}

static void step(struct lab *lab)
{
    struct lab_entry e = pop(lab);
    lab->now = e.when;
    switch (e.kind) {
    case LAB_ARRIVAL:
        arrive(lab, e.datagram);
        break;
    case LAB_WAKE:
        if (e.node->wake == e.when)
            lab_node_wake(e.node);
        break;
    case LAB_FLOW:
        lab_flow_tick(e.flow);
        break;
    }
}

bool lab_run_while_not(struct lab *lab, bool (*done)(void *ctx), void *ctx, cq_time at_most)
{
    cq_time until = lab->now + at_most;
    for (;;) {
        if (done != NULL && done(ctx))
            return true;
        if (lab->num_queued == 0 || lab->queue[0].when > until)
            break;
        step(lab);
    }
    lab->now = until;
    return false;
}

void lab_run_until(struct lab *lab, cq_time until)
{
    if (until < lab->now)
        lab_die("time does not run backwards");
    (void)lab_run_while_not(lab, NULL, NULL, until - lab->now);
}

void lab_run_for(struct lab *lab, cq_time duration)
{
    lab_run_until(lab, lab->now + duration);
}

/* ---- recording ---- */

void lab_record(struct lab *lab, bool on)
{
    lab->recording = on;
    if (!on)
        return;
    for (size_t i = 0; i < lab->num_sent; i++)
        free(lab->sent[i].datagram);
    lab->num_sent = 0;
}

const struct lab_sent *lab_find_sent(const struct lab *lab, const struct lab_node *from,
                                     uint8_t type, size_t n)
{
    for (size_t i = 0; i < lab->num_sent; i++) {
        const struct lab_datagram *d = lab->sent[i].datagram;
        if (d->data[0] == type && (from == NULL || cq_addr_equal(&d->from, &from->address)) &&
            n-- == 0)
            return &lab->sent[i];
    }
    return NULL;
}

size_t lab_count_sent(const struct lab *lab, const struct lab_node *from, uint8_t type)
{
    size_t n = 0;
    while (lab_find_sent(lab, from, type, n) != NULL)
        n++;
    return n;
}
