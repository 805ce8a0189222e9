#include "conf/json.h"

#include <string.h>

static void begin_line(struct cq_json *json)
{
    static const char blanks[] = "                    ";
    size_t want = 2 * (size_t)json->depth;

    if (!json->pretty)
        return;
    cq_text_add(&json->text, "\n", 1);
    cq_text_add(&json->text, blanks, want < sizeof(blanks) ? want : sizeof(blanks) - 1);
}

/* What stands before a value. */
static void lead(struct cq_json *json, const char *name)
{
    if (json->begun)
        cq_text_add(&json->text, ",", 1);
    if (json->depth > 0)
        begin_line(json);
    json->begun = true;
    if (name == NULL)
        return;
    cq_text_add(&json->text, "\"", 1);
    cq_text_put(&json->text, name);
    cq_text_add(&json->text, "\": ", json->pretty ? 3 : 2);
}

void cq_json_open(struct cq_json *json, const char *name, char bracket)
{
    lead(json, name);
    cq_text_add(&json->text, &bracket, 1);
    json->depth++;
    json->begun = false;
}

void cq_json_close(struct cq_json *json, char bracket)
{
    json->depth--;
    if (json->begun)
        begin_line(json);
    cq_text_add(&json->text, &bracket, 1);
    json->begun = true;
}

void cq_json_null(struct cq_json *json, const char *name)
{
    lead(json, name);
    cq_text_put(&json->text, "null");
}

void cq_json_bool(struct cq_json *json, const char *name, bool value)
{
    lead(json, name);
    cq_text_put(&json->text, value ? "true" : "false");
}

void cq_json_u64(struct cq_json *json, const char *name, uint64_t value)
{
    lead(json, name);
    cq_text_put_u64(&json->text, value > INT64_MAX ? INT64_MAX : value);
}

void cq_json_i64(struct cq_json *json, const char *name, int64_t value)
{
    lead(json, name);
    if (value < 0)
        cq_text_add(&json->text, "-", 1);
    cq_text_put_u64(&json->text, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

static void put_escape(struct cq_text *text, unsigned char c)
{
    static const char digits[] = "0123456789abcdef";
    const char code[] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
    const char mark[] = {'\\', (char)c};

    if (c == '"' || c == '\\')
        cq_text_add(text, mark, sizeof(mark));
    else
        cq_text_add(text, code, sizeof(code));
}

void cq_json_text(struct cq_json *json, const char *name, const char *value)
{
    const char *from = value;

    lead(json, name);
    cq_text_add(&json->text, "\"", 1);
    for (; *value != '\0'; value++) {
        unsigned char c = (unsigned char)*value;
        if (c >= ' ' && c < 0x7f && c != '"' && c != '\\')
            continue;
        cq_text_add(&json->text, from, (size_t)(value - from));
        put_escape(&json->text, c);
        from = value + 1;
    }
    cq_text_add(&json->text, from, (size_t)(value - from));
    cq_text_add(&json->text, "\"", 1);
}
