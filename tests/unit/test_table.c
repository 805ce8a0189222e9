#include "path/index.h"
#include "path/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Peers are only names here. */
static char peer_names[8];
#define PEER(i) ((struct cq_path_peer *)(void *)&peer_names[i])

static size_t live, calls, fail_at;

static void *count_alloc(void *ctx, size_t size)
{
    (void)ctx;
    if (++calls == fail_at)
        return NULL;
    live++;
    return calloc(1, size);
}

static void count_free(void *ctx, void *p, size_t size)
{
    (void)ctx;
    (void)size;
    if (p != NULL)
        live--;
    free(p);
}

static const struct cq_allocator counting = {count_alloc, count_free, NULL};

static uint64_t random_state = 88172645463325252u;

static uint32_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 16);
}

static struct cq_prefix parse(const char *text)
{
    struct cq_prefix p;

    assert_int_equal(cq_prefix_parse(text, &p, NULL), CQ_OK);
    return p;
}

static void set(struct cq_table *t, const struct cq_prefix *p, struct cq_path_peer *peer)
{
    assert_int_equal(cq_table_reserve(t, 1), CQ_OK);
    cq_table_set(t, p, peer);
    cq_table_release(t);
}

static void unset(struct cq_table *t, const struct cq_prefix *p, struct cq_path_peer *peer)
{
    assert_int_equal(cq_table_reserve(t, 0), CQ_OK);
    cq_table_remove(t, p, peer);
}

static struct cq_path_peer *find(const struct cq_table *t, const char *text)
{
    struct cq_ip ip;

    assert_int_equal(cq_ip_parse(text, &ip), CQ_OK);
    return ip.family == CQ_FAMILY_IPV4 ? cq_table_find4(t, ip.bytes) : cq_table_find6(t, ip.bytes);
}

static void test_longest_prefix(void **state)
{
    static const struct {
        const char *prefix;
        int peer;
    } entries[] = {
        {"0.0.0.0/0", 0},       {"10.0.0.0/8", 1},
        {"10.1.0.0/16", 2},     {"10.1.2.3/32", 3},
        {"10.128.0.0/9", 4},    {"::/0", 5},
        {"fd00::/8", 6},        {"fd00::1/128", 7},
        {"fd00:0:0:1::/64", 1}, {"fd00:0:0:1:8000::/65", 2},
    };
    static const struct {
        const char *address;
        int peer;
    } lookups[] = {
        {"1.2.3.4", 0},  {"10.0.0.1", 1},        {"10.1.0.1", 2},      {"10.1.2.3", 3},
        {"10.1.2.2", 2}, {"10.200.0.1", 4},      {"2001:db8::1", 5},   {"fd12::1", 6},
        {"fd00::1", 7},  {"fd00::2", 6},         {"fd00:0:0:1::9", 1}, {"fd00:0:0:1:8000::", 2},
        {"11.0.0.0", 0}, {"255.255.255.255", 0},
    };
    struct cq_reclaim r;
    struct cq_table t;

    (void)state;
    cq_reclaim_init(&r, &counting);
    cq_table_init(&t, &r);
    assert_null(find(&t, "1.2.3.4"));
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        struct cq_prefix p = parse(entries[i].prefix);
        set(&t, &p, PEER(entries[i].peer));
    }
    for (size_t i = 0; i < sizeof(lookups) / sizeof(lookups[0]); i++)
        if (find(&t, lookups[i].address) != PEER(lookups[i].peer))
            fail_msg("%s", lookups[i].address);
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        struct cq_prefix p = parse(entries[i].prefix);
        unset(&t, &p, PEER((entries[i].peer + 1) % 8)); /* not the owner: nothing happens */
        unset(&t, &p, PEER(entries[i].peer));
    }
    for (size_t i = 0; i < sizeof(lookups) / sizeof(lookups[0]); i++)
        assert_null(find(&t, lookups[i].address));
    assert_false(cq_reclaim_run(&r));
    assert_int_equal(live, 0); /* no node is left behind */
    cq_table_wipe(&t);
}

/* A list that is searched from end to end. */
struct model {
    struct cq_prefix prefixes[600];
    int peers[600];
    size_t num;
};

static size_t model_find(const struct model *m, const struct cq_prefix *p)
{
    size_t i = 0;

    while (i < m->num && !cq_prefix_equal(&m->prefixes[i], p))
        i++;
    return i;
}

static struct cq_path_peer *model_lookup(const struct model *m, const struct cq_ip *ip)
{
    int best = -1;
    int peer = -1;

    for (size_t i = 0; i < m->num; i++) {
        if (cq_prefix_contains(&m->prefixes[i], ip) && m->prefixes[i].bits > best) {
            best = m->prefixes[i].bits;
            peer = m->peers[i];
        }
    }
    return peer < 0 ? NULL : PEER(peer);
}

/* Few distinct bits, so that prefixes overlap often. */
static struct cq_prefix random_prefix(bool host)
{
    struct cq_prefix p = {0};
    size_t len;

    p.ip.family = next_random() % 2 ? CQ_FAMILY_IPV4 : CQ_FAMILY_IPV6;
    len = cq_ip_len(p.ip.family);
    for (size_t i = 0; i < len; i++)
        p.ip.bytes[i] = (uint8_t)(next_random() % 3 == 0 ? next_random() & 0x81 : 0);
    p.bits = (uint8_t)(host ? 8 * len : next_random() % (8 * len + 1));
    for (size_t bit = p.bits; bit < 8 * len; bit++)
        p.ip.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
    return p;
}

static void test_model(void **state)
{
    static struct model m;
    struct cq_reclaim r;
    struct cq_table t;

    (void)state;
    cq_reclaim_init(&r, &counting);
    cq_table_init(&t, &r);
    for (int round = 0; round < 20000; round++) {
        struct cq_prefix p = random_prefix(false);
        size_t at = model_find(&m, &p);
        if (next_random() % 2 && m.num < 600) {
            int peer = (int)(next_random() % 8);
            set(&t, &p, PEER(peer));
            m.prefixes[at] = p;
            m.peers[at] = peer;
            m.num += at == m.num;
        } else if (m.num > 0) {
            at = next_random() % m.num;
            unset(&t, &m.prefixes[at], PEER(m.peers[at]));
            m.prefixes[at] = m.prefixes[m.num - 1];
            m.peers[at] = m.peers[m.num - 1];
            m.num--;
        }
        for (int i = 0; i < 3; i++) {
            struct cq_ip ip = random_prefix(true).ip;
            struct cq_path_peer *found = ip.family == CQ_FAMILY_IPV4 ? cq_table_find4(&t, ip.bytes)
                                                                     : cq_table_find6(&t, ip.bytes);
            assert_ptr_equal(found, model_lookup(&m, &ip));
        }
        (void)cq_reclaim_run(&r);
        assert_true(live <= 2 * m.num);
    }
    cq_table_wipe(&t);
    cq_reclaim_finish(&r);
    assert_int_equal(live, 0);
}

/* What a change set itself survives its removals; running out of memory changes nothing. */
static void test_change(void **state)
{
    struct cq_reclaim r;
    struct cq_table t;
    struct cq_prefix a = parse("10.0.0.0/8");
    struct cq_prefix b = parse("10.1.0.0/16");

    (void)state;
    cq_reclaim_init(&r, &counting);
    cq_table_init(&t, &r);
    set(&t, &a, PEER(0));
    set(&t, &b, PEER(0));
    assert_int_equal(cq_table_reserve(&t, 1), CQ_OK);
    cq_table_set(&t, &a, PEER(0));
    cq_table_remove(&t, &a, PEER(0));
    cq_table_remove(&t, &b, PEER(0));
    cq_table_release(&t);
    assert_ptr_equal(find(&t, "10.1.0.1"), PEER(0));
    assert_ptr_equal(find(&t, "10.2.0.1"), PEER(0));
    (void)cq_reclaim_run(&r);
    assert_int_equal(live, 1);
    for (size_t i = 1; i <= 6; i++) {
        calls = 0;
        fail_at = i;
        assert_int_equal(cq_table_reserve(&t, 3), CQ_ERR_NOMEM);
        fail_at = 0;
        assert_int_equal(live, 1);
    }
    cq_table_wipe(&t);
    assert_int_equal(live, 0);
}

/* Nothing that a reader inside could see is freed. */
static void test_reclaim(void **state)
{
    struct cq_reclaim r;
    struct cq_table t;
    struct cq_prefix p = parse("10.0.0.0/8");

    (void)state;
    cq_reclaim_init(&r, &counting);
    cq_table_init(&t, &r);
    set(&t, &p, PEER(0));
    cq_reclaim_enter(&r, 0);
    unset(&t, &p, PEER(0));
    cq_reclaim_enter(&r, 1); /* came later: holds nothing up */
    assert_true(cq_reclaim_run(&r));
    assert_int_equal(live, 1);
    cq_reclaim_leave(&r, 0);
    assert_false(cq_reclaim_run(&r));
    assert_int_equal(live, 0);
    cq_reclaim_leave(&r, 1);
    cq_table_wipe(&t);
}

static void test_index(void **state)
{
    enum { MANY = 3000 };
    static uint32_t idx[MANY];
    struct cq_reclaim r;
    struct cq_index index;

    (void)state;
    cq_reclaim_init(&r, &counting);
    cq_index_init(&index, &r);
    assert_null(cq_index_find(&index, 7));
    cq_index_remove(&index, 7);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < MANY; i++) {
            idx[i] =
                (uint32_t)i * (round % 2 ? 0x10000u : 1u); /* collisions in every other round */
            assert_int_equal(cq_index_add(&index, idx[i], (void *)&idx[i]), CQ_OK);
            assert_int_equal(cq_index_add(&index, idx[i], (void *)&idx[i]), CQ_ERR_EXISTS);
        }
        for (int i = 0; i < MANY; i++) {
            assert_ptr_equal(cq_index_find(&index, idx[i]), &idx[i]);
            cq_index_remove(&index, idx[i]);
            assert_null(cq_index_find(&index, idx[i]));
            (void)cq_reclaim_run(&r);
        }
    }
    assert_int_equal(live, 1);
    calls = 0;
    fail_at = 1;
    enum cq_err err = CQ_OK;
    for (uint32_t i = 0; err == CQ_OK; i++)
        err = cq_index_add(&index, i, (void *)&idx[0]);
    assert_int_equal(err, CQ_ERR_NOMEM);
    fail_at = 0;
    cq_index_wipe(&index);
    cq_reclaim_finish(&r);
    assert_int_equal(live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_longest_prefix), cmocka_unit_test(test_model),
        cmocka_unit_test(test_change),         cmocka_unit_test(test_reclaim),
        cmocka_unit_test(test_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
