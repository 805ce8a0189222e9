#include "os/tcp.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 64 };

static socklen_t socket_address(const struct cq_addr *addr, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof(*out));
    if (addr->ip.family == CQ_FAMILY_IPV4) {
        struct sockaddr_in *in = (struct sockaddr_in *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(addr->port);
        memcpy(&in->sin_addr, addr->ip.bytes, sizeof(in->sin_addr));
        return sizeof(*in);
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(addr->port);
    in6->sin6_scope_id = addr->scope_id;
    memcpy(&in6->sin6_addr, addr->ip.bytes, sizeof(in6->sin6_addr));
    return sizeof(*in6);
}

enum cq_err cq_tcp_listen(const struct cq_addr *addr, int *out_fd)
{
    struct sockaddr_storage address;
    socklen_t len = socket_address(addr, &address);
    int on = 1;
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    *out_fd = -1;
    if (fd < 0)
        return CQ_ERR_IO;
    /* Connections of an earlier server that are not forgotten yet are no obstacle. */
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (address.ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *)&address, len) == 0 && listen(fd, BACKLOG) == 0) {
        *out_fd = fd;
        return CQ_OK;
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return saved == EADDRINUSE ? CQ_ERR_EXISTS : CQ_ERR_IO;
}
