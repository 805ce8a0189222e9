/*
 * Control records: a list of type(1) || length(2) || value (docs/protocol.md section 5).
 */
#ifndef CQ_PROTO_CONTROL_H
#define CQ_PROTO_CONTROL_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cq_control_type {
    CQ_CONTROL_PAD = 0, /* the rest of the record is ignored */
    CQ_CONTROL_KEEPALIVE = 1,
    CQ_CONTROL_PING = 2,
    CQ_CONTROL_PONG = 3,
    CQ_CONTROL_CLOSE = 4,
};

enum cq_close_reason {
    CQ_CLOSE_SHUTDOWN = 0,
    CQ_CLOSE_KEY_LIFETIME = 1,
    CQ_CLOSE_REMOVED = 2,
};

enum {
    CQ_CONTROL_HEADER_LEN = 3,
    CQ_CONTROL_TOKEN_LEN = 8,
};

/* One known entry. */
struct cq_control {
    enum cq_control_type type; /* not PAD */
    const uint8_t *token;      /* PING, PONG: 8 bytes in place */
    bool padded;               /* PING: its value is longer than the token */
    uint8_t close_reason;      /* CLOSE: any value may come */
};

/* A pass over the entries of a plaintext, which must outlive it. */
struct cq_control_iter {
    struct cq_reader reader;
    bool malformed; /* a truncated entry, or a known type of a wrong length: the whole record is
                       dropped */
    bool padded;    /* the list ended with PAD */
};

struct cq_control_iter cq_control_begin(const uint8_t *plaintext, size_t len);

/* The next known entry (unknown types are skipped); false at the end or when the list is malformed.
 */
bool cq_control_next(struct cq_control_iter *iter, struct cq_control *out);

/* Goes through the whole list: whether it is well-formed. *out_padded: it ends with PAD, or a PING
 * in it is padded. */
CQ_MUST_CHECK bool cq_control_check(const uint8_t *plaintext, size_t len, bool *out_padded);

void cq_control_write_keepalive(struct cq_writer *w);
void cq_control_write_ping(struct cq_writer *w, const uint8_t token[CQ_CONTROL_TOKEN_LEN]);
void cq_control_write_pong(struct cq_writer *w, const uint8_t token[CQ_CONTROL_TOKEN_LEN]);
void cq_control_write_close(struct cq_writer *w, enum cq_close_reason reason);
/* Fills len bytes with PAD. Nothing may follow. */
void cq_control_write_pad(struct cq_writer *w, size_t len);

#endif
