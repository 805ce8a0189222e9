/*
 * Hexadecimal text to bytes, for tests.
 */
#ifndef CQ_TESTS_HEX_H
#define CQ_TESTS_HEX_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline int hex_digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *p = c != '\0' ? strchr(digits, c | 0x20) : NULL;

    return p != NULL ? (int)(p - digits) : -1;
}

/* Writes at most max bytes; returns how many. What is no hexadecimal text, or too long, ends the
 * program. */
static inline size_t hex_decode(const char *text, uint8_t *out, size_t max)
{
    size_t len = strlen(text);

    if (len % 2 != 0 || len / 2 > max) {
        fprintf(stderr, "hexadecimal text of %zu digits does not fit\n", len);
        abort();
    }
    for (size_t i = 0; i < len; i += 2) {
        int high = hex_digit(text[i]);
        int low = hex_digit(text[i + 1]);
        if (high < 0 || low < 0) {
            fprintf(stderr, "not hexadecimal: %.20s\n", text + i);
            abort();
        }
        out[i / 2] = (uint8_t)(high << 4 | low);
    }
    return len / 2;
}

#endif
