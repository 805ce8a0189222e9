/*
 * Unix stream sockets of the control interface: RUNTIME_DIR/NAME.sock (os/file.h). Bytes only; what
 * is said over them is conf/control.h. All descriptors are close-on-exec. CQ_ERR_IO leaves errno.
 */
#ifndef CQ_OS_UNIX_H
#define CQ_OS_UNIX_H

#include "base/err.h"

#include <stddef.h>

/*
 * Connects (blocking socket) to the control socket of interface `name`. CQ_ERR_NOTFOUND: no such
 * interface is running (no socket, or nobody listens); CQ_ERR_PERM: not allowed; CQ_ERR_IO,
 * CQ_ERR_RANGE (path too long).
 */
CQ_MUST_CHECK enum cq_err cq_unix_connect(const char *name, int *out_fd);

/* The same to RUNTIME_DIR/NAME + suffix. */
CQ_MUST_CHECK enum cq_err cq_unix_connect_to(const char *name, const char *suffix, int *out_fd);

/* Sends all of data, then reads up to a newline or the end, within timeout_ms in all. *out is
 * malloc'ed, NUL-terminated beyond *out_len, and the caller's. CQ_ERR_EXPIRED (time is up),
 * CQ_ERR_RANGE (longer than max), CQ_ERR_NOMEM, CQ_ERR_IO (errno). */
CQ_MUST_CHECK enum cq_err cq_unix_ask(int fd, const char *data, size_t len, int timeout_ms,
                                      size_t max, char **out, size_t *out_len);

/* Names (without ".sock") of the control sockets in the run-time directory: a malloc'ed array of
 * malloc'ed strings, sorted. That they are there does not say that anybody answers. No directory:
 * none. CQ_ERR_NOMEM, CQ_ERR_IO. */
CQ_MUST_CHECK enum cq_err cq_unix_list(char ***out_names, size_t *out_num);

/* A listening, non-blocking socket at `path`, which must not exist; mode 0660, owned by root and
 * group `group` where that exists, else by root alone with mode 0600. CQ_ERR_EXISTS, CQ_ERR_RANGE,
 * CQ_ERR_IO. */
CQ_MUST_CHECK enum cq_err cq_unix_listen(const char *path, const char *group, int *out_fd);

/* The next connection, non-blocking. CQ_ERR_AGAIN: none waits; CQ_ERR_IO. */
CQ_MUST_CHECK enum cq_err cq_unix_accept(int listen_fd, int *out_fd);

#endif
