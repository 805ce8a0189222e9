#include "conf/status.h"

#include "base/base64.h"
#include "conf/status_json.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/*
 * Members that are plain numbers, truths and texts stand in tables, which serve both directions.
 * Whatever has a form of its own (IDs, lists, the session) has a pair of functions.
 */

enum kind { KIND_BOOL, KIND_U16, KIND_U32, KIND_U64, KIND_I64, KIND_TEXT };

struct field {
    const char *name;
    enum kind kind;
    size_t offset;
    size_t size; /* of a text, with NUL */
};

#define NODE(name, kind, member)                                                                   \
    {                                                                                              \
        name, kind, offsetof(struct cq_node_status, member),                                       \
            sizeof(((struct cq_node_status *)0)->member)                                           \
    }
#define PEER(name, kind, member)                                                                   \
    {                                                                                              \
        name, kind, offsetof(struct cq_node_peer_status, member),                                  \
            sizeof(((struct cq_node_peer_status *)0)->member)                                      \
    }

static const struct field node_fields[] = {
    NODE("interface", KIND_TEXT, interface),
    NODE("listen_port", KIND_U16, listen_port),
    NODE("fwmark", KIND_U32, fwmark),
    NODE("mtu", KIND_U16, mtu),
    NODE("metrics_address", KIND_TEXT, metrics_address),
    NODE("rotate_secs", KIND_U16, rotate_secs),
    NODE("uptime_secs", KIND_U64, uptime_secs),
    NODE("num_workers", KIND_U32, num_workers),
    NODE("num_pending", KIND_U32, num_pending),
    NODE("under_load", KIND_BOOL, under_load),
    NODE("cookies_sent", KIND_U64, cookies_sent),
    NODE("keys_sent", KIND_U64, keys_sent),
    NODE("keys_erased", KIND_U64, keys_erased),
    {NULL},
};

static const struct field peer_fields[] = {
    PEER("name", KIND_TEXT, name),
    PEER("has_psk", KIND_BOOL, has_psk),
    PEER("key_known", KIND_BOOL, key_known),
    PEER("handshaking", KIND_BOOL, handshaking),
    PEER("endpoint", KIND_TEXT, endpoint),
    PEER("persistent_keepalive", KIND_U16, persistent_keepalive),
    PEER("rx_bytes", KIND_U64, rx_bytes),
    PEER("tx_bytes", KIND_U64, tx_bytes),
    PEER("rx_packets", KIND_U64, rx_packets),
    PEER("tx_packets", KIND_U64, tx_packets),
    PEER("latest_handshake", KIND_I64, latest_handshake),
    PEER("latest_handshake_secs", KIND_U64, latest_handshake_secs),
    PEER("handshake_duration_us", KIND_U64, handshake_duration_us),
    PEER("latest_as_initiator", KIND_BOOL, latest_as_initiator),
    PEER("initiated", KIND_U64, initiated),
    PEER("responded", KIND_U64, responded),
    PEER("rotations", KIND_U64, rotations),
    PEER("failed", KIND_U64, failed),
    PEER("num_sessions", KIND_U32, num_sessions),
    PEER("num_staged", KIND_U32, num_staged),
    {NULL},
};

/* Members that older nodes do not have: missing ones are zero. */
static const struct field late_peer_fields[] = {
    PEER("last_drop_secs", KIND_U64, last_drop_secs),
    PEER("num_refused", KIND_U64, num_refused),
    PEER("refused_secs", KIND_U64, refused_secs),
    PEER("unanswered_secs", KIND_U64, unanswered_secs),
    {NULL},
};

static const struct field session_fields[] = {
    PEER("age_secs", KIND_U64, key_age_secs),
    PEER("rotate_in_secs", KIND_U64, rotate_in_secs),
    {NULL},
};

_Static_assert(sizeof(unsigned) == sizeof(uint32_t), "unsigned members are KIND_U32");

static const uint8_t known_suites[] = {CQ_CONF_SUITE_AES_256_GCM, CQ_CONF_SUITE_CHACHA20_POLY1305};
enum { NUM_SUITES = sizeof(known_suites) };

const char *cq_conf_suite_name(unsigned suite)
{
    return suite == CQ_CONF_SUITE_AES_256_GCM         ? "aes-256-gcm"
           : suite == CQ_CONF_SUITE_CHACHA20_POLY1305 ? "chacha20-poly1305"
                                                      : "none";
}

static uint8_t suite_of_name(const json_t *value)
{
    const char *name = json_string_value(value);

    for (size_t i = 0; name != NULL && i < NUM_SUITES; i++)
        if (strcmp(name, cq_conf_suite_name(known_suites[i])) == 0)
            return known_suites[i];
    return 0;
}

void cq_node_status_free(struct cq_node_status *status)
{
    for (size_t i = 0; i < status->num_peers; i++)
        free(status->peers[i].allowed_ips), free(status->peers[i].configured_endpoint);
    free(status->peers);
    *status = (struct cq_node_status){0};
}

/* Writing. A NULL value or a failed insertion is out of memory; jansson's _new functions take both
 * as an error. */

static json_t *number(uint64_t v)
{
    return json_integer(v > INT64_MAX ? INT64_MAX : (json_int_t)v);
}

static json_t *field_value(const struct field *field, const void *from)
{
    switch (field->kind) {
    case KIND_BOOL:
        return json_boolean(*(const bool *)from);
    case KIND_U16:
        return number(*(const uint16_t *)from);
    case KIND_U32:
        return number(*(const uint32_t *)from);
    case KIND_U64:
        return number(*(const uint64_t *)from);
    case KIND_I64:
        return json_integer(*(const int64_t *)from);
    case KIND_TEXT:
        return json_string(from);
    }
    return NULL;
}

static bool set_fields(json_t *object, const struct field *fields, const void *from)
{
    for (; fields->name != NULL; fields++) {
        json_t *value = field_value(fields, (const char *)from + fields->offset);
        if (json_object_set_new(object, fields->name, value) != 0)
            return false;
    }
    return true;
}

json_t *cq_status_json_id(const uint8_t id[CQ_PEER_ID_LEN])
{
    char text[CQ_KEY32_TEXT_LEN + 1];

    cq_base64_encode(id, CQ_PEER_ID_LEN, text);
    return json_string(text);
}

json_t *cq_status_json_session_id(const uint8_t id[CQ_SESSION_ID_LEN])
{
    static const char digits[] = "0123456789abcdef";
    char text[2 * CQ_SESSION_ID_LEN + 1] = "";

    for (size_t i = 0; i < CQ_SESSION_ID_LEN; i++) {
        text[2 * i] = digits[id[i] >> 4];
        text[2 * i + 1] = digits[id[i] & 15];
    }
    return json_string(text);
}

/* The names of a mask of suites, the preferred one first. */
static json_t *suites_value(uint8_t suites, uint8_t preferred)
{
    json_t *list = json_array();
    int failed = 0;

    if (list != NULL && (suites & preferred) != 0)
        failed |= json_array_append_new(list, json_string(cq_conf_suite_name(preferred)));
    for (size_t i = 0; list != NULL && i < NUM_SUITES; i++)
        if ((suites & known_suites[i]) != 0 && known_suites[i] != preferred)
            failed |= json_array_append_new(list, json_string(cq_conf_suite_name(known_suites[i])));
    if (failed == 0)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *flags_value(const struct cq_node_status *status)
{
    json_t *list = json_array();
    int failed = 0;

    for (size_t i = 0; list != NULL && i < status->num_flags; i++)
        failed |= json_array_append_new(list, json_string(status->flags[i]));
    if (failed == 0)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *drops_value(const uint64_t drops[CQ_DROP_COUNT])
{
    json_t *object = json_object();
    int failed = 0;

    for (int i = CQ_DROP_NONE + 1; object != NULL && i < CQ_DROP_COUNT; i++)
        failed |= json_object_set_new(object, cq_drop_name((enum cq_drop)i), number(drops[i]));
    if (failed == 0)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *prefixes_value(const struct cq_node_peer_status *peer)
{
    char text[CQ_PREFIX_TEXT_MAX];
    json_t *list = json_array();
    int failed = 0;

    for (size_t i = 0; list != NULL && i < peer->num_allowed_ips; i++)
        failed |=
            json_array_append_new(list, json_string(cq_prefix_format(&peer->allowed_ips[i], text)));
    if (failed == 0)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *session_value(const struct cq_node_peer_status *peer)
{
    if (!peer->has_session)
        return json_null();
    json_t *object = json_object();
    if (object == NULL)
        return NULL;
    if (json_object_set_new(object, "id", cq_status_json_session_id(peer->session_id)) == 0 &&
        json_object_set_new(object, "suite", json_string(cq_conf_suite_name(peer->suite))) == 0 &&
        set_fields(object, session_fields, peer))
        return object;
    json_decref(object);
    return NULL;
}

static json_t *step_value(const struct cq_attempt_facts *facts, enum cq_step step)
{
    return json_pack("{s:i,s:I}", "num", (int)facts->num[step], "last_ms",
                     (json_int_t)facts->last_ms[step]);
}

/* The steps that were taken, and what they say; null where there was no attempt. */
static json_t *attempt_value(const struct cq_node_peer_status *peer)
{
    const struct cq_attempt_facts *facts = &peer->attempt;
    char text[CQ_ADDR_TEXT_MAX] = "";
    int failed = 0;

    if (!facts->happened)
        return json_null();
    if (facts->elsewhere.ip.family != CQ_FAMILY_NONE)
        cq_addr_format(&facts->elsewhere, text);
    json_t *object = json_object();
    if (object == NULL)
        return NULL;
    failed |= json_object_set_new(object, "secs", number(peer->attempt_secs));
    for (int i = 0; i < CQ_STEP_COUNT; i++)
        if (facts->num[i] > 0)
            failed |= json_object_set_new(object, cq_step_name((enum cq_step)i),
                                          step_value(facts, (enum cq_step)i));
    failed |=
        json_object_set_new(object, "send_fault",
                            json_string(cq_send_fault_name((enum cq_send_fault)facts->send_fault)));
    failed |= json_object_set_new(object, "elsewhere", json_string(text));
    failed |= json_object_set_new(object, "reason",
                                  json_string(cq_diagnosis_name(cq_diagnosis_of_attempt(facts))));
    if (failed == 0)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *peer_value(const struct cq_node_peer_status *peer)
{
    json_t *object = json_object();

    if (object == NULL)
        return NULL;
    if (json_object_set_new(object, "peer_id", cq_status_json_id(peer->id)) == 0 &&
        set_fields(object, peer_fields, peer) &&
        json_object_set_new(object, "allowed_ips", prefixes_value(peer)) == 0 &&
        json_object_set_new(object, "session", session_value(peer)) == 0 &&
        json_object_set_new(object, "last_drop", json_string(cq_drop_name(peer->last_drop))) == 0 &&
        set_fields(object, late_peer_fields, peer) &&
        json_object_set_new(object, "refused", json_string(cq_drop_name(peer->refused))) == 0 &&
        json_object_set_new(
            object, "configured_endpoint",
            json_string(peer->configured_endpoint != NULL ? peer->configured_endpoint : "")) == 0 &&
        json_object_set_new(object, "attempt", attempt_value(peer)) == 0)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *peers_value(const struct cq_node_status *status)
{
    json_t *list = json_array();
    int failed = 0;

    for (size_t i = 0; list != NULL && failed == 0 && i < status->num_peers; i++)
        failed = json_array_append_new(list, peer_value(&status->peers[i]));
    if (failed == 0)
        return list;
    json_decref(list);
    return NULL;
}

json_t *cq_status_json_make(const struct cq_node_status *status)
{
    json_t *object = json_object();

    if (object == NULL)
        return NULL;
    if (json_object_set_new(object, "version", json_integer(CQ_STATUS_VERSION)) == 0 &&
        json_object_set_new(object, "peer_id", cq_status_json_id(status->id)) == 0 &&
        set_fields(object, node_fields, status) &&
        json_object_set_new(object, "suites",
                            suites_value(status->suites, status->preferred_suite)) == 0 &&
        json_object_set_new(object, "flags", flags_value(status)) == 0 &&
        json_object_set_new(object, "drops", drops_value(status->drops)) == 0 &&
        json_object_set_new(object, "peers", peers_value(status)) == 0)
        return object;
    json_decref(object);
    return NULL;
}

enum cq_err cq_node_status_to_json(const struct cq_node_status *status, bool pretty, char **out,
                                   size_t *out_len)
{
    json_t *object = cq_status_json_make(status);

    *out = NULL;
    *out_len = 0;
    if (object == NULL)
        return CQ_ERR_NOMEM;
    *out = json_dumps(object, pretty ? JSON_INDENT(2) : JSON_COMPACT);
    json_decref(object);
    if (*out == NULL)
        return CQ_ERR_NOMEM;
    *out_len = strlen(*out);
    return CQ_OK;
}

/* Reading. Every function gives false for what has the wrong type or range. */

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

static bool read_field(const struct field *field, const json_t *value, void *to)
{
    uint64_t n = 0;

    switch (field->kind) {
    case KIND_BOOL:
        *(bool *)to = json_is_true(value);
        return json_is_boolean(value);
    case KIND_U16:
        if (!read_number(value, UINT16_MAX, &n))
            return false;
        *(uint16_t *)to = (uint16_t)n;
        return true;
    case KIND_U32:
        if (!read_number(value, UINT32_MAX, &n))
            return false;
        *(uint32_t *)to = (uint32_t)n;
        return true;
    case KIND_U64:
        return read_number(value, INT64_MAX, to);
    case KIND_I64:
        *(int64_t *)to = json_integer_value(value);
        return json_is_integer(value);
    case KIND_TEXT:
        return read_text(value, to, field->size);
    }
    return false;
}

static bool read_fields(const json_t *object, const struct field *fields, void *to)
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

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool cq_status_json_read_session_id(const json_t *object, const char *name,
                                    uint8_t out[CQ_SESSION_ID_LEN])
{
    const json_t *value = json_object_get(object, name);
    const char *text = json_string_value(value);

    if (!json_is_string(value) || json_string_length(value) != 2 * CQ_SESSION_ID_LEN)
        return false;
    for (size_t i = 0; i < CQ_SESSION_ID_LEN; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* Suites of a later version than this are left out. */
static bool read_suites(const json_t *list, struct cq_node_status *out)
{
    if (!json_is_array(list))
        return false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!json_is_string(json_array_get(list, i)))
            return false;
        uint8_t suite = suite_of_name(json_array_get(list, i));
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

static bool read_late_fields(const json_t *object, const struct field *fields, void *to)
{
    for (; fields->name != NULL; fields++) {
        const json_t *value = json_object_get(object, fields->name);
        if (value != NULL && !read_field(fields, value, (char *)to + fields->offset))
            return false;
    }
    return true;
}

static bool read_last_drop(const json_t *value, enum cq_drop *out)
{
    if (!json_is_string(value))
        return false;
    for (int i = CQ_DROP_NONE; i < CQ_DROP_COUNT; i++)
        if (strcmp(json_string_value(value), cq_drop_name((enum cq_drop)i)) == 0)
            *out = (enum cq_drop)i;
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
    out->suite = suite_of_name(json_object_get(value, "suite"));
    return json_is_object(value) && json_is_string(json_object_get(value, "suite")) &&
           cq_status_json_read_session_id(value, "id", out->session_id) &&
           read_fields(value, session_fields, out);
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
    for (int i = 0; i < CQ_SEND_FAULT_COUNT; i++)
        if (strcmp(fault, cq_send_fault_name((enum cq_send_fault)i)) == 0)
            facts->send_fault = (uint8_t)i;
    return elsewhere[0] == '\0' || cq_addr_parse(elsewhere, &facts->elsewhere) == CQ_OK;
}

/* What newer nodes tell. */
static enum cq_err read_late(const json_t *object, struct cq_node_peer_status *out)
{
    const json_t *refused = json_object_get(object, "refused");
    const char *configured = json_string_value(json_object_get(object, "configured_endpoint"));

    if (!read_late_fields(object, late_peer_fields, out) ||
        (refused != NULL && !read_last_drop(refused, &out->refused)) ||
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
        !read_fields(object, peer_fields, out) ||
        !read_session(json_object_get(object, "session"), out) ||
        !read_last_drop(json_object_get(object, "last_drop"), &out->last_drop))
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

enum cq_err cq_status_json_read(struct cq_node_status *out, const json_t *object)
{
    const json_t *version = json_object_get(object, "version");
    enum cq_err err = CQ_ERR_INVALID;

    *out = (struct cq_node_status){0};
    if (json_is_integer(version) && json_integer_value(version) == CQ_STATUS_VERSION &&
        cq_status_json_read_id(object, "peer_id", out->id) &&
        read_fields(object, node_fields, out) &&
        read_suites(json_object_get(object, "suites"), out) &&
        read_flags(json_object_get(object, "flags"), out) &&
        read_drops(json_object_get(object, "drops"), out->drops))
        err = read_peers(json_object_get(object, "peers"), out);
    if (err != CQ_OK)
        cq_node_status_free(out);
    return err;
}

enum cq_err cq_node_status_from_json(struct cq_node_status *out, const char *text, size_t len)
{
    *out = (struct cq_node_status){0};
    if (len > CQ_STATUS_JSON_MAX)
        return CQ_ERR_INVALID;
    json_t *object = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    enum cq_err err = cq_status_json_read(out, object);
    json_decref(object);
    return err;
}
