/*
 * What the metrics server reads out of a request: the headers Host, Accept and Authorization, each
 * the same input; the escaping of what a label or a page shows; and the page of a peer that has the
 * input as its name.
 */
#include "node/metrics_page.h"
#include "node/metrics_request.h"
#include "node/metrics_text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void try_host(const char *text)
{
    static const struct cq_addr loopback = {.ip = {CQ_FAMILY_IPV4, {127, 0, 0, 1}}, .port = 9464};
    static const struct cq_addr any = {.ip = {.family = CQ_FAMILY_IPV6}, .port = 9464};

    /* Whatever is ours on a loopback address is so on all addresses, and begins like one of these.
     */
    if (cq_metrics_host_is_ours(text, &loopback)) {
        require(cq_metrics_host_is_ours(text, &any));
        require(strchr("lL1[", text[0]) != NULL && text[0] != '\0');
    }
}

static void try_escapes(const char *string)
{
    struct cq_text text = {0};

    cq_text_put_label(&text, string);
    for (size_t i = 0; i < text.len; i++) {
        require(text.data[i] != '\n' && text.data[i] != '"');
        if (text.data[i] == '\\')
            require(++i < text.len && strchr("\\\"n", text.data[i]) != NULL);
    }
    text.len = 0;
    cq_text_put_html(&text, string);
    for (size_t i = 0; i < text.len; i++)
        require(strchr("<>\"'", text.data[i]) == NULL);
    cq_text_free(&text);
}

static void count_marks(const struct cq_node_status *status, size_t out[4])
{
    static const char marks[] = "<>\"'";
    struct cq_text text = {0};

    memset(out, 0, 4 * sizeof(*out));
    cq_metrics_page(&text, status, true);
    for (size_t i = 0; i < text.len; i++)
        for (int m = 0; m < 4; m++)
            out[m] += text.data[i] == marks[m];
    cq_text_free(&text);
}

/* No text makes or ends an element or an attribute: the page has as many marks as one of plain
 * text. */
static void try_page(const char *string)
{
    struct cq_node_peer_status peer = {
        .name = "plain", .endpoint = "plain", .attempt.happened = true};
    struct cq_node_status status = {.interface = "plain", .peers = &peer, .num_peers = 1};
    size_t plain[4], found[4];

    if (string[0] == '\0')
        return;
    count_marks(&status, plain);
    strncpy(peer.name, string, sizeof(peer.name) - 1);
    strncpy(peer.endpoint, string, sizeof(peer.endpoint) - 1);
    strncpy(status.interface, string, sizeof(status.interface) - 1);
    count_marks(&status, found);
    require(memcmp(plain, found, sizeof(plain)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *text = malloc(len + 1);

    require(text != NULL);
    if (len > 0)
        memcpy(text, data, len);
    text[len] = '\0';
    try_host(text);
    (void)cq_metrics_wants_open_metrics(text);
    (void)cq_metrics_accepts_gzip(text);
    require(!cq_metrics_token_is_right(text, "not-in-the-corpus-0123456789"));
    try_escapes(text);
    try_page(text);
    free(text);
    return 0;
}
