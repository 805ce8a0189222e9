/*
 * Messages of the control socket: a unix stream socket on which a client sends one request, one
 * JSON object in one line ended by a newline, and gets one response in the same form; then the node
 * closes. Functions over buffers; sockets are os/'s. `show` answers at once; `rotate` answers when
 * the fresh handshake of every peer concerned is confirmed or CQ_CONTROL_ROTATE_TIMEOUT_MS have
 * passed. A node is stopped by a signal (SIGTERM), not by a message.
 *
 *   {"version":1,"command":"show"}
 *   {"version":1,"command":"rotate","peer":"<44 characters>"}          without "peer": all peers
 *   {"version":1,"command":"watch","level":"info"}
 *   {"version":1,"ok":true,"status":{...}}                             the object of conf/status.h
 *   {"version":1,"ok":true,"rotated":[{"id":"...","name":"...","duration_us":1234,"session_id":"...","error":""}]}
 *   {"version":1,"ok":true,"watching":true}
 *   {"version":1,"ok":false,"error":"..."}
 *
 * `watch` is answered at once, and then the connection stays: every event of the level or above is
 * one line more, in the JSON of base/logline.h (conf/feed.h), until one side closes.
 */
#ifndef CQ_CONF_CONTROL_H
#define CQ_CONF_CONTROL_H

#include "base/err.h"
#include "base/event.h"
#include "conf/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CQ_CONTROL_VERSION = 1,
    CQ_CONTROL_REQUEST_MAX = 4096,              /* bytes of a request, newline included */
    CQ_CONTROL_RESPONSE_MAX = 64 * 1024 * 1024, /* bytes of a response, newline included */
    CQ_CONTROL_ERROR_MAX = 255,                 /* characters of an error text */
    CQ_CONTROL_ROTATE_TIMEOUT_MS = 10 * 1000,   /* within which the node answers a rotate */
    CQ_CONTROL_CLIENT_TIMEOUT_MS = 15 * 1000,   /* after which a client gives up */
};

enum cq_control_command { CQ_CONTROL_SHOW, CQ_CONTROL_ROTATE, CQ_CONTROL_WATCH };

struct cq_control_request {
    enum cq_control_command command;
    bool has_peer; /* rotate: this peer only */
    uint8_t peer[CQ_PEER_ID_LEN];
    enum cq_level level; /* watch */
};

/* One peer's result of a rotate. */
struct cq_control_rotated {
    uint8_t id[CQ_PEER_ID_LEN];
    char name[CQ_CONF_NAME_MAX + 1];       /* "": none */
    uint64_t duration_us;                  /* of the fresh handshake */
    uint8_t session_id[CQ_SESSION_ID_LEN]; /* of the session that it made */
    char error[CQ_CONTROL_ERROR_MAX + 1];  /* "": it succeeded */
};

enum cq_control_kind {
    CQ_CONTROL_KIND_ERROR,
    CQ_CONTROL_KIND_STATUS,
    CQ_CONTROL_KIND_ROTATED,
    CQ_CONTROL_KIND_WATCHING,
};

struct cq_control_response {
    enum cq_control_kind kind;
    char error[CQ_CONTROL_ERROR_MAX + 1]; /* KIND_ERROR */
    struct cq_node_status status;         /* KIND_STATUS; owned */
    struct cq_control_rotated *rotated;   /* KIND_ROTATED; owned (calloc) */
    size_t num_rotated;
};

/*
 * Gives the JSON library its random seed (any value but 0). Where nobody does, it opens
 * /dev/urandom when the first message is read or written: a process that confines itself calls this
 * before it does so. Only the first call of a process, before any message, counts.
 */
void cq_control_seed(uint32_t seed);

/* Frees what it holds and zeroes it; a zeroed response is allowed. */
void cq_control_response_free(struct cq_control_response *response);

/* Writes the request's line, newline included, no NUL. CQ_ERR_RANGE when it does not fit
 * (CQ_CONTROL_REQUEST_MAX always suffices), CQ_ERR_NOMEM. */
CQ_MUST_CHECK enum cq_err cq_control_request_encode(const struct cq_control_request *request,
                                                    char *out, size_t size, size_t *out_len);

/*
 * Reads a request's line (with or without its newline). CQ_ERR_INVALID: `reason` says in one line
 * of English what is wrong (another version, unknown command, unknown member, not JSON, too long),
 * fit to be sent back as a KIND_ERROR; CQ_ERR_NOMEM.
 */
CQ_MUST_CHECK enum cq_err cq_control_request_decode(struct cq_control_request *out,
                                                    const char *line, size_t len,
                                                    char reason[CQ_CONTROL_ERROR_MAX + 1]);

/* Writes the response's line, newline included, to *out (NUL-terminated beyond out_len), which the
 * caller frees with free(). CQ_ERR_NOMEM. */
CQ_MUST_CHECK enum cq_err cq_control_response_encode(const struct cq_control_response *response,
                                                     char **out, size_t *out_len);

/* Reads a response's line (with or without its newline). *out is the caller's, zeroed on error.
 * CQ_ERR_INVALID (reason as above), CQ_ERR_NOMEM. */
CQ_MUST_CHECK enum cq_err cq_control_response_decode(struct cq_control_response *out,
                                                     const char *line, size_t len,
                                                     char reason[CQ_CONTROL_ERROR_MAX + 1]);

#endif
