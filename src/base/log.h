/*
 * The log: events (base/event.h) go through level and rate limit to one sink, and before those to
 * an observer. Lower layers never log: they hand events up as data (engine/action.h). No secret and
 * no inner payload is ever a field. Thread-safe, but for the functions that set something up: those
 * are called before other threads log.
 */
#ifndef CQ_BASE_LOG_H
#define CQ_BASE_LOG_H

#include "base/err.h"
#include "base/event.h"
#include "base/logline.h"

#include <stdbool.h>
#include <stddef.h>

/* Only events at or above this level (default INFO) are written. */
void cq_log_set_level(enum cq_level level);
enum cq_level cq_log_level(void);

/* "error", "warn", "info", "debug"; CQ_ERR_INVALID for anything else. */
CQ_MUST_CHECK enum cq_err cq_log_level_parse(const char *text, enum cq_level *out);

enum cq_log_format { CQ_LOG_KV, CQ_LOG_JSON };

/* Of the lines; without effect on the journal's own protocol. Default KV. */
void cq_log_set_format(enum cq_log_format format);
enum cq_log_format cq_log_format(void);
/* "kv", "json"; CQ_ERR_INVALID for anything else. */
CQ_MUST_CHECK enum cq_err cq_log_format_parse(const char *text, enum cq_log_format *out);

enum cq_log_frame {
    CQ_LOG_LINES,    /* a line */
    CQ_LOG_PREFIXED, /* a line after its priority, "<6>" */
    CQ_LOG_JOURNAL,  /* a message of the journal's native protocol */
};

/* Where lines go. write gets one line with its newline, or one message, at a time; it must not log.
 * write NULL (the default): standard error, with one write(2) a line. */
struct cq_log_sink {
    enum cq_log_frame frame;
    void (*write)(void *ctx, const char *line, size_t len);
    void *ctx;
};
void cq_log_set_sink(const struct cq_log_sink *sink);

/* Without clocks (the default) nothing is limited and lines of JSON have no time. now: as
 * cq_clock_now; wall: since 1970. */
void cq_log_set_clocks(cq_time (*now)(void), cq_time (*wall)(void));

/* Called for every event of `level` and above, whether it is written or not, in the thread that
 * logs; it must not log. NULL: nobody. */
typedef void (*cq_log_observe)(void *ctx, const struct cq_logline *line);
void cq_log_set_observer(cq_log_observe observe, void *ctx, enum cq_level level);

/* Whether somebody wants to know of events of this level. */
bool cq_log_wants(enum cq_level level);

/* Tells an event: its fields are a list of base/event.h, of names that the vocabulary knows. errno
 * stays as it is. */
void cq_log_event(enum cq_event event, const struct cq_field *fields);

/* cq_log(CQ_EVENT_STOPPING, cq_field_text("interface", name), ...) */
#define cq_log(event, ...) cq_log_event(event, (const struct cq_field[]){__VA_ARGS__, {0}})

/* Writes the reports on events that were left out and are due (all: even if not yet). */
void cq_log_handle_expiry(const char *interface, bool all);

/* When cq_log_handle_expiry has work by the clock `now`; CQ_TIME_NEVER: never. */
cq_time cq_log_next_expiry(void);

/* In a forked process: nothing was left out yet. */
void cq_log_forget(void);

#endif
