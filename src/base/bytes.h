/*
 * Bounds-checked big-endian reader and writer over a caller's buffer. After a read or write past
 * the end the object is marked failed, reads give zeroes and nothing is written; check `failed`
 * once at the end.
 */
#ifndef CQ_BASE_BYTES_H
#define CQ_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cq_reader {
    const uint8_t *p;
    size_t len; /* bytes left */
    bool failed;
};

struct cq_writer {
    uint8_t *p;
    size_t len; /* space left */
    size_t written;
    bool failed;
};

static inline uint16_t cq_load_be16(const uint8_t *p)
{
    return (uint16_t)((p[0] << 8) | p[1]);
}

static inline uint32_t cq_load_be32(const uint8_t *p)
{
    return ((uint32_t)p[0] << 24) | ((uint32_t)p[1] << 16) | ((uint32_t)p[2] << 8) | p[3];
}

static inline uint64_t cq_load_be64(const uint8_t *p)
{
    return ((uint64_t)cq_load_be32(p) << 32) | cq_load_be32(p + 4);
}

static inline void cq_store_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void cq_store_be32(uint8_t *p, uint32_t v)
{
    cq_store_be16(p, (uint16_t)(v >> 16));
    cq_store_be16(p + 2, (uint16_t)v);
}

static inline void cq_store_be64(uint8_t *p, uint64_t v)
{
    cq_store_be32(p, (uint32_t)(v >> 32));
    cq_store_be32(p + 4, (uint32_t)v);
}

static inline struct cq_reader cq_reader_make(const void *p, size_t len)
{
    return (struct cq_reader){.p = p, .len = len};
}

/* The next `len` bytes in place, or NULL (and failed) when fewer are left. */
static inline const uint8_t *cq_read_span(struct cq_reader *r, size_t len)
{
    if (r->failed || r->len < len) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *p = r->p;
    r->p += len;
    r->len -= len;
    return p;
}

static inline void cq_read_bytes(struct cq_reader *r, void *out, size_t len)
{
    const uint8_t *p = cq_read_span(r, len);
    if (p != NULL)
        memcpy(out, p, len);
    else
        memset(out, 0, len);
}

static inline uint8_t cq_read_u8(struct cq_reader *r)
{
    const uint8_t *p = cq_read_span(r, 1);
    return p != NULL ? p[0] : 0;
}

static inline uint16_t cq_read_u16(struct cq_reader *r)
{
    const uint8_t *p = cq_read_span(r, 2);
    return p != NULL ? cq_load_be16(p) : 0;
}

static inline uint32_t cq_read_u32(struct cq_reader *r)
{
    const uint8_t *p = cq_read_span(r, 4);
    return p != NULL ? cq_load_be32(p) : 0;
}

static inline uint64_t cq_read_u64(struct cq_reader *r)
{
    const uint8_t *p = cq_read_span(r, 8);
    return p != NULL ? cq_load_be64(p) : 0;
}

static inline struct cq_writer cq_writer_make(void *p, size_t len)
{
    return (struct cq_writer){.p = p, .len = len};
}

/* Room for `len` bytes in place, or NULL (and failed) when there is less. */
static inline uint8_t *cq_write_span(struct cq_writer *w, size_t len)
{
    if (w->failed || w->len < len) {
        w->failed = true;
        return NULL;
    }
    uint8_t *p = w->p;
    w->p += len;
    w->len -= len;
    w->written += len;
    return p;
}

static inline void cq_write_bytes(struct cq_writer *w, const void *bytes, size_t len)
{
    uint8_t *p = cq_write_span(w, len);
    if (p != NULL)
        memcpy(p, bytes, len);
}

static inline void cq_write_zeros(struct cq_writer *w, size_t len)
{
    uint8_t *p = cq_write_span(w, len);
    if (p != NULL)
        memset(p, 0, len);
}

static inline void cq_write_u8(struct cq_writer *w, uint8_t v)
{
    cq_write_bytes(w, &v, 1);
}

static inline void cq_write_u16(struct cq_writer *w, uint16_t v)
{
    uint8_t *p = cq_write_span(w, 2);
    if (p != NULL)
        cq_store_be16(p, v);
}

static inline void cq_write_u32(struct cq_writer *w, uint32_t v)
{
    uint8_t *p = cq_write_span(w, 4);
    if (p != NULL)
        cq_store_be32(p, v);
}

static inline void cq_write_u64(struct cq_writer *w, uint64_t v)
{
    uint8_t *p = cq_write_span(w, 8);
    if (p != NULL)
        cq_store_be64(p, v);
}

#endif
