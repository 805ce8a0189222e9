#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048 };

static _Atomic int max_level = CQ_LOG_INFO;
static _Atomic bool journal;

static const char *const level_names[] = {
    [CQ_LOG_ERROR] = "error",
    [CQ_LOG_WARN] = "warn",
    [CQ_LOG_INFO] = "info",
    [CQ_LOG_DEBUG] = "debug",
};

/* syslog(3) priorities */
static const char *const level_prefixes[] = {
    [CQ_LOG_ERROR] = "<3>",
    [CQ_LOG_WARN] = "<4>",
    [CQ_LOG_INFO] = "<6>",
    [CQ_LOG_DEBUG] = "<7>",
};

void cq_log_set_level(enum cq_level level)
{
    atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

enum cq_level cq_log_level(void)
{
    return (enum cq_level)atomic_load_explicit(&max_level, memory_order_relaxed);
}

enum cq_err cq_log_level_parse(const char *text, enum cq_level *out)
{
    for (int i = CQ_LOG_ERROR; i <= CQ_LOG_DEBUG; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *out = (enum cq_level)i;
            return CQ_OK;
        }
    }
    return CQ_ERR_INVALID;
}

void cq_log_set_journal(bool on)
{
    atomic_store_explicit(&journal, on, memory_order_relaxed);
}

/* A stray line break would forge a second line; other control characters play with terminals. */
static void blank_controls(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == 0x7f)
            text[i] = ' ';
    }
}

static void write_line(const char *line, size_t len)
{
    ssize_t n;

    do {
        n = write(STDERR_FILENO, line, len);
    } while (n < 0 && errno == EINTR);
}

void cq_log(enum cq_level level, const char *event, const char *format, ...)
{
    char line[LINE_MAX_BYTES + 1]; /* and the newline */
    int saved_errno = errno;
    size_t room = LINE_MAX_BYTES;
    size_t len;
    va_list args;

    if (level > cq_log_level())
        return;
    bool prefixed = atomic_load_explicit(&journal, memory_order_relaxed);
    int n = snprintf(line, room, "%sevent=%s ", prefixed ? level_prefixes[level] : "", event);
    len = n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
    va_start(args, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is, in the line above */
    n = vsnprintf(line + len, room - len, format, args);
    va_end(args);
    if (n > 0 && (size_t)n >= room - len) {
        len = room - 1;
        memset(line + len - 3, '.', 3);
    } else if (n > 0) {
        len += (size_t)n;
    }
    blank_controls(line, len);
    while (len > 0 && line[len - 1] == ' ')
        len--;
    line[len++] = '\n';
    write_line(line, len);
    errno = saved_errno;
}

static bool needs_quotes(const char *text)
{
    if (*text == '\0')
        return true;
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
            return true;
    }
    return false;
}

/* Writes one character escaped into at most 4; returns how many. */
static size_t escape_char(unsigned char c, char out[4])
{
    static const char hex[] = "0123456789abcdef";

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

char *cq_log_quote(const char *text, char *out, size_t size)
{
    size_t len = 0;

    if (size == 0)
        return out;
    if (!needs_quotes(text)) {
        len = strnlen(text, size - 1);
        memcpy(out, text, len);
    } else if (size >= sizeof("\"\"")) {
        out[len++] = '"';
        for (; *text != '\0'; text++) {
            char escaped[4];
            size_t n = escape_char((unsigned char)*text, escaped);
            if (len + n + sizeof("\"") > size)
                break;
            memcpy(out + len, escaped, n);
            len += n;
        }
        out[len++] = '"';
    }
    out[len] = '\0';
    return out;
}
