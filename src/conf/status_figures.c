#include "conf/status_figures.h"

#include <string.h>

static const char *const roles[2] = {"initiator", "responder"};

static void put_numbers(struct cq_json *json, const char *name, const uint64_t *numbers, size_t num)
{
    cq_json_open(json, name, '[');
    for (size_t i = 0; i < num; i++)
        cq_json_u64(json, NULL, numbers[i]);
    cq_json_close(json, ']');
}

void cq_status_figures_write(struct cq_json *json, const struct cq_node_status *status)
{
    cq_json_open(json, "handshake_durations", '{');
    put_numbers(json, "upper_us", status->durations.upper_us, CQ_STATUS_DURATIONS);
    for (int role = 0; role < 2; role++)
        put_numbers(json, roles[role], status->durations.counts[role], CQ_STATUS_DURATIONS + 1);
    cq_json_close(json, '}');
    if (status->num_processes == 0)
        return;
    cq_json_open(json, "processes", '[');
    for (size_t i = 0; i < status->num_processes; i++) {
        cq_json_open(json, NULL, '{');
        cq_json_text(json, "name", status->processes[i].name);
        cq_json_u64(json, "cpu_ms", status->processes[i].cpu_ms);
        cq_json_u64(json, "resident_bytes", status->processes[i].resident_bytes);
        cq_json_close(json, '}');
    }
    cq_json_close(json, ']');
}

static bool read_number(const json_t *value, uint64_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static bool read_numbers(const json_t *list, uint64_t *out, size_t num)
{
    if (!json_is_array(list) || json_array_size(list) != num)
        return false;
    for (size_t i = 0; i < num; i++)
        if (!read_number(json_array_get(list, i), &out[i]))
            return false;
    return true;
}

static bool read_durations(const json_t *object, struct cq_status_durations *out)
{
    if (object == NULL)
        return true;
    return read_numbers(json_object_get(object, "upper_us"), out->upper_us, CQ_STATUS_DURATIONS) &&
           read_numbers(json_object_get(object, roles[0]), out->counts[0],
                        CQ_STATUS_DURATIONS + 1) &&
           read_numbers(json_object_get(object, roles[1]), out->counts[1], CQ_STATUS_DURATIONS + 1);
}

static bool read_process(const json_t *object, struct cq_status_process *out)
{
    const char *name = json_string_value(json_object_get(object, "name"));

    if (name == NULL || strlen(name) >= sizeof(out->name))
        return false;
    strcpy(out->name, name);
    return read_number(json_object_get(object, "cpu_ms"), &out->cpu_ms) &&
           read_number(json_object_get(object, "resident_bytes"), &out->resident_bytes);
}

bool cq_status_figures_read(const json_t *object, struct cq_node_status *out)
{
    const json_t *list = json_object_get(object, "processes");

    if (!read_durations(json_object_get(object, "handshake_durations"), &out->durations))
        return false;
    if (list == NULL)
        return true;
    if (!json_is_array(list) || json_array_size(list) > CQ_STATUS_MAX_PROCESSES)
        return false;
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!read_process(json_array_get(list, i), &out->processes[i]))
            return false;
    out->num_processes = json_array_size(list);
    return true;
}
