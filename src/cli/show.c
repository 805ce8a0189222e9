#include "cli/show.h"

#include "base/base64.h"
#include "cli/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What surrounds a heading ("interface", "peer") and a key; empty without colour. */
struct style {
    const char *interface, *peer, *key, *end;
};

static const struct style plain = {"", "", "", ""};
static const struct style coloured = {"\x1b[32m\x1b[1m", "\x1b[33m\x1b[1m", "\x1b[1m", "\x1b[0m"};

static void print_key(const struct style *s, const char *key)
{
    printf("  %s%s%s: ", s->key, key, s->end);
}

static void print_line(const struct style *s, const char *key, const char *value)
{
    print_key(s, key);
    printf("%s\n", value);
}

static void print_prefixes(const struct cq_node_peer_status *p, const char *separator)
{
    char text[CQ_PREFIX_TEXT_MAX];

    if (p->num_allowed_ips == 0)
        printf("(none)");
    for (size_t i = 0; i < p->num_allowed_ips; i++)
        printf("%s%s", i > 0 ? separator : "", cq_prefix_format(&p->allowed_ips[i], text));
}

/* The offloads in one state, as a line of its own; nothing where there are none. */
static void print_offloads(const struct cq_node_status *status, const struct style *s,
                           const char *key, enum cq_offload_state state)
{
    const char *separator = "";

    for (int i = 0; i < CQ_OFFLOAD_COUNT; i++) {
        if (status->offloads[i] != state)
            continue;
        if (separator[0] == '\0')
            print_key(s, key);
        printf("%s%s", separator, cq_offload_name((enum cq_offload)i));
        separator = ", ";
    }
    if (separator[0] != '\0')
        printf("\n");
}

static void print_packet_path(const struct cq_node_status *status, const struct style *s)
{
    uint64_t destinations = status->offload_fallbacks[CQ_OFFLOAD_UDP_GSO];

    print_key(s, "workers");
    printf("%u\n", status->num_workers);
    if (status->aead[0] != '\0')
        print_line(s, "records by", status->aead);
    if (!status->has_offloads)
        return;
    print_offloads(status, s, "offloads", CQ_OFFLOAD_ON);
    print_offloads(status, s, "offloads switched off", CQ_OFFLOAD_SWITCHED_OFF);
    print_offloads(status, s, "offloads that the kernel lacks", CQ_OFFLOAD_UNAVAILABLE);
    print_offloads(status, s, "offloads given up", CQ_OFFLOAD_GIVEN_UP);
    if (destinations > 0) {
        print_key(s, "udp_gso given up for");
        printf("%" PRIu64 " destination%s\n", destinations, destinations == 1 ? "" : "s");
    }
}

static void print_interface(const struct cq_node_status *status, const struct style *s)
{
    char id[CQ_KEY32_TEXT_LEN + 1];

    cq_base64_encode(status->id, sizeof(status->id), id);
    printf("%sinterface%s: %s\n", s->interface, s->end, status->interface);
    print_line(s, "peer id", id);
    print_line(s, "private key", "(hidden)");
    print_key(s, "listening port");
    printf("%u\n", status->listen_port);
    if (status->fwmark != 0) {
        print_key(s, "fwmark");
        printf("0x%" PRIx32 "\n", status->fwmark);
    }
    print_key(s, "mtu");
    printf("%u\n", status->mtu);
    print_key(s, "rotation");
    printf("every %u seconds\n", status->rotate_secs);
    if (status->metrics_address[0] != '\0')
        print_line(s, "metrics", status->metrics_address);
    print_packet_path(status, s);
    if (status->under_load)
        print_line(s, "load", "too many handshakes: sources must prove themselves first");
}

static void print_handshake(const struct cq_node_peer_status *p, const struct style *s)
{
    char text[CQ_UNITS_TEXT_MAX];

    if (p->latest_handshake != 0) {
        print_line(s, "latest handshake", cq_units_ago(p->latest_handshake_secs, text));
        print_line(s, "handshake duration", cq_units_micros(p->handshake_duration_us, text));
    }
    if (p->has_session) {
        print_line(s, "suite", cq_conf_suite_name(p->suite));
        print_line(s, "age of keys", cq_units_duration(p->key_age_secs, text));
        print_key(s, "next rotation");
        if (p->rotate_in_secs > 0)
            printf("in %s\n", cq_units_duration(p->rotate_in_secs, text));
        else
            printf("with the next packet\n");
    }
    if (p->handshaking)
        print_line(s, "handshake", "in progress");
    if (!p->has_session && p->last_drop != CQ_DROP_NONE)
        print_line(s, "last problem", cq_drop_text(p->last_drop));
}

static void print_peer(const struct cq_node_peer_status *p, const struct style *s)
{
    char id[CQ_KEY32_TEXT_LEN + 1], rx[CQ_UNITS_TEXT_MAX], tx[CQ_UNITS_TEXT_MAX];

    cq_base64_encode(p->id, sizeof(p->id), id);
    printf("\n%speer%s: %s\n", s->peer, s->end, id);
    if (p->name[0] != '\0')
        print_line(s, "name", p->name);
    if (p->has_psk)
        print_line(s, "preshared key", "(hidden)");
    if (p->endpoint[0] != '\0')
        print_line(s, "endpoint", p->endpoint);
    print_key(s, "allowed ips");
    print_prefixes(p, ", ");
    printf("\n");
    print_handshake(p, s);
    if (p->has_session) {
        print_key(s, "path mtu");
        printf("%u\n", p->path_mtu);
    }
    if (p->rx_bytes != 0 || p->tx_bytes != 0) {
        print_key(s, "transfer");
        printf("%s received, %s sent\n", cq_units_bytes(p->rx_bytes, rx),
               cq_units_bytes(p->tx_bytes, tx));
    }
    if (p->persistent_keepalive != 0) {
        print_key(s, "persistent keepalive");
        printf("every %u second%s\n", p->persistent_keepalive,
               p->persistent_keepalive == 1 ? "" : "s");
    }
}

/* Latest handshake first; those without one last, in the order of the configuration. */
static int compare_peers(const void *pa, const void *pb)
{
    const struct cq_node_peer_status *a = pa, *b = pb;

    if ((a->latest_handshake == 0) != (b->latest_handshake == 0))
        return a->latest_handshake == 0 ? 1 : -1;
    if (a->latest_handshake != 0 && a->latest_handshake_secs != b->latest_handshake_secs)
        return a->latest_handshake_secs < b->latest_handshake_secs ? -1 : 1;
    return memcmp(a->id, b->id, sizeof(a->id));
}

void cq_show_text(struct cq_node_status *status, bool colour)
{
    const struct style *s = colour ? &coloured : &plain;

    print_interface(status, s);
    if (status->num_peers > 0)
        qsort(status->peers, status->num_peers, sizeof(*status->peers), compare_peers);
    for (size_t i = 0; i < status->num_peers; i++)
        print_peer(&status->peers[i], s);
}

static void dump_interface(const struct cq_node_status *status)
{
    char id[CQ_KEY32_TEXT_LEN + 1];

    cq_base64_encode(status->id, sizeof(status->id), id);
    printf("(hidden)\t%s\t%u\t", id, status->listen_port);
    if (status->fwmark != 0)
        printf("0x%" PRIx32, status->fwmark);
    else
        printf("off");
    printf("\t%u\t%u\n", status->mtu, status->rotate_secs);
}

/* The fields that `wg show dump` has, in its order. */
static void dump_peer_start(const struct cq_node_peer_status *p)
{
    char id[CQ_KEY32_TEXT_LEN + 1];

    cq_base64_encode(p->id, sizeof(p->id), id);
    printf("%s\t%s\t%s\t", id, p->has_psk ? "(hidden)" : "(none)",
           p->endpoint[0] != '\0' ? p->endpoint : "(none)");
    print_prefixes(p, ",");
    printf("\t%" PRId64 "\t%" PRIu64 "\t%" PRIu64 "\t", p->latest_handshake, p->rx_bytes,
           p->tx_bytes);
    if (p->persistent_keepalive != 0)
        printf("%u", p->persistent_keepalive);
    else
        printf("off");
}

static void dump_peer_rest(const struct cq_node_peer_status *p)
{
    printf("\t%s\t", p->name[0] != '\0' ? p->name : "(none)");
    if (!p->has_session) {
        printf("(none)\t(none)");
    } else {
        printf("%s\t", cq_conf_suite_name(p->suite));
        for (size_t i = 0; i < sizeof(p->session_id); i++)
            printf("%02x", p->session_id[i]);
    }
    printf("\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64
           "\t%" PRIu64 "\n",
           p->handshake_duration_us, p->key_age_secs, p->rotate_in_secs, p->initiated, p->responded,
           p->rotations, p->failed);
}

void cq_show_dump(const struct cq_node_status *status, bool with_name)
{
    if (with_name)
        printf("%s\t", status->interface);
    dump_interface(status);
    for (size_t i = 0; i < status->num_peers; i++) {
        if (with_name)
            printf("%s\t", status->interface);
        dump_peer_start(&status->peers[i]);
        dump_peer_rest(&status->peers[i]);
    }
}
