#include "cli/topview.h"

#include "base/base64.h"
#include "cli/units.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE_BYTES = 512,
    FIRST_PEER_ROW = 5,
    MAX_REASONS = 4,
    CELL_BYTES = 24,
};

struct screen {
    FILE *out;
    struct cq_term_size size;
};

struct peer {
    const struct cq_node_peer_status *status;
    char name[CQ_CONF_LABEL_MAX];
    double rx, tx; /* bytes per second */
    uint64_t drops;
};

/* Text of one row from its first column, cut off at the width; nothing below the screen. */
__attribute__((format(printf, 4, 5))) static void
put_row(struct screen *s, int row, const char *style, const char *format, ...)
{
    char text[LINE_BYTES];
    va_list args;

    if (row < 1 || row > s->size.rows)
        return;
    va_start(args, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is, in the line above */
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    int len = n < 0 ? 0 : n < (int)sizeof(text) ? n : (int)sizeof(text) - 1;
    len = len < s->size.columns ? len : s->size.columns;
    for (int i = 0; i < len; i++) /* one column each, and no control sequences */
        if ((unsigned char)text[i] < ' ' || (unsigned char)text[i] >= 0x7f)
            text[i] = '?';
    fprintf(s->out, "\x1b[%d;1H\x1b[0m%s%.*s\x1b[0m", row, style, len, text);
    if (len < s->size.columns)
        fputs("\x1b[K", s->out);
}

static char *rate_text(double rate, char out[CELL_BYTES])
{
    char bytes[CQ_UNITS_TEXT_MAX];

    snprintf(out, CELL_BYTES, "%.12s", cq_units_bytes(rate > 0 ? (uint64_t)rate : 0, bytes));
    return out;
}

/* "59s", "12m05s", "3h20m", "7d02h" */
static char *time_text(uint64_t secs, char out[CELL_BYTES])
{
    unsigned n = secs < 864000000 ? (unsigned)secs : 863999999;

    if (n < 60)
        snprintf(out, CELL_BYTES, "%us", n);
    else if (n < 3600)
        snprintf(out, CELL_BYTES, "%um%02us", n / 60, n % 60);
    else if (n < 86400)
        snprintf(out, CELL_BYTES, "%uh%02um", n / 3600, n / 60 % 60);
    else
        snprintf(out, CELL_BYTES, "%ud%02uh", n / 86400, n / 3600 % 24);
    return out;
}

static double elapsed(const struct cq_top_sample *before, const struct cq_top_sample *now)
{
    return before != NULL && now->at > before->at
               ? (double)(now->at - before->at) / (double)CQ_NS_PER_S
               : 0;
}

static double rate_of(uint64_t before, uint64_t now, double secs)
{
    return secs > 0 && now > before ? (double)(now - before) / secs : 0;
}

static const struct cq_node_peer_status *find_peer(const struct cq_top_sample *sample, size_t hint,
                                                   const uint8_t id[CQ_PEER_ID_LEN])
{
    if (sample == NULL)
        return NULL;
    const struct cq_node_status *s = &sample->status;
    if (hint < s->num_peers && memcmp(s->peers[hint].id, id, CQ_PEER_ID_LEN) == 0)
        return &s->peers[hint];
    for (size_t i = 0; i < s->num_peers; i++)
        if (memcmp(s->peers[i].id, id, CQ_PEER_ID_LEN) == 0)
            return &s->peers[i];
    return NULL;
}

/* ---- peers ---- */

static int descending(double a, double b)
{
    return a > b ? -1 : a < b ? 1 : 0;
}

static int by_name(const void *pa, const void *pb)
{
    const struct peer *a = pa, *b = pb;

    return strcmp(a->name, b->name);
}

static int by_rx(const void *pa, const void *pb)
{
    const struct peer *a = pa, *b = pb;
    int order = descending(a->rx, b->rx);

    return order != 0 ? order : by_name(pa, pb);
}

static int by_tx(const void *pa, const void *pb)
{
    const struct peer *a = pa, *b = pb;
    int order = descending(a->tx, b->tx);

    return order != 0 ? order : by_name(pa, pb);
}

static double age_of(const struct peer *peer)
{
    return peer->status->has_session ? (double)peer->status->key_age_secs : -1;
}

static int by_age(const void *pa, const void *pb)
{
    int order = descending(age_of(pa), age_of(pb));

    return order != 0 ? order : by_name(pa, pb);
}

static int by_drops(const void *pa, const void *pb)
{
    const struct peer *a = pa, *b = pb;
    int order = descending((double)a->drops, (double)b->drops);

    return order != 0 ? order : by_name(pa, pb);
}

static const struct {
    const char *title;
    int (*compare)(const void *, const void *);
} sorts[] = {
    [CQ_TOP_NAME] = {"name", by_name},    [CQ_TOP_RX] = {"rx", by_rx},
    [CQ_TOP_TX] = {"tx", by_tx},          [CQ_TOP_AGE] = {"age", by_age},
    [CQ_TOP_DROPS] = {"drops", by_drops},
};

/* The peers to be shown, in order. */
static size_t list_peers(struct peer *out, const struct cq_top_view *view,
                         const struct cq_top_sample *before, const struct cq_top_sample *now)
{
    double secs = elapsed(before, now);
    size_t num = 0;

    for (size_t i = 0; i < now->status.num_peers; i++) {
        const struct cq_node_peer_status *status = &now->status.peers[i];
        const struct cq_node_peer_status *old = find_peer(before, i, status->id);
        struct peer *p = &out[num];
        *p = (struct peer){.status = status, .drops = status->failed + status->num_refused};
        if (status->name[0] != '\0')
            snprintf(p->name, sizeof(p->name), "%s", status->name);
        else
            cq_base64_encode(status->id, CQ_PEER_ID_LEN, p->name);
        if (old != NULL) {
            p->rx = rate_of(old->rx_bytes, status->rx_bytes, secs);
            p->tx = rate_of(old->tx_bytes, status->tx_bytes, secs);
        }
        num += strcasestr(p->name, view->filter) != NULL;
    }
    if (num > 0)
        qsort(out, num, sizeof(*out), sorts[view->sort].compare);
    return num;
}

static void put_peer(struct screen *s, int row, const struct peer *p)
{
    const struct cq_node_peer_status *status = p->status;
    char rx[CELL_BYTES], tx[CELL_BYTES], age[CELL_BYTES] = "-", next[CELL_BYTES] = "-",
                                         last[CELL_BYTES] = "never";

    if (status->has_session) {
        time_text(status->key_age_secs, age);
        if (status->rotate_in_secs > 0)
            time_text(status->rotate_in_secs, next);
        else
            snprintf(next, sizeof(next), "now");
    }
    if (status->latest_handshake != 0)
        time_text(status->latest_handshake_secs, last);
    put_row(s, row, "", "%-14.14s %11s %11s %7s %7s %7s %6" PRIu64 " %s", p->name,
            rate_text(p->rx, rx), rate_text(p->tx, tx), age, next, last, p->drops,
            status->endpoint[0] != '\0' ? status->endpoint : "-");
}

/* ---- the node ---- */

static void put_node(struct screen *s, const struct cq_top_view *view,
                     const struct cq_top_sample *before, const struct cq_top_sample *now)
{
    const struct cq_node_status *status = &now->status;
    char up[CELL_BYTES], usage[128] = "", memory[CQ_UNITS_TEXT_MAX];
    double secs = elapsed(before, now);
    size_t sessions = 0;

    for (size_t i = 0; i < status->num_peers; i++)
        sessions += status->peers[i].has_session;
    if (now->has_usage)
        snprintf(usage, sizeof(usage), "  cpu %.1f%%  memory %.20s",
                 before != NULL && before->has_usage && secs > 0
                     ? (double)(now->cpu - before->cpu) / (double)CQ_NS_PER_S / secs * 100
                     : 0.0,
                 cq_units_bytes(now->rss_bytes, memory));
    put_row(s, 1, "\x1b[1m", "%s  up %s  %zu peers, %zu with a session%s%s%s", status->interface,
            time_text(status->uptime_secs, up), status->num_peers, sessions, usage,
            status->under_load ? "  UNDER LOAD" : "", view->paused ? "  PAUSED" : "");
}

static void put_rates(struct screen *s, const struct cq_top_sample *before,
                      const struct cq_top_sample *now)
{
    double secs = elapsed(before, now), rx = 0, tx = 0;
    char rx_text[CELL_BYTES], tx_text[CELL_BYTES];

    for (size_t i = 0; i < now->status.num_peers; i++) {
        const struct cq_node_peer_status *p = &now->status.peers[i];
        const struct cq_node_peer_status *old = find_peer(before, i, p->id);
        rx += old != NULL ? rate_of(old->rx_bytes, p->rx_bytes, secs) : 0;
        tx += old != NULL ? rate_of(old->tx_bytes, p->tx_bytes, secs) : 0;
    }
    put_row(s, 2, "", "received %s/s  sent %s/s  handshakes pending %u", rate_text(rx, rx_text),
            rate_text(tx, tx_text), now->status.num_pending);
}

/* The reasons that grow, fastest first. */
static void put_drops(struct screen *s, const struct cq_top_sample *before,
                      const struct cq_top_sample *now)
{
    double rates[CQ_DROP_COUNT] = {0};
    double secs = elapsed(before, now);
    char text[LINE_BYTES] = "";
    size_t used = 0;

    for (int i = 0; before != NULL && i < CQ_DROP_COUNT; i++)
        rates[i] = rate_of(before->status.drops[i], now->status.drops[i], secs);
    for (int n = 0; n < MAX_REASONS; n++) {
        int most = 0;
        for (int i = 1; i < CQ_DROP_COUNT; i++)
            most = rates[i] > rates[most] ? i : most;
        if (rates[most] <= 0)
            break;
        int len = snprintf(text + used, sizeof(text) - used, "%s%s %.1f", n > 0 ? ", " : "",
                           cq_drop_name((enum cq_drop)most), rates[most]);
        used += len > 0 ? (size_t)len : 0;
        rates[most] = 0;
    }
    put_row(s, 3, "", "drops/s  %s", used > 0 ? text : "none");
}

static void put_help(struct screen *s)
{
    static const char *const lines[] = {
        "n r t a d   sort by name, rate received, rate sent, age of keys, drops",
        "/           show only peers with this in their name (Enter ends, Escape clears)",
        "p, blank    pause, and go on",
        "up, down    scroll, where there are more peers than lines; also page up and page down,",
        "            Home and End",
        "Tab         next interface",
        "h, ?        this help",
        "q           quit",
        "",
        "AGE: of the keys in use. NEXT: until they are rotated. LAST: since the latest handshake.",
        "DROPS: own handshakes that failed, and handshakes of the peer that were refused.",
        "Drops of all reasons are in `cryprq show NAME json`.",
    };
    int row = FIRST_PEER_ROW;

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        put_row(s, row++, "", "%s", lines[i]);
    while (row < s->size.rows)
        put_row(s, row++, "", "%s", "");
}

size_t cq_top_room(const struct cq_top_view *view)
{
    return view->size.rows > FIRST_PEER_ROW ? (size_t)(view->size.rows - FIRST_PEER_ROW) : 0;
}

static void put_peers(struct screen *s, const struct cq_top_view *view, const struct peer *peers,
                      size_t num)
{
    int row = FIRST_PEER_ROW;

    for (size_t i = view->first; i < num && row < s->size.rows; i++)
        put_peer(s, row++, &peers[i]);
    while (row < s->size.rows)
        put_row(s, row++, "", "%s", "");
}

static void put_footer(struct screen *s, const struct cq_top_view *view, size_t num)
{
    size_t room = cq_top_room(view);
    char position[64] = "";

    if (num > room && room > 0)
        snprintf(position, sizeof(position), "%zu-%zu of %zu  ", view->first + 1,
                 view->first + room, num);
    if (view->filtering)
        put_row(s, s->size.rows, "", "%sfilter: %s_", position, view->filter);
    else if (view->message != NULL)
        put_row(s, s->size.rows, "\x1b[1m", "%s", view->message);
    else
        put_row(s, s->size.rows, "",
                "%ssort: %s%s%s  [n r t a d] sort [/] filter [p]ause [h]elp [q]uit", position,
                sorts[view->sort].title, view->filter[0] != '\0' ? "  filter: " : "", view->filter);
}

char *cq_top_draw(struct cq_top_view *view, const struct cq_top_sample *before,
                  const struct cq_top_sample *now, size_t *out_len)
{
    struct peer *peers = calloc(now->status.num_peers + 1, sizeof(*peers));
    char *text = NULL;
    struct screen s = {.out = open_memstream(&text, out_len), .size = view->size};
    size_t num = 0;

    if (peers == NULL || s.out == NULL)
        goto out;
    num = list_peers(peers, view, before, now);
    size_t last = num > cq_top_room(view) ? num - cq_top_room(view) : 0;
    view->first = view->first < last ? view->first : last;
    put_node(&s, view, before, now);
    put_rates(&s, before, now);
    put_drops(&s, before, now);
    put_row(&s, FIRST_PEER_ROW - 1, "\x1b[7m", "%-14s %11s %11s %7s %7s %7s %6s %-*s", "NAME",
            "RX/s", "TX/s", "AGE", "NEXT", "LAST", "DROPS", s.size.columns, "ENDPOINT");
    if (view->help)
        put_help(&s);
    else
        put_peers(&s, view, peers, num);
    put_footer(&s, view, num);
out:
    if (s.out != NULL && fclose(s.out) != 0) {
        free(text);
        text = NULL;
    }
    free(peers);
    return text;
}
