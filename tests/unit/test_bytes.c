/* The bounded reader and writer, error texts and drop reasons. */
#include "base/bytes.h"
#include "base/counter.h"
#include "base/err.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_round_trip(void **state)
{
    uint8_t buf[1 + 2 + 4 + 8 + 3 + 2];
    struct cq_writer w = cq_writer_make(buf, sizeof(buf));

    (void)state;
    cq_write_u8(&w, 0x01);
    cq_write_u16(&w, 0x0203);
    cq_write_u32(&w, 0x04050607);
    cq_write_u64(&w, UINT64_C(0x08090a0b0c0d0e0f));
    cq_write_bytes(&w, "\x10\x11\x12", 3);
    cq_write_zeros(&w, 2);
    assert_false(w.failed);
    assert_int_equal(w.written, sizeof(buf));
    assert_int_equal(w.len, 0);
    for (size_t i = 0; i < 18; i++)
        assert_int_equal(buf[i], i + 1);

    struct cq_reader r = cq_reader_make(buf, sizeof(buf));
    uint8_t three[3];
    assert_int_equal(cq_read_u8(&r), 0x01);
    assert_int_equal(cq_read_u16(&r), 0x0203);
    assert_int_equal(cq_read_u32(&r), 0x04050607);
    assert_true(cq_read_u64(&r) == UINT64_C(0x08090a0b0c0d0e0f));
    cq_read_bytes(&r, three, 3);
    assert_memory_equal(three, "\x10\x11\x12", 3);
    assert_ptr_equal(cq_read_span(&r, 2), buf + 18);
    assert_false(r.failed);
    assert_int_equal(r.len, 0);
}

/* Every read that ends behind the buffer fails, gives zero, and so does whatever follows. */
static void test_short_reads(void **state)
{
    static const uint8_t data[8] = {1, 2, 3, 4, 5, 6, 7, 8};

    (void)state;
    for (size_t len = 0; len < 8; len++) {
        struct cq_reader r = cq_reader_make(data, len);
        uint8_t out[9] = {9, 9, 9, 9, 9, 9, 9, 9, 9};
        assert_true(cq_read_u64(&r) == 0);
        assert_true(r.failed);
        assert_int_equal(cq_read_u8(&r), 0);
        assert_int_equal(cq_read_u16(&r), 0);
        assert_int_equal(cq_read_u32(&r), 0);
        assert_null(cq_read_span(&r, 0));
        cq_read_bytes(&r, out, 8);
        assert_memory_equal(out, "\0\0\0\0\0\0\0\0\x09", 9);
    }
}

static void test_short_writes(void **state)
{
    (void)state;
    for (size_t len = 0; len < 8; len++) {
        uint8_t buf[9] = {9, 9, 9, 9, 9, 9, 9, 9, 9};
        struct cq_writer w = cq_writer_make(buf, len);
        cq_write_u64(&w, UINT64_MAX);
        assert_true(w.failed);
        cq_write_u8(&w, 1);
        cq_write_u16(&w, 1);
        cq_write_u32(&w, 1);
        cq_write_zeros(&w, 1);
        assert_null(cq_write_span(&w, 0));
        assert_int_equal(w.written, 0);
        assert_memory_equal(buf, "\x09\x09\x09\x09\x09\x09\x09\x09\x09", 9);
    }
}

static void test_huge_lengths(void **state)
{
    uint8_t buf[4] = {0};
    struct cq_reader r = cq_reader_make(buf, sizeof(buf));
    struct cq_writer w = cq_writer_make(buf, sizeof(buf));

    (void)state;
    assert_null(cq_read_span(&r, SIZE_MAX));
    assert_null(cq_write_span(&w, SIZE_MAX));
}

static void test_err_texts(void **state)
{
    (void)state;
    for (int i = CQ_OK; i <= CQ_ERR_EXPIRED; i++) {
        const char *text = cq_err_text((enum cq_err)i);
        assert_string_not_equal(text, "unknown error");
        for (int j = CQ_OK; j < i; j++)
            assert_string_not_equal(text, cq_err_text((enum cq_err)j));
    }
    assert_string_equal(cq_err_text((enum cq_err)1000), "unknown error");
}

/* The names are public: [a-z0-9_], each once. */
static void test_drop_names(void **state)
{
    (void)state;
    for (int i = CQ_DROP_NONE; i < CQ_DROP_COUNT; i++) {
        const char *name = cq_drop_name((enum cq_drop)i);
        assert_true(strlen(name) > 0 && strlen(name) < 32);
        assert_true(strlen(cq_drop_text((enum cq_drop)i)) > 0);
        for (const char *c = name; *c != '\0'; c++)
            assert_true(islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_');
        for (int j = CQ_DROP_NONE; j < i; j++)
            assert_string_not_equal(name, cq_drop_name((enum cq_drop)j));
    }
    assert_string_equal(cq_drop_name(CQ_DROP_NONE), "none");
    assert_string_equal(cq_drop_name(CQ_DROP_BAD_MAC1), "bad_mac1");
    assert_string_equal(cq_drop_name(CQ_DROP_COUNT), "none");
    assert_string_equal(cq_drop_name((enum cq_drop) - 1), "none");
}

static void test_counters(void **state)
{
    static struct cq_counters counters;

    (void)state;
    cq_drop_count(&counters, CQ_DROP_BAD_TAG, 3);
    cq_drop_count(&counters, CQ_DROP_BAD_TAG, UINT32_MAX);
    assert_true(cq_counter_get(&counters.drops[CQ_DROP_BAD_TAG]) == UINT64_C(3) + UINT32_MAX);
    assert_true(cq_counter_get(&counters.drops[CQ_DROP_BAD_LANE]) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_short_reads),
        cmocka_unit_test(test_short_writes), cmocka_unit_test(test_huge_lengths),
        cmocka_unit_test(test_err_texts),    cmocka_unit_test(test_drop_names),
        cmocka_unit_test(test_counters),
    };
    return cmocka_run_group_tests_name("bytes", tests, NULL, NULL);
}
