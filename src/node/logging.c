#include "node/logging.h"

#include "os/clock.h"

#include <time.h>
#include <unistd.h>

enum { TRIES_AT_END = 20 };

static const cq_time again = 100 * CQ_NS_PER_MS;
static const long wait_at_end_ns = 10 * 1000 * 1000;

static struct cq_logout output;
static bool in_use;

void cq_logging_find(struct cq_logging *out, enum cq_notify_sink sink)
{
    *out = (struct cq_logging){
        .frame = CQ_LOG_LINES, .format = cq_log_format(), .level = cq_log_level()};
    if (sink != CQ_NOTIFY_SYSTEM_LOG && cq_notify_stderr_is_journal()) {
        int fd = cq_notify_journal_socket();
        out->frame = fd >= 0 ? CQ_LOG_JOURNAL : CQ_LOG_PREFIXED;
        if (fd >= 0) {
            out->target = (struct cq_logout_target){fd, CQ_LOGOUT_SOCKET, true};
            return;
        }
    }
    if (sink == CQ_NOTIFY_SYSTEM_LOG)
        out->frame = CQ_LOG_PREFIXED;
    cq_logout_find(&out->target, STDERR_FILENO);
}

static void write_output(void *ctx, const char *line, size_t len)
{
    cq_logout_write(ctx, line, len);
}

void cq_logging_use(const struct cq_logging *logging)
{
    const struct cq_log_sink sink = {
        .frame = logging->frame, .write = write_output, .ctx = &output};

    if (in_use)
        cq_logout_close(&output);
    in_use = true;
    cq_logout_init(&output, &logging->target);
    cq_log_set_level(logging->level);
    cq_log_set_format(logging->format);
    cq_log_set_clocks(cq_clock_now, cq_clock_wall);
    cq_log_set_sink(&sink);
}

void cq_logging_start(enum cq_notify_sink sink)
{
    struct cq_logging logging;

    cq_logging_find(&logging, sink);
    cq_logging_use(&logging);
}

void cq_logging_handle_expiry(const char *interface)
{
    if (!in_use)
        return;
    if (cq_log_next_expiry() <= cq_clock_now())
        cq_log_handle_expiry(interface, false);
    cq_logout_flush(&output);
    uint64_t lost = cq_logout_take_lost(&output);
    if (lost > 0)
        cq_log(CQ_EVENT_LOG_LOST, cq_field_text("interface", interface),
               cq_field_int("count", (int64_t)lost));
}

cq_time cq_logging_next_expiry(cq_time now)
{
    cq_time next = cq_log_next_expiry();

    if (in_use && !cq_logout_is_empty(&output))
        next = cq_time_min(next, now + again);
    return next;
}

void cq_logging_end(const char *interface)
{
    const struct timespec pause = {.tv_nsec = wait_at_end_ns};

    if (!in_use)
        return;
    cq_log_handle_expiry(interface, true);
    for (int i = 0; i < TRIES_AT_END && !cq_logout_is_empty(&output); i++) {
        cq_logout_flush(&output);
        if (!cq_logout_is_empty(&output))
            nanosleep(&pause, NULL);
    }
    cq_logging_handle_expiry(interface);
}
