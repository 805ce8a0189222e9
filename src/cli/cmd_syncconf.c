#include "base/secret.h"
#include "cli/admin.h"
#include "cli/cli.h"
#include "cli/confload.h"
#include "cli/keys.h"
#include "conf/pack.h"

#include <stdlib.h>

/* A reference of the file in absolute form. */
static int make_absolute(const char *path, char **file)
{
    char full[CQ_CONFLOAD_PATH_MAX];
    int status = CQ_EXIT_OK;

    if (*file == NULL)
        return CQ_EXIT_OK;
    if (!cq_confload_reference(path, *file, full))
        status = cq_cli_fail("%s: the path is too long", path);
    char *absolute = status == CQ_EXIT_OK ? cq_cli_admin_path(full) : NULL;
    if (absolute == NULL)
        return CQ_EXIT_FAILURE;
    free(*file);
    *file = absolute;
    return CQ_EXIT_OK;
}

static int make_all_absolute(const char *path, struct cq_conf *conf)
{
    int status = make_absolute(path, &conf->private_key_file);

    for (size_t i = 0; status == CQ_EXIT_OK && i < conf->num_peers; i++) {
        status = make_absolute(path, &conf->peers[i].psk_file);
        if (status == CQ_EXIT_OK)
            status = make_absolute(path, &conf->peers[i].public_key_file);
    }
    return status;
}

static int send_conf(const char *name, bool dry_run, const struct cq_conf *conf)
{
    size_t size = cq_pack_bytes(conf);
    uint8_t *bytes = cq_secret_alloc(size);

    if (bytes == NULL)
        return cq_cli_fail("out of memory");
    struct cq_writer w = cq_writer_make(bytes, size);
    cq_pack_write(&w, conf, true);
    int status = w.failed ? cq_cli_fail("a path or name in the file is too long")
                          : cq_cli_admin_ask(name, CQ_ADMIN_SYNC, dry_run, bytes, w.written);
    cq_secret_free(bytes);
    return status;
}

static int run(int argc, char **argv)
{
    const char *args[2];
    struct cq_conf conf;
    bool dry_run;
    int status = cq_cli_admin_arguments("syncconf", argc, argv, 2, args, &dry_run);

    if (status == CQ_EXIT_OK)
        status = cq_keys_init(CQ_KEYS_MEMORY_CONFIG);
    if (status == CQ_EXIT_OK)
        status = cq_confload_part(&conf, args[1]);
    if (status != CQ_EXIT_OK)
        return status;
    status = make_all_absolute(args[1], &conf);
    if (status == CQ_EXIT_OK)
        status = send_conf(args[0], dry_run, &conf);
    cq_conf_free(&conf);
    return status;
}

const struct cq_cli_command cq_cmd_syncconf = {
    .name = "syncconf",
    .arguments = "[--dry-run] NAME FILE",
    .summary = "Give a running interface the peers of another file",
    .help = "FILE is a configuration file, which may do without [Interface] and without a private "
            "key. Its\n"
            "peers take the place of those in use, and so does its private key, if it has one; of "
            "the rest\n"
            "of [Interface] nothing is taken. Otherwise as cryprq reload.\n"
            "\n"
            "  --dry-run   only print the difference\n",
    .run = run,
};
