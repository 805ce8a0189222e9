#include "conf/load.h"

#include "base/mem.h"
#include "base/secret.h"
#include "conf/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_FILE_MAX = 256,
    PUBLIC_KEY_FILE_MAX = 4096,
    FULL_PATH_MAX = 4096 + CQ_CONF_PATH_MAX,
};

enum cq_err cq_conf_interface_of_path(const char *path, char out[CQ_CONF_INTERFACE_MAX + 1])
{
    static const char suffix[] = ".conf";
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    size_t len = strlen(name);

    out[0] = '\0';
    if (len > strlen(suffix) && strcmp(name + len - strlen(suffix), suffix) == 0)
        len -= strlen(suffix);
    if (len > CQ_CONF_INTERFACE_MAX)
        return CQ_ERR_INVALID;
    memcpy(out, name, len);
    out[len] = '\0';
    if (cq_conf_interface_is_valid(out))
        return CQ_OK;
    out[0] = '\0';
    return CQ_ERR_INVALID;
}

/* A file reference and where its content goes: one of the two. */
struct reference {
    const char *key; /* "PrivateKeyFile" */
    const char *file;
    struct cq_conf_position position;
    uint8_t *out_key32;
    struct cq_public_key *out_public;
};

struct loader {
    const char *config_path; /* NULL: relative paths start at the working directory */
    const struct cq_conf_reader *reader;
    struct cq_conf_error *error;
};

static enum cq_err fail(const struct loader *l, const struct reference *r, enum cq_err err,
                        const char *reason)
{
    cq_conf_error_set(l->error, r->position, "%s: %s", r->key, reason);
    return err;
}

/* Absolute paths stay; relative ones start where the configuration file is. */
static bool full_path(const char *config_path, const char *file, char *out, size_t size)
{
    const char *slash = config_path != NULL ? strrchr(config_path, '/') : NULL;
    int dir_len = slash != NULL && file[0] != '/' ? (int)(slash + 1 - config_path) : 0;
    int len = snprintf(out, size, "%.*s%s", dir_len, dir_len > 0 ? config_path : "", file);

    return len >= 0 && (size_t)len < size;
}

static enum cq_err read_reference(const struct loader *l, const struct reference *r)
{
    bool secret = r->out_key32 != NULL;
    size_t max = secret ? KEY_FILE_MAX : PUBLIC_KEY_FILE_MAX;
    char path[FULL_PATH_MAX], reason[384] = "", *data = NULL;
    size_t len = 0;
    enum cq_err err;

    if (!full_path(l->config_path, r->file, path, sizeof(path)))
        return fail(l, r, CQ_ERR_INVALID, "the path is too long");
    err = l->reader->read(l->reader->ctx, path, max, secret, &data, &len, reason, sizeof(reason));
    if (err != CQ_OK)
        return fail(l, r, err, reason);
    err = secret ? cq_conf_parse_key32(r->out_key32, data, len)
                 : cq_conf_parse_public_key(r->out_public, data, len);
    cq_secret_free(data);
    if (err == CQ_OK)
        return CQ_OK;
    snprintf(reason, sizeof(reason), "%.300s does not hold %s", path,
             secret ? "32 bytes in base64 (44 characters)"
                    : "a public key in base64 (1624 characters, from cryprq pubkey --full)");
    return fail(l, r, err, reason);
}

static enum cq_err load_private_key(const struct loader *l, struct cq_conf *conf)
{
    uint8_t key[CQ_SECRET_KEY_LEN] = {0};
    struct reference r = {
        .key = "PrivateKeyFile",
        .file = conf->private_key_file,
        .position = conf->private_key_file_position,
        .out_key32 = key,
    };
    enum cq_err err;

    if (conf->private_key != NULL)
        return CQ_OK;
    if (conf->private_key_file == NULL) {
        cq_conf_error_set(l->error, (struct cq_conf_position){0}, "no private key is given");
        return CQ_ERR_INVALID;
    }
    err = read_reference(l, &r);
    if (err == CQ_OK && cq_conf_set_private_key(conf, key) != CQ_OK)
        err = fail(l, &r, CQ_ERR_NOMEM, "out of memory");
    cq_wipe(key, sizeof(key));
    return err;
}

static enum cq_err load_psk(const struct loader *l, struct cq_conf_peer *peer)
{
    uint8_t psk[CQ_PSK_LEN] = {0};
    struct reference r = {
        .key = "PresharedKeyFile",
        .file = peer->psk_file,
        .position = peer->psk_file_position,
        .out_key32 = psk,
    };
    enum cq_err err;

    if (peer->psk_file == NULL)
        return CQ_OK;
    err = read_reference(l, &r);
    if (err == CQ_OK) {
        err = cq_conf_peer_set_psk(peer, psk);
        if (err != CQ_OK)
            err = fail(l, &r, err,
                       err == CQ_ERR_INVALID ? "the key is all zero, which is no secret"
                                             : "out of memory");
    }
    cq_wipe(psk, sizeof(psk));
    return err;
}

static enum cq_err load_public_key(const struct loader *l, struct cq_conf_peer *peer)
{
    struct reference r = {
        .key = "PublicKeyFile",
        .file = peer->public_key_file,
        .position = peer->public_key_file_position,
    };
    enum cq_err err;

    if (peer->public_key_file == NULL)
        return CQ_OK;
    r.out_public = calloc(1, sizeof(*r.out_public));
    if (r.out_public == NULL)
        return fail(l, &r, CQ_ERR_NOMEM, "out of memory");
    err = read_reference(l, &r);
    if (err == CQ_OK) {
        err = cq_public_key_verify(r.out_public, peer->id);
        if (err != CQ_OK)
            err = fail(l, &r, err,
                       err == CQ_ERR_AUTH ? "the public key is not the one that PeerID names"
                                          : "the public key is damaged");
    }
    if (err != CQ_OK) {
        free(r.out_public);
        return err;
    }
    free(peer->public_key);
    peer->public_key = r.out_public;
    return CQ_OK;
}

static enum cq_err load_metrics_token(const struct loader *l, struct cq_conf *conf)
{
    enum { TOKEN_FILE_MAX = CQ_CONF_METRICS_TOKEN_MAX + 64 };
    struct reference r = {
        .key = "MetricsTokenFile",
        .file = conf->metrics.token_file,
        .position = conf->metrics.token_file_position,
    };
    char path[FULL_PATH_MAX], reason[384] = "", *data = NULL;
    size_t len = 0;

    if (r.file == NULL)
        return CQ_OK;
    if (!full_path(l->config_path, r.file, path, sizeof(path)))
        return fail(l, &r, CQ_ERR_INVALID, "the path is too long");
    enum cq_err err = l->reader->read(l->reader->ctx, path, TOKEN_FILE_MAX, true, &data, &len,
                                      reason, sizeof(reason));
    if (err != CQ_OK)
        return fail(l, &r, err, reason);
    while (len > 0 && strchr(" \t\r\n", data[len - 1]) != NULL)
        len--;
    err = cq_conf_metrics_set_token(&conf->metrics, data, len);
    cq_secret_free(data);
    if (err == CQ_OK)
        return CQ_OK;
    snprintf(reason, sizeof(reason),
             "%.300s does not hold a token (16 to 256 letters, digits and -._~+/=)", path);
    return fail(l, &r, err, reason);
}

static enum cq_err load_rest(const struct loader *l, struct cq_conf *conf)
{
    enum cq_err err = load_metrics_token(l, conf);

    for (size_t i = 0; err == CQ_OK && i < conf->num_peers; i++) {
        err = load_psk(l, &conf->peers[i]);
        if (err == CQ_OK)
            err = load_public_key(l, &conf->peers[i]);
    }
    return err;
}

enum cq_err cq_conf_load_references(struct cq_conf *conf, const char *path,
                                    const struct cq_conf_reader *reader,
                                    struct cq_conf_error *error)
{
    struct loader l = {.config_path = path, .reader = reader, .error = error};
    enum cq_err err = load_private_key(&l, conf);

    return err == CQ_OK ? load_rest(&l, conf) : err;
}

enum cq_err cq_conf_load_part(struct cq_conf *conf, const char *path,
                              const struct cq_conf_reader *reader, struct cq_conf_error *error)
{
    struct loader l = {.config_path = path, .reader = reader, .error = error};
    enum cq_err err = conf->private_key_file != NULL ? load_private_key(&l, conf) : CQ_OK;

    return err == CQ_OK ? load_rest(&l, conf) : err;
}
enum cq_err cq_conf_load(struct cq_conf *out, const char *path, const struct cq_conf_reader *reader,
                         struct cq_conf_error *error)
{
    char interface[CQ_CONF_INTERFACE_MAX + 1], reason[384] = "", *data = NULL;
    struct cq_conf_position nowhere = {0};
    size_t len = 0;
    enum cq_err err;

    cq_conf_init(out);
    *error = (struct cq_conf_error){0};
    if (cq_conf_interface_of_path(path, interface) != CQ_OK) {
        cq_conf_error_set(error, nowhere,
                          "the file name makes no interface name: NAME.conf, where NAME is at most "
                          "15 letters, digits and _=+.-");
        return CQ_ERR_INVALID;
    }
    err = reader->read(reader->ctx, path, CQ_CONF_FILE_MAX, true, &data, &len, reason,
                       sizeof(reason));
    if (err != CQ_OK) {
        cq_conf_error_set(error, nowhere, "%s", reason);
        return err;
    }
    err = cq_conf_parse(out, data, len, error);
    cq_secret_free(data);
    if (err == CQ_OK)
        err = cq_conf_load_references(out, path, reader, error);
    if (err != CQ_OK) {
        cq_conf_free(out);
        return err;
    }
    memcpy(out->interface, interface, sizeof(interface));
    return CQ_OK;
}
