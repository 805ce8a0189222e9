/*
 * What the program reads from people and from its own socket: an input that begins with '{' is a
 * control message or a status, anything else a configuration file.
 */
#include "conf/config.h"
#include "conf/control.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void try_messages(const char *text, size_t len)
{
    char reason[CQ_CONTROL_ERROR_MAX + 1];
    struct cq_control_request request;
    struct cq_control_response response;
    struct cq_node_status status;

    if (cq_control_request_decode(&request, text, len, reason) == CQ_ERR_INVALID)
        require(reason[0] != '\0');
    if (cq_control_response_decode(&response, text, len, reason) == CQ_ERR_INVALID)
        require(reason[0] != '\0');
    cq_control_response_free(&response);
    if (cq_node_status_from_json(&status, text, len) == CQ_OK) {
        char *again;
        size_t again_len;
        require(cq_node_status_to_json(&status, false, &again, &again_len) == CQ_OK);
        free(again);
    }
    cq_node_status_free(&status);
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
