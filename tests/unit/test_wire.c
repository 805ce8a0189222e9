#include "proto/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    uint8_t type;
    size_t len;
    size_t zeros_from, zeros_to; /* bytes that must be zero besides byte 2 and 3 */
} messages[] = {
    {CQ_MSG_INIT, 1232, 0, 0},         {CQ_MSG_REPLY, 1172, 0, 0},
    {CQ_MSG_OFFER, 1220, 0, 0},        {CQ_MSG_ACCEPT, 1132, 0, 0},
    {CQ_MSG_COOKIE, 64, 0, 0},         {CQ_MSG_KEY_REQUEST, 1232, 8, 1200},
    {CQ_MSG_KEY_RESPONSE, 1224, 0, 0}, {CQ_MSG_KEY_PUSH, 1232, 0, 0},
};
enum { NUM_MESSAGES = sizeof(messages) / sizeof(messages[0]), LONGEST = 2048 };

static void make(uint8_t *buf, size_t i)
{
    memset(buf, 0xa5, LONGEST);
    buf[0] = messages[i].type;
    buf[1] = 1;
    buf[2] = messages[i].type == CQ_MSG_INIT ? 1 : 0;
    buf[3] = messages[i].type == CQ_MSG_INIT ? 3 : 0;
    memset(buf + messages[i].zeros_from, 0, messages[i].zeros_to - messages[i].zeros_from);
}

static void test_every_length(void **state)
{
    uint8_t buf[LONGEST];
    (void)state;
    for (size_t i = 0; i < NUM_MESSAGES; i++) {
        make(buf, i);
        for (size_t len = 0; len < LONGEST; len++)
            assert_int_equal(cq_wire_check(buf, len),
                             len == messages[i].len ? CQ_DROP_NONE : CQ_DROP_BAD_LENGTH);
    }
}

static void test_every_type(void **state)
{
    uint8_t buf[LONGEST] = {0, 1};
    (void)state;
    for (unsigned type = 0; type < 256; type++) {
        buf[0] = (uint8_t)type;
        enum cq_drop expected = type >= 1 && type <= 8 ? CQ_DROP_BAD_LENGTH : CQ_DROP_BAD_TYPE;
        assert_int_equal(cq_wire_check(buf, 100), expected);
    }
}

static void test_every_version(void **state)
{
    uint8_t buf[LONGEST];
    (void)state;
    for (size_t i = 0; i < NUM_MESSAGES; i++)
        for (unsigned version = 0; version < 256; version++) {
            make(buf, i);
            buf[1] = (uint8_t)version;
            if (messages[i].type == CQ_MSG_INIT)
                buf[CQ_INIT_MAX_VERSION] = 255;
            assert_int_equal(cq_wire_check(buf, messages[i].len),
                             version == 1 ? CQ_DROP_NONE : CQ_DROP_BAD_VERSION);
        }
}

static void test_max_version(void **state)
{
    uint8_t buf[LONGEST];
    (void)state;
    for (unsigned max = 0; max < 256; max++) {
        make(buf, 0);
        buf[CQ_INIT_MAX_VERSION] = (uint8_t)max;
        assert_int_equal(cq_wire_check(buf, CQ_INIT_LEN),
                         max >= 1 ? CQ_DROP_NONE : CQ_DROP_BAD_VERSION);
    }
}

/* Every value of every byte behind the version: only those that the specification reserves matter.
 */
static void test_reserved_bytes(void **state)
{
    uint8_t buf[LONGEST];
    (void)state;
    for (size_t i = 0; i < NUM_MESSAGES; i++) {
        make(buf, i);
        for (size_t at = 2; at < messages[i].len; at++) {
            int reserved = (messages[i].type != CQ_MSG_INIT && at < 4) ||
                           (at >= messages[i].zeros_from && at < messages[i].zeros_to);
            uint8_t before = buf[at];
            for (unsigned bit = 0; bit < 8; bit++) {
                buf[at] = (uint8_t)(before ^ 1u << bit);
                enum cq_drop expected = reserved ? CQ_DROP_RESERVED_BITS : CQ_DROP_NONE;
                if (messages[i].type == CQ_MSG_INIT && at == 2 && bit == 0)
                    expected = CQ_DROP_BAD_VERSION; /* max version 0 */
                assert_int_equal(cq_wire_check(buf, messages[i].len), expected);
            }
            buf[at] = before;
        }
    }
}

/* Section 1: no datagram above 1232 bytes; section 3 and 4: no answer longer than what it answers.
 */
static void test_sizes(void **state)
{
    (void)state;
    for (size_t i = 0; i < NUM_MESSAGES; i++)
        assert_true(messages[i].len <= CQ_HANDSHAKE_MSG_MAX);
    assert_int_equal(CQ_HANDSHAKE_MSG_MAX, 1280 - 48);
    assert_true(CQ_REPLY_LEN < CQ_INIT_LEN);
    assert_true(CQ_ACCEPT_LEN < CQ_OFFER_LEN);
    assert_true(CQ_COOKIE_MSG_LEN < CQ_INIT_LEN);
    assert_true(CQ_KEY_RESPONSE_LEN < CQ_KEY_REQUEST_LEN);
    /* The fields of each message end where it ends. */
    assert_int_equal(CQ_INIT_ENC_ID, CQ_INIT_CT + 1088);
    assert_int_equal(CQ_INIT_ENC_FRESH, CQ_INIT_ENC_ID + 48);
    assert_int_equal(CQ_INIT_MAC1, CQ_INIT_ENC_FRESH + 24);
    assert_int_equal(CQ_INIT_MAC2 + CQ_MAC_LEN, CQ_INIT_LEN);
    assert_int_equal(CQ_REPLY_ENC_CHOICE + 24, CQ_REPLY_LEN);
    assert_int_equal(CQ_OFFER_ENC_OFFER + 1208, CQ_OFFER_LEN);
    assert_int_equal(CQ_ACCEPT_ENC_FIN + 16, CQ_ACCEPT_LEN);
    assert_int_equal(CQ_COOKIE_ENC + 32, CQ_COOKIE_MSG_LEN);
    assert_int_equal(CQ_KEY_RESPONSE_KEY + 1216, CQ_KEY_RESPONSE_LEN);
    assert_int_equal(CQ_KEY_PUSH_KEY + 1216, CQ_KEY_PUSH_MAC1);
    assert_int_equal(CQ_KEY_PUSH_MAC1 + CQ_PUSH_MAC_LEN, CQ_KEY_PUSH_LEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_length),   cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_every_version),  cmocka_unit_test(test_max_version),
        cmocka_unit_test(test_reserved_bytes), cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
