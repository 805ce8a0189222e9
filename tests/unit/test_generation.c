/* The kernel's event about a new VM generation. */
#include "os/generation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* A literal with NULs in it, without its own last one. */
#define TEXT(s) s, sizeof(s) - 1

static void test_events(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        bool is_event;
    } cases[] = {
        {TEXT(""), false},
        {TEXT("\0"), false},
        {TEXT("change@/devices/LNXSYSTM:00/QEMUVGID:00\0ACTION=change\0NEW_VMGENID=1\0SEQNUM=9\0"),
         true},
        {TEXT("NEW_VMGENID=1"), true},
        {TEXT("NEW_VMGENID=1\0"), true},
        {TEXT("NEW_VMGENID=12\0"), false},
        {TEXT("NEW_VMGENID="), false},
        {TEXT("a\0SYNTH_ARG_NEW_VMGENID=1\0"), false},
        {TEXT("add@/devices/x\0ACTION=add\0\0\0SUBSYSTEM=net\0"), false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(cq_generation_is_event(cases[i].text, cases[i].len), cases[i].is_event);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_events)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
