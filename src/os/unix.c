#include "os/unix.h"

#include "os/clock.h"
#include "os/file.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    LISTEN_BACKLOG = 16,
    READ_STEP = 16 * 1024,
};

static const char suffix[] = ".sock";

static enum cq_err fill_address(struct sockaddr_un *address, const char *path)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len >= sizeof(address->sun_path))
        return CQ_ERR_RANGE;
    memcpy(address->sun_path, path, len);
    return CQ_OK;
}

static void close_keep_errno(int fd)
{
    int saved = errno;

    close(fd);
    errno = saved;
}

enum cq_err cq_unix_connect(const char *name, int *out_fd)
{
    return cq_unix_connect_to(name, suffix, out_fd);
}

enum cq_err cq_unix_connect_to(const char *name, const char *end, int *out_fd)
{
    char path[CQ_FILE_PATH_MAX];
    struct sockaddr_un address;
    enum cq_err err = cq_file_runtime_path(path, name, end);

    if (err == CQ_OK)
        err = fill_address(&address, path);
    if (err != CQ_OK)
        return err;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return CQ_ERR_IO;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        close_keep_errno(fd);
        if (errno == ENOENT || errno == ECONNREFUSED)
            return CQ_ERR_NOTFOUND;
        return errno == EACCES || errno == EPERM ? CQ_ERR_PERM : CQ_ERR_IO;
    }
    *out_fd = fd;
    return CQ_OK;
}

/* Waits for `events` until `deadline`. CQ_ERR_EXPIRED, CQ_ERR_IO. */
static enum cq_err wait_for(int fd, short events, cq_time deadline)
{
    for (;;) {
        cq_time left = deadline - cq_clock_now();
        if (left <= 0)
            return CQ_ERR_EXPIRED;
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, (int)((left + CQ_NS_PER_MS - 1) / CQ_NS_PER_MS));
        if (n > 0)
            return CQ_OK;
        if (n < 0 && errno != EINTR)
            return CQ_ERR_IO;
    }
}

static enum cq_err send_all(int fd, const char *data, size_t len, cq_time deadline)
{
    while (len > 0) {
        enum cq_err err = wait_for(fd, POLLOUT, deadline);
        if (err != CQ_OK)
            return err;
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return CQ_ERR_IO;
        data += n;
        len -= (size_t)n;
    }
    return CQ_OK;
}

/* Makes room for one more step and a NUL. */
static bool grow(char **data, size_t *room, size_t len)
{
    if (*room - len > READ_STEP)
        return true;
    size_t wanted = *room * 2 + (size_t)2 * READ_STEP;
    char *grown = realloc(*data, wanted);
    if (grown == NULL)
        return false;
    *data = grown;
    *room = wanted;
    return true;
}

static enum cq_err receive_line(int fd, cq_time deadline, size_t max, char **out, size_t *out_len)
{
    char *data = NULL;
    size_t room = 0, len = 0;
    enum cq_err err;

    for (;;) {
        if (!grow(&data, &room, len)) {
            err = CQ_ERR_NOMEM;
            goto fail;
        }
        err = wait_for(fd, POLLIN, deadline);
        if (err != CQ_OK)
            goto fail;
        ssize_t n = recv(fd, data + len, READ_STEP, MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0) {
            err = CQ_ERR_IO;
            goto fail;
        }
        bool ended = n == 0 || memchr(data + len, '\n', (size_t)n) != NULL;
        len += (size_t)n;
        if (len > max) {
            err = CQ_ERR_RANGE;
            goto fail;
        }
        if (ended)
            break;
    }
    data[len] = '\0';
    *out = data;
    *out_len = len;
    return CQ_OK;
fail:
    free(data);
    return err;
}

enum cq_err cq_unix_ask(int fd, const char *data, size_t len, int timeout_ms, size_t max,
                        char **out, size_t *out_len)
{
    cq_time deadline = cq_clock_now() + timeout_ms * CQ_NS_PER_MS;
    enum cq_err err = send_all(fd, data, len, deadline);
    int reason = errno;

    *out = NULL;
    *out_len = 0;
    if (err == CQ_OK)
        return receive_line(fd, deadline, max, out, out_len);
    /* Who did not want to hear it may have said why. */
    if (err == CQ_ERR_IO && (reason == EPIPE || reason == ECONNRESET) &&
        receive_line(fd, deadline, max, out, out_len) == CQ_OK && *out_len > 0)
        return CQ_OK;
    free(*out);
    *out = NULL;
    *out_len = 0;
    errno = reason;
    return err;
}

/* The length of the name in "NAME.sock", 0 when it is not of that form. */
static size_t name_length(const char *file)
{
    size_t len = strlen(file), tail = sizeof(suffix) - 1;

    if (len <= tail || strcmp(file + len - tail, suffix) != 0)
        return 0;
    return len - tail;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum cq_err cq_unix_list(char ***out_names, size_t *out_num)
{
    char **names = NULL;
    size_t num = 0;
    const struct dirent *entry;

    *out_names = NULL;
    *out_num = 0;
    DIR *dir = opendir(cq_file_runtime_dir());
    if (dir == NULL)
        return errno == ENOENT ? CQ_OK : CQ_ERR_IO;
    while ((entry = readdir(dir)) != NULL) {
        size_t len = name_length(entry->d_name);
        if (len == 0)
            continue;
        char **grown = realloc(names, (num + 1) * sizeof(*names));
        if (grown != NULL)
            names = grown;
        char *name = grown != NULL ? strndup(entry->d_name, len) : NULL;
        if (name == NULL)
            goto nomem;
        names[num++] = name;
    }
    closedir(dir);
    if (num > 0)
        qsort(names, num, sizeof(*names), compare_names);
    *out_names = names;
    *out_num = num;
    return CQ_OK;
nomem:
    closedir(dir);
    while (num > 0)
        free(names[--num]);
    free(names);
    return CQ_ERR_NOMEM;
}

/* The umask keeps the socket closed to others between bind and chown. */
static int bind_private(int fd, const struct sockaddr_un *address)
{
    mode_t old = umask(0177);
    int r = bind(fd, (const struct sockaddr *)address, sizeof(*address));

    umask(old);
    return r;
}

enum cq_err cq_unix_listen(const char *path, const char *group, int *out_fd)
{
    struct sockaddr_un address;
    enum cq_err err = fill_address(&address, path);

    if (err != CQ_OK)
        return err;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return CQ_ERR_IO;
    if (bind_private(fd, &address) != 0) {
        close_keep_errno(fd);
        return errno == EADDRINUSE ? CQ_ERR_EXISTS : CQ_ERR_IO;
    }
    const struct group *g = group != NULL ? getgrnam(group) : NULL;
    if ((g != NULL && (chown(path, (uid_t)-1, g->gr_gid) != 0 || chmod(path, 0660) != 0)) ||
        listen(fd, LISTEN_BACKLOG) != 0) {
        int saved = errno;
        unlink(path);
        close(fd);
        errno = saved;
        return CQ_ERR_IO;
    }
    *out_fd = fd;
    return CQ_OK;
}

enum cq_err cq_unix_accept(int listen_fd, int *out_fd)
{
    int fd;

    do {
        fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    } while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (fd < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? CQ_ERR_AGAIN : CQ_ERR_IO;
    *out_fd = fd;
    return CQ_OK;
}
