#include "node/metrics_page.h"

#include "base/base64.h"
#include "config.h"

const char cq_metrics_page_policy[] =
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

static void put_cell(struct cq_text *out, const char *text)
{
    cq_text_put(out, "<td>");
    cq_text_put_html(out, text);
    cq_text_put(out, "</td>");
}

static void put_number(struct cq_text *out, uint64_t n)
{
    cq_text_put(out, "<td>");
    cq_text_put_u64(out, n);
    cq_text_put(out, "</td>");
}

static uint64_t seconds_from(cq_time from, cq_time to)
{
    return to > from ? (uint64_t)((to - from) / CQ_NS_PER_S) : 0;
}

static void put_peer(struct cq_text *out, const struct cq_metrics_view *view, size_t i)
{
    const struct cq_peer_status *peer = &view->peers[i];
    char id[CQ_KEY32_TEXT_LEN + 1], endpoint[CQ_ADDR_TEXT_MAX] = "";

    cq_base64_encode(view->infos[i].id, sizeof(view->infos[i].id), id);
    if (peer->endpoint.ip.family != CQ_FAMILY_NONE)
        cq_addr_format(&peer->endpoint, endpoint);
    cq_text_put(out, "<tr>");
    put_cell(out, view->infos[i].name);
    put_cell(out, id);
    put_cell(out, endpoint);
    if (peer->has_session)
        put_number(out, seconds_from(peer->began, view->node->now));
    else
        put_cell(out, "");
    put_number(out, peer->path.rx_bytes);
    put_number(out, peer->path.tx_bytes);
    cq_text_put(out, "</tr>\n");
}

static void put_peers(struct cq_text *out, const struct cq_metrics_view *view)
{
    size_t num = view->num_peers < view->max_peers ? view->num_peers : view->max_peers;

    cq_text_put(out, "<table>\n<thead><tr><th>name</th><th>peer ID</th><th>endpoint</th>"
                     "<th>age of keys, s</th><th>received, bytes</th><th>sent, bytes</th></tr>"
                     "</thead>\n<tbody>\n");
    for (size_t i = 0; i < num; i++)
        put_peer(out, view, i);
    cq_text_put(out, "</tbody>\n</table>\n");
    if (num == view->num_peers)
        return;
    cq_text_put(out, "<p>and ");
    cq_text_put_u64(out, view->num_peers - num);
    cq_text_put(out, " more</p>\n");
}

void cq_metrics_page(struct cq_text *out, const struct cq_metrics_view *view)
{
    cq_text_put(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>");
    cq_text_put_html(out, view->interface);
    cq_text_put(out, " - CrypRQ</title></head>\n<body>\n<h1>");
    cq_text_put_html(out, view->interface);
    cq_text_put(out, "</h1>\n<p>CrypRQ " CQ_VERSION ", ");
    cq_text_put(out, view->ready ? "up" : "starting or ending");
    cq_text_put(out, ", running for ");
    cq_text_put_u64(out, seconds_from(view->node->started, view->node->now));
    cq_text_put(out, " s</p>\n<ul>\n"
                     "<li><a href=\"/metrics\">/metrics</a> for Prometheus</li>\n"
                     "<li><a href=\"/api/v1/status\">/api/v1/status</a>: the state as JSON</li>\n"
                     "<li><a href=\"/healthz\">/healthz</a>, <a href=\"/readyz\">/readyz</a></li>\n"
                     "</ul>\n");
    put_peers(out, view);
    cq_text_put(out, "</body>\n</html>\n");
}
