#include "cli/cli.h"
#include "cli/keys.h"

static int run(int argc, char **argv)
{
    if (cq_cli_arguments("genkey", argc, argv, 0, 0, NULL) != CQ_OK)
        return CQ_EXIT_USAGE;
    return cq_keys_generate();
}

const struct cq_cli_command cq_cmd_genkey = {
    .name = "genkey",
    .arguments = "",
    .summary = "Make a secret key and print it",
    .help = "The key is 32 random bytes in base64 (44 characters). Keep it where nobody else can "
            "read it:\n"
            "\n"
            "  umask 077\n"
            "  cryprq genkey > wan0.key\n"
            "  cryprq pubkey < wan0.key\n",
    .run = run,
};
