#include "base/base64.h"
#include "config.h"
#include "node/metrics_assets.h"
#include "node/metrics_page.h"
#include "node/metrics_render.h"
#include "node/metrics_request.h"
#include "node/metrics_text.h"
#include "node/snapshot.h"
#include "node/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- text ---- */

/* What was written, as a string until the next call. */
static const char *string_of(struct cq_text *text)
{
    static char *copy;

    assert_false(text->failed);
    free(copy);
    copy = calloc(1, text->len + 1);
    assert_non_null(copy);
    if (text->len > 0)
        memcpy(copy, text->data, text->len);
    cq_text_free(text);
    return copy;
}

static void test_numbers(void **state)
{
    static const struct {
        cq_time ns;
        const char *text;
    } seconds[] = {
        {0, "0"},
        {1, "0.000000001"},
        {100000, "0.0001"},
        {CQ_NS_PER_S, "1"},
        {300 * CQ_NS_PER_S + 50 * CQ_NS_PER_MS, "300.05"},
        {-1500 * CQ_NS_PER_MS, "-1.5"},
        {INT64_MAX, "9223372036.854775807"},
        {INT64_MIN, "-9223372036.854775808"},
    };
    static const struct {
        uint64_t n;
        const char *text;
    } numbers[] = {{0, "0"}, {9, "9"}, {10, "10"}, {UINT64_MAX, "18446744073709551615"}};
    struct cq_text text = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
        cq_text_put_seconds(&text, seconds[i].ns);
        assert_string_equal(string_of(&text), seconds[i].text);
    }
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        cq_text_put_u64(&text, numbers[i].n);
        assert_string_equal(string_of(&text), numbers[i].text);
    }
}

static void test_escaping(void **state)
{
    struct cq_text text = {0};

    (void)state;
    cq_text_put_label(&text, "a\\b\"c\nd'e<f>");
    assert_string_equal(string_of(&text), "a\\\\b\\\"c\\nd'e<f>");
    cq_text_put_label(&text, "");
    assert_string_equal(string_of(&text), "");
    cq_text_put_html(&text, "<a href=\"x\">'&'</a>");
    assert_string_equal(string_of(&text), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
}

static void test_growth(void **state)
{
    struct cq_text text = {0};
    static char block[1000];

    (void)state;
    memset(block, 'x', sizeof(block));
    for (int i = 0; i < 100; i++)
        cq_text_add(&text, block, sizeof(block));
    assert_int_equal(strspn(string_of(&text), "x"), 100 * sizeof(block));
}

/* ---- families ---- */

static void test_heads(void **state)
{
    static const struct {
        struct cq_metric metric;
        const char *classic, *open_metrics;
    } cases[] = {
        {{"a_bytes", CQ_METRIC_COUNTER, "bytes", "Help."},
         "# HELP a_bytes_total Help.\n# TYPE a_bytes_total counter\na_bytes_total 1\n",
         "# HELP a_bytes Help.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\na_bytes_total 1\n"},
        {{"b", CQ_METRIC_GAUGE, "", "Help."},
         "# HELP b Help.\n# TYPE b gauge\nb 1\n",
         "# HELP b Help.\n# TYPE b gauge\nb 1\n"},
        {{"c", CQ_METRIC_INFO, "", "Help."},
         "# HELP c_info Help.\n# TYPE c_info gauge\nc_info 1\n",
         "# HELP c Help.\n# TYPE c info\nc_info 1\n"},
    };
    struct cq_text text = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cq_metric_head(&text, false, &cases[i].metric);
        cq_metric_sample_u64(&text, &cases[i].metric, "", 1);
        assert_string_equal(string_of(&text), cases[i].classic);
        cq_metric_head(&text, true, &cases[i].metric);
        cq_metric_sample_u64(&text, &cases[i].metric, "", 1);
        assert_string_equal(string_of(&text), cases[i].open_metrics);
    }
}

static void test_histogram(void **state)
{
    static const struct cq_metric metric = {"d_seconds", CQ_METRIC_HISTOGRAM, "seconds", "Help."};
    static const char *const bounds[] = {"0.1", "1.0"};
    static const uint64_t counts[] = {2, 0, 3};
    struct cq_metric_histogram histogram = {bounds, counts, 2, "7.5"};
    struct cq_text text = {0};

    (void)state;
    cq_metric_histogram(&text, &metric, "x=\"y\"", &histogram);
    assert_string_equal(string_of(&text), "d_seconds_bucket{x=\"y\",le=\"0.1\"} 2\n"
                                          "d_seconds_bucket{x=\"y\",le=\"1.0\"} 2\n"
                                          "d_seconds_bucket{x=\"y\",le=\"+Inf\"} 5\n"
                                          "d_seconds_sum{x=\"y\"} 7.5\n"
                                          "d_seconds_count{x=\"y\"} 5\n");
    cq_metric_histogram(&text, &metric, "", &histogram);
    const char *all = string_of(&text);
    assert_non_null(strstr(all, "d_seconds_bucket{le=\"0.1\"} 2\n"));
    assert_non_null(strstr(all, "d_seconds_sum 7.5\n"));
}

static void test_durations(void **state)
{
    struct cq_snapshot_durations d = {0};

    (void)state;
    cq_snapshot_durations_add(&d, 0);
    cq_snapshot_durations_add(&d, 100 * 1000); /* a bound belongs to its bucket */
    cq_snapshot_durations_add(&d, 100 * 1000 + 1);
    cq_snapshot_durations_add(&d, 10 * CQ_NS_PER_S);
    cq_snapshot_durations_add(&d, 11 * CQ_NS_PER_S);
    assert_int_equal(d.counts[0], 2);
    assert_int_equal(d.counts[1], 1);
    assert_int_equal(d.counts[CQ_SNAPSHOT_DURATIONS - 1], 1);
    assert_int_equal(d.counts[CQ_SNAPSHOT_DURATIONS], 1);
    assert_int_equal(d.sum, 21 * CQ_NS_PER_S + 200 * 1000 + 1);
    for (int i = 1; i < CQ_SNAPSHOT_DURATIONS; i++)
        assert_true(cq_snapshot_durations[i] > cq_snapshot_durations[i - 1]);
}

/* ---- everything ---- */

enum { NUM_PEERS = 3 };

static struct {
    struct cq_snapshot_node node;
    struct cq_snapshot_info infos[NUM_PEERS];
    struct cq_peer_status peers[NUM_PEERS];
    struct cq_prefix prefixes[2];
    struct cq_metrics_view view;
} sample;

static void make_sample(void)
{
    memset(&sample, 0, sizeof(sample));
    sample.node.now = 1000 * CQ_NS_PER_S;
    sample.node.wall = 5000 * CQ_NS_PER_S;
    sample.node.started = 900 * CQ_NS_PER_S;
    sample.node.rotate_secs = 120;
    sample.node.counts.failed[CQ_DIAGNOSIS_NO_REPLY] = 2;
    sample.node.counts.failed[CQ_DIAGNOSIS_SEND_FAILED] = 1;
    sample.node.drops[CQ_DROP_BAD_TAG] = 7;
    sample.node.drops[CQ_DROP_REPLAYED_RECORD] = 5;
    for (int i = 0; i < NUM_PEERS; i++) {
        sample.infos[i].id[0] = (uint8_t)(i + 1);
        sample.peers[i].path.rx_bytes = 100 * (uint64_t)(i + 1);
        sample.peers[i].path.tx_bytes = 10 * (uint64_t)(i + 1);
        sample.peers[i].last_handshake = CQ_TIME_NEVER;
        sample.peers[i].num_sessions = 1;
    }
    sample.peers[1].refused = (struct cq_refusals){
        .drop = CQ_DROP_DECRYPT_FRESH, .num = 1, .last = sample.node.now - 600 * CQ_NS_PER_S};
    sample.peers[2].refused = (struct cq_refusals){
        .drop = CQ_DROP_PENDING_FULL, .num = 1, .last = sample.node.now - 601 * CQ_NS_PER_S};
    strcpy(sample.infos[0].name, "odd\"name");
    assert_int_equal(cq_prefix_parse("10.0.0.0/8", &sample.prefixes[0], NULL), CQ_OK);
    assert_int_equal(cq_prefix_parse("fd00::/64", &sample.prefixes[1], NULL), CQ_OK);
    sample.infos[0].num_prefixes = 2;
    sample.infos[1].first_prefix = sample.infos[2].first_prefix = 2;
    sample.peers[0].has_session = true;
    sample.peers[0].began = 940 * CQ_NS_PER_S;
    sample.peers[0].rotate_at = 990 * CQ_NS_PER_S; /* due */
    sample.peers[0].completed = 1;
    sample.peers[0].last_handshake = 940 * CQ_NS_PER_S;
    sample.view = (struct cq_metrics_view){.interface = "wan0",
                                           .ready = true,
                                           .node = &sample.node,
                                           .num_peers = NUM_PEERS,
                                           .infos = sample.infos,
                                           .prefixes = sample.prefixes,
                                           .peers = sample.peers,
                                           .max_peers = NUM_PEERS,
                                           .wireguard = true};
}

static const char *render(bool open_metrics)
{
    struct cq_text text = {0};

    cq_metrics_render(&text, &sample.view, open_metrics);
    return string_of(&text);
}

#define ID_1 "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static void expect_in(const char *text, const char *line)
{
    if (strstr(text, line) == NULL)
        fail_msg("no %s in:\n%s", line, text);
}

static void expect_not_in(const char *text, const char *line)
{
    if (strstr(text, line) != NULL)
        fail_msg("%s in:\n%s", line, text);
}

static void test_all_metrics(void **state)
{
    (void)state;
    make_sample();
    const char *text = render(false);
    for (int i = 1; i < CQ_DROP_COUNT; i++) {
        char line[96];
        snprintf(line, sizeof(line), "\ncryprq_drops_total{reason=\"%s\"} ",
                 cq_drop_name((enum cq_drop)i));
        expect_in(text, line);
    }
    expect_in(text, "\ncryprq_authentication_failures_total 7\n");
    expect_in(text, "\ncryprq_replays_rejected_total 5\n");
    expect_in(text, "\ncryprq_uptime_seconds 100\n");
    expect_in(text, "\ncryprq_rotation_period_seconds 120\n");
    expect_in(text, "\ncryprq_handshakes_total{role=\"initiator\",result=\"failure\"} 3\n");
    expect_in(text, "\ncryprq_handshake_failures_total{reason=\"no_reply\"} 2\n");
    expect_in(text, "\ncryprq_handshake_failures_total{reason=\"send_failed\"} 1\n");
    expect_in(text, "\ncryprq_handshake_failures_total{reason=\"bad_reply\"} 0\n");
    expect_in(text, "\ncryprq_refused_peers{reason=\"psk_mismatch\"} 1\n");
    expect_in(text, "\ncryprq_refused_peers{reason=\"refused\"} 0\n");
    expect_not_in(text, "reason=\"all_well\"");
    expect_in(text, "cryprq_bytes_total{interface=\"wan0\",peer=\"" ID_1
                    "\",name=\"odd\\\"name\",direction=\"rx\"} 100\n");
    expect_in(text, "cryprq_key_age_seconds{interface=\"wan0\",peer=\"" ID_1
                    "\",name=\"odd\\\"name\"} 60\n");
    expect_in(text, "cryprq_next_rotation_seconds{interface=\"wan0\",peer=\"" ID_1
                    "\",name=\"odd\\\"name\"} 0\n");
    expect_in(text, "wireguard_sent_bytes_total{interface=\"wan0\",public_key=\"" ID_1
                    "\",allowed_ips=\"10.0.0.0/8,fd00::/64\",friendly_name=\"odd\\\"name\"} 10\n");
    expect_in(text,
              "wireguard_latest_handshake_seconds{interface=\"wan0\",public_key=\"" ID_1
              "\",allowed_ips=\"10.0.0.0/8,fd00::/64\",friendly_name=\"odd\\\"name\"} 4940\n");
    expect_not_in(text, "\"other\"");
    expect_not_in(text, "# UNIT");
    expect_not_in(text, "# EOF");
    const char *open_metrics = render(true);
    expect_in(open_metrics, "\n# UNIT cryprq_bytes bytes\n");
    expect_in(open_metrics, "\n# TYPE cryprq_build info\n");
    assert_string_equal(open_metrics + strlen(open_metrics) - 6, "# EOF\n");
}

static void test_other_peers(void **state)
{
    (void)state;
    for (uint32_t max = 0; max < 2; max++) {
        make_sample();
        sample.view.max_peers = max;
        const char *text = render(false);
        char line[128];
        /* 100 + 200 + 300, less what has a label. */
        snprintf(line, sizeof(line),
                 "cryprq_bytes_total{interface=\"wan0\",peer=\"other\",name=\"\","
                 "direction=\"rx\"} %d\n",
                 max == 0 ? 600 : 500);
        expect_in(text, line);
        expect_in(text, max == 0 ? "name=\"\"} 3\n" : "name=\"\"} 2\n");
        expect_in(text, "wireguard_received_bytes_total{interface=\"wan0\",public_key=\"other\","
                        "allowed_ips=\"\",friendly_name=\"\"} ");
        expect_not_in(text, "cryprq_latest_handshake_timestamp_seconds{interface=\"wan0\","
                            "peer=\"other\"");
    }
    make_sample();
    sample.view.wireguard = false;
    expect_not_in(render(false), "wireguard_");
    sample.view.num_peers = 0;
    expect_in(render(true), "# TYPE cryprq_bytes counter\n");
}

/* Labels that are kept say the same as those made anew, also when what they are made of changed. */
static void test_kept_labels(void **state)
{
    struct cq_metrics_labels labels = {0};
    char *anew = NULL;

    (void)state;
    make_sample();
    for (int i = 0; i < 8; i++) {
        if (i == 1)
            sample.infos[1].id[5] = 7;
        else if (i == 2)
            strcpy(sample.infos[2].name, "later");
        else if (i == 3)
            sample.prefixes[1].bits = 65;
        else if (i == 4)
            sample.view.max_peers = 1;
        else if (i == 5)
            sample.view.wireguard = false;
        else if (i == 6)
            sample.view.interface = "wan1";
        else if (i == 7)
            sample.view.num_peers = 1;
        sample.view.labels = NULL;
        anew = strdup(render(false));
        sample.view.labels = &labels;
        for (int again = 0; again < 2; again++) {
            const char *made_for = labels.own.data;
            assert_string_equal(render(false), anew);
            assert_true(again == 0 || labels.own.data == made_for);
        }
        free(anew);
    }
    cq_metrics_labels_free(&labels);
}

/* ---- the page ---- */

static size_t count_of(const char *text, const char *part)
{
    size_t n = 0;

    for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part))
        n++;
    return n;
}

static const char *page_of(const struct cq_node_status *status, bool ready)
{
    struct cq_text text = {0};

    cq_metrics_page(&text, status, ready);
    return string_of(&text);
}

static void test_page(void **state)
{
    struct cq_node_peer_status peers[2] = {
        {.name = "far", .has_session = true, .rotate_in_secs = 60}, {.id = {1}}};
    struct cq_node_status status = {.interface = "wan0",
                                    .uptime_secs = 200,
                                    .time_ms = INT64_C(1700000000123),
                                    .drops = {[CQ_DROP_BAD_TAG] = 7},
                                    .processes = {{"node", 10, 7 << 20}},
                                    .num_processes = 1,
                                    .peers = peers,
                                    .num_peers = 2};

    (void)state;
    peers[0].rx_bytes = 1536;
    const char *page = page_of(&status, true);
    expect_in(page, "<title>wan0 - CrypRQ</title>");
    expect_in(page, "Running for 3 min; this is the state at 2023-11-14 22:13:20 UTC.");
    expect_in(page, "<p class=\"headline\">1 of 2 peers connected, none has trouble.</p>");
    expect_in(page, "<th scope=\"row\">far</th>");
    expect_in(page, "Connected; keys 0 s old, next rotation in 60 s.");
    expect_in(page, "<th scope=\"row\">" ID_1 "</th>"); /* which has no name */
    expect_in(page, "<td class=\"num\">1.5 KiB</td>");
    expect_in(page, "<code>bad_tag</code></th><td class=\"num\">7</td>");
    expect_in(page, "<dd>7.0 MiB</dd>");
    expect_not_in(page, "more:");
    expect_not_in(page, "{{");
    peers[1].refused = CQ_DROP_DECRYPT_FRESH;
    expect_in(page_of(&status, true), "1 of 2 peers has trouble.");
    expect_in(page_of(&status, false), "The interface is starting or ending.");
    status.num_peers = 1;
    status.drops[CQ_DROP_BAD_TAG] = 0;
    page = page_of(&status, true);
    expect_in(page, "Everything is connected.");
    expect_in(page, "Nothing was dropped.");
    status.num_peers = 0;
    expect_in(page_of(&status, true), "No peers are configured.");
}

/* Of many peers a bounded number is listed, and all are counted. */
static void test_page_of_many(void **state)
{
    enum { MANY = CQ_METRICS_PAGE_PEERS + 34 };
    static struct cq_node_peer_status peers[MANY];
    struct cq_node_status status = {.interface = "wan0", .peers = peers, .num_peers = MANY};

    (void)state;
    peers[MANY - 1].has_session = true;
    const char *page = page_of(&status, true);
    assert_int_equal(count_of(page, "<tr><th scope=\"row\">"), CQ_METRICS_PAGE_PEERS);
    expect_in(page, "and 34 more: <code>cryprq show wan0</code>");
    expect_in(page, "1 of 234 peers connected");
}

/* Whatever names are: they make no element, no attribute and no end of one. */
static void test_hostile_names(void **state)
{
    static const char *const names[] = {
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "'><svg/onload=a()>",
        "</table>",
        "&lt;b&gt;",
        "--><b>",
        "]]>",
        "</template><b>",
    };
    struct cq_node_peer_status peer = {.name = "plain"};
    struct cq_node_status status = {.interface = "wan0", .peers = &peer, .num_peers = 1};

    (void)state;
    size_t begins = count_of(page_of(&status, true), "<");
    size_t ends = count_of(page_of(&status, true), ">");
    size_t quotes = count_of(page_of(&status, true), "\"");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        strcpy(peer.name, names[i]);
        strcpy(peer.endpoint, names[i]);
        strcpy(status.interface, "<i>&\"'");
        const char *page = page_of(&status, true);
        assert_int_equal(count_of(page, "<"), begins);
        assert_int_equal(count_of(page, ">"), ends);
        assert_int_equal(count_of(page, "\""), quotes);
        expect_in(page, "<title>&lt;i&gt;&amp;&quot;&#39; - CrypRQ</title>");
    }
}

static void test_locked_page(void **state)
{
    struct cq_text text = {0};

    (void)state;
    cq_metrics_page_locked(&text);
    const char *page = string_of(&text);
    expect_in(page, "data-state=\"locked\"");
    expect_in(page, "assets/app.js");
    expect_not_in(page, "wan0");
    expect_not_in(page, CQ_VERSION);
}

static void test_assets(void **state)
{
    bool script = false;

    (void)state;
    for (size_t i = 0; i < cq_metrics_num_assets; i++) {
        const struct cq_metrics_asset *a = &cq_metrics_assets[i];
        assert_int_equal(strncmp(a->path, "/assets/", 8), 0);
        assert_true(a->plain.len > 0 && a->gzip.len > 18);
        assert_memory_equal(a->gzip.data, "\x1f\x8b\x08", 3);
        assert_int_equal(a->plain.etag[0], '"');
        assert_string_not_equal(a->plain.etag, a->gzip.etag);
        script = script || strcmp(a->path, "/assets/app.js") == 0;
    }
    assert_true(script);
}

/* Attempts are counted by the reason that the log tells, handshakes by role. */
static void test_noted_events(void **state)
{
    struct cq_source source = {.snapshot.fd = -1};
    struct cq_action action = {.event = {.event = CQ_EVENT_HANDSHAKE_FAILED,
                                         .diagnosis = CQ_DIAGNOSIS_NO_REPLY,
                                         .duration = CQ_NS_PER_MS}};

    (void)state;
    cq_source_note(&source, &action);
    action.event.diagnosis = CQ_DIAGNOSIS_BAD_REPLY;
    cq_source_note(&source, &action);
    cq_source_note(&source, &action);
    action.event.event = CQ_EVENT_HANDSHAKE_REFUSED; /* not ours: counted as a drop */
    cq_source_note(&source, &action);
    action.event.event = CQ_EVENT_KEY_ROTATION;
    action.event.role = CQ_ROLE_RESPONDER;
    cq_source_note(&source, &action);
    assert_int_equal(source.counts.failed[CQ_DIAGNOSIS_NO_REPLY], 1);
    assert_int_equal(source.counts.failed[CQ_DIAGNOSIS_BAD_REPLY], 2);
    assert_int_equal(source.counts.handshakes[CQ_ROLE_RESPONDER].counts[3], 1);
    assert_int_equal(source.counts.rotations[CQ_ROLE_RESPONDER].counts[3], 1);
    assert_int_equal(source.counts.rotations[CQ_ROLE_INITIATOR].sum, 0);
}

/* ---- the shared memory ---- */

static void test_snapshot(void **state)
{
    struct cq_conf conf;
    struct cq_conf_peer *peer;
    struct cq_snapshot monitor, server;
    struct cq_snapshot_node node = {.listen_port = 51820}, out;
    struct cq_peer_status peers[2];
    uint8_t id[CQ_PEER_ID_LEN] = {9};
    int fd;

    (void)state;
    cq_conf_init(&conf);
    strcpy(conf.interface, "wan0");
    for (int i = 0; i < 2; i++) {
        id[1] = (uint8_t)i;
        assert_int_equal(cq_conf_add_peer(&conf, id, &peer), CQ_OK);
        assert_int_equal(cq_prefix_parse(i == 0 ? "10.0.0.0/8" : "::/0", &sample.prefixes[0], NULL),
                         CQ_OK);
        assert_int_equal(
            cq_conf_add_allowed_ip(peer, &sample.prefixes[0], (struct cq_conf_position){0}), CQ_OK);
    }
    assert_int_equal(cq_snapshot_make(&monitor, &conf), CQ_OK);
    assert_int_equal(cq_snapshot_reader(&monitor, &fd), CQ_OK);
    assert_int_not_equal(ftruncate(monitor.fd, 0), 0);
    assert_int_equal(cq_snapshot_open(&server, dup(fd), 0, true), CQ_ERR_IO); /* only to be read */
    assert_int_equal(cq_snapshot_open(&server, fd, 0, false), CQ_OK);
    assert_int_equal(server.num_peers, 2);
    assert_int_equal(server.infos[1].id[1], 1);
    assert_int_equal(server.infos[1].first_prefix, 1);
    assert_int_equal(server.prefixes[1].bits, 0);
    assert_string_equal(cq_snapshot_interface(&server), "wan0");

    assert_false(cq_snapshot_is_ready(&server));
    cq_snapshot_set_ready(&monitor, true);
    assert_true(cq_snapshot_is_ready(&server));

    cq_snapshot_begin(&monitor);
    monitor.peers[1].failed = 3;
    uint64_t version = cq_snapshot_end(&monitor, &node);
    assert_int_equal(cq_snapshot_read(&server, version, &out, peers), CQ_OK);
    assert_int_equal(out.listen_port, 51820);
    assert_int_equal(peers[1].failed, 3);
    assert_int_equal(cq_snapshot_read(&server, version - 2, &out, peers), CQ_ERR_AGAIN);
    cq_snapshot_begin(&monitor);
    assert_int_equal(cq_snapshot_read(&server, version, &out, peers), CQ_ERR_AGAIN);
    assert_int_not_equal(cq_snapshot_end(&monitor, &node), version);
    cq_snapshot_close(&server);
    cq_snapshot_close(&monitor);
    cq_conf_free(&conf);
}

/* ---- requests ---- */

static void test_host(void **state)
{
    static const struct {
        const char *host, *bound;
        bool ours;
    } cases[] = {
        {"localhost", "127.0.0.1:9464", true},
        {"LocalHost:9464", "127.0.0.1:9464", true},
        {"localhost:1", "127.0.0.1:9464", true},
        {"127.0.0.1", "127.0.0.1:9464", true},
        {"127.0.0.1:9464", "127.0.0.1:9464", true},
        {"[::1]", "127.0.0.1:9464", true},
        {"[::1]:9464", "127.0.0.1:9464", true},
        {"192.0.2.1", "127.0.0.1:9464", false},
        {"192.0.2.1:9464", "192.0.2.1:9464", true},
        {"192.0.2.2:9464", "192.0.2.1:9464", false},
        {"192.0.2.2:9464", "0.0.0.0:9464", true},
        {"[2001:db8::1]", "[::]:9464", true},
        {"[2001:db8:0::1]:9464", "[2001:db8::1]:9464", true},
        {"evil.example", "127.0.0.1:9464", false},
        {"evil.example", "0.0.0.0:9464", false},
        {"localhost.evil.example", "127.0.0.1:9464", false},
        {"127.0.0.1.evil.example:9464", "127.0.0.1:9464", false},
        {"localhost:", "127.0.0.1:9464", false},
        {"localhost:99999999", "127.0.0.1:9464", false},
        {"localhost:80x", "127.0.0.1:9464", false},
        {"localhost ", "127.0.0.1:9464", false},
        {"[::1", "127.0.0.1:9464", false},
        {"[::1]x", "127.0.0.1:9464", false},
        {"::1", "127.0.0.1:9464", false},
        {"", "127.0.0.1:9464", false},
        {NULL, "127.0.0.1:9464", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cq_addr bound;
        assert_int_equal(cq_addr_parse(cases[i].bound, &bound), CQ_OK);
        if (cq_metrics_host_is_ours(cases[i].host, &bound) != cases[i].ours)
            fail_msg("case %zu: %s", i, cases[i].host != NULL ? cases[i].host : "none");
    }
}

static void test_accept(void **state)
{
    static const struct {
        const char *accept;
        bool open_metrics;
    } cases[] = {
        {NULL, false},
        {"", false},
        {"*/*", false},
        {"text/plain", false},
        {"application/openmetrics-text", true},
        {"Application/OpenMetrics-Text; version=1.0.0", true},
        {"application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;"
         "version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
         true},
        {"text/plain;version=0.0.4;q=0.5, application/openmetrics-text; q=0.25", false},
        {"application/openmetrics-text;q=0", false},
        {"application/openmetrics-text;q=0.000", false},
        {"application/openmetrics-textual", false},
        {"text/html, application/openmetrics-text;q=1.0 , text/plain;q=0.9", true},
        {",,;q=,", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (cq_metrics_wants_open_metrics(cases[i].accept) != cases[i].open_metrics)
            fail_msg("case %zu: %s", i, cases[i].accept != NULL ? cases[i].accept : "none");
}

static void test_encoding(void **state)
{
    static const struct {
        const char *accept;
        bool gzip;
    } cases[] = {
        {NULL, false},
        {"", false},
        {"gzip", true},
        {"gzip, br", true},
        {"br,GZIP;q=0.5", true},
        {"gzip;q=0", false},
        {"deflate, br", false},
        {"xgzip", false},
        {"gzipx", false},
        {"*", false},
        {"identity;q=1, gzip;q=0.0", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (cq_metrics_accepts_gzip(cases[i].accept) != cases[i].gzip)
            fail_msg("case %zu", i);
    assert_true(cq_metrics_has_etag("\"a\"", "\"a\""));
    assert_true(cq_metrics_has_etag("\"b\", W/\"a\"", "\"a\""));
    assert_true(cq_metrics_has_etag("*", "\"a\""));
    assert_false(cq_metrics_has_etag("\"ab\"", "\"a\""));
    assert_false(cq_metrics_has_etag(NULL, "\"a\""));
}

static void test_token(void **state)
{
    static const char token[] = "0123456789abcdef";
    static char longest[300];

    (void)state;
    assert_true(cq_metrics_token_is_right("Bearer 0123456789abcdef", token));
    assert_true(cq_metrics_token_is_right("bearer  0123456789abcdef", token));
    assert_false(cq_metrics_token_is_right(NULL, token));
    assert_false(cq_metrics_token_is_right("", token));
    assert_false(cq_metrics_token_is_right("Bearer ", token));
    assert_false(cq_metrics_token_is_right("Basic 0123456789abcdef", token));
    assert_false(cq_metrics_token_is_right("Bearer 0123456789abcdeF", token));
    assert_false(cq_metrics_token_is_right("Bearer 0123456789abcde", token));
    assert_false(cq_metrics_token_is_right("Bearer 0123456789abcdef0", token));
    memset(longest, 'a', sizeof(longest) - 1);
    memcpy(longest, "Bearer ", 7);
    assert_false(cq_metrics_token_is_right(longest, token));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),       cmocka_unit_test(test_escaping),
        cmocka_unit_test(test_growth),        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_histogram),     cmocka_unit_test(test_durations),
        cmocka_unit_test(test_all_metrics),   cmocka_unit_test(test_other_peers),
        cmocka_unit_test(test_kept_labels),   cmocka_unit_test(test_page),
        cmocka_unit_test(test_noted_events),  cmocka_unit_test(test_page_of_many),
        cmocka_unit_test(test_hostile_names), cmocka_unit_test(test_locked_page),
        cmocka_unit_test(test_assets),        cmocka_unit_test(test_encoding),
        cmocka_unit_test(test_snapshot),      cmocka_unit_test(test_host),
        cmocka_unit_test(test_accept),        cmocka_unit_test(test_token),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
