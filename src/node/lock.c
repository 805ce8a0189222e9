#include "node/lock.h"

#include "os/clock.h"
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RETRY_US = 20 * 1000 };

static struct flock whole_file(void)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

/* The owner of the record lock; 0: nobody. */
static pid_t record_owner(int fd)
{
    struct flock who = whole_file();

    if (fcntl(fd, F_GETLK, &who) != 0 || who.l_type == F_UNLCK)
        return 0;
    return who.l_pid;
}

/* Whether the path still leads to this open file (its last owner removes it). */
static bool is_current(int fd, const char *path)
{
    struct stat mine, there;

    return fstat(fd, &mine) == 0 && stat(path, &there) == 0 && mine.st_ino == there.st_ino &&
           mine.st_dev == there.st_dev;
}

/* Takes the record lock and says in the file who we are, for people. */
static enum cq_err sign(int fd)
{
    struct flock mine = whole_file();
    char text[32];

    if (fcntl(fd, F_SETLK, &mine) != 0 || ftruncate(fd, 0) != 0)
        return CQ_ERR_IO;
    snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    return cq_file_write_all(fd, text, strlen(text));
}

enum cq_err cq_lock_take(struct cq_lock *lock, const char *name, cq_time patience,
                         pid_t *out_holder)
{
    char path[CQ_FILE_PATH_MAX];
    cq_time deadline = cq_clock_now() + patience;
    enum cq_err err = cq_file_runtime_path(path, name, ".pid");

    lock->fd = -1;
    *out_holder = 0;
    if (err != CQ_OK)
        return err;
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
            return CQ_ERR_IO;
        bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
        if (locked && is_current(fd, path)) {
            lock->fd = fd;
            return sign(fd);
        }
        if (!locked && errno != EWOULDBLOCK) {
            int saved = errno;
            close(fd);
            errno = saved;
            return CQ_ERR_IO;
        }
        *out_holder = locked ? 0 : record_owner(fd);
        close(fd);
        if (*out_holder != 0 || cq_clock_now() >= deadline)
            return CQ_ERR_EXISTS;
        usleep(RETRY_US);
    }
}

void cq_lock_release(struct cq_lock *lock, const char *name)
{
    char path[CQ_FILE_PATH_MAX];

    if (lock->fd < 0)
        return;
    if (cq_file_runtime_path(path, name, ".pid") == CQ_OK && is_current(lock->fd, path))
        (void)!cq_file_remove(path);
    close(lock->fd);
    lock->fd = -1;
}

/* Whether somebody holds the flock; *out_fd stays open for a look at the record lock. */
static enum cq_err open_held(const char *name, int *out_fd)
{
    char path[CQ_FILE_PATH_MAX];
    enum cq_err err = cq_file_runtime_path(path, name, ".pid");

    if (err != CQ_OK)
        return err;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? CQ_ERR_NOTFOUND : CQ_ERR_IO;
    if (flock(fd, LOCK_SH | LOCK_NB) == 0) {
        close(fd);
        return CQ_ERR_NOTFOUND;
    }
    *out_fd = fd;
    return CQ_OK;
}

enum cq_err cq_lock_holder(const char *name, pid_t *out_holder)
{
    int fd;
    enum cq_err err = open_held(name, &fd);

    *out_holder = 0;
    if (err != CQ_OK)
        return err;
    *out_holder = record_owner(fd);
    close(fd);
    return CQ_OK;
}

bool cq_lock_wait_free(const char *name, cq_time patience)
{
    cq_time deadline = cq_clock_now() + patience;
    int fd;

    while (open_held(name, &fd) == CQ_OK) {
        close(fd);
        if (cq_clock_now() >= deadline)
            return false;
        usleep(RETRY_US);
    }
    return true;
}
