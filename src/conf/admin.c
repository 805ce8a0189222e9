#include "conf/admin.h"

#include "base/base64.h"
#include "base/secret.h"
#include "conf/pack.h"

#include <stdlib.h>
#include <string.h>

static const char magic[] = "CQADMIN1";
enum { MAGIC_LEN = sizeof(magic) - 1 };

void cq_admin_write_header(uint8_t out[CQ_ADMIN_HEADER_LEN], const struct cq_admin_request *request)
{
    memcpy(out, magic, MAGIC_LEN);
    out[MAGIC_LEN] = (uint8_t)request->command;
    out[MAGIC_LEN + 1] = request->dry_run;
    out[MAGIC_LEN + 2] = out[MAGIC_LEN + 3] = 0;
    cq_store_be32(out + MAGIC_LEN + 4, request->body_len);
}

enum cq_err cq_admin_read_header(const uint8_t in[CQ_ADMIN_HEADER_LEN],
                                 struct cq_admin_request *out)
{
    struct cq_reader r = cq_reader_make(in + MAGIC_LEN, CQ_ADMIN_HEADER_LEN - MAGIC_LEN);
    uint8_t command = cq_read_u8(&r), dry_run = cq_read_u8(&r);
    uint16_t zero = cq_read_u16(&r);

    *out = (struct cq_admin_request){(enum cq_admin_command)command, dry_run == 1, cq_read_u32(&r)};
    if (memcmp(in, magic, MAGIC_LEN) != 0 || command < CQ_ADMIN_RELOAD || command > CQ_ADMIN_SAVE ||
        dry_run > 1 || zero != 0 || out->body_len > CQ_ADMIN_BODY_MAX)
        return CQ_ERR_INVALID;
    return CQ_OK;
}

/* ---- SET ---- */

struct setting {
    struct cq_conf *conf;
    struct cq_reader *r;
    struct cq_conf_error *error;
    struct cq_conf_peer *peer; /* NULL: none named yet */
};

static enum cq_err fail(const struct setting *s, enum cq_err err, const char *text)
{
    cq_conf_error_set(s->error, (struct cq_conf_position){0}, "%s", text);
    return err;
}

static enum cq_err fail_read(const struct setting *s, enum cq_err err)
{
    return fail(s, err, err == CQ_ERR_NOMEM ? "out of memory" : "damaged request");
}

static enum cq_err take_text(const struct setting *s, size_t max, char **slot)
{
    char *text;
    enum cq_err err = cq_pack_read_text(s->r, max, &text);

    if (err != CQ_OK)
        return fail_read(s, err);
    free(*slot);
    *slot = text;
    return CQ_OK;
}

static enum cq_err choose_peer(struct setting *s)
{
    uint8_t id[CQ_PEER_ID_LEN];
    char *text = NULL;
    enum cq_err err = take_text(s, CQ_CONF_NAME_MAX, &text);

    if (err != CQ_OK)
        return err;
    bool is_id = text != NULL && cq_base64_decode(text, strlen(text), id, sizeof(id)) == CQ_OK;
    s->peer = NULL;
    for (size_t i = 0; text != NULL && s->peer == NULL && i < s->conf->num_peers; i++) {
        struct cq_conf_peer *p = &s->conf->peers[i];
        if (is_id ? memcmp(p->id, id, sizeof(id)) == 0 : strcmp(p->name, text) == 0)
            s->peer = p;
    }
    if (s->peer == NULL && is_id && cq_conf_add_peer(s->conf, id, &s->peer) != CQ_OK)
        err = fail(s, CQ_ERR_NOMEM, "too many peers");
    else if (s->peer == NULL)
        cq_conf_error_set(s->error, (struct cq_conf_position){0}, "no peer is called %s",
                          text != NULL ? text : "so");
    free(text);
    return s->peer != NULL || err != CQ_OK ? err : CQ_ERR_INVALID;
}

static void remove_peer(struct setting *s)
{
    size_t i = (size_t)(s->peer - s->conf->peers);

    cq_conf_remove_peer(s->conf, i);
    s->peer = NULL;
}

static enum cq_err set_name(struct setting *s)
{
    char *text = NULL;
    enum cq_err err = take_text(s, CQ_CONF_NAME_MAX, &text);

    if (err == CQ_OK && text != NULL && !cq_conf_name_is_valid(text))
        err = fail_read(s, CQ_ERR_INVALID);
    if (err == CQ_OK)
        memset(s->peer->name, 0, sizeof(s->peer->name));
    if (err == CQ_OK && text != NULL)
        memcpy(s->peer->name, text, strlen(text));
    free(text);
    return err;
}

static void drop_psk(struct cq_conf_peer *p)
{
    cq_secret_free(p->psk);
    p->psk = NULL;
    p->psk_kept = p->psk_unsaved = false;
    free(p->psk_file);
    p->psk_file = NULL;
}

static enum cq_err set_psk(struct setting *s)
{
    const uint8_t *key = cq_read_span(s->r, CQ_PSK_LEN);
    enum cq_err err = key != NULL ? CQ_OK : CQ_ERR_INVALID;

    if (err == CQ_OK)
        err = cq_conf_peer_set_psk(s->peer, key);
    if (err != CQ_OK)
        return fail_read(s, err);
    s->peer->psk_kept = false;
    err = take_text(s, CQ_CONF_PATH_MAX, &s->peer->psk_file);
    s->peer->psk_unsaved = s->peer->psk_file == NULL;
    return err;
}

static enum cq_err set_private_key(struct setting *s)
{
    const uint8_t *key = cq_read_span(s->r, CQ_SECRET_KEY_LEN);
    enum cq_err err = key != NULL ? cq_conf_set_private_key(s->conf, key) : CQ_ERR_INVALID;

    if (err != CQ_OK)
        return fail_read(s, err);
    s->conf->private_key_kept = false;
    err = take_text(s, CQ_CONF_PATH_MAX, &s->conf->private_key_file);
    s->conf->private_key_unsaved = s->conf->private_key_file == NULL;
    return err;
}

static enum cq_err set_public_key(struct setting *s)
{
    struct cq_public_key *key = calloc(1, sizeof(*key));

    if (key == NULL)
        return fail_read(s, CQ_ERR_NOMEM);
    cq_read_bytes(s->r, key, CQ_PUBLIC_KEY_LEN);
    free(s->peer->public_key);
    s->peer->public_key = key;
    if (cq_public_key_verify(key, s->peer->id) != CQ_OK)
        return fail(s, CQ_ERR_INVALID, "the public key is not the one that the PeerID names");
    return take_text(s, CQ_CONF_PATH_MAX, &s->peer->public_key_file);
}

static enum cq_err set_endpoint(struct setting *s)
{
    struct cq_conf_endpoint endpoint = {0};
    char *text = NULL;
    enum cq_err err = take_text(s, CQ_CONF_ENDPOINT_TEXT_MAX, &text);

    if (err == CQ_OK && text != NULL && cq_conf_parse_endpoint(&endpoint, text, NULL) != CQ_OK)
        err = fail_read(s, CQ_ERR_INVALID);
    free(text);
    if (err != CQ_OK)
        return err;
    cq_conf_endpoint_free(&s->peer->endpoint);
    s->peer->endpoint = endpoint;
    return CQ_OK;
}

static bool find_prefix(const struct cq_conf_peer *p, const struct cq_prefix *prefix, size_t *out)
{
    for (size_t i = 0; i < p->num_allowed_ips; i++)
        if (cq_prefix_equal(&p->allowed_ips[i], prefix)) {
            *out = i;
            return true;
        }
    return false;
}

static enum cq_err change_prefix(struct setting *s, bool add)
{
    struct cq_prefix prefix;
    char text[CQ_PREFIX_TEXT_MAX], label[CQ_CONF_LABEL_MAX];
    struct cq_conf_peer *p = s->peer;
    size_t at;
    enum cq_err err = cq_pack_read_prefix(s->r, &prefix);

    if (err != CQ_OK)
        return fail_read(s, err);
    bool there = find_prefix(p, &prefix, &at);
    if (add && !there && cq_conf_add_allowed_ip(p, &prefix, (struct cq_conf_position){0}) != CQ_OK)
        return fail(s, CQ_ERR_NOMEM, "too many allowed IPs");
    if (!add && !there) {
        cq_conf_error_set(s->error, (struct cq_conf_position){0},
                          "peer \"%s\" has no allowed IP %s to be taken away",
                          cq_conf_peer_label(p, label), cq_prefix_format(&prefix, text));
        return CQ_ERR_INVALID;
    }
    if (!add) {
        p->num_allowed_ips--;
        memmove(&p->allowed_ips[at], &p->allowed_ips[at + 1],
                (p->num_allowed_ips - at) * sizeof(*p->allowed_ips));
    }
    return CQ_OK;
}

static enum cq_err apply_one(struct setting *s)
{
    uint8_t op = cq_read_u8(s->r);

    if (op == CQ_SET_PRIVATE_KEY)
        return set_private_key(s);
    if (op == CQ_SET_PEER)
        return choose_peer(s);
    if (s->peer == NULL)
        return fail_read(s, CQ_ERR_INVALID);
    switch (op) {
    case CQ_SET_REMOVE:
        remove_peer(s);
        return CQ_OK;
    case CQ_SET_NAME:
        return set_name(s);
    case CQ_SET_PSK:
        return set_psk(s);
    case CQ_SET_NO_PSK:
        drop_psk(s->peer);
        return CQ_OK;
    case CQ_SET_PUBLIC_KEY:
        return set_public_key(s);
    case CQ_SET_ENDPOINT:
        return set_endpoint(s);
    case CQ_SET_KEEPALIVE:
        s->peer->persistent_keepalive = cq_read_u16(s->r);
        return CQ_OK;
    case CQ_SET_ALLOWED_NONE:
        s->peer->num_allowed_ips = 0;
        free(s->peer->allowed_ips);
        free(s->peer->allowed_positions);
        s->peer->allowed_ips = NULL;
        s->peer->allowed_positions = NULL;
        return CQ_OK;
    case CQ_SET_ALLOWED_ADD:
        return change_prefix(s, true);
    case CQ_SET_ALLOWED_REMOVE:
        return change_prefix(s, false);
    default:
        return fail_read(s, CQ_ERR_INVALID);
    }
}

enum cq_err cq_admin_apply_set(struct cq_conf *conf, struct cq_reader *body,
                               struct cq_conf_error *error)
{
    struct setting s = {.conf = conf, .r = body, .error = error};
    enum cq_err err = CQ_OK;

    *error = (struct cq_conf_error){0};
    while (err == CQ_OK && !body->failed && body->len > 0)
        err = apply_one(&s);
    return err == CQ_OK && body->failed ? fail_read(&s, CQ_ERR_INVALID) : err;
}

/* ---- SYNC ---- */

void cq_admin_apply_sync(struct cq_conf *conf, struct cq_conf *file)
{
    struct cq_conf_peer *peers = conf->peers;
    size_t num = conf->num_peers;

    conf->peers = file->peers;
    conf->num_peers = file->num_peers;
    file->peers = peers;
    file->num_peers = num;
    for (size_t i = 0; i < conf->num_peers; i++) {
        struct cq_conf_peer *p = &conf->peers[i];
        p->psk_unsaved = p->psk != NULL && p->psk_file == NULL;
    }
    if (file->private_key == NULL)
        return;
    cq_secret_free(conf->private_key);
    free(conf->private_key_file);
    conf->private_key = file->private_key;
    conf->private_key_file = file->private_key_file;
    conf->private_key_kept = false;
    conf->private_key_unsaved = conf->private_key_file == NULL;
    file->private_key = NULL;
    file->private_key_file = NULL;
}
