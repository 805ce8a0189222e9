/*
 * Text that grows. One owner per object; what does not fit into memory is left out, and the object
 * says so. Knows no format: metrics are node/metrics_text.h, JSON is conf/json.h.
 */
#ifndef CQ_BASE_TEXT_H
#define CQ_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cq_text {
    char *data; /* malloc; not NUL-terminated */
    size_t len, size;
    bool failed; /* out of memory: everything after is left out */
};

/* A zeroed one is allowed, and is what is left. */
void cq_text_free(struct cq_text *text);

void cq_text_add(struct cq_text *text, const char *data, size_t len);
void cq_text_put(struct cq_text *text, const char *string);
void cq_text_put_u64(struct cq_text *text, uint64_t n);

/* What replaces a character; NULL: nothing does. */
typedef const char *cq_text_escape_fn(char c);
void cq_text_put_escaped(struct cq_text *text, const char *string, cq_text_escape_fn *escape);

#endif
