/*
 * Rules of the packet path that no other program of this folder holds it to: each of these tests
 * fails with a certain mutant of tests/mutants.
 */
#include "path/internal.h"
#include "path_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const uint8_t address_b[4] = {10, 0, 0, 2};

/* What a peer was allowed before its prefixes were replaced leads to nobody. */
static void test_replaced_addresses(void **state)
{
    static const uint8_t inside[4] = {10, 7, 1, 1};
    struct cq_prefix prefix = {{CQ_FAMILY_IPV4, {10, 7, 0, 0}}, 16};
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    assert_ptr_equal(cq_table_find4(&p.a.path->table, address_b), p.a.peer);
    assert_null(cq_table_find4(&p.a.path->table, inside));
    assert_int_equal(cq_path_peer_set_prefixes(p.a.path, p.a.peer, &prefix, 1), CQ_OK);
    assert_null(cq_table_find4(&p.a.path->table, address_b));
    assert_ptr_equal(cq_table_find4(&p.a.path->table, inside), p.a.peer);
    pair_free(&p);
}

/* Nor does what a removed peer was allowed. */
static void test_removed_addresses(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, NULL);
    cq_path_peer_remove(p.a.path, p.a.peer);
    assert_null(cq_table_find4(&p.a.path->table, address_b));
    assert_null(cq_index_find(&p.a.path->index, p.a.params.local_idx));
    assert_null(cq_path_find_peer(p.a.path, PAIR_PEER));
    pair_free(&p);
}

/* Packets that wait take 128 kB at most, however large each may be; the oldest go first. */
static void test_staged_bytes(void **state)
{
    enum { LARGE = 9000, FIT = 128 * 1024 / LARGE };
    struct cq_stage_pool pool;
    struct cq_stage_total total = {0};
    struct cq_stage_queue queue = {&total, NULL, NULL}, other = {&total, NULL, NULL};
    struct cq_counters counters = {0};

    (void)state;
    cq_stage_init(&pool, &cq_heap_allocator, LARGE, 1);
    for (cq_time i = 0; i < 40; i++) {
        assert_true(cq_stage_reserve(&pool, &queue, LARGE, &counters));
        struct cq_staged *slot = cq_stage_take(&pool);
        assert_non_null(slot);
        slot->when = i;
        slot->len = LARGE;
        cq_stage_push(&queue, slot);
        assert_true(atomic_load(&total.bytes) <= 128 * 1024);
    }
    assert_int_equal(atomic_load(&total.num), FIT);
    /* Another worker has nothing of its own to drop for it. */
    assert_false(cq_stage_reserve(&pool, &other, LARGE, &counters));
    assert_int_equal(atomic_load(&total.num), FIT);
    assert_int_equal(atomic_load(&total.bytes), FIT * LARGE);
    assert_int_equal(queue.first->when, 40 - FIT);
    assert_int_equal(cq_counter_get(&counters.drops[CQ_DROP_STAGED_FULL]), 40 - FIT);
    cq_stage_wipe(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replaced_addresses),
        cmocka_unit_test(test_removed_addresses),
        cmocka_unit_test(test_staged_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
