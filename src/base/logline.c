#include "base/logline.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* A buffer that is written up to its end and then says that it was too small. */
struct out {
    char *bytes;
    size_t size, len;
    bool full;
};

enum { NUMBER_BYTES = 32 };

static const char hex[] = "0123456789abcdef";

/* All of it or nothing. */
static void put(struct out *o, const char *bytes, size_t len)
{
    if (o->full || len > o->size - o->len) {
        o->full = true;
        return;
    }
    memcpy(o->bytes + o->len, bytes, len);
    o->len += len;
}

static void put_text(struct out *o, const char *text)
{
    put(o, text, strlen(text));
}

/* ---- key=value ---- */

/* '=' at the end, as base64 has it, misleads nobody. */
static bool needs_quotes(const char *text)
{
    if (*text == '\0')
        return true;
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' ||
            (c == '=' && text[1] != '\0' && text[1] != '='))
            return true;
    }
    return false;
}

/* Writes one character escaped into at most 4; returns how many. */
static size_t escape_char(unsigned char c, char out[4])
{
    if (c == '"' || c == '\\') {
        out[0] = '\\';
        out[1] = (char)c;
        return 2;
    }
    if (c >= ' ' && c < 0x7f) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = '\\';
    if (c == '\n' || c == '\t' || c == '\r') {
        out[1] = (char)(c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
        return 2;
    }
    out[1] = 'x';
    out[2] = hex[c >> 4];
    out[3] = hex[c & 15];
    return 4;
}

/* As much of the text as fits, whole escapes and the closing quote always. */
static void put_quoted(struct out *o, const char *text)
{
    if (!needs_quotes(text)) {
        size_t len = strlen(text), room = o->size - o->len;
        put(o, text, len < room ? len : room);
        o->full = o->full || len > room;
        return;
    }
    put(o, "\"", 1);
    for (; !o->full && *text != '\0'; text++) {
        char escaped[4];
        size_t n = escape_char((unsigned char)*text, escaped);
        if (n + 1 > o->size - o->len)
            o->full = true;
        else
            put(o, escaped, n);
    }
    if (o->len < o->size && o->len > 0)
        o->bytes[o->len++] = '"';
}

/* A number as text. */
static void format_number(const struct cq_field *field, char out[NUMBER_BYTES])
{
    if (field->kind == CQ_FIELD_MS)
        snprintf(out, NUMBER_BYTES, "%.2f", (double)field->duration / (double)CQ_NS_PER_MS);
    else
        snprintf(out, NUMBER_BYTES, "%lld", (long long)field->number);
}

static bool is_left_out(const struct cq_field *field)
{
    return field->kind == CQ_FIELD_TEXT && field->text == NULL;
}

size_t cq_logline_kv(char *out, size_t size, const struct cq_logline *line)
{
    static const char cut[] = "...";
    struct out o = {.bytes = out, .size = size - (sizeof(cut) - 1)};
    char number[NUMBER_BYTES];

    put_text(&o, "event=");
    put_text(&o, cq_event_name(line->event));
    for (const struct cq_field *f = line->fields; f->name != NULL && !o.full; f++) {
        if (is_left_out(f))
            continue;
        struct out before = o;
        put_text(&o, " ");
        put_text(&o, f->name);
        put_text(&o, "=");
        if (o.full || o.size - o.len < 2) {
            o = before;
            o.full = true;
        } else if (f->kind == CQ_FIELD_TEXT) {
            put_quoted(&o, f->text);
        } else {
            format_number(f, number);
            put_text(&o, number);
        }
    }
    if (o.full) {
        memcpy(out + o.len, cut, sizeof(cut) - 1);
        o.len += sizeof(cut) - 1;
    }
    return o.len;
}

char *cq_logline_quote(const char *text, char *out, size_t size)
{
    struct out o = {.bytes = out, .size = size - 1};

    if (size == 0)
        return out;
    if (size >= sizeof("\"\"") || !needs_quotes(text))
        put_quoted(&o, text);
    out[o.len] = '\0';
    return out;
}

/* ---- JSON ---- */

/* The length of the UTF-8 character at the beginning of a NUL-terminated text; 0: it is none. */
static size_t utf8_length(const unsigned char *s)
{
    size_t len = s[0] < 0x80                    ? 1
                 : s[0] >= 0xc2 && s[0] <= 0xdf ? 2
                 : (s[0] & 0xf0) == 0xe0        ? 3
                 : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4
                                                : 0;

    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    /* longer than needed, surrogates, beyond U+10FFFF */
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return len;
}

/* Writes one character of a string into at most 6 bytes and moves behind it; returns how many. */
static size_t json_char(const char **text, char out[6])
{
    const unsigned char *s = (const unsigned char *)*text;
    size_t len = utf8_length(s);

    *text += len > 0 ? len : 1;
    if (len == 0) {
        memcpy(out, "\\ufffd", 6);
        return 6;
    }
    if (s[0] == '"' || s[0] == '\\') {
        out[0] = '\\';
        out[1] = (char)s[0];
        return 2;
    }
    /* Control characters, those beyond ASCII (U+0080 to U+009F) as well. */
    if (s[0] < ' ' || s[0] == 0x7f || (s[0] == 0xc2 && s[1] < 0xa0)) {
        unsigned c = len == 1 ? s[0] : s[1];
        memcpy(out, "\\u00", 4);
        out[4] = hex[c >> 4];
        out[5] = hex[c & 15];
        return 6;
    }
    memcpy(out, s, len);
    return len;
}

/* As much of the text as fits, whole characters and the closing quote always. */
static void put_string(struct out *o, const char *text)
{
    put(o, "\"", 1);
    while (!o->full && *text != '\0') {
        char c[6];
        size_t n = json_char(&text, c);
        if (n + 1 > o->size - o->len)
            o->full = true;
        else
            put(o, c, n);
    }
    if (o->len < o->size && o->len > 0)
        o->bytes[o->len++] = '"';
}

static void put_member(struct out *o, const struct cq_field *field)
{
    struct out before = *o;
    char number[NUMBER_BYTES];

    put_text(o, o->len > 1 ? ",\"" : "\"");
    put_text(o, field->name);
    put_text(o, "\":");
    if (o->full || o->size - o->len < 2) {
        *o = before;
        o->full = true;
    } else if (field->kind == CQ_FIELD_TEXT) {
        put_string(o, field->text);
    } else {
        format_number(field, number);
        put_text(o, number);
        if (o->full) {
            *o = before;
            o->full = true;
        }
    }
}

/* The civil date of a day counted from 1970-01-01, by the 400-year cycle of the calendar. */
static void civil_date(int64_t days, int *year, int *month, int *day)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t of_era = z - era * 146097;
    int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
    int64_t m = (5 * of_year + 2) / 153; /* from March */

    *day = (int)(of_year - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = (int)(y + era * 400 + (*month <= 2));
}

char *cq_logline_time(cq_time wall, char out[CQ_LOGLINE_TIME_MAX])
{
    int64_t micros = wall / 1000, secs = micros / 1000000;
    int year, month, day;

    if (wall < 0)
        micros = secs = 0;
    civil_date(secs / 86400, &year, &month, &day);
    snprintf(out, CQ_LOGLINE_TIME_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", year % 10000, month,
             day, (int)(secs / 3600 % 24), (int)(secs / 60 % 60), (int)(secs % 60),
             (int)(micros % 1000000));
    return out;
}

size_t cq_logline_json(char *out, size_t size, const struct cq_logline *line)
{
    static const char cut[] = ",\"truncated\":true", end[] = "}";
    struct out o = {.bytes = out, .size = size - (sizeof(cut) - 1) - (sizeof(end) - 1)};
    char time[CQ_LOGLINE_TIME_MAX];
    const struct cq_field head[] = {
        cq_field_text("time", line->wall > 0 ? cq_logline_time(line->wall, time) : NULL),
        cq_field_text("level", cq_level_name(cq_event_level(line->event))),
        cq_field_text("event", cq_event_name(line->event)),
        {0},
    };

    put(&o, "{", 1);
    for (const struct cq_field *f = head; f->name != NULL; f++)
        if (!is_left_out(f))
            put_member(&o, f);
    for (const struct cq_field *f = line->fields; f->name != NULL && !o.full; f++)
        if (!is_left_out(f))
            put_member(&o, f);
    if (o.full) {
        memcpy(out + o.len, cut, sizeof(cut) - 1);
        o.len += sizeof(cut) - 1;
    }
    memcpy(out + o.len, end, sizeof(end) - 1);
    return o.len + sizeof(end) - 1;
}

/* ---- the journal ---- */

int cq_logline_priority(enum cq_level level)
{
    static const int priorities[] = {
        [CQ_LOG_ERROR] = 3, [CQ_LOG_WARN] = 4, [CQ_LOG_INFO] = 6, [CQ_LOG_DEBUG] = 7};

    return priorities[level];
}

/* NAME=value, or where the value has line breaks its length in 64 bits, little-endian, and itself.
 * Nothing when it does not fit. */
static void put_journal_field(struct out *o, const char *prefix, const char *name,
                              const char *value, size_t len)
{
    struct out before = *o;

    put_text(o, prefix);
    for (; *name != '\0'; name++) {
        char c = (char)(*name >= 'a' && *name <= 'z' ? *name - 'a' + 'A' : *name);
        put(o, &c, 1);
    }
    if (memchr(value, '\n', len) == NULL) {
        put(o, "=", 1);
    } else {
        char number[9] = "\n";
        for (unsigned i = 0; i < 8; i++)
            number[1 + i] = (char)(((uint64_t)len >> (8 * i)) & 0xff);
        put(o, number, sizeof(number));
    }
    put(o, value, len);
    put(o, "\n", 1);
    if (o->full)
        *o = before;
}

size_t cq_logline_journal(char *out, size_t size, const struct cq_logline *line)
{
    struct out o = {.bytes = out, .size = size};
    char message[CQ_LOGLINE_MAX], number[NUMBER_BYTES];
    size_t len = cq_logline_kv(message, sizeof(message), line);

    put_journal_field(&o, "", "MESSAGE", message, len);
    number[0] = (char)('0' + cq_logline_priority(cq_event_level(line->event)));
    put_journal_field(&o, "", "PRIORITY", number, 1);
    put_journal_field(&o, "", "SYSLOG_IDENTIFIER", "cryprq", strlen("cryprq"));
    put_journal_field(&o, "CRYPRQ_", "EVENT", cq_event_name(line->event),
                      strlen(cq_event_name(line->event)));
    for (const struct cq_field *f = line->fields; f->name != NULL; f++) {
        if (is_left_out(f))
            continue;
        const char *value = f->text;
        if (f->kind != CQ_FIELD_TEXT) {
            format_number(f, number);
            value = number;
        }
        put_journal_field(&o, "CRYPRQ_", f->name, value, strlen(value));
    }
    return o.len;
}
