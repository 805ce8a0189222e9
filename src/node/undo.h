/*
 * The undo journal of an interface: RUNTIME_DIR/NAME.undo, mode 0600, one line per step that
 * outlasts the processes and must be taken back, written before the step is done. Whoever is left
 * runs it backwards: the monitor at its end, the keeper when the monitor was killed, the next start
 * when all of them were.
 *
 *   cryprq-undo 1
 *   file PATH                      remove it
 *   rule FAMILY PRIORITY TABLE MARK NOT_MARK NO_DEFAULT UDP_SOURCE UID
 *   hook KIND COMMAND              ("\n" and "\\" escaped)
 *   device                         the interface ends here (the caller's function)
 *
 * Interfaces themselves need no line: they vanish with the last process that holds them, and their
 * addresses and routes with them. Single-threaded.
 */
#ifndef CQ_NODE_UNDO_H
#define CQ_NODE_UNDO_H

#include "base/err.h"
#include "os/netlink.h"

#include <stdbool.h>

struct cq_undo {
    int fd; /* -1: none */
};

/* Starts the journal of interface `name`, which must not have one. CQ_ERR_EXISTS, CQ_ERR_RANGE,
 * CQ_ERR_IO (errno). */
CQ_MUST_CHECK enum cq_err cq_undo_open(struct cq_undo *undo, const char *name);
void cq_undo_close(struct cq_undo *undo);

/* Record a step. CQ_ERR_IO (errno), CQ_ERR_RANGE (line too long): the step must not be done then.
 */
CQ_MUST_CHECK enum cq_err cq_undo_file(const struct cq_undo *undo, const char *path);
CQ_MUST_CHECK enum cq_err cq_undo_rule(const struct cq_undo *undo, const struct cq_rule *rule);
CQ_MUST_CHECK enum cq_err cq_undo_hook(const struct cq_undo *undo, const char *kind,
                                       const char *command);
CQ_MUST_CHECK enum cq_err cq_undo_device(const struct cq_undo *undo);

/* Replaces all hooks of the journal, whole or not at all: those of `post_down` run last, those of
 * `pre_down` first. CQ_ERR_IO (errno), CQ_ERR_RANGE, CQ_ERR_NOMEM: it is as it was. */
CQ_MUST_CHECK enum cq_err cq_undo_replace_hooks(struct cq_undo *undo, const char *name,
                                                char *const *post_down, size_t num_post_down,
                                                char *const *pre_down, size_t num_pre_down);

/* Whether interface `name` has a journal. */
bool cq_undo_exists(const char *name);

/*
 * Takes the steps of the journal back, last one first, and removes it. A step that fails is logged
 * and the next one done. `device` (may be NULL) is called at the line of that name. A line that
 * cannot be read (a process was killed while writing it) belongs to a step that was not done. Gives
 * the number of failed steps; 0 also without a journal.
 */
unsigned cq_undo_run(const char *name, void (*device)(void *ctx), void *ctx);

/* Runs one hook command and logs its failure. False: it failed. interrupt_fd as of
 * cq_process_run_hook. */
bool cq_undo_run_hook(const char *name, const char *kind, const char *command, int interrupt_fd);

#endif
