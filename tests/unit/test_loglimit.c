/* The log's rate limits, in virtual time. */
#include "base/loglimit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct cq_loglimit limit;
static cq_time now;

static int clear(void **state)
{
    (void)state;
    memset(&limit, 0, sizeof(limit));
    now = 5000 * CQ_NS_PER_S;
    return 0;
}

static unsigned pass(enum cq_event event, const char *key, unsigned num)
{
    unsigned passed = 0;

    for (unsigned i = 0; i < num; i++)
        passed += cq_loglimit_pass(&limit, event, key, "n", now);
    return passed;
}

static void test_burst_and_refill(void **state)
{
    struct cq_loglimit_report report;

    (void)state;
    assert_int_equal(pass(CQ_EVENT_KEY_ROTATION, "a", 100), CQ_LOGLIMIT_BURST);
    assert_int_equal(pass(CQ_EVENT_KEYS_ERASED, "a", 100), CQ_LOGLIMIT_BURST); /* another kind */
    assert_int_equal(pass(CQ_EVENT_KEY_ROTATION, "b", 1), 1);                  /* another peer */
    now += CQ_LOGLIMIT_REFILL - 1;
    assert_int_equal(pass(CQ_EVENT_KEY_ROTATION, "a", 1), 0);
    now += 1;
    assert_int_equal(pass(CQ_EVENT_KEY_ROTATION, "a", 5), 1);
    now += 3 * CQ_LOGLIMIT_REFILL + CQ_LOGLIMIT_REFILL / 2;
    assert_int_equal(pass(CQ_EVENT_KEY_ROTATION, "a", 5), 3);
    now += CQ_LOGLIMIT_REFILL / 2; /* halves add up */
    assert_int_equal(pass(CQ_EVENT_KEY_ROTATION, "a", 5), 1);
    assert_true(cq_loglimit_report(&limit, &report, CQ_TIME_NEVER));
    assert_string_equal(report.key, "a");
    assert_string_equal(report.name, "n");
    now += 1000 * CQ_LOGLIMIT_REFILL; /* no more than a burst comes back */
    assert_int_equal(pass(CQ_EVENT_KEY_ROTATION, "a", 100), CQ_LOGLIMIT_BURST);
}

static void test_reports(void **state)
{
    struct cq_loglimit_report report;

    (void)state;
    assert_true(cq_loglimit_next_expiry(&limit) == CQ_TIME_NEVER);
    (void)pass(CQ_EVENT_KEY_ROTATION, "a", CQ_LOGLIMIT_BURST);
    assert_true(cq_loglimit_next_expiry(&limit) == CQ_TIME_NEVER);
    (void)pass(CQ_EVENT_KEY_ROTATION, "a", 3);
    cq_time due = now + CQ_LOGLIMIT_REPORT;
    assert_true(cq_loglimit_next_expiry(&limit) == due);
    now += CQ_NS_PER_S;
    (void)pass(CQ_EVENT_KEY_ROTATION, "a", 4);
    assert_true(cq_loglimit_next_expiry(&limit) == due);
    assert_false(cq_loglimit_report(&limit, &report, due - 1));
    assert_true(cq_loglimit_report(&limit, &report, due));
    assert_int_equal(report.count, 7);
    assert_int_equal(report.event, CQ_EVENT_KEY_ROTATION);
    assert_false(cq_loglimit_report(&limit, &report, CQ_TIME_NEVER));
    assert_true(cq_loglimit_next_expiry(&limit) == CQ_TIME_NEVER);
}

static const char *key_of(unsigned i)
{
    static char key[16];

    snprintf(key, sizeof(key), "peer%u", i);
    return key;
}

/* More peers than the table holds: those that behave are not concerned, nothing is lost. */
static void test_many_peers(void **state)
{
    struct cq_loglimit_report report;
    uint64_t held = 0;

    (void)state;
    for (unsigned i = 0; i < 4 * CQ_LOGLIMIT_KEYS; i++)
        assert_int_equal(pass(CQ_EVENT_KEY_ROTATION, key_of(i), 2), 2);
    /* A flood of one is noticed all the same, and goes on being. */
    assert_int_equal(pass(CQ_EVENT_KEY_ROTATION, "flood", 100), CQ_LOGLIMIT_BURST);
    for (unsigned i = 0; i < 4 * CQ_LOGLIMIT_KEYS; i++)
        assert_int_equal(pass(CQ_EVENT_KEY_ROTATION, key_of(i), 2), 2);
    assert_int_equal(pass(CQ_EVENT_KEY_ROTATION, "flood", 100), 0);
    assert_true(cq_loglimit_report(&limit, &report, CQ_TIME_NEVER));
    assert_string_equal(report.key, "flood");
    assert_int_equal(report.count, 100 - CQ_LOGLIMIT_BURST + 100);
    /* When everybody floods, all are held back and all are counted. */
    clear(state);
    unsigned passed = 0;
    for (unsigned i = 0; i < 2 * CQ_LOGLIMIT_KEYS; i++)
        passed += pass(CQ_EVENT_KEY_ROTATION, key_of(i), CQ_LOGLIMIT_BURST + 1);
    assert_int_equal(passed, CQ_LOGLIMIT_KEYS * CQ_LOGLIMIT_BURST);
    while (cq_loglimit_report(&limit, &report, CQ_TIME_NEVER))
        held += report.count;
    assert_int_equal(held + passed, 2 * CQ_LOGLIMIT_KEYS * (CQ_LOGLIMIT_BURST + 1));
}

static void test_long_keys(void **state)
{
    char a[200], b[200];

    (void)state;
    memset(a, 'x', sizeof(a));
    a[sizeof(a) - 1] = '\0';
    memcpy(b, a, sizeof(b));
    b[10] = 'y';
    assert_int_equal(pass(CQ_EVENT_KEY_ROTATION, a, 100), CQ_LOGLIMIT_BURST);
    assert_int_equal(pass(CQ_EVENT_KEY_ROTATION, b, 100), CQ_LOGLIMIT_BURST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_burst_and_refill, clear),
        cmocka_unit_test_setup(test_reports, clear),
        cmocka_unit_test_setup(test_many_peers, clear),
        cmocka_unit_test_setup(test_long_keys, clear),
    };
    return cmocka_run_group_tests_name("loglimit", tests, NULL, NULL);
}
