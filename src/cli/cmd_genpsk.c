#include "cli/cli.h"
#include "cli/keys.h"

static int run(int argc, char **argv)
{
    if (cq_cli_arguments("genpsk", argc, argv, 0, 0, NULL) != CQ_OK)
        return CQ_EXIT_USAGE;
    return cq_keys_generate();
}

const struct cq_cli_command cq_cmd_genpsk = {
    .name = "genpsk",
    .arguments = "",
    .summary = "Make a preshared key and print it",
    .help = "A preshared key (32 random bytes in base64) is mixed into every key that two nodes "
            "agree on. Both\n"
            "have the same one: PresharedKey or PresharedKeyFile in their configurations.\n",
    .run = run,
};
