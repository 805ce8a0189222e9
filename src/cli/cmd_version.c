#include "cli/cli.h"
#include "config.h"
#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "proto/wire.h"

#include <stdio.h>

static int run(int argc, char **argv)
{
    if (cq_cli_arguments("version", argc, argv, 0, 0, NULL) != CQ_OK)
        return CQ_EXIT_USAGE;
    printf("cryprq %s\nprotocol %d\nlibcrypto %s\nrecords %s\n", CQ_VERSION, CQ_PROTOCOL_VERSION,
           cq_crypto_version(), cq_aead_backend());
    if (cq_aead_marker()[0] != '\0')
        printf("%s\n", cq_aead_marker());
    return CQ_EXIT_OK;
}

const struct cq_cli_command cq_cmd_version = {
    .name = "version",
    .arguments = "",
    .summary = "Print the versions of program, protocol and libcrypto",
    .help = "",
    .run = run,
};
