/*
 * The monitor's door for changes of a running interface: the control socket RUNTIME_DIR/NAME.admin
 * (conf/admin.h) and the editor (node/editor.h) that serves one request at a time. Single-threaded,
 * like the monitor.
 */
#ifndef CQ_NODE_CHANGE_H
#define CQ_NODE_CHANGE_H

#include "base/time.h"
#include "conf/config.h"
#include "node/channel.h"
#include "node/editor.h"
#include "node/failure.h"
#include "os/notify.h"

#include <stdbool.h>
#include <sys/types.h>

struct cq_change {
    const char *interface;
    const char *path; /* of the configuration file, absolute; NULL: none */
    enum cq_notify_sink sink;
    int listener;         /* -1: none */
    bool reload_wanted;   /* by a signal */
    pid_t pid;            /* of the editor; 0: none runs */
    int channel;          /* to it */
    int handover, result; /* what it writes */
    int answer;           /* what it reads */
};

/* Nothing is there yet. */
void cq_change_init(struct cq_change *change);

/* Listens at `socket_path`. */
bool cq_change_open(struct cq_change *change, const char *socket_path, struct cq_failure *failure);

/* Whether the next request can be taken: no editor is at work. */
bool cq_change_is_idle(const struct cq_change *change);

/* Takes the next client, or does the reload that a signal asked for. conf: in use. */
void cq_change_start(struct cq_change *change, const struct cq_conf *conf);

/*
 * The channel is readable. True: a new configuration came (*out, the caller's; *what says what it
 * is for), to be answered with cq_change_answer. Otherwise it is all done; a refusal has been
 * logged.
 */
bool cq_change_receive(struct cq_change *change, struct cq_conf *out,
                       struct cq_editor_result *what);

/* The text is sent to the client, if there is one. */
void cq_change_answer(struct cq_change *change, bool failed, const char *text, size_t len);

/* A child has ended: was it the editor? */
void cq_change_reap(struct cq_change *change);

/* Ends what runs. */
void cq_change_end(struct cq_change *change);

#endif
