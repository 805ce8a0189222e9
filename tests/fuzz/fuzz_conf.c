/*
 * What the program reads from people and from its own socket: an input that begins with '{' is a
 * control message or a status, anything else a configuration file.
 */
#include "conf/config.h"
#include "conf/control.h"
#include "conf/json_list.h"
#include "conf/status_json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(int condition)
{
    if (!condition)
        abort();
}

/* Whether the whole document is taken, and the same by its parts. */
static void try_apart(const char *text, size_t len)
{
    static const char *const path[] = {"status", "peers", NULL};
    struct cq_json_list list;
    json_t *whole = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL), *element = NULL;
    json_t *rest = cq_json_load_apart(&list, text, len, path, NULL);
    bool taken = rest != NULL;

    while (taken && cq_json_list_next(&list, &element))
        json_decref(element);
    taken = taken && list.at >= list.end;
    require(taken == (whole != NULL));
    json_decref(whole);
    json_decref(rest);
}

/* A status says the same whether its peers are read by themselves or out of a tree of it all. */
static void try_status(const char *text, size_t len)
{
    struct cq_node_status status[2];
    struct cq_json_list none = {0};
    char *again[2];
    size_t again_len;
    json_t *tree = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    enum cq_err err = cq_status_json_read(&status[0], tree, &none);

    json_decref(tree);
    require(cq_node_status_from_json(&status[1], text, len) == err);
    if (err != CQ_OK)
        return;
    for (int i = 0; i < 2; i++) {
        require(cq_node_status_to_json(&status[i], false, &again[i], &again_len) == CQ_OK);
        cq_node_status_free(&status[i]);
    }
    require(strcmp(again[0], again[1]) == 0);
    free(again[0]);
    free(again[1]);
}

static void try_messages(const char *text, size_t len)
{
    char reason[CQ_CONTROL_ERROR_MAX + 1];
    struct cq_control_request request;
    struct cq_control_response response;

    try_apart(text, len);
    try_status(text, len);
    if (cq_control_request_decode(&request, text, len, reason) == CQ_ERR_INVALID)
        require(reason[0] != '\0');
    if (cq_control_response_decode(&response, text, len, reason) == CQ_ERR_INVALID)
        require(reason[0] != '\0');
    cq_control_response_free(&response);
}

static void try_configuration(const char *text, size_t len)
{
    struct cq_conf_error error;
    struct cq_conf conf;

    if (cq_conf_parse(&conf, text, len, &error) == CQ_OK) {
        require(conf.suites != 0 && conf.rotate_secs >= 60);
        require(cq_conf_check(&conf, &error) == CQ_OK);
    } else {
        require(error.message[0] != '\0');
        require((error.line == 0) == (error.column == 0));
        for (const char *p = error.message; *p != '\0'; p++)
            require(*p >= ' ' && *p != 0x7f);
    }
    cq_conf_free(&conf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *text = (const char *)data;

    if (len > 0 && text[0] == '{')
        try_messages(text, len);
    else
        try_configuration(text, len);
    return 0;
}
