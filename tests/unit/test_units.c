#include "cli/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void test_durations(void **state)
{
    static const struct {
        uint64_t secs;
        const char *text, *ago;
    } cases[] = {
        {0, "0 seconds", "now"},
        {1, "1 second", "1 second ago"},
        {59, "59 seconds", "59 seconds ago"},
        {60, "1 minute", "1 minute ago"},
        {61, "1 minute, 1 second", "1 minute, 1 second ago"},
        {7200, "2 hours", "2 hours ago"},
        {86400 + 3600 + 60 + 1, "1 day, 1 hour, 1 minute, 1 second",
         "1 day, 1 hour, 1 minute, 1 second ago"},
        {UINT64_MAX, "213503982334601 days, 7 hours, 15 seconds",
         "213503982334601 days, 7 hours, 15 seconds ago"},
    };
    char text[CQ_UNITS_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(cq_units_duration(cases[i].secs, text), cases[i].text);
        assert_string_equal(cq_units_ago(cases[i].secs, text), cases[i].ago);
    }
}

static void test_bytes(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {1024, "1.00 KiB"},
        {1536, "1.50 KiB"},
        {1048576, "1.00 MiB"},
        {UINT64_C(5) << 30, "5.00 GiB"},
        {UINT64_C(1) << 40, "1.00 TiB"},
        {UINT64_MAX, "16777216.00 TiB"},
    };
    char text[CQ_UNITS_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(cq_units_bytes(cases[i].bytes, text), cases[i].text);
}

static void test_micros(void **state)
{
    static const struct {
        uint64_t micros;
        const char *text;
    } cases[] = {
        {0, "0 us"}, {999, "999 us"}, {1000, "1.00 ms"}, {2350, "2.35 ms"}, {1200000, "1.20 s"},
    };
    char text[CQ_UNITS_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(cq_units_micros(cases[i].micros, text), cases[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_micros),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
