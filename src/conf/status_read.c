#include "conf/status_json.h"

#include "base/base64.h"
#include "conf/status_figures.h"

#include <stdlib.h>
#include <string.h>

/* Every function gives false for what has the wrong type or range. */

static bool read_number(const json_t *value, uint64_t max, uint64_t *out)
{
    json_int_t n = json_integer_value(value);

    if (!json_is_integer(value) || n < 0 || (uint64_t)n > max)
        return false;
    *out = (uint64_t)n;
    return true;
}

static bool read_text(const json_t *value, char *out, size_t size)
{
    if (!json_is_string(value) || json_string_length(value) >= size)
        return false;
    memcpy(out, json_string_value(value), json_string_length(value));
    out[json_string_length(value)] = '\0';
    return true;
}

static bool read_field(const struct cq_status_field *field, const json_t *value, void *to)
{
    uint64_t n = 0;

    switch (field->kind) {
    case CQ_STATUS_BOOL:
        *(bool *)to = json_is_true(value);
        return json_is_boolean(value);
    case CQ_STATUS_U16:
        if (!read_number(value, UINT16_MAX, &n))
            return false;
        *(uint16_t *)to = (uint16_t)n;
        return true;
    case CQ_STATUS_U32:
        if (!read_number(value, UINT32_MAX, &n))
            return false;
        *(uint32_t *)to = (uint32_t)n;
        return true;
    case CQ_STATUS_U64:
        return read_number(value, INT64_MAX, to);
    case CQ_STATUS_I64:
        *(int64_t *)to = json_integer_value(value);
        return json_is_integer(value);
    case CQ_STATUS_TEXT:
        return read_text(value, to, field->size);
    }
    return false;
}

static bool read_fields(const json_t *object, const struct cq_status_field *fields, void *to)
{
    for (; fields->name != NULL; fields++)
        if (!read_field(fields, json_object_get(object, fields->name), (char *)to + fields->offset))
            return false;
    return true;
}

bool cq_status_json_read_id(const json_t *object, const char *name, uint8_t out[CQ_PEER_ID_LEN])
{
    const json_t *value = json_object_get(object, name);

    return json_is_string(value) &&
           cq_base64_decode(json_string_value(value), json_string_length(value), out,
                            CQ_PEER_ID_LEN) == CQ_OK;
}

bool cq_status_json_read_session_id(const json_t *object, const char *name,
                                    uint8_t out[CQ_SESSION_ID_LEN])
{
    const json_t *value = json_object_get(object, name);

    return json_is_string(value) && json_string_length(value) == CQ_SESSION_ID_TEXT_LEN &&
           cq_status_session_parse(json_string_value(value), out);
}

/* Suites of a later version than this are left out. */
static bool read_suites(const json_t *list, struct cq_node_status *out)
{
    if (!json_is_array(list))
        return false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!json_is_string(json_array_get(list, i)))
            return false;
        uint8_t suite = cq_status_suite_of_name(json_string_value(json_array_get(list, i)));
        if (out->suites == 0)
            out->preferred_suite = suite;
        out->suites |= suite;
    }
    return true;
}

static bool read_flags(const json_t *list, struct cq_node_status *out)
{
    if (!json_is_array(list) || json_array_size(list) > CQ_STATUS_MAX_FLAGS)
        return false;
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!read_text(json_array_get(list, i), out->flags[i], sizeof(out->flags[i])))
            return false;
    out->num_flags = json_array_size(list);
    return true;
}

/* A state of a later version counts as unavailable. */
static bool read_offload(const json_t *value, enum cq_offload_state *state, uint64_t *fallbacks)
{
    const char *name = json_string_value(json_object_get(value, "state"));

    if (name == NULL || !read_number(json_object_get(value, "fallbacks"), INT64_MAX, fallbacks))
        return false;
    *state = CQ_OFFLOAD_UNAVAILABLE;
    for (int i = 0; i < CQ_OFFLOAD_STATE_COUNT; i++)
        if (strcmp(name, cq_offload_state_name((enum cq_offload_state)i)) == 0)
            *state = (enum cq_offload_state)i;
    return true;
}

static bool read_offloads(const json_t *object, struct cq_node_status *out)
{
    if (object == NULL || json_is_null(object))
        return true;
    out->has_offloads = true;
    for (int i = 0; i < CQ_OFFLOAD_COUNT; i++)
        if (!read_offload(json_object_get(object, cq_offload_name((enum cq_offload)i)),
                          &out->offloads[i], &out->offload_fallbacks[i]))
            return false;
    return json_is_object(object);
}

/* Older nodes do not tell them; more than this version knows are left out. */
static bool read_workers(const json_t *list, struct cq_node_status *out)
{
    if (list == NULL)
        return true;
    for (size_t i = 0; i < json_array_size(list) && i < CQ_CONF_MAX_WORKERS; i++) {
        const json_t *one = json_array_get(list, i);
        if (!read_number(json_object_get(one, "sealed"), INT64_MAX, &out->workers[i].sealed) ||
            !read_number(json_object_get(one, "opened"), INT64_MAX, &out->workers[i].opened))
            return false;
    }
    return json_is_array(list);
}

static bool read_drops(const json_t *object, uint64_t drops[CQ_DROP_COUNT])
{
    if (!json_is_object(object))
        return false;
    for (int i = CQ_DROP_NONE + 1; i < CQ_DROP_COUNT; i++) {
        const json_t *value = json_object_get(object, cq_drop_name((enum cq_drop)i));
        if (value != NULL && !read_number(value, INT64_MAX, &drops[i]))
            return false;
    }
    return true;
}

static bool read_late_fields(const json_t *object, const struct cq_status_field *fields, void *to)
{
    for (; fields->name != NULL; fields++) {
        const json_t *value = json_object_get(object, fields->name);
        if (value != NULL && !read_field(fields, value, (char *)to + fields->offset))
            return false;
    }
    return true;
}

static bool read_drop(const json_t *value, enum cq_drop *out)
{
    if (!json_is_string(value))
        return false;
    *out = cq_status_drop_of_name(json_string_value(value));
    return true;
}

static enum cq_err read_prefixes(const json_t *list, struct cq_node_peer_status *out)
{
    size_t num = json_array_size(list);

    if (!json_is_array(list))
        return CQ_ERR_INVALID;
    if (num == 0)
        return CQ_OK;
    out->allowed_ips = calloc(num, sizeof(*out->allowed_ips));
    if (out->allowed_ips == NULL)
        return CQ_ERR_NOMEM;
    out->num_allowed_ips = num;
    for (size_t i = 0; i < num; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text == NULL || cq_prefix_parse(text, &out->allowed_ips[i], NULL) != CQ_OK)
            return CQ_ERR_INVALID;
    }
    return CQ_OK;
}

static bool read_session(const json_t *value, struct cq_node_peer_status *out)
{
    if (json_is_null(value))
        return true;
    out->has_session = true;
    const char *suite = json_string_value(json_object_get(value, "suite"));
    if (suite == NULL)
        return false;
    out->suite = cq_status_suite_of_name(suite);
    return cq_status_json_read_session_id(value, "id", out->session_id) &&
           read_fields(value, cq_status_session_fields, out);
}

static bool read_step(const json_t *value, struct cq_attempt_facts *facts, enum cq_step step)
{
    uint64_t num, last;

    if (value == NULL)
        return true;
    if (!read_number(json_object_get(value, "num"), UINT16_MAX, &num) ||
        !read_number(json_object_get(value, "last_ms"), UINT32_MAX, &last))
        return false;
    facts->num[step] = (uint16_t)num;
    facts->last_ms[step] = (uint32_t)last;
    return true;
}

/* Steps and faults of a later version than this are left out. */
static bool read_attempt(const json_t *object, struct cq_node_peer_status *out)
{
    struct cq_attempt_facts *facts = &out->attempt;
    const char *fault = json_string_value(json_object_get(object, "send_fault"));
    const char *elsewhere = json_string_value(json_object_get(object, "elsewhere"));

    if (object == NULL || json_is_null(object))
        return true;
    if (!json_is_object(object) || fault == NULL || elsewhere == NULL ||
        !read_number(json_object_get(object, "secs"), INT64_MAX, &out->attempt_secs))
        return false;
    facts->happened = true;
    for (int i = 0; i < CQ_STEP_COUNT; i++)
        if (!read_step(json_object_get(object, cq_step_name((enum cq_step)i)), facts,
                       (enum cq_step)i))
            return false;
    facts->send_fault = cq_status_fault_of_name(fault);
    return elsewhere[0] == '\0' || cq_addr_parse(elsewhere, &facts->elsewhere) == CQ_OK;
}

/* What newer nodes tell. */
static enum cq_err read_late(const json_t *object, struct cq_node_peer_status *out)
{
    const json_t *refused = json_object_get(object, "refused");
    const char *configured = json_string_value(json_object_get(object, "configured_endpoint"));

    if (!read_late_fields(object, cq_status_late_peer_fields, out) ||
        (refused != NULL && !read_drop(refused, &out->refused)) ||
        !read_attempt(json_object_get(object, "attempt"), out))
        return CQ_ERR_INVALID;
    if (configured == NULL || configured[0] == '\0')
        return CQ_OK;
    out->configured_endpoint = strdup(configured);
    return out->configured_endpoint != NULL ? CQ_OK : CQ_ERR_NOMEM;
}

static enum cq_err read_peer(const json_t *object, struct cq_node_peer_status *out)
{
    if (!json_is_object(object) || !cq_status_json_read_id(object, "peer_id", out->id) ||
        !read_fields(object, cq_status_peer_fields, out) ||
        !read_session(json_object_get(object, "session"), out) ||
        !read_drop(json_object_get(object, "last_drop"), &out->last_drop))
        return CQ_ERR_INVALID;
    enum cq_err err = read_late(object, out);
    return err == CQ_OK ? read_prefixes(json_object_get(object, "allowed_ips"), out) : err;
}

static enum cq_err read_peers(const json_t *list, struct cq_node_status *out)
{
    size_t num = json_array_size(list);

    if (!json_is_array(list) || num > CQ_CONF_MAX_PEERS)
        return CQ_ERR_INVALID;
    if (num == 0)
        return CQ_OK;
    out->peers = calloc(num, sizeof(*out->peers));
    if (out->peers == NULL)
        return CQ_ERR_NOMEM;
    out->num_peers = num;
    for (size_t i = 0; i < num; i++) {
        enum cq_err err = read_peer(json_array_get(list, i), &out->peers[i]);
        if (err != CQ_OK)
            return err;
    }
    return CQ_OK;
}

/* One more peer, zeroed. */
static struct cq_node_peer_status *add_peer(struct cq_node_status *out, size_t *room)
{
    if (out->num_peers == *room) {
        size_t more = *room == 0 ? 16 : 2 * *room;
        struct cq_node_peer_status *peers = realloc(out->peers, more * sizeof(*peers));
        if (peers == NULL)
            return NULL;
        out->peers = peers;
        *room = more;
    }
    struct cq_node_peer_status *peer = &out->peers[out->num_peers++];
    memset(peer, 0, sizeof(*peer));
    return peer;
}

static enum cq_err read_peers_apart(struct cq_json_list *list, struct cq_node_status *out)
{
    size_t room = 0;
    json_t *object;

    while (list->at < list->end) {
        if (out->num_peers == CQ_CONF_MAX_PEERS)
            return CQ_ERR_INVALID;
        struct cq_node_peer_status *peer = add_peer(out, &room);
        if (peer == NULL)
            return CQ_ERR_NOMEM;
        if (cq_status_scan_peer(peer, list))
            continue;
        if (!cq_json_list_next(list, &object))
            return CQ_ERR_INVALID;
        enum cq_err err = read_peer(object, peer);
        json_decref(object);
        if (err != CQ_OK)
            return err;
    }
    return CQ_OK;
}

enum cq_err cq_status_json_read(struct cq_node_status *out, const json_t *object,
                                struct cq_json_list *peers)
{
    const json_t *version = json_object_get(object, "version");
    enum cq_err err = CQ_ERR_INVALID;

    *out = (struct cq_node_status){0};
    if (json_is_integer(version) && json_integer_value(version) == CQ_STATUS_VERSION &&
        cq_status_json_read_id(object, "peer_id", out->id) &&
        read_fields(object, cq_status_node_fields, out) &&
        read_late_fields(object, cq_status_late_node_fields, out) &&
        cq_status_figures_read(object, out) &&
        read_suites(json_object_get(object, "suites"), out) &&
        read_flags(json_object_get(object, "flags"), out) &&
        read_workers(json_object_get(object, "workers"), out) &&
        read_offloads(json_object_get(object, "offloads"), out) &&
        read_drops(json_object_get(object, "drops"), out->drops))
        err = peers->at != NULL ? read_peers_apart(peers, out)
                                : read_peers(json_object_get(object, "peers"), out);
    if (err != CQ_OK)
        cq_node_status_free(out);
    return err;
}

enum cq_err cq_node_status_from_json(struct cq_node_status *out, const char *text, size_t len)
{
    static const char *const path[] = {"peers", NULL};
    struct cq_json_list peers;

    *out = (struct cq_node_status){0};
    if (len > CQ_STATUS_JSON_MAX)
        return CQ_ERR_INVALID;
    json_t *object = cq_json_load_apart(&peers, text, len, path, NULL);
    enum cq_err err = cq_status_json_read(out, object, &peers);
    json_decref(object);
    return err;
}
