/*
 * Where log lines leave a process, without ever waiting for whoever takes them: what the descriptor
 * does not take at once is kept in a bounded buffer, and what does not fit there is counted. Bytes
 * only. Not thread-safe.
 */
#ifndef CQ_OS_LOGOUT_H
#define CQ_OS_LOGOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cq_logout_way {
    CQ_LOGOUT_FILE, /* a regular file: writing waits for nobody */
    CQ_LOGOUT_PIPE, /* pipe, terminal or device, opened for us alone and non-blocking */
    CQ_LOGOUT_SOCKET,
};

/* Can be given to another process together with its descriptor. */
struct cq_logout_target {
    int fd;
    enum cq_logout_way way;
    bool owned; /* fd is not `from` itself */
};

/*
 * What `from` leads to, in a form that can be written to without waiting. A pipe or terminal is
 * opened anew, since others share the descriptor's flags (hooks, the shell); only where that is
 * not possible the flag is set on `from` itself. The new descriptor is close-on-exec.
 */
void cq_logout_find(struct cq_logout_target *out, int from);

enum { CQ_LOGOUT_BUFFER_BYTES = 64 * 1024 };

struct cq_logout {
    struct cq_logout_target target;
    char buffer[CQ_LOGOUT_BUFFER_BYTES]; /* lines, each after its length in 2 bytes */
    size_t begin, end;                   /* of what waits */
    size_t sent;                         /* of the first line's bytes */
    uint64_t lost;
    bool dead; /* nobody will ever read it */
};

/* Takes the target over. */
void cq_logout_init(struct cq_logout *out, const struct cq_logout_target *target);

/* Closes the target if it is owned. */
void cq_logout_close(struct cq_logout *out);

/* Writes one line of at most 65535 bytes, or keeps it, or counts it as lost. Once lines were lost,
 * all are until cq_logout_take_lost. */
void cq_logout_write(struct cq_logout *out, const char *line, size_t len);

/* Goes on with what waits. */
void cq_logout_flush(struct cq_logout *out);

bool cq_logout_is_empty(const struct cq_logout *out);

/* How many lines were lost, as soon as nothing waits any more: 0 otherwise. Begins to count anew.
 */
uint64_t cq_logout_take_lost(struct cq_logout *out);

#endif
