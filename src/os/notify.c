#include "os/notify.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A datagram socket connected to `path` ('@': abstract), or -1. */
static int connect_datagram(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);

    if (len == 0 || len >= sizeof(address.sun_path))
        return -1;
    memcpy(address.sun_path, path, len);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (connect(fd, (const struct sockaddr *)&address, size) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

void cq_notify(const char *state)
{
    const char *path = secure_getenv("NOTIFY_SOCKET");
    int fd = path != NULL ? connect_datagram(path) : -1;

    if (fd < 0)
        return;
    (void)!send(fd, state, strlen(state), MSG_NOSIGNAL);
    close(fd);
}

bool cq_notify_stderr_is_journal(void)
{
    const char *stream = secure_getenv("JOURNAL_STREAM");
    char mine[64];
    struct stat st;

    if (stream == NULL || fstat(STDERR_FILENO, &st) != 0)
        return false;
    snprintf(mine, sizeof(mine), "%lu:%lu", (unsigned long)st.st_dev, (unsigned long)st.st_ino);
    return strcmp(stream, mine) == 0;
}

int cq_notify_journal_socket(void)
{
    return connect_datagram("/run/systemd/journal/socket");
}

enum cq_notify_sink cq_notify_background_sink(void)
{
    struct stat st;

    if (cq_notify_stderr_is_journal() || (fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode)))
        return CQ_NOTIFY_STAY;
    int fd = connect_datagram("/dev/log");
    if (fd < 0)
        return CQ_NOTIFY_NOWHERE;
    close(fd);
    return CQ_NOTIFY_SYSTEM_LOG;
}

void cq_notify_redirect(enum cq_notify_sink sink)
{
    int fd = -1;

    if (sink == CQ_NOTIFY_SYSTEM_LOG)
        fd = connect_datagram("/dev/log");
    if (sink != CQ_NOTIFY_STAY && fd < 0)
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd >= 0)
        dup2(fd, STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
    dup2(STDERR_FILENO, STDOUT_FILENO);
}
