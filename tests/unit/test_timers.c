/*
 * The values of docs/protocol.md section 7, as that table has them. What they do is held by
 * tests/sim, where a value that is somewhat too long or too short may pass unnoticed.
 */
#include "path/stage.h"
#include "proto/replay.h"
#include "proto/timers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TIME(name) #name, name

static const struct {
    const char *name;
    cq_time value;
    double seconds;
} times[] = {
    {TIME(CQ_RETRANSMIT_FIRST), 0.4}, {TIME(CQ_RETRANSMIT_MAX), 5},
    {TIME(CQ_STAGE_TIME), 8},         {TIME(CQ_ATTEMPT_TIME), 90},
    {TIME(CQ_INIT_GAP), 0.4},         {TIME(CQ_HOLD_BACK), 8},
    {TIME(CQ_PENDING_LIFE), 20},      {TIME(CQ_SEEN_LIFE), 240},
    {TIME(CQ_ANSWER_GAP), 0.2},       {TIME(CQ_COOKIE_SECRET_LIFE), 120},
    {TIME(CQ_COOKIE_HELD), 100},      {TIME(CQ_LOAD_LASTS), 1},
    {TIME(CQ_UNCONFIRMED_LIFE), 30},  {TIME(CQ_CONFIRM_TIME), 30},
    {TIME(CQ_RECV_GRACE), 15},        {TIME(CQ_EARLY_ERASE), 10},
    {TIME(CQ_ROTATE_I_MIN), 35},                                   /* U(35, 50) */
    {TIME(CQ_ROTATE_I_SPAN), 15},     {TIME(CQ_ROTATE_R_MIN), 23}, /* 25 +- 2 */
    {TIME(CQ_ROTATE_R_SPAN), 4},      {TIME(CQ_AFTER_CLOSE), 1},
    {TIME(CQ_PASSIVE_KEEPALIVE), 5},  {TIME(CQ_DEAD_PEER), 15},
    {TIME(CQ_DEAD_PEER_SPAN), 0.3},   {TIME(CQ_PING_TIME), 30},
    {TIME(CQ_REVERT_TIME), 3},        {TIME(CQ_BARRED_TIME), 10},
    {TIME(CQ_STAGE_MAX_AGE), 5},
};

static void test_times(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
        if (times[i].value != (cq_time)(times[i].seconds * 1e9))
            fail_msg("%s is %.3f s", times[i].name, (double)times[i].value * 1e-9);
}

static void test_counts(void **state)
{
    (void)state;
    assert_int_equal(CQ_MAX_ANSWERS, 30);
    assert_int_equal(CQ_MAX_PONGS, 10);
    assert_int_equal(CQ_LOAD_DEFAULT, 500);
    assert_int_equal(CQ_SOURCE_RATE, 20);
    assert_int_equal(CQ_SOURCE_BURST, 40);
    assert_int_equal(CQ_STAGE_MAX_PACKETS, 64);
    assert_int_equal(CQ_STAGE_MAX_BYTES, 128 * 1024);
    assert_int_equal(CQ_REPLAY_WINDOW_FIRST, 65536);
    assert_int_equal(CQ_REPLAY_WINDOW_OTHER, 8192);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
