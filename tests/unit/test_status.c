#include "conf/status.h"
#include "conf/status_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct cq_prefix prefix(const char *text)
{
    struct cq_prefix p;

    assert_int_equal(cq_prefix_parse(text, &p, NULL), CQ_OK);
    return p;
}

static void fill_peer(struct cq_node_peer_status *p)
{
    strcpy(p->name, "laptop");
    memset(p->id, 0xa5, sizeof(p->id));
    p->has_psk = p->key_known = p->handshaking = p->latest_as_initiator = true;
    strcpy(p->endpoint, "[2001:db8::1]:51820");
    p->allowed_ips = calloc(2, sizeof(*p->allowed_ips));
    assert_non_null(p->allowed_ips);
    p->allowed_ips[0] = prefix("10.9.0.0/24");
    p->allowed_ips[1] = prefix("fd00::2/128");
    p->num_allowed_ips = 2;
    p->persistent_keepalive = 25;
    p->rx_bytes = UINT64_C(1) << 62;
    p->tx_bytes = 2;
    p->rx_packets = 3;
    p->tx_packets = 4;
    p->latest_handshake = INT64_C(1700000000);
    p->latest_handshake_secs = 59;
    p->handshake_duration_us = 2345;
    p->initiated = 5;
    p->responded = 6;
    p->rotations = 7;
    p->failed = 8;
    p->has_session = true;
    p->suite = CQ_CONF_SUITE_CHACHA20_POLY1305;
    memcpy(p->session_id, "\x01\x23\x45\x67\x89\xab\xcd\xef", 8);
    p->key_age_secs = 60;
    p->rotate_in_secs = 200;
    p->num_sessions = 2;
    p->num_staged = 1;
    p->last_drop = CQ_DROP_BAD_TAG;
    p->last_drop_secs = 9;
    p->attempt.happened = true;
    p->attempt.send_fault = CQ_SEND_FAULT_NO_ROUTE;
    for (unsigned i = 0; i < CQ_STEP_COUNT; i++) {
        p->attempt.num[i] = (uint16_t)(i + 1);
        p->attempt.last_ms[i] = 1000 * i;
    }
    assert_int_equal(cq_addr_parse("192.0.2.7:5", &p->attempt.elsewhere), CQ_OK);
    p->attempt_secs = 10;
    p->refused = CQ_DROP_DECRYPT_FRESH;
    p->num_refused = 11;
    p->refused_secs = 12;
    p->unanswered_secs = 13;
    p->configured_endpoint = strdup("far.test:51820");
}

static void fill(struct cq_node_status *s)
{
    *s = (struct cq_node_status){
        .interface = "wan0",
        .listen_port = 51820,
        .fwmark = 0xffffffff,
        .mtu = 1420,
        .suites = 3,
        .preferred_suite = CQ_CONF_SUITE_CHACHA20_POLY1305,
        .rotate_secs = 300,
        .uptime_secs = 86400,
        .num_workers = 2,
        .workers = {{7, 8}, {9, 10}},
        .flags = {"udp_gso", "tun_offload"},
        .num_flags = 2,
        .has_offloads = true,
        .offloads = {CQ_OFFLOAD_ON, CQ_OFFLOAD_ON, CQ_OFFLOAD_GIVEN_UP, CQ_OFFLOAD_UNAVAILABLE,
                     CQ_OFFLOAD_ON, CQ_OFFLOAD_SWITCHED_OFF},
        .offload_fallbacks = {0, 0, 1, 0, 12, 0},
        .num_pending = 9,
        .under_load = true,
        .cookies_sent = 10,
        .keys_sent = 11,
        .keys_erased = 12,
        .uptime_ms = 86400123,
        .time_ms = INT64_C(1700000000123),
        .processes = {{"node", 1230, 7 << 20}, {"metrics", 40, 3 << 20}},
        .num_processes = 2,
        .num_peers = 2,
    };
    memset(s->id, 0x5a, sizeof(s->id));
    for (unsigned i = 1; i < CQ_DROP_COUNT; i++)
        s->drops[i] = 1000 + i;
    for (unsigned i = 0; i < CQ_STATUS_DURATIONS; i++)
        s->durations.upper_us[i] = 100 * (i + 1);
    for (unsigned i = 0; i <= CQ_STATUS_DURATIONS; i++) {
        s->durations.counts[0][i] = i;
        s->durations.counts[1][i] = 2 * i;
    }
    s->peers = calloc(2, sizeof(*s->peers));
    assert_non_null(s->peers);
    fill_peer(&s->peers[0]);
    s->peers[1].id[0] = 7;
}

/* Two statuses are equal but for the pointers, whose targets are compared. */
static void check_equal(struct cq_node_status *a, struct cq_node_status *b)
{
    assert_int_equal(a->num_peers, b->num_peers);
    for (size_t i = 0; i < a->num_peers; i++) {
        struct cq_node_peer_status *p = &a->peers[i], *q = &b->peers[i];
        assert_int_equal(p->num_allowed_ips, q->num_allowed_ips);
        for (size_t j = 0; j < p->num_allowed_ips; j++)
            assert_true(cq_prefix_equal(&p->allowed_ips[j], &q->allowed_ips[j]));
        struct cq_prefix *kept = q->allowed_ips;
        q->allowed_ips = p->allowed_ips;
        char *configured = p->configured_endpoint;
        if (configured != NULL)
            assert_string_equal(configured, q->configured_endpoint);
        p->configured_endpoint = q->configured_endpoint;
        assert_memory_equal(p, q, sizeof(*p));
        q->allowed_ips = kept;
        p->configured_endpoint = configured;
    }
    struct cq_node_peer_status *kept = b->peers;
    b->peers = a->peers;
    assert_memory_equal(a, b, sizeof(*a));
    b->peers = kept;
}

static void test_round_trip(void **state)
{
    struct cq_node_status before, after;
    char *text;
    size_t len;

    (void)state;
    for (int pretty = 0; pretty < 2; pretty++) {
        fill(&before);
        assert_int_equal(cq_node_status_to_json(&before, pretty, &text, &len), CQ_OK);
        assert_int_equal(strlen(text), len);
        assert_int_equal(strchr(text, '\n') != NULL, pretty);
        assert_int_equal(cq_node_status_from_json(&after, text, len), CQ_OK);
        check_equal(&before, &after);
        free(text);
        cq_node_status_free(&before);
        cq_node_status_free(&after);
        assert_null(after.peers);
    }
}

static void test_names(void **state)
{
    static const char *const expected[] = {
        "\"version\":1,",
        "\"suites\":[\"chacha20-poly1305\",\"aes-256-gcm\"]",
        "\"bad_mac1\":1007",
        "\"allowed_ips\":[\"10.9.0.0/24\",\"fd00::2/128\"]",
        ("\"session\":{\"id\":\"0123456789abcdef\",\"suite\":\"chacha20-poly1305\",\"age_secs\":60,"
         "\"rotate_in_secs\":200}"),
        "\"session\":null",
        "\"last_drop\":\"bad_tag\"",
        "\"last_drop_secs\":9,\"num_refused\":11,\"refused_secs\":12,\"unanswered_secs\":13,"
        "\"refused\":\"decrypt_fresh\",\"refused_reason\":\"psk_mismatch\",\"configured_endpoint\":"
        "\"far.test:51820\",",
        "\"attempt\":{\"secs\":10,\"key_request_sent\":{\"num\":1,\"last_ms\":0},",
        "\"send_fault\":\"no_route\",\"elsewhere\":\"192.0.2.7:5\",\"reason\":\"all_well\"}",
        "\"attempt\":null",
        "\"flags\":[\"udp_gso\",\"tun_offload\"]",
        "\"workers\":[{\"sealed\":7,\"opened\":8},{\"sealed\":9,\"opened\":10}",
        "\"offloads\":{\"tun_header\":{\"state\":\"on\",\"fallbacks\":0},",
        "\"tun_tso\":{\"state\":\"given_up\",\"fallbacks\":1},",
        "\"udp_gso\":{\"state\":\"on\",\"fallbacks\":12},"
        "\"udp_gro\":{\"state\":\"switched_off\",\"fallbacks\":0}}",
        "\"uptime_ms\":86400123,\"time_ms\":1700000000123,",
        "\"handshake_durations\":{\"upper_us\":[100,200,",
        "\"initiator\":[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16],\"responder\":[0,2,",
        "\"processes\":[{\"name\":\"node\",\"cpu_ms\":1230,\"resident_bytes\":7340032},{",
        "\"state\":\"connected\",\"explanation\":\"Connected; keys 60 s old, next rotation in "
        "3 min.\"",
    };
    struct cq_node_status status;
    char *text;
    size_t len;

    (void)state;
    fill(&status);
    assert_int_equal(cq_node_status_to_json(&status, false, &text, &len), CQ_OK);
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        if (strstr(text, expected[i]) == NULL)
            fail_msg("%s is not in %s", expected[i], text);
    free(text);
    cq_node_status_free(&status);
}

/* One replacement in a good text, and whether it is still taken. */
static void test_changed_texts(void **state)
{
    static const struct {
        const char *from, *to;
        enum cq_err expected;
    } cases[] = {
        {"\"version\":1", "\"version\":2", CQ_ERR_INVALID},
        {"\"version\":1", "\"version\":1.0", CQ_ERR_INVALID},
        {"\"version\":1,", "\"version\":1,\"more\":[1],", CQ_OK},
        {"\"bad_mac1\":1007", "\"bad_mac2\":1", CQ_OK},
        {"\"bad_mac1\":1007", "\"bad_mac1\":-1", CQ_ERR_INVALID},
        {"\"listen_port\":51820", "\"listen_port\":65536", CQ_ERR_INVALID},
        {"\"listen_port\":51820", "\"listen_port\":\"51820\"", CQ_ERR_INVALID},
        {"\"under_load\":true", "\"under_load\":1", CQ_ERR_INVALID},
        {"\"interface\":\"wan0\"", "\"interface\":\"0123456789abcdef\"", CQ_ERR_INVALID},
        {"\"interface\":\"wan0\"", "\"interface\":\"a\\u0000b\"", CQ_ERR_INVALID},
        {"\"interface\":\"wan0\",", "", CQ_ERR_INVALID},
        {"\"state\":\"given_up\"", "\"state\":\"unheard_of\"", CQ_OK},
        {"\"state\":\"given_up\"", "\"state\":1", CQ_ERR_INVALID},
        {"\"sealed\":7", "\"sealed\":\"7\"", CQ_ERR_INVALID},
        {"\"workers\":[", "\"walkers\":[", CQ_OK},
        {"\"fallbacks\":12", "\"fallbacks\":-1", CQ_ERR_INVALID},
        {"\"udp_gro\":", "\"udp_grow\":", CQ_ERR_INVALID},
        {"\"offloads\":", "\"outloads\":", CQ_OK},
        {"\"mtu\":1420", "\"mtu\":1420,\"mtu\":1421", CQ_ERR_INVALID},
        {"10.9.0.0/24", "10.9.0.0/33", CQ_ERR_INVALID},
        {"0123456789abcdef", "0123456789ABCDEF", CQ_ERR_INVALID},
        {"0123456789abcdef", "0123456789abcde", CQ_ERR_INVALID},
        {"\"session\":null", "\"session\":[]", CQ_ERR_INVALID},
        {"\"bad_tag\"", "\"later_reason\"", CQ_OK},
        {"paWlpaWlpaWl", "paWlpaWlpaW=", CQ_ERR_INVALID},
        {"\"suites\":[", "\"suites\":[\"ascon\",", CQ_OK},
        {"\"peers\":[", "\"peers\":[3,", CQ_ERR_INVALID},
        {"\"upper_us\":[100,", "\"upper_us\":[", CQ_ERR_INVALID},
        {"\"initiator\":[0,", "\"initiator\":[-1,", CQ_ERR_INVALID},
        {"\"handshake_durations\":", "\"later_durations\":", CQ_OK},
        {"\"name\":\"node\"", "\"name\":\"a-name-that-is-too-long\"", CQ_ERR_INVALID},
        {"\"cpu_ms\":1230", "\"cpu_ms\":\"1230\"", CQ_ERR_INVALID},
        {"\"processes\":[", "\"processes\":[1,2,3,", CQ_ERR_INVALID},
        {"\"state\":\"connected\"", "\"state\":\"of a later version\"", CQ_OK},
    };
    struct cq_node_status status, after;
    char *text, *changed;
    size_t len;

    (void)state;
    fill(&status);
    assert_int_equal(cq_node_status_to_json(&status, false, &text, &len), CQ_OK);
    cq_node_status_free(&status);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *at = strstr(text, cases[i].from);
        assert_non_null(at);
        assert_true(asprintf(&changed, "%.*s%s%s", (int)(at - text), text, cases[i].to,
                             at + strlen(cases[i].from)) > 0);
        enum cq_err err = cq_node_status_from_json(&after, changed, strlen(changed));
        if (err != cases[i].expected)
            fail_msg("case %zu: %d", i, err);
        cq_node_status_free(&after);
        free(changed);
    }
    for (size_t i = 0; i < len; i++)
        assert_int_equal(cq_node_status_from_json(&after, text, i), CQ_ERR_INVALID);
    free(text);
}

static const char *const peers_path[] = {"peers", NULL};

/* What the writer writes is read without a tree, every peer of it. */
static void test_scan_takes(void **state)
{
    struct cq_node_status before, after;
    struct cq_json_list list;
    char *text;
    size_t len;

    (void)state;
    fill(&before);
    before.peers[0].latest_handshake = 1;
    before.peers[0].rx_bytes = 7; /* more than 18 digits are declined */
    assert_int_equal(cq_node_status_to_json(&before, false, &text, &len), CQ_OK);
    json_t *rest = cq_json_load_apart(&list, text, len, peers_path, NULL);
    assert_non_null(rest);
    fill(&after);
    for (size_t i = 0; i < after.num_peers; i++) {
        free(after.peers[i].allowed_ips);
        free(after.peers[i].configured_endpoint);
        memset(&after.peers[i], 0, sizeof(after.peers[i]));
        assert_true(cq_status_scan_peer(&after.peers[i], &list));
    }
    assert_ptr_equal(list.at, list.end);
    check_equal(&before, &after);
    json_decref(rest);
    free(text);
    cq_node_status_free(&before);
    cq_node_status_free(&after);
}

/* One byte of a good text changed, in every place: the same is taken, and read as the same, whether
 * peers are read by themselves or out of a tree. */
static void test_scan_agrees(void **state)
{
    static const char bytes[] = "0-a\"\\,:]}";
    struct cq_node_status status, a, b;
    struct cq_json_list none = {0};
    size_t len, num_taken = 0;
    char *text;

    (void)state;
    fill(&status);
    assert_int_equal(cq_node_status_to_json(&status, false, &text, &len), CQ_OK);
    cq_node_status_free(&status);
    for (size_t i = (size_t)(strstr(text, "\"peers\"") - text); i < len; i++) {
        char kept = text[i];
        for (const char *byte = bytes; *byte != '\0'; byte++) {
            text[i] = *byte;
            json_t *tree = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
            enum cq_err err = cq_status_json_read(&b, tree, &none);
            if (cq_node_status_from_json(&a, text, len) != err)
                fail_msg("%d for %s", err, text);
            if (err == CQ_OK)
                check_equal(&a, &b);
            num_taken += err == CQ_OK;
            json_decref(tree);
            cq_node_status_free(&a);
            cq_node_status_free(&b);
        }
        text[i] = kept;
    }
    assert_in_range(num_taken, len, 4 * len);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_names),
        cmocka_unit_test(test_changed_texts), cmocka_unit_test(test_scan_takes),
        cmocka_unit_test(test_scan_agrees),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
