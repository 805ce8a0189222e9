#include "cli/cli.h"
#include "cli/confload.h"
#include "cli/run.h"

static int run(int argc, char **argv)
{
    char interface[CQ_CONF_INTERFACE_MAX + 1];
    const char *text;

    if (cq_cli_arguments("down", argc, argv, 1, 1, &text) != CQ_OK)
        return CQ_EXIT_USAGE;
    int status = cq_confload_interface("down", text, interface);
    return status == CQ_EXIT_OK ? cq_cli_stop(interface) : status;
}

const struct cq_cli_command cq_cmd_down = {
    .name = "down",
    .arguments = "NAME|FILE",
    .summary = "Stop the node of an interface",
    .help = "The command returns when everything is as it was before the interface came up.\n",
    .run = run,
};
