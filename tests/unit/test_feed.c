/* Reading the feed of events. */
#include "conf/feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct cq_feed_event event;

static enum cq_err parse(const char *line)
{
    return cq_feed_parse(&event, line, strlen(line));
}

static void test_what_the_log_writes(void **state)
{
    const struct cq_field fields[] = {cq_field_text("interface", "wan0"),
                                      cq_field_text("peer", "ID="),
                                      cq_field_text("name", "two words\x1b"),
                                      cq_field_ms("duration_ms", 2345678),
                                      cq_field_int("mtu", 1420),
                                      cq_field_text("reason", "x \"y\""),
                                      {0}};
    const struct cq_logline line = {.event = CQ_EVENT_NO_GUARD, .wall = 1, .fields = fields};
    char text[CQ_LOGLINE_MAX];

    (void)state;
    size_t len = cq_logline_json(text, sizeof(text), &line);
    assert_int_equal(cq_feed_parse(&event, text, len), CQ_OK);
    assert_string_equal(event.time, "1970-01-01T00:00:00.000000Z");
    assert_int_equal(event.level, CQ_LOG_WARN);
    assert_string_equal(event.event, "no_guard");
    assert_string_equal(event.interface, "wan0");
    assert_string_equal(event.peer, "two words\x1b");
    assert_string_equal(event.rest, "duration_ms=2.35 mtu=1420 reason=\"x \\\"y\\\"\"");
}

static void test_others(void **state)
{
    (void)state;
    assert_int_equal(
        parse("{\"level\":\"info\",\"event\":\"new_one\",\"peer\":\"ID=\",\"x\":true}\n"), CQ_OK);
    assert_string_equal(event.event, "new_one");
    assert_string_equal(event.peer, "ID=");
    assert_string_equal(event.rest, "x=true");
    assert_string_equal(event.time, "");
    assert_int_equal(parse(""), CQ_ERR_INVALID);
    assert_int_equal(parse("{"), CQ_ERR_INVALID);
    assert_int_equal(parse("[]"), CQ_ERR_INVALID);
    assert_int_equal(parse("{\"event\":\"ready\"}"), CQ_ERR_INVALID);
    assert_int_equal(parse("{\"level\":\"loud\",\"event\":\"ready\"}"), CQ_ERR_INVALID);
    assert_int_equal(parse("{\"level\":\"info\",\"event\":3}"), CQ_ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_the_log_writes),
        cmocka_unit_test(test_others),
    };
    return cmocka_run_group_tests_name("feed", tests, NULL, NULL);
}
