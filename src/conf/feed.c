#include "conf/feed.h"

#include "base/log.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static bool copy_member(const json_t *object, const char *name, char *out, size_t size)
{
    const json_t *value = json_object_get(object, name);

    out[0] = '\0';
    if (!json_is_string(value) || json_string_length(value) >= size)
        return false;
    memcpy(out, json_string_value(value), json_string_length(value) + 1);
    return true;
}

static bool is_told_elsewhere(const char *name)
{
    static const char *const names[] = {"time", "level", "event", "interface", "peer", "name"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* "name=value" behind what is there, after a blank; what does not fit is left out. */
static void add_field(struct cq_feed_event *out, const char *name, const json_t *value)
{
    char text[CQ_FEED_REST_MAX];
    size_t used = strlen(out->rest);

    if (json_is_string(value))
        cq_logline_quote(json_string_value(value), text, sizeof(text));
    else if (json_is_integer(value))
        snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        snprintf(text, sizeof(text), "%.2f", json_real_value(value));
    else
        snprintf(text, sizeof(text), "%s", json_is_true(value) ? "true" : "?");
    int n = snprintf(out->rest + used, sizeof(out->rest) - used, "%s%s=%s", used > 0 ? " " : "",
                     name, text);
    if (n < 0 || (size_t)n >= sizeof(out->rest) - used)
        out->rest[used] = '\0';
}

static bool read_event(struct cq_feed_event *out, json_t *object)
{
    char level[CQ_FEED_NAME_MAX];
    const char *name;
    json_t *value;

    (void)copy_member(object, "time", out->time, sizeof(out->time));
    (void)copy_member(object, "interface", out->interface, sizeof(out->interface));
    if (!copy_member(object, "name", out->peer, sizeof(out->peer)) || out->peer[0] == '\0')
        (void)copy_member(object, "peer", out->peer, sizeof(out->peer));
    if (!copy_member(object, "event", out->event, sizeof(out->event)) ||
        !copy_member(object, "level", level, sizeof(level)) ||
        cq_log_level_parse(level, &out->level) != CQ_OK)
        return false;
    json_object_foreach(object, name, value) if (!is_told_elsewhere(name))
        add_field(out, name, value);
    return true;
}

enum cq_err cq_feed_parse(struct cq_feed_event *out, const char *line, size_t len)
{
    json_t *object = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);

    memset(out, 0, sizeof(*out));
    bool good = json_is_object(object) && read_event(out, object);
    json_decref(object);
    return good ? CQ_OK : CQ_ERR_INVALID;
}
