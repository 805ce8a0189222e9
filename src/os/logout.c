#include "os/logout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LENGTH_BYTES = 2 };

void cq_logout_find(struct cq_logout_target *out, int from)
{
    char path[32];
    struct stat st;

    *out = (struct cq_logout_target){.fd = from, .way = CQ_LOGOUT_FILE};
    if (fstat(from, &st) != 0 || S_ISREG(st.st_mode))
        return;
    if (S_ISSOCK(st.st_mode)) {
        out->way = CQ_LOGOUT_SOCKET;
        return;
    }
    out->way = CQ_LOGOUT_PIPE;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", from);
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd > STDERR_FILENO) {
        out->fd = fd;
        out->owned = true;
        return;
    }
    int flags = fcntl(from, F_GETFL);
    if (flags >= 0)
        (void)fcntl(from, F_SETFL, flags | O_NONBLOCK);
}

void cq_logout_init(struct cq_logout *out, const struct cq_logout_target *target)
{
    out->target = *target;
    out->begin = out->end = out->sent = 0;
    out->lost = 0;
    out->dead = false;
}

void cq_logout_close(struct cq_logout *out)
{
    if (out->target.owned)
        close(out->target.fd);
    out->target = (struct cq_logout_target){.fd = -1};
    out->dead = true;
}

/* How much of it was taken: all of it where it will never be taken. */
static size_t write_some(struct cq_logout *out, const char *bytes, size_t len)
{
    ssize_t n;

    do {
        n = out->target.way == CQ_LOGOUT_SOCKET
                ? send(out->target.fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL)
                : write(out->target.fd, bytes, len);
    } while (n < 0 && errno == EINTR);
    if (n >= 0)
        return (size_t)n;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
        return 0;
    if (errno == EPIPE || errno == EBADF || errno == EIO || errno == ENOTCONN ||
        errno == ECONNRESET)
        out->dead = true;
    return len; /* a full disk, a system log that is being restarted */
}

void cq_logout_flush(struct cq_logout *out)
{
    while (out->begin < out->end && !out->dead) {
        const unsigned char *length = (const unsigned char *)out->buffer + out->begin;
        size_t len = (size_t)length[0] | (size_t)length[1] << 8;
        const char *line = out->buffer + out->begin + LENGTH_BYTES;
        out->sent += write_some(out, line + out->sent, len - out->sent);
        if (out->sent < len)
            return;
        out->begin += LENGTH_BYTES + len;
        out->sent = 0;
    }
    out->begin = out->end = out->sent = 0;
}

/* False: there is no room for it. */
static bool keep(struct cq_logout *out, const char *line, size_t len)
{
    if (LENGTH_BYTES + len > sizeof(out->buffer) - (out->end - out->begin))
        return false;
    if (LENGTH_BYTES + len > sizeof(out->buffer) - out->end) {
        memmove(out->buffer, out->buffer + out->begin, out->end - out->begin);
        out->end -= out->begin;
        out->begin = 0;
    }
    out->buffer[out->end++] = (char)(len & 0xff);
    out->buffer[out->end++] = (char)(len >> 8);
    memcpy(out->buffer + out->end, line, len);
    out->end += len;
    return true;
}

void cq_logout_write(struct cq_logout *out, const char *line, size_t len)
{
    if (out->dead || len == 0 || len > UINT16_MAX)
        return;
    cq_logout_flush(out);
    size_t taken = out->begin == out->end && out->lost == 0 ? write_some(out, line, len) : 0;
    if (taken == len)
        return;
    if (out->lost > 0 || !keep(out, line, len))
        out->lost++;
    else if (taken > 0)
        out->sent = taken; /* it is the first one */
}

bool cq_logout_is_empty(const struct cq_logout *out)
{
    return out->dead || out->begin == out->end;
}

uint64_t cq_logout_take_lost(struct cq_logout *out)
{
    uint64_t lost = out->lost;

    if (lost == 0 || !cq_logout_is_empty(out))
        return 0;
    out->lost = 0;
    return out->dead ? 0 : lost;
}
