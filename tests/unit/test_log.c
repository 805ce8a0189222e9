/* The log: one write per line, levels, the prefix of priorities, limits, the observer. */
#include "base/log.h"

#include "base/loglimit.h"

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
    static const struct cq_log_sink standard = {.frame = CQ_LOG_LINES};

    (void)state;
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    close(tap);
    cq_log_set_level(CQ_LOG_INFO);
    cq_log_set_format(CQ_LOG_KV);
    cq_log_set_sink(&standard);
    cq_log_set_clocks(NULL, NULL);
    cq_log_set_observer(NULL, NULL, CQ_LOG_ERROR);
    cq_log_forget();
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

/* Events of each level. */
static const enum cq_event of_level[] = {
    [CQ_LOG_ERROR] = CQ_EVENT_NODE_DIED,
    [CQ_LOG_WARN] = CQ_EVENT_NO_GUARD,
    [CQ_LOG_INFO] = CQ_EVENT_READY,
    [CQ_LOG_DEBUG] = CQ_EVENT_NODE_STARTED,
};

static void test_lines(void **state)
{
    (void)state;
    cq_log(CQ_EVENT_READY, cq_field_text("id", "x"), cq_field_int("mtu", 1420));
    assert_string_equal(next_line(), "event=ready id=x mtu=1420\n");
    cq_log(CQ_EVENT_READY, cq_field_text("id", NULL), cq_field_int("mtu", -1));
    assert_string_equal(next_line(), "event=ready mtu=-1\n");
    cq_log(CQ_EVENT_KEY_ROTATION, cq_field_ms("duration_ms", 2345678), cq_field_text("name", ""));
    assert_string_equal(next_line(), "event=key_rotation duration_ms=2.35 name=\"\"\n");
    cq_log(CQ_EVENT_READY, cq_field_text("id", "x\nevent=fake\r\033[2J\177"));
    assert_string_equal(next_line(), "event=ready id=\"x\\nevent=fake\\r\\x1b[2J\\x7f\"\n");
    assert_string_equal(next_line(), "");
}

static void test_levels(void **state)
{
    (void)state;
    for (int max = CQ_LOG_ERROR; max <= CQ_LOG_DEBUG; max++) {
        cq_log_set_level((enum cq_level)max);
        assert_int_equal(cq_log_level(), max);
        for (int level = CQ_LOG_ERROR; level <= CQ_LOG_DEBUG; level++) {
            assert_int_equal(cq_event_level(of_level[level]), level);
            assert_int_equal(cq_log_wants((enum cq_level)level), level <= max);
            cq_log(of_level[level], cq_field_int("level", level));
            assert_int_equal(next_line()[0] != '\0', level <= max);
        }
    }
}

static void test_level_names(void **state)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    enum cq_level level;
    enum cq_log_format format;

    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(cq_log_level_parse(names[i], &level), CQ_OK);
        assert_int_equal(level, i);
    }
    assert_int_equal(cq_log_level_parse("", &level), CQ_ERR_INVALID);
    assert_int_equal(cq_log_level_parse("Info", &level), CQ_ERR_INVALID);
    assert_int_equal(cq_log_level_parse("informational", &level), CQ_ERR_INVALID);
    assert_int_equal(cq_log_format_parse("kv", &format), CQ_OK);
    assert_int_equal(format, CQ_LOG_KV);
    assert_int_equal(cq_log_format_parse("json", &format), CQ_OK);
    assert_int_equal(format, CQ_LOG_JSON);
    assert_int_equal(cq_log_format_parse("JSON", &format), CQ_ERR_INVALID);
}

static void test_prefix(void **state)
{
    static const struct cq_log_sink prefixed = {.frame = CQ_LOG_PREFIXED};
    static const char prefix[] = {'3', '4', '6', '7'};

    (void)state;
    cq_log_set_sink(&prefixed);
    cq_log_set_level(CQ_LOG_DEBUG);
    for (int level = CQ_LOG_ERROR; level <= CQ_LOG_DEBUG; level++) {
        char expected[64];
        cq_log(of_level[level], cq_field_int("a", 1));
        snprintf(expected, sizeof(expected), "<%c>event=%s a=1\n", prefix[level],
                 cq_event_name(of_level[level]));
        assert_string_equal(next_line(), expected);
    }
    cq_log_set_format(CQ_LOG_JSON);
    cq_log(CQ_EVENT_READY, cq_field_int("mtu", 1));
    assert_string_equal(next_line(), "<6>{\"level\":\"info\",\"event\":\"ready\",\"mtu\":1}\n");
}

static void test_long_line(void **state)
{
    static char text[5000];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    for (size_t len = 2000; len < 2060; len++) {
        text[len] = '\0';
        cq_log(CQ_EVENT_READY, cq_field_text("id", text));
        text[len] = 'x';
        const char *line = next_line();
        size_t got = strlen(line);
        assert_true(got <= 2048);
        assert_int_equal(line[got - 1], '\n');
        size_t whole = strlen("event=ready id=") + len + 1;
        bool cut = strcmp(line + got - 4, "...\n") == 0;
        assert_true(cut || got == whole);
        assert_int_equal(cut, whole > 2045);
    }
}

/* ---- limits ---- */

static cq_time virtual_now;

static cq_time read_now(void)
{
    return virtual_now;
}

static cq_time read_wall(void)
{
    return virtual_now;
}

static void rotate(const char *peer)
{
    cq_log(CQ_EVENT_KEY_ROTATION, cq_field_text("interface", "i"), cq_field_text("peer", peer),
           cq_field_text("name", "bob"));
}

static unsigned count_lines(const char *part)
{
    unsigned num = 0;

    for (const char *line = next_line(); line[0] != '\0'; line = next_line())
        num += strstr(line, part) != NULL;
    return num;
}

static void test_limit(void **state)
{
    (void)state;
    virtual_now = 1000 * CQ_NS_PER_S;
    cq_log_set_clocks(read_now, read_wall);
    assert_true(cq_log_next_expiry() == CQ_TIME_NEVER);
    for (int i = 0; i < CQ_LOGLIMIT_BURST + 7; i++)
        rotate("ID1");
    assert_int_equal(count_lines("event=key_rotation"), CQ_LOGLIMIT_BURST);
    rotate("ID2"); /* another peer is not concerned */
    assert_int_equal(count_lines("event=key_rotation"), 1);
    assert_true(cq_log_next_expiry() == virtual_now + CQ_LOGLIMIT_REPORT);
    cq_log_handle_expiry("i", false);
    assert_string_equal(next_line(), "");
    virtual_now += CQ_LOGLIMIT_REPORT;
    cq_log_handle_expiry("i", false);
    assert_string_equal(
        next_line(),
        "event=log_suppressed interface=i peer=ID1 name=bob count=7 of=key_rotation\n");
    assert_string_equal(next_line(), "");
    assert_true(cq_log_next_expiry() == CQ_TIME_NEVER);
    rotate("ID1"); /* one was restored meanwhile */
    rotate("ID1");
    assert_int_equal(count_lines("event=key_rotation"), 1);
    cq_log_handle_expiry("i", true);
    assert_int_equal(count_lines("count=1 of=key_rotation"), 1);
}

static unsigned num_observed;

static void observe(void *ctx, const struct cq_logline *line)
{
    assert_ptr_equal(ctx, &num_observed);
    assert_int_equal(line->event, CQ_EVENT_NODE_STARTED);
    num_observed++;
}

static void test_observer(void **state)
{
    (void)state;
    num_observed = 0;
    cq_log_set_observer(observe, &num_observed, CQ_LOG_DEBUG);
    assert_true(cq_log_wants(CQ_LOG_DEBUG));
    cq_log(CQ_EVENT_NODE_STARTED, cq_field_int("process", 1));
    assert_int_equal(num_observed, 1);
    assert_string_equal(next_line(), ""); /* the log's own level is info */
    cq_log_set_observer(observe, &num_observed, CQ_LOG_INFO);
    cq_log(CQ_EVENT_NODE_STARTED, cq_field_int("process", 1));
    cq_log_set_observer(NULL, NULL, CQ_LOG_DEBUG);
    cq_log(CQ_EVENT_NODE_STARTED, cq_field_int("process", 1));
    assert_int_equal(num_observed, 1);
    assert_false(cq_log_wants(CQ_LOG_DEBUG));
}

static void test_errno_is_kept(void **state)
{
    (void)state;
    errno = ENOTTY;
    close(STDERR_FILENO); /* the write fails */
    cq_log(CQ_EVENT_READY, cq_field_int("mtu", 1));
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
        cq_log(CQ_EVENT_READY, cq_field_int("id", id), cq_field_int("i", i),
               cq_field_text("fill", fill));
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
        int id = line[strlen("event=ready id=")] - '0';
        assert_true(id >= 0 && id < NUM_THREADS);
        char fill[65];
        memset(fill, 'a' + id, 64);
        fill[64] = '\0';
        snprintf(expected, sizeof(expected), "event=ready id=%d i=%d fill=%s\n", id, next[id]++,
                 fill);
        assert_string_equal(line, expected);
    }
    for (int i = 0; i < NUM_THREADS; i++)
        pthread_join(threads[i], NULL);
}

#define CAPTURED(f) cmocka_unit_test_setup_teardown(f, capture, release)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CAPTURED(test_lines),         CAPTURED(test_levels),    cmocka_unit_test(test_level_names),
        CAPTURED(test_prefix),        CAPTURED(test_long_line), CAPTURED(test_limit),
        CAPTURED(test_errno_is_kept), CAPTURED(test_threads),   CAPTURED(test_observer),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
