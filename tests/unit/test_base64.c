/* Base64: the vectors of RFC 4648, every spelling that is not canonical, and round trips. */
#include "base/base64.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *data;
    const char *text;
} rfc4648[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};

static void test_rfc4648(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rfc4648) / sizeof(rfc4648[0]); i++) {
        size_t len = strlen(rfc4648[i].data);
        char text[16];
        uint8_t data[8];
        cq_base64_encode((const uint8_t *)rfc4648[i].data, len, text);
        assert_string_equal(text, rfc4648[i].text);
        assert_int_equal(strlen(text), CQ_BASE64_LEN(len));
        assert_int_equal(cq_base64_decode(text, strlen(text), data, len), CQ_OK);
        assert_memory_equal(data, rfc4648[i].data, len);
    }
}

static const struct {
    const char *text;
    size_t len; /* of the data asked for */
} malformed[] = {
    {"Zh==", 1},  {"Zm9=", 2}, /* bits that no byte uses are set */
    {"Zg=", 1},   {"Zg", 1},   {"Zg===", 1},    {"Zg=g", 1},       {"Z===", 1}, {"====", 1},
    {"Zm8=", 1},  {"Zm8=", 3}, {"Zm9v", 2},     {"Zm9v", 4},       {"Zg==", 2}, {"Zm9v\n", 3},
    {" Zm9v", 3}, {"Zm9-", 3}, {"Zm9_", 3},     {"Zm\xc3\xa9", 3}, {"Zm9", 2},  {"", 1},
    {"A", 0},     {"Zm=v", 3}, {"Zg==Zg==", 4}, {"@m9v", 3},       {"[m9v", 3}, {"`m9v", 3},
    {"{m9v", 3},  {":m9v", 3}, {".m9v", 3},     {"*m9v", 3},       {",m9v", 3},
};

static void test_malformed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        uint8_t data[8];
        memset(data, 0xff, sizeof(data));
        assert_int_equal(
            cq_base64_decode(malformed[i].text, strlen(malformed[i].text), data, malformed[i].len),
            CQ_ERR_INVALID);
        assert_true(cq_is_zero_ct(data, malformed[i].len));
        assert_int_equal(data[malformed[i].len], 0xff);
    }
}

/* All 256 characters in each place of a group: 64 are accepted, each with a value of its own. */
static void test_every_character(void **state)
{
    (void)state;
    for (size_t place = 0; place < 4; place++) {
        unsigned accepted = 0;
        for (int c = 0; c < 256; c++) {
            char text[5] = "AAAA";
            char back[5];
            uint8_t data[3];
            text[place] = (char)c;
            if (cq_base64_decode(text, 4, data, 3) != CQ_OK)
                continue;
            accepted++;
            cq_base64_encode(data, 3, back);
            assert_string_equal(back, text);
        }
        assert_int_equal(accepted, 64);
    }
}

static void test_round_trip(void **state)
{
    uint8_t data[64];
    uint8_t back[64];
    char text[CQ_BASE64_LEN(64) + 1];

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 37 + 201);
    for (size_t len = 0; len <= sizeof(data); len++) {
        cq_base64_encode(data, len, text);
        assert_int_equal(cq_base64_decode(text, CQ_BASE64_LEN(len), back, len), CQ_OK);
        assert_memory_equal(back, data, len);
    }
    cq_base64_encode(data, 32, text);
    assert_int_equal(strlen(text), CQ_KEY32_TEXT_LEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc4648),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_every_character),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
