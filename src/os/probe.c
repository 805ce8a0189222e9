#include "os/probe.h"

#include "os/clock.h"

#include <time.h> /* before linux/errqueue.h, which wants it */

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t put_address(union address *out, const struct cq_ip *ip, uint16_t port,
                             uint32_t scope_id)
{
    memset(out, 0, sizeof(*out));
    if (ip->family == CQ_FAMILY_IPV4) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(port);
        memcpy(&out->v4.sin_addr, ip->bytes, 4);
        return sizeof(out->v4);
    }
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(port);
    out->v6.sin6_scope_id = scope_id;
    memcpy(&out->v6.sin6_addr, ip->bytes, 16);
    return sizeof(out->v6);
}

static void get_address(const union address *a, struct cq_addr *out)
{
    *out = (struct cq_addr){0};
    if (a->any.sa_family == AF_INET) {
        out->ip.family = CQ_FAMILY_IPV4;
        memcpy(out->ip.bytes, &a->v4.sin_addr, 4);
        out->port = ntohs(a->v4.sin_port);
    } else if (a->any.sa_family == AF_INET6) {
        out->ip.family = CQ_FAMILY_IPV6;
        memcpy(out->ip.bytes, &a->v6.sin6_addr, 16);
        out->port = ntohs(a->v6.sin6_port);
        out->scope_id = a->v6.sin6_scope_id;
    }
}

static void set_option(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof(value));
}

enum cq_err cq_probe_open(struct cq_probe *probe, const struct cq_addr *to, uint32_t mark)
{
    bool v4 = to->ip.family == CQ_FAMILY_IPV4;
    int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    *probe = (struct cq_probe){.fd = fd, .to = *to};
    if (fd < 0)
        return CQ_ERR_IO;
    if (v4) {
        set_option(fd, IPPROTO_IP, IP_RECVERR, 1);
        set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
    } else {
        set_option(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
        set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO);
        set_option(fd, IPPROTO_IPV6, IPV6_DONTFRAG, 1);
    }
    if (mark == 0 || setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0)
        return CQ_OK;
    enum cq_err err = errno == EPERM ? CQ_ERR_PERM : CQ_ERR_IO;
    cq_probe_close(probe);
    return err;
}

void cq_probe_close(struct cq_probe *probe)
{
    if (probe->fd >= 0)
        close(probe->fd);
    probe->fd = -1;
}

static void note_report(struct cq_probe *probe, const struct cmsghdr *c)
{
    struct sock_extended_err report;

    if (!(c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) &&
        !(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
        return;
    memcpy(&report, CMSG_DATA(c), sizeof(report));
    probe->error = (int)report.ee_errno;
    probe->by_icmp = report.ee_origin != SO_EE_ORIGIN_LOCAL;
    if (report.ee_errno == EMSGSIZE)
        probe->path_mtu = report.ee_info;
}

/* Takes what the kernel has to report; whether there was anything. */
static bool take_reports(struct cq_probe *probe)
{
    bool any = false;

    for (;;) {
        _Alignas(struct cmsghdr) uint8_t control[512];
        uint8_t waste[64];
        struct iovec iov = {waste, sizeof(waste)};
        struct msghdr m = {.msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = control,
                           .msg_controllen = sizeof(control)};
        if (recvmsg(probe->fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
            return any;
        any = true;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c))
            note_report(probe, c);
    }
}

enum cq_err cq_probe_send(struct cq_probe *probe, const uint8_t *data, size_t len)
{
    union address to;
    socklen_t to_len = put_address(&to, &probe->to.ip, probe->to.port, probe->to.scope_id);

    if (sendto(probe->fd, data, len, MSG_NOSIGNAL, &to.any, to_len) >= 0)
        return CQ_OK;
    int error = errno;
    if (!take_reports(probe)) {
        probe->error = error;
        probe->by_icmp = false;
    }
    return CQ_ERR_IO;
}

static int poll_until(int fd, cq_time until)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    cq_time left = until - cq_clock_now();

    if (left < 0)
        left = 0;
    if (left > 3600 * CQ_NS_PER_S)
        left = 3600 * CQ_NS_PER_S;
    int n = poll(&p, 1, (int)((left + CQ_NS_PER_MS - 1) / CQ_NS_PER_MS));
    return n > 0 ? p.revents : 0;
}

enum cq_err cq_probe_receive(struct cq_probe *probe, uint8_t *out, size_t size, size_t *out_len,
                             struct cq_addr *out_from, cq_time until)
{
    do {
        int events = poll_until(probe->fd, until);
        if ((events & POLLERR) != 0 && take_reports(probe))
            return CQ_ERR_IO;
        if ((events & POLLIN) == 0)
            continue;
        union address from = {0};
        socklen_t from_len = sizeof(from);
        ssize_t n = recvfrom(probe->fd, out, size, MSG_DONTWAIT, &from.any, &from_len);
        if (n >= 0) {
            *out_len = (size_t)n;
            get_address(&from, out_from);
            return CQ_OK;
        }
    } while (cq_clock_now() < until);
    return CQ_ERR_EXPIRED;
}

/* ---- echo ---- */

enum { ECHO_LEN = 16 };

static uint16_t checksum(const uint8_t *p, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i + 1 < len; i += 2)
        sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* A socket that needs no privileges where the machine lets users have them, else a raw one. */
static int open_echo(bool v4)
{
    int family = v4 ? AF_INET : AF_INET6, protocol = v4 ? IPPROTO_ICMP : (int)IPPROTO_ICMPV6;
    int fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

    return fd >= 0 ? fd : socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
}

/* Whether data holds, behind an IPv4 header if there is one, the answer to our echo. */
static bool is_answer(const uint8_t *data, size_t len, const uint8_t *token, uint8_t type)
{
    for (size_t at = 0; at + ECHO_LEN <= len && at <= 60; at += 4)
        if (data[at] == type && memcmp(data + at + 8, token, 8) == 0)
            return true;
    return false;
}

static enum cq_err await_answer(int fd, const uint8_t *token, uint8_t type, cq_time until)
{
    uint8_t data[256];

    do {
        if (poll_until(fd, until) == 0)
            continue;
        ssize_t n = recv(fd, data, sizeof(data), MSG_DONTWAIT);
        if (n > 0 && is_answer(data, (size_t)n, token, type))
            return CQ_OK;
    } while (cq_clock_now() < until);
    return CQ_ERR_EXPIRED;
}

enum cq_err cq_probe_echo(const struct cq_ip *to, cq_time until, cq_time *out_took)
{
    bool v4 = to->family == CQ_FAMILY_IPV4;
    int fd = open_echo(v4);
    uint8_t message[ECHO_LEN] = {v4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST};
    cq_time start = cq_clock_now();
    union address address;
    socklen_t len = put_address(&address, to, 0, 0);

    if (fd < 0)
        return errno == EPERM || errno == EACCES ? CQ_ERR_PERM : CQ_ERR_IO;
    memcpy(message + 8, &start, sizeof(start));
    message[5] = (uint8_t)getpid();
    uint16_t sum = v4 ? checksum(message, sizeof(message)) : 0; /* the kernel's with IPv6 */
    message[2] = (uint8_t)(sum >> 8);
    message[3] = (uint8_t)sum;
    enum cq_err err = CQ_ERR_IO;
    if (sendto(fd, message, sizeof(message), MSG_NOSIGNAL, &address.any, len) >= 0)
        err = await_answer(fd, message + 8, v4 ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY, until);
    int saved = errno;
    *out_took = cq_clock_now() - start;
    close(fd);
    errno = saved;
    return err;
}
