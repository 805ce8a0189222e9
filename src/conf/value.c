#include "conf/value.h"

#include "base/base64.h"
#include "base/mem.h"
#include "conf/metrics.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct cq_conf_position cq_conf_value_position(const struct cq_conf_value *v, const char *at)
{
    return (struct cq_conf_position){v->line, (unsigned)(at - v->line_start) + 1};
}

enum cq_err cq_conf_value_fail(struct cq_conf_value *v, struct cq_conf_position position,
                               const char *format, ...)
{
    va_list args;

    v->error->line = position.line;
    v->error->column = position.column;
    va_start(args, format);
    vsnprintf(v->error->message, sizeof(v->error->message), format, args);
    va_end(args);
    return CQ_ERR_INVALID;
}

enum cq_err cq_conf_value_fail_nomem(struct cq_conf_value *v, const char *what)
{
    cq_conf_error_set(v->error, (struct cq_conf_position){v->line, 1},
                      "too many %s, or out of memory", what);
    return CQ_ERR_NOMEM;
}

bool cq_conf_text_is(struct cq_conf_text text, const char *word)
{
    return text.len == strlen(word) && strncasecmp(text.p, word, text.len) == 0;
}

/* The value is wrong: "KEY <what would be right>", at the value. */
static enum cq_err refuse(struct cq_conf_value *v, struct cq_conf_text value, const char *what)
{
    return cq_conf_value_fail(v, cq_conf_value_position(v, value.p), "%s %s", v->key, what);
}

/* Copies a value into a string of its own. */
static enum cq_err copy_text(struct cq_conf_value *v, struct cq_conf_text value, size_t max,
                             char **out)
{
    if (value.len > max)
        return cq_conf_value_fail(v, cq_conf_value_position(v, value.p),
                                  "%s is longer than %zu characters", v->key, max);
    char *copy = malloc(value.len + 1);
    if (copy == NULL)
        return cq_conf_value_fail_nomem(v, v->key);
    memcpy(copy, value.p, value.len);
    copy[value.len] = '\0';
    *out = copy;
    return CQ_OK;
}

/* A decimal number (or hexadecimal after 0x) of at most max; nothing else around it. */
static bool read_number(struct cq_conf_text t, uint32_t max, uint32_t *out)
{
    unsigned base = 10;
    uint64_t n = 0;

    if (t.len > 2 && t.p[0] == '0' && (t.p[1] | 0x20) == 'x') {
        base = 16;
        t.p += 2;
        t.len -= 2;
    }
    if (t.len == 0 || t.len > 10)
        return false;
    for (size_t i = 0; i < t.len; i++) {
        unsigned c = (unsigned char)t.p[i];
        unsigned digit = c >= '0' && c <= '9'                     ? c - '0'
                         : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                                  : 16;
        if (digit >= base)
            return false;
        n = n * base + digit;
    }
    *out = (uint32_t)n;
    return n <= max;
}

static bool read_decimal(struct cq_conf_text t, uint32_t min, uint32_t max, uint32_t *out)
{
    return (t.len < 2 || t.p[1] != 'x') && (t.len < 2 || t.p[1] != 'X') &&
           read_number(t, max, out) && *out >= min;
}

/* Cuts the next item off a comma list and trims it; false at the end. The last comma must be
 * followed by an item. */
static bool next_item(struct cq_conf_text *rest, struct cq_conf_text *out)
{
    if (rest->p == NULL)
        return false;
    const char *comma = memchr(rest->p, ',', rest->len);
    *out = (struct cq_conf_text){rest->p, comma != NULL ? (size_t)(comma - rest->p) : rest->len};
    if (comma != NULL)
        *rest = (struct cq_conf_text){comma + 1, rest->len - (size_t)(comma + 1 - rest->p)};
    else
        rest->p = NULL;
    while (out->len > 0 && (out->p[0] == ' ' || out->p[0] == '\t')) {
        out->p++;
        out->len--;
    }
    while (out->len > 0 && (out->p[out->len - 1] == ' ' || out->p[out->len - 1] == '\t'))
        out->len--;
    return true;
}

static bool read_prefix(struct cq_conf_text t, struct cq_prefix *out, struct cq_ip *host)
{
    char copy[CQ_PREFIX_TEXT_MAX];

    if (t.len >= sizeof(copy))
        return false;
    memcpy(copy, t.p, t.len);
    copy[t.len] = '\0';
    return cq_prefix_parse(copy, out, host) == CQ_OK;
}

static const char key_is_wrong[] = "is not 32 bytes in base64 (44 characters ending in \"=\")";

enum cq_err cq_conf_value_private_key(struct cq_conf_value *v, struct cq_conf_text value)
{
    uint8_t key[CQ_SECRET_KEY_LEN];
    enum cq_err err;

    if (v->conf->private_key_file != NULL)
        return refuse(v, value, "and PrivateKeyFile are both there: one of them, please");
    err = cq_base64_decode(value.p, value.len, key, sizeof(key));
    if (err != CQ_OK)
        return refuse(v, value, key_is_wrong);
    err = cq_conf_set_private_key(v->conf, key);
    cq_wipe(key, sizeof(key));
    return err == CQ_OK ? CQ_OK : cq_conf_value_fail_nomem(v, "secrets");
}

enum cq_err cq_conf_value_private_key_file(struct cq_conf_value *v, struct cq_conf_text value)
{
    if (v->conf->private_key != NULL)
        return refuse(v, value, "and PrivateKey are both there: one of them, please");
    v->conf->private_key_file_position = cq_conf_value_position(v, value.p);
    return copy_text(v, value, CQ_CONF_PATH_MAX, &v->conf->private_key_file);
}

enum cq_err cq_conf_value_listen_port(struct cq_conf_value *v, struct cq_conf_text value)
{
    uint32_t port;

    if (!read_decimal(value, 0, UINT16_MAX, &port))
        return refuse(v, value, "is not a number from 0 to 65535");
    v->conf->listen_port = (uint16_t)port;
    v->conf->has_listen_port = port != 0;
    return CQ_OK;
}

static enum cq_err add_address(struct cq_conf_value *v, struct cq_conf_text item)
{
    struct cq_conf_address address;
    struct cq_addr probe = {.port = 1};

    if (!read_prefix(item, &address.prefix, &address.host))
        return refuse(v, item, "is not an address like 10.9.0.1/24 or fd00::1/64");
    probe.ip = address.host;
    if (!cq_addr_is_usable(&probe))
        return refuse(v, item, "is not an address that an interface can have");
    for (size_t i = 0; i < v->conf->num_addresses; i++)
        if (cq_ip_equal(&v->conf->addresses[i].host, &address.host))
            return refuse(v, item, "is there twice");
    if (cq_conf_add_address(v->conf, &address) != CQ_OK)
        return cq_conf_value_fail_nomem(v, "addresses");
    return CQ_OK;
}

enum cq_err cq_conf_value_address(struct cq_conf_value *v, struct cq_conf_text value)
{
    struct cq_conf_text item;
    enum cq_err err = CQ_OK;

    while (err == CQ_OK && next_item(&value, &item))
        err = add_address(v, item);
    return err;
}

enum cq_err cq_conf_value_mtu(struct cq_conf_value *v, struct cq_conf_text value)
{
    uint32_t mtu;

    if (!read_decimal(value, CQ_CONF_MTU_MIN, CQ_CONF_MTU_MAX, &mtu))
        return cq_conf_value_fail(v, cq_conf_value_position(v, value.p),
                                  "MTU is not a number from %d to %d", CQ_CONF_MTU_MIN,
                                  CQ_CONF_MTU_MAX);
    v->conf->mtu = (uint16_t)mtu;
    return CQ_OK;
}

enum cq_err cq_conf_value_table(struct cq_conf_value *v, struct cq_conf_text value)
{
    struct cq_conf *conf = v->conf;

    if (cq_conf_text_is(value, "auto")) {
        conf->table = CQ_CONF_TABLE_AUTO;
        return CQ_OK;
    }
    if (cq_conf_text_is(value, "off")) {
        conf->table = CQ_CONF_TABLE_OFF;
        return CQ_OK;
    }
    conf->table = CQ_CONF_TABLE_NUMBER;
    if (!read_number(value, UINT32_MAX, &conf->table_number) || conf->table_number == 0)
        return refuse(v, value, "is not auto, off, or the number of a routing table");
    return CQ_OK;
}

enum cq_err cq_conf_value_fwmark(struct cq_conf_value *v, struct cq_conf_text value)
{
    v->conf->fwmark = 0;
    if (cq_conf_text_is(value, "off") || read_number(value, UINT32_MAX, &v->conf->fwmark))
        return CQ_OK;
    return refuse(v, value, "is not off, or a number of 32 bits (also in the form 0x1f)");
}

/* "on" or "off". */
static enum cq_err read_switch(struct cq_conf_value *v, struct cq_conf_text value, bool *out)
{
    *out = cq_conf_text_is(value, "on");
    if (!*out && !cq_conf_text_is(value, "off"))
        return refuse(v, value, "is neither on nor off");
    return CQ_OK;
}

enum cq_err cq_conf_value_answer_keys(struct cq_conf_value *v, struct cq_conf_text value)
{
    enum cq_err err = read_switch(v, value, &v->conf->answer_keys_on);

    v->conf->answer_keys_off = err == CQ_OK && !v->conf->answer_keys_on;
    return err;
}

enum cq_err cq_conf_value_push_keys(struct cq_conf_value *v, struct cq_conf_text value)
{
    bool on;
    enum cq_err err = read_switch(v, value, &on);

    v->conf->push_keys_off = err == CQ_OK && !on;
    return err;
}

enum cq_err cq_conf_value_tun_offload(struct cq_conf_value *v, struct cq_conf_text value)
{
    if (cq_conf_tuning_set_tun_offload(&v->conf->tuning, value.p, value.len) != CQ_OK)
        return refuse(v, value, "is not " CQ_CONF_TUNING_TUN_OFFLOAD);
    return CQ_OK;
}

enum cq_err cq_conf_value_udp_gso(struct cq_conf_value *v, struct cq_conf_text value)
{
    if (cq_conf_tuning_set_udp_gso(&v->conf->tuning, value.p, value.len) != CQ_OK)
        return refuse(v, value, "is neither on nor off");
    return CQ_OK;
}

enum cq_err cq_conf_value_udp_gro(struct cq_conf_value *v, struct cq_conf_text value)
{
    if (cq_conf_tuning_set_udp_gro(&v->conf->tuning, value.p, value.len) != CQ_OK)
        return refuse(v, value, "is neither on nor off");
    return CQ_OK;
}

enum cq_err cq_conf_value_workers(struct cq_conf_value *v, struct cq_conf_text value)
{
    if (cq_conf_tuning_set_workers(&v->conf->tuning, value.p, value.len) != CQ_OK)
        return refuse(v, value, "is not " CQ_CONF_TUNING_WORKERS);
    return CQ_OK;
}

enum cq_err cq_conf_value_remember_peers(struct cq_conf_value *v, struct cq_conf_text value)
{
    bool on;
    enum cq_err err = read_switch(v, value, &on);

    v->conf->remember_off = err == CQ_OK && !on;
    return err;
}

enum cq_err cq_conf_value_rotate_secs(struct cq_conf_value *v, struct cq_conf_text value)
{
    uint32_t secs;

    if (!read_decimal(value, CQ_ROTATE_SECS_MIN, CQ_ROTATE_SECS_MAX, &secs))
        return refuse(v, value, "is not a number from 60 to 3600");
    v->conf->rotate_secs = (uint16_t)secs;
    return CQ_OK;
}

enum cq_err cq_conf_value_suites(struct cq_conf_value *v, struct cq_conf_text value)
{
    struct cq_conf *conf = v->conf;
    struct cq_conf_text item;

    conf->suites = 0;
    while (next_item(&value, &item)) {
        uint8_t suite = cq_conf_text_is(item, "aes-256-gcm") ? CQ_CONF_SUITE_AES_256_GCM
                        : cq_conf_text_is(item, "chacha20-poly1305")
                            ? CQ_CONF_SUITE_CHACHA20_POLY1305
                            : 0;
        if (suite == 0)
            return refuse(v, item, "is a list of aes-256-gcm and chacha20-poly1305, best first");
        if ((conf->suites & suite) != 0)
            return refuse(v, item, "has that suite twice");
        if (conf->suites == 0)
            conf->preferred_suite = suite;
        conf->suites |= suite;
    }
    return CQ_OK;
}

static enum cq_err add_hook(struct cq_conf_value *v, struct cq_conf_strings *list,
                            struct cq_conf_text value)
{
    if (value.len > CQ_CONF_HOOK_MAX)
        return cq_conf_value_fail(v, cq_conf_value_position(v, value.p),
                                  "%s is longer than %d characters", v->key, CQ_CONF_HOOK_MAX);
    if (cq_conf_add_string(list, value.p, value.len) != CQ_OK)
        return cq_conf_value_fail_nomem(v, v->key);
    return CQ_OK;
}

enum cq_err cq_conf_value_pre_up(struct cq_conf_value *v, struct cq_conf_text value)
{
    return add_hook(v, &v->conf->pre_up, value);
}

enum cq_err cq_conf_value_post_up(struct cq_conf_value *v, struct cq_conf_text value)
{
    return add_hook(v, &v->conf->post_up, value);
}

enum cq_err cq_conf_value_pre_down(struct cq_conf_value *v, struct cq_conf_text value)
{
    return add_hook(v, &v->conf->pre_down, value);
}

enum cq_err cq_conf_value_post_down(struct cq_conf_value *v, struct cq_conf_text value)
{
    return add_hook(v, &v->conf->post_down, value);
}

enum cq_err cq_conf_value_metrics_address(struct cq_conf_value *v, struct cq_conf_text value)
{
    v->conf->metrics.addr_position = cq_conf_value_position(v, value.p);
    if (cq_conf_metrics_set_address(&v->conf->metrics, value.p, value.len) == CQ_OK)
        return CQ_OK;
    return refuse(v, value, "is neither none nor a numeric address with a port (127.0.0.1:9464)");
}

enum cq_err cq_conf_value_metrics_token(struct cq_conf_value *v, struct cq_conf_text value)
{
    if (v->conf->metrics.token_file != NULL)
        return refuse(v, value, "and MetricsTokenFile are both there: one of them, please");
    enum cq_err err = cq_conf_metrics_set_token(&v->conf->metrics, value.p, value.len);
    if (err == CQ_ERR_INVALID)
        return refuse(v, value, "is not 16 to 256 letters, digits and -._~+/=");
    return err == CQ_OK ? CQ_OK : cq_conf_value_fail_nomem(v, "secrets");
}

enum cq_err cq_conf_value_metrics_token_file(struct cq_conf_value *v, struct cq_conf_text value)
{
    if (v->conf->metrics.token != NULL)
        return refuse(v, value, "and MetricsToken are both there: one of them, please");
    v->conf->metrics.token_file_position = cq_conf_value_position(v, value.p);
    return copy_text(v, value, CQ_CONF_PATH_MAX, &v->conf->metrics.token_file);
}

enum cq_err cq_conf_value_metrics_peers(struct cq_conf_value *v, struct cq_conf_text value)
{
    if (!read_decimal(value, 0, CQ_CONF_MAX_PEERS, &v->conf->metrics.max_peers))
        return refuse(v, value, "is not a number from 0 to 65536");
    return CQ_OK;
}

enum cq_err cq_conf_value_metrics_wireguard(struct cq_conf_value *v, struct cq_conf_text value)
{
    bool on = false;
    enum cq_err err = read_switch(v, value, &on);

    v->conf->metrics.wireguard_off = err == CQ_OK && !on;
    return err;
}

enum cq_err cq_conf_value_name(struct cq_conf_value *v, struct cq_conf_text value)
{
    if (value.len > CQ_CONF_NAME_MAX)
        return refuse(v, value, "is longer than 63 characters");
    for (size_t i = 0; i < value.len; i++)
        if (value.p[i] <= ' ' || value.p[i] > '~' || strchr("\"'\\,@=", value.p[i]) != NULL)
            return refuse(v, (struct cq_conf_text){value.p + i, 1},
                          "is one word of ASCII without blanks, quotes, '\\', '@', ',' and '='");
    memcpy(v->peer->name, value.p, value.len);
    v->peer->name[value.len] = '\0';
    v->peer->name_position = cq_conf_value_position(v, value.p);
    return CQ_OK;
}

enum cq_err cq_conf_value_peer_id(struct cq_conf_value *v, struct cq_conf_text value)
{
    if (cq_base64_decode(value.p, value.len, v->peer->id, CQ_PEER_ID_LEN) != CQ_OK)
        return refuse(v, value, key_is_wrong);
    v->peer->position = cq_conf_value_position(v, value.p);
    return CQ_OK;
}

enum cq_err cq_conf_value_public_key_file(struct cq_conf_value *v, struct cq_conf_text value)
{
    v->peer->public_key_file_position = cq_conf_value_position(v, value.p);
    return copy_text(v, value, CQ_CONF_PATH_MAX, &v->peer->public_key_file);
}

enum cq_err cq_conf_value_psk(struct cq_conf_value *v, struct cq_conf_text value)
{
    uint8_t psk[CQ_PSK_LEN];
    enum cq_err err;

    if (v->peer->psk_file != NULL)
        return refuse(v, value, "and PresharedKeyFile are both there: one of them, please");
    if (cq_base64_decode(value.p, value.len, psk, sizeof(psk)) != CQ_OK)
        return refuse(v, value, key_is_wrong);
    err = cq_conf_peer_set_psk(v->peer, psk);
    cq_wipe(psk, sizeof(psk));
    if (err == CQ_ERR_INVALID)
        return refuse(v, value, "is all zero, which is no secret: make one with cryprq genpsk");
    return err == CQ_OK ? CQ_OK : cq_conf_value_fail_nomem(v, "secrets");
}

enum cq_err cq_conf_value_psk_file(struct cq_conf_value *v, struct cq_conf_text value)
{
    if (v->peer->psk != NULL)
        return refuse(v, value, "and PresharedKey are both there: one of them, please");
    v->peer->psk_file_position = cq_conf_value_position(v, value.p);
    return copy_text(v, value, CQ_CONF_PATH_MAX, &v->peer->psk_file);
}

enum cq_err cq_conf_value_allowed_ips(struct cq_conf_value *v, struct cq_conf_text value)
{
    struct cq_conf_text item;
    struct cq_prefix prefix;

    while (next_item(&value, &item)) {
        if (!read_prefix(item, &prefix, NULL))
            return refuse(v, item, "has something that is no prefix like 10.9.0.0/24 or fd00::/64");
        if (cq_conf_add_allowed_ip(v->peer, &prefix, cq_conf_value_position(v, item.p)) != CQ_OK)
            return cq_conf_value_fail_nomem(v, "AllowedIPs");
    }
    return CQ_OK;
}

enum cq_err cq_conf_value_endpoint(struct cq_conf_value *v, struct cq_conf_text value)
{
    char copy[CQ_CONF_HOST_MAX + 16];
    const char *reason = "it is too long";
    enum cq_err err = CQ_ERR_INVALID;

    if (value.len < sizeof(copy)) {
        memcpy(copy, value.p, value.len);
        copy[value.len] = '\0';
        err = cq_conf_parse_endpoint(&v->peer->endpoint, copy, &reason);
    }
    if (err == CQ_ERR_NOMEM)
        return cq_conf_value_fail_nomem(v, "endpoints");
    if (err != CQ_OK)
        return cq_conf_value_fail(v, cq_conf_value_position(v, value.p),
                                  "Endpoint is not HOST:PORT: %s", reason);
    return CQ_OK;
}

enum cq_err cq_conf_value_keepalive(struct cq_conf_value *v, struct cq_conf_text value)
{
    uint32_t secs = 0;

    if (!cq_conf_text_is(value, "off") && !read_decimal(value, 0, UINT16_MAX, &secs))
        return refuse(v, value, "is not off, or a number of seconds up to 65535");
    v->peer->persistent_keepalive = (uint16_t)secs;
    return CQ_OK;
}
