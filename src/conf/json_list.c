#include "conf/json_list.h"

#include <stdlib.h>
#include <string.h>

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

/* p is at a quote; gives the place behind the closing one, NULL: there is none. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end; p++) {
        if (*p == '\\')
            p++;
        else if (*p == '"')
            return p + 1;
    }
    return NULL;
}

/* Behind a value, which need not be a good one: to where its brackets are closed, or to what may
 * follow a value. NULL: the text ends before. */
static const char *skip_value(const char *p, const char *end)
{
    size_t depth = 0;

    while (p != NULL && p < end) {
        if (depth == 0 && (*p == ',' || *p == '}' || *p == ']'))
            return p;
        if (*p == '"') {
            p = skip_string(p, end);
            continue;
        }
        depth += *p == '{' || *p == '[';
        depth -= *p == '}' || *p == ']';
        p++;
    }
    return NULL;
}

/* The value of a member of the object that p is at; NULL: none, or something is wrong. */
static const char *find_member(const char *p, const char *end, const char *name)
{
    size_t len = strlen(name);

    p = skip_blanks(p, end);
    if (p == end || *p != '{')
        return NULL;
    do {
        const char *key = skip_blanks(p + 1, end);
        if (key == end || *key != '"')
            return NULL;
        const char *behind = skip_string(key, end);
        if (behind == NULL)
            return NULL;
        p = skip_blanks(behind, end);
        if (p == end || *p != ':')
            return NULL;
        p = skip_blanks(p + 1, end);
        if ((size_t)(behind - key) == len + 2 && memcmp(key + 1, name, len) == 0)
            return p;
        p = skip_value(p, end);
    } while (p != NULL && *p == ',');
    return NULL;
}

/* Behind each object of a list, the last one with its bracket. NULL: not a list of objects. */
static const char *find_end(const char *p, const char *end)
{
    do {
        p = skip_blanks(p + 1, end);
        if (p == end || *p != '{')
            return NULL;
        p = skip_value(p, end);
    } while (p != NULL && *p == ',');
    return p != NULL && *p == ']' ? p : NULL;
}

static bool find_list(struct cq_json_list *out, const char *text, size_t len,
                      const char *const *path)
{
    const char *end = text + len, *p = text;

    for (; p != NULL && *path != NULL; path++)
        p = find_member(p, end, *path);
    if (p == NULL || p == end || *p != '[')
        return false;
    *out = (struct cq_json_list){p + 1, find_end(p, end)};
    return out->end != NULL;
}

json_t *cq_json_load_apart(struct cq_json_list *out, const char *text, size_t len,
                           const char *const *path, json_error_t *error)
{
    if (!find_list(out, text, len, path)) {
        *out = (struct cq_json_list){0};
        return json_loadb(text, len, JSON_REJECT_DUPLICATES, error);
    }
    size_t before = (size_t)(out->at - text), after = len - (size_t)(out->end - text);
    char *rest = malloc(before + after);
    if (rest == NULL)
        return NULL;
    memcpy(rest, text, before);
    memcpy(rest + before, out->end, after);
    json_t *value = json_loadb(rest, before + after, JSON_REJECT_DUPLICATES, error);
    free(rest);
    return value;
}

bool cq_json_list_next(struct cq_json_list *list, json_t **out)
{
    *out = NULL;
    if (list->at >= list->end)
        return false;
    const char *behind = skip_value(skip_blanks(list->at, list->end), list->end);
    if (behind == NULL)
        behind = list->end;
    *out = json_loadb(list->at, (size_t)(behind - list->at), JSON_REJECT_DUPLICATES, NULL);
    if (*out == NULL)
        return false;
    list->at = behind < list->end ? behind + 1 : behind;
    return true;
}
