#include "proto/control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define T8 1, 2, 3, 4, 5, 6, 7, 8
#define LIST(...) {__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

/* `found` has one letter per known entry: K, I(ping), O(pong), C. */
static const struct {
    int number;
    uint8_t bytes[40];
    size_t len;
    bool ok, padded;
    const char *found;
} lists[] = {
    {1, {0}, 0, true, false, ""},
    {2, LIST(0), true, true, ""},
    {3, LIST(0, 0xff, 0xff), true, true, ""},
    {4, LIST(1, 0, 0), true, false, "K"},
    {5, LIST(1, 0, 1, 9), false, false, ""},
    {6, LIST(1), false, false, ""},
    {7, LIST(1, 0), false, false, ""},
    {8, LIST(2, 0, 8, T8), true, false, "I"},
    {9, LIST(2, 0, 10, T8, 9, 9), true, true, "I"},
    {10, LIST(2, 0, 7, 1, 2, 3, 4, 5, 6, 7), false, false, ""},
    {11, LIST(2, 0, 9, T8), false, false, ""},
    {12, LIST(3, 0, 8, T8), true, false, "O"},
    {13, LIST(3, 0, 9, T8, 9), false, false, ""},
    {14, LIST(4, 0, 1, 2), true, false, "C"},
    {15, LIST(4, 0, 1, 77), true, false, "C"},
    {16, LIST(4, 0, 0), false, false, ""},
    {17, LIST(4, 0, 2, 0, 0), false, false, ""},
    {18, LIST(5, 0, 3, 1, 2, 3), true, false, ""},
    {19, LIST(255, 0, 0, 1, 0, 0), true, false, "K"},
    {20, LIST(200, 0xff, 0xff, 1), false, false, ""},
    {21, LIST(2, 0, 8, T8, 3, 0, 8, T8, 1, 0, 0, 4, 0, 1, 0), true, false, "IOKC"},
    {22, LIST(2, 0, 8, T8, 0), true, true, "I"},
    {23, LIST(1, 0, 0, 2), false, false, "K"},
    {24, LIST(2, 0, 8, T8, 0, 9, 9, 9, 9), true, true, "I"},
};

static void test_lists(void **state)
{
    static const char letters[] = "-KIOC";
    static const uint8_t token[8] = {T8};

    (void)state;
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct cq_control_iter iter = cq_control_begin(lists[i].bytes, lists[i].len);
        struct cq_control entry;
        char found[16] = "";
        bool padded = false;
        size_t n = 0;
        while (cq_control_next(&iter, &entry)) {
            found[n++] = letters[entry.type];
            if (entry.type == CQ_CONTROL_PING || entry.type == CQ_CONTROL_PONG)
                assert_memory_equal(entry.token, token, 8);
            if (entry.type == CQ_CONTROL_CLOSE)
                assert_int_equal(entry.close_reason, lists[i].bytes[lists[i].len - 1]);
        }
        if (iter.malformed == lists[i].ok || strcmp(found, lists[i].found) != 0)
            fail_msg("list %d: %s", lists[i].number, found);
        bool ok = cq_control_check(lists[i].bytes, lists[i].len, &padded);
        if (ok != lists[i].ok || (ok && padded != lists[i].padded))
            fail_msg("list %d: check", lists[i].number);
    }
}

static void test_writers(void **state)
{
    static const uint8_t token[8] = {T8};
    static const uint8_t expected[] = {1, 0, 0, 2, 0, 8, T8, 3, 0, 8, T8, 4, 0, 1, 2, 0, 0, 0};
    uint8_t out[64];
    struct cq_writer w = cq_writer_make(out, sizeof(out));

    (void)state;
    cq_control_write_keepalive(&w);
    cq_control_write_ping(&w, token);
    cq_control_write_pong(&w, token);
    cq_control_write_close(&w, CQ_CLOSE_REMOVED);
    cq_control_write_pad(&w, 3);
    assert_false(w.failed);
    assert_int_equal(w.written, sizeof(expected));
    assert_memory_equal(out, expected, sizeof(expected));
}

static void test_writers_full(void **state)
{
    static const uint8_t token[8] = {T8};
    uint8_t out[11];

    (void)state;
    for (size_t size = 0; size <= sizeof(out); size++) {
        struct cq_writer w = cq_writer_make(out, size);
        cq_control_write_ping(&w, token);
        assert_int_equal(w.failed, size < 11);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_writers),
        cmocka_unit_test(test_writers_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
