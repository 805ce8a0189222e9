/* Medians and their confidence intervals, against the tables of the binomial distribution. */
#include "bench/stat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* Sample i is i + 1, in an order that is not sorted: the result names ranks. */
static struct cq_bench_stat stat_of_ranks(size_t num)
{
    double *samples = malloc(num * sizeof(*samples));

    assert_non_null(samples);
    for (size_t i = 0; i < num; i++)
        samples[i] = (double)((i * 7919 + 3) % num + 1); /* 7919 is prime */
    struct cq_bench_stat stat = cq_bench_stat_of(samples, num);
    free(samples);
    return stat;
}

static void test_ranks(void **state)
{
    /* The innermost ranks that hold the median with at least 95 % (sign test). */
    static const struct {
        size_t num, low, high;
    } cases[] = {
        {1, 1, 1},    {2, 1, 2},     {5, 1, 5},       {6, 1, 6},        {8, 1, 8},    {9, 2, 8},
        {11, 2, 10},  {12, 3, 10},   {20, 6, 15},     {30, 10, 21},     {31, 10, 22}, {50, 18, 33},
        {60, 22, 39}, {100, 40, 61}, {500, 228, 273}, {1000, 469, 532},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cq_bench_stat stat = stat_of_ranks(cases[i].num);
        assert_true(stat.median == (double)(cases[i].num + 1) / 2);
        assert_int_equal((size_t)stat.low, cases[i].low);
        assert_int_equal((size_t)stat.high, cases[i].high);
    }
}

static void test_equal_samples(void **state)
{
    double samples[] = {3.5, 3.5, 3.5, 3.5};
    struct cq_bench_stat stat = cq_bench_stat_of(samples, 4);

    (void)state;
    assert_true(stat.median == 3.5 && stat.low == 3.5 && stat.high == 3.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_equal_samples),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
