#include "base/base64.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/units.h"

#include <stdio.h>
#include <string.h>

static int not_running(const char *interface)
{
    return cq_cli_fail("%s: no such interface is running", interface);
}

/* A peer by its ID, or by its name, which the node is asked for. */
static int find_peer(const char *interface, const char *text, struct cq_control_request *request)
{
    struct cq_node_status status;
    int result = CQ_EXIT_FAILURE;

    request->has_peer = true;
    if (cq_base64_decode(text, strlen(text), request->peer, sizeof(request->peer)) == CQ_OK)
        return CQ_EXIT_OK;
    enum cq_err err = cq_client_status(interface, &status);
    if (err != CQ_OK)
        return err == CQ_ERR_NOTFOUND ? not_running(interface) : CQ_EXIT_FAILURE;
    for (size_t i = 0; i < status.num_peers; i++) {
        if (strcmp(status.peers[i].name, text) != 0)
            continue;
        memcpy(request->peer, status.peers[i].id, sizeof(request->peer));
        result = CQ_EXIT_OK;
    }
    cq_node_status_free(&status);
    return result == CQ_EXIT_OK ? result
                                : cq_cli_fail("%s: no peer is called %.64s", interface, text);
}

static int print_rotated(const char *interface, const struct cq_control_rotated *r)
{
    char label[CQ_CONF_LABEL_MAX], text[CQ_UNITS_TEXT_MAX];

    if (r->name[0] != '\0')
        memcpy(label, r->name, sizeof(r->name));
    else
        cq_base64_encode(r->id, sizeof(r->id), label);
    if (r->error[0] != '\0')
        return cq_cli_fail("%s: %s: %s", interface, label, r->error);
    printf("%s: new keys in %s\n", label, cq_units_micros(r->duration_us, text));
    return CQ_EXIT_OK;
}

static int run(int argc, char **argv)
{
    struct cq_control_request request = {.command = CQ_CONTROL_ROTATE};
    struct cq_control_response response;
    int result = CQ_EXIT_OK;
    const char *args[2];

    if (cq_cli_arguments("rotate", argc, argv, 1, 2, args) != CQ_OK)
        return CQ_EXIT_USAGE;
    if (!cq_conf_interface_is_valid(args[0]))
        return cq_cli_usage("rotate", "%.40s is not an interface's name", args[0]);
    if (args[1] != NULL)
        result = find_peer(args[0], args[1], &request);
    if (result != CQ_EXIT_OK)
        return result;
    enum cq_err err = cq_client_ask(args[0], &request, &response);
    if (err != CQ_OK)
        return err == CQ_ERR_NOTFOUND ? not_running(args[0]) : CQ_EXIT_FAILURE;
    if (response.kind != CQ_CONTROL_KIND_ROTATED)
        result = cq_cli_fail("%s: the node answered another question", args[0]);
    for (size_t i = 0; i < response.num_rotated; i++)
        if (print_rotated(args[0], &response.rotated[i]) != CQ_EXIT_OK)
            result = CQ_EXIT_FAILURE;
    cq_control_response_free(&response);
    return result;
}

const struct cq_cli_command cq_cmd_rotate = {
    .name = "rotate",
    .arguments = "NAME [PEER]",
    .summary = "Agree on new keys now",
    .help = "PEER is a peer's name or ID; without it, all peers get new keys. The command returns "
            "when the new\n"
            "keys are in use, or says why there are none after 10 seconds; the old ones then stay "
            "in use.\n",
    .run = run,
};
