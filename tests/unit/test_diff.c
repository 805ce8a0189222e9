/* Differences of configurations (conf/diff.h), and configurations as bytes (conf/pack.h). */
#include "conf/diff.h"
#include "conf/pack.h"
#include "node/difftext.h"

#include "base/mem.h"
#include "base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KEY "PrivateKey = AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n"
#define ID_A "4AIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
#define ID_B "5AIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
#define PSK "PresharedKey = gQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n"
#define INTERFACE "[Interface]\n" KEY "Address = 10.8.0.1/24\nListenPort = 51820\n"
#define PEER(id, rest) "[Peer]\nPeerID = " id "\n" rest

static void parse(struct cq_conf *out, const char *text)
{
    struct cq_conf_error error;

    if (cq_conf_parse(out, text, strlen(text), &error) != CQ_OK)
        fail_msg("%u:%u: %s in\n%s", error.line, error.column, error.message, text);
}

static char *print(const struct cq_diff *diff, const struct cq_conf *a, const struct cq_conf *b)
{
    char *text;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    cq_difftext_print(f, diff, a, b);
    fclose(f);
    return text;
}

static const struct {
    const char *before, *after, *text;
    size_t added, removed, changed;
} cases[] = {
    {INTERFACE PEER(ID_A, ""), INTERFACE PEER(ID_A, ""), "", 0, 0, 0},
    /* order, repetition and comments are no difference */
    {INTERFACE PEER(ID_A, "AllowedIPs = 10.0.1.0/24, 10.0.2.0/24\n") PEER(ID_B, ""),
     INTERFACE PEER(ID_B, "") PEER(ID_A, "AllowedIPs = 10.0.2.0/24 # x\n"
                                         "AllowedIPs = 10.0.1.0/24, 10.0.1.0/24\n"),
     "", 0, 0, 0},
    {INTERFACE, INTERFACE PEER(ID_A, "AllowedIPs = 10.0.1.0/24, fd00::/64\nEndpoint = h:5\n"),
     "+ peer " ID_A ": allowed IPs 10.0.1.0/24, fd00::/64; endpoint h:5\n", 1, 0, 0},
    {INTERFACE PEER(ID_A, "Name = eve\n") PEER(ID_B, ""), INTERFACE PEER(ID_B, ""),
     "- peer eve (" ID_A ")\n", 0, 1, 0},
    {INTERFACE PEER(ID_A, "AllowedIPs = 10.0.1.0/24, 10.0.2.0/24\n"),
     INTERFACE PEER(ID_A, "AllowedIPs = 10.0.2.0/24, 10.0.3.0/24\n"),
     "~ peer " ID_A ": allowed IPs +10.0.3.0/24 -10.0.1.0/24\n", 0, 0, 1},
    {INTERFACE PEER(ID_A, "Name = a\nEndpoint = [fe80::1%2]:5\nPersistentKeepalive = 7\n"),
     INTERFACE PEER(ID_A, "Name = b\n"),
     "~ peer a (" ID_A "): name a -> b; endpoint [fe80::1%2]:5 -> none; "
     "persistent keepalive 7 s -> off\n",
     0, 0, 1},
    {INTERFACE PEER(ID_A, PSK), INTERFACE PEER(ID_A, ""),
     "~ peer " ID_A ": pre-shared key removed (its sessions end)\n", 0, 0, 1},
    {INTERFACE PEER(ID_A, ""), INTERFACE PEER(ID_A, PSK),
     "~ peer " ID_A ": pre-shared key changed (its sessions end)\n", 0, 0, 1},
    {"[Interface]\n" KEY "Address = 10.8.0.1/24, fd08::1/64\nRotateSecs = 300\n",
     "[Interface]\n" KEY "Address = 10.8.0.1/24, 10.9.0.1/16\nRotateSecs = 120\nPostDown = x\n",
     "- address fd08::1/64\n+ address 10.9.0.1/16\n~ interface: RotateSecs 300 -> 120\n"
     "~ interface: hooks (those of the end; nothing is run now)\n",
     0, 0, 0},
    /* both peers change places with their prefixes */
    {INTERFACE PEER(ID_A, "AllowedIPs = 10.0.1.0/24\n") PEER(ID_B, "AllowedIPs = 10.0.2.0/24\n"),
     INTERFACE PEER(ID_B, "AllowedIPs = 10.0.1.0/24\n") PEER(ID_A, "AllowedIPs = 10.0.2.0/24\n"),
     "~ peer " ID_B ": allowed IPs +10.0.1.0/24 -10.0.2.0/24\n"
     "~ peer " ID_A ": allowed IPs +10.0.2.0/24 -10.0.1.0/24\n",
     0, 0, 2},
};

static void test_differences(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cq_conf a, b;
        struct cq_diff diff;
        parse(&a, cases[i].before);
        parse(&b, cases[i].after);
        assert_int_equal(cq_diff_make(&diff, &a, &b), CQ_OK);
        char *text = print(&diff, &a, &b);
        assert_string_equal(text, cases[i].text);
        struct cq_diff_counts c = cq_diff_count(&diff);
        assert_int_equal(c.added, cases[i].added);
        assert_int_equal(c.removed, cases[i].removed);
        assert_int_equal(c.changed, cases[i].changed);
        assert_int_equal(cq_diff_is_empty(&diff), text[0] == '\0');
        for (size_t k = 0; k < a.num_peers; k++)
            if (diff.to_after[k] >= 0)
                assert_memory_equal(a.peers[k].id, b.peers[diff.to_after[k]].id, CQ_PEER_ID_LEN);
        free(text);
        cq_diff_free(&diff);
        cq_conf_free(&a);
        cq_conf_free(&b);
    }
}

/* Secrets are compared by the node alone: kept ones are no difference. */
static void test_kept_secrets(void **state)
{
    struct cq_conf a, b;
    struct cq_diff diff;

    (void)state;
    parse(&a, INTERFACE PEER(ID_A, PSK));
    parse(&b, INTERFACE PEER(ID_A, PSK));
    cq_secret_free(a.peers[0].psk);
    a.peers[0].psk = NULL;
    a.peers[0].psk_kept = true;
    assert_int_equal(cq_diff_make(&diff, &a, &b), CQ_OK);
    assert_true(cq_diff_is_empty(&diff));
    cq_diff_free(&diff);
    cq_conf_free(&a);
    cq_conf_free(&b);
}

static const struct {
    const char *before, *after, *message;
    unsigned line;
} settings[] = {
    {INTERFACE "MTU = 1380\n", INTERFACE "# y\nmtu =   1380\n", NULL, 0},
    {INTERFACE "MTU = 1380\n", INTERFACE "RotateSecs = 60\nMTU = 1381\n", "MTU = 1381", 6},
    {INTERFACE, INTERFACE "Table = off\n", "Table = off", 5},
    {INTERFACE "FwMark = 7\n", INTERFACE, "FwMark = 7", 0},
    {INTERFACE, "[Interface]\n" KEY "Address = 10.8.0.1/24\nListenPort = 51821\n",
     "ListenPort = 51821, but the node runs with ListenPort = 51820", 4},
};

static void test_settings(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        struct cq_conf a, b;
        struct cq_conf_error error = {0};
        parse(&a, settings[i].before);
        parse(&b, settings[i].after);
        enum cq_err err = cq_diff_check_settings(&a, &b, &error);
        assert_int_equal(err, settings[i].message != NULL ? CQ_ERR_STATE : CQ_OK);
        if (settings[i].message != NULL)
            assert_non_null(strstr(error.message, settings[i].message));
        assert_int_equal(error.line, settings[i].line);
        cq_conf_free(&a);
        cq_conf_free(&b);
    }
}

/* ---- as bytes ---- */

static const char everything[] = INTERFACE
    "MTU = 1380\nTable = 77\nFwMark = 5\nRotateSecs = 120\nSuites = chacha20-poly1305\n"
    "PreUp = a b\nPostUp = c\nPreDown = d\nPostDown = e\nMetricsAddress = 127.0.0.1:9999\n"
    "PushKeys = off\n" PEER(ID_A, "Name = a\n" PSK "AllowedIPs = 10.0.1.0/24, ::/0\n"
                                  "Endpoint = [2001:db8::1]:5\nPersistentKeepalive = 9\n")
        PEER(ID_B, "PresharedKeyFile = /x/y\nPublicKeyFile = z\nEndpoint = vpn.example.org:7\n");

static uint8_t *pack(const struct cq_conf *conf, bool secrets, size_t *out_len)
{
    uint8_t *bytes = malloc(cq_pack_bytes(conf));
    struct cq_writer w = cq_writer_make(bytes, cq_pack_bytes(conf));

    cq_pack_write(&w, conf, secrets);
    assert_false(w.failed);
    *out_len = w.written;
    return bytes;
}

static void test_round_trip(void **state)
{
    (void)state;
    for (int secrets = 0; secrets < 2; secrets++) {
        struct cq_conf in, out;
        struct cq_diff diff;
        struct cq_conf_error error;
        size_t len;
        parse(&in, everything);
        strcpy(in.interface, "wan0");
        uint8_t *bytes = pack(&in, secrets != 0, &len);
        struct cq_reader r = cq_reader_make(bytes, len);
        assert_int_equal(cq_pack_read(&r, &out), CQ_OK);
        assert_int_equal(r.len, 0);
        assert_int_equal(cq_diff_make(&diff, &in, &out), CQ_OK);
        assert_true(cq_diff_is_empty(&diff));
        assert_int_equal(cq_diff_check_settings(&in, &out, &error), CQ_OK);
        assert_int_equal(cq_diff_check_settings(&out, &in, &error), CQ_OK);
        assert_string_equal(out.interface, "wan0");
        assert_int_equal(out.table, CQ_CONF_TABLE_NUMBER);
        assert_int_equal(out.table_number, 77);
        assert_int_equal(out.fwmark, 5);
        assert_int_equal(out.listen_port, 51820);
        assert_int_equal(out.metrics.addr.port, 9999);
        assert_true(out.push_keys_off);
        assert_int_equal(out.private_key != NULL, secrets);
        assert_int_equal(out.private_key_kept, !secrets);
        assert_int_equal(out.peers[0].psk != NULL, secrets);
        assert_int_equal(out.peers[0].psk_kept, !secrets);
        if (secrets)
            assert_memory_equal(out.peers[0].psk, in.peers[0].psk, CQ_PSK_LEN);
        cq_diff_free(&diff);
        cq_conf_free(&in);
        cq_conf_free(&out);
        free(bytes);
    }
}

/* Cut at any place, or with any byte damaged, it is refused or read, and nothing else happens
 * (sanitizers). */
static void test_damage(void **state)
{
    struct cq_conf in, out;
    unsigned refused = 0;
    size_t len;

    (void)state;
    parse(&in, everything);
    uint8_t *bytes = pack(&in, true, &len);
    for (size_t i = 0; i < len; i++) {
        uint8_t *cut = malloc(i + 1);
        memcpy(cut, bytes, i);
        struct cq_reader r = cq_reader_make(cut, i);
        assert_int_equal(cq_pack_read(&r, &out), CQ_ERR_INVALID);
        assert_int_equal(out.num_peers, 0);
        free(cut);
    }
    for (size_t i = 0; i < len; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            bytes[i] ^= (uint8_t)(1u << bit);
            struct cq_reader r = cq_reader_make(bytes, len);
            enum cq_err err = cq_pack_read(&r, &out);
            refused += err != CQ_OK;
            cq_conf_free(&out);
            bytes[i] ^= (uint8_t)(1u << bit);
        }
    assert_true(refused > 100);
    cq_conf_free(&in);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_differences), cmocka_unit_test(test_kept_secrets),
        cmocka_unit_test(test_settings),    cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
