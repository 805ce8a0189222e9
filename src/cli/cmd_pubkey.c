#include "base/base64.h"
#include "base/mem.h"
#include "base/secret.h"
#include "cli/cli.h"
#include "cli/keys.h"
#include "proto/identity.h"

#include <string.h>

static int print_public(const struct cq_identity *identity, bool full)
{
    uint8_t key[CQ_PUBLIC_KEY_LEN];

    if (!full)
        return cq_keys_write_stdout(identity->id, sizeof(identity->id));
    memcpy(key, identity->public_key.s, sizeof(identity->public_key.s));
    memcpy(key + sizeof(identity->public_key.s), identity->public_key.ek,
           sizeof(identity->public_key.ek));
    return cq_keys_write_stdout(key, sizeof(key));
}

static int derive(bool full)
{
    struct cq_identity *identity = cq_secret_alloc(sizeof(*identity));
    uint8_t *secret = cq_secret_alloc(CQ_SECRET_KEY_LEN);
    int status = CQ_EXIT_FAILURE;

    if (identity == NULL || secret == NULL) {
        cq_cli_fail("out of memory");
        goto out;
    }
    status = cq_keys_read_stdin(secret);
    if (status != CQ_EXIT_OK)
        goto out;
    enum cq_err err = cq_identity_init(identity, secret);
    if (err != CQ_OK)
        status = cq_cli_fail("cannot derive the public key: %s", cq_err_text(err));
    else
        status = print_public(identity, full);
    cq_identity_wipe(identity);
out:
    cq_secret_free(secret);
    cq_secret_free(identity);
    cq_wipe_stack();
    return status;
}

static int run(int argc, char **argv)
{
    static const struct cq_cli_option options[] = {{"full", false}, {NULL, false}};
    struct cq_cli_args args = {.command = "pubkey", .argc = argc, .argv = argv, .at = 1};
    bool full = false;
    int option;

    while ((option = cq_cli_next(&args, options)) != CQ_CLI_END) {
        if (option == CQ_CLI_BAD)
            return CQ_EXIT_USAGE;
        if (option == CQ_CLI_ARGUMENT)
            return cq_cli_usage("pubkey", "it takes no key as an argument, but on standard input");
        full = true;
    }
    int status = cq_keys_init(CQ_KEYS_MEMORY_SMALL);
    return status == CQ_EXIT_OK ? derive(full) : status;
}

const struct cq_cli_command cq_cmd_pubkey = {
    .name = "pubkey",
    .arguments = "[--full] < SECRET-KEY",
    .summary = "Print the peer ID of the secret key on standard input",
    .help =
        "The peer ID (44 characters) is what the other node's configuration calls PeerID.\n"
        "\n"
        "  --full   print the whole public key instead (1624 characters). A peer that has it in a "
        "file\n"
        "           (PublicKeyFile) need not ask for it over the network at the first contact.\n",
    .run = run,
};
