/*
 * The editor: a short-lived privileged process beside the monitor that makes a new configuration
 * when somebody asks for one. It reads what comes from outside (configuration and key files,
 * requests of clients), so that neither the monitor nor the node has to, and it alone sees a
 * private key that comes from there; it goes to the node in a handover that the monitor does not
 * map. What the monitor gets has no secrets.
 *
 *   monitor                       editor
 *   EDITOR_START, descriptors ->  reads the request (or, without a client, the configuration file)
 *                             <-  EDITED (a new configuration lies in `result` and `handover`),
 *                                 or REFUSED (why; the client knows already), or the end
 *   ANSWER                    ->  sends the text in `answer` to the client, and ends
 */
#ifndef CQ_NODE_EDITOR_H
#define CQ_NODE_EDITOR_H

#include "node/channel.h"
#include "node/logging.h"

#include <stdbool.h>
#include <stdint.h>

#define CQ_EDITOR_NAME "cryprq-editor" /* as ps shows it */

enum { CQ_EDITOR_PATH_MAX = 768 };

struct cq_editor_start {
    int client;                    /* -1: none, the file is to be read again */
    int running;                   /* configuration in use, conf/pack.h, without secrets */
    int handover, result, answer;  /* anonymous memory files, empty */
    char path[CQ_EDITOR_PATH_MAX]; /* of the configuration file, absolute; "": there is none */
    struct cq_logging logging;
};

/* With EDITED. */
struct cq_editor_result {
    bool dry_run;
    char source[12]; /* "reload", "syncconf", "set" */
};

/* What the process does; never returns. */
_Noreturn void cq_editor_run(const char *interface, int channel);

#endif
