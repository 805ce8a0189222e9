/*
 * RFC 4648 section 4 base64 with padding, canonical form only, in time that depends on lengths
 * alone (keys pass through it).
 */
#ifndef CQ_BASE_BASE64_H
#define CQ_BASE_BASE64_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
    CQ_KEY32_TEXT_LEN = 44, /* characters of 32 bytes in base64, without NUL */
};

#define CQ_BASE64_LEN(n) (((n) + 2) / 3 * 4)

/* Writes CQ_BASE64_LEN(len) characters and a NUL. */
void cq_base64_encode(const uint8_t *data, size_t len, char *out);

/* Decodes exactly text_len characters into exactly len bytes. CQ_ERR_INVALID when the text is not
 * the canonical encoding of len bytes; out is then zeroed. */
CQ_MUST_CHECK enum cq_err cq_base64_decode(const char *text, size_t text_len, uint8_t *out,
                                           size_t len);

#endif
