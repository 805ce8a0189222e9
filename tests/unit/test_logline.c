/* The forms of one event: key=value, JSON, the journal's protocol; bounds and hostile values. */
#include "base/logline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

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
    {"YWI=", 64, "YWI="},
    {"YQ==", 64, "YQ=="},
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
        assert_ptr_equal(cq_logline_quote(quotes[i].text, out, quotes[i].size), out);
        assert_string_equal(out, quotes[i].quoted);
        assert_int_equal(out[quotes[i].size], '#');
    }
    char untouched = '#';
    cq_logline_quote("x", &untouched, 0);
    assert_int_equal(untouched, '#');
}

static const struct {
    cq_time wall;
    const char *text;
} times[] = {
    {0, "1970-01-01T00:00:00.000000Z"},
    {-1, "1970-01-01T00:00:00.000000Z"},
    {INT64_C(951782400) * CQ_NS_PER_S, "2000-02-29T00:00:00.000000Z"},
    {INT64_C(951868799) * CQ_NS_PER_S + 999999999, "2000-02-29T23:59:59.999999Z"},
    {INT64_C(1767322645) * CQ_NS_PER_S + 678901234, "2026-01-02T02:57:25.678901Z"},
    {INT64_C(4107542400) * CQ_NS_PER_S, "2100-03-01T00:00:00.000000Z"},
    {INT64_MAX, "2262-04-11T23:47:16.854775Z"},
};

static void test_time(void **state)
{
    char out[CQ_LOGLINE_TIME_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT(times); i++)
        assert_string_equal(cq_logline_time(times[i].wall, out), times[i].text);
}

/* The JSON string that a value becomes. */
static const struct {
    const char *text;
    const char *json;
} strings[] = {
    {"", "\"\""},
    {"plain", "\"plain\""},
    {"say \"x\" \\ /", "\"say \\\"x\\\" \\\\ /\""},
    {"a\nb\x01\x1f\x7f", "\"a\\u000ab\\u0001\\u001f\\u007f\""},
    {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
    {"\xc2\x80\xc2\x9f\xc2\xa0", "\"\\u0080\\u009f\xc2\xa0\""},          /* C1 controls */
    {"\xff", "\"\\ufffd\""},                                             /* no UTF-8 */
    {"\xc3", "\"\\ufffd\""},                                             /* cut off */
    {"\xe2\x82", "\"\\ufffd\\ufffd\""},                                  /* the same */
    {"\xc0\xaf\xe0\x80\xaf", "\"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\""}, /* overlong */
    {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},                       /* a surrogate */
    {"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},            /* beyond Unicode */
    {"\xc1\x80z", "\"\\ufffd\\ufffdz\""},
};

static const char *json(cq_time wall, const struct cq_field *fields)
{
    static char out[CQ_LOGLINE_MAX + 1];
    const struct cq_logline line = {.event = CQ_EVENT_READY, .wall = wall, .fields = fields};

    out[cq_logline_json(out, CQ_LOGLINE_MAX, &line)] = '\0';
    return out;
}

static void test_json(void **state)
{
    (void)state;
    assert_string_equal(json(0, (const struct cq_field[]){{0}}),
                        "{\"level\":\"info\",\"event\":\"ready\"}");
    assert_string_equal(json(1, (const struct cq_field[]){cq_field_int("mtu", INT64_MIN),
                                                          cq_field_text("name", NULL),
                                                          cq_field_ms("duration_ms", 1500000),
                                                          {0}}),
                        "{\"time\":\"1970-01-01T00:00:00.000000Z\",\"level\":\"info\","
                        "\"event\":\"ready\",\"mtu\":-9223372036854775808,\"duration_ms\":1.50}");
    for (size_t i = 0; i < COUNT(strings); i++) {
        char expected[256];
        snprintf(expected, sizeof(expected), "{\"level\":\"info\",\"event\":\"ready\",\"id\":%s}",
                 strings[i].json);
        assert_string_equal(
            json(0, (const struct cq_field[]){cq_field_text("id", strings[i].text), {0}}),
            expected);
    }
}

/* At every size: whole, or cut off at a whole character with the mark, and never longer. */
static void test_json_bounds(void **state)
{
    static const char cut[] = ",\"truncated\":true}";
    const struct cq_field fields[] = {cq_field_text("id", "\xe2\x82\xac\n\xe2\x82\xac\"\xff end"),
                                      cq_field_int("mtu", 1234567890),
                                      cq_field_text("reason", "because of a long story"),
                                      {0}};
    const struct cq_logline line = {.event = CQ_EVENT_READY, .wall = 1, .fields = fields};
    char whole[512], out[512];
    size_t len = cq_logline_json(whole, sizeof(whole), &line);
    unsigned num_cut = 0;

    (void)state;
    for (size_t size = 100; size < 260; size++) {
        memset(out, '#', sizeof(out));
        size_t n = cq_logline_json(out, size, &line);
        assert_true(n <= size);
        assert_int_equal(out[size], '#');
        if (n == len && memcmp(out, whole, len) == 0)
            continue;
        num_cut++;
        assert_memory_equal(out + n - strlen(cut), cut, strlen(cut));
        char before = out[n - strlen(cut) - 1];
        assert_true(before == '"' || before == '0'); /* a whole string or number */
    }
    assert_true(num_cut > 20 && num_cut < 150);
}

static void test_kv_bounds(void **state)
{
    const struct cq_field fields[] = {cq_field_text("id", "a b\n\x01"),
                                      cq_field_int("mtu", 1),
                                      cq_field_text("reason", "because of"),
                                      {0}};
    const struct cq_logline line = {.event = CQ_EVENT_READY, .fields = fields};
    char whole[256], out[256];
    size_t len = cq_logline_kv(whole, sizeof(whole), &line);

    (void)state;
    whole[len] = '\0';
    assert_string_equal(whole, "event=ready id=\"a b\\n\\x01\" mtu=1 reason=\"because of\"");
    for (size_t size = 20; size < 80; size++) {
        memset(out, '#', sizeof(out));
        size_t n = cq_logline_kv(out, size, &line);
        assert_true(n <= size);
        assert_int_equal(out[size], '#');
        if (n != len || memcmp(out, whole, len) != 0)
            assert_memory_equal(out + n - 3, "...", 3);
        assert_null(memchr(out, '\n', n));
    }
}

static void test_journal(void **state)
{
    static const char expected[] = "MESSAGE=event=hook_failed interface=wan0 command=\"a\\nb\"\n"
                                   "PRIORITY=4\n"
                                   "SYSLOG_IDENTIFIER=cryprq\n"
                                   "CRYPRQ_EVENT=hook_failed\n"
                                   "CRYPRQ_INTERFACE=wan0\n"
                                   "CRYPRQ_COMMAND\n\x03\0\0\0\0\0\0\0a\nb\n";
    const struct cq_field fields[] = {
        cq_field_text("interface", "wan0"), cq_field_text("command", "a\nb"), {0}};
    struct cq_logline line = {.event = CQ_EVENT_HOOK_FAILED, .fields = fields};
    char out[CQ_LOGLINE_JOURNAL_MAX];
    static char text[9000];

    (void)state;
    size_t len = cq_logline_journal(out, sizeof(out), &line);
    assert_int_equal(len, sizeof(expected) - 1);
    assert_memory_equal(out, expected, len);
    /* What does not fit is left out whole. */
    memset(text, 'x', sizeof(text) - 1);
    const struct cq_field large[] = {
        cq_field_text("command", text), cq_field_text("interface", "wan0"), {0}};
    line.fields = large;
    len = cq_logline_journal(out, sizeof(out) - 1, &line);
    out[len] = '\0';
    assert_null(strstr(out, "CRYPRQ_COMMAND"));
    assert_non_null(strstr(out, "CRYPRQ_EVENT=hook_failed\n"));
    assert_int_equal(out[len - 1], '\n');
}

static void test_priorities(void **state)
{
    static const int expected[] = {3, 4, 6, 7};

    (void)state;
    for (int level = CQ_LOG_ERROR; level <= CQ_LOG_DEBUG; level++)
        assert_int_equal(cq_logline_priority((enum cq_level)level), expected[level]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quote),      cmocka_unit_test(test_time),
        cmocka_unit_test(test_json),       cmocka_unit_test(test_json_bounds),
        cmocka_unit_test(test_kv_bounds),  cmocka_unit_test(test_journal),
        cmocka_unit_test(test_priorities),
    };
    return cmocka_run_group_tests_name("logline", tests, NULL, NULL);
}
