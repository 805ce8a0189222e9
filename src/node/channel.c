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

static enum cq_err send_message(int fd, const struct cq_channel_message *message, const int *fds,
                                size_t num_fds)
{
    union {
        char bytes[CMSG_SPACE(CQ_CHANNEL_MAX_FDS * sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)message, .iov_len = sizeof(*message)};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    if (num_fds > 0) {
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(num_fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&header);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(num_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, num_fds * sizeof(int));
    }
    do {
        n = sendmsg(fd, &header, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof(*message))
        return CQ_OK;
    return n < 0 && (errno == EAGAIN || errno == ENOBUFS) ? CQ_ERR_AGAIN : CQ_ERR_IO;
}

/* Padding as well is zero: nothing leaks across. */
static enum cq_err fill(struct cq_channel_message *message, enum cq_channel_type type,
                        const void *data, size_t len)
{
    memset(message, 0, sizeof(*message));
    if (len > sizeof(message->data))
        return CQ_ERR_RANGE;
    message->type = type;
    message->len = (uint32_t)len;
    if (len > 0)
        memcpy(message->data, data, len);
    return CQ_OK;
}

enum cq_err cq_channel_send(int fd, enum cq_channel_type type, uint32_t peer,
                            const struct cq_addr *addr, const void *data, size_t len)
{
    struct cq_channel_message message;
    enum cq_err err = fill(&message, type, data, len);

    message.peer = peer;
    if (addr != NULL)
        message.addr = *addr;
    return err == CQ_OK ? send_message(fd, &message, NULL, 0) : err;
}

enum cq_err cq_channel_send_fds(int fd, enum cq_channel_type type, const void *data, size_t len,
                                const int *fds, size_t num_fds)
{
    struct cq_channel_message message;
    enum cq_err err =
        num_fds <= CQ_CHANNEL_MAX_FDS ? fill(&message, type, data, len) : CQ_ERR_RANGE;

    return err == CQ_OK ? send_message(fd, &message, fds, num_fds) : err;
}

static void take_fds(struct msghdr *header, int out_fds[CQ_CHANNEL_MAX_FDS])
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t num = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < num && i < CQ_CHANNEL_MAX_FDS; i++)
            memcpy(&out_fds[i], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
}

static void close_fds(int fds[CQ_CHANNEL_MAX_FDS])
{
    for (int i = 0; i < CQ_CHANNEL_MAX_FDS; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}

enum cq_err cq_channel_receive_fds(int fd, struct cq_channel_message *out,
                                   int out_fds[CQ_CHANNEL_MAX_FDS])
{
    union {
        char bytes[CMSG_SPACE(CQ_CHANNEL_MAX_FDS * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = out, .iov_len = sizeof(*out)};
    struct msghdr header = {.msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof(control.bytes)};
    ssize_t n;

    for (int i = 0; i < CQ_CHANNEL_MAX_FDS; i++)
        out_fds[i] = -1;
    do {
        n = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? CQ_ERR_AGAIN : CQ_ERR_EXPIRED;
    if (n == 0)
        return CQ_ERR_EXPIRED;
    take_fds(&header, out_fds);
    if (n == (ssize_t)sizeof(*out) && out->len <= sizeof(out->data))
        return CQ_OK;
    close_fds(out_fds);
    return CQ_ERR_INVALID;
}

enum cq_err cq_channel_receive(int fd, struct cq_channel_message *out)
{
    int fds[CQ_CHANNEL_MAX_FDS];
    enum cq_err err = cq_channel_receive_fds(fd, out, fds);

    close_fds(fds);
    return err;
}
