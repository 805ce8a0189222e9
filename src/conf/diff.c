#include "conf/diff.h"

#include <stdlib.h>
#include <string.h>

/* ---- finding ---- */

static bool same_text(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

static bool same_list(const struct cq_conf_strings *a, const struct cq_conf_strings *b)
{
    if (a->num != b->num)
        return false;
    for (size_t i = 0; i < a->num; i++)
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    return true;
}

static bool same_endpoint(const struct cq_conf_endpoint *a, const struct cq_conf_endpoint *b)
{
    return same_text(a->host, b->host) && a->port == b->port;
}

static int compare_prefix(const void *pa, const void *pb)
{
    const struct cq_prefix *a = pa, *b = pb;

    if (a->ip.family != b->ip.family)
        return a->ip.family < b->ip.family ? -1 : 1;
    int c = memcmp(a->ip.bytes, b->ip.bytes, sizeof(a->ip.bytes));
    return c != 0 ? c : (int)a->bits - (int)b->bits;
}

/* A sorted copy; NULL: no memory (or none to sort). */
static struct cq_prefix *sorted_prefixes(const struct cq_conf_peer *p)
{
    size_t size = p->num_allowed_ips * sizeof(struct cq_prefix);
    struct cq_prefix *copy = malloc(size + 1);

    if (copy != NULL && size > 0) {
        memcpy(copy, p->allowed_ips, size);
        qsort(copy, p->num_allowed_ips, sizeof(*copy), compare_prefix);
    }
    return copy;
}

/* The same sets? Order and repetition do not matter. */
static enum cq_err compare_prefixes(const struct cq_conf_peer *a, const struct cq_conf_peer *b,
                                    bool *out_same)
{
    size_t num = a->num_allowed_ips, i = 0, k = 0;

    *out_same =
        num == b->num_allowed_ips &&
        (num == 0 || memcmp(a->allowed_ips, b->allowed_ips, num * sizeof(*a->allowed_ips)) == 0);
    if (*out_same)
        return CQ_OK;
    struct cq_prefix *pa = sorted_prefixes(a), *pb = sorted_prefixes(b);
    if (pa != NULL && pb != NULL) {
        while (i < num && k < b->num_allowed_ips && compare_prefix(&pa[i], &pb[k]) == 0) {
            const struct cq_prefix *here = &pa[i];
            while (i < num && compare_prefix(&pa[i], here) == 0)
                i++;
            while (k < b->num_allowed_ips && compare_prefix(&pb[k], here) == 0)
                k++;
        }
        *out_same = i == num && k == b->num_allowed_ips;
    }
    enum cq_err err = pa != NULL && pb != NULL ? CQ_OK : CQ_ERR_NOMEM;
    free(pa);
    free(pb);
    return err;
}

/* It may not have been read yet. */
static bool has_psk(const struct cq_conf_peer *p)
{
    return p->psk != NULL || p->psk_kept || p->psk_file != NULL;
}

static enum cq_err compare_peers(const struct cq_conf_peer *a, const struct cq_conf_peer *b,
                                 unsigned *out)
{
    bool same;
    enum cq_err err = compare_prefixes(a, b, &same);
    bool a_psk = has_psk(a), b_psk = has_psk(b);

    *out =
        (strcmp(a->name, b->name) != 0 ? CQ_DIFF_NAME : 0u) | (!same ? CQ_DIFF_ALLOWED_IPS : 0u) |
        (!same_endpoint(&a->endpoint, &b->endpoint) ? CQ_DIFF_ENDPOINT : 0u) |
        (a->persistent_keepalive != b->persistent_keepalive ? CQ_DIFF_KEEPALIVE : 0u) |
        (a_psk != b_psk ? CQ_DIFF_PSK : 0u) |
        (!same_text(a->psk_file, b->psk_file) || !same_text(a->public_key_file, b->public_key_file)
             ? CQ_DIFF_FILES
             : 0u);
    return err;
}

static bool same_addresses(const struct cq_conf *a, const struct cq_conf *b)
{
    if (a->num_addresses != b->num_addresses)
        return false;
    for (size_t i = 0; i < a->num_addresses; i++)
        if (!cq_ip_equal(&a->addresses[i].host, &b->addresses[i].host) ||
            a->addresses[i].prefix.bits != b->addresses[i].prefix.bits)
            return false;
    return true;
}

static unsigned compare_interfaces(const struct cq_conf *a, const struct cq_conf *b)
{
    bool options = a->rotate_secs == b->rotate_secs && a->suites == b->suites &&
                   a->preferred_suite == b->preferred_suite &&
                   a->answer_keys_on == b->answer_keys_on &&
                   a->answer_keys_off == b->answer_keys_off && a->push_keys_off == b->push_keys_off;
    bool hooks = same_list(&a->pre_up, &b->pre_up) && same_list(&a->post_up, &b->post_up) &&
                 same_list(&a->pre_down, &b->pre_down) && same_list(&a->post_down, &b->post_down);

    return (!same_addresses(a, b) ? CQ_DIFF_ADDRESSES : 0u) | (!options ? CQ_DIFF_OPTIONS : 0u) |
           (!hooks ? CQ_DIFF_HOOKS : 0u) |
           (!same_text(a->private_key_file, b->private_key_file) ? CQ_DIFF_KEY_FILE : 0u);
}

struct by_id {
    const uint8_t *id;
    int index;
};

static int compare_id(const void *pa, const void *pb)
{
    return memcmp(((const struct by_id *)pa)->id, ((const struct by_id *)pb)->id, CQ_PEER_ID_LEN);
}

static struct by_id *sort_by_id(const struct cq_conf *conf)
{
    struct by_id *list = malloc((conf->num_peers + 1) * sizeof(*list));

    for (size_t i = 0; list != NULL && i < conf->num_peers; i++)
        list[i] = (struct by_id){conf->peers[i].id, (int)i};
    if (list != NULL)
        qsort(list, conf->num_peers, sizeof(*list), compare_id);
    return list;
}

/* Pairs peers by ID: fills to_after and from (by index in `after`). */
static void pair(struct cq_diff *d, int *from, const struct by_id *a, size_t num_a,
                 const struct by_id *b, size_t num_b)
{
    size_t i = 0, k = 0;

    while (i < num_a || k < num_b) {
        int c = i == num_a ? 1 : k == num_b ? -1 : compare_id(&a[i], &b[k]);
        if (c < 0) {
            d->to_after[a[i++].index] = CQ_DIFF_NONE;
        } else if (c > 0) {
            from[b[k++].index] = CQ_DIFF_NONE;
        } else {
            d->to_after[a[i].index] = b[k].index;
            from[b[k++].index] = a[i++].index;
        }
    }
}

static enum cq_err list_peers(struct cq_diff *d, const int *from, const struct cq_conf *before,
                              const struct cq_conf *after)
{
    enum cq_err err = CQ_OK;

    for (size_t i = 0; i < before->num_peers; i++)
        if (d->to_after[i] == CQ_DIFF_NONE)
            d->peers[d->num_peers++] = (struct cq_diff_peer){(int)i, CQ_DIFF_NONE, CQ_DIFF_REMOVED};
    for (size_t i = 0; err == CQ_OK && i < after->num_peers; i++) {
        struct cq_diff_peer *p = &d->peers[d->num_peers++];
        *p = (struct cq_diff_peer){from[i], (int)i, CQ_DIFF_ADDED};
        if (from[i] != CQ_DIFF_NONE)
            err = compare_peers(&before->peers[from[i]], &after->peers[i], &p->what);
    }
    return err;
}

enum cq_err cq_diff_make(struct cq_diff *out, const struct cq_conf *before,
                         const struct cq_conf *after)
{
    size_t num = before->num_peers + after->num_peers + 1;
    struct by_id *a = sort_by_id(before), *b = sort_by_id(after);
    int *from = malloc(num * sizeof(*from));
    enum cq_err err = CQ_ERR_NOMEM;

    *out = (struct cq_diff){.interface = compare_interfaces(before, after),
                            .peers = malloc(num * sizeof(*out->peers)),
                            .to_after = malloc(num * sizeof(*out->to_after))};
    if (a != NULL && b != NULL && from != NULL && out->peers != NULL && out->to_after != NULL) {
        pair(out, from, a, before->num_peers, b, after->num_peers);
        err = list_peers(out, from, before, after);
    }
    free(a);
    free(b);
    free(from);
    if (err != CQ_OK)
        cq_diff_free(out);
    return err;
}

void cq_diff_free(struct cq_diff *diff)
{
    free(diff->peers);
    free(diff->to_after);
    *diff = (struct cq_diff){0};
}

bool cq_diff_is_empty(const struct cq_diff *diff)
{
    for (size_t i = 0; i < diff->num_peers; i++)
        if (diff->peers[i].what != 0)
            return false;
    return diff->interface == 0;
}

struct cq_diff_counts cq_diff_count(const struct cq_diff *diff)
{
    struct cq_diff_counts c = {0};

    for (size_t i = 0; i < diff->num_peers; i++) {
        unsigned what = diff->peers[i].what;
        c.added += what == CQ_DIFF_ADDED;
        c.removed += what == CQ_DIFF_REMOVED;
        c.changed += what != 0 && what != CQ_DIFF_ADDED && what != CQ_DIFF_REMOVED;
    }
    return c;
}

/* ---- what takes a restart ---- */

static const char *find_setting(const struct cq_conf_strings *list, const char *text)
{
    size_t key_len = strcspn(text, "=");

    for (size_t i = 0; i < list->num; i++)
        if (strncmp(list->items[i], text, key_len + 1) == 0)
            return list->items[i];
    return NULL;
}

enum cq_err cq_diff_check_settings(const struct cq_conf *before, const struct cq_conf *after,
                                   struct cq_conf_error *error)
{
    static const char how[] = "a running node cannot change this: cryprq down, then cryprq up";

    for (size_t i = 0; i < after->settings.num; i++) {
        const char *now = find_setting(&before->settings, after->settings.items[i]);
        if (now != NULL && strcmp(now, after->settings.items[i]) == 0)
            continue;
        cq_conf_error_set(error, after->setting_positions[i], "%s, but the node runs with%s%s: %s",
                          after->settings.items[i], now != NULL ? " " : "out it",
                          now != NULL ? now : "", how);
        return CQ_ERR_STATE;
    }
    for (size_t i = 0; i < before->settings.num; i++) {
        if (find_setting(&after->settings, before->settings.items[i]) != NULL)
            continue;
        cq_conf_error_set(error, (struct cq_conf_position){0}, "the node runs with %s: %s",
                          before->settings.items[i], how);
        return CQ_ERR_STATE;
    }
    return CQ_OK;
}
