#include "base/log.h"

#include "base/loglimit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NOBODY = -1 };

static _Atomic int max_level = CQ_LOG_INFO;
static _Atomic int observed_level = NOBODY;

/* Set up before other threads log. */
static enum cq_log_format format;
static struct cq_log_sink sink;
static cq_time (*now_clock)(void), (*wall_clock)(void);
static cq_log_observe observer;
static void *observer_ctx;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct cq_loglimit limit; /* guarded by it, as is the sink */

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
        if (strcmp(text, cq_level_name((enum cq_level)i)) == 0) {
            *out = (enum cq_level)i;
            return CQ_OK;
        }
    }
    return CQ_ERR_INVALID;
}

void cq_log_set_format(enum cq_log_format wanted)
{
    format = wanted;
}

enum cq_log_format cq_log_format(void)
{
    return format;
}

enum cq_err cq_log_format_parse(const char *text, enum cq_log_format *out)
{
    bool json = strcmp(text, "json") == 0;

    if (!json && strcmp(text, "kv") != 0)
        return CQ_ERR_INVALID;
    *out = json ? CQ_LOG_JSON : CQ_LOG_KV;
    return CQ_OK;
}

void cq_log_set_sink(const struct cq_log_sink *wanted)
{
    sink = *wanted;
}

void cq_log_set_clocks(cq_time (*now)(void), cq_time (*wall)(void))
{
    now_clock = now;
    wall_clock = wall;
}

void cq_log_set_observer(cq_log_observe observe, void *ctx, enum cq_level level)
{
    observer = observe;
    observer_ctx = ctx;
    atomic_store_explicit(&observed_level, observe != NULL ? (int)level : NOBODY,
                          memory_order_relaxed);
}

static bool is_observed(enum cq_level level)
{
    return (int)level <= atomic_load_explicit(&observed_level, memory_order_relaxed);
}

bool cq_log_wants(enum cq_level level)
{
    return level <= cq_log_level() || is_observed(level);
}

static void write_out(const char *line, size_t len)
{
    ssize_t n;

    if (sink.write != NULL) {
        sink.write(sink.ctx, line, len);
        return;
    }
    do {
        n = write(STDERR_FILENO, line, len);
    } while (n < 0 && errno == EINTR);
}

static void write_line(const struct cq_logline *line)
{
    char out[CQ_LOGLINE_MAX];
    size_t len = 0, room = sizeof(out) - 1; /* the newline */

    if (sink.frame == CQ_LOG_PREFIXED)
        len = (size_t)snprintf(out, sizeof(out), "<%d>",
                               cq_logline_priority(cq_event_level(line->event)));
    len += format == CQ_LOG_JSON ? cq_logline_json(out + len, room - len, line)
                                 : cq_logline_kv(out + len, room - len, line);
    out[len++] = '\n';
    write_out(out, len);
}

static void write_event(const struct cq_logline *line)
{
    char message[CQ_LOGLINE_JOURNAL_MAX];

    if (sink.frame == CQ_LOG_JOURNAL)
        write_out(message, cq_logline_journal(message, sizeof(message), line));
    else
        write_line(line);
}

static const char *find_text(const struct cq_field *fields, const char *name)
{
    for (; fields->name != NULL; fields++)
        if (fields->kind == CQ_FIELD_TEXT && fields->text != NULL &&
            strcmp(fields->name, name) == 0)
            return fields->text;
    return "";
}

static bool passes(enum cq_event event, const struct cq_field *fields)
{
    return now_clock == NULL || cq_loglimit_pass(&limit, event, find_text(fields, "peer"),
                                                 find_text(fields, "name"), now_clock());
}

void cq_log_event(enum cq_event event, const struct cq_field *fields)
{
    int saved_errno = errno;
    enum cq_level level = cq_event_level(event);

    if (!cq_log_wants(level))
        return;
    struct cq_logline line = {
        .event = event, .wall = wall_clock != NULL ? wall_clock() : 0, .fields = fields};
    if (level <= cq_log_level()) {
        pthread_mutex_lock(&mutex);
        if (passes(event, fields))
            write_event(&line);
        pthread_mutex_unlock(&mutex);
    }
    if (is_observed(level))
        observer(observer_ctx, &line);
    errno = saved_errno;
}

static void write_report(const char *interface, const struct cq_loglimit_report *report)
{
    const struct cq_field fields[] = {
        cq_field_text("interface", interface),
        cq_field_text("peer", report->key[0] != '\0' ? report->key : NULL),
        cq_field_text("name", report->name[0] != '\0' ? report->name : NULL),
        cq_field_int("count", (int64_t)report->count),
        cq_field_text("of", cq_event_name(report->event)),
        {0},
    };
    struct cq_logline line = {
        .event = CQ_EVENT_LOG_SUPPRESSED, .wall = wall_clock(), .fields = fields};

    if (cq_event_level(line.event) <= cq_log_level())
        write_event(&line);
}

void cq_log_handle_expiry(const char *interface, bool all)
{
    struct cq_loglimit_report report;

    if (now_clock == NULL)
        return;
    pthread_mutex_lock(&mutex);
    cq_time now = all ? CQ_TIME_NEVER : now_clock();
    while (cq_loglimit_report(&limit, &report, now))
        write_report(interface, &report);
    pthread_mutex_unlock(&mutex);
}

cq_time cq_log_next_expiry(void)
{
    pthread_mutex_lock(&mutex);
    cq_time next = cq_loglimit_next_expiry(&limit);
    pthread_mutex_unlock(&mutex);
    return next;
}

void cq_log_forget(void)
{
    memset(&limit, 0, sizeof(limit));
}
