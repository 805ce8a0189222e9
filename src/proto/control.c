#include "proto/control.h"

struct cq_control_iter cq_control_begin(const uint8_t *plaintext, size_t len)
{
    return (struct cq_control_iter){.reader = cq_reader_make(plaintext, len)};
}

/* Whether `len` is right for a type; fills in what the entry carries. */
static bool read_value(struct cq_control *out, uint8_t type, const uint8_t *value, size_t len)
{
    *out = (struct cq_control){.type = (enum cq_control_type)type};
    switch (out->type) {
    case CQ_CONTROL_PAD:
        return false;
    case CQ_CONTROL_KEEPALIVE:
        return len == 0;
    case CQ_CONTROL_PING:
        out->token = value;
        out->padded = len > CQ_CONTROL_TOKEN_LEN;
        return len >= CQ_CONTROL_TOKEN_LEN;
    case CQ_CONTROL_PONG:
        out->token = value;
        return len == CQ_CONTROL_TOKEN_LEN;
    case CQ_CONTROL_CLOSE:
        if (len != 1)
            return false;
        out->close_reason = value[0];
        return true;
    }
    return false;
}

bool cq_control_next(struct cq_control_iter *iter, struct cq_control *out)
{
    struct cq_reader *r = &iter->reader;

    while (!iter->malformed && !iter->padded && r->len > 0) {
        uint8_t type = cq_read_u8(r);
        if (type == CQ_CONTROL_PAD) {
            iter->padded = true;
            return false;
        }
        size_t len = cq_read_u16(r);
        const uint8_t *value = cq_read_span(r, len);
        if (r->failed) {
            iter->malformed = true;
            return false;
        }
        if (type > CQ_CONTROL_CLOSE)
            continue;
        if (read_value(out, type, value, len))
            return true;
        iter->malformed = true;
    }
    return false;
}

bool cq_control_check(const uint8_t *plaintext, size_t len, bool *out_padded)
{
    struct cq_control_iter iter = cq_control_begin(plaintext, len);
    struct cq_control entry;
    bool padded = false;

    while (cq_control_next(&iter, &entry))
        padded = padded || entry.padded;
    *out_padded = padded || iter.padded;
    return !iter.malformed;
}

static void write_header(struct cq_writer *w, enum cq_control_type type, uint16_t len)
{
    cq_write_u8(w, (uint8_t)type);
    cq_write_u16(w, len);
}

void cq_control_write_keepalive(struct cq_writer *w)
{
    write_header(w, CQ_CONTROL_KEEPALIVE, 0);
}

void cq_control_write_ping(struct cq_writer *w, const uint8_t token[CQ_CONTROL_TOKEN_LEN])
{
    write_header(w, CQ_CONTROL_PING, CQ_CONTROL_TOKEN_LEN);
    cq_write_bytes(w, token, CQ_CONTROL_TOKEN_LEN);
}

void cq_control_write_pong(struct cq_writer *w, const uint8_t token[CQ_CONTROL_TOKEN_LEN])
{
    write_header(w, CQ_CONTROL_PONG, CQ_CONTROL_TOKEN_LEN);
    cq_write_bytes(w, token, CQ_CONTROL_TOKEN_LEN);
}

void cq_control_write_close(struct cq_writer *w, enum cq_close_reason reason)
{
    write_header(w, CQ_CONTROL_CLOSE, 1);
    cq_write_u8(w, (uint8_t)reason);
}

void cq_control_write_pad(struct cq_writer *w, size_t len)
{
    cq_write_zeros(w, len);
}
