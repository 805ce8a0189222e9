/*
 * The packet path under fire: workers of two nodes seal and open on shared keypairs while a control
 * thread replaces everything that it may replace. Delays drawn from a seed sit between the steps of
 * the path itself (functions that the linker wraps, see meson.build, and the allocator).
 *
 * What is checked, besides what a thread sanitizer sees: no counter is sealed twice, no packet is
 * accepted twice, nothing is sealed or opened under a keypair whose removal was over before the
 * worker entered, nothing is sealed past its age, freed memory stays as it was left, and everything
 * is freed in the end. With the argument "unprotected" workers do not enter the path, which must
 * come out: the last test starts the program so.
 */
#include "packets.h"

#include "base/bytes.h"
#include "crypto/crypto.h"
#include "path/internal.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    MAX_WORKERS = 4,
    NUM_PEERS = 3,
    LIVE = 4,             /* sessions per peer */
    MAX_SESSIONS = 4096,  /* of one run */
    MAX_SEQ = 8192,       /* records of a lane that are remembered */
    MAX_PACKETS = 200000, /* of one worker */
    SLOT = 256,           /* bytes of a datagram */
    BATCH = 16,
    NUM_BATCHES = 32, /* on the wire in each direction */
    OUT_BYTES = 160 * 1024,
    POISON = 0xdb,
    CHAOS_STEPS = 3000,
    CHAOS_ROUNDS = 400, /* of every worker, at least */
};

static const uint32_t peer_numbers[NUM_PEERS] = {2, 7, 40};

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "check failed: " __VA_ARGS__);                                         \
            fputc('\n', stderr);                                                                   \
            _Exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* ---- delays ---- */

static _Thread_local uint64_t random_state;
static unsigned delay_rate; /* one in so many points waits; 0: none */

static uint64_t draw(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void seed_thread(uint64_t seed, uint64_t thread)
{
    random_state = (seed + 1) * 0x9e3779b97f4a7c15u ^ (thread + 1) * 0xbf58476d1ce4e5b9u;
    for (int i = 0; i < 8; i++)
        (void)draw();
}

static void delay(void)
{
    if (delay_rate == 0 || random_state == 0 || draw() % delay_rate != 0)
        return;
    uint64_t r = draw();
    if (r % 4 == 0) {
        struct timespec t = {.tv_nsec = (long)(r >> 8) % 60000};
        nanosleep(&t, NULL);
    } else {
        sched_yield();
    }
}

enum cq_err __real_cq_aead_open_batch(struct cq_aead *aead, struct cq_aead_op *ops, size_t num);
enum cq_err __wrap_cq_aead_open_batch(struct cq_aead *aead, struct cq_aead_op *ops, size_t num);
enum cq_err __real_cq_aead_seal_batch(struct cq_aead *aead, struct cq_aead_op *ops, size_t num);
enum cq_err __wrap_cq_aead_seal_batch(struct cq_aead *aead, struct cq_aead_op *ops, size_t num);
struct cq_keypair *__real_cq_index_find(const struct cq_index *index, uint32_t idx);
struct cq_keypair *__wrap_cq_index_find(const struct cq_index *index, uint32_t idx);
bool __real_cq_replay_commit(struct cq_replay *window, uint64_t seq, bool *out_newest);
bool __wrap_cq_replay_commit(struct cq_replay *window, uint64_t seq, bool *out_newest);
struct cq_path_peer *__real_cq_table_find4(const struct cq_table *table, const uint8_t *address);
struct cq_path_peer *__wrap_cq_table_find4(const struct cq_table *table, const uint8_t *address);

enum cq_err __wrap_cq_aead_open_batch(struct cq_aead *aead, struct cq_aead_op *ops, size_t num)
{
    delay();
    enum cq_err err = __real_cq_aead_open_batch(aead, ops, num);
    delay();
    return err;
}

enum cq_err __wrap_cq_aead_seal_batch(struct cq_aead *aead, struct cq_aead_op *ops, size_t num)
{
    delay();
    return __real_cq_aead_seal_batch(aead, ops, num);
}

struct cq_keypair *__wrap_cq_index_find(const struct cq_index *index, uint32_t idx)
{
    struct cq_keypair *keypair = __real_cq_index_find(index, idx);
    delay();
    return keypair;
}

bool __wrap_cq_replay_commit(struct cq_replay *window, uint64_t seq, bool *out_newest)
{
    delay();
    return __real_cq_replay_commit(window, seq, out_newest);
}

struct cq_path_peer *__wrap_cq_table_find4(const struct cq_table *table, const uint8_t *address)
{
    struct cq_path_peer *peer = __real_cq_table_find4(table, address);
    delay();
    return peer;
}

/* ---- memory: freed blocks are marked and kept until the end, so that every later write shows.
 * Nothing here synchronises threads: that would hide races. ---- */

struct block {
    struct block *next;
    size_t size;
};

static _Atomic(struct block *) graveyard;
static _Atomic int64_t num_live, num_freed;

static void *alloc_block(void *ctx, size_t size)
{
    (void)ctx;
    struct block *b = calloc(1, sizeof(*b) + size);
    if (b == NULL)
        return NULL;
    b->size = size;
    atomic_fetch_add_explicit(&num_live, 1, memory_order_relaxed);
    delay();
    return b + 1;
}

static void free_block(void *ctx, void *p, size_t size)
{
    (void)ctx;
    if (p == NULL)
        return;
    struct block *b = (struct block *)p - 1;
    CHECK(b->size == size, "freed with size %zu, allocated with %zu", size, b->size);
    memset(p, POISON, size);
    atomic_fetch_sub_explicit(&num_live, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&num_freed, 1, memory_order_relaxed);
    b->next = atomic_load_explicit(&graveyard, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&graveyard, &b->next, b, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
    delay();
}

static const struct cq_allocator allocator = {.alloc = alloc_block, .free = free_block};

/* Threads are gone: nothing is left, and nothing was written after it was freed. */
static void check_memory(void)
{
    struct block *b = atomic_load(&graveyard);

    CHECK(atomic_load(&num_live) == 0, "%lld blocks never freed",
          (long long)atomic_load(&num_live));
    while (b != NULL) {
        struct block *next = b->next;
        const uint8_t *p = (const uint8_t *)(b + 1);
        for (size_t i = 0; i < b->size; i++)
            CHECK(p[i] == POISON, "%zu bytes were written to after they were freed", b->size);
        free(b);
        b = next;
    }
    atomic_store(&graveyard, NULL);
}

/* ---- the world ---- */

struct datagram {
    uint8_t data[SLOT];
    size_t len;
};

struct wire {
    struct {
        pthread_mutex_t lock;
        size_t num;
        struct datagram datagrams[BATCH];
    } batches[NUM_BATCHES];
};

struct session {
    unsigned number; /* within the run */
    struct cq_keypair *keypair[2];
};

struct side {
    struct cq_path *path;
    struct cq_path_peer *peers[NUM_PEERS];
};

struct worker {
    struct world *world;
    unsigned side, number;
    pthread_t thread;
    uint32_t num_packets;
    _Atomic uint64_t rounds;
    uint64_t sealed, accepted;
    struct cq_path_out out;
    struct cq_path_in in;
    uint8_t out_buf[OUT_BYTES];
    uint8_t frame[PACKET_MAX];
    struct datagram opening[BATCH];
};

struct world {
    unsigned num_workers;
    uint64_t seed;
    bool unprotected;
    struct side sides[2];
    struct wire wires[2]; /* sealed by the side of that number */
    struct worker *workers[2][MAX_WORKERS];
    struct session live[NUM_PEERS][LIVE]; /* control thread; oldest first */
    unsigned num_live[NUM_PEERS];
    unsigned num_sessions;
    _Atomic cq_time now;
    _Atomic bool stop;
    _Atomic uint64_t stamp;                    /* removals so far */
    _Atomic uint64_t removed[2][MAX_SESSIONS]; /* number of the removal; 0: not removed */
    _Atomic cq_time send_until[MAX_SESSIONS];
    _Atomic uint64_t sealed[2][MAX_SESSIONS][MAX_WORKERS][MAX_SEQ / 64];
    _Atomic uint64_t accepted[2][MAX_WORKERS][MAX_PACKETS / 64];
};

static struct world world;

/* Whether the bit was clear; sets it. */
static bool take_bit(_Atomic uint64_t *words, uint64_t i)
{
    uint64_t bit = UINT64_C(1) << (i % 64);
    return (atomic_fetch_or_explicit(&words[i / 64], bit, memory_order_relaxed) & bit) == 0;
}

static uint32_t index_of(unsigned side, unsigned session)
{
    return 0x10000u * (side + 1) + session;
}

static struct cq_keypair_params make_params(unsigned side, unsigned session, cq_time now)
{
    struct cq_keypair_params p = {
        .suite = session % 2 == 0 ? CQ_SUITE_AES_256_GCM : CQ_SUITE_CHACHA20_POLY1305,
        .local_idx = index_of(side, session),
        .remote_idx = index_of(1 - side, session),
        .send_until = now + 300 * CQ_NS_PER_MS,
        .recv_until = now + 400 * CQ_NS_PER_MS,
        .rotate_at = now + 50 * CQ_NS_PER_MS,
    };

    memset(p.send_key, (int)(0x10 + side + session), sizeof(p.send_key));
    memset(p.recv_key, (int)(0x10 + 1 - side + session), sizeof(p.recv_key));
    memset(p.send_iv, (int)(0x30 + side), sizeof(p.send_iv));
    memset(p.recv_iv, (int)(0x30 + 1 - side), sizeof(p.recv_iv));
    return p;
}

static uint8_t address_of(unsigned side, unsigned peer)
{
    return (uint8_t)(10 * (side + 1) + peer);
}

static void set_prefixes(struct world *w, unsigned side, unsigned peer, unsigned variant)
{
    struct cq_prefix prefixes[] = {
        {{CQ_FAMILY_IPV4, {10, 0, 0, address_of(1 - side, peer)}}, 32},
        {{CQ_FAMILY_IPV6, {0xfd, [15] = address_of(1 - side, peer)}}, 128},
        {{CQ_FAMILY_IPV4, {10, 0, 0, 0}}, 24}, /* wanders from peer to peer */
        {{CQ_FAMILY_IPV4, {10, 0, 0, 16}}, 28},
    };

    CHECK(cq_path_peer_set_prefixes(w->sides[side].path, w->sides[side].peers[peer], prefixes,
                                    variant % 5) == CQ_OK,
          "set_prefixes");
}

static void set_endpoint(struct world *w, unsigned side, unsigned peer, unsigned variant)
{
    struct cq_path_endpoint e = {
        .route = {.remote = {.ip = {CQ_FAMILY_IPV4, {192, 0, 2, (uint8_t)variant}}, .port = 5000}},
        .validating = variant % 4 == 0,
        .received_bytes = 100000,
    };

    if (variant % 8 != 0)
        e.previous = (struct cq_route){
            .remote = {.ip = {CQ_FAMILY_IPV4, {192, 0, 2, 250}}, .port = 5000},
        };
    CHECK(cq_path_peer_set_endpoint(w->sides[side].path, w->sides[side].peers[peer], &e) == CQ_OK,
          "set_endpoint");
}

static void add_peer(struct world *w, unsigned side, unsigned peer)
{
    struct side *s = &w->sides[side];

    CHECK(cq_path_peer_add(s->path, peer_numbers[peer], &s->peers[peer]) == CQ_OK, "peer_add");
    set_prefixes(w, side, peer, 2);
    set_endpoint(w, side, peer, 1);
}

static void note_removed(struct world *w, unsigned side, unsigned session)
{
    uint64_t stamp = atomic_load_explicit(&w->stamp, memory_order_relaxed) + 1;

    atomic_store_explicit(&w->removed[side][session], stamp, memory_order_relaxed);
    atomic_store_explicit(&w->stamp, stamp, memory_order_release);
}

static void remove_keypair(struct world *w, unsigned side, struct session *s)
{
    if (s->keypair[side] == NULL)
        return;
    cq_path_keypair_remove(w->sides[side].path, s->keypair[side]);
    s->keypair[side] = NULL;
    note_removed(w, side, s->number);
}

static void remove_oldest(struct world *w, unsigned peer)
{
    struct session *s = &w->live[peer][0];
    unsigned first = (unsigned)draw() % 2;

    if (w->num_live[peer] == 0)
        return;
    remove_keypair(w, first, s);
    delay();
    remove_keypair(w, 1 - first, s);
    w->num_live[peer]--;
    memmove(s, s + 1, w->num_live[peer] * sizeof(*s));
}

static void add_session(struct world *w, unsigned peer)
{
    if (w->num_sessions >= MAX_SESSIONS)
        return;
    if (w->num_live[peer] == LIVE)
        remove_oldest(w, peer);
    cq_time now = atomic_load_explicit(&w->now, memory_order_relaxed);
    struct session s = {.number = w->num_sessions++};
    unsigned first = (unsigned)draw() % 2;
    for (unsigned i = 0; i < 2; i++) {
        unsigned side = i == 0 ? first : 1 - first;
        struct cq_keypair_params params = make_params(side, s.number, now);
        atomic_store_explicit(&w->send_until[s.number], params.send_until, memory_order_relaxed);
        CHECK(cq_path_keypair_add(w->sides[side].path, w->sides[side].peers[peer], &params,
                                  &s.keypair[side]) == CQ_OK,
              "keypair_add");
        delay();
    }
    for (unsigned side = 0; side < 2; side++)
        if (draw() % 8 != 0)
            cq_path_peer_set_current(w->sides[side].path, w->sides[side].peers[peer],
                                     s.keypair[side]);
    w->live[peer][w->num_live[peer]++] = s;
}

/* The peer goes with its keypairs and comes back without. */
static void replace_peer(struct world *w, unsigned side, unsigned peer)
{
    cq_path_peer_remove(w->sides[side].path, w->sides[side].peers[peer]);
    for (unsigned i = 0; i < w->num_live[peer]; i++) {
        struct session *s = &w->live[peer][i];
        if (s->keypair[side] != NULL)
            note_removed(w, side, s->number);
        s->keypair[side] = NULL;
    }
    delay();
    add_peer(w, side, peer);
}

static void look_around(struct world *w)
{
    for (unsigned side = 0; side < 2; side++) {
        struct cq_path_event event;
        while (cq_path_next_event(w->sides[side].path, &event))
            CHECK(event.type <= CQ_PATH_CLOSE, "an event of type %d", (int)event.type);
        for (unsigned p = 0; p < NUM_PEERS; p++) {
            struct cq_path_peer_status status;
            cq_path_peer_get_status(w->sides[side].peers[p], &status);
            cq_path_peer_arm_unanswered(w->sides[side].peers[p]);
            cq_path_peer_arm_unreplied(w->sides[side].peers[p]);
            for (unsigned i = 0; i < w->num_live[p]; i++) {
                struct cq_keypair_status keys;
                if (w->live[p][i].keypair[side] == NULL)
                    continue;
                cq_keypair_get_status(w->live[p][i].keypair[side], &keys);
                cq_path_keypair_set_rotate_at(w->live[p][i].keypair[side], atomic_load(&w->now));
            }
        }
    }
}

static void control_step(struct world *w)
{
    unsigned side = (unsigned)draw() % 2, peer = (unsigned)draw() % NUM_PEERS;
    unsigned r = (unsigned)draw() % 64, variant = (unsigned)draw() % 256;

    atomic_fetch_add_explicit(&w->now, CQ_NS_PER_MS, memory_order_relaxed);
    if (r < 24)
        add_session(w, peer);
    else if (r < 32)
        remove_oldest(w, peer);
    else if (r < 40)
        set_prefixes(w, side, peer, variant);
    else if (r < 48)
        set_endpoint(w, side, peer, variant);
    else if (r < 50)
        replace_peer(w, side, peer);
    else if (r < 52)
        cq_path_peer_set_current(w->sides[side].path, w->sides[side].peers[peer], NULL);
    else if (r < 60)
        look_around(w);
    else
        (void)cq_path_reclaim(w->sides[side].path);
    delay();
}

/* ---- workers ---- */

static uint64_t enter(struct worker *k)
{
    uint64_t stamp = atomic_load_explicit(&k->world->stamp, memory_order_acquire);

    delay();
    if (!k->world->unprotected)
        cq_path_enter(cq_path_get_worker(k->world->sides[k->side].path, k->number));
    return stamp;
}

static void leave(struct worker *k)
{
    delay();
    if (!k->world->unprotected)
        (void)!cq_path_leave(cq_path_get_worker(k->world->sides[k->side].path, k->number));
}

/* A record that this worker sealed after the removals up to `stamp`, at the time `now`. */
static void check_sealed(struct worker *k, const uint8_t *data, uint64_t stamp, cq_time now)
{
    struct world *w = k->world;
    uint32_t idx = cq_load_be32(data + 4);
    uint64_t counter = cq_load_be64(data + 8);
    unsigned session = idx & 0xffff, lane = (unsigned)(counter >> 56);
    uint64_t seq = counter & CQ_RECORD_SEQ_MAX;

    CHECK(idx >> 16 == 2 - k->side && session < MAX_SESSIONS, "a record to index %x", idx);
    CHECK(lane == k->number, "worker %u sealed on lane %u", k->number, lane);
    CHECK(seq >= MAX_SEQ || take_bit(w->sealed[k->side][session][lane], seq),
          "counter %llx of session %u sealed twice", (unsigned long long)counter, session);
    uint64_t removed = atomic_load_explicit(&w->removed[k->side][session], memory_order_relaxed);
    CHECK(removed == 0 || removed > stamp, "sealed under session %u, which was removed", session);
    CHECK(now < atomic_load_explicit(&w->send_until[session], memory_order_relaxed),
          "sealed under session %u, which was too old", session);
    k->sealed++;
}

/* Takes the records out, checks them and puts them on the wire. */
static void send_out(struct worker *k, uint64_t stamp, cq_time now)
{
    struct wire *wire = &k->world->wires[k->side];

    for (size_t i = 0; i < k->out.num_sends; i++) {
        const struct cq_path_send *send = &k->out.sends[i];
        unsigned to = (unsigned)draw() % NUM_BATCHES;
        size_t num = 0;
        pthread_mutex_lock(&wire->batches[to].lock);
        for (size_t at = 0; at < send->len; at += send->segment) {
            size_t len = send->len - at < send->segment ? send->len - at : send->segment;
            check_sealed(k, send->data + at, stamp, now);
            if (num == BATCH || len > SLOT)
                continue;
            memcpy(wire->batches[to].datagrams[num].data, send->data + at, len);
            wire->batches[to].datagrams[num++].len = len;
        }
        wire->batches[to].num = num;
        pthread_mutex_unlock(&wire->batches[to].lock);
    }
    cq_path_out_reset(&k->out);
}

/* A packet with an ID of its own at the end of its header. */
static struct cq_path_frame make_frame(struct worker *k, unsigned peer)
{
    struct packet_spec spec = packet_spec(4, 253, 40);

    spec.src = address_of(k->side, peer);
    spec.dst = address_of(1 - k->side, peer);
    struct cq_path_frame frame = {.data = k->frame, .len = packet_make(k->frame, &spec)};
    cq_store_be32(k->frame + 20, k->number);
    cq_store_be32(k->frame + 24, k->num_packets++);
    return frame;
}

static void seal_some(struct worker *k)
{
    struct cq_path_worker *path = cq_path_get_worker(k->world->sides[k->side].path, k->number);
    cq_time now = atomic_load_explicit(&k->world->now, memory_order_relaxed);
    uint64_t stamp = enter(k);
    unsigned num = (unsigned)draw() % 20, peer = (unsigned)draw() % NUM_PEERS;

    for (unsigned i = 0; i < num && k->num_packets < MAX_PACKETS; i++) {
        struct cq_path_frame frame = make_frame(k, peer);
        while (!cq_path_seal(path, &k->out, &frame, now))
            send_out(k, stamp, now);
        if (draw() % 8 == 0)
            peer = (unsigned)draw() % NUM_PEERS;
    }
    while (!cq_path_send_staged(path, &k->out, peer_numbers[peer], now))
        send_out(k, stamp, now);
    if (draw() % 16 == 0)
        cq_path_drop_staged(path, peer_numbers[(unsigned)draw() % NUM_PEERS]);
    if (k->number == 0 && k->out.num_sends > 0) {
        static const uint8_t keepalive[] = {1, 0, 0};
        struct cq_path_control control = {
            .local_idx = index_of(k->side, cq_load_be32(k->out.sends[0].data + 4) & 0xffff),
            .len = sizeof(keepalive),
            .data = keepalive,
        };
        while (!cq_path_seal_control(path, &k->out, &control, now))
            send_out(k, stamp, now);
    }
    leave(k);
    send_out(k, stamp, now);
}

static void check_accepted(struct worker *k, uint64_t stamp)
{
    struct world *w = k->world;

    for (size_t i = 0; i < k->in.num_frames; i++) {
        const struct cq_path_piece *piece = &k->in.pieces[k->in.frames[i].first];
        size_t slot = (size_t)(piece->data - k->opening[0].data) / sizeof(k->opening[0]);
        unsigned session = cq_load_be32(k->opening[slot].data + 4) & 0xffff;
        uint32_t worker = cq_load_be32(piece->data + 20), packet = cq_load_be32(piece->data + 24);
        CHECK(slot < BATCH && worker < MAX_WORKERS && packet < MAX_PACKETS, "a strange packet");
        CHECK(take_bit(w->accepted[1 - k->side][worker], packet), "packet %u accepted twice",
              packet);
        uint64_t removed =
            atomic_load_explicit(&w->removed[k->side][session], memory_order_relaxed);
        CHECK(removed == 0 || removed > stamp, "opened under session %u, which was removed",
              session);
        k->accepted++;
    }
}

/* Whatever batch comes: others open the same one, now or later. */
static void open_some(struct worker *k)
{
    struct wire *wire = &k->world->wires[1 - k->side];
    struct cq_path_worker *path = cq_path_get_worker(k->world->sides[k->side].path, k->number);
    struct cq_path_source source = {
        .route = {.remote = {.ip = {CQ_FAMILY_IPV4, {192, 0, 2, (uint8_t)draw()}}, .port = 5000}},
    };
    struct cq_path_datagram datagrams[BATCH];
    unsigned from = (unsigned)draw() % NUM_BATCHES;

    pthread_mutex_lock(&wire->batches[from].lock);
    size_t num = wire->batches[from].num;
    memcpy(k->opening, wire->batches[from].datagrams, num * sizeof(k->opening[0]));
    pthread_mutex_unlock(&wire->batches[from].lock);
    for (size_t i = 0; i < num; i++)
        datagrams[i] = (struct cq_path_datagram){k->opening[i].data, k->opening[i].len};
    cq_path_in_reset(&k->in);
    cq_time now = atomic_load_explicit(&k->world->now, memory_order_relaxed);
    uint64_t stamp = enter(k);
    cq_path_open(path, &k->in, &source, datagrams, num, now);
    leave(k);
    cq_path_in_finish(&k->in);
    check_accepted(k, stamp);
}

static void *run_worker(void *arg)
{
    struct worker *k = arg;

    seed_thread(k->world->seed, 1 + k->side * MAX_WORKERS + k->number);
    while (!atomic_load_explicit(&k->world->stop, memory_order_relaxed)) {
        if (draw() % 3 == 0)
            seal_some(k);
        else
            open_some(k);
        atomic_fetch_add_explicit(&k->rounds, 1, memory_order_relaxed);
    }
    return NULL;
}

/* ---- runs ---- */

static struct worker *new_worker(struct world *w, unsigned side, unsigned number)
{
    struct worker *k = calloc(1, sizeof(*k));

    CHECK(k != NULL, "no memory");
    k->world = w;
    k->side = side;
    k->number = number;
    cq_path_out_init(&k->out, k->out_buf, sizeof(k->out_buf));
    cq_path_in_init(&k->in, false, false, false);
    return k;
}

static void begin(struct world *w, unsigned num_workers, uint64_t seed, unsigned rate)
{
    static bool ready;
    struct cq_path_config config = {
        .allocator = &allocator, .num_workers = num_workers, .mtu = 1420};

    if (!ready)
        CHECK(cq_crypto_init(false) == CQ_OK, "crypto");
    ready = true;
    memset(w, 0, sizeof(*w));
    delay_rate = rate;
    w->num_workers = num_workers;
    w->seed = seed;
    atomic_store(&w->now, CQ_NS_PER_S);
    seed_thread(seed, 0);
    for (unsigned side = 0; side < 2; side++) {
        CHECK(cq_path_new(&w->sides[side].path, &config) == CQ_OK, "path_new");
        for (unsigned b = 0; b < NUM_BATCHES; b++)
            pthread_mutex_init(&w->wires[side].batches[b].lock, NULL);
        for (unsigned p = 0; p < NUM_PEERS; p++)
            add_peer(w, side, p);
        for (unsigned i = 0; i < num_workers; i++)
            w->workers[side][i] = new_worker(w, side, i);
    }
}

static void start(struct world *w, void *(*run)(void *), unsigned side)
{
    for (unsigned i = 0; i < w->num_workers; i++)
        CHECK(pthread_create(&w->workers[side][i]->thread, NULL, run, w->workers[side][i]) == 0,
              "pthread_create");
}

static void join(struct world *w, unsigned side)
{
    for (unsigned i = 0; i < w->num_workers; i++)
        pthread_join(w->workers[side][i]->thread, NULL);
}

static void end(struct world *w)
{
    for (unsigned side = 0; side < 2; side++) {
        CHECK(!cq_path_reclaim(w->sides[side].path), "something waits although nobody is inside");
        cq_path_free(w->sides[side].path);
        for (unsigned i = 0; i < w->num_workers; i++)
            free(w->workers[side][i]);
    }
    delay_rate = 0;
    check_memory();
}

static bool all_did_enough(const struct world *w)
{
    for (unsigned side = 0; side < 2; side++)
        for (unsigned i = 0; i < w->num_workers; i++)
            if (atomic_load_explicit(&w->workers[side][i]->rounds, memory_order_relaxed) <
                CHAOS_ROUNDS)
                return false;
    return true;
}

static void run_chaos(unsigned num_workers, uint64_t seed, unsigned rate, bool unprotected)
{
    struct world *w = &world;
    uint64_t sealed = 0, accepted = 0;

    begin(w, num_workers, seed, rate);
    w->unprotected = unprotected;
    for (unsigned p = 0; p < NUM_PEERS; p++)
        add_session(w, p);
    start(w, run_worker, 0);
    start(w, run_worker, 1);
    for (unsigned i = 0; i < CHAOS_STEPS || (!all_did_enough(w) && i < 20 * CHAOS_STEPS); i++)
        control_step(w);
    atomic_store(&w->stop, true);
    join(w, 0);
    join(w, 1);
    for (unsigned side = 0; side < 2; side++) {
        for (unsigned i = 0; i < num_workers; i++) {
            sealed += w->workers[side][i]->sealed;
            accepted += w->workers[side][i]->accepted;
        }
    }
    /* Else it was no test. */
    CHECK(sealed > 1000 && accepted > 100 && w->num_sessions > 500,
          "only %llu records sealed, %llu accepted, %u sessions", (unsigned long long)sealed,
          (unsigned long long)accepted, w->num_sessions);
    print_message("# seed %llu, %u workers a side: %u sessions, %llu records, %llu accepted\n",
                  (unsigned long long)seed, num_workers, w->num_sessions,
                  (unsigned long long)sealed, (unsigned long long)accepted);
    end(w);
}

static void test_chaos(void **state)
{
    static const struct {
        uint64_t seed;
        unsigned workers, rate;
    } runs[] = {{11, 1, 8}, {22, 2, 16}, {33, 4, 32}, {44, 4, 4}, {55, 3, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
        run_chaos(runs[i].workers, runs[i].seed, runs[i].rate, false);
}

/* ---- one keypair, all workers ---- */

enum {
    SHARED = 1500,
    ALL_SHARED = MAX_WORKERS * SHARED
}; /* packets of each worker: all lanes stay within their windows */

static struct datagram shared[ALL_SHARED];
static _Atomic size_t num_shared;

static void keep_sends(struct worker *k, uint64_t stamp, cq_time now)
{
    for (size_t i = 0; i < k->out.num_sends; i++) {
        const struct cq_path_send *send = &k->out.sends[i];
        for (size_t at = 0; at < send->len; at += send->segment) {
            size_t to = atomic_fetch_add_explicit(&num_shared, 1, memory_order_relaxed);
            CHECK(to < ALL_SHARED && send->segment <= SLOT, "too many records");
            check_sealed(k, send->data + at, stamp, now);
            memcpy(shared[to].data, send->data + at, send->segment);
            shared[to].len = send->segment;
        }
    }
    cq_path_out_reset(&k->out);
}

static void *seal_shared(void *arg)
{
    struct worker *k = arg;
    struct cq_path_worker *path = cq_path_get_worker(k->world->sides[0].path, k->number);
    cq_time now = atomic_load_explicit(&k->world->now, memory_order_relaxed);

    seed_thread(k->world->seed, 10 + k->number);
    while (k->num_packets < SHARED) {
        uint64_t stamp = enter(k);
        for (uint64_t n = 1 + draw() % 40; n > 0 && k->num_packets < SHARED; n--) {
            struct cq_path_frame frame = make_frame(k, 0);
            while (!cq_path_seal(path, &k->out, &frame, now))
                keep_sends(k, stamp, now);
        }
        leave(k);
        keep_sends(k, stamp, now);
    }
    return NULL;
}

static void *open_shared(void *arg)
{
    struct worker *k = arg;
    struct cq_path_worker *path = cq_path_get_worker(k->world->sides[1].path, k->number);
    struct cq_path_source source = {0};
    struct cq_path_datagram datagrams[BATCH];
    cq_time now = atomic_load_explicit(&k->world->now, memory_order_relaxed);
    size_t total = atomic_load(&num_shared), num;

    seed_thread(k->world->seed, 20 + k->number);
    for (size_t i = 0; i < total; i += num) {
        num = 1 + draw() % BATCH;
        if (num > total - i)
            num = total - i;
        memcpy(k->opening, &shared[i], num * sizeof(shared[0]));
        for (size_t j = 0; j < num; j++)
            datagrams[j] = (struct cq_path_datagram){k->opening[j].data, k->opening[j].len};
        cq_path_in_reset(&k->in);
        uint64_t stamp = enter(k);
        cq_path_open(path, &k->in, &source, datagrams, num, now);
        leave(k);
        check_accepted(k, stamp);
    }
    return NULL;
}

/* All workers seal on one keypair, then all workers of the other side open all the records at the
 * same time: each is accepted once, no more and no less. */
static void test_shared_keypair(void **state)
{
    (void)state;
    for (unsigned rate = 0; rate <= 6; rate += 3) {
        struct world *w = &world;
        uint64_t accepted = 0;
        begin(w, MAX_WORKERS, 7 + rate, rate);
        atomic_store(&num_shared, 0);
        while (w->num_live[0] == 0 || cq_see(&w->sides[0].peers[0]->current) == NULL)
            add_session(w, 0);
        start(w, seal_shared, 0);
        join(w, 0);
        assert_int_equal(atomic_load(&num_shared), ALL_SHARED);
        start(w, open_shared, 1);
        join(w, 1);
        for (unsigned i = 0; i < MAX_WORKERS; i++)
            accepted += w->workers[1][i]->accepted;
        assert_int_equal(accepted, ALL_SHARED);
        end(w);
    }
}

/* ---- the test can fail ---- */

/* How the program ends when workers do not enter the path. */
static int run_unprotected(void)
{
    enum { AT_MOST_SECONDS = 20 };
    int status;

    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        (void)setenv("TSAN_OPTIONS", "halt_on_error=1", 1);
        (void)alarm(AT_MOST_SECONDS);
        /* What it prints are the findings that it is for. */
        if (freopen("/dev/null", "w", stdout) == NULL || freopen("/dev/null", "w", stderr) == NULL)
            _Exit(0);
        execl("/proc/self/exe", "test_path_races", "unprotected", (char *)NULL);
        _Exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_unprotected_is_found(void **state)
{
    int status = 0;

    (void)state;
    /* Memory in use after it was freed may also make it run in circles, which shows nothing. */
    for (int i = 0; i < 4; i++) {
        status = run_unprotected();
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGALRM)
            break;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        fail_msg("workers that do not enter the path went unnoticed");
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        fail_msg("workers that do not enter the path hung each time");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared_keypair),
        cmocka_unit_test(test_chaos),
        cmocka_unit_test(test_unprotected_is_found),
    };

    if (argc > 1 && strcmp(argv[1], "unprotected") == 0) {
        for (uint64_t seed = 1; seed < 5; seed++)
            run_chaos(2, seed, 8, true);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
