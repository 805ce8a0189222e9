/*
 * Messages of the second control socket, RUNTIME_DIR/NAME.admin, over which a running node is
 * changed: a stream on which a client sends one request and reads one answer to its end. Functions
 * over buffers. A request may hold secrets: whoever has its buffer wipes it.
 *
 *   request   "CQADMIN1" ‖ command(1) ‖ dry run(1) ‖ 0(2) ‖ length(4) ‖ body
 *   answer    '0' (done) or '1' (not done) ‖ text for people
 *
 * Bodies: of SYNC a configuration (conf/pack.h), of SET operations (below), of the others none.
 */
#ifndef CQ_CONF_ADMIN_H
#define CQ_CONF_ADMIN_H

#include "base/bytes.h"
#include "conf/config.h"

enum {
    CQ_ADMIN_HEADER_LEN = 16,
    CQ_ADMIN_BODY_MAX = 48 * 1024 * 1024,
    CQ_ADMIN_TIMEOUT_MS = 30 * 1000, /* after which a client gives up */
};

enum cq_admin_command {
    CQ_ADMIN_RELOAD = 1, /* reads the configuration file again */
    CQ_ADMIN_SYNC,       /* peers and private key of another file */
    CQ_ADMIN_SET,        /* single changes */
    CQ_ADMIN_SHOW,       /* the configuration in use, as a file */
    CQ_ADMIN_SAVE,       /* the same into the configuration file */
};

struct cq_admin_request {
    enum cq_admin_command command;
    bool dry_run;
    uint32_t body_len;
};

void cq_admin_write_header(uint8_t out[CQ_ADMIN_HEADER_LEN],
                           const struct cq_admin_request *request);
/* CQ_ERR_INVALID. */
CQ_MUST_CHECK enum cq_err cq_admin_read_header(const uint8_t in[CQ_ADMIN_HEADER_LEN],
                                               struct cq_admin_request *out);

/*
 * Operations of SET, one after the other as the arguments stand. After SET_PEER they concern that
 * peer, which is added where a PeerID is not known yet.
 */
enum cq_set_op {
    CQ_SET_PRIVATE_KEY = 1, /* key(32), text: the file it came from; "": none that stays */
    CQ_SET_PEER,            /* text: PeerID or name */
    CQ_SET_REMOVE,
    CQ_SET_NAME, /* text; "": none */
    CQ_SET_PSK,  /* key(32), text: the file */
    CQ_SET_NO_PSK,
    CQ_SET_PUBLIC_KEY,     /* key(1216), text: the file */
    CQ_SET_ENDPOINT,       /* text; "": none */
    CQ_SET_KEEPALIVE,      /* seconds(2) */
    CQ_SET_ALLOWED_NONE,   /* takes all allowed IPs away */
    CQ_SET_ALLOWED_ADD,    /* prefix */
    CQ_SET_ALLOWED_REMOVE, /* prefix */
};

/* Applies a body of SET to a configuration. CQ_ERR_INVALID, CQ_ERR_NOMEM: *error says why, and the
 * configuration is of no use any more. The whole is still to be checked (cq_conf_check). */
CQ_MUST_CHECK enum cq_err cq_admin_apply_set(struct cq_conf *conf, struct cq_reader *body,
                                             struct cq_conf_error *error);

/* Applies a body of SYNC: *conf gets the peers of *file, and its private key where it has one. What
 * was taken over is gone from *file. */
void cq_admin_apply_sync(struct cq_conf *conf, struct cq_conf *file);

#endif
