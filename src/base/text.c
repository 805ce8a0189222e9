#include "base/text.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_BYTES = 16 * 1024, DIGITS = 20 };

void cq_text_free(struct cq_text *text)
{
    free(text->data);
    *text = (struct cq_text){0};
}

static bool make_room(struct cq_text *text, size_t len)
{
    size_t size = text->size == 0 ? FIRST_BYTES : text->size;

    while (size - text->len < len)
        size *= 2;
    char *data = realloc(text->data, size);
    if (data == NULL) {
        text->failed = true;
        return false;
    }
    text->data = data;
    text->size = size;
    return true;
}

void cq_text_add(struct cq_text *text, const char *data, size_t len)
{
    if (len == 0 || text->failed || (text->size - text->len < len && !make_room(text, len)))
        return;
    memcpy(text->data + text->len, data, len);
    text->len += len;
}

void cq_text_put(struct cq_text *text, const char *string)
{
    cq_text_add(text, string, strlen(string));
}

void cq_text_put_u64(struct cq_text *text, uint64_t n)
{
    char digits[DIGITS];
    size_t at = DIGITS;

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    cq_text_add(text, digits + at, DIGITS - at);
}

void cq_text_put_escaped(struct cq_text *text, const char *string, cq_text_escape_fn *escape)
{
    const char *from = string;

    for (; *string != '\0'; string++) {
        const char *instead = escape(*string);
        if (instead == NULL)
            continue;
        cq_text_add(text, from, (size_t)(string - from));
        cq_text_put(text, instead);
        from = string + 1;
    }
    cq_text_add(text, from, (size_t)(string - from));
}
