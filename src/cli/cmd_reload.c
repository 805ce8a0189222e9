#include "cli/admin.h"
#include "cli/cli.h"
#include "cli/keys.h"

/* What three commands have in common: a question without a body. */
static int ask(const char *command, enum cq_admin_command what, bool takes_dry_run, int argc,
               char **argv)
{
    bool dry_run = false;
    const char *args[1];
    int status =
        cq_cli_admin_arguments(command, argc, argv, 1, args, takes_dry_run ? &dry_run : NULL);

    if (status == CQ_EXIT_OK)
        status = cq_keys_init(CQ_KEYS_MEMORY_CONFIG);
    return status == CQ_EXIT_OK ? cq_cli_admin_ask(args[0], what, dry_run, NULL, 0) : status;
}

static int run_reload(int argc, char **argv)
{
    return ask("reload", CQ_ADMIN_RELOAD, true, argc, argv);
}

static int run_showconf(int argc, char **argv)
{
    return ask("showconf", CQ_ADMIN_SHOW, false, argc, argv);
}

static int run_save(int argc, char **argv)
{
    return ask("save", CQ_ADMIN_SAVE, true, argc, argv);
}

const struct cq_cli_command cq_cmd_reload = {
    .name = "reload",
    .arguments = "[--dry-run] NAME",
    .summary = "Read the configuration file of a running interface again",
    .help =
        "The difference between the file and what is in use is printed and applied as a whole;\n"
        "peers that it does not concern lose no packet. A file with an error changes nothing, and "
        "so\n"
        "does one that changes what takes a restart (ListenPort, MTU, Table and others). SIGHUP to "
        "the\n"
        "monitor does the same.\n"
        "\n"
        "  --dry-run   only print the difference\n",
    .run = run_reload,
};

const struct cq_cli_command cq_cmd_showconf = {
    .name = "showconf",
    .arguments = "NAME",
    .summary = "Show the configuration that an interface runs with",
    .help = "To root it is the configuration file as cryprq save would write it, with comments and "
            "keys. To\n"
            "others, and where there is no file, it is made anew, and keys that are in no file are "
            "left out.\n",
    .run = run_showconf,
};

const struct cq_cli_command cq_cmd_save = {
    .name = "save",
    .arguments = "[--dry-run] NAME",
    .summary = "Write the configuration that an interface runs with to its file",
    .help = "Peers and keys that were changed by set or syncconf are written into the "
            "configuration file,\n"
            "whole or not at all. Lines that are still true stay as they are, with their comments; "
            "of\n"
            "[Interface] only the private key is written. Owner and permissions stay. What it "
            "writes is\n"
            "printed. Root only.\n"
            "\n"
            "  --dry-run   only print what would be written\n",
    .run = run_save,
};
