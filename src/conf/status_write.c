#include "conf/status_json.h"

#include "base/base64.h"
#include "conf/status_figures.h"
#include "conf/words.h"

static void put_fields(struct cq_json *json, const struct cq_status_field *fields, const void *from)
{
    for (; fields->name != NULL; fields++) {
        const void *at = (const char *)from + fields->offset;
        switch (fields->kind) {
        case CQ_STATUS_BOOL:
            cq_json_bool(json, fields->name, *(const bool *)at);
            break;
        case CQ_STATUS_U16:
            cq_json_u64(json, fields->name, *(const uint16_t *)at);
            break;
        case CQ_STATUS_U32:
            cq_json_u64(json, fields->name, *(const uint32_t *)at);
            break;
        case CQ_STATUS_U64:
            cq_json_u64(json, fields->name, *(const uint64_t *)at);
            break;
        case CQ_STATUS_I64:
            cq_json_i64(json, fields->name, *(const int64_t *)at);
            break;
        case CQ_STATUS_TEXT:
            cq_json_text(json, fields->name, at);
            break;
        }
    }
}

static void put_id(struct cq_json *json, const char *name, const uint8_t id[CQ_PEER_ID_LEN])
{
    char text[CQ_KEY32_TEXT_LEN + 1];

    cq_base64_encode(id, CQ_PEER_ID_LEN, text);
    cq_json_text(json, name, text);
}

/* The names of a mask of suites, the preferred one first. */
static void put_suites(struct cq_json *json, uint8_t suites, uint8_t preferred)
{
    cq_json_open(json, "suites", '[');
    if ((suites & preferred) != 0)
        cq_json_text(json, NULL, cq_conf_suite_name(preferred));
    for (size_t i = 0; i < CQ_STATUS_NUM_SUITES; i++)
        if ((suites & cq_status_suites[i]) != 0 && cq_status_suites[i] != preferred)
            cq_json_text(json, NULL, cq_conf_suite_name(cq_status_suites[i]));
    cq_json_close(json, ']');
}

/* {"tun_csum": {"state": "on", "fallbacks": 0}, ...}; null where they are not known. */
static void put_offloads(struct cq_json *json, const struct cq_node_status *status)
{
    if (!status->has_offloads) {
        cq_json_null(json, "offloads");
        return;
    }
    cq_json_open(json, "offloads", '{');
    for (int i = 0; i < CQ_OFFLOAD_COUNT; i++) {
        cq_json_open(json, cq_offload_name((enum cq_offload)i), '{');
        cq_json_text(json, "state", cq_offload_state_name(status->offloads[i]));
        cq_json_u64(json, "fallbacks", status->offload_fallbacks[i]);
        cq_json_close(json, '}');
    }
    cq_json_close(json, '}');
}

static void put_prefixes(struct cq_json *json, const struct cq_node_peer_status *peer)
{
    char text[CQ_PREFIX_TEXT_MAX];

    cq_json_open(json, "allowed_ips", '[');
    for (size_t i = 0; i < peer->num_allowed_ips; i++)
        cq_json_text(json, NULL, cq_prefix_format(&peer->allowed_ips[i], text));
    cq_json_close(json, ']');
}

static void put_session(struct cq_json *json, const struct cq_node_peer_status *peer)
{
    char text[CQ_SESSION_ID_TEXT_LEN + 1];

    if (!peer->has_session) {
        cq_json_null(json, "session");
        return;
    }
    cq_json_open(json, "session", '{');
    cq_json_text(json, "id", cq_status_session_text(peer->session_id, text));
    cq_json_text(json, "suite", cq_conf_suite_name(peer->suite));
    put_fields(json, cq_status_session_fields, peer);
    cq_json_close(json, '}');
}

/* The steps that were taken, and what they say; null where there was no attempt. */
static void put_attempt(struct cq_json *json, const struct cq_node_peer_status *peer)
{
    const struct cq_attempt_facts *facts = &peer->attempt;
    char text[CQ_ADDR_TEXT_MAX] = "";

    if (!facts->happened) {
        cq_json_null(json, "attempt");
        return;
    }
    if (facts->elsewhere.ip.family != CQ_FAMILY_NONE)
        cq_addr_format(&facts->elsewhere, text);
    cq_json_open(json, "attempt", '{');
    cq_json_u64(json, "secs", peer->attempt_secs);
    for (int i = 0; i < CQ_STEP_COUNT; i++) {
        if (facts->num[i] == 0)
            continue;
        cq_json_open(json, cq_step_name((enum cq_step)i), '{');
        cq_json_u64(json, "num", facts->num[i]);
        cq_json_u64(json, "last_ms", facts->last_ms[i]);
        cq_json_close(json, '}');
    }
    cq_json_text(json, "send_fault", cq_send_fault_name((enum cq_send_fault)facts->send_fault));
    cq_json_text(json, "elsewhere", text);
    cq_json_text(json, "reason", cq_diagnosis_name(cq_diagnosis_of_attempt(facts)));
    cq_json_close(json, '}');
}

static void put_words(struct cq_json *json, const struct cq_node_peer_status *peer,
                      const char *interface)
{
    char words[CQ_WORDS_MAX];
    enum cq_link_state state = cq_peer_words(words, peer, interface);

    cq_json_text(json, "state", cq_link_state_name(state));
    cq_json_text(json, "explanation", words);
}

/* interface NULL: without words. */
static void put_peer(struct cq_json *json, const struct cq_node_peer_status *peer,
                     const char *interface)
{
    cq_json_open(json, NULL, '{');
    put_id(json, "peer_id", peer->id);
    put_fields(json, cq_status_peer_fields, peer);
    put_prefixes(json, peer);
    put_session(json, peer);
    cq_json_text(json, "last_drop", cq_drop_name(peer->last_drop));
    put_fields(json, cq_status_late_peer_fields, peer);
    cq_json_text(json, "refused", cq_drop_name(peer->refused));
    cq_json_text(json, "refused_reason", cq_diagnosis_name(cq_diagnosis_of_refusal(peer->refused)));
    cq_json_text(json, "configured_endpoint",
                 peer->configured_endpoint != NULL ? peer->configured_endpoint : "");
    put_attempt(json, peer);
    if (interface != NULL)
        put_words(json, peer, interface);
    cq_json_close(json, '}');
}

void cq_status_json_write(struct cq_json *json, const char *name,
                          const struct cq_node_status *status)
{
    cq_json_open(json, name, '{');
    cq_json_u64(json, "version", CQ_STATUS_VERSION);
    put_id(json, "peer_id", status->id);
    put_fields(json, cq_status_node_fields, status);
    put_fields(json, cq_status_late_node_fields, status);
    cq_status_figures_write(json, status);
    put_suites(json, status->suites, status->preferred_suite);
    cq_json_open(json, "flags", '[');
    for (size_t i = 0; i < status->num_flags; i++)
        cq_json_text(json, NULL, status->flags[i]);
    cq_json_close(json, ']');
    cq_json_open(json, "workers", '[');
    for (unsigned i = 0; i < status->num_workers && i < CQ_CONF_MAX_WORKERS; i++) {
        cq_json_open(json, NULL, '{');
        cq_json_u64(json, "sealed", status->workers[i].sealed);
        cq_json_u64(json, "opened", status->workers[i].opened);
        cq_json_close(json, '}');
    }
    cq_json_close(json, ']');
    put_offloads(json, status);
    cq_json_open(json, "drops", '{');
    for (int i = CQ_DROP_NONE + 1; i < CQ_DROP_COUNT; i++)
        cq_json_u64(json, cq_drop_name((enum cq_drop)i), status->drops[i]);
    cq_json_close(json, '}');
    cq_json_open(json, "peers", '[');
    for (size_t i = 0; i < status->num_peers; i++)
        put_peer(json, &status->peers[i], name == NULL ? status->interface : NULL);
    cq_json_close(json, ']');
    cq_json_close(json, '}');
}

enum cq_err cq_status_json_finish(struct cq_json *json, char **out, size_t *out_len)
{
    cq_text_add(&json->text, "", 1);
    *out = NULL;
    *out_len = 0;
    if (json->text.failed) {
        cq_text_free(&json->text);
        return CQ_ERR_NOMEM;
    }
    *out = json->text.data;
    *out_len = json->text.len - 1;
    json->text = (struct cq_text){0};
    return CQ_OK;
}

enum cq_err cq_node_status_to_json(const struct cq_node_status *status, bool pretty, char **out,
                                   size_t *out_len)
{
    struct cq_json json = {.pretty = pretty};

    cq_status_json_write(&json, NULL, status);
    return cq_status_json_finish(&json, out, out_len);
}
