#include "os/file.h"

#include "base/mem.h"
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    READ_START = 4096,
};

/* Closes without losing the errno of what failed before. */
static void close_keep_errno(int fd)
{
    int saved = errno;

    close(fd);
    errno = saved;
}

static enum cq_err check_secret(const struct stat *st)
{
    if ((st->st_mode & 077) != 0)
        return CQ_ERR_PERM;
    if (st->st_uid != 0 && st->st_uid != geteuid())
        return CQ_ERR_PERM;
    return CQ_OK;
}

/* Reads until the end; the buffer grows, and what it grew out of is wiped (cq_secret_realloc). */
static enum cq_err read_whole(int fd, size_t hint, size_t max, char **out, size_t *out_len)
{
    size_t room = hint < max ? hint + 1 : max + 1;
    size_t len = 0;
    char *data;

    if (room < READ_START)
        room = max < READ_START ? max + 1 : READ_START;
    data = cq_secret_alloc(room + 1);
    if (data == NULL)
        return CQ_ERR_NOMEM;
    for (;;) {
        ssize_t n = read(fd, data + len, room - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            cq_secret_free(data);
            return CQ_ERR_IO;
        }
        if (n == 0)
            break;
        len += (size_t)n;
        if (len > max) {
            cq_secret_free(data);
            return CQ_ERR_RANGE;
        }
        if (len < room)
            continue;
        room = room < max / 2 ? room * 2 : max + 1;
        char *grown = cq_secret_realloc(data, room + 1);
        if (grown == NULL) {
            cq_secret_free(data);
            return CQ_ERR_NOMEM;
        }
        data = grown;
    }
    data[len] = '\0';
    *out = data;
    *out_len = len;
    return CQ_OK;
}

enum cq_err cq_file_read(const char *path, size_t max, bool secret, char **out, size_t *out_len,
                         struct cq_file_info *info)
{
    struct stat st;
    enum cq_err err;

    *out = NULL;
    *out_len = 0;
    if (info != NULL)
        *info = (struct cq_file_info){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return errno == ENOENT ? CQ_ERR_NOTFOUND : CQ_ERR_IO;
    if (fstat(fd, &st) != 0) {
        err = CQ_ERR_IO;
        goto out;
    }
    if (S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        err = CQ_ERR_IO;
        goto out;
    }
    if (info != NULL) {
        info->mode = st.st_mode & 07777;
        info->owner = st.st_uid;
    }
    err = secret && S_ISREG(st.st_mode) ? check_secret(&st) : CQ_OK;
    if (err != CQ_OK)
        goto out;
    err = read_whole(fd, S_ISREG(st.st_mode) && st.st_size > 0 ? (size_t)st.st_size : 0, max, out,
                     out_len);
    if (info != NULL)
        info->size = *out_len;
out:
    close_keep_errno(fd);
    return err;
}

char *cq_file_read_message(enum cq_err err, const char *path, size_t max,
                           const struct cq_file_info *info, char *out, size_t size)
{
    int n = 0;

    switch (err) {
    case CQ_ERR_PERM:
        if (info != NULL && (info->mode & 077) != 0)
            n = snprintf(out, size, "%s: accessible by others (mode %04o): chmod 600 %s", path,
                         (unsigned)info->mode, path);
        else
            n = snprintf(out, size, "%s: belongs to another user: chown root %s", path, path);
        break;
    case CQ_ERR_NOTFOUND:
        n = snprintf(out, size, "%s: no such file", path);
        break;
    case CQ_ERR_IO:
        n = snprintf(out, size, "%s: %s", path, strerror(errno));
        break;
    case CQ_ERR_RANGE:
        n = snprintf(out, size, "%s: longer than %zu bytes", path, max);
        break;
    case CQ_OK:
    case CQ_ERR_NOMEM:
    case CQ_ERR_CRYPTO:
    case CQ_ERR_RANDOM:
    case CQ_ERR_AUTH:
    case CQ_ERR_INVALID:
    case CQ_ERR_EXISTS:
    case CQ_ERR_STATE:
    case CQ_ERR_AGAIN:
    case CQ_ERR_EXPIRED:
        n = snprintf(out, size, "%s: %s", path, cq_err_text(err));
        break;
    }
    if (n < 0 && size > 0)
        out[0] = '\0';
    return out;
}

enum cq_err cq_file_write_all(int fd, const void *data, size_t len)
{
    const char *p = data;

    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return CQ_ERR_IO;
        p += n;
        len -= (size_t)n;
    }
    return CQ_OK;
}

/* Content, exact mode, on disk. */
static enum cq_err fill(int fd, const void *data, size_t len, mode_t mode)
{
    if (cq_file_write_all(fd, data, len) != CQ_OK || fchmod(fd, mode) != 0 || fsync(fd) != 0)
        return CQ_ERR_IO;
    return CQ_OK;
}

static enum cq_err sync_parent(const char *path)
{
    char copy[CQ_FILE_PATH_MAX];

    if ((size_t)snprintf(copy, sizeof(copy), "%s", path) >= sizeof(copy))
        return CQ_ERR_RANGE;
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return CQ_ERR_IO;
    enum cq_err err = fsync(fd) == 0 || errno == EINVAL ? CQ_OK : CQ_ERR_IO;
    close_keep_errno(fd);
    return err;
}

enum cq_err cq_file_replace(const char *path, const void *data, size_t len, mode_t mode)
{
    char temp[CQ_FILE_PATH_MAX];

    if ((size_t)snprintf(temp, sizeof(temp), "%s.tmp.XXXXXX", path) >= sizeof(temp))
        return CQ_ERR_RANGE;
    int fd = mkostemp(temp, O_CLOEXEC); /* mode 0600 until it is complete */
    if (fd < 0)
        return CQ_ERR_IO;
    enum cq_err err = fill(fd, data, len, mode);
    close_keep_errno(fd);
    if (err == CQ_OK && rename(temp, path) != 0)
        err = CQ_ERR_IO;
    if (err != CQ_OK) {
        int saved = errno;
        unlink(temp);
        errno = saved;
        return err;
    }
    return sync_parent(path);
}

enum cq_err cq_file_create(const char *path, const void *data, size_t len, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0600);
    if (fd < 0)
        return errno == EEXIST ? CQ_ERR_EXISTS : CQ_ERR_IO;
    enum cq_err err = fill(fd, data, len, mode);
    close_keep_errno(fd);
    if (err != CQ_OK) {
        int saved = errno;
        unlink(path);
        errno = saved;
        return err;
    }
    return sync_parent(path);
}

enum cq_err cq_file_make_dir(const char *path, mode_t mode)
{
    struct stat st;

    if (mkdir(path, mode & 0700) == 0)
        return chmod(path, mode) == 0 ? CQ_OK : CQ_ERR_IO;
    if (errno != EEXIST || lstat(path, &st) != 0)
        return CQ_ERR_IO;
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022) != 0)
        return CQ_ERR_PERM;
    return CQ_OK;
}

enum cq_err cq_file_remove(const char *path)
{
    return unlink(path) == 0 || errno == ENOENT ? CQ_OK : CQ_ERR_IO;
}

static const char *dir_from_environment(const char *variable, const char *otherwise)
{
    const char *dir = secure_getenv(variable);

    return dir != NULL && dir[0] == '/' ? dir : otherwise;
}

const char *cq_file_runtime_dir(void)
{
    return dir_from_environment("CRYPRQ_RUNTIME_DIR", "/run/cryprq");
}

const char *cq_file_state_dir(void)
{
    return dir_from_environment("CRYPRQ_STATE_DIR", "/var/lib/cryprq");
}

enum cq_err cq_file_runtime_path(char out[CQ_FILE_PATH_MAX], const char *name, const char *suffix)
{
    int n = snprintf(out, CQ_FILE_PATH_MAX, "%s/%s%s", cq_file_runtime_dir(), name, suffix);

    return n > 0 && n < CQ_FILE_PATH_MAX ? CQ_OK : CQ_ERR_RANGE;
}
