#include "path/table.h"

#include "base/bytes.h"

#include <assert.h>

/* An address as a number of 128 bits, IPv4 at the top. */
struct key {
    uint64_t high, low;
};

struct cq_table_node {
    struct cq_retired retired;
    struct key key;  /* bits beyond `bits` are zero */
    uint64_t change; /* that set it last; control thread */
    uint8_t bits;
    _Atomic(struct cq_path_peer *) peer; /* NULL: only a fork */
    _Atomic(struct cq_table_node *) child[2];
};

static struct key make_key(uint8_t family, const uint8_t *address)
{
    if (family == CQ_FAMILY_IPV4)
        return (struct key){(uint64_t)cq_load_be32(address) << 32, 0};
    return (struct key){cq_load_be64(address), cq_load_be64(address + 8)};
}

/* How many leading bits two keys share. */
static unsigned count_common(struct key a, struct key b)
{
    if (a.high != b.high)
        return (unsigned)__builtin_clzll(a.high ^ b.high);
    if (a.low != b.low)
        return 64 + (unsigned)__builtin_clzll(a.low ^ b.low);
    return 128;
}

static unsigned bit_at(struct key key, unsigned i)
{
    return i < 64 ? (unsigned)(key.high >> (63 - i) & 1)
                  : (unsigned)(key.low >> (127 - i) % 64 & 1);
}

static struct key truncate(struct key key, unsigned bits)
{
    if (bits == 0)
        return (struct key){0, 0};
    if (bits <= 64)
        return (struct key){key.high & UINT64_MAX << (64 - bits), 0};
    return (struct key){key.high, key.low & UINT64_MAX << (128 - bits)};
}

static void destroy_node(const struct cq_allocator *allocator, struct cq_retired *object)
{
    cq_free(allocator, object, sizeof(struct cq_table_node));
}

void cq_table_init(struct cq_table *table, struct cq_reclaim *reclaim)
{
    *table = (struct cq_table){.reclaim = reclaim};
}

static _Atomic(struct cq_table_node *) *root_of(struct cq_table *table, uint8_t family)
{
    return &table->roots[family == CQ_FAMILY_IPV6];
}

/* Depth is at most 129: a child has more bits than its parent. */
static void free_below(const struct cq_allocator *allocator, struct cq_table_node *node)
{
    if (node == NULL)
        return;
    free_below(allocator, cq_see(&node->child[0]));
    free_below(allocator, cq_see(&node->child[1]));
    destroy_node(allocator, &node->retired);
}

void cq_table_wipe(struct cq_table *table)
{
    cq_table_release(table);
    for (size_t i = 0; i < 2; i++) {
        free_below(table->reclaim->allocator, cq_see(&table->roots[i]));
        cq_publish(&table->roots[i], NULL);
    }
}

enum cq_err cq_table_reserve(struct cq_table *table, size_t num)
{
    table->change++;
    /* Each prefix needs a node of its own and perhaps a fork above it. */
    for (size_t i = 0; i < 2 * num; i++) {
        struct cq_table_node *node = cq_alloc(table->reclaim->allocator, sizeof(*node));
        if (node == NULL) {
            cq_table_release(table);
            return CQ_ERR_NOMEM;
        }
        node->retired.next = (struct cq_retired *)table->spare;
        table->spare = node;
    }
    return CQ_OK;
}

void cq_table_release(struct cq_table *table)
{
    while (table->spare != NULL) {
        struct cq_table_node *node = table->spare;
        table->spare = (struct cq_table_node *)node->retired.next;
        destroy_node(table->reclaim->allocator, &node->retired);
    }
}

static struct cq_table_node *take_node(struct cq_table *table, struct key key, unsigned bits,
                                       struct cq_path_peer *peer)
{
    struct cq_table_node *node = table->spare;

    assert(node != NULL);
    table->spare = (struct cq_table_node *)node->retired.next;
    node->retired.next = NULL;
    node->key = truncate(key, bits);
    node->bits = (uint8_t)bits;
    node->change = table->change;
    atomic_init(&node->peer, peer);
    return node;
}

static bool node_covers(const struct cq_table_node *node, struct key key, unsigned bits)
{
    return node->bits <= bits && count_common(node->key, key) >= node->bits;
}

void cq_table_set(struct cq_table *table, const struct cq_prefix *prefix, struct cq_path_peer *peer)
{
    struct key key = make_key(prefix->ip.family, prefix->ip.bytes);
    unsigned bits = prefix->bits;
    _Atomic(struct cq_table_node *) *link = root_of(table, prefix->ip.family);
    struct cq_table_node *node = cq_see(link);

    while (node != NULL && node_covers(node, key, bits)) {
        if (node->bits == bits) {
            node->change = table->change;
            cq_publish(&node->peer, peer);
            return;
        }
        link = &node->child[bit_at(key, node->bits)];
        node = cq_see(link);
    }

    struct cq_table_node *fresh = take_node(table, key, bits, peer);
    if (node == NULL) {
        cq_publish(link, fresh);
        return;
    }
    unsigned common = count_common(node->key, key);
    if (common >= bits) { /* the new prefix contains the node's */
        atomic_init(&fresh->child[bit_at(node->key, bits)], node);
        cq_publish(link, fresh);
        return;
    }
    struct cq_table_node *fork = take_node(table, key, common, NULL);
    atomic_init(&fork->child[bit_at(key, common)], fresh);
    atomic_init(&fork->child[bit_at(node->key, common)], node);
    cq_publish(link, fork);
}

/* Takes a node without peer out of the trie unless it is a fork. Returns whether it did. */
static bool unlink_if_idle(struct cq_table *table, _Atomic(struct cq_table_node *) *link)
{
    struct cq_table_node *node = cq_see(link);
    struct cq_table_node *a = cq_see(&node->child[0]);
    struct cq_table_node *b = cq_see(&node->child[1]);

    if (cq_see(&node->peer) != NULL || (a != NULL && b != NULL))
        return false;
    cq_publish(link, a != NULL ? a : b);
    cq_reclaim_retire(table->reclaim, &node->retired, destroy_node);
    return true;
}

void cq_table_remove(struct cq_table *table, const struct cq_prefix *prefix,
                     const struct cq_path_peer *peer)
{
    struct key key = make_key(prefix->ip.family, prefix->ip.bytes);
    _Atomic(struct cq_table_node *) *link = root_of(table, prefix->ip.family);
    _Atomic(struct cq_table_node *) *above = NULL;
    struct cq_table_node *node = cq_see(link);

    while (node != NULL && node_covers(node, key, prefix->bits) && node->bits < prefix->bits) {
        above = link;
        link = &node->child[bit_at(key, node->bits)];
        node = cq_see(link);
    }
    if (node == NULL || node->bits != prefix->bits || !node_covers(node, key, prefix->bits) ||
        cq_see(&node->peer) != peer || node->change == table->change)
        return;
    cq_publish(&node->peer, NULL);
    /* The fork above may have lost its reason with it. */
    if (unlink_if_idle(table, link) && above != NULL)
        unlink_if_idle(table, above);
}

static struct cq_path_peer *find(const struct cq_table_node *node, struct key key, unsigned bits)
{
    struct cq_path_peer *found = NULL;

    while (node != NULL && count_common(node->key, key) >= node->bits) {
        struct cq_path_peer *peer = cq_see(&node->peer);
        if (peer != NULL)
            found = peer;
        if (node->bits >= bits)
            break;
        node = cq_see(&node->child[bit_at(key, node->bits)]);
    }
    return found;
}

struct cq_path_peer *cq_table_find4(const struct cq_table *table, const uint8_t *address)
{
    return find(cq_see(&table->roots[0]), make_key(CQ_FAMILY_IPV4, address), 32);
}

struct cq_path_peer *cq_table_find6(const struct cq_table *table, const uint8_t *address)
{
    return find(cq_see(&table->roots[1]), make_key(CQ_FAMILY_IPV6, address), 128);
}
