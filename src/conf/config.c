#include "conf/config.h"

#include "base/base64.h"
#include "base/mem.h"
#include "base/secret.h"
#include "conf/metrics.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cq_conf_init(struct cq_conf *out)
{
    *out = (struct cq_conf){
        .rotate_secs = CQ_ROTATE_SECS_DEFAULT,
        .suites = CQ_CONF_SUITE_AES_256_GCM | CQ_CONF_SUITE_CHACHA20_POLY1305,
    };
    cq_conf_metrics_init(&out->metrics);
}

static void free_strings(struct cq_conf_strings *list)
{
    for (size_t i = 0; i < list->num; i++)
        free(list->items[i]);
    free(list->items);
}

static void free_peer(struct cq_conf_peer *peer)
{
    cq_secret_free(peer->psk);
    free(peer->psk_file);
    free(peer->public_key);
    free(peer->public_key_file);
    free(peer->allowed_ips);
    free(peer->allowed_positions);
    cq_conf_endpoint_free(&peer->endpoint);
}

void cq_conf_free(struct cq_conf *conf)
{
    for (size_t i = 0; i < conf->num_peers; i++)
        free_peer(&conf->peers[i]);
    free(conf->peers);
    free(conf->addresses);
    free_strings(&conf->pre_up);
    free_strings(&conf->post_up);
    free_strings(&conf->pre_down);
    free_strings(&conf->post_down);
    free_strings(&conf->settings);
    free(conf->private_key_file);
    cq_conf_metrics_free(&conf->metrics);
    cq_secret_free(conf->private_key);
    cq_conf_init(conf);
}

void cq_conf_error_set(struct cq_conf_error *error, struct cq_conf_position position,
                       const char *format, ...)
{
    va_list args;

    error->line = position.line;
    error->column = position.column;
    va_start(args, format);
    vsnprintf(error->message, sizeof(error->message), format, args);
    va_end(args);
}

char *cq_conf_error_format(const struct cq_conf_error *error, const char *file, char *out,
                           size_t size)
{
    if (error->line == 0)
        snprintf(out, size, "%s: %s", file, error->message);
    else
        snprintf(out, size, "%s:%u:%u: %s", file, error->line, error->column, error->message);
    return out;
}

bool cq_conf_interface_is_valid(const char *text)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_=+.-";
    size_t len = strlen(text);

    if (len == 0 || len > CQ_CONF_INTERFACE_MAX || strspn(text, allowed) != len)
        return false;
    return strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
}

bool cq_conf_name_is_valid(const char *text)
{
    size_t len = strlen(text);

    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~' || strchr("\"'\\,@=", text[i]) != NULL)
            return false;
    return len > 0 && len <= CQ_CONF_NAME_MAX;
}

char *cq_conf_peer_label(const struct cq_conf_peer *peer, char out[CQ_CONF_LABEL_MAX])
{
    if (peer->name[0] != '\0')
        memcpy(out, peer->name, sizeof(peer->name));
    else
        cq_base64_encode(peer->id, sizeof(peer->id), out);
    return out;
}

/* Makes room for one more of `num` items; the array's size is always the power of two at or above
 * num. */
static enum cq_err grow(void **items, size_t num, size_t item_size, size_t max)
{
    if (num >= max)
        return CQ_ERR_NOMEM;
    if ((num & (num - 1)) != 0)
        return CQ_OK;
    void *larger = realloc(*items, (num == 0 ? 1 : 2 * num) * item_size);
    if (larger == NULL)
        return CQ_ERR_NOMEM;
    *items = larger;
    return CQ_OK;
}

enum cq_err cq_conf_add_string(struct cq_conf_strings *list, const char *text, size_t len)
{
    void *items = list->items;
    enum cq_err err = grow(&items, list->num, sizeof(*list->items), CQ_CONF_MAX_HOOKS);

    list->items = items;
    if (err != CQ_OK)
        return err;
    char *copy = malloc(len + 1);
    if (copy == NULL)
        return CQ_ERR_NOMEM;
    memcpy(copy, text, len);
    copy[len] = '\0';
    list->items[list->num++] = copy;
    return CQ_OK;
}

enum cq_err cq_conf_add_peer(struct cq_conf *conf, const uint8_t id[CQ_PEER_ID_LEN],
                             struct cq_conf_peer **out)
{
    void *items = conf->peers;
    enum cq_err err = grow(&items, conf->num_peers, sizeof(*conf->peers), CQ_CONF_MAX_PEERS);

    conf->peers = items;
    if (err != CQ_OK)
        return err;
    *out = &conf->peers[conf->num_peers++];
    **out = (struct cq_conf_peer){0};
    memcpy((*out)->id, id, CQ_PEER_ID_LEN);
    return CQ_OK;
}

void cq_conf_remove_peer(struct cq_conf *conf, size_t index)
{
    free_peer(&conf->peers[index]);
    conf->num_peers--;
    memmove(&conf->peers[index], &conf->peers[index + 1],
            (conf->num_peers - index) * sizeof(*conf->peers));
}

enum cq_err cq_conf_add_allowed_ip(struct cq_conf_peer *peer, const struct cq_prefix *prefix,
                                   struct cq_conf_position position)
{
    size_t num = peer->num_allowed_ips;
    void *prefixes = peer->allowed_ips;
    enum cq_err err = grow(&prefixes, num, sizeof(*peer->allowed_ips), CQ_CONF_MAX_ALLOWED_IPS);

    peer->allowed_ips = prefixes;
    if (err != CQ_OK)
        return err;
    void *positions = peer->allowed_positions;
    err = grow(&positions, num, sizeof(*peer->allowed_positions), CQ_CONF_MAX_ALLOWED_IPS);
    peer->allowed_positions = positions;
    if (err != CQ_OK)
        return err;
    peer->allowed_ips[num] = *prefix;
    peer->allowed_positions[num] = position;
    peer->num_allowed_ips++;
    return CQ_OK;
}

enum cq_err cq_conf_add_address(struct cq_conf *conf, const struct cq_conf_address *address)
{
    void *items = conf->addresses;
    enum cq_err err =
        grow(&items, conf->num_addresses, sizeof(*conf->addresses), CQ_CONF_MAX_ADDRESSES);

    conf->addresses = items;
    if (err != CQ_OK)
        return err;
    conf->addresses[conf->num_addresses++] = *address;
    return CQ_OK;
}

static enum cq_err set_secret(uint8_t **slot, const uint8_t *bytes, size_t len)
{
    uint8_t *copy = cq_secret_alloc(len);

    if (copy == NULL)
        return CQ_ERR_NOMEM;
    memcpy(copy, bytes, len);
    cq_secret_free(*slot);
    *slot = copy;
    return CQ_OK;
}

enum cq_err cq_conf_set_private_key(struct cq_conf *conf, const uint8_t key[CQ_SECRET_KEY_LEN])
{
    return set_secret(&conf->private_key, key, CQ_SECRET_KEY_LEN);
}

enum cq_err cq_conf_peer_set_psk(struct cq_conf_peer *peer, const uint8_t psk[CQ_PSK_LEN])
{
    if (cq_is_zero_ct(psk, CQ_PSK_LEN))
        return CQ_ERR_INVALID;
    return set_secret(&peer->psk, psk, CQ_PSK_LEN);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

enum cq_err cq_conf_parse_key32(uint8_t out[32], const char *buffer, size_t len)
{
    enum { MAX_SPACE = 64 };

    if (len > CQ_KEY32_TEXT_LEN + MAX_SPACE) {
        memset(out, 0, 32);
        return CQ_ERR_INVALID;
    }
    while (len > 0 && is_space(buffer[0])) {
        buffer++;
        len--;
    }
    while (len > 0 && is_space(buffer[len - 1]))
        len--;
    return cq_base64_decode(buffer, len, out, 32);
}

enum cq_err cq_conf_parse_public_key(struct cq_public_key *out, const char *buffer, size_t len)
{
    char text[CQ_BASE64_LEN(CQ_PUBLIC_KEY_LEN)];
    uint8_t key[CQ_PUBLIC_KEY_LEN];
    size_t num = 0;

    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < len; i++) {
        if (is_space(buffer[i]))
            continue;
        if (num == sizeof(text))
            return CQ_ERR_INVALID;
        text[num++] = buffer[i];
    }
    enum cq_err err = cq_base64_decode(text, num, key, sizeof(key));
    if (err != CQ_OK)
        return err;
    memcpy(out->s, key, sizeof(out->s));
    memcpy(out->ek, key + sizeof(out->s), sizeof(out->ek));
    return CQ_OK;
}
