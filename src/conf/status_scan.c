#include "conf/status_json.h"

#include "base/base64.h"
#include "conf/words.h"

#include <stdlib.h>
#include <string.h>

/*
 * A peer read straight from its text, in the order and the form of status_write.c and in no other:
 * no blanks, no escapes, no member more or less. Whatever differs is declined, and read by way of
 * jansson; so this decides nothing, it only saves a tree of some fifty values for each peer.
 */

struct scan {
    const char *at, *end;
};

static bool take(struct scan *s, const char *literal)
{
    size_t len = strlen(literal);

    if ((size_t)(s->end - s->at) < len || memcmp(s->at, literal, len) != 0)
        return false;
    s->at += len;
    return true;
}

static bool take_number(struct scan *s, uint64_t max, uint64_t *out)
{
    const char *from = s->at;
    uint64_t n = 0;

    /* 18 digits cannot overflow; what is longer is for the other reader. */
    for (; s->at < s->end && *s->at >= '0' && *s->at <= '9' && s->at - from < 18; s->at++)
        n = 10 * n + (uint64_t)(*s->at - '0');
    *out = n;
    return s->at > from && (*from != '0' || s->at == from + 1) && n <= max && s->at < s->end &&
           (*s->at == ',' || *s->at == '}');
}

/* A string without anything that needs a second look. */
static bool take_string(struct scan *s, char *out, size_t size)
{
    size_t len = 0;

    if (!take(s, "\""))
        return false;
    for (; s->at < s->end && *s->at != '"'; s->at++) {
        if (*s->at < ' ' || *s->at > '~' || *s->at == '\\' || len + 1 >= size)
            return false;
        out[len++] = *s->at;
    }
    out[len] = '\0';
    return take(s, "\"");
}

static bool take_field(struct scan *s, const struct cq_status_field *field, void *to)
{
    uint64_t n = 0;

    switch (field->kind) {
    case CQ_STATUS_BOOL:
        *(bool *)to = take(s, "true");
        return *(bool *)to || take(s, "false");
    case CQ_STATUS_U16:
        if (!take_number(s, UINT16_MAX, &n))
            return false;
        *(uint16_t *)to = (uint16_t)n;
        return true;
    case CQ_STATUS_U32:
        if (!take_number(s, UINT32_MAX, &n))
            return false;
        *(uint32_t *)to = (uint32_t)n;
        return true;
    case CQ_STATUS_U64:
        return take_number(s, INT64_MAX, to);
    case CQ_STATUS_I64:
        if (!take_number(s, INT64_MAX, &n))
            return false;
        *(int64_t *)to = (int64_t)n;
        return true;
    case CQ_STATUS_TEXT:
        return take_string(s, to, field->size);
    }
    return false;
}

static bool take_fields(struct scan *s, const struct cq_status_field *fields, void *to)
{
    for (; fields->name != NULL; fields++)
        if (!take(s, ",\"") || !take(s, fields->name) || !take(s, "\":") ||
            !take_field(s, fields, (char *)to + fields->offset))
            return false;
    return true;
}

static bool take_id(struct scan *s, uint8_t out[CQ_PEER_ID_LEN])
{
    char text[CQ_KEY32_TEXT_LEN + 1];

    return take_string(s, text, sizeof(text)) &&
           cq_base64_decode(text, strlen(text), out, CQ_PEER_ID_LEN) == CQ_OK;
}

static bool take_prefixes(struct scan *s, struct cq_node_peer_status *out)
{
    char text[CQ_PREFIX_TEXT_MAX];
    size_t room = 0;

    if (!take(s, ",\"allowed_ips\":["))
        return false;
    for (const char *p = s->at; p < s->end && *p != ']'; p++)
        room += *p == ','; /* no prefix has one */
    if (take(s, "]"))
        return true;
    out->allowed_ips = calloc(room + 1, sizeof(*out->allowed_ips));
    if (out->allowed_ips == NULL)
        return false;
    do {
        if (out->num_allowed_ips > room || !take_string(s, text, sizeof(text)) ||
            cq_prefix_parse(text, &out->allowed_ips[out->num_allowed_ips], NULL) != CQ_OK)
            return false;
        out->num_allowed_ips++;
    } while (take(s, ","));
    return take(s, "]");
}

static bool take_session(struct scan *s, struct cq_node_peer_status *out)
{
    char text[CQ_SESSION_ID_TEXT_LEN + 1], suite[32];

    if (!take(s, ",\"session\":"))
        return false;
    if (take(s, "null"))
        return true;
    if (!take(s, "{\"id\":") || !take_string(s, text, sizeof(text)) ||
        !cq_status_session_parse(text, out->session_id) || !take(s, ",\"suite\":") ||
        !take_string(s, suite, sizeof(suite)))
        return false;
    out->suite = cq_status_suite_of_name(suite);
    out->has_session = true;
    return take_fields(s, cq_status_session_fields, out) && take(s, "}");
}

static bool take_drop(struct scan *s, const char *name, enum cq_drop *out)
{
    char text[64];

    if (!take(s, name) || !take_string(s, text, sizeof(text)))
        return false;
    *out = cq_status_drop_of_name(text);
    return true;
}

/* What it says follows from the rest. */
static bool take_reason(struct scan *s)
{
    char text[64];

    return take(s, ",\"refused_reason\":") && take_string(s, text, sizeof(text));
}

static bool take_configured(struct scan *s, struct cq_node_peer_status *out)
{
    char text[CQ_CONF_HOST_MAX + sizeof("[]:65535")];

    if (!take(s, ",\"configured_endpoint\":") || !take_string(s, text, sizeof(text)))
        return false;
    if (text[0] == '\0')
        return true;
    out->configured_endpoint = strdup(text);
    return out->configured_endpoint != NULL;
}

static bool take_step(struct scan *s, struct cq_attempt_facts *facts, enum cq_step step)
{
    const char *before = s->at;
    uint64_t num, last;

    if (!take(s, ",\"") || !take(s, cq_step_name(step)) || !take(s, "\":{\"num\":")) {
        s->at = before;
        return true; /* it was not taken, or what follows is declined */
    }
    if (!take_number(s, UINT16_MAX, &num) || !take(s, ",\"last_ms\":") ||
        !take_number(s, UINT32_MAX, &last))
        return false;
    facts->num[step] = (uint16_t)num;
    facts->last_ms[step] = (uint32_t)last;
    return take(s, "}");
}

static bool take_attempt(struct scan *s, struct cq_node_peer_status *out)
{
    char fault[32], elsewhere[CQ_ADDR_TEXT_MAX], reason[64];
    struct cq_attempt_facts *facts = &out->attempt;

    if (!take(s, ",\"attempt\":"))
        return false;
    if (take(s, "null"))
        return true;
    facts->happened = true;
    if (!take(s, "{\"secs\":") || !take_number(s, INT64_MAX, &out->attempt_secs))
        return false;
    for (int i = 0; i < CQ_STEP_COUNT; i++)
        if (!take_step(s, facts, (enum cq_step)i))
            return false;
    if (!take(s, ",\"send_fault\":") || !take_string(s, fault, sizeof(fault)) ||
        !take(s, ",\"elsewhere\":") || !take_string(s, elsewhere, sizeof(elsewhere)) ||
        !take(s, ",\"reason\":") || !take_string(s, reason, sizeof(reason)) || !take(s, "}"))
        return false;
    facts->send_fault = cq_status_fault_of_name(fault);
    return elsewhere[0] == '\0' || cq_addr_parse(elsewhere, &facts->elsewhere) == CQ_OK;
}

/* They say nothing that is not known from the rest. */
static bool pass_words(struct scan *s)
{
    char state[32], words[CQ_WORDS_MAX];

    if (!take(s, ",\"state\":"))
        return true;
    return take_string(s, state, sizeof(state)) && take(s, ",\"explanation\":") &&
           take_string(s, words, sizeof(words));
}

static bool take_peer(struct scan *s, struct cq_node_peer_status *out)
{
    return take(s, "{\"peer_id\":") && take_id(s, out->id) &&
           take_fields(s, cq_status_peer_fields, out) && take_prefixes(s, out) &&
           take_session(s, out) && take_drop(s, ",\"last_drop\":", &out->last_drop) &&
           take_fields(s, cq_status_late_peer_fields, out) &&
           take_drop(s, ",\"refused\":", &out->refused) && take_reason(s) &&
           take_configured(s, out) && take_attempt(s, out) && pass_words(s) && take(s, "}");
}

bool cq_status_scan_peer(struct cq_node_peer_status *out, struct cq_json_list *list)
{
    struct scan s = {list->at, list->end};

    if (take_peer(&s, out) && (s.at == s.end || *s.at == ',')) {
        list->at = s.at + (s.at < s.end);
        return true;
    }
    free(out->allowed_ips);
    free(out->configured_endpoint);
    memset(out, 0, sizeof(*out));
    return false;
}
