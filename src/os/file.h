/*
 * Files as whole byte strings: bounded reading, the permission rule for secrets, atomic
 * replacement, directories, and where the program keeps its run-time files. Stateless; any thread.
 * Nothing is printed: CQ_ERR_IO leaves errno.
 */
#ifndef CQ_OS_FILE_H
#define CQ_OS_FILE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    CQ_FILE_PATH_MAX = 1024, /* bytes of a path that functions here compose, with NUL */
};

/* What cq_file_read tells about a file that it refuses. */
struct cq_file_info {
    size_t size; /* bytes read */
    mode_t mode; /* permission bits */
    uid_t owner;
};

/*
 * Reads a whole regular file (or a pipe) of at most `max` bytes into *out, which comes from
 * cq_secret_alloc (at least one byte, NUL-terminated beyond its length) and is freed with
 * cq_secret_free. With `secret`, a file that its group or others may read or write, or whose owner
 * is neither root nor this process's user, is refused with CQ_ERR_PERM. info may be NULL.
 * CQ_ERR_NOTFOUND, CQ_ERR_IO (errno), CQ_ERR_RANGE (longer than max), CQ_ERR_NOMEM; *out is then
 * NULL.
 */
CQ_MUST_CHECK enum cq_err cq_file_read(const char *path, size_t max, bool secret, char **out,
                                       size_t *out_len, struct cq_file_info *info);

/*
 * The one line that a person gets for what cq_file_read returned, with the path and what mends it:
 * "k.key: readable by others (mode 0644): chmod 600 k.key". errno as left by cq_file_read. Returns
 * out.
 */
char *cq_file_read_message(enum cq_err err, const char *path, size_t max,
                           const struct cq_file_info *info, char *out, size_t size);

/* Writes a file whole or not at all: a temporary beside it, fsync, rename over it, fsync of the
 * directory. The mode is exact (no umask). CQ_ERR_IO (errno), CQ_ERR_RANGE (path too long). */
CQ_MUST_CHECK enum cq_err cq_file_replace(const char *path, const void *data, size_t len,
                                          mode_t mode);

/* Makes a new file, never through or over an existing one. CQ_ERR_EXISTS, CQ_ERR_IO (errno; no file
 * is left). */
CQ_MUST_CHECK enum cq_err cq_file_create(const char *path, const void *data, size_t len,
                                         mode_t mode);

/* Makes a directory unless it is there. One that is there must be a directory (no symbolic link) of
 * this process's user that nobody else may write, else CQ_ERR_PERM. CQ_ERR_IO (errno). The parent
 * must exist. */
CQ_MUST_CHECK enum cq_err cq_file_make_dir(const char *path, mode_t mode);

/* Removes a file; none there is fine. CQ_ERR_IO (errno). */
CQ_MUST_CHECK enum cq_err cq_file_remove(const char *path);

/* Writes all of it, continuing after short writes and EINTR. CQ_ERR_IO (errno). */
CQ_MUST_CHECK enum cq_err cq_file_write_all(int fd, const void *data, size_t len);

/* Where sockets, locks and journals live (CRYPRQ_RUNTIME_DIR, else /run/cryprq) and what outlasts a
 * reboot (CRYPRQ_STATE_DIR, else /var/lib/cryprq). The environment is not looked at in a
 * set-user-ID program. */
const char *cq_file_runtime_dir(void);
const char *cq_file_state_dir(void);

/* RUNTIME_DIR/NAME + suffix (".sock", ".pid", ".undo"). CQ_ERR_RANGE. */
CQ_MUST_CHECK enum cq_err cq_file_runtime_path(char out[CQ_FILE_PATH_MAX], const char *name,
                                               const char *suffix);

#endif
