#include "failing_libcrypto.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "proto/mac.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t id[32] = "a responder's peer ID, 32 bytes";
static const uint8_t cookie[CQ_COOKIE_LEN] = "a cookie, 16 byt";
static const uint8_t nonce[CQ_COOKIE_NONCE_LEN] = "a nonce of 24 bytes ....";
static struct cq_mac_keys keys;

static void fill(uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = (uint8_t)(i * 7 + 1);
}

static void test_mac1_covers_every_bit(void **state)
{
    uint8_t msg[CQ_INIT_LEN];
    (void)state;
    fill(msg, sizeof(msg));
    assert_int_equal(cq_mac_write(msg, sizeof(msg), &keys, cookie), CQ_OK);
    for (size_t bit = 0; bit < sizeof(msg) * 8; bit++) {
        msg[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(cq_mac1_verify(msg, sizeof(msg), &keys), bit / 8 >= CQ_INIT_MAC2);
        msg[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(cq_mac1_verify(msg, sizeof(msg), &keys));
}

static void test_mac2_covers_every_bit(void **state)
{
    uint8_t msg[CQ_INIT_LEN];
    (void)state;
    fill(msg, sizeof(msg));
    assert_int_equal(cq_mac_write(msg, sizeof(msg), &keys, cookie), CQ_OK);
    for (size_t bit = 0; bit < sizeof(msg) * 8; bit++) {
        msg[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(cq_mac2_verify(msg, sizeof(msg), cookie));
        msg[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(cq_mac2_verify(msg, sizeof(msg), cookie));
    uint8_t other[CQ_COOKIE_LEN];
    memcpy(other, cookie, sizeof(other));
    other[15] ^= 1;
    assert_false(cq_mac2_verify(msg, sizeof(msg), other));
}

static void test_no_cookie_no_mac2(void **state)
{
    uint8_t msg[CQ_INIT_LEN];
    uint8_t zero[CQ_COOKIE_LEN] = {0};
    (void)state;
    fill(msg, sizeof(msg));
    assert_int_equal(cq_mac_write(msg, sizeof(msg), &keys, NULL), CQ_OK);
    assert_true(cq_is_zero_ct(msg + CQ_INIT_MAC2, CQ_MAC_LEN));
    assert_true(cq_mac1_verify(msg, sizeof(msg), &keys));
    assert_false(cq_mac2_verify(msg, sizeof(msg), zero));
    assert_false(cq_mac2_verify(msg, sizeof(msg), cookie));
}

/* Keys of one ID are no use for another, and mac1 and cookie keys differ. */
static void test_keys_depend_on_the_id(void **state)
{
    uint8_t other_id[32];
    struct cq_mac_keys other;
    (void)state;
    for (size_t i = 0; i < sizeof(id); i++) {
        memcpy(other_id, id, sizeof(id));
        other_id[i] ^= 1;
        assert_int_equal(cq_mac_keys_init(&other, other_id), CQ_OK);
        assert_memory_not_equal(other.mac1, keys.mac1, 32);
        assert_memory_not_equal(other.cookie, keys.cookie, 32);
        assert_memory_not_equal(other.mac1, other.cookie, 32);
    }
}

static void test_cookie_names_the_source(void **state)
{
    static const uint8_t secret[32] = {1};
    static const char *addresses[] = {
        "192.0.2.1:1",       "192.0.2.1:2",       "192.0.2.2:1",     "[2001:db8::1]:1",
        "[2001:db8::1]:256", "[2001:db8:1::1]:1", "[::192.0.2.1]:1", "[c000:201::]:1",
        "[fe80::1%1]:1",     "[fe80::1%2]:1",
    };
    enum { NUM = sizeof(addresses) / sizeof(addresses[0]) };
    uint8_t c[NUM][CQ_COOKIE_LEN], again[CQ_COOKIE_LEN];
    uint8_t other_secret[32] = {2};
    (void)state;
    for (size_t i = 0; i < NUM; i++) {
        struct cq_addr addr;
        assert_int_equal(cq_addr_parse(addresses[i], &addr), CQ_OK);
        assert_int_equal(cq_cookie_make(c[i], secret, &addr), CQ_OK);
        assert_int_equal(cq_cookie_make(again, secret, &addr), CQ_OK);
        assert_memory_equal(c[i], again, sizeof(again));
        assert_int_equal(cq_cookie_make(again, other_secret, &addr), CQ_OK);
        assert_memory_not_equal(c[i], again, sizeof(again));
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(c[i], c[j], CQ_COOKIE_LEN);
    }
}

static void test_cookie_message(void **state)
{
    uint8_t msg[CQ_KEY_REQUEST_LEN], out[CQ_COOKIE_MSG_LEN], opened[CQ_COOKIE_LEN];
    uint8_t *mac1 = msg + CQ_KEY_REQUEST_MAC1;
    (void)state;
    assert_int_equal(cq_key_request_write(msg, &keys, 0x01020304, NULL), CQ_OK);
    assert_int_equal(cq_cookie_seal(out, &keys, msg, sizeof(msg), nonce, cookie), CQ_OK);
    assert_int_equal(cq_wire_check(out, sizeof(out)), CQ_DROP_NONE);
    assert_int_equal(cq_load_be32(out + CQ_COOKIE_IDX), 0x01020304);
    assert_int_equal(cq_cookie_open(opened, &keys, out, mac1), CQ_OK);
    assert_memory_equal(opened, cookie, sizeof(opened));
    /* Nonce and sealed cookie are authenticated; type, version and index are the caller's to look
     * at. */
    for (size_t bit = CQ_COOKIE_NONCE * 8; bit < sizeof(out) * 8; bit++) {
        out[bit / 8] ^= (uint8_t)(1u << bit % 8);
        memset(opened, 0xaa, sizeof(opened));
        assert_int_equal(cq_cookie_open(opened, &keys, out, mac1), CQ_ERR_AUTH);
        assert_true(cq_is_zero_ct(opened, sizeof(opened)));
        out[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t bit = 0; bit < CQ_MAC_LEN * 8; bit++) {
        mac1[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(cq_cookie_open(opened, &keys, out, mac1), CQ_ERR_AUTH);
        mac1[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    struct cq_mac_keys other = keys;
    other.cookie[0] ^= 1;
    assert_int_equal(cq_cookie_open(opened, &other, out, mac1), CQ_ERR_AUTH);
}

static void test_fresh(void **state)
{
    uint8_t a[CQ_FRESH_LEN], b[CQ_FRESH_LEN], other[CQ_COOKIE_LEN];
    (void)state;
    assert_int_equal(cq_cookie_fresh(a, cookie), CQ_OK);
    for (size_t i = 0; i < sizeof(other); i++) {
        memcpy(other, cookie, sizeof(other));
        other[i] ^= 1;
        assert_int_equal(cq_cookie_fresh(b, other), CQ_OK);
        assert_memory_not_equal(a, b, sizeof(a));
    }
}

static void test_key_request(void **state)
{
    uint8_t plain[CQ_KEY_REQUEST_LEN], proven[CQ_KEY_REQUEST_LEN];
    (void)state;
    assert_int_equal(cq_key_request_write(plain, &keys, 0xfffefdfc, NULL), CQ_OK);
    assert_int_equal(cq_key_request_write(proven, &keys, 0xfffefdfc, cookie), CQ_OK);
    assert_int_equal(cq_wire_check(plain, sizeof(plain)), CQ_DROP_NONE);
    assert_int_equal(cq_load_be32(plain + CQ_KEY_ID), 0xfffefdfc);
    assert_memory_equal(plain, proven, CQ_KEY_REQUEST_MAC2);
    assert_true(cq_mac1_verify(plain, sizeof(plain), &keys));
    assert_false(cq_mac2_verify(plain, sizeof(plain), cookie));
    assert_true(cq_mac2_verify(proven, sizeof(proven), cookie));
}

static void make_key(struct cq_public_key *key)
{
    fill((uint8_t *)key, sizeof(*key));
}

static void test_key_response(void **state)
{
    uint8_t msg[CQ_KEY_RESPONSE_LEN];
    struct cq_public_key key;
    (void)state;
    make_key(&key);
    cq_key_response_write(msg, 7, &key);
    assert_int_equal(cq_wire_check(msg, sizeof(msg)), CQ_DROP_NONE);
    assert_int_equal(cq_load_be32(msg + CQ_KEY_ID), 7);
    assert_memory_equal(msg + CQ_KEY_RESPONSE_KEY, &key, sizeof(key));
}

static void test_key_push_covers_every_bit(void **state)
{
    uint8_t msg[CQ_KEY_PUSH_LEN];
    struct cq_public_key key;
    (void)state;
    make_key(&key);
    assert_int_equal(cq_key_push_write(msg, &keys, &key), CQ_OK);
    assert_int_equal(cq_wire_check(msg, sizeof(msg)), CQ_DROP_NONE);
    assert_memory_equal(msg + CQ_KEY_PUSH_KEY, &key, sizeof(key));
    assert_true(cq_key_push_verify(msg, &keys));
    for (size_t bit = 0; bit < sizeof(msg) * 8; bit++) {
        msg[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(cq_key_push_verify(msg, &keys));
        msg[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* ---- libcrypto's allocator failing at each call in turn ---- */

static enum cq_err do_keys(uint8_t *out)
{
    return cq_mac_keys_init((struct cq_mac_keys *)(void *)out, id);
}

static enum cq_err do_mac(uint8_t *out)
{
    fill(out, CQ_INIT_LEN);
    return cq_mac_write(out, CQ_INIT_LEN, &keys, cookie);
}

static enum cq_err do_seal(uint8_t *out)
{
    uint8_t msg[CQ_INIT_LEN];
    fill(msg, sizeof(msg));
    return cq_cookie_seal(out, &keys, msg, sizeof(msg), nonce, cookie);
}

static enum cq_err do_open(uint8_t *out)
{
    static uint8_t sealed[CQ_COOKIE_MSG_LEN];
    uint8_t msg[CQ_INIT_LEN];
    fill(msg, sizeof(msg));
    if (sealed[0] == 0)
        return cq_cookie_seal(sealed, &keys, msg, sizeof(msg), nonce, cookie);
    return cq_cookie_open(out, &keys, sealed, msg + CQ_INIT_MAC1);
}

static enum cq_err do_verify(uint8_t *out)
{
    uint8_t msg[CQ_INIT_LEN] = {0};
    (void)out;
    /* No failure of the library may make a wrong mac right. */
    assert_false(cq_mac1_verify(msg, sizeof(msg), &keys));
    assert_false(cq_mac2_verify(msg, sizeof(msg), cookie));
    return CQ_OK;
}

static void test_failing_allocations(void **state)
{
    static const struct {
        const char *name;
        enum cq_err (*run)(uint8_t *out);
    } cases[] = {
        {"keys", do_keys}, {"mac", do_mac},       {"seal", do_seal},
        {"open", do_open}, {"verify", do_verify},
    };
    uint8_t good[CQ_INIT_LEN], out[CQ_INIT_LEN];
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memset(good, 0, sizeof(good));
        assert_int_equal(cases[i].run(good), CQ_OK);
        assert_int_equal(cases[i].run(good), CQ_OK);
        long live = failing_libcrypto_live();
        bool done = false;
        for (long n = 0; !done; n++) {
            memset(out, 0, sizeof(out));
            failing_libcrypto_arm(n);
            enum cq_err err = cases[i].run(out);
            done = !failing_libcrypto_disarm();
            if (err == CQ_OK)
                assert_memory_equal(out, good, sizeof(out));
            else
                assert_true(!done && (err == CQ_ERR_NOMEM || err == CQ_ERR_CRYPTO));
            assert_int_equal(failing_libcrypto_live(), live);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mac1_covers_every_bit),
        cmocka_unit_test(test_mac2_covers_every_bit),
        cmocka_unit_test(test_no_cookie_no_mac2),
        cmocka_unit_test(test_keys_depend_on_the_id),
        cmocka_unit_test(test_cookie_names_the_source),
        cmocka_unit_test(test_cookie_message),
        cmocka_unit_test(test_fresh),
        cmocka_unit_test(test_key_request),
        cmocka_unit_test(test_key_response),
        cmocka_unit_test(test_key_push_covers_every_bit),
        cmocka_unit_test(test_failing_allocations),
    };
    if (!failing_libcrypto_init() || cq_mac_keys_init(&keys, id) != CQ_OK)
        return 1;
    return cmocka_run_group_tests_name("mac", tests, NULL, NULL);
}
