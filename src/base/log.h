/*
 * The log sink and the event vocabulary. One line per event: `event=NAME key=value ...`. Lower
 * layers never print: they hand events up as data (engine/action.h); programs write them through
 * this. No secret and no inner payload is ever logged. Thread-safe.
 */
#ifndef CQ_BASE_LOG_H
#define CQ_BASE_LOG_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum cq_level { CQ_LOG_ERROR, CQ_LOG_WARN, CQ_LOG_INFO, CQ_LOG_DEBUG };

/* Only events at or above this level (default INFO) are written. */
void cq_log_set_level(enum cq_level level);
enum cq_level cq_log_level(void);

/* "error", "warn", "info", "debug"; CQ_ERR_INVALID for anything else. */
CQ_MUST_CHECK enum cq_err cq_log_level_parse(const char *text, enum cq_level *out);

/* Prefix each line with the journal priority "<6>" (set when stderr is connected to the journal).
 */
void cq_log_set_journal(bool on);

/*
 * Writes one line to stderr with one write(2): "event=NAME " and then the printf-formatted rest,
 * which the caller composes of key=value pairs. A value that may contain spaces or control
 * characters goes through cq_log_quote.
 */
void cq_log(enum cq_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Copies text into out, quoted when it is empty or holds spaces, quotes, '=' or control characters
 * (escaped). Truncates to size. Returns out. */
char *cq_log_quote(const char *text, char *out, size_t size);

#endif
