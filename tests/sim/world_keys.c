/*
 * Properties of keys: how long they live and send, that no nonce comes twice, that both ends mean
 * the same session. The linker puts the functions __wrap_* in the place of those of the product
 * (--wrap), which they call in turn.
 */
#include "world.h"

#include "base/bytes.h"
#include "crypto/aead.h"
#include "path/internal.h"
#include "proto/timers.h"
#include "proto/wire.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 4096, FIRST_MAP = 1024, FIRST_WORDS = 2 };

/* A sending key: who has it, and which counters it was used with. */
struct world_key {
    uint64_t hash;
    uint8_t iv[CQ_AEAD_NONCE_LEN];
    enum cq_suite suite;
    unsigned sender, receiver;         /* identities plus 1; 0: none yet */
    unsigned sender_of, receiver_of;   /* whose peer each takes the other for */
    uint32_t receiver_idx, header_idx; /* what the receiver goes by, what the sender writes */
    uint64_t *bits;
    size_t num_words;
};

/* What each end of a session has of it. */
struct world_end {
    bool known, has_sid;
    uint64_t send, recv; /* hashes of keys */
    cq_time life;
    uint8_t sid[8];
};
struct world_session {
    struct world_end ends[2]; /* that of the smaller identity first */
};

/* The keys of one session at one node. Freed by the check of its end. */
struct world_keypair {
    struct world_node *node;
    struct world_key *send;
    struct world_end *end, *other_end;
    cq_time began, life; /* of the world's clock */
    unsigned num_contexts;
};

struct context {
    const struct cq_aead *aead;
    struct world_keypair *keypair;
    bool seals;
    struct context *next;
};

struct slot {
    uint64_t hash; /* 0: free */
    void *value;
};
struct map {
    struct slot *slots;
    size_t size, used;
};

struct world_keys {
    struct world *world;
    struct context *contexts[BUCKETS];
    struct map keys, sessions, origins, single;
};

/* The world whose nodes run: what the wrapped functions belong to. */
static struct world *watched;
static struct world_keypair *in_the_making;

/* ---- maps from 64-bit hashes ---- */

static uint64_t hash_bytes(uint64_t h, const void *data, size_t len)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < len; i += 8) {
        uint64_t word = 0;
        memcpy(&word, p + i, len - i < 8 ? len - i : 8);
        h = (h ^ word) * UINT64_C(0x9fb21c651e98df25);
        h ^= h >> 29;
        h *= UINT64_C(0xbf58476d1ce4e5b9);
        h ^= h >> 32;
    }
    return h != 0 ? h : 1;
}

static void **find_slot(struct map *map, uint64_t hash)
{
    if (map->used * 4 >= map->size * 3) {
        struct map larger = {.size = map->size == 0 ? FIRST_MAP : map->size * 2};
        larger.slots = world_alloc(larger.size * sizeof(*larger.slots));
        for (size_t i = 0; i < map->size; i++)
            if (map->slots[i].hash != 0)
                *find_slot(&larger, map->slots[i].hash) = map->slots[i].value;
        free(map->slots);
        *map = larger;
    }
    size_t at = hash & (map->size - 1);
    while (map->slots[at].hash != 0 && map->slots[at].hash != hash)
        at = (at + 1) & (map->size - 1);
    map->used += map->slots[at].hash == 0;
    map->slots[at].hash = hash;
    return &map->slots[at].value;
}

struct world_keys *world_keys_new(struct world *world)
{
    struct world_keys *keys = world_alloc(sizeof(*keys));
    keys->world = world;
    watched = world;
    return keys;
}

static void free_contexts(struct world_keys *keys)
{
    for (unsigned i = 0; i < BUCKETS; i++) {
        while (keys->contexts[i] != NULL) {
            struct context *c = keys->contexts[i];
            keys->contexts[i] = c->next;
            free(c);
        }
    }
}

void world_keys_free(struct world_keys *keys)
{
    for (size_t i = 0; i < keys->keys.size; i++) {
        struct world_key *key = keys->keys.slots[i].value;
        if (key != NULL)
            free(key->bits);
        free(key);
    }
    for (size_t i = 0; i < keys->sessions.size; i++)
        free(keys->sessions.slots[i].value);
    free_contexts(keys);
    free(keys->keys.slots);
    free(keys->sessions.slots);
    free(keys->origins.slots);
    free(keys->single.slots);
    free(keys);
    watched = NULL;
}

/* ---- who sent which OFFER and ACCEPT ---- */

static bool makes_session(const uint8_t *data, size_t len)
{
    return len > CQ_ANSWER_HDR_LEN && (data[0] == CQ_MSG_OFFER || data[0] == CQ_MSG_ACCEPT);
}

void world_keys_sent(struct world_node *node, const uint8_t *data, size_t len)
{
    struct world *world = node->world;
    if (!makes_session(data, len))
        return;
    void **origin = find_slot(&world->keys->origins, hash_bytes(1, data, len));
    *origin = (void *)(uintptr_t)(node->identity_number + 1);
    uint32_t idx = cq_load_be32(data + CQ_ANSWER_SENDER);
    if (data[0] == CQ_MSG_ACCEPT)
        return;
    for (unsigned i = 0; i < WORLD_OFFERS; i++)
        if (node->offers[i].idx == idx && node->offers[i].when != 0)
            return;
    node->offers[node->next_offer].idx = idx;
    node->offers[node->next_offer].when = world->now;
    node->next_offer = (node->next_offer + 1) % WORLD_OFFERS;
}

uint64_t world_keys_origin(struct world *world, const uint8_t *data, size_t len)
{
    if (!makes_session(data, len))
        return 0;
    return (uintptr_t)*find_slot(&world->keys->origins, hash_bytes(1, data, len));
}

/* ---- both ends of a session ---- */

static struct world_key *get_key(struct world_keys *keys, const uint8_t key[32])
{
    uint64_t hash = hash_bytes(2, key, 32);
    void **slot = find_slot(&keys->keys, hash);
    if (*slot == NULL) {
        struct world_key *fresh = world_alloc(sizeof(*fresh));
        fresh->hash = hash;
        *slot = fresh;
    }
    return *slot;
}

static void compare_holders(struct world *world, const struct world_key *key)
{
    if (key->sender == 0 || key->receiver == 0)
        return;
    if (key->sender_of != key->receiver || key->receiver_of != key->sender)
        world_violate(world, WORLD_AGREEMENT,
                      "%u and %u share a key and take each other for %u, %u", key->sender - 1,
                      key->receiver - 1, key->sender_of - 1, key->receiver_of - 1);
    if (key->receiver_idx != key->header_idx)
        world_violate(world, WORLD_AGREEMENT, "%u and %u go by different indices", key->sender - 1,
                      key->receiver - 1);
}

static void take_key(struct world *world, struct world_key *key, const uint8_t iv[12],
                     enum cq_suite suite)
{
    bool known = key->sender != 0 || key->receiver != 0;
    if (known && (memcmp(key->iv, iv, sizeof(key->iv)) != 0 || key->suite != suite))
        world_violate(world, WORLD_AGREEMENT, "another IV or suite with the same key");
    memcpy(key->iv, iv, sizeof(key->iv));
    key->suite = suite;
}

static void take_keys(struct world_keypair *kp, const struct world_peer *peer,
                      const struct cq_keypair_params *p)
{
    struct world *world = kp->node->world;
    unsigned own = kp->node->identity_number + 1, other = peer->other->identity_number + 1;
    struct world_key *send = kp->send, *recv = get_key(world->keys, p->recv_key);
    take_key(world, send, p->send_iv, p->suite);
    take_key(world, recv, p->recv_iv, p->suite);
    if (send->sender != 0 || recv->receiver != 0)
        world_violate(world, WORLD_NONCE, "%u gets a key for sending that somebody sends with",
                      kp->node->number);
    send->sender = own;
    send->sender_of = other;
    send->header_idx = p->remote_idx;
    recv->receiver = own;
    recv->receiver_of = other;
    recv->receiver_idx = p->local_idx;
    compare_holders(world, send);
    compare_holders(world, recv);
}

static void take_session(struct world_keypair *kp, const struct world_peer *peer,
                         const struct cq_keypair_params *p)
{
    struct world *world = kp->node->world;
    unsigned own = kp->node->identity_number, other = peer->other->identity_number;
    unsigned side = own < other ? 0 : 1;
    uint32_t name[4];
    name[side] = own;
    name[1 - side] = other;
    name[2 + side] = p->local_idx;
    name[3 - side] = p->remote_idx;
    void **slot = find_slot(&world->keys->sessions, hash_bytes(3, name, sizeof(name)));
    if (*slot == NULL)
        *slot = world_alloc(sizeof(struct world_session));
    struct world_session *session = *slot;
    kp->end = &session->ends[side];
    kp->other_end = &session->ends[1 - side];
    *kp->end = (struct world_end){.known = true,
                                  .send = hash_bytes(2, p->send_key, 32),
                                  .recv = hash_bytes(2, p->recv_key, 32),
                                  .life = p->recv_until - p->send_until};
    if (kp->other_end->known &&
        (kp->other_end->send != kp->end->recv || kp->other_end->recv != kp->end->send))
        world_violate(world, WORLD_AGREEMENT, "%u and %u have different keys", own, other);
}

void world_keys_session(struct world_node *node, struct world_peer *peer, const uint8_t sid[8])
{
    struct cq_peer_status status;
    uint32_t number = (uint32_t)(peer - node->peers);
    struct cq_keypair *keypair = world_current_keypair(peer);
    if (keypair == NULL || cq_engine_peer_status(node->engine, number, &status) != CQ_OK ||
        memcmp(status.sid, sid, sizeof(status.sid)) != 0)
        return; /* confirmed late: another one is current */
    struct context *c =
        node->world->keys->contexts[((uintptr_t)keypair->lanes[0].seal >> 4) % BUCKETS];
    while (c != NULL && c->aead != keypair->lanes[0].seal)
        c = c->next;
    if (c == NULL || c->keypair->end == NULL)
        return;
    struct world_end *end = c->keypair->end, *other = c->keypair->other_end;
    memcpy(end->sid, sid, sizeof(end->sid));
    end->has_sid = true;
    if (other->has_sid && memcmp(other->sid, sid, sizeof(other->sid)) != 0)
        world_violate(node->world, WORLD_AGREEMENT, "%u and %u call a session differently",
                      node->number, peer->other->number);
}

/* ---- life and end of a keypair ---- */

static cq_time find_beginning(const struct world_node *node, uint32_t idx)
{
    for (unsigned i = 0; i < WORLD_OFFERS; i++)
        if (node->offers[i].idx == idx && node->offers[i].when != 0)
            return node->offers[i].when; /* we are the initiator */
    return node->world->now;
}

void world_keys_check(struct world *world, void *object)
{
    struct world_keypair *kp = object;
    if (kp->num_contexts == 0) {
        free(kp);
        return;
    }
    cq_time patience = MS(1);
    if (kp->node->asleep || world->now <= kp->node->awake_since + patience) {
        world_queue(world, world->now + MS(500), WORLD_KEY_CHECK, kp);
        return;
    }
    world_violate(world, WORLD_ERASURE, "%u has keys of age %.3f s, with R(s) = %.0f s",
                  kp->node->number, (double)(world->now - kp->began) / 1e9, (double)kp->life / 1e9);
    world_queue(world, CQ_TIME_NEVER, WORLD_KEY_CHECK, kp); /* to be freed with the queue */
}

static void check_right(struct world_node *node, const struct world_peer *peer)
{
    struct world *world = node->world;
    if (peer->stranger)
        world_violate(world, WORLD_CONFIGURED, "%u has a session with %u, which is not configured",
                      node->number, peer->other->number);
    if (world->request_origin != peer->other->identity_number + 1)
        world_violate(world, WORLD_CONFIGURED, "%u has a session with %u by a message of %d's",
                      node->number, peer->other->number, (int)world->request_origin - 1);
}

enum cq_err __real_cq_path_keypair_add(struct cq_path *path, struct cq_path_peer *peer,
                                       const struct cq_keypair_params *params,
                                       struct cq_keypair **out);
enum cq_err __wrap_cq_path_keypair_add(struct cq_path *path, struct cq_path_peer *peer,
                                       const struct cq_keypair_params *params,
                                       struct cq_keypair **out);

enum cq_err __wrap_cq_path_keypair_add(struct cq_path *path, struct cq_path_peer *path_peer,
                                       const struct cq_keypair_params *params,
                                       struct cq_keypair **out)
{
    struct world *world = watched;
    struct world_node *node = world->running;
    struct world_peer *peer = &node->peers[path_peer->number];
    struct cq_keypair_params p = *params;
    if (world->now > world->began + SECS(200) && !world->planted) {
        if (world->options.plant == WORLD_PLANT_OTHER_KEYS)
            p.recv_key[0] ^= 1;
        if (world->options.plant == WORLD_PLANT_OTHER_INDEX)
            p.remote_idx ^= 1;
        world->planted = world->options.plant == WORLD_PLANT_OTHER_KEYS ||
                         world->options.plant == WORLD_PLANT_OTHER_INDEX;
    }
    struct world_keypair *kp = world_alloc(sizeof(*kp));
    unsigned rotate =
        node->rotate_secs < peer->other->rotate_secs ? node->rotate_secs : peer->other->rotate_secs;
    kp->node = node;
    kp->life = rotate * CQ_NS_PER_S;
    kp->began = world->mute ? world->now : find_beginning(node, p.local_idx);
    kp->send = get_key(world->keys, p.send_key);
    if (!world->mute) {
        check_right(node, peer);
        take_keys(kp, peer, &p);
        take_session(kp, peer, &p);
    }
    in_the_making = kp;
    enum cq_err err = __real_cq_path_keypair_add(path, path_peer, &p, out);
    in_the_making = NULL;
    /* What a copy brings along goes when it is told that it is one, at once. */
    cq_time end = world->mute ? world->now : kp->began + kp->life + CQ_RECV_GRACE;
    world_queue(world, end + MS(1), WORLD_KEY_CHECK, kp);
    return err;
}

/* ---- sealing and opening contexts ---- */

enum cq_err __real_cq_aead_new(struct cq_aead **out, enum cq_suite suite, enum cq_aead_dir dir,
                               const uint8_t key[CQ_AEAD_KEY_LEN]);
enum cq_err __wrap_cq_aead_new(struct cq_aead **out, enum cq_suite suite, enum cq_aead_dir dir,
                               const uint8_t key[CQ_AEAD_KEY_LEN]);
void __real_cq_aead_free(struct cq_aead *aead);
void __wrap_cq_aead_free(struct cq_aead *aead);
enum cq_err __real_cq_aead_seal_batch(struct cq_aead *aead, struct cq_aead_op *ops, size_t num_ops);
enum cq_err __wrap_cq_aead_seal_batch(struct cq_aead *aead, struct cq_aead_op *ops, size_t num_ops);
enum cq_err __real_cq_aead_seal_zero(uint8_t *out, const uint8_t key[CQ_AEAD_KEY_LEN],
                                     const uint8_t *ad, size_t ad_len, const uint8_t *in,
                                     size_t len);
enum cq_err __wrap_cq_aead_seal_zero(uint8_t *out, const uint8_t key[CQ_AEAD_KEY_LEN],
                                     const uint8_t *ad, size_t ad_len, const uint8_t *in,
                                     size_t len);

static struct context **find_context(const struct cq_aead *aead)
{
    struct context **c = &watched->keys->contexts[((uintptr_t)aead >> 4) % BUCKETS];
    while (*c != NULL && (*c)->aead != aead)
        c = &(*c)->next;
    return c;
}

enum cq_err __wrap_cq_aead_new(struct cq_aead **out, enum cq_suite suite, enum cq_aead_dir dir,
                               const uint8_t key[CQ_AEAD_KEY_LEN])
{
    enum cq_err err = __real_cq_aead_new(out, suite, dir, key);
    if (err != CQ_OK || watched == NULL || in_the_making == NULL)
        return err;
    struct context *c = world_alloc(sizeof(*c));
    struct context **bucket = &watched->keys->contexts[((uintptr_t)*out >> 4) % BUCKETS];
    *c = (struct context){*out, in_the_making, dir == CQ_AEAD_SEAL, *bucket};
    *bucket = c;
    in_the_making->num_contexts++;
    return err;
}

void __wrap_cq_aead_free(struct cq_aead *aead)
{
    struct context **c = watched != NULL ? find_context(aead) : NULL;
    if (c != NULL && *c != NULL) {
        struct context *gone = *c;
        gone->keypair->num_contexts--;
        *c = gone->next;
        free(gone);
    }
    __real_cq_aead_free(aead);
}

/* Notes a counter; whether it is new. */
static bool note_counter(struct world_key *key, uint64_t seq)
{
    if (seq / 64 >= key->num_words) {
        size_t words = FIRST_WORDS + (size_t)(seq / 64) * 2;
        key->bits = world_grow(key->bits, words * sizeof(*key->bits));
        memset(key->bits + key->num_words, 0, (words - key->num_words) * sizeof(*key->bits));
        key->num_words = words;
    }
    uint64_t bit = UINT64_C(1) << seq % 64;
    bool fresh = (key->bits[seq / 64] & bit) == 0;
    key->bits[seq / 64] |= bit;
    return fresh;
}

static void check_seal(const struct world_keypair *kp, const struct cq_aead_op *op)
{
    struct world *world = watched;
    struct world_key *key = kp->send;
    uint8_t counter[CQ_AEAD_NONCE_LEN];
    for (unsigned i = 0; i < sizeof(counter); i++)
        counter[i] = op->nonce[i] ^ key->iv[i];
    uint64_t seq = cq_load_be64(counter + 4);
    if (cq_load_be32(counter) != 0 || seq > UINT32_MAX)
        world_violate(world, WORLD_NONCE, "%u seals with a nonce of no lane of its",
                      kp->node->number);
    else if (!note_counter(key, seq))
        world_violate(world, WORLD_NONCE, "%u seals with counter %llu of a key again",
                      kp->node->number, (unsigned long long)seq);
    if (world->now >= kp->began + kp->life)
        world_violate(world, WORLD_SEND_LIFE, "%u seals with a key of age %.3f s, R(s) = %.0f s",
                      kp->node->number, (double)(world->now - kp->began) / 1e9,
                      (double)kp->life / 1e9);
}

enum cq_err __wrap_cq_aead_seal_batch(struct cq_aead *aead, struct cq_aead_op *ops, size_t num_ops)
{
    struct context **c = watched != NULL && !watched->mute ? find_context(aead) : NULL;
    for (size_t i = 0; i < num_ops && c != NULL; i++) {
        if (*c == NULL || !(*c)->seals)
            world_violate(watched, WORLD_NONCE, "a record is sealed with a key of no session");
        else
            check_seal((*c)->keypair, &ops[i]);
    }
    return __real_cq_aead_seal_batch(aead, ops, num_ops);
}

enum cq_err __wrap_cq_aead_seal_zero(uint8_t *out, const uint8_t key[CQ_AEAD_KEY_LEN],
                                     const uint8_t *ad, size_t ad_len, const uint8_t *in,
                                     size_t len)
{
    if (watched != NULL && !watched->mute) {
        void **used = find_slot(&watched->keys->single, hash_bytes(4, key, CQ_AEAD_KEY_LEN));
        if (*used != NULL)
            world_violate(watched, WORLD_NONCE, "a key of a handshake seals twice");
        *used = watched;
    }
    return __real_cq_aead_seal_zero(out, key, ad, ad_len, in, len);
}
