#include "cli/look.h"

#include "cli/contact.h"
#include "os/clock.h"
#include "os/netlink.h"
#include "os/resolve.h"
#include "proto/wire.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

enum {
    UNUSED_PORT = 33434, /* what traceroute uses: by custom nobody listens there */
    QUESTION_SECS = 3,
};

bool cq_look_name(struct cq_cli_findings *findings, const struct cq_conf_endpoint *endpoint,
                  struct cq_addr *out)
{
    static const struct cq_sandbox_user resolver = {CQ_SANDBOX_RESOLVER_ID, CQ_SANDBOX_RESOLVER_ID};
    char address[CQ_ADDR_TEXT_MAX];
    const char *reason = "no answer";
    struct cq_resolve resolve;
    cq_time start = cq_clock_now();

    if (endpoint->is_numeric) {
        *out = endpoint->addr;
        return true;
    }
    enum cq_err err = cq_resolve_start(&resolve, endpoint->host, endpoint->port,
                                       geteuid() == 0 ? &resolver : NULL);
    if (err == CQ_OK) /* it waits for the answer, or for the end of the child */
        err = cq_resolve_finish(&resolve, out, &reason);
    else
        reason = strerror(errno);
    if (err != CQ_OK) {
        cq_cli_check(findings, "name", false, 0, "%.253s: %s", endpoint->host, reason);
        cq_cli_conclude(findings, CQ_DIAGNOSIS_NAME_UNRESOLVED, "%.253s: %s", endpoint->host,
                        reason);
        return false;
    }
    cq_cli_check(findings, "name", true, (uint64_t)((cq_clock_now() - start) / 1000),
                 "%.253s is %s", endpoint->host, cq_addr_format(out, address));
    return true;
}

bool cq_look_route(struct cq_cli_findings *findings, const struct cq_addr *to, uint32_t mark)
{
    char address[CQ_IP_TEXT_MAX], name[IF_NAMESIZE] = "?", source[CQ_IP_TEXT_MAX] = "";
    struct cq_netlink *nl = NULL;
    struct cq_ip from;
    unsigned ifindex = 0;

    cq_ip_format(&to->ip, address);
    if (cq_netlink_open(&nl) != CQ_OK)
        return true; /* the datagrams themselves will tell */
    enum cq_err err = cq_netlink_route_get(nl, &to->ip, mark, &ifindex, &from);
    int error = errno;
    cq_netlink_close(nl);
    if (err != CQ_OK && (error == ENETUNREACH || error == EHOSTUNREACH || error == EACCES)) {
        cq_cli_check(findings, "route", false, 0, "%s: %s", address, strerror(error));
        cq_cli_conclude(findings, CQ_DIAGNOSIS_NO_ROUTE_TO_PEER, "%s: %s", address,
                        strerror(error));
        return false;
    }
    if (err != CQ_OK)
        return true;
    if (from.family != CQ_FAMILY_NONE)
        cq_ip_format(&from, source);
    cq_cli_check(findings, "route", true, 0, "%s over %s%s%s", address,
                 if_indextoname(ifindex, name) != NULL ? name : "?",
                 source[0] != '\0' ? " from " : "", source);
    return true;
}

/* Whether the machine says that nobody listens on the unused port, for a datagram of this size. */
static bool hears_refusal(const struct cq_addr *to, uint32_t mark, size_t len, unsigned *path_mtu)
{
    static const uint8_t zeros[CQ_HANDSHAKE_MSG_MAX];
    struct cq_addr unused = *to, from;
    struct cq_probe probe;
    uint8_t waste[64];
    size_t got;
    bool refused = false;

    unused.port = UNUSED_PORT;
    if (cq_probe_open(&probe, &unused, mark) != CQ_OK)
        return false;
    for (int i = 0; i < 2 && !refused; i++) {
        cq_time until = cq_clock_now() + 600 * CQ_NS_PER_MS;
        enum cq_err err = cq_probe_send(&probe, zeros, len);
        if (err == CQ_OK)
            err = cq_probe_receive(&probe, waste, sizeof(waste), &got, &from, until);
        refused = err == CQ_ERR_IO && probe.by_icmp && probe.error == ECONNREFUSED;
    }
    *path_mtu = probe.path_mtu;
    cq_probe_close(&probe);
    return refused;
}

enum cq_diagnosis cq_look_port(struct cq_cli_findings *findings, const struct cq_addr *to,
                               uint32_t mark)
{
    unsigned path_mtu = 0;

    if (to->port == UNUSED_PORT || !hears_refusal(to, mark, 1, &path_mtu)) {
        cq_cli_check(findings, "machine", true, 0, "no word from it by ICMP either");
        return cq_cli_conclude(findings, CQ_DIAGNOSIS_NO_ANSWER, "%s", "");
    }
    if (!hears_refusal(to, mark, CQ_HANDSHAKE_MSG_MAX, &path_mtu)) {
        cq_cli_check(findings, "machine", false, 0,
                     "it answers to a datagram of 1 byte by ICMP, but not to one of %d bytes",
                     CQ_HANDSHAKE_MSG_MAX);
        if (path_mtu > 0)
            return cq_cli_conclude(findings, CQ_DIAGNOSIS_MTU_TOO_SMALL, "the path MTU is %u",
                                   path_mtu);
        return cq_cli_conclude(findings, CQ_DIAGNOSIS_MTU_TOO_SMALL, "%s", "");
    }
    cq_cli_check(findings, "machine", true, 0,
                 "it can be reached: it answers for an unused port by ICMP, but not for port %u",
                 to->port);
    return cq_cli_conclude(findings, CQ_DIAGNOSIS_WRONG_PEER_ID, "%s", "");
}

static enum cq_diagnosis conclude_question(struct cq_cli_findings *findings,
                                           const struct cq_contact *contact,
                                           enum cq_diagnosis reason)
{
    struct cq_contact_view view;

    cq_contact_look(contact, &view);
    if (reason == CQ_DIAGNOSIS_SILENT_AFTER_COOKIE)
        return cq_cli_conclude(
            findings, CQ_DIAGNOSIS_MTU_TOO_SMALL,
            "its COOKIE of 64 bytes comes back, its public key of 1224 bytes does not");
    if (reason == CQ_DIAGNOSIS_MTU_TOO_SMALL && view.probe->path_mtu > 0)
        return cq_cli_conclude(findings, reason, "the path MTU is %u", view.probe->path_mtu);
    return cq_cli_conclude(findings, reason, "%s",
                           view.probe->error != 0 ? strerror(view.probe->error) : "");
}

enum cq_diagnosis cq_look_silence(struct cq_cli_findings *findings, struct cq_look *out,
                                  const struct cq_addr *to, uint32_t mark,
                                  const uint8_t peer_id[32])
{
    struct cq_contact *contact;
    char address[CQ_ADDR_TEXT_MAX];

    *out = (struct cq_look){0};
    cq_addr_format(to, address);
    enum cq_err err = cq_contact_new(&contact, peer_id, to, mark, NULL, NULL, NULL);
    if (err != CQ_OK) {
        cq_cli_check(findings, "question", false, 0, "cannot ask: %s",
                     err == CQ_ERR_PERM ? "needs root, because of FwMark"
                     : err == CQ_ERR_IO ? strerror(errno)
                                        : cq_err_text(err));
        return cq_cli_conclude(findings, CQ_DIAGNOSIS_NO_ANSWER, "%s", "");
    }
    out->key = cq_contact_key(contact, cq_clock_now() + QUESTION_SECS * CQ_NS_PER_S);
    struct cq_contact_view view;
    cq_contact_look(contact, &view);
    out->cookie = view.facts->num[CQ_STEP_COOKIE_RECEIVED] > 0;
    enum cq_diagnosis reason = out->key ? CQ_DIAGNOSIS_ALL_WELL : cq_contact_diagnosis(contact);
    if (out->cookie || out->key)
        cq_cli_check(findings, "question", out->key, 0, "%s knows itself by this Peer ID%s",
                     address, out->key ? "" : ", but its public key does not come");
    else
        cq_cli_check(findings, "question", false, 0, "%s does not tell the public key of this peer",
                     address);
    if (reason != CQ_DIAGNOSIS_ALL_WELL && reason != CQ_DIAGNOSIS_NO_ANSWER)
        conclude_question(findings, contact, reason);
    cq_contact_free(contact);
    return reason == CQ_DIAGNOSIS_NO_ANSWER ? cq_look_port(findings, to, mark) : findings->f.reason;
}
