#include "node/metrics_page.h"

#include "base/base64.h"
#include "conf/words.h"
#include "config.h"
#include "node/metrics_assets.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

const char cq_metrics_page_policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

const char cq_metrics_page_permissions[] =
    "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), hid=(), "
    "magnetometer=(), microphone=(), midi=(), payment=(), publickey-credentials-get=(), serial=(), "
    "usb=(), xr-spatial-tracking=()";

enum { TEXT_MAX = 64 };

/* ---- pieces ---- */

/* Text that comes from outside goes through here and put_cell alone. */
static void put_element(struct cq_text *out, const char *begin, const char *text, const char *end)
{
    cq_text_put(out, begin);
    cq_text_put_html(out, text);
    cq_text_put(out, end);
}

static void put_cell(struct cq_text *out, const char *text)
{
    put_element(out, "<td>", text, "</td>");
}

static void put_number_cell(struct cq_text *out, const char *text)
{
    put_element(out, "<td class=\"num\">", text, "</td>");
}

/* "812 B", "1.2 MiB" */
static const char *bytes_text(uint64_t n, char out[TEXT_MAX])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)n / 1024;
    size_t unit = 0;

    if (n < 1024) {
        snprintf(out, TEXT_MAX, "%u B", (unsigned)n);
        return out;
    }
    while (value >= 1023.95 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1024;
        unit++;
    }
    snprintf(out, TEXT_MAX, "%.1f %s", value, units[unit]);
    return out;
}

static const char *time_text(int64_t time_ms, char out[TEXT_MAX])
{
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm tm;

    out[0] = '\0';
    if (gmtime_r(&seconds, &tm) != NULL)
        (void)strftime(out, TEXT_MAX, "%Y-%m-%d %H:%M:%S UTC", &tm);
    return out;
}

static void put_term(struct cq_text *out, const char *term, const char *text)
{
    put_element(out, "<div><dt>", term, "</dt>");
    put_element(out, "<dd>", text, "</dd></div>\n");
}

static void put_number_term(struct cq_text *out, const char *term, uint64_t n)
{
    char text[TEXT_MAX];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
    put_term(out, term, text);
}

/* ---- the node ---- */

struct counts {
    size_t states[CQ_LINK_STATES];
    uint64_t rx_bytes, tx_bytes;
};

static struct counts count(const struct cq_node_status *status)
{
    struct counts counts = {0};
    char words[CQ_WORDS_MAX];

    for (size_t i = 0; i < status->num_peers; i++) {
        const struct cq_node_peer_status *p = &status->peers[i];
        counts.states[cq_peer_words(words, p, status->interface)]++;
        counts.rx_bytes += p->rx_bytes;
        counts.tx_bytes += p->tx_bytes;
    }
    return counts;
}

/* The whole state in one sentence. */
static void put_headline(struct cq_text *out, const struct cq_node_status *status, bool ready,
                         const struct counts *counts)
{
    char text[128];
    size_t trouble = counts->states[CQ_LINK_TROUBLE];
    size_t connected = counts->states[CQ_LINK_CONNECTED];

    if (!ready)
        snprintf(text, sizeof(text), "The interface is starting or ending.");
    else if (status->num_peers == 0)
        snprintf(text, sizeof(text), "No peers are configured.");
    else if (trouble > 0)
        snprintf(text, sizeof(text), "%zu of %zu peer%s %s trouble.", trouble, status->num_peers,
                 status->num_peers == 1 ? "" : "s", trouble == 1 ? "has" : "have");
    else if (connected == status->num_peers)
        snprintf(text, sizeof(text), "Everything is connected.");
    else
        snprintf(text, sizeof(text), "%zu of %zu peer%s connected, none has trouble.", connected,
                 status->num_peers, status->num_peers == 1 ? "" : "s");
    put_element(out, "<p class=\"headline\">", text, "</p>\n");
}

static void put_node(struct cq_text *out, const struct cq_node_status *status,
                     const struct counts *counts)
{
    char id[CQ_KEY32_TEXT_LEN + 1], text[TEXT_MAX], span[CQ_SPAN_MAX];
    uint64_t handshakes = 0;

    for (int i = 0; i <= CQ_STATUS_DURATIONS; i++)
        handshakes += status->durations.counts[0][i] + status->durations.counts[1][i];
    cq_base64_encode(status->id, sizeof(status->id), id);
    cq_text_put(out,
                "<section class=\"card\" aria-labelledby=\"node\"><h2 id=\"node\">Interface</h2>\n"
                "<dl class=\"facts\">\n");
    put_term(out, "Peer ID", id);
    put_number_term(out, "UDP port", status->listen_port);
    put_number_term(out, "MTU", status->mtu);
    put_term(out, "No key is used for longer than", cq_words_span(status->rotate_secs, span));
    put_term(out, "Received", bytes_text(counts->rx_bytes, text));
    put_term(out, "Sent", bytes_text(counts->tx_bytes, text));
    put_number_term(out, "Handshakes", handshakes);
    put_number_term(out, "Keys erased", status->keys_erased);
    for (size_t i = 0; i < status->num_processes; i++)
        if (strcmp(status->processes[i].name, "node") == 0)
            put_term(out, "Memory", bytes_text(status->processes[i].resident_bytes, text));
    if (status->under_load)
        put_term(out, "Load", "too many handshakes: sources must prove themselves first");
    cq_text_put(out, "</dl></section>\n");
}

/* ---- tables ---- */

static void begin_table(struct cq_text *out, const char *id, const char *title, const char *head)
{
    put_element(out, "<section class=\"card\" aria-labelledby=\"", id, "\">");
    put_element(out, "<h2 id=\"", id, "\">");
    put_element(out, "", title, "</h2>\n");
    put_element(out, "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"", id,
                "\"><table>\n<thead><tr>");
    cq_text_put(out, head);
    cq_text_put(out, "</tr></thead>\n<tbody>\n");
}

static void end_table(struct cq_text *out)
{
    cq_text_put(out, "</tbody></table></div>\n");
}

/* What stands between backquotes is a command. */
static void put_words(struct cq_text *out, char *words)
{
    bool is_code = false;

    for (char *next = words; next != NULL; is_code = !is_code) {
        const char *part = strsep(&next, "`");
        put_element(out, is_code ? "<code>" : "", part, is_code ? "</code>" : "");
    }
}

static void put_peer(struct cq_text *out, const struct cq_node_peer_status *peer,
                     const char *interface)
{
    char id[CQ_KEY32_TEXT_LEN + 1], text[TEXT_MAX], words[CQ_WORDS_MAX];
    enum cq_link_state state = cq_peer_words(words, peer, interface);

    cq_base64_encode(peer->id, sizeof(peer->id), id);
    put_element(out, "<tr><th scope=\"row\">", peer->name[0] != '\0' ? peer->name : id, "</th>");
    put_element(out, "<td class=\"c-state\"><span class=\"dot ", cq_link_state_name(state),
                "\"></span>");
    put_words(out, words);
    cq_text_put(out, "</td>");
    put_number_cell(out, bytes_text(peer->rx_bytes, text));
    put_number_cell(out, bytes_text(peer->tx_bytes, text));
    put_cell(out, peer->endpoint[0] != '\0' ? peer->endpoint : "not known");
    put_element(out, "<td><code>", id, "</code></td></tr>\n");
}

static void put_peers(struct cq_text *out, const struct cq_node_status *status)
{
    size_t num = status->num_peers < CQ_METRICS_PAGE_PEERS ? status->num_peers
                                                           : (size_t)CQ_METRICS_PAGE_PEERS;

    begin_table(out, "all-peers", "Peers",
                "<th scope=\"col\">Name</th><th scope=\"col\">State</th>"
                "<th scope=\"col\" class=\"num\">Received</th><th scope=\"col\" class=\"num\">Sent"
                "</th><th scope=\"col\">Address</th><th scope=\"col\">Peer ID</th>");
    for (size_t i = 0; i < num; i++)
        put_peer(out, &status->peers[i], status->interface);
    end_table(out);
    if (num < status->num_peers) {
        cq_text_put(out, "<p>and ");
        cq_text_put_u64(out, status->num_peers - num);
        put_element(out, " more: <code>cryprq show ", status->interface,
                    "</code> has them all</p>\n");
    }
    cq_text_put(out, "</section>\n");
}

static void put_drops(struct cq_text *out, const struct cq_node_status *status)
{
    bool any = false;

    begin_table(out, "all-drops", "Dropped packets",
                "<th scope=\"col\">Reason</th><th scope=\"col\" class=\"num\">Packets</th>"
                "<th scope=\"col\">Meaning</th>");
    for (int i = CQ_DROP_NONE + 1; i < CQ_DROP_COUNT; i++) {
        char number[TEXT_MAX];
        if (status->drops[i] == 0)
            continue;
        any = true;
        snprintf(number, sizeof(number), "%llu", (unsigned long long)status->drops[i]);
        put_element(out, "<tr><th scope=\"row\"><code>", cq_drop_name((enum cq_drop)i),
                    "</code></th>");
        put_number_cell(out, number);
        put_cell(out, cq_drop_text((enum cq_drop)i));
        cq_text_put(out, "</tr>\n");
    }
    if (!any)
        cq_text_put(out, "<tr><td colspan=\"3\">Nothing was dropped.</td></tr>\n");
    end_table(out);
    cq_text_put(out, "</section>\n");
}

/* What the reasons of drops mean, for the scripts of the page. */
static void put_reasons(struct cq_text *out)
{
    cq_text_put(out, "<template id=\"reasons\"><dl>\n");
    for (int i = CQ_DROP_NONE + 1; i < CQ_DROP_COUNT; i++) {
        put_element(out, "<dt>", cq_drop_name((enum cq_drop)i), "</dt>");
        put_element(out, "<dd>", cq_drop_text((enum cq_drop)i), "</dd>\n");
    }
    cq_text_put(out, "</dl></template>\n");
}

/* ---- pages ---- */

static void put_footer(struct cq_text *out)
{
    cq_text_put(out, "<footer><p>CrypRQ " CQ_VERSION ". For programs: <a href=\"metrics\">metrics"
                     "</a>, <a href=\"api/v1/status\">status</a>.");
    for (size_t i = 0; i < cq_metrics_num_assets; i++)
        if (strcmp(cq_metrics_assets[i].path, "/assets/uplot-licence.txt") == 0)
            cq_text_put(out, " Charts: uPlot (<a href=\"assets/uplot-licence.txt\">licence</a>).");
    cq_text_put(out, "</p></footer>\n");
}

void cq_metrics_page(struct cq_text *out, const struct cq_node_status *status, bool ready)
{
    struct counts counts = count(status);
    char span[CQ_SPAN_MAX], text[TEXT_MAX];

    cq_text_put(out, cq_metrics_page_parts[CQ_METRICS_PAGE_BEFORE_TITLE]);
    cq_text_put_html(out, status->interface);
    cq_text_put(out, " - CrypRQ");
    cq_text_put(out, cq_metrics_page_parts[CQ_METRICS_PAGE_BEFORE_CONTENT]);
    put_element(out, "<div id=\"app\" data-state=\"open\">\n<header class=\"top\"><h1>",
                status->interface, "</h1>");
    put_element(out, "<p class=\"sub\">Running for ", cq_words_span(status->uptime_secs, span),
                "; ");
    put_element(out, "this is the state at ", time_text(status->time_ms, text),
                ". <a href=\"./\">Reload</a></p></header>\n<main>\n");
    put_headline(out, status, ready, &counts);
    put_peers(out, status);
    put_node(out, status, &counts);
    put_drops(out, status);
    cq_text_put(out, "</main>\n");
    put_footer(out);
    cq_text_put(out, "</div>\n");
    put_reasons(out);
    cq_text_put(out, cq_metrics_page_parts[CQ_METRICS_PAGE_END]);
}

void cq_metrics_page_locked(struct cq_text *out)
{
    cq_text_put(out, cq_metrics_page_parts[CQ_METRICS_PAGE_BEFORE_TITLE]);
    cq_text_put(out, "CrypRQ");
    cq_text_put(out, cq_metrics_page_parts[CQ_METRICS_PAGE_BEFORE_CONTENT]);
    cq_text_put(out,
                "<div id=\"app\" data-state=\"locked\">\n<main class=\"locked\">\n<h1>CrypRQ</h1>\n"
                "<noscript><p>This server wants a token with every request "
                "(<code>Authorization: Bearer TOKEN</code>), which a browser sends from a script "
                "alone. Without scripts: <code>cryprq show</code> on the machine itself, or "
                "<code>curl</code> with that header.</p></noscript>\n</main>\n</div>\n");
    put_reasons(out);
    cq_text_put(out, cq_metrics_page_parts[CQ_METRICS_PAGE_END]);
}
