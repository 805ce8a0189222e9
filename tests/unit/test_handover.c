#include "node/handover.h"

#include "base/mem.h"
#include "base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char text[] = "[Interface]\n"
                           "PrivateKey = AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n"
                           "Address = 10.8.0.1/24, fd08::1/64\n"
                           "ListenPort = 51820\n"
                           "MTU = 1380\n"
                           "[Peer]\n"
                           "PeerID = 4AIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n"
                           "Name = first\n"
                           "PresharedKey = gQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n"
                           "AllowedIPs = 10.8.0.2/32, fd08::2/128, 10.9.0.0/16\n"
                           "Endpoint = [fe80::1%7]:51820\n"
                           "PersistentKeepalive = 25\n"
                           "[Peer]\n"
                           "PeerID = 5AIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n"
                           "Endpoint = vpn.example.org:51820\n";

static void parse(struct cq_conf *conf)
{
    struct cq_conf_error error;
    enum cq_err err = cq_conf_parse(conf, text, sizeof(text) - 1, &error);

    if (err != CQ_OK)
        fail_msg("%u:%u: %s", error.line, error.column, error.message);
    strcpy(conf->interface, "wan0");
}

static void expect_peer(const struct cq_conf_peer *in, const struct cq_conf_peer *out)
{
    assert_memory_equal(in->id, out->id, sizeof(in->id));
    assert_string_equal(in->name, out->name);
    assert_int_equal(in->psk != NULL, out->psk != NULL);
    if (in->psk != NULL)
        assert_memory_equal(in->psk, out->psk, CQ_PSK_LEN);
    assert_int_equal(in->endpoint.host != NULL, out->endpoint.host != NULL);
    if (in->endpoint.host != NULL)
        assert_string_equal(in->endpoint.host, out->endpoint.host);
    assert_int_equal(in->endpoint.port, out->endpoint.port);
    assert_int_equal(in->endpoint.is_numeric, out->endpoint.is_numeric);
    if (in->endpoint.is_numeric)
        assert_true(cq_addr_equal(&in->endpoint.addr, &out->endpoint.addr));
    assert_int_equal(in->persistent_keepalive, out->persistent_keepalive);
    assert_int_equal(in->num_allowed_ips, out->num_allowed_ips);
    for (size_t i = 0; i < in->num_allowed_ips; i++)
        assert_true(cq_prefix_equal(&in->allowed_ips[i], &out->allowed_ips[i]));
}

static void test_round_trip(void **state)
{
    struct cq_conf in, out;
    struct cq_public_key key;
    const struct cq_public_key *cached[2] = {NULL, &key};
    const bool replied[2] = {true, false};
    bool *out_replied;
    struct cq_handover made, taken;
    struct cq_handover_start start = {
        .listener = 7, .num_workers = 1, .tuns = {{.fd = 5, .offloads = 3, .name = "wan0"}}, .mtu = 1380, .fwmark = 9};
    struct cq_handover_start out_start;

    (void)state;
    parse(&in);
    in.answer_keys_off = in.push_keys_off = true;
    in.tuning = (struct cq_conf_tuning){CQ_CONF_TUN_OFFLOAD_TSO, true, true, 0};
    memset(&key, 0x5a, sizeof(key));
    assert_int_equal(cq_handover_make(&made, &in, cached, replied), CQ_OK);
    cq_handover_set_start(&made, &start);
    assert_int_equal(
        cq_handover_take(&taken, dup(made.fd), made.len, &out_start, &out, &out_replied), CQ_OK);
    assert_memory_equal(&start, &out_start, sizeof(start));
    assert_string_equal(out.interface, "wan0");
    assert_memory_equal(out.private_key, in.private_key, CQ_SECRET_KEY_LEN);
    assert_true(out.has_listen_port && out.answer_keys_off && out.push_keys_off);
    assert_false(out.answer_keys_on);
    assert_int_equal(out.mtu, in.mtu);
    assert_int_equal(out.tuning.tun_offload, CQ_CONF_TUN_OFFLOAD_TSO);
    assert_true(out.tuning.udp_gso_off && out.tuning.udp_gro_off);
    assert_int_equal(out.rotate_secs, in.rotate_secs);
    assert_int_equal(out.suites, in.suites);
    assert_int_equal(out.preferred_suite, in.preferred_suite);
    assert_int_equal(out.num_peers, 2);
    for (int i = 0; i < 2; i++) {
        expect_peer(&in.peers[i], &out.peers[i]);
        assert_int_equal(out_replied[i], replied[i]);
    }
    assert_null(out.peers[0].public_key);
    assert_memory_equal(out.peers[1].public_key, &key, sizeof(key));
    /* Wiping by one side wipes for both. */
    assert_false(cq_is_zero_ct(made.memory, made.len));
    cq_handover_wipe(&taken);
    assert_true(cq_is_zero_ct(made.memory, made.len));
    cq_handover_wipe(&made);
    cq_handover_wipe(&made);
    free(out_replied);
    cq_conf_free(&out);
    cq_conf_free(&in);
}

/* Of any length that is too short, nothing is taken, and nothing is leaked (sanitizers). */
static void test_truncated(void **state)
{
    struct cq_conf in, out;
    const struct cq_public_key *cached[2] = {NULL, NULL};
    const bool replied[2] = {false, false};
    struct cq_handover made, taken;
    struct cq_handover_start start;
    bool *out_replied;
    size_t needed = 0;

    (void)state;
    parse(&in);
    assert_int_equal(cq_handover_make(&made, &in, cached, replied), CQ_OK);
    for (size_t len = made.len; len > 0; len--) {
        int fd = dup(made.fd);
        assert_int_equal(ftruncate(fd, (off_t)len), 0);
        enum cq_err err = cq_handover_take(&taken, fd, len, &start, &out, &out_replied);
        cq_handover_forget(&taken); /* not wiped: the next turn reads it again */
        if (err == CQ_OK) {
            needed = len;
            free(out_replied);
            cq_conf_free(&out);
            continue;
        }
        if (taken.fd < 0 && len < sizeof(start))
            close(fd);
        assert_int_equal(err, CQ_ERR_INVALID);
        assert_null(out_replied);
        assert_int_equal(out.num_peers, 0);
        assert_null(out.private_key);
    }
    assert_true(needed > 300 && needed < made.len);
    made.len = 0; /* its pages are gone */
    cq_handover_forget(&made);
    cq_conf_free(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_truncated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
