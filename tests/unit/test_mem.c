/* Wiping, constant-time comparison and the heap allocator. */
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_wipe(void **state)
{
    uint8_t buf[40];

    (void)state;
    memset(buf, 0xa5, sizeof(buf));
    cq_wipe(buf + 4, 32);
    for (size_t i = 0; i < sizeof(buf); i++)
        assert_int_equal(buf[i], i >= 4 && i < 36 ? 0 : 0xa5);
    cq_wipe(NULL, 0);
}

static void test_equal(void **state)
{
    uint8_t a[33];
    uint8_t b[33];

    (void)state;
    memset(a, 7, sizeof(a));
    memset(b, 7, sizeof(b));
    assert_true(cq_equal_ct(a, b, sizeof(a)));
    assert_true(cq_equal_ct(NULL, NULL, 0));
    for (size_t i = 0; i < 8 * sizeof(a); i++) {
        b[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_false(cq_equal_ct(a, b, sizeof(a)));
        b[i / 8] ^= (uint8_t)(1 << i % 8);
    }
}

static void test_is_zero(void **state)
{
    uint8_t a[33] = {0};

    (void)state;
    assert_true(cq_is_zero_ct(a, sizeof(a)));
    assert_true(cq_is_zero_ct(NULL, 0));
    for (size_t i = 0; i < 8 * sizeof(a); i++) {
        a[i / 8] = (uint8_t)(1 << i % 8);
        assert_false(cq_is_zero_ct(a, sizeof(a)));
        a[i / 8] = 0;
    }
}

enum { DEPTH = 24 * 1024 };

/* Leaves a pattern on the stack, as a function that forgets to wipe would. */
static __attribute__((noinline)) void leave_pattern(void)
{
    uint8_t local[DEPTH];

    memset(local, 0x5a, sizeof(local));
    __asm__ volatile("" : : "r"(local) : "memory");
}

/* How many bytes of the pattern lie where leave_pattern had its frame. */
static __attribute__((noinline)) size_t count_pattern(void)
{
    uint8_t local[DEPTH];
    const uint8_t *p = local;
    size_t count = 0;

    __asm__ volatile("" : "+r"(p) : : "memory");
    for (size_t i = 0; i < sizeof(local); i++)
        count += p[i] == 0x5a;
    return count;
}

static void test_wipe_stack(void **state)
{
    (void)state;
    leave_pattern();
    if (count_pattern() < DEPTH / 2)
        skip(); /* instrumented frames lie elsewhere */
    leave_pattern();
    cq_wipe_stack();
    assert_true(count_pattern() < 64);
}

static void test_heap_allocator(void **state)
{
    uint8_t *p = cq_alloc(&cq_heap_allocator, 100);

    (void)state;
    assert_non_null(p);
    assert_true(cq_is_zero_ct(p, 100));
    memset(p, 1, 100);
    cq_free(&cq_heap_allocator, p, 100);
    cq_free(&cq_heap_allocator, NULL, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wipe),           cmocka_unit_test(test_equal),
        cmocka_unit_test(test_is_zero),        cmocka_unit_test(test_wipe_stack),
        cmocka_unit_test(test_heap_allocator),
    };
    return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
