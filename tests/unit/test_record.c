#include "proto/record.h"

#include "proto/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t good[32] = {16, 1, 1, 0, 0x01, 0x02, 0x03, 0x04, 15, 1, 2, 3, 4, 5, 6, 7};

static void test_read(void **state)
{
    struct cq_record r;

    (void)state;
    assert_int_equal(cq_record_read(&r, good, sizeof(good)), CQ_DROP_NONE);
    assert_int_equal(r.type, CQ_MSG_DATA);
    assert_int_equal(r.flags, CQ_RECORD_FLAG_ELIDED);
    assert_int_equal(r.receiver, 0x01020304);
    assert_true(r.counter == UINT64_C(0x0f01020304050607));
    assert_int_equal(cq_record_lane(r.counter), 15);
    assert_true(cq_record_seq(r.counter) == UINT64_C(0x01020304050607));
    assert_true(cq_record_counter(15, UINT64_C(0x01020304050607)) == r.counter);
}

static const struct {
    int number;
    size_t len;
    size_t at;
    uint8_t value;
    enum cq_drop drop;
} damaged[] = {
    {1, 31, 0, 16, CQ_DROP_BAD_LENGTH},
    {2, 0, 0, 16, CQ_DROP_BAD_LENGTH},
    {3, 65508, 0, 16, CQ_DROP_BAD_LENGTH},
    {4, 65507, 0, 16, CQ_DROP_NONE},
    {5, 32, 1, 0, CQ_DROP_BAD_VERSION},
    {6, 32, 1, 2, CQ_DROP_BAD_VERSION},
    {7, 32, 2, 2, CQ_DROP_RESERVED_BITS},
    {8, 32, 2, 0x80, CQ_DROP_RESERVED_BITS},
    {9, 32, 2, 0, CQ_DROP_NONE},
    {10, 32, 3, 1, CQ_DROP_RESERVED_BITS},
    {11, 32, 0, 17, CQ_DROP_RESERVED_BITS}, /* CONTROL knows no flag */
    {12, 32, 8, 16, CQ_DROP_BAD_LANE},
    {13, 32, 8, 255, CQ_DROP_BAD_LANE},
    {14, 32, 8, 0, CQ_DROP_NONE},
};

static void test_read_damaged(void **state)
{
    static uint8_t message[65508];

    (void)state;
    for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
        struct cq_record r;
        memcpy(message, good, sizeof(good));
        message[damaged[i].at] = damaged[i].value;
        if (cq_record_read(&r, message, damaged[i].len) != damaged[i].drop)
            fail_msg("case %d", damaged[i].number);
    }
}

static void test_write(void **state)
{
    uint8_t out[CQ_RECORD_HEADER_LEN];
    struct cq_record r;

    (void)state;
    assert_int_equal(cq_record_read(&r, good, sizeof(good)), CQ_DROP_NONE);
    cq_record_write(out, &r);
    assert_memory_equal(out, good, sizeof(out));
}

static void test_is_one(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 256; type++) {
        uint8_t byte = (uint8_t)type;
        assert_int_equal(cq_record_is_one(&byte, 1), type == 16 || type == 17);
        assert_false(cq_record_is_one(&byte, 0));
    }
}

static void test_nonce(void **state)
{
    static const uint8_t iv[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    static const uint8_t expected[12] = {1, 2,  3,  4,  10, 7,
                                         5, 11, 13, 15, 13, 11}; /* iv XOR counter */
    uint8_t nonce[12];

    (void)state;
    cq_record_nonce(nonce, iv, UINT64_C(0x0f01020304050607));
    assert_memory_equal(nonce, expected, sizeof(nonce));
}

static void test_padding(void **state)
{
    (void)state;
    for (size_t mtu = 1400; mtu <= 1420; mtu++) {
        for (size_t len = 0; len <= mtu; len++) {
            size_t padded = cq_record_padded_len(len, mtu);
            assert_true(padded >= len && padded <= mtu && padded < len + 16);
            assert_true(padded % 16 == 0 || padded == mtu);
        }
    }
    assert_int_equal(cq_record_padded_len(20, 1420), 32);
    assert_int_equal(cq_record_padded_len(32, 1420), 32);
    assert_int_equal(cq_record_padded_len(1409, 1420), 1420);
}

static void test_limits(void **state)
{
    (void)state;
    assert_true(cq_record_limits(CQ_SUITE_AES_256_GCM).records == UINT64_C(1) << 28);
    assert_true(cq_record_limits(CQ_SUITE_AES_256_GCM).bytes == UINT64_C(1) << 39);
    assert_true(cq_record_limits(CQ_SUITE_CHACHA20_POLY1305).records == UINT64_C(1) << 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),   cmocka_unit_test(test_read_damaged),
        cmocka_unit_test(test_write),  cmocka_unit_test(test_is_one),
        cmocka_unit_test(test_nonce),  cmocka_unit_test(test_padding),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
