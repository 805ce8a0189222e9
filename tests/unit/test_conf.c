#include "conf/config.h"
#include "conf/load.h"

#include "base/base64.h"
#include "base/secret.h"
#include "crypto/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KEY_A "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_B "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA="
#define KEY_C "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
#define ZERO "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define IF "[Interface]\nPrivateKey = " KEY_A "\n"
#define PEER_B "[Peer]\nPeerID = " KEY_B "\n"
#define PEER_C "[Peer]\nPeerID = " KEY_C "\n"

static enum cq_err parse(struct cq_conf *conf, const char *text, struct cq_conf_error *error)
{
    return cq_conf_parse(conf, text, strlen(text), error);
}

static void check_prefix(const struct cq_prefix *prefix, const char *expected)
{
    char text[CQ_PREFIX_TEXT_MAX];

    assert_string_equal(cq_prefix_format(prefix, text), expected);
}

static void test_everything(void **state)
{
    static const char text[] = "\xef\xbb\xbf# a node\r\n"
                               "[interface]\r\n"
                               "  privatekey = " KEY_A " # ours\r\n"
                               "ListenPort=51820\n"
                               "Address = 10.9.0.1/24, fd00::1/64\n"
                               "ADDRESS = 192.0.2.7\n"
                               "MTU = 1380\n"
                               "Table = 0x64\n"
                               "FwMark = 0xCA6C\n"
                               "RotateSecs = 60\n"
                               "Suites = chacha20-poly1305, AES-256-GCM\n"
                               "AnswerKeys = off\n"
                               "PushKeys = Off\n"
                               "TunOffload = Checksum\n"
                               "UdpGso = off\n"
                               "UdpGro = OFF\n"
                               "Workers = 15\n"
                               "RememberPeers = off\n"
                               "PreUp = echo before %i = ok\n"
                               "PostUp = one\n"
                               "PostUp = two # not three\n"
                               "PreDown = x\n"
                               "PostDown = y\n"
                               "MetricsAddress = none\n"
                               "\n"
                               "[ Peer ]\n"
                               "Name = laptop\n"
                               "PeerID = " KEY_B "\n"
                               "PresharedKey = " KEY_C "\n"
                               "AllowedIPs = 10.9.0.2/32 ,\tfd00::2/128\n"
                               "AllowedIPs = 10.1.2.3/8\n"
                               "Endpoint = vpn.example.org:51820\n"
                               "PersistentKeepalive = 25\n"
                               "[PEER]\n"
                               "PeerID = " KEY_C "\n"
                               "PresharedKeyFile = keys/with blank.psk\n"
                               "PublicKeyFile = keys/c.pub\n"
                               "AllowedIPs =\n"
                               "Endpoint = [2001:db8::1]:1\n"
                               "PersistentKeepalive = off";
    struct cq_conf_error error;
    struct cq_conf conf;

    (void)state;
    assert_int_equal(parse(&conf, text, &error), CQ_OK);
    assert_string_equal(conf.interface, "");
    assert_int_equal(conf.private_key[31], 31);
    assert_true(conf.has_listen_port);
    assert_int_equal(conf.listen_port, 51820);
    assert_int_equal(conf.num_addresses, 3);
    check_prefix(&conf.addresses[0].prefix, "10.9.0.0/24");
    assert_int_equal(conf.addresses[0].host.bytes[3], 1);
    check_prefix(&conf.addresses[1].prefix, "fd00::/64");
    check_prefix(&conf.addresses[2].prefix, "192.0.2.7/32");
    assert_int_equal(conf.mtu, 1380);
    assert_int_equal(conf.table, CQ_CONF_TABLE_NUMBER);
    assert_int_equal(conf.table_number, 100);
    assert_int_equal(conf.fwmark, 0xca6c);
    assert_int_equal(conf.rotate_secs, 60);
    assert_true(conf.answer_keys_off && !conf.answer_keys_on);
    assert_int_equal(conf.tuning.tun_offload, CQ_CONF_TUN_OFFLOAD_CHECKSUM);
    assert_true(conf.tuning.udp_gso_off && conf.tuning.udp_gro_off);
    assert_int_equal(conf.tuning.num_workers, 15);
    assert_true(conf.push_keys_off && conf.remember_off);
    assert_int_equal(conf.suites, 3);
    assert_int_equal(conf.preferred_suite, CQ_CONF_SUITE_CHACHA20_POLY1305);
    assert_string_equal(conf.pre_up.items[0], "echo before %i = ok");
    assert_int_equal(conf.post_up.num, 2);
    assert_string_equal(conf.post_up.items[1], "two");
    assert_string_equal(conf.pre_down.items[0], "x");
    assert_string_equal(conf.post_down.items[0], "y");

    assert_int_equal(conf.num_peers, 2);
    const struct cq_conf_peer *p = &conf.peers[0];
    assert_string_equal(p->name, "laptop");
    assert_int_equal(p->id[0], 0xff);
    assert_int_equal(p->psk[7], 1);
    assert_int_equal(p->num_allowed_ips, 3);
    check_prefix(&p->allowed_ips[1], "fd00::2/128");
    check_prefix(&p->allowed_ips[2], "10.0.0.0/8");
    assert_int_equal(p->allowed_positions[1].line, 30);
    assert_int_equal(p->allowed_positions[1].column, 28);
    assert_string_equal(p->endpoint.host, "vpn.example.org");
    assert_false(p->endpoint.is_numeric);
    assert_int_equal(p->endpoint.port, 51820);
    assert_int_equal(p->persistent_keepalive, 25);
    p = &conf.peers[1];
    assert_null(p->psk);
    assert_string_equal(p->psk_file, "keys/with blank.psk");
    assert_string_equal(p->public_key_file, "keys/c.pub");
    assert_int_equal(p->num_allowed_ips, 0);
    assert_true(p->endpoint.is_numeric);
    assert_string_equal(p->endpoint.host, "2001:db8::1");
    assert_int_equal(p->endpoint.addr.port, 1);
    assert_int_equal(p->persistent_keepalive, 0);
    cq_conf_free(&conf);
    assert_null(conf.private_key);
    assert_int_equal(conf.num_peers, 0);
}

static void test_defaults(void **state)
{
    struct cq_conf_error error;
    struct cq_conf conf;

    (void)state;
    assert_int_equal(parse(&conf, "[Interface]\nPrivateKeyFile=k", &error), CQ_OK);
    assert_null(conf.private_key);
    assert_string_equal(conf.private_key_file, "k");
    assert_false(conf.has_listen_port);
    assert_int_equal(conf.mtu, 0);
    assert_int_equal(conf.table, CQ_CONF_TABLE_AUTO);
    assert_int_equal(conf.fwmark, 0);
    assert_int_equal(conf.rotate_secs, 300);
    assert_int_equal(conf.suites, 3);
    assert_int_equal(conf.preferred_suite, 0);
    assert_int_equal(conf.num_peers, 0);
    cq_conf_free(&conf);
}

/* Each file is refused at this place with a message that begins like this. */
static const struct {
    const char *text;
    unsigned line, column;
    const char *message;
} bad_files[] = {
    {"", 0, 0, "no [Interface] section"},
    {"# nothing\n\n", 0, 0, "no [Interface] section"},
    {PEER_B, 0, 0, "no [Interface] section"},
    {"[Interface]\n", 1, 1, "[Interface] has no PrivateKey or PrivateKeyFile"},
    {"\n[Interface]\n" PEER_B, 2, 1, "[Interface] has no PrivateKey or PrivateKeyFile"},
    {"ListenPort = 1\n", 1, 1, "key before the first section: [Interface] is missing"},
    {"[Interface\n", 1, 11, "the section's closing ']' is missing"},
    {"[", 1, 2, "the section's closing ']' is missing"},
    {"[]", 1, 1, "unknown section: known are [Interface] and [Peer]"},
    {"  [Wireguard]\n", 1, 3, "unknown section: known are [Interface] and [Peer]"},
    {IF "[Interface]\n", 3, 1, "second [Interface] section (the first: line 1)"},
    {IF "hello\n", 3, 1, "neither \"Key = value\" nor a [section]"},
    {IF "  = 3\n", 3, 3, "neither \"Key = value\" nor a [section]"},
    {IF "two words = 3\n", 3, 1, "neither \"Key = value\" nor a [section]"},
    {IF "ListenPort =  # none\n", 3, 13, "ListenPort has no value"},
    {IF "ListenPort = 1\nlistenport = 2\n", 4, 1,
     "second ListenPort in this section (the first: line 3)"},
    {IF "ListenPort = 65536\n", 3, 14, "ListenPort is not a number from 0 to 65535"},
    {IF "ListenPort = -1\n", 3, 14, "ListenPort is not a number"},
    {IF "ListenPort = 0x10\n", 3, 14, "ListenPort is not a number"},
    {IF "ListenPort = 99999999999999999999\n", 3, 14, "ListenPort is not a number"},
    {IF "Address = 10.0.0.1/33\n", 3, 11, "Address is not an address like 10.9.0.1/24"},
    {IF "Address = 10.0.0.1/24,\n", 3, 23, "Address is not an address"},
    {IF "Address = 10.0.0.1/24, x\n", 3, 24, "Address is not an address"},
    {IF "Address = 0.0.0.0/0\n", 3, 11, "Address is not an address that an interface can have"},
    {IF "Address = 224.0.0.1\n", 3, 11, "Address is not an address that an interface can have"},
    {IF "Address = 10.0.0.1/24, 10.0.0.1/8\n", 3, 24, "Address is there twice"},
    {IF "MTU = 575\n", 3, 7, "MTU is not a number from 576 to 65475"},
    {IF "MTU = 65476\n", 3, 7, "MTU is not a number from 576 to 65475"},
    {IF "MTU = 1279\nAddress = fd00::1/64\n", 1, 1, "MTU 1279 is below the 1280 that an IPv6"},
    {IF "Table = 0\n", 3, 9, "Table is not auto, off, or the number of a routing table"},
    {IF "Table = main\n", 3, 9, "Table is not auto, off, or the number"},
    {IF "FwMark = 0x\n", 3, 10, "FwMark is not off, or a number of 32 bits"},
    {IF "FwMark = 0x100000000\n", 3, 10, "FwMark is not off, or a number of 32 bits"},
    {IF "AnswerKeys = yes\n", 3, 14, "AnswerKeys is neither on nor off"},
    {IF "PushKeys = 1\n", 3, 12, "PushKeys is neither on nor off"},
    {IF "TunOffload = uso\n", 3, 14, "TunOffload is not on, tso, checksum or off"},
    {IF "TunOffload = o\n", 3, 14, "TunOffload is not on, tso, checksum or off"},
    {IF "UdpGso = yes\n", 3, 10, "UdpGso is neither on nor off"},
    {IF "UdpGro = 0\n", 3, 10, "UdpGro is neither on nor off"},
    {IF "Workers = 0\n", 3, 11, "Workers is not auto, or a number from 1 to 15"},
    {IF "Workers = 16\n", 3, 11, "Workers is not auto, or a number from 1 to 15"},
    {IF "Workers = 1x\n", 3, 11, "Workers is not auto, or a number from 1 to 15"},
    {IF "Workers = 001\n", 3, 11, "Workers is not auto, or a number from 1 to 15"},
    {IF "RememberPeers = yes\n", 3, 17, "RememberPeers is neither on nor off"},
    {IF "RotateSecs = 59\n", 3, 14, "RotateSecs is not a number from 60 to 3600"},
    {IF "RotateSecs = 3601\n", 3, 14, "RotateSecs is not a number from 60 to 3600"},
    {IF "Suites = aes-128-gcm\n", 3, 10, "Suites is a list of aes-256-gcm and chacha20-poly1305"},
    {IF "Suites = aes-256-gcm,\n", 3, 22, "Suites is a list of aes-256-gcm"},
    {IF "Suites = aes-256-gcm, aes-256-gcm\n", 3, 23, "Suites has that suite twice"},
    {IF "MetricsAddress = off\n", 3, 18, "MetricsAddress is neither none nor a numeric address"},
    {IF "MetricsAddress = 127.0.0.1\n", 3, 18, "MetricsAddress is neither none nor a numeric"},
    {IF "MetricsAddress = 127.0.0.1:0\n", 3, 18, "MetricsAddress is neither none nor a numeric"},
    {IF "MetricsAddress = localhost:9464\n", 3, 18, "MetricsAddress is neither none nor a numer"},
    {IF "MetricsAddress = ::1:9464\n", 3, 18, "MetricsAddress is neither none nor a numeric ad"},
    {IF "MetricsAddress = 0.0.0.0:9464\n", 3, 18,
     "MetricsAddress 0.0.0.0:9464 can be reached from other machines and needs a MetricsToken"},
    {IF "MetricsAddress = [2001:db8::1]:9464\n", 3, 18,
     "MetricsAddress [2001:db8::1]:9464 can be reached from other machines and needs a"},
    {IF "MetricsToken = short\n", 3, 16, "MetricsToken is not 16 to 256 letters, digits"},
    {IF "MetricsToken = 0123456789abcde f\n", 3, 16, "MetricsToken is not 16 to 256 letters"},
    {IF "MetricsToken = 0123456789abcdef\nMetricsTokenFile = x\n", 4, 20,
     "MetricsTokenFile and MetricsToken are both there"},
    {IF "MetricsTokenFile = x\nMetricsToken = 0123456789abcdef\n", 4, 16,
     "MetricsToken and MetricsTokenFile are both there"},
    {IF "MetricsPeers = 65537\n", 3, 16, "MetricsPeers is not a number from 0 to 65536"},
    {IF "MetricsWireGuard = yes\n", 3, 20, "MetricsWireGuard is neither on nor off"},
    {IF "DNS = 1.1.1.1\n", 3, 1, "unknown key \"DNS\" in [Interface]: it is not supported yet"},
    {IF "saveconfig = true\n", 3, 1, "unknown key \"SaveConfig\" in [Interface]: it is not"},
    {IF "AllowedIPs = ::/0\n", 3, 1,
     "unknown key \"AllowedIPs\" in [Interface]: it belongs in [Peer]"},
    {IF "Frobnicate = 1\n", 3, 1,
     "unknown key \"Frobnicate\" in [Interface]: known are PrivateKey, PrivateKeyFile, ListenPort, "
     "Address, MTU, Table, FwMark, RotateSecs, Suites, AnswerKeys, PushKeys, TunOffload, "
     "UdpGso, UdpGro, Workers, RememberPeers, PreUp, PostUp, PreDown, PostDown, "
     "MetricsAddress, MetricsToken, MetricsTokenFile, MetricsPeers, MetricsWireGuard"},
    /* A key that lost its line is not repeated in the message. */
    {IF "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", 3, 1, "unknown key in [Interface]: "},
    {"[Interface]\nPrivateKey = AAAA\n", 2, 14, "PrivateKey is not 32 bytes in base64 (44 charact"},
    {"[Interface]\nPrivateKey = AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=\n", 2, 14,
     "PrivateKey is not 32 bytes in base64"},
    {"[Interface]\nPrivateKey = AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n", 2, 14,
     "PrivateKey is not 32 bytes in base64"},
    {IF "PrivateKeyFile = x\n", 3, 18, "PrivateKeyFile and PrivateKey are both there"},
    {"[Interface]\nPrivateKeyFile = x\nPrivateKey = " KEY_A, 3, 14,
     "PrivateKey and PrivateKeyFile are both there"},
    {IF "[Peer]\n", 3, 1, "[Peer] has no PeerID"},
    {IF "[Peer]\nName = x\n" PEER_B, 3, 1, "[Peer] has no PeerID"},
    {IF "[Peer]\nPublicKey = " KEY_B "\n", 4, 1,
     "unknown key \"PublicKey\" in [Peer]: CrypRQ names a peer by its 44-character PeerID (cryprq "
     "pubkey)"},
    {IF "[Peer]\nPeerID = AAAA\n", 4, 10, "PeerID is not 32 bytes in base64"},
    {IF "[Peer]\nPeerID = " KEY_B "\nMTU = 1400\n", 5, 1,
     "unknown key \"MTU\" in [Peer]: it belongs in [Interface]"},
    {IF PEER_B "PresharedKey = " ZERO "\n", 5, 16, "PresharedKey is all zero"},
    {IF PEER_B "PresharedKey = " KEY_A "\nPresharedKeyFile = f\n", 6, 20,
     "PresharedKeyFile and PresharedKey are both there"},
    {IF PEER_B "Name = my peer\n", 5, 10, "Name is one word"},
    {IF PEER_B "Name = a\xc3\xa9\n", 5, 9, "Name is one word"},
    {IF PEER_B "Name = 1234567890123456789012345678901234567890123456789012345678901234\n", 5, 8,
     "Name is longer than 63 characters"},
    {IF PEER_B "AllowedIPs = 10.0.0.0/8, 10.0.0/8\n", 5, 26, "AllowedIPs has something that is no"},
    {IF PEER_B "AllowedIPs = 10.0.0.0/08\n", 5, 14, "AllowedIPs has something that is no"},
    {IF PEER_B "Endpoint = example.org\n", 5, 12, "Endpoint is not HOST:PORT: it has no port"},
    {IF PEER_B "Endpoint = :1\n", 5, 12, "Endpoint is not HOST:PORT: it has no host"},
    {IF PEER_B "Endpoint = 2001:db8::1:51820\n", 5, 12,
     "Endpoint is not HOST:PORT: an IPv6 address stands in brackets"},
    {IF PEER_B "Endpoint = [::1]:0\n", 5, 12, "Endpoint is not HOST:PORT: its port is not"},
    {IF PEER_B "Endpoint = a:65536\n", 5, 12, "Endpoint is not HOST:PORT: its port is not"},
    {IF PEER_B "Endpoint = 300.1.1.1:1\n", 5, 12, "Endpoint is not HOST:PORT: it is not an IPv4"},
    {IF PEER_B "Endpoint = 0.0.0.0:1\n", 5, 12, "Endpoint is not HOST:PORT: no datagram"},
    {IF PEER_B "Endpoint = [x]:1\n", 5, 12, "Endpoint is not HOST:PORT: there is no IPv6"},
    {IF PEER_B "Endpoint = [::1:1\n", 5, 12, "Endpoint is not HOST:PORT: the bracket is not"},
    {IF PEER_B "Endpoint = a b:1\n", 5, 12, "Endpoint is not HOST:PORT: it is not a host name"},
    {IF PEER_B "PersistentKeepalive = 65536\n", 5, 23, "PersistentKeepalive is not off, or a num"},
    {IF PEER_B PEER_B, 6, 10, "two peers have the PeerID " KEY_B " (line 4)"},
    {IF PEER_B "Name = x\n" PEER_C "Name = x\n", 8, 8, "two peers are called \"x\" (line 5)"},
    {IF PEER_B "Name = b\nAllowedIPs = 10.0.0.0/24\n" PEER_C "AllowedIPs = 10.0.0.9/24\n", 9, 14,
     "AllowedIPs 10.0.0.0/24 of peer \"" KEY_C "\" overlaps 10.0.0.0/24 of peer \"b\" (line 6)"},
    {IF PEER_B "AllowedIPs = fd00::/64, 10.0.0.0/24\n" PEER_C "AllowedIPs = 9.0.0.0/8, 0.0.0.0/0\n",
     8, 25, "AllowedIPs 0.0.0.0/0 of peer \"" KEY_C "\" overlaps 10.0.0.0/24 of peer "},
    {IF PEER_B "AllowedIPs = fd00::5\n" PEER_C "AllowedIPs = fd00::/64\n", 8, 14,
     "AllowedIPs fd00::/64 of peer \"" KEY_C "\" overlaps fd00::5/128 of peer \"" KEY_B
     "\" (line 5)"},
};

static void test_bad_files(void **state)
{
    struct cq_conf_error error;
    struct cq_conf conf;

    (void)state;
    for (size_t i = 0; i < sizeof(bad_files) / sizeof(bad_files[0]); i++) {
        enum cq_err err = parse(&conf, bad_files[i].text, &error);
        if (err == CQ_ERR_INVALID && error.line == bad_files[i].line &&
            error.column == bad_files[i].column &&
            strncmp(error.message, bad_files[i].message, strlen(bad_files[i].message)) == 0)
            continue;
        fail_msg("case %zu: %u:%u: %s (expected %u:%u: %s)", i, error.line, error.column,
                 error.message, bad_files[i].line, bad_files[i].column, bad_files[i].message);
    }
}

static void test_no_secret_in_messages(void **state)
{
    static const char *const files[] = {
        "[Interface]\nPrivateKey = X" KEY_A "\n",
        "[Interface]\nPrivateKey " KEY_A "\n",
        "[Interface]\n" KEY_A "\n",
        "[Interface]\n" KEY_A " = x\n",
        IF PEER_B "PresharedKey = X" KEY_A "\n",
    };
    struct cq_conf_error error;
    struct cq_conf conf;

    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        assert_int_equal(parse(&conf, files[i], &error), CQ_ERR_INVALID);
        assert_null(strstr(error.message, "AAECAwQF"));
    }
}

static void test_nested_within_one_peer(void **state)
{
    struct cq_conf_error error;
    struct cq_conf conf;

    (void)state;
    /* Nesting and repetition inside a peer, neighbours between peers, and both families'
     * everything. */
    assert_int_equal(parse(&conf,
                           IF PEER_B
                           "AllowedIPs = 10.0.0.0/8, 10.1.0.0/16, 10.0.0.0/8, ::/0\n" PEER_C
                           "AllowedIPs = 11.0.0.0/8, 9.255.255.255\n",
                           &error),
                     CQ_OK);
    cq_conf_free(&conf);
    assert_int_equal(
        parse(&conf, IF PEER_B "AllowedIPs = 0.0.0.0/0\n" PEER_C "AllowedIPs = ::/0\n", &error),
        CQ_OK);
    cq_conf_free(&conf);
}

static void test_hostile_bytes(void **state)
{
    static const char nul[] = IF "Table = o\0ff\n";
    static const char escape[] = IF "# \x1b[2J\n";
    struct cq_conf_error error;
    struct cq_conf conf;
    size_t len = strlen(IF) + CQ_CONF_LINE_MAX + 1;
    char *text = malloc(len);

    (void)state;
    assert_int_equal(cq_conf_parse(&conf, nul, sizeof(nul) - 1, &error), CQ_ERR_INVALID);
    assert_int_equal(error.line, 3);
    assert_int_equal(error.column, 10);
    assert_int_equal(cq_conf_parse(&conf, escape, sizeof(escape) - 1, &error), CQ_ERR_INVALID);
    assert_string_equal(error.message, "control character 0x1b");

    assert_non_null(text);
    memcpy(text, IF, strlen(IF));
    memset(text + strlen(IF), '#', CQ_CONF_LINE_MAX + 1);
    assert_int_equal(cq_conf_parse(&conf, text, len, &error), CQ_ERR_INVALID);
    assert_int_equal(error.line, 3);
    assert_int_equal(error.column, CQ_CONF_LINE_MAX + 1);
    assert_int_equal(cq_conf_parse(&conf, text, len - 1, &error), CQ_OK);
    cq_conf_free(&conf);
    free(text);
}

static void test_too_much(void **state)
{
    static const char line[] = "PostUp = x\n";
    char text[sizeof(IF) + 70 * sizeof(line)] = IF;
    struct cq_conf_error error;
    struct cq_conf conf;
    size_t big = (size_t)CQ_CONF_FILE_MAX + 1;
    char *blank = malloc(big);

    (void)state;
    for (int i = 0; i < CQ_CONF_MAX_HOOKS + 1; i++)
        strcat(text, line);
    assert_int_equal(parse(&conf, text, &error), CQ_ERR_NOMEM);
    assert_int_equal(error.line, 67);
    assert_non_null(blank);
    memset(blank, '\n', big);
    assert_int_equal(cq_conf_parse(&conf, blank, big, &error), CQ_ERR_INVALID);
    assert_int_equal(error.line, 0);
    free(blank);
}

/* Every prefix of a good file is parsed or refused, and nothing leaks either way (a sanitizer
 * watches). */
static void test_truncation(void **state)
{
    static const char text[] =
        IF "Address = 10.0.0.1/24\nPostUp = x\n" PEER_B "Name = x\nPresharedKey = " KEY_C
           "\nAllowedIPs = 1.2.3.4/5\nEndpoint = h:1\n" PEER_C "PublicKeyFile = f\n";
    struct cq_conf_error error;
    struct cq_conf conf;

    (void)state;
    for (size_t len = 0; len < sizeof(text); len++) {
        char *copy = malloc(len > 0 ? len : 1);
        assert_non_null(copy);
        memcpy(copy, text, len);
        if (cq_conf_parse(&conf, copy, len, &error) == CQ_OK)
            cq_conf_free(&conf);
        else
            assert_true(error.message[0] != '\0');
        free(copy);
    }
}

static void test_own_id(void **state)
{
    struct cq_conf_error error;
    struct cq_conf conf;
    uint8_t id[32];

    (void)state;
    assert_int_equal(parse(&conf, IF PEER_B PEER_C, &error), CQ_OK);
    memset(id, 1, sizeof(id));
    assert_int_equal(cq_conf_check_own_id(&conf, id, &error), CQ_ERR_INVALID);
    assert_int_equal(error.line, 6);
    memset(id, 2, sizeof(id));
    assert_int_equal(cq_conf_check_own_id(&conf, id, &error), CQ_OK);
    cq_conf_free(&conf);
}

static void test_key_files(void **state)
{
    uint8_t key[32];

    (void)state;
    assert_int_equal(cq_conf_parse_key32(key, KEY_A "\n", 45), CQ_OK);
    assert_int_equal(key[31], 31);
    assert_int_equal(cq_conf_parse_key32(key, " " KEY_A "\r\n", 47), CQ_OK);
    assert_int_equal(cq_conf_parse_key32(key, "", 0), CQ_ERR_INVALID);
    assert_int_equal(cq_conf_parse_key32(key, KEY_A KEY_A, 88), CQ_ERR_INVALID);
    assert_int_equal(cq_conf_parse_key32(key, KEY_A "\0", 45), CQ_ERR_INVALID);
    assert_int_equal(key[31], 0);
}

static void test_interface_names(void **state)
{
    static const struct {
        const char *path, *name; /* NULL: refused */
    } cases[] = {
        {"wan0.conf", "wan0"},
        {"/etc/cryprq/a.b.conf", "a.b"},
        {"dir.conf/x", "x"},
        {"wan0", "wan0"},
        {"/etc/", NULL},
        {".conf", ".conf"},
        {"..conf", NULL},
        {"...conf", NULL},
        {"with blank.conf", NULL},
        {"a123456789012345", NULL},
        {"a12345678901234.conf", "a12345678901234"},
        {"a\nb", NULL},
        {"", NULL},
    };
    char name[CQ_CONF_INTERFACE_MAX + 1];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum cq_err err = cq_conf_interface_of_path(cases[i].path, name);
        assert_int_equal(err, cases[i].name != NULL ? CQ_OK : CQ_ERR_INVALID);
        assert_string_equal(name, cases[i].name != NULL ? cases[i].name : "");
    }
}

static void test_endpoints(void **state)
{
    struct cq_conf_endpoint endpoint;
    const char *reason;

    (void)state;
    assert_int_equal(cq_conf_parse_endpoint(&endpoint, "192.0.2.1:51820", &reason), CQ_OK);
    assert_true(endpoint.is_numeric);
    assert_int_equal(endpoint.addr.port, 51820);
    cq_conf_endpoint_free(&endpoint);
    assert_int_equal(cq_conf_parse_endpoint(&endpoint, "[fe80::1%eth0]:5", NULL), CQ_OK);
    assert_false(endpoint.is_numeric);
    assert_string_equal(endpoint.host, "fe80::1%eth0");
    assert_int_equal(endpoint.port, 5);
    cq_conf_endpoint_free(&endpoint);
    assert_int_equal(cq_conf_parse_endpoint(&endpoint, "[fe80::1%]:5", &reason), CQ_ERR_INVALID);
    assert_int_equal(cq_conf_parse_endpoint(&endpoint, "[1.2.3.4]:5", &reason), CQ_ERR_INVALID);
    assert_int_equal(cq_conf_parse_endpoint(&endpoint, "", &reason), CQ_ERR_INVALID);
    assert_null(endpoint.host);
}

/* Loading: a reader over a table of files. */

static const struct file {
    const char *path, *data;
} * files;

static enum cq_err read_file(void *ctx, const char *path, size_t max, bool secret, char **out,
                             size_t *out_len, char *reason, size_t reason_size)
{
    (void)ctx;
    for (const struct file *f = files; f->path != NULL; f++) {
        if (strcmp(f->path, path) != 0)
            continue;
        *out_len = strlen(f->data);
        assert_true(*out_len <= max);
        assert_int_equal(secret, strstr(path, ".pub") == NULL);
        *out = cq_secret_alloc(*out_len + 1);
        assert_non_null(*out);
        memcpy(*out, f->data, *out_len);
        return CQ_OK;
    }
    snprintf(reason, reason_size, "%s: not there", path);
    return CQ_ERR_NOTFOUND;
}

static const struct cq_conf_reader reader = {.read = read_file};

static void test_load(void **state)
{
    static const struct file good[] = {
        {"/etc/cryprq/wan0.conf",
         "[Interface]\nPrivateKeyFile = wan0.key\n" PEER_B "PresharedKeyFile = /k/psk\n"},
        {"/etc/cryprq/wan0.key", KEY_A "\n"},
        {"/k/psk", KEY_C "\n"},
        {NULL, NULL},
    };
    struct cq_conf_error error;
    struct cq_conf conf;

    (void)state;
    files = good;
    assert_int_equal(cq_conf_load(&conf, "/etc/cryprq/wan0.conf", &reader, &error), CQ_OK);
    assert_string_equal(conf.interface, "wan0");
    assert_int_equal(conf.private_key[1], 1);
    assert_int_equal(conf.peers[0].psk[0], 1);
    cq_conf_free(&conf);
}

static void test_load_errors(void **state)
{
    static const struct file bad[] = {
        {"a.conf", "[Interface]\nPrivateKeyFile = none.key\n"},
        {"b.conf", "[Interface]\nPrivateKeyFile = bad.key\n"},
        {"c.conf", IF PEER_B "PresharedKeyFile = zero\n"},
        {"d.conf", IF PEER_B "PublicKeyFile = bad.pub\n"},
        {"e.conf", IF "x\n"},
        {"bad.key", KEY_A KEY_A},
        {"zero", ZERO},
        {"bad.pub", KEY_A},
        {NULL, NULL},
    };
    static const struct {
        const char *path, *line;
    } cases[] = {
        {"a.conf", "a.conf:2:18: PrivateKeyFile: none.key: not there"},
        {"b.conf", "b.conf:2:18: PrivateKeyFile: bad.key does not hold 32 bytes in base64"},
        {"c.conf", "c.conf:5:20: PresharedKeyFile: the key is all zero"},
        {"d.conf", "d.conf:5:17: PublicKeyFile: bad.pub does not hold a public key in base64"},
        {"e.conf", "e.conf:3:1: neither"},
        {"f.conf", "f.conf: f.conf: not there"},
        {"bad name.conf", "bad name.conf: the file name makes no interface name"},
    };
    struct cq_conf_error error;
    struct cq_conf conf;
    char line[1024];

    (void)state;
    files = bad;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_not_equal(cq_conf_load(&conf, cases[i].path, &reader, &error), CQ_OK);
        cq_conf_error_format(&error, cases[i].path, line, sizeof(line));
        line[strlen(cases[i].line)] = '\0';
        assert_string_equal(line, cases[i].line);
        assert_null(conf.private_key);
    }
}

/* A public key whose ID is right is taken, and one whose ID is another's is not. */
static void test_load_public_key(void **state)
{
    struct cq_identity identity;
    uint8_t secret[32] = {9}, raw[CQ_PUBLIC_KEY_LEN];
    char text[CQ_BASE64_LEN(CQ_PUBLIC_KEY_LEN) + 1], id[CQ_KEY32_TEXT_LEN + 1], conf_text[512];
    struct file table[] = {{"a.conf", conf_text}, {"a.pub", text}, {NULL, NULL}};
    struct cq_conf_error error;
    struct cq_conf conf;

    (void)state;
    assert_int_equal(cq_identity_init(&identity, secret), CQ_OK);
    memcpy(raw, identity.public_key.s, sizeof(identity.public_key.s));
    memcpy(raw + sizeof(identity.public_key.s), identity.public_key.ek,
           sizeof(identity.public_key.ek));
    cq_base64_encode(raw, sizeof(raw), text);
    cq_base64_encode(identity.id, sizeof(identity.id), id);
    files = table;
    snprintf(conf_text, sizeof(conf_text), IF "[Peer]\nPeerID = %s\nPublicKeyFile = a.pub\n", id);
    assert_int_equal(cq_conf_load(&conf, "a.conf", &reader, &error), CQ_OK);
    assert_memory_equal(conf.peers[0].public_key, &identity.public_key, CQ_PUBLIC_KEY_LEN);
    cq_conf_free(&conf);

    snprintf(conf_text, sizeof(conf_text), IF PEER_B "PublicKeyFile = a.pub\n");
    assert_int_equal(cq_conf_load(&conf, "a.conf", &reader, &error), CQ_ERR_AUTH);
    assert_string_equal(error.message,
                        "PublicKeyFile: the public key is not the one that PeerID names");
    cq_identity_wipe(&identity);
}

static void test_metrics(void **state)
{
    static const char text[] = "[Interface]\nPrivateKey = " KEY_A "\n"
                               "MetricsAddress = [2001:db8::1]:9100\n"
                               "MetricsToken = abcdefgh-._~+/=012345\n"
                               "MetricsPeers = 0\n"
                               "MetricsWireGuard = off\n";
    struct cq_conf_error error;
    struct cq_conf conf;
    char out[CQ_ADDR_TEXT_MAX];

    (void)state;
    cq_conf_init(&conf);
    assert_int_equal(conf.metrics.mode, CQ_CONF_METRICS_SEARCH);
    assert_int_equal(conf.metrics.max_peers, 1000);
    assert_false(conf.metrics.wireguard_off);
    assert_int_equal(cq_conf_parse(&conf, text, strlen(text), &error), CQ_OK);
    assert_int_equal(conf.metrics.mode, CQ_CONF_METRICS_FIXED);
    assert_string_equal(cq_addr_format(&conf.metrics.addr, out), "[2001:db8::1]:9100");
    assert_string_equal(conf.metrics.token, "abcdefgh-._~+/=012345");
    assert_int_equal(conf.metrics.max_peers, 0);
    assert_true(conf.metrics.wireguard_off);
    cq_conf_free(&conf);
    assert_null(conf.metrics.token);
    static const char off[] = "[Interface]\nPrivateKey = " KEY_A "\nMetricsAddress = None\n";
    assert_int_equal(cq_conf_parse(&conf, off, strlen(off), &error), CQ_OK);
    assert_int_equal(conf.metrics.mode, CQ_CONF_METRICS_OFF);
    cq_conf_free(&conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_no_secret_in_messages),
        cmocka_unit_test(test_nested_within_one_peer),
        cmocka_unit_test(test_hostile_bytes),
        cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_own_id),
        cmocka_unit_test(test_key_files),
        cmocka_unit_test(test_interface_names),
        cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_load_errors),
        cmocka_unit_test(test_load_public_key),
    };

    if (cq_crypto_init(false) != CQ_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
