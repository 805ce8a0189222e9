#include "conf/config.h"

#include "base/base64.h"
#include "conf/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A prefix with its owner, to be sorted so that whatever encloses a prefix stands before it. */
struct claim {
    const struct cq_conf_peer *peer;
    const struct cq_prefix *prefix;
    struct cq_conf_position position;
};

/* Peers of equal key stay in the order of the file. */
static int compare_order(const struct cq_conf_peer *a, const struct cq_conf_peer *b)
{
    return a < b ? -1 : a > b;
}

static int compare_id(const void *pa, const void *pb)
{
    const struct cq_conf_peer *a = *(const struct cq_conf_peer *const *)pa;
    const struct cq_conf_peer *b = *(const struct cq_conf_peer *const *)pb;
    int c = memcmp(a->id, b->id, sizeof(a->id));

    return c != 0 ? c : compare_order(a, b);
}

static int compare_name(const void *pa, const void *pb)
{
    const struct cq_conf_peer *a = *(const struct cq_conf_peer *const *)pa;
    const struct cq_conf_peer *b = *(const struct cq_conf_peer *const *)pb;
    int c = strcmp(a->name, b->name);

    return c != 0 ? c : compare_order(a, b);
}

static int compare_claim(const void *pa, const void *pb)
{
    const struct claim *a = pa;
    const struct claim *b = pb;

    if (a->prefix->ip.family != b->prefix->ip.family)
        return a->prefix->ip.family < b->prefix->ip.family ? -1 : 1;
    int c = memcmp(a->prefix->ip.bytes, b->prefix->ip.bytes, sizeof(a->prefix->ip.bytes));
    if (c != 0)
        return c;
    if (a->prefix->bits != b->prefix->bits)
        return a->prefix->bits < b->prefix->bits ? -1 : 1;
    return compare_order(a->peer, b->peer);
}

/* " (line 12)", or nothing where it did not come from a file. */
static const char *first_line(struct cq_conf_position position, char out[32])
{
    out[0] = '\0';
    if (position.line != 0)
        snprintf(out, 32, " (line %u)", position.line);
    return out;
}

static enum cq_err check_twins(const struct cq_conf_peer **peers, size_t num,
                               struct cq_conf_error *error)
{
    char label[CQ_CONF_LABEL_MAX], line[32];

    qsort(peers, num, sizeof(*peers), compare_id);
    for (size_t i = 1; i < num; i++) {
        if (memcmp(peers[i - 1]->id, peers[i]->id, sizeof(peers[i]->id)) != 0)
            continue;
        cq_base64_encode(peers[i]->id, sizeof(peers[i]->id), label);
        cq_conf_error_set(error, peers[i]->position, "two peers have the PeerID %s%s", label,
                          first_line(peers[i - 1]->position, line));
        return CQ_ERR_INVALID;
    }
    qsort(peers, num, sizeof(*peers), compare_name);
    for (size_t i = 1; i < num; i++) {
        if (peers[i]->name[0] == '\0' || strcmp(peers[i - 1]->name, peers[i]->name) != 0)
            continue;
        cq_conf_error_set(error, peers[i]->name_position, "two peers are called \"%s\"%s",
                          peers[i]->name, first_line(peers[i - 1]->name_position, line));
        return CQ_ERR_INVALID;
    }
    return CQ_OK;
}

static enum cq_err report_overlap(const struct claim *a, const struct claim *b,
                                  struct cq_conf_error *error)
{
    bool a_is_later = a->peer > b->peer;
    const struct claim *late = a_is_later ? a : b;
    const struct claim *early = a_is_later ? b : a;
    char late_text[CQ_PREFIX_TEXT_MAX], early_text[CQ_PREFIX_TEXT_MAX], line[32];
    char late_label[CQ_CONF_LABEL_MAX], early_label[CQ_CONF_LABEL_MAX];

    cq_conf_error_set(
        error, late->position, "AllowedIPs %s of peer \"%s\" overlaps %s of peer \"%s\"%s",
        cq_prefix_format(late->prefix, late_text), cq_conf_peer_label(late->peer, late_label),
        cq_prefix_format(early->prefix, early_text), cq_conf_peer_label(early->peer, early_label),
        first_line(early->position, line));
    return CQ_ERR_INVALID;
}

/*
 * Two prefixes are disjoint or nested, so after sorting a stack of those that enclose the present
 * one suffices. Its entries belong to one peer, else an overlap had been found when the inner one
 * was pushed.
 */
static enum cq_err check_nesting(const struct claim *claims, size_t num,
                                 struct cq_conf_error *error)
{
    const struct claim *stack[2 * 128 + 2];
    size_t depth = 0;

    for (size_t i = 0; i < num; i++) {
        while (depth > 0 && !cq_prefix_contains(stack[depth - 1]->prefix, &claims[i].prefix->ip))
            depth--;
        if (depth > 0 && stack[depth - 1]->peer != claims[i].peer)
            return report_overlap(stack[depth - 1], &claims[i], error);
        /* The same prefix twice at one peer is harmless, and must not deepen the stack. */
        if (depth == 0 || !cq_prefix_equal(stack[depth - 1]->prefix, claims[i].prefix))
            stack[depth++] = &claims[i];
    }
    return CQ_OK;
}

static enum cq_err check_overlaps(const struct cq_conf *conf, struct cq_conf_error *error)
{
    size_t num = 0, filled = 0;

    for (size_t i = 0; i < conf->num_peers; i++)
        num += conf->peers[i].num_allowed_ips;
    if (num == 0)
        return CQ_OK;
    struct claim *claims = calloc(num, sizeof(*claims));
    if (claims == NULL) {
        cq_conf_error_set(error, (struct cq_conf_position){0}, "out of memory");
        return CQ_ERR_NOMEM;
    }
    for (size_t i = 0; i < conf->num_peers; i++) {
        const struct cq_conf_peer *peer = &conf->peers[i];
        for (size_t j = 0; j < peer->num_allowed_ips; j++)
            claims[filled++] = (struct claim){
                .peer = peer,
                .prefix = &peer->allowed_ips[j],
                .position = peer->allowed_positions[j],
            };
    }
    qsort(claims, num, sizeof(*claims), compare_claim);
    enum cq_err err = check_nesting(claims, num, error);
    free(claims);
    return err;
}

enum cq_err cq_conf_check(const struct cq_conf *conf, struct cq_conf_error *error)
{
    char text[CQ_ADDR_TEXT_MAX];

    if (cq_conf_metrics_is_open(&conf->metrics)) {
        cq_conf_error_set(error, conf->metrics.addr_position,
                          "MetricsAddress %s can be reached from other machines and needs a "
                          "MetricsToken or MetricsTokenFile",
                          cq_addr_format(&conf->metrics.addr, text));
        return CQ_ERR_INVALID;
    }
    if (conf->num_peers == 0)
        return CQ_OK;
    const struct cq_conf_peer **peers = calloc(conf->num_peers, sizeof(*peers));
    if (peers == NULL) {
        cq_conf_error_set(error, (struct cq_conf_position){0}, "out of memory");
        return CQ_ERR_NOMEM;
    }
    for (size_t i = 0; i < conf->num_peers; i++)
        peers[i] = &conf->peers[i];
    enum cq_err err = check_twins(peers, conf->num_peers, error);
    free(peers);
    return err == CQ_OK ? check_overlaps(conf, error) : err;
}

enum cq_err cq_conf_check_own_id(const struct cq_conf *conf, const uint8_t id[CQ_PEER_ID_LEN],
                                 struct cq_conf_error *error)
{
    for (size_t i = 0; i < conf->num_peers; i++) {
        const struct cq_conf_peer *peer = &conf->peers[i];
        if (memcmp(peer->id, id, CQ_PEER_ID_LEN) != 0)
            continue;
        cq_conf_error_set(
            error, peer->position,
            "this peer has the ID of our own private key: a node is not its own peer");
        return CQ_ERR_INVALID;
    }
    return CQ_OK;
}
