#include "os/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SOCKET_BUFFER_BYTES = 8 * 1024 * 1024,
    PORT_TRIES = 64, /* until a port is found that is free in both families */
};

/* Options without which the sockets still work. */
static void set_optional(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof(value));
}

static bool set_required(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

static void set_buffers(int fd)
{
    int size = SOCKET_BUFFER_BYTES;

    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
        set_optional(fd, SOL_SOCKET, SO_RCVBUF, size);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) != 0)
        set_optional(fd, SOL_SOCKET, SO_SNDBUF, size);
}

static bool set_options(int fd, int family, const struct cq_udp_options *options)
{
    bool ok;

    set_buffers(fd);
    if (options->fwmark != 0 && !set_required(fd, SOL_SOCKET, SO_MARK, (int)options->fwmark))
        return false;
    if (family == AF_INET) {
        ok = set_required(fd, IPPROTO_IP, IP_PKTINFO, 1);
        set_optional(fd, IPPROTO_IP, IP_RECVTOS, 1);
        set_optional(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
    } else {
        ok = set_required(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) &&
             set_required(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
        set_optional(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
        set_optional(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
        set_optional(fd, IPPROTO_IPV6, IPV6_DONTFRAG, 1);
    }
    return ok;
}

/* Whether sockets of the same user may share the port from now on. */
static bool share_port(const struct cq_udp *udp)
{
    return (udp->fd4 < 0 || set_required(udp->fd4, SOL_SOCKET, SO_REUSEPORT, 1)) &&
           (udp->fd6 < 0 || set_required(udp->fd6, SOL_SOCKET, SO_REUSEPORT, 1));
}

static bool bind_any(int fd, int family, uint16_t port)
{
    struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    if (family == AF_INET)
        return bind(fd, (struct sockaddr *)&a4, sizeof(a4)) == 0;
    return bind(fd, (struct sockaddr *)&a6, sizeof(a6)) == 0;
}

/* A bound socket, or -1 with errno; errno EAFNOSUPPORT: the machine does not have the family. */
static int open_socket(int family, uint16_t port, const struct cq_udp_options *options)
{
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);

    if (fd < 0)
        return -1;
    if (set_options(fd, family, options) &&
        (!options->shared || set_required(fd, SOL_SOCKET, SO_REUSEPORT, 1)) &&
        bind_any(fd, family, port))
        return fd;
    int saved = errno;
    close(fd);
    /* IPv6 switched off for all interfaces: the unspecified address cannot be bound. */
    errno = family == AF_INET6 && saved == EADDRNOTAVAIL ? EAFNOSUPPORT : saved;
    return -1;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage a = {0};
    socklen_t len = sizeof(a);

    if (getsockname(fd, (struct sockaddr *)&a, &len) != 0)
        return 0;
    if (a.ss_family == AF_INET)
        return ntohs(((struct sockaddr_in *)&a)->sin_port);
    return ntohs(((struct sockaddr_in6 *)&a)->sin6_port);
}

/* Without it every datagram comes by itself. */
static void switch_gro_on(struct cq_udp *udp)
{
    udp->gro = (udp->fd4 < 0 || set_required(udp->fd4, IPPROTO_UDP, UDP_GRO, 1)) &&
               (udp->fd6 < 0 || set_required(udp->fd6, IPPROTO_UDP, UDP_GRO, 1));
}

static bool open_both(struct cq_udp *udp, const struct cq_udp_options *options)
{
    *udp = (struct cq_udp){.fd4 = -1, .fd6 = -1, .port = options->port};
    udp->fd6 = open_socket(AF_INET6, options->port, options);
    if (udp->fd6 < 0 && errno != EAFNOSUPPORT)
        return false;
    if (udp->fd6 >= 0)
        udp->port = bound_port(udp->fd6);
    udp->fd4 = open_socket(AF_INET, udp->port, options);
    if (udp->fd4 < 0 && (errno != EAFNOSUPPORT || udp->fd6 < 0)) {
        int saved = errno;
        cq_udp_close(udp);
        errno = saved;
        return false;
    }
    if (udp->port == 0)
        udp->port = bound_port(udp->fd4);
    if (!options->no_gro)
        switch_gro_on(udp);
    return true;
}

enum cq_err cq_udp_open(struct cq_udp *udp, const struct cq_udp_options *options)
{
    for (int i = 0; i < PORT_TRIES; i++) {
        if (open_both(udp, options))
            return CQ_OK;
        if (errno != EADDRINUSE || options->port != 0)
            break;
    }
    if (errno == EADDRINUSE)
        return CQ_ERR_EXISTS;
    return errno == EPERM || errno == EACCES ? CQ_ERR_PERM : CQ_ERR_IO;
}

enum cq_err cq_udp_open_group(struct cq_udp *udps, size_t num,
                              const struct cq_udp_options *options)
{
    struct cq_udp_options more = *options;
    size_t opened = 0;

    /* The first one is bound for itself alone, so that a port in use is noticed, and shared
     * afterwards. */
    more.shared = false;
    enum cq_err err = cq_udp_open(&udps[0], &more);
    if (err != CQ_OK || num == 1)
        return err;
    more.port = udps[0].port;
    more.shared = true;
    if (!share_port(&udps[0]))
        err = CQ_ERR_IO;
    for (opened = 1; err == CQ_OK && opened < num; opened++) {
        err = cq_udp_open(&udps[opened], &more);
        /* A family that went missing meanwhile would be served by some and not by others. */
        if (err == CQ_OK && (udps[opened].fd4 < 0) != (udps[0].fd4 < 0))
            err = CQ_ERR_IO;
        if (err == CQ_OK && (udps[opened].fd6 < 0) != (udps[0].fd6 < 0))
            err = CQ_ERR_IO;
    }
    if (err == CQ_OK)
        return CQ_OK;
    int saved = errno;
    while (opened > 0)
        cq_udp_close(&udps[--opened]);
    errno = saved;
    return err;
}

void cq_udp_close(struct cq_udp *udp)
{
    if (udp->fd4 >= 0)
        close(udp->fd4);
    if (udp->fd6 >= 0)
        close(udp->fd6);
    udp->fd4 = udp->fd6 = -1;
}
