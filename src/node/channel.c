#include "node/channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_BYTES = 4 * 1024 * 1024 }; /* some thousand messages: more than peers make at once */

enum cq_err cq_channel_open(int out_ends[2])
{
    int size = BUFFER_BYTES;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, out_ends) != 0)
        return CQ_ERR_IO;
    for (int i = 0; i < 2; i++)
        if (setsockopt(out_ends[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) != 0)
            (void)setsockopt(out_ends[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    return CQ_OK;
}

enum cq_err cq_channel_send(int fd, enum cq_channel_type type, uint32_t peer,
                            const struct cq_addr *addr, const void *data, size_t len)
{
    struct cq_channel_message message;
    ssize_t n;

    if (len > sizeof(message.data))
        return CQ_ERR_RANGE;
    memset(&message, 0, sizeof(message)); /* padding as well: nothing leaks across */
    message.type = type;
    message.peer = peer;
    message.len = (uint32_t)len;
    if (addr != NULL)
        message.addr = *addr;
    if (len > 0)
        memcpy(message.data, data, len);
    do {
        n = send(fd, &message, sizeof(message), MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof(message))
        return CQ_OK;
    return n < 0 && (errno == EAGAIN || errno == ENOBUFS) ? CQ_ERR_AGAIN : CQ_ERR_IO;
}

enum cq_err cq_channel_receive(int fd, struct cq_channel_message *out)
{
    ssize_t n;

    do {
        n = recv(fd, out, sizeof(*out), 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? CQ_ERR_AGAIN : CQ_ERR_EXPIRED;
    if (n == 0)
        return CQ_ERR_EXPIRED;
    if (n != (ssize_t)sizeof(*out) || out->len > sizeof(out->data))
        return CQ_ERR_INVALID;
    return CQ_OK;
}
