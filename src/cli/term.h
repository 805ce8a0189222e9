/*
 * The terminal of a full-screen command: its own screen, keys as they are pressed, and everything
 * as it was before on every way out. One thread, one terminal (standard input and output).
 */
#ifndef CQ_CLI_TERM_H
#define CQ_CLI_TERM_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

struct cq_term_size {
    int rows, columns;
};

/* Keys that are no characters. */
enum cq_term_key {
    CQ_KEY_UP = 0x100,
    CQ_KEY_DOWN,
    CQ_KEY_PAGE_UP,
    CQ_KEY_PAGE_DOWN,
    CQ_KEY_HOME,
    CQ_KEY_END,
};

/* False: this is no terminal (errno). Left again by cq_term_leave, also when the program ends. */
bool cq_term_enter(void);
void cq_term_leave(void);

struct cq_term_size cq_term_size(void);

/* Writes to the screen; gives up when the command is to end. */
void cq_term_write(const char *text, size_t len);

/*
 * Waits for keys or for fd (-1: none) to be readable, no longer than timeout_ms, and no longer than
 * until the size changed or the program was asked to end. out_fd: whether fd is. Gives the key (a
 * character or enum cq_term_key), 0 for none, -1 when the command is to end (a signal, or the
 * terminal is gone). Other keys that consist of several bytes are swallowed.
 */
int cq_term_wait(int fd, int timeout_ms, bool *out_fd);

#endif
