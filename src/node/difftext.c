#include "node/difftext.h"

#include "base/base64.h"

#include <stdlib.h>
#include <string.h>

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

static void print_label(FILE *out, const struct cq_conf_peer *p)
{
    char id[CQ_KEY32_TEXT_LEN + 1];

    cq_base64_encode(p->id, sizeof(p->id), id);
    if (p->name[0] != '\0')
        fprintf(out, "%s (%s)", p->name, id);
    else
        fprintf(out, "%s", id);
}

static bool has_prefix(const struct cq_prefix *sorted, size_t num, const struct cq_prefix *p)
{
    return bsearch(p, sorted, num, sizeof(*sorted), compare_prefix) != NULL;
}

/* " +10.0.0.0/24" for each that `of` has and `without` has not. */
static void print_missing(FILE *out, char sign, const struct cq_conf_peer *of,
                          const struct cq_conf_peer *without)
{
    struct cq_prefix *sorted = sorted_prefixes(without);
    char text[CQ_PREFIX_TEXT_MAX];

    for (size_t i = 0; sorted != NULL && i < of->num_allowed_ips; i++)
        if (!has_prefix(sorted, without->num_allowed_ips, &of->allowed_ips[i]))
            fprintf(out, " %c%s", sign, cq_prefix_format(&of->allowed_ips[i], text));
    free(sorted);
}

static const char *endpoint_text(const struct cq_conf_peer *p, char out[CQ_CONF_ENDPOINT_TEXT_MAX])
{
    return p->endpoint.host != NULL ? cq_conf_endpoint_format(&p->endpoint, out) : "none";
}

static const char *keepalive_text(const struct cq_conf_peer *p, char out[16])
{
    snprintf(out, 16, "%u s", p->persistent_keepalive);
    return p->persistent_keepalive > 0 ? out : "off";
}

static void print_added(FILE *out, const struct cq_conf_peer *p)
{
    char text[CQ_CONF_ENDPOINT_TEXT_MAX];

    fprintf(out, "+ peer ");
    print_label(out, p);
    for (size_t i = 0; i < p->num_allowed_ips; i++)
        fprintf(out, "%s%s", i == 0 ? ": allowed IPs " : ", ",
                cq_prefix_format(&p->allowed_ips[i], text));
    if (p->endpoint.host != NULL)
        fprintf(out, "; endpoint %s", endpoint_text(p, text));
    fprintf(out, "\n");
}

static void print_changed(FILE *out, unsigned what, const struct cq_conf_peer *a,
                          const struct cq_conf_peer *b)
{
    char ta[CQ_CONF_ENDPOINT_TEXT_MAX], tb[CQ_CONF_ENDPOINT_TEXT_MAX];
    const char *sep = ": ";

    fprintf(out, "~ peer ");
    print_label(out, a);
    if ((what & CQ_DIFF_NAME) != 0) {
        fprintf(out, "%sname %s -> %s", sep, a->name[0] != '\0' ? a->name : "none",
                b->name[0] != '\0' ? b->name : "none");
        sep = "; ";
    }
    if ((what & CQ_DIFF_ALLOWED_IPS) != 0) {
        fprintf(out, "%sallowed IPs", sep);
        print_missing(out, '+', b, a);
        print_missing(out, '-', a, b);
        sep = "; ";
    }
    if ((what & CQ_DIFF_ENDPOINT) != 0) {
        fprintf(out, "%sendpoint %s -> %s", sep, endpoint_text(a, ta), endpoint_text(b, tb));
        sep = "; ";
    }
    if ((what & CQ_DIFF_KEEPALIVE) != 0) {
        fprintf(out, "%spersistent keepalive %s -> %s", sep, keepalive_text(a, ta),
                keepalive_text(b, tb));
        sep = "; ";
    }
    if ((what & CQ_DIFF_PSK) != 0) {
        bool stays = b->psk != NULL || b->psk_kept;
        fprintf(out, "%spre-shared key %s (its sessions end)", sep, stays ? "changed" : "removed");
        sep = "; ";
    }
    if ((what & CQ_DIFF_KEY) != 0) {
        fprintf(out, "%spublic key given", sep);
        sep = "; ";
    }
    if ((what & CQ_DIFF_FILES) != 0)
        fprintf(out, "%skey files", sep);
    fprintf(out, "\n");
}

static void print_addresses(FILE *out, char sign, const struct cq_conf *of,
                            const struct cq_conf *without)
{
    char text[CQ_IP_TEXT_MAX];

    for (size_t i = 0; i < of->num_addresses; i++) {
        const struct cq_conf_address *a = &of->addresses[i];
        bool found = false;
        for (size_t k = 0; k < without->num_addresses; k++)
            found = found || (cq_ip_equal(&a->host, &without->addresses[k].host) &&
                              a->prefix.bits == without->addresses[k].prefix.bits);
        if (!found)
            fprintf(out, "%c address %s/%u\n", sign, cq_ip_format(&a->host, text), a->prefix.bits);
    }
}

static void print_interface(FILE *out, unsigned what, const struct cq_conf *before,
                            const struct cq_conf *after)
{
    if ((what & CQ_DIFF_ADDRESSES) != 0) {
        print_addresses(out, '-', before, after);
        print_addresses(out, '+', after, before);
    }
    if ((what & CQ_DIFF_IDENTITY) != 0)
        fprintf(out, "~ interface: private key changed (new handshakes with all peers)\n");
    if ((what & CQ_DIFF_KEY_FILE) != 0)
        fprintf(out, "~ interface: the private key is read from %s\n",
                after->private_key_file != NULL ? after->private_key_file : "the file itself");
    if (before->rotate_secs != after->rotate_secs)
        fprintf(out, "~ interface: RotateSecs %u -> %u\n", before->rotate_secs, after->rotate_secs);
    else if ((what & CQ_DIFF_OPTIONS) != 0)
        fprintf(out, "~ interface: Suites, AnswerKeys or PushKeys\n");
    if ((what & CQ_DIFF_HOOKS) != 0)
        fprintf(out, "~ interface: hooks (those of the end; nothing is run now)\n");
}

void cq_difftext_print(FILE *out, const struct cq_diff *diff, const struct cq_conf *before,
                       const struct cq_conf *after)
{
    print_interface(out, diff->interface, before, after);
    for (size_t i = 0; i < diff->num_peers; i++) {
        const struct cq_diff_peer *p = &diff->peers[i];
        if (p->what == CQ_DIFF_REMOVED) {
            fprintf(out, "- peer ");
            print_label(out, &before->peers[p->before]);
            fprintf(out, "\n");
        } else if (p->what == CQ_DIFF_ADDED) {
            print_added(out, &after->peers[p->after]);
        } else if (p->what != 0) {
            print_changed(out, p->what, &before->peers[p->before], &after->peers[p->after]);
        }
    }
}
