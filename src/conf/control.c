#include "conf/control.h"

#include "base/base64.h"
#include "base/log.h"
#include "conf/status_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    enum cq_control_command command;
    const char *name;
} commands[] = {
    {CQ_CONTROL_SHOW, "show"},
    {CQ_CONTROL_ROTATE, "rotate"},
    {CQ_CONTROL_WATCH, "watch"},
};
enum { NUM_COMMANDS = sizeof(commands) / sizeof(commands[0]) };

void cq_control_seed(uint32_t seed)
{
    json_object_seed(seed != 0 ? seed : 1);
}

void cq_control_response_free(struct cq_control_response *response)
{
    cq_node_status_free(&response->status);
    free(response->rotated);
    *response = (struct cq_control_response){0};
}

static enum cq_err refuse(char reason[CQ_CONTROL_ERROR_MAX + 1], const char *text)
{
    snprintf(reason, CQ_CONTROL_ERROR_MAX + 1, "%s", text);
    return CQ_ERR_INVALID;
}

/* The object of a message of this version, or NULL and the reason. The peers of a status may be
 * loaded apart (conf/json_list.h). */
static json_t *load_message(const char *line, size_t len, size_t max,
                            char reason[CQ_CONTROL_ERROR_MAX + 1], struct cq_json_list *out_peers)
{
    static const char *const path[] = {"status", "peers", NULL};
    json_error_t error;
    char text[CQ_CONTROL_ERROR_MAX + 1];

    reason[0] = '\0';
    if (len > max) {
        snprintf(text, sizeof(text), "message is longer than %zu bytes", max);
        (void)!refuse(reason, text);
        return NULL;
    }
    json_t *object = cq_json_load_apart(out_peers, line, len, path, &error);
    if (!json_is_object(object)) {
        json_decref(object);
        (void)!refuse(reason, "message is not a JSON object");
        return NULL;
    }
    const json_t *version = json_object_get(object, "version");
    if (json_is_integer(version) && json_integer_value(version) == CQ_CONTROL_VERSION)
        return object;
    if (json_is_integer(version))
        snprintf(text, sizeof(text),
                 "control message of version %" JSON_INTEGER_FORMAT ", but this program speaks %d",
                 json_integer_value(version), CQ_CONTROL_VERSION);
    else
        snprintf(text, sizeof(text), "control message has no \"version\"");
    (void)!refuse(reason, text);
    json_decref(object);
    return NULL;
}

/* Writes a message as a line and lets go of it; message may be NULL (out of memory). */
static enum cq_err dump_message(json_t *message, char **out, size_t *out_len)
{
    *out = NULL;
    *out_len = 0;
    if (message == NULL)
        return CQ_ERR_NOMEM;
    char *text = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    if (text == NULL)
        return CQ_ERR_NOMEM;
    size_t len = strlen(text);
    char *line = realloc(text, len + 2);
    if (line == NULL) {
        free(text);
        return CQ_ERR_NOMEM;
    }
    memcpy(line + len, "\n", 2);
    *out = line;
    *out_len = len + 1;
    return CQ_OK;
}

static json_t *id_value(const uint8_t id[CQ_PEER_ID_LEN])
{
    char text[CQ_KEY32_TEXT_LEN + 1];

    cq_base64_encode(id, CQ_PEER_ID_LEN, text);
    return json_string(text);
}

static json_t *request_value(const struct cq_control_request *request)
{
    json_t *object = json_object();
    const char *name = "";

    for (size_t i = 0; i < NUM_COMMANDS; i++)
        if (commands[i].command == request->command)
            name = commands[i].name;
    if (object == NULL)
        return NULL;
    if (json_object_set_new(object, "version", json_integer(CQ_CONTROL_VERSION)) == 0 &&
        json_object_set_new(object, "command", json_string(name)) == 0 &&
        (!request->has_peer || json_object_set_new(object, "peer", id_value(request->peer)) == 0) &&
        (request->command != CQ_CONTROL_WATCH ||
         json_object_set_new(object, "level", json_string(cq_level_name(request->level))) == 0))
        return object;
    json_decref(object);
    return NULL;
}

enum cq_err cq_control_request_encode(const struct cq_control_request *request, char *out,
                                      size_t size, size_t *out_len)
{
    char *line;
    size_t len;
    enum cq_err err = dump_message(request_value(request), &line, &len);

    *out_len = 0;
    if (err != CQ_OK)
        return err;
    err = len <= size ? CQ_OK : CQ_ERR_RANGE;
    if (err == CQ_OK) {
        memcpy(out, line, len);
        *out_len = len;
    }
    free(line);
    return err;
}

/* A request with a member that we do not know might mean more than we would do. */
static bool has_only_known(json_t *object)
{
    const char *name;
    json_t *value;

    json_object_foreach(object, name, value) if (strcmp(name, "version") != 0 &&
                                                 strcmp(name, "command") != 0 &&
                                                 strcmp(name, "peer") != 0 &&
                                                 strcmp(name, "level") != 0) return false;
    return true;
}

static enum cq_err read_request(struct cq_control_request *out, json_t *object,
                                char reason[CQ_CONTROL_ERROR_MAX + 1])
{
    const char *name = json_string_value(json_object_get(object, "command"));
    size_t i = 0;

    if (name == NULL)
        return refuse(reason, "request has no \"command\"");
    while (i < NUM_COMMANDS && strcmp(name, commands[i].name) != 0)
        i++;
    if (i == NUM_COMMANDS)
        return refuse(reason, "unknown command: known are show, rotate and watch");
    if (!has_only_known(object))
        return refuse(reason, "request has an unknown member");
    out->command = commands[i].command;
    const json_t *level = json_object_get(object, "level");
    if ((level != NULL) != (out->command == CQ_CONTROL_WATCH))
        return refuse(reason, "\"level\" goes with watch, and watch with it");
    if (level != NULL && (!json_is_string(level) ||
                          cq_log_level_parse(json_string_value(level), &out->level) != CQ_OK))
        return refuse(reason, "\"level\" is not error, warn, info or debug");
    if (json_object_get(object, "peer") == NULL)
        return CQ_OK;
    if (out->command != CQ_CONTROL_ROTATE)
        return refuse(reason, "\"peer\" goes with rotate only");
    if (!cq_status_json_read_id(object, "peer", out->peer))
        return refuse(reason, "\"peer\" is not a PeerID (44 characters)");
    out->has_peer = true;
    return CQ_OK;
}

enum cq_err cq_control_request_decode(struct cq_control_request *out, const char *line, size_t len,
                                      char reason[CQ_CONTROL_ERROR_MAX + 1])
{
    struct cq_json_list none;
    json_t *object = load_message(line, len, CQ_CONTROL_REQUEST_MAX, reason, &none);

    *out = (struct cq_control_request){0};
    if (object == NULL)
        return CQ_ERR_INVALID;
    enum cq_err err = read_request(out, object, reason);
    json_decref(object);
    if (err != CQ_OK)
        *out = (struct cq_control_request){0};
    return err;
}

static json_t *rotated_item(const struct cq_control_rotated *rotated)
{
    char session[CQ_SESSION_ID_TEXT_LEN + 1];
    json_t *object = json_object();

    if (object == NULL)
        return NULL;
    if (json_object_set_new(object, "id", id_value(rotated->id)) == 0 &&
        json_object_set_new(object, "name", json_string(rotated->name)) == 0 &&
        json_object_set_new(object, "duration_us",
                            json_integer((json_int_t)rotated->duration_us)) == 0 &&
        json_object_set_new(object, "session_id",
                            json_string(cq_status_session_text(rotated->session_id, session))) ==
            0 &&
        json_object_set_new(object, "error", json_string(rotated->error)) == 0)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *rotated_value(const struct cq_control_response *response)
{
    json_t *list = json_array();
    int failed = 0;

    for (size_t i = 0; list != NULL && failed == 0 && i < response->num_rotated; i++)
        failed = json_array_append_new(list, rotated_item(&response->rotated[i]));
    if (failed == 0)
        return list;
    json_decref(list);
    return NULL;
}

/* The member that the kind of response stands for. */
static int set_content(json_t *object, const struct cq_control_response *response)
{
    switch (response->kind) {
    case CQ_CONTROL_KIND_ERROR:
        return json_object_set_new(object, "error", json_string(response->error));
    case CQ_CONTROL_KIND_STATUS: /* encode_status */
        break;
    case CQ_CONTROL_KIND_ROTATED:
        return json_object_set_new(object, "rotated", rotated_value(response));
    case CQ_CONTROL_KIND_WATCHING:
        return json_object_set_new(object, "watching", json_true());
    }
    return -1;
}

static enum cq_err encode_status(const struct cq_node_status *status, char **out, size_t *out_len)
{
    struct cq_json json = {0};

    cq_json_open(&json, NULL, '{');
    cq_json_u64(&json, "version", CQ_CONTROL_VERSION);
    cq_json_bool(&json, "ok", true);
    cq_status_json_write(&json, "status", status);
    cq_json_close(&json, '}');
    cq_text_add(&json.text, "\n", 1);
    return cq_status_json_finish(&json, out, out_len);
}

enum cq_err cq_control_response_encode(const struct cq_control_response *response, char **out,
                                       size_t *out_len)
{
    bool ok = response->kind != CQ_CONTROL_KIND_ERROR;

    if (response->kind == CQ_CONTROL_KIND_STATUS)
        return encode_status(&response->status, out, out_len);
    json_t *object = json_object();
    *out = NULL;
    *out_len = 0;
    if (object == NULL)
        return CQ_ERR_NOMEM;
    if (json_object_set_new(object, "version", json_integer(CQ_CONTROL_VERSION)) == 0 &&
        json_object_set_new(object, "ok", json_boolean(ok)) == 0 &&
        set_content(object, response) == 0)
        return dump_message(object, out, out_len);
    json_decref(object);
    return CQ_ERR_NOMEM;
}

static bool copy_member(const json_t *object, const char *name, char *out, size_t size)
{
    const json_t *value = json_object_get(object, name);

    if (!json_is_string(value) || json_string_length(value) >= size)
        return false;
    memcpy(out, json_string_value(value), json_string_length(value) + 1);
    return true;
}

static bool read_rotated_item(const json_t *object, struct cq_control_rotated *out)
{
    const json_t *duration = json_object_get(object, "duration_us");

    out->duration_us = (uint64_t)json_integer_value(duration);
    return json_is_integer(duration) && json_integer_value(duration) >= 0 &&
           cq_status_json_read_id(object, "id", out->id) &&
           copy_member(object, "name", out->name, sizeof(out->name)) &&
           cq_status_json_read_session_id(object, "session_id", out->session_id) &&
           copy_member(object, "error", out->error, sizeof(out->error));
}

static enum cq_err read_rotated(struct cq_control_response *out, const json_t *list)
{
    size_t num = json_array_size(list);

    if (!json_is_array(list) || num > CQ_CONF_MAX_PEERS)
        return CQ_ERR_INVALID;
    out->rotated = calloc(num > 0 ? num : 1, sizeof(*out->rotated));
    if (out->rotated == NULL)
        return CQ_ERR_NOMEM;
    out->num_rotated = num;
    for (size_t i = 0; i < num; i++)
        if (!read_rotated_item(json_array_get(list, i), &out->rotated[i]))
            return CQ_ERR_INVALID;
    return CQ_OK;
}

static enum cq_err read_response(struct cq_control_response *out, const json_t *object,
                                 struct cq_json_list *peers)
{
    const json_t *ok = json_object_get(object, "ok");
    const json_t *status = json_object_get(object, "status");
    const json_t *rotated = json_object_get(object, "rotated");

    if (json_is_false(ok)) {
        out->kind = CQ_CONTROL_KIND_ERROR;
        return copy_member(object, "error", out->error, sizeof(out->error)) ? CQ_OK
                                                                            : CQ_ERR_INVALID;
    }
    if (json_is_true(ok) && json_is_true(json_object_get(object, "watching")) && status == NULL &&
        rotated == NULL) {
        out->kind = CQ_CONTROL_KIND_WATCHING;
        return CQ_OK;
    }
    if (!json_is_true(ok) || (status != NULL) == (rotated != NULL))
        return CQ_ERR_INVALID;
    out->kind = status != NULL ? CQ_CONTROL_KIND_STATUS : CQ_CONTROL_KIND_ROTATED;
    return status != NULL ? cq_status_json_read(&out->status, status, peers)
                          : read_rotated(out, rotated);
}

enum cq_err cq_control_response_decode(struct cq_control_response *out, const char *line,
                                       size_t len, char reason[CQ_CONTROL_ERROR_MAX + 1])
{
    struct cq_json_list peers;
    json_t *object = load_message(line, len, CQ_CONTROL_RESPONSE_MAX, reason, &peers);

    *out = (struct cq_control_response){0};
    if (object == NULL)
        return CQ_ERR_INVALID;
    enum cq_err err = read_response(out, object, &peers);
    json_decref(object);
    if (err == CQ_ERR_INVALID)
        err = refuse(reason, "response is not one of this version");
    if (err != CQ_OK)
        cq_control_response_free(out);
    return err;
}
