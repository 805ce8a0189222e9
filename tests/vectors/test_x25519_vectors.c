/* X25519 against the published vectors. */
#include "vectors.h"

#include "base/mem.h"
#include "crypto/crypto.h"
#include "crypto/x25519.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_wycheproof(void **state)
{
    json_t *root = vectors_load("wycheproof/x25519_test.json");
    size_t num_checked = 0;
    size_t num_zero = 0;
    size_t i;
    size_t j;
    json_t *group;
    json_t *test;

    (void)state;
    json_array_foreach(vectors_get(root, "testGroups"), i, group)
    {
        json_array_foreach(vectors_get(group, "tests"), j, test)
        {
            struct bytes secret = vectors_bytes(test, "private");
            struct bytes peer = vectors_bytes(test, "public");
            struct bytes shared = vectors_bytes(test, "shared");
            uint8_t out[32];
            assert_true(secret.len == 32 && peer.len == 32 && shared.len == 32);
            bool zero = cq_is_zero_ct(shared.p, 32);
            assert_int_equal(cq_x25519(out, secret.p, peer.p), zero ? CQ_ERR_AUTH : CQ_OK);
            assert_memory_equal(out, shared.p, 32);
            num_zero += zero;
            num_checked++;
        }
    }
    assert_int_equal(num_checked, 518);
    assert_int_equal(num_zero, 31);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VECTORS_TEST("wycheproof x25519: 518 vectors, 31 of them refused", test_wycheproof),
    };
    if (cq_crypto_init(false) != CQ_OK)
        return 1;
    return cmocka_run_group_tests_name("x25519_vectors", tests, NULL, NULL);
}
