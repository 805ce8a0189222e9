#include "base/event.h"

#include <stddef.h>

struct entry {
    const char *name;
    enum cq_level level;
    const char *fields;
    const char *text;
};

static const struct entry table[CQ_EVENT_COUNT] = {
#define X(symbol, name, level, fields, text)                                                       \
    [CQ_EVENT_##symbol] = {name, CQ_LOG_##level, fields, text},
    CQ_EVENT_LIST(X)
#undef X
};

static const struct entry *find(enum cq_event event)
{
    static const struct entry unknown = {"unknown", CQ_LOG_ERROR, "", ""};

    return (unsigned)event < CQ_EVENT_COUNT ? &table[event] : &unknown;
}

const char *cq_event_name(enum cq_event event)
{
    return find(event)->name;
}

enum cq_level cq_event_level(enum cq_event event)
{
    return find(event)->level;
}

const char *cq_event_fields(enum cq_event event)
{
    return find(event)->fields;
}

const char *cq_event_text(enum cq_event event)
{
    return find(event)->text;
}

const char *cq_level_name(enum cq_level level)
{
    static const char *const names[] = {
        [CQ_LOG_ERROR] = "error",
        [CQ_LOG_WARN] = "warn",
        [CQ_LOG_INFO] = "info",
        [CQ_LOG_DEBUG] = "debug",
    };
    return (unsigned)level <= CQ_LOG_DEBUG ? names[level] : "unknown";
}
