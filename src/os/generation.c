#include "os/generation.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { GROUP_KERNEL = 1, EVENT_BYTES = 8192 };

enum cq_err cq_generation_open(int *out_fd)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = GROUP_KERNEL};
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

    if (fd < 0)
        return CQ_ERR_IO;
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return CQ_ERR_IO;
    }
    *out_fd = fd;
    return CQ_OK;
}

bool cq_generation_is_event(const char *event, size_t len)
{
    static const char wanted[] = "NEW_VMGENID=1";

    while (len > 0) {
        size_t n = strnlen(event, len);
        if (n == sizeof(wanted) - 1 && memcmp(event, wanted, n) == 0)
            return true;
        n += n < len; /* and its NUL */
        event += n;
        len -= n;
    }
    return false;
}

bool cq_generation_changed(int fd)
{
    char event[EVENT_BYTES];
    bool changed = false;

    for (;;) {
        struct sockaddr_nl from = {0};
        socklen_t from_len = sizeof(from);
        ssize_t n = recvfrom(fd, event, sizeof(event), 0, (struct sockaddr *)&from, &from_len);
        if (n < 0 && (errno == EINTR || errno == ENOBUFS))
            continue;
        if (n < 0)
            return changed;
        /* Other programs may send to the group as well. */
        if (from.nl_pid == 0)
            changed = changed || cq_generation_is_event(event, (size_t)n);
    }
}
