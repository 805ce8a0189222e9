/* The log: one write per line, levels, the journal's prefix, quoting. */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int real_stderr = -1;
static int tap = -1; /* every write(2) to stderr arrives here as one datagram */

static int capture(void **state)
{
    int pair[2];

    (void)state;
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) != 0)
        return -1;
    real_stderr = dup(STDERR_FILENO);
    dup2(pair[1], STDERR_FILENO);
    close(pair[1]);
    tap = pair[0];
    return 0;
}

static int release(void **state)
{
    (void)state;
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    close(tap);
    cq_log_set_level(CQ_LOG_INFO);
    cq_log_set_journal(false);
    return 0;
}

/* The next line, or "" when there is none. */
static const char *next_line(void)
{
    static char line[8192];
    ssize_t n = recv(tap, line, sizeof(line) - 1, MSG_DONTWAIT);

    line[n > 0 ? n : 0] = '\0';
    return line;
}

static void test_lines(void **state)
{
    (void)state;
    cq_log(CQ_LOG_INFO, "start", "version=%s peers=%d", "1.0", 3);
    assert_string_equal(next_line(), "event=start version=1.0 peers=3\n");
    cq_log(CQ_LOG_ERROR, "stop", "%s", "");
    assert_string_equal(next_line(), "event=stop\n");
    cq_log(CQ_LOG_INFO, "forged", "name=%s", "x\nevent=fake\r\033[2J\177");
    assert_string_equal(next_line(), "event=forged name=x event=fake  [2J\n");
    assert_string_equal(next_line(), "");
}

static void test_levels(void **state)
{
    (void)state;
    for (int max = CQ_LOG_ERROR; max <= CQ_LOG_DEBUG; max++) {
        cq_log_set_level((enum cq_level)max);
        assert_int_equal(cq_log_level(), max);
        for (int level = CQ_LOG_ERROR; level <= CQ_LOG_DEBUG; level++) {
            cq_log((enum cq_level)level, "e", "level=%d", level);
            assert_int_equal(next_line()[0] != '\0', level <= max);
        }
    }
}

static void test_level_names(void **state)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    enum cq_level level;

    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(cq_log_level_parse(names[i], &level), CQ_OK);
        assert_int_equal(level, i);
    }
    assert_int_equal(cq_log_level_parse("", &level), CQ_ERR_INVALID);
    assert_int_equal(cq_log_level_parse("Info", &level), CQ_ERR_INVALID);
    assert_int_equal(cq_log_level_parse("informational", &level), CQ_ERR_INVALID);
}

static void test_journal(void **state)
{
    static const char *const expected[] = {"<3>event=e a=1\n", "<4>event=e a=1\n",
                                           "<6>event=e a=1\n", "<7>event=e a=1\n"};

    (void)state;
    cq_log_set_journal(true);
    cq_log_set_level(CQ_LOG_DEBUG);
    for (int level = CQ_LOG_ERROR; level <= CQ_LOG_DEBUG; level++) {
        cq_log((enum cq_level)level, "e", "a=%d", 1);
        assert_string_equal(next_line(), expected[level]);
    }
}

static void test_long_line(void **state)
{
    static char text[5000];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    for (size_t len = 2030; len < 2060; len++) {
        cq_log(CQ_LOG_INFO, "e", "a=%.*s", (int)len, text);
        const char *line = next_line();
        size_t got = strlen(line);
        assert_true(got <= 2048);
        assert_int_equal(line[got - 1], '\n');
        bool whole = got == strlen("event=e a=") + len + 1;
        assert_int_equal(whole, strcmp(line + got - 4, "...\n") != 0);
    }
    cq_log(CQ_LOG_INFO, text, "a=%d", 1);
    assert_true(strlen(next_line()) <= 2048);
}

static void test_errno_is_kept(void **state)
{
    (void)state;
    errno = ENOTTY;
    close(STDERR_FILENO); /* the write fails */
    cq_log(CQ_LOG_INFO, "e", "a=%d", 1);
    assert_int_equal(errno, ENOTTY);
}

enum { NUM_THREADS = 4, LINES_EACH = 200 };

static void *log_lines(void *arg)
{
    char fill[65];
    int id = (int)(intptr_t)arg;

    memset(fill, 'a' + id, 64);
    fill[64] = '\0';
    for (int i = 0; i < LINES_EACH; i++)
        cq_log(CQ_LOG_INFO, "t", "id=%d i=%d fill=%s", id, i, fill);
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t threads[NUM_THREADS];
    int next[NUM_THREADS] = {0};

    (void)state;
    for (int i = 0; i < NUM_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_lines, (void *)(intptr_t)i), 0);
    for (int i = 0; i < NUM_THREADS * LINES_EACH; i++) {
        char line[256];
        char expected[256];
        ssize_t n = recv(tap, line, sizeof(line) - 1, 0);
        assert_true(n > 0);
        line[n] = '\0';
        int id = line[strlen("event=t id=")] - '0';
        assert_true(id >= 0 && id < NUM_THREADS);
        char fill[65];
        memset(fill, 'a' + id, 64);
        fill[64] = '\0';
        snprintf(expected, sizeof(expected), "event=t id=%d i=%d fill=%s\n", id, next[id]++, fill);
        assert_string_equal(line, expected);
    }
    for (int i = 0; i < NUM_THREADS; i++)
        pthread_join(threads[i], NULL);
}

static const struct {
    const char *text;
    size_t size;
    const char *quoted;
} quotes[] = {
    {"plain", 64, "plain"},
    {"a/b:c,d.e-f_[::1]%3", 64, "a/b:c,d.e-f_[::1]%3"},
    {"", 64, "\"\""},
    {"two words", 64, "\"two words\""},
    {"a=b", 64, "\"a=b\""},
    {"say \"x\"", 64, "\"say \\\"x\\\"\""},
    {"back\\slash", 64, "\"back\\\\slash\""},
    {"a\nb\tc\rd", 64, "\"a\\nb\\tc\\rd\""},
    {"\033[0m\177\xc3\xa9", 64, "\"\\x1b[0m\\x7f\\xc3\\xa9\""},
    {"plain", 4, "pla"},
    {"plain", 1, ""},
    {"a b c", 6, "\"a b\""},
    {"ab\ncd", 6, "\"ab\""}, /* no half escape */
    {"a b", 3, "\"\""},
    {"a b", 2, ""},
    {"a b", 1, ""},
};

static void test_quote(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(quotes); i++) {
        char out[80];
        memset(out, '#', sizeof(out));
        assert_ptr_equal(cq_log_quote(quotes[i].text, out, quotes[i].size), out);
        assert_string_equal(out, quotes[i].quoted);
        assert_int_equal(out[quotes[i].size], '#');
    }
    char untouched = '#';
    cq_log_quote("x", &untouched, 0);
    assert_int_equal(untouched, '#');
}

#define CAPTURED(f) cmocka_unit_test_setup_teardown(f, capture, release)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CAPTURED(test_lines),   CAPTURED(test_levels),        cmocka_unit_test(test_level_names),
        CAPTURED(test_journal), CAPTURED(test_long_line),     CAPTURED(test_errno_is_kept),
        CAPTURED(test_threads), cmocka_unit_test(test_quote),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
