#include "base/base64.h"

#include "base/mem.h"

#include <stdbool.h>
#include <string.h>

/* All ones when lo <= c <= hi, else 0. No branch and no table: c is part of a key. */
static uint32_t mask_range(uint32_t c, uint32_t lo, uint32_t hi)
{
    return (((c - lo) | (hi - c)) >> 31) - 1;
}

static char encode_sextet(uint32_t v)
{
    uint32_t c = 0;

    c |= mask_range(v, 0, 25) & (v + 'A');
    c |= mask_range(v, 26, 51) & (v - 26 + 'a');
    c |= mask_range(v, 52, 61) & (v - 52 + '0');
    c |= mask_range(v, 62, 62) & '+';
    c |= mask_range(v, 63, 63) & '/';
    return (char)c;
}

/* The value of a character; bit 31 is set when it is none of the alphabet. */
static uint32_t decode_char(char ch)
{
    uint32_t c = (unsigned char)ch;
    uint32_t upper = mask_range(c, 'A', 'Z');
    uint32_t lower = mask_range(c, 'a', 'z');
    uint32_t digit = mask_range(c, '0', '9');
    uint32_t plus = mask_range(c, '+', '+');
    uint32_t slash = mask_range(c, '/', '/');
    uint32_t v = (upper & (c - 'A')) | (lower & (c - 'a' + 26)) | (digit & (c - '0' + 52)) |
                 (plus & 62) | (slash & 63);

    return v | (~(upper | lower | digit | plus | slash) & UINT32_C(0x80000000));
}

void cq_base64_encode(const uint8_t *data, size_t len, char *out)
{
    while (len > 0) {
        uint32_t v = (uint32_t)data[0] << 16;
        if (len > 1)
            v |= (uint32_t)data[1] << 8;
        if (len > 2)
            v |= data[2];
        out[0] = encode_sextet(v >> 18);
        out[1] = encode_sextet(v >> 12 & 63);
        out[2] = (char)(len > 1 ? encode_sextet(v >> 6 & 63) : '=');
        out[3] = (char)(len > 2 ? encode_sextet(v & 63) : '=');
        out += 4;
        data += len > 2 ? 3 : len;
        len -= len > 2 ? 3 : len;
    }
    *out = '\0';
}

/* Decodes one group of 4 characters into n (1 to 3) bytes; nonzero when it is not canonical. */
static uint32_t decode_group(const char *text, uint8_t *out, size_t n)
{
    uint32_t a = decode_char(text[0]);
    uint32_t b = decode_char(text[1]);
    uint32_t c = n > 1 ? decode_char(text[2]) : 0;
    uint32_t d = n > 2 ? decode_char(text[3]) : 0;
    uint32_t bad = (a | b | c | d) & UINT32_C(0x80000000);
    uint32_t v = (a & 63) << 18 | (b & 63) << 12 | (c & 63) << 6 | (d & 63);

    out[0] = (uint8_t)(v >> 16);
    if (n > 1)
        out[1] = (uint8_t)(v >> 8);
    else /* '=' */
        bad |= (unsigned char)text[2] ^ UINT32_C(0x3d);
    if (n > 2)
        out[2] = (uint8_t)v;
    else
        bad |= (unsigned char)text[3] ^ UINT32_C(0x3d);
    /* The bits that no byte uses must be zero, or one value had several spellings. */
    return bad | (v & (UINT32_C(0xffffff) >> (8 * n)));
}

enum cq_err cq_base64_decode(const char *text, size_t text_len, uint8_t *out, size_t len)
{
    uint32_t bad = 0;

    if (text_len != CQ_BASE64_LEN(len)) {
        cq_wipe(out, len);
        return CQ_ERR_INVALID;
    }
    for (size_t done = 0; done < len; done += 3, text += 4)
        bad |= decode_group(text, out + done, len - done > 2 ? 3 : len - done);
    if (bad != 0) {
        cq_wipe(out, len);
        return CQ_ERR_INVALID;
    }
    return CQ_OK;
}
