#include "cli/cli.h"
#include "cli/confload.h"
#include "cli/keys.h"
#include "cli/run.h"

enum { OPTION_LOG_FORMAT };

static const struct cq_cli_option options[] = {
    [OPTION_LOG_FORMAT] = {"log-format", true},
    {NULL, false},
};

static int take_arguments(int argc, char **argv, const char **out)
{
    struct cq_cli_args args = {.command = "up", .argc = argc, .argv = argv, .at = 1};
    int option;

    *out = NULL;
    while ((option = cq_cli_next(&args, options)) != CQ_CLI_END) {
        if (option == CQ_CLI_BAD)
            return CQ_EXIT_USAGE;
        if (option == OPTION_LOG_FORMAT) {
            int status = cq_cli_log_format("up", "--log-format", args.value);
            if (status != CQ_EXIT_OK)
                return status;
        } else if (*out != NULL) {
            return cq_cli_usage("up", "too many arguments");
        } else {
            *out = args.value;
        }
    }
    return *out != NULL ? CQ_EXIT_OK : cq_cli_usage("up", "too few arguments");
}

static int run(int argc, char **argv)
{
    char path[CQ_CONFLOAD_PATH_MAX];
    struct cq_conf conf;
    const char *text;
    int status = take_arguments(argc, argv, &text);

    if (status == CQ_EXIT_OK)
        status = cq_confload_path("up", text, path);
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
    .arguments = "[--log-format kv|json] NAME|FILE",
    .summary = "Bring an interface up in the background",
    .help = "NAME stands for /etc/cryprq/NAME.conf; the interface is called like the file. The "
            "command returns\n"
            "when the interface is ready, or says why it is not. End it with cryprq down.\n"
            "\n"
            "  --log-format kv|json   form of log lines: key=value (default), or one JSON object "
            "each; also\n"
            "                         CRYPRQ_LOG_FORMAT\n",
    .run = run,
};
