/*
 * One event as bytes, in each of the forms that a log takes: pure functions into a buffer of the
 * caller's. Whatever the values are, the result is one line (of valid UTF-8 in JSON) that cannot
 * forge a second one or act on a terminal. Any thread.
 */
#ifndef CQ_BASE_LOGLINE_H
#define CQ_BASE_LOGLINE_H

#include "base/event.h"

#include <stddef.h>

enum {
    CQ_LOGLINE_MAX = 2048,         /* bytes of a line, as the log writes it */
    CQ_LOGLINE_JOURNAL_MAX = 8192, /* suffices for the journal's form of any event */
    CQ_LOGLINE_TIME_MAX = 80,
};

struct cq_logline {
    enum cq_event event;
    cq_time wall; /* since 1970 by the wall clock; 0: none is known, and none is written */
    const struct cq_field *fields;
};

/*
 * `event=NAME key=value ...`; a value is quoted when it is empty or holds blanks, quotes, '=' (but
 * at its end), backslashes, control characters or bytes beyond ASCII. What does not fit into size (at least 64)
 * is cut off, and "..." says so. No newline and no NUL is written; returns the length.
 */
size_t cq_logline_kv(char *out, size_t size, const struct cq_logline *line);

/*
 * `{"time":"2026-01-02T03:04:05.678901Z","level":"info","event":"NAME","key":value,...}`: numbers
 * as numbers, everything else as strings, bytes that are not UTF-8 as U+FFFD. What does not fit
 * into size (at least 192) is cut off, and a member "truncated":true says so. No newline, no NUL;
 * returns the length.
 */
size_t cq_logline_json(char *out, size_t size, const struct cq_logline *line);

/*
 * One message of the journal's native protocol: MESSAGE (the form of cq_logline_kv), PRIORITY,
 * SYSLOG_IDENTIFIER=cryprq, CRYPRQ_EVENT, and CRYPRQ_NAME for each field. Fields that do not fit
 * into size (at least 4096) are left out. Returns the length.
 */
size_t cq_logline_journal(char *out, size_t size, const struct cq_logline *line);

/* The number that syslog(3) has for a level. */
int cq_logline_priority(enum cq_level level);

/* "2026-01-02T03:04:05.678901Z" (UTC). Returns out. */
char *cq_logline_time(cq_time wall, char out[CQ_LOGLINE_TIME_MAX]);

/* Copies text into out, quoted and escaped as a value of cq_logline_kv. Cut off to size. Returns
 * out. */
char *cq_logline_quote(const char *text, char *out, size_t size);

#endif
