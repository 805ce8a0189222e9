#include "os/udp.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>

/* One message and everything that its header points to. */
struct message {
    union {
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } to;
    struct iovec iov;
    _Alignas(
        struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo)) +
                                        CMSG_SPACE(sizeof(uint16_t)) + CMSG_SPACE(sizeof(int))];
};

static void put_control(struct msghdr *header, int level, int type, const void *value, size_t len)
{
    struct cmsghdr *c =
        (struct cmsghdr *)(void *)((uint8_t *)header->msg_control + header->msg_controllen);

    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(c), value, len);
    header->msg_controllen += CMSG_SPACE(len);
}

static bool is_link_local(const struct cq_ip *ip)
{
    return ip->family == CQ_FAMILY_IPV6 && ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
}

/* The address to leave from. The interface is left to routing, except where an address means
 * nothing without it. */
static void put_local(struct msghdr *header, const struct cq_route *route)
{
    if (route->local.family != route->remote.ip.family)
        return;
    if (route->local.family == CQ_FAMILY_IPV4) {
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, route->local.bytes, sizeof(info.ipi_spec_dst));
        put_control(header, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
    } else {
        struct in6_pktinfo info = {0};
        memcpy(&info.ipi6_addr, route->local.bytes, sizeof(info.ipi6_addr));
        if (is_link_local(&route->local))
            info.ipi6_ifindex = route->ifindex;
        put_control(header, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
    }
}

static void put_ecn(struct msghdr *header, uint8_t family, uint8_t ecn)
{
    int value = ecn;

    if (ecn == 0)
        return;
    if (family == CQ_FAMILY_IPV4)
        put_control(header, IPPROTO_IP, IP_TOS, &value, sizeof(value));
    else
        put_control(header, IPPROTO_IPV6, IPV6_TCLASS, &value, sizeof(value));
}

static void put_address(struct msghdr *header, struct message *m, const struct cq_addr *to)
{
    if (to->ip.family == CQ_FAMILY_IPV4) {
        m->to.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(to->port)};
        memcpy(&m->to.v4.sin_addr, to->ip.bytes, sizeof(m->to.v4.sin_addr));
        header->msg_namelen = sizeof(m->to.v4);
    } else {
        m->to.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(to->port)};
        memcpy(&m->to.v6.sin6_addr, to->ip.bytes, sizeof(m->to.v6.sin6_addr));
        m->to.v6.sin6_scope_id = to->scope_id;
        header->msg_namelen = sizeof(m->to.v6);
    }
    header->msg_name = &m->to;
}

enum { WITH_LOCAL = 1, WITH_SEGMENTS = 2 };

static void make_message(struct msghdr *header, struct message *m, const struct cq_udp_send *send,
                         unsigned with)
{
    *header = (struct msghdr){.msg_iov = &m->iov, .msg_iovlen = 1, .msg_control = m->control};
    m->iov = (struct iovec){(void *)(uintptr_t)send->data, send->len};
    memset(m->control, 0, sizeof(m->control));
    put_address(header, m, &send->route->remote);
    if (with & WITH_LOCAL)
        put_local(header, send->route);
    if ((with & WITH_SEGMENTS) && send->segment > 0 && send->segment < send->len)
        put_control(header, IPPROTO_UDP, UDP_SEGMENT, &send->segment, sizeof(send->segment));
    put_ecn(header, send->route->remote.ip.family, send->ecn);
    if (header->msg_controllen == 0)
        header->msg_control = NULL;
}

static int socket_of(const struct cq_udp *udp, const struct cq_route *route)
{
    return route->remote.ip.family == CQ_FAMILY_IPV4 ? udp->fd4 : udp->fd6;
}

static bool send_message(const struct cq_udp *udp, const struct cq_udp_send *send, unsigned with)
{
    struct msghdr header;
    struct message m;

    make_message(&header, &m, send, with);
    return sendmsg(socket_of(udp, send->route), &header, MSG_NOSIGNAL) >= 0;
}

/* Whether the error may mean that our own address of the route is no longer ours. */
static bool may_be_local_address(int error)
{
    return error == EINVAL || error == EADDRNOTAVAIL || error == ENETUNREACH ||
           error == EHOSTUNREACH || error == ENODEV;
}

static bool send_with_any_local(const struct cq_udp *udp, const struct cq_udp_send *send,
                                unsigned with)
{
    if (send_message(udp, send, with | WITH_LOCAL))
        return true;
    return may_be_local_address(errno) && send->route->local.family != CQ_FAMILY_NONE &&
           send_message(udp, send, with);
}

/* ---- destinations without GSO ---- */

static struct cq_addr *remembered(struct cq_udp_tx *tx, const struct cq_addr *to)
{
    uint32_t hash = to->port;

    for (size_t i = 0; i < sizeof(to->ip.bytes); i++)
        hash = hash * 31 + to->ip.bytes[i];
    return &tx->no_gso[hash % CQ_UDP_NO_GSO];
}

static bool may_segment(struct cq_udp_tx *tx, const struct cq_addr *to)
{
    return !tx->gso_off && !cq_addr_equal(remembered(tx, to), to);
}

static size_t num_datagrams(const struct cq_udp_send *send)
{
    if (send->segment == 0 || send->segment >= send->len)
        return 1;
    return (send->len + send->segment - 1) / send->segment;
}

/* Returns how many did not go. */
static size_t send_one_by_one(const struct cq_udp *udp, const struct cq_udp_send *send)
{
    size_t lost = 0;

    for (size_t at = 0; at < send->len; at += send->segment) {
        struct cq_udp_send one = *send;
        one.data += at;
        one.len = send->len - at < send->segment ? send->len - at : send->segment;
        one.segment = 0;
        if (!send_with_any_local(udp, &one, 0))
            lost++;
    }
    return lost;
}

/* A send that the kernel refused as it was, or that must not be made with GSO. */
static size_t send_carefully(const struct cq_udp *udp, struct cq_udp_tx *tx,
                             const struct cq_udp_send *send)
{
    size_t num = num_datagrams(send);

    if (num == 1)
        return send_with_any_local(udp, send, 0) ? 0 : 1;
    bool allowed = may_segment(tx, &send->route->remote);
    int error = 0;
    if (allowed) {
        if (send_with_any_local(udp, send, WITH_SEGMENTS))
            return 0;
        error = errno;
        if (error != EIO && error != EINVAL && error != EMSGSIZE)
            return num;
    }
    size_t lost = send_one_by_one(udp, send);
    /* Only where single ones pass is it GSO that this destination cannot take. */
    if (allowed && lost < num) {
        *remembered(tx, &send->route->remote) = send->route->remote;
        tx->num_fallbacks++;
        tx->fallback = send->route->remote;
        tx->fallback_error = error;
    }
    return lost;
}

/* Sends to one family in one call as far as nothing is refused; returns how many of the sends went.
 */
static size_t send_batch(const struct cq_udp *udp, const struct cq_udp_send *sends, size_t num)
{
    struct mmsghdr headers[CQ_UDP_MAX_SEND];
    struct message messages[CQ_UDP_MAX_SEND];

    if (num == 1)
        return send_message(udp, sends, WITH_LOCAL | WITH_SEGMENTS) ? 1 : 0;
    for (size_t i = 0; i < num; i++)
        make_message(&headers[i].msg_hdr, &messages[i], &sends[i], WITH_LOCAL | WITH_SEGMENTS);
    int n = sendmmsg(socket_of(udp, sends->route), headers, (unsigned)num, MSG_NOSIGNAL);
    return n > 0 ? (size_t)n : 0;
}

/* How many sends from the first on share a socket and may go as they are. */
static size_t count_alike(struct cq_udp_tx *tx, const struct cq_udp_send *sends, size_t num)
{
    size_t n = 0;

    while (n < num && sends[n].route->remote.ip.family == sends[0].route->remote.ip.family &&
           (num_datagrams(&sends[n]) == 1 || may_segment(tx, &sends[n].route->remote)))
        n++;
    return n;
}

size_t cq_udp_send(const struct cq_udp *udp, struct cq_udp_tx *tx, const struct cq_udp_send *sends,
                   size_t num)
{
    size_t lost = 0;
    size_t i = 0;

    assert(num <= CQ_UDP_MAX_SEND);
    while (i < num) {
        size_t alike = count_alike(tx, &sends[i], num - i);
        size_t sent = alike > 0 ? send_batch(udp, &sends[i], alike) : 0;
        i += sent;
        if (sent > 0)
            continue; /* what is left, if anything, fails again at the front and says why */
        /* Full socket buffer: what does not fit now is lost, and trying each in turn would only
         * cost more. */
        if (alike > 0 && (errno == EAGAIN || errno == ENOBUFS)) {
            for (size_t end = i + alike; i < end; i++)
                lost += num_datagrams(&sends[i]);
            continue;
        }
        lost += send_carefully(udp, tx, &sends[i]);
        i++;
    }
    tx->num_unsent += lost;
    return lost;
}

enum cq_err cq_udp_send_one(const struct cq_udp *udp, const struct cq_route *route,
                            const uint8_t *data, size_t len)
{
    struct cq_udp_send send = {.route = route, .data = data, .len = len};

    return send_with_any_local(udp, &send, 0) ? CQ_OK : CQ_ERR_IO;
}

enum cq_send_fault cq_udp_fault(int error)
{
    switch (error) {
    case EPERM:
    case EACCES:
        return CQ_SEND_FAULT_FORBIDDEN;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
        return CQ_SEND_FAULT_NO_ROUTE;
    case EMSGSIZE:
        return CQ_SEND_FAULT_TOO_BIG;
    default:
        return error == 0 ? CQ_SEND_FAULT_NONE : CQ_SEND_FAULT_OTHER;
    }
}
