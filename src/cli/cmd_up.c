#include "cli/cli.h"
#include "cli/confload.h"
#include "cli/keys.h"
#include "cli/run.h"

static int run(int argc, char **argv)
{
    char path[CQ_CONFLOAD_PATH_MAX];
    struct cq_conf conf;
    const char *text;

    if (cq_cli_arguments("up", argc, argv, 1, 1, &text) != CQ_OK)
        return CQ_EXIT_USAGE;
    int status = cq_confload_path("up", text, path);
    if (status == CQ_EXIT_OK)
        status = cq_keys_init(CQ_KEYS_MEMORY_CONFIG);
    if (status == CQ_EXIT_OK)
        status = cq_confload_file(&conf, path);
    if (status != CQ_EXIT_OK)
        return status;
    status = cq_cli_run(&conf, path, false);
    cq_conf_free(&conf);
    return status;
}

const struct cq_cli_command cq_cmd_up = {
    .name = "up",
    .arguments = "NAME|FILE",
    .summary = "Bring an interface up in the background",
    .help = "NAME stands for /etc/cryprq/NAME.conf; the interface is called like the file. The "
            "command returns\n"
            "when the interface is ready, or says why it is not. End it with cryprq down.\n",
    .run = run,
};
