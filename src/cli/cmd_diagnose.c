#include "base/base64.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/findings.h"
#include "cli/keys.h"
#include "cli/look.h"
#include "cli/units.h"
#include "os/clock.h"
#include "os/netlink.h"
#include "os/probe.h"
#include "os/unix.h"

#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * The way of a packet to the peer, in its order: interface, peer, endpoint, a fresh handshake by
 * the node itself, and only where that fails a look from outside; then the keys, and what goes
 * through the tunnel. The first thing that is wrong ends it.
 */

enum {
    TIMEOUT_MAX = 90,
    UNANSWERED_SECS = 7,      /* a peer that is well sends a record within 5 s */
    REFUSAL_LASTS_SECS = 600, /* an older refusal of the peer's handshakes explains nothing */
};

static const cq_time look_gap = 100 * CQ_NS_PER_MS;

struct diagnosis {
    const char *interface, *peer;
    unsigned timeout_secs;
    bool has_to;
    struct cq_ip to;
    struct cq_cli_findings findings;
    struct cq_node_status before, after;        /* owned */
    const struct cq_node_peer_status *was, *is; /* the peer in them */
    uint8_t id[CQ_PEER_ID_LEN];
};

static const struct cq_node_peer_status *find_id(const struct cq_node_status *status,
                                                 const uint8_t id[CQ_PEER_ID_LEN])
{
    for (size_t i = 0; i < status->num_peers; i++)
        if (memcmp(status->peers[i].id, id, CQ_PEER_ID_LEN) == 0)
            return &status->peers[i];
    return NULL;
}

static const struct cq_node_peer_status *find_peer(const struct cq_node_status *status,
                                                   const char *text)
{
    uint8_t id[CQ_PEER_ID_LEN];

    for (size_t i = 0; i < status->num_peers; i++)
        if (text[0] != '\0' && strcmp(status->peers[i].name, text) == 0)
            return &status->peers[i];
    if (cq_base64_decode(text, strlen(text), id, sizeof(id)) != CQ_OK)
        return NULL;
    return find_id(status, id);
}

/* ---- interface, peer, endpoint ---- */

/* False: it was concluded, or a message was written (*status says so). */
static bool look_at_node(struct diagnosis *d, int *status)
{
    char id[CQ_KEY32_TEXT_LEN + 1];
    enum cq_err err = cq_client_status(d->interface, &d->before);

    if (err == CQ_ERR_NOTFOUND) {
        cq_cli_check(&d->findings, "interface", false, 0, "%s does not run", d->interface);
        cq_cli_conclude(&d->findings, CQ_DIAGNOSIS_NOT_RUNNING, "%s", d->interface);
        return false;
    }
    if (err != CQ_OK) {
        *status = CQ_EXIT_FAILURE;
        return false;
    }
    cq_cli_check(&d->findings, "interface", true, 0, "%s runs, UDP port %u", d->interface,
                 d->before.listen_port);
    d->was = find_peer(&d->before, d->peer);
    if (d->was == NULL) {
        cq_base64_encode(d->before.id, sizeof(d->before.id), id);
        cq_cli_check(&d->findings, "peer", false, 0, "%.64s is none of %zu peers", d->peer,
                     d->before.num_peers);
        cq_cli_conclude(&d->findings, CQ_DIAGNOSIS_PEER_NOT_CONFIGURED, "%s",
                        strcmp(id, d->peer) == 0 ? "this is the interface's own peer ID" : "");
        return false;
    }
    memcpy(d->id, d->was->id, sizeof(d->id));
    cq_base64_encode(d->id, sizeof(d->id), d->findings.f.peer);
    cq_cli_check(&d->findings, "peer", true, 0, "%s%s%s", d->findings.f.peer,
                 d->was->name[0] != '\0' ? ", " : "", d->was->name);
    return true;
}

/* What we know of refusing the peer, where it calls. */
static bool conclude_refusal(struct diagnosis *d, const struct cq_node_peer_status *p)
{
    if (p->num_refused == 0 || p->refused_secs > REFUSAL_LASTS_SECS)
        return false;
    cq_cli_check(&d->findings, "refused", false, 0,
                 "%" PRIu64 " handshake%s of the peer here, the last %" PRIu64 " s ago: %s",
                 p->num_refused, p->num_refused == 1 ? "" : "s", p->refused_secs,
                 cq_drop_name(p->refused));
    cq_cli_conclude(&d->findings, cq_diagnosis_of_refusal(p->refused),
                    "%s; a pre-shared key is %sset here", cq_drop_text(p->refused),
                    p->has_psk ? "" : "not ");
    return true;
}

static void conclude_no_endpoint(struct diagnosis *d)
{
    const uint64_t *drops = d->before.drops;

    if (conclude_refusal(d, d->was))
        return;
    cq_cli_check(&d->findings, "endpoint", false, 0, "none is known");
    cq_cli_conclude(&d->findings, CQ_DIAGNOSIS_NO_ENDPOINT,
                    "of callers, since the start: %" PRIu64 " with a wrong Peer ID of ours "
                    "(bad_mac1), %" PRIu64 " not on our list (unknown_peer), %" PRIu64
                    " of another version (bad_version)",
                    drops[CQ_DROP_BAD_MAC1], drops[CQ_DROP_UNKNOWN_PEER],
                    drops[CQ_DROP_BAD_VERSION]);
}

static bool look_at_endpoint(struct diagnosis *d, struct cq_addr *out)
{
    struct cq_conf_endpoint endpoint = {0};
    const char *reason;

    if (d->was->endpoint[0] != '\0' && cq_addr_parse(d->was->endpoint, out) == CQ_OK) {
        cq_cli_check(&d->findings, "endpoint", true, 0, "%s%s%s", d->was->endpoint,
                     d->was->configured_endpoint != NULL ? ", configured as " : ", learned from it",
                     d->was->configured_endpoint != NULL ? d->was->configured_endpoint : "");
        return true;
    }
    if (d->was->configured_endpoint == NULL ||
        cq_conf_parse_endpoint(&endpoint, d->was->configured_endpoint, &reason) != CQ_OK) {
        conclude_no_endpoint(d);
        return false;
    }
    if (cq_look_name(&d->findings, &endpoint, out))
        cq_cli_conclude(&d->findings, CQ_DIAGNOSIS_NAME_UNRESOLVED,
                        "it resolves just now; the node asks again by itself within a minute");
    cq_conf_endpoint_free(&endpoint);
    return false;
}

/* ---- a handshake by the node ---- */

static bool refresh(struct diagnosis *d)
{
    cq_node_status_free(&d->after);
    d->is = NULL;
    if (cq_client_status(d->interface, &d->after) == CQ_OK)
        d->is = find_id(&d->after, d->id);
    return d->is != NULL;
}

/* Asks for fresh keys; the answer is not waited for. A descriptor to be closed, or -1. */
static int ask_for_handshake(const struct diagnosis *d)
{
    struct cq_control_request request = {.command = CQ_CONTROL_ROTATE, .has_peer = true};
    char line[CQ_CONTROL_REQUEST_MAX];
    size_t len;
    int fd;

    memcpy(request.peer, d->id, sizeof(request.peer));
    if (cq_control_request_encode(&request, line, sizeof(line), &len) != CQ_OK ||
        cq_unix_connect(d->interface, &fd) != CQ_OK)
        return -1;
    if (send(fd, line, len, MSG_NOSIGNAL) == (ssize_t)len)
        return fd;
    close(fd);
    return -1;
}

static bool has_new_session(const struct diagnosis *d)
{
    return d->is->initiated + d->is->responded > d->was->initiated + d->was->responded &&
           d->is->has_session &&
           (!d->was->has_session ||
            memcmp(d->is->session_id, d->was->session_id, sizeof(d->is->session_id)) != 0);
}

/* Something that no more waiting changes. */
static bool is_hopeless(const struct diagnosis *d)
{
    const uint16_t *num = d->is->attempt.num;

    return num[CQ_STEP_KEY_MISMATCH] > 0 || num[CQ_STEP_REPLY_REFUSED] > 2 ||
           (num[CQ_STEP_SEND_ERROR] > 2 && num[CQ_STEP_COOKIE_RECEIVED] == 0);
}

static bool shake_hands(struct diagnosis *d)
{
    cq_time until = cq_clock_now() + d->timeout_secs * CQ_NS_PER_S;
    int fd = ask_for_handshake(d);
    bool done = false;

    while (refresh(d)) {
        done = has_new_session(d);
        if (done || cq_clock_now() >= until || (d->is->handshaking && is_hopeless(d)))
            break;
        usleep((useconds_t)(look_gap / 1000));
    }
    if (fd >= 0)
        close(fd);
    return done;
}

/* "KEY_REQUEST 4, COOKIE 1, ..." in the words of the status. */
static void list_steps(const struct cq_attempt_facts *facts, char *out, size_t size)
{
    size_t used = 0;

    snprintf(out, size, "nothing was sent");
    for (int i = 0; i < CQ_STEP_COUNT && used < size; i++)
        if (facts->num[i] > 0) {
            int n = snprintf(out + used, size - used, "%s%s %u", used > 0 ? ", " : "",
                             cq_step_name((enum cq_step)i), facts->num[i]);
            used += n > 0 ? (size_t)n : 0;
        }
}

/* Nothing came back to the node: what is heard from outside its port? */
static void conclude_silence(struct diagnosis *d, const struct cq_addr *endpoint)
{
    const struct cq_attempt_facts *facts = &d->is->attempt;
    struct cq_look look;

    if (!cq_look_route(&d->findings, endpoint, d->before.fwmark))
        return;
    enum cq_diagnosis reason =
        cq_look_silence(&d->findings, &look, endpoint, d->before.fwmark, d->id);
    if (look.key && facts->num[CQ_STEP_INIT_SENT] > 0)
        cq_cli_conclude(&d->findings, CQ_DIAGNOSIS_NO_REPLY, "a pre-shared key is %sset here",
                        d->is->has_psk ? "" : "not ");
    else if (look.key)
        cq_cli_conclude(&d->findings, CQ_DIAGNOSIS_NO_ANSWER,
                        "a question from another port of this machine was answered: something "
                        "drops what comes back to port %u",
                        d->before.listen_port);
    else if (d->was->has_session &&
             (reason == CQ_DIAGNOSIS_NO_ANSWER || reason == CQ_DIAGNOSIS_WRONG_PEER_ID))
        cq_cli_conclude(&d->findings, CQ_DIAGNOSIS_PEER_SILENT,
                        "the keys are %" PRIu64 " s old, records have gone unanswered for %" PRIu64
                        " s",
                        d->is->key_age_secs, d->is->unanswered_secs);
    if (d->after.drops[CQ_DROP_BAD_VERSION] > d->before.drops[CQ_DROP_BAD_VERSION])
        cq_cli_conclude(&d->findings, CQ_DIAGNOSIS_VERSION_MISMATCH,
                        "%" PRIu64 " datagrams of another version came meanwhile",
                        d->after.drops[CQ_DROP_BAD_VERSION] - d->before.drops[CQ_DROP_BAD_VERSION]);
}

static void conclude_failure(struct diagnosis *d, const struct cq_addr *endpoint)
{
    const struct cq_attempt_facts *facts = &d->is->attempt;
    enum cq_diagnosis reason = cq_diagnosis_of_attempt(facts);
    char steps[CQ_FINDINGS_TEXT_MAX - 64];
    struct cq_look look;

    list_steps(facts, steps, sizeof(steps));
    cq_cli_check(&d->findings, "handshake", false, 0, "no session: %s", steps);
    if (conclude_refusal(d, d->is))
        return;
    switch (reason) {
    case CQ_DIAGNOSIS_NO_ANSWER:
        conclude_silence(d, endpoint);
        return;
    case CQ_DIAGNOSIS_NO_ROUTE_TO_PEER:
    case CQ_DIAGNOSIS_MTU_TOO_SMALL:
    case CQ_DIAGNOSIS_LOCAL_FIREWALL:
    case CQ_DIAGNOSIS_SEND_FAILED:
        if (!cq_look_route(&d->findings, endpoint, d->before.fwmark))
            return;
        cq_cli_conclude(&d->findings, reason, "the kernel's answer to the node: %s",
                        cq_send_fault_name((enum cq_send_fault)facts->send_fault));
        return;
    case CQ_DIAGNOSIS_SILENT_AFTER_COOKIE:
        cq_look_silence(&d->findings, &look, endpoint, d->before.fwmark, d->id);
        if (look.cookie && !look.key)
            return; /* too large for the way back */
        break;
    case CQ_DIAGNOSIS_NO_REPLY:
        cq_cli_conclude(&d->findings, reason, "a pre-shared key is %sset here",
                        d->is->has_psk ? "" : "not ");
        return;
    default:
        break;
    }
    cq_cli_conclude(&d->findings, reason, "%s", "");
}

/* ---- with keys ---- */

static bool look_at_session(struct diagnosis *d)
{
    cq_time until = cq_clock_now() + 3 * CQ_NS_PER_S;
    char address[CQ_ADDR_TEXT_MAX];

    cq_cli_check(&d->findings, "handshake", true, d->is->handshake_duration_us, "%s",
                 cq_conf_suite_name(d->is->suite));
    while (d->is->rx_bytes <= d->was->rx_bytes && cq_clock_now() < until) {
        usleep((useconds_t)(look_gap / 1000));
        if (!refresh(d))
            return false;
    }
    if (d->is->attempt.num[CQ_STEP_ANSWER_ELSEWHERE] > 0) {
        cq_addr_format(&d->is->attempt.elsewhere, address);
        cq_cli_check(&d->findings, "address", false, 0, "the answers come from %s", address);
        cq_cli_conclude(&d->findings, CQ_DIAGNOSIS_ANSWER_ELSEWHERE,
                        "%s was asked, the answers came from %s", d->was->endpoint, address);
        return false;
    }
    if (d->is->rx_bytes <= d->was->rx_bytes) {
        cq_cli_check(&d->findings, "records", false, 0, "none came under the new keys");
        cq_cli_conclude(&d->findings, CQ_DIAGNOSIS_SESSION_SILENT, "%s", "");
        return false;
    }
    cq_cli_check(&d->findings, "records", true, 0, "they come under the new keys%s",
                 d->was->has_session && d->was->unanswered_secs >= UNANSWERED_SECS
                     ? "; the old ones had gone unanswered: the other side had restarted, or the "
                       "way was broken"
                     : "");
    return true;
}

/* The peer to whom packets for the address go: the longest prefix. */
static const struct cq_node_peer_status *peer_of_address(const struct cq_node_status *status,
                                                         const struct cq_ip *ip)
{
    const struct cq_node_peer_status *found = NULL;
    int bits = -1;

    for (size_t i = 0; i < status->num_peers; i++)
        for (size_t k = 0; k < status->peers[i].num_allowed_ips; k++) {
            const struct cq_prefix *p = &status->peers[i].allowed_ips[k];
            if (cq_prefix_contains(p, ip) && p->bits > bits) {
                found = &status->peers[i];
                bits = p->bits;
            }
        }
    return found;
}

static bool look_at_coverage(struct diagnosis *d)
{
    const struct cq_node_peer_status *p = peer_of_address(&d->after, &d->to);
    char address[CQ_IP_TEXT_MAX], id[CQ_KEY32_TEXT_LEN + 1];

    cq_ip_format(&d->to, address);
    if (p == d->is) {
        cq_cli_check(&d->findings, "allowed ips", true, 0, "%s goes to this peer", address);
        return true;
    }
    if (p == NULL) {
        cq_cli_check(&d->findings, "allowed ips", false, 0, "%s goes to nobody", address);
        cq_cli_conclude(&d->findings, CQ_DIAGNOSIS_ADDRESS_NOT_COVERED, "%s", address);
        return false;
    }
    cq_base64_encode(p->id, sizeof(p->id), id);
    cq_cli_check(&d->findings, "allowed ips", false, 0, "%s goes to %s", address,
                 p->name[0] != '\0' ? p->name : id);
    cq_cli_conclude(&d->findings, CQ_DIAGNOSIS_ADDRESS_OF_OTHER_PEER, "%s belongs to %s", address,
                    p->name[0] != '\0' ? p->name : id);
    return false;
}

static bool look_at_inner_route(struct diagnosis *d)
{
    char address[CQ_IP_TEXT_MAX], name[IF_NAMESIZE] = "", source[CQ_IP_TEXT_MAX] = "?";
    struct cq_netlink *nl = NULL;
    unsigned ifindex = 0;
    struct cq_ip from = {0};

    if (cq_netlink_open(&nl) != CQ_OK)
        return true;
    enum cq_err err = cq_netlink_route_get(nl, &d->to, 0, &ifindex, &from);
    int error = errno;
    cq_netlink_close(nl);
    cq_ip_format(&d->to, address);
    if (from.family != CQ_FAMILY_NONE)
        cq_ip_format(&from, source);
    if (err == CQ_OK && ifindex == if_nametoindex(d->interface)) {
        cq_cli_check(&d->findings, "inner route", true, 0, "into %s, from %s", d->interface,
                     source);
        return true;
    }
    const char *way = err != CQ_OK                            ? strerror(error)
                      : if_indextoname(ifindex, name) != NULL ? name
                                                              : "another interface";
    cq_cli_check(&d->findings, "inner route", false, 0, "%s: %s", address, way);
    cq_cli_conclude(&d->findings, CQ_DIAGNOSIS_ROUTED_ELSEWHERE, "%s: %s", address, way);
    return false;
}

static uint64_t drops_grown(const struct diagnosis *d, enum cq_drop drop)
{
    return d->after.drops[drop] - d->before.drops[drop];
}

static bool look_at_sources(struct diagnosis *d)
{
    uint64_t grown = drops_grown(d, CQ_DROP_INNER_SOURCE);

    if (grown == 0)
        return true;
    cq_cli_check(&d->findings, "inner source", false, 0,
                 "%" PRIu64 " packet%s with a wrong source came meanwhile", grown,
                 grown == 1 ? "" : "s");
    cq_cli_conclude(&d->findings, CQ_DIAGNOSIS_INNER_SOURCE, "inner_source grew by %" PRIu64,
                    grown);
    return false;
}

/* An echo through the tunnel, thrice. */
static bool look_at_echo(struct diagnosis *d)
{
    char address[CQ_IP_TEXT_MAX];
    enum cq_err err = CQ_ERR_EXPIRED;
    cq_time took = 0;

    cq_ip_format(&d->to, address);
    for (int i = 0; i < 3 && err == CQ_ERR_EXPIRED; i++)
        err = cq_probe_echo(&d->to, cq_clock_now() + CQ_NS_PER_S, &took);
    if (err == CQ_OK) {
        cq_cli_check(&d->findings, "echo", true, (uint64_t)(took / 1000) + 1, "%s answers",
                     address);
        return true;
    }
    if (err == CQ_ERR_PERM) {
        cq_cli_check(&d->findings, "echo", true, 0, "not tried: needs root");
        return true;
    }
    cq_cli_check(&d->findings, "echo", false, 0, "%s: %s", address,
                 err == CQ_ERR_IO ? strerror(errno) : "no answer within 3 s");
    if (!refresh(d) || !look_at_sources(d))
        return false;
    cq_cli_conclude(&d->findings, CQ_DIAGNOSIS_NO_INNER_ANSWER, "%s", address);
    return false;
}

static bool look_inside(struct diagnosis *d)
{
    if (d->has_to &&
        !(look_at_coverage(d) && look_at_inner_route(d) && look_at_echo(d) && refresh(d)))
        return false;
    return look_at_sources(d);
}

static void conclude_well(struct diagnosis *d)
{
    char rx[CQ_UNITS_TEXT_MAX], tx[CQ_UNITS_TEXT_MAX], took[CQ_UNITS_TEXT_MAX];

    cq_cli_conclude(&d->findings, CQ_DIAGNOSIS_ALL_WELL,
                    "handshake in %s with %s, %s received and %s sent so far, %" PRIu64
                    " handshakes, %" PRIu64 " given up",
                    cq_units_micros(d->is->handshake_duration_us, took), d->is->endpoint,
                    cq_units_bytes(d->is->rx_bytes, rx), cq_units_bytes(d->is->tx_bytes, tx),
                    d->is->initiated + d->is->responded, d->is->failed);
}

static int diagnose(struct diagnosis *d)
{
    struct cq_addr endpoint;
    int status = CQ_EXIT_OK;

    if (!look_at_node(d, &status))
        return status == CQ_EXIT_OK ? cq_cli_print_findings(&d->findings) : status;
    if (look_at_endpoint(d, &endpoint)) {
        bool done = shake_hands(d);
        if (d->is == NULL)
            return cq_cli_fail("%s: the node ended meanwhile", d->interface);
        if (!done)
            conclude_failure(d, &endpoint);
        else if (look_at_session(d) && look_inside(d))
            conclude_well(d);
        if (d->is == NULL)
            return cq_cli_fail("%s: the node ended meanwhile", d->interface);
    }
    return cq_cli_print_findings(&d->findings);
}

/* ---- arguments ---- */

enum option { OPTION_TO, OPTION_TIMEOUT, OPTION_JSON };

static const struct cq_cli_option options[] = {
    [OPTION_TO] = {"to", true},
    [OPTION_TIMEOUT] = {"timeout", true},
    [OPTION_JSON] = {"json", false},
    {NULL, false},
};

static int take_option(struct diagnosis *d, int option, const char *value)
{
    char *end;

    switch ((enum option)option) {
    case OPTION_TO:
        d->has_to = true;
        if (cq_ip_parse(value, &d->to) != CQ_OK)
            return cq_cli_usage("diagnose", "--to is not an address like 10.9.0.1");
        break;
    case OPTION_TIMEOUT:
        d->timeout_secs = (unsigned)strtoul(value, &end, 10);
        if (value[0] < '0' || value[0] > '9' || *end != '\0' || d->timeout_secs < 1 ||
            d->timeout_secs > TIMEOUT_MAX)
            return cq_cli_usage("diagnose", "--timeout is not a number from 1 to %d", TIMEOUT_MAX);
        break;
    case OPTION_JSON:
        d->findings.json = true;
        break;
    }
    return CQ_EXIT_OK;
}

static int read_arguments(struct diagnosis *d, int argc, char **argv)
{
    struct cq_cli_args args = {.command = "diagnose", .argc = argc, .argv = argv, .at = 1};
    int option, status = CQ_EXIT_OK;

    while (status == CQ_EXIT_OK && (option = cq_cli_next(&args, options)) != CQ_CLI_END) {
        if (option == CQ_CLI_BAD)
            return CQ_EXIT_USAGE;
        if (option != CQ_CLI_ARGUMENT)
            status = take_option(d, option, args.value);
        else if (d->interface == NULL)
            d->interface = args.value;
        else if (d->peer == NULL)
            d->peer = args.value;
        else
            return cq_cli_usage("diagnose", "too many arguments");
    }
    if (status != CQ_EXIT_OK)
        return status;
    if (d->peer == NULL)
        return cq_cli_usage("diagnose", "too few arguments");
    if (!cq_conf_interface_is_valid(d->interface))
        return cq_cli_usage("diagnose", "%.40s is not an interface's name", d->interface);
    snprintf(d->findings.f.peer, sizeof(d->findings.f.peer), "%s", d->peer);
    return CQ_EXIT_OK;
}

static int run(int argc, char **argv)
{
    struct diagnosis *d = calloc(1, sizeof(*d));

    if (d == NULL)
        return cq_cli_fail("out of memory");
    d->timeout_secs = 10;
    d->findings.f.command = "diagnose";
    int status = read_arguments(d, argc, argv);
    if (status == CQ_EXIT_OK)
        status = cq_keys_init(CQ_KEYS_MEMORY_SMALL);
    if (status == CQ_EXIT_OK)
        status = diagnose(d);
    cq_node_status_free(&d->before);
    cq_node_status_free(&d->after);
    free(d);
    return status;
}

const struct cq_cli_command cq_cmd_diagnose = {
    .name = "diagnose",
    .arguments = "NAME PEER [--to ADDRESS] [--timeout S] [--json]",
    .summary = "Say why a peer cannot be reached, or that all is well",
    .help =
        "Walks the way to a peer (its name or ID) in its order and stops at the first thing that "
        "is wrong:\n"
        "interface, peer, endpoint, name, route, a fresh handshake, what the network says, "
        "records under the new\n"
        "keys, and with --to the allowed IPs, the route and an echo through the tunnel. Says what "
        "to do about it,\n"
        "and where the answer is on the other side, which counter there tells more.\n"
        "\n"
        "  --to ADDRESS   an address behind the peer\n"
        "  --timeout S    seconds to wait for the handshake, 1 to 90; 10 unless given\n"
        "  --json         one JSON object; its \"reason\" is a code\n"
        "\n"
        "A session that works goes on: the new keys take over from its own. Exit status: 0 all is "
        "well, 1 a problem\n"
        "was found, 2 wrong use.\n",
    .run = run,
};
