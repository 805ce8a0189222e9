#include "cli/confload.h"

#include "base/mem.h"
#include "base/secret.h"
#include "cli/cli.h"
#include "conf/load.h"
#include "os/file.h"

#include <stdio.h>
#include <string.h>

static const char config_dir[] = "/etc/cryprq";

int cq_confload_path(const char *command, const char *text, char out[CQ_CONFLOAD_PATH_MAX])
{
    static const char suffix[] = ".conf";
    size_t len = strlen(text);
    bool is_path = strchr(text, '/') != NULL ||
                   (len >= strlen(suffix) && strcmp(text + len - strlen(suffix), suffix) == 0);
    int n;

    if (!is_path && !cq_conf_interface_is_valid(text))
        return cq_cli_usage(command, "%.40s is neither an interface's name nor NAME.conf", text);
    if (is_path)
        n = snprintf(out, CQ_CONFLOAD_PATH_MAX, "%s", text);
    else
        n = snprintf(out, CQ_CONFLOAD_PATH_MAX, "%s/%s%s", config_dir, text, suffix);
    if (n < 0 || n >= CQ_CONFLOAD_PATH_MAX)
        return cq_cli_usage(command, "the path is too long");
    return CQ_EXIT_OK;
}

int cq_confload_interface(const char *command, const char *text,
                          char out[CQ_CONF_INTERFACE_MAX + 1])
{
    if (cq_conf_interface_of_path(text, out) == CQ_OK)
        return CQ_EXIT_OK;
    return cq_cli_usage(command, "%.40s is neither an interface's name nor NAME.conf", text);
}

static enum cq_err read_file(void *ctx, const char *path, size_t max, bool secret, char **out_data,
                             size_t *out_len, char *reason, size_t reason_size)
{
    struct cq_file_info info;
    enum cq_err err = cq_file_read(path, max, secret, out_data, out_len, &info);

    (void)ctx;
    if (err != CQ_OK)
        cq_file_read_message(err, path, max, &info, reason, reason_size);
    return err;
}

static const struct cq_conf_reader reader = {.read = read_file};

/* Derives our ID and holds it against the peers. */
static enum cq_err check_own_id(const struct cq_conf *conf, struct cq_conf_error *error)
{
    struct cq_conf_position nowhere = {0};
    struct cq_identity *identity = cq_secret_alloc(sizeof(*identity));
    enum cq_err err = CQ_ERR_NOMEM;

    if (identity != NULL)
        err = cq_identity_init(identity, conf->private_key);
    if (err == CQ_OK) {
        err = cq_conf_check_own_id(conf, identity->id, error);
        cq_identity_wipe(identity);
    } else {
        cq_conf_error_set(error, nowhere, "cannot derive our peer ID: %s", cq_err_text(err));
    }
    cq_secret_free(identity);
    cq_wipe_stack();
    return err;
}

/* Prints what is wrong and frees the rest. */
static int fail_file(struct cq_conf *conf, const char *path, const struct cq_conf_error *error)
{
    char line[CQ_CONFLOAD_PATH_MAX + 1024];

    cq_conf_free(conf);
    /* What is wrong with the file as a whole names it already. */
    if (error->line == 0 && strncmp(error->message, path, strlen(path)) == 0)
        return cq_cli_fail("%s", error->message);
    return cq_cli_fail("%s", cq_conf_error_format(error, path, line, sizeof(line)));
}

bool cq_confload_reference(const char *path, const char *file, char out[CQ_CONFLOAD_PATH_MAX])
{
    const char *slash = file[0] != '/' ? strrchr(path, '/') : NULL;
    int dir_len = slash != NULL ? (int)(slash + 1 - path) : 0;
    int n = snprintf(out, CQ_CONFLOAD_PATH_MAX, "%.*s%s", dir_len, path, file);

    return n >= 0 && n < CQ_CONFLOAD_PATH_MAX;
}

int cq_confload_part(struct cq_conf *out, const char *path)
{
    struct cq_conf_error error = {0};
    char *data = NULL;
    size_t len = 0;

    cq_conf_init(out);
    enum cq_err err = read_file(NULL, path, CQ_CONF_FILE_MAX, true, &data, &len, error.message,
                                sizeof(error.message));
    if (err == CQ_OK)
        err = cq_conf_parse_part(out, data, len, &error);
    cq_secret_free(data);
    if (err == CQ_OK)
        err = cq_conf_load_part(out, path, &reader, &error);
    if (err == CQ_OK && out->private_key != NULL)
        err = check_own_id(out, &error);
    return err == CQ_OK ? CQ_EXIT_OK : fail_file(out, path, &error);
}

int cq_confload_file(struct cq_conf *out, const char *path)
{
    struct cq_conf_error error;
    enum cq_err err = cq_conf_load(out, path, &reader, &error);

    if (err == CQ_OK)
        err = check_own_id(out, &error);
    return err == CQ_OK ? CQ_EXIT_OK : fail_file(out, path, &error);
}

int cq_confload_private_key(struct cq_conf *conf, const char *path)
{
    enum { KEY_FILE_MAX = 256 };
    char *data = NULL, reason[512];
    uint8_t key[CQ_SECRET_KEY_LEN] = {0};
    int status = CQ_EXIT_OK;
    size_t len;

    if (read_file(NULL, path, KEY_FILE_MAX, true, &data, &len, reason, sizeof(reason)) != CQ_OK)
        return cq_cli_fail("%s", reason);
    if (cq_conf_parse_key32(key, data, len) != CQ_OK)
        status = cq_cli_fail("%s: not a key: 44 characters of base64 are expected", path);
    else if (cq_conf_set_private_key(conf, key) != CQ_OK)
        status = cq_cli_fail("out of memory");
    cq_wipe(key, sizeof(key));
    cq_secret_free(data);
    return status;
}

int cq_confload_check(const struct cq_conf *conf)
{
    struct cq_conf_error error;
    enum cq_err err = cq_conf_check(conf, &error);

    if (err == CQ_OK)
        err = check_own_id(conf, &error);
    return err == CQ_OK ? CQ_EXIT_OK : cq_cli_fail("%s", error.message);
}
