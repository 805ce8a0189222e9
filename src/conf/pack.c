#include "conf/pack.h"

#include "conf/metrics.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAGIC = 0x43515031, /* "CQP1" */
    PREFIX_BYTES = 18,
    FIXED_BYTES = 512,                    /* more than the plain values of [Interface] take */
    PEER_BYTES = 256 + CQ_PUBLIC_KEY_LEN, /* the same of a peer, without its texts */
};

enum flag {
    HAS_SECRET = 1,
    KEPT_SECRET = 2, /* there is one, but not here */
    HAS_KEY = 4,
    UNSAVED_SECRET = 8,
};

/* ---- sizes ---- */

static size_t text_bytes(const char *text)
{
    return 2 + (text != NULL ? strlen(text) : 0);
}

static size_t list_bytes(const struct cq_conf_strings *list)
{
    size_t n = 2;

    for (size_t i = 0; i < list->num; i++)
        n += text_bytes(list->items[i]);
    return n;
}

size_t cq_pack_bytes(const struct cq_conf *conf)
{
    size_t n = FIXED_BYTES + text_bytes(conf->private_key_file) +
               conf->num_addresses * (size_t)(PREFIX_BYTES + PREFIX_BYTES) +
               list_bytes(&conf->pre_up) + list_bytes(&conf->post_up) +
               list_bytes(&conf->pre_down) + list_bytes(&conf->post_down) +
               list_bytes(&conf->settings);

    for (size_t i = 0; i < conf->num_peers; i++) {
        const struct cq_conf_peer *p = &conf->peers[i];
        n += PEER_BYTES + text_bytes(p->psk_file) + text_bytes(p->public_key_file) +
             text_bytes(p->endpoint.host) + p->num_allowed_ips * PREFIX_BYTES;
    }
    return n;
}

/* ---- parts ---- */

void cq_pack_write_text(struct cq_writer *w, const char *text)
{
    size_t len = text != NULL ? strlen(text) : 0;

    if (len > UINT16_MAX) {
        w->failed = true;
        return;
    }
    cq_write_u16(w, (uint16_t)len);
    cq_write_bytes(w, text != NULL ? text : "", len);
}

enum cq_err cq_pack_read_text(struct cq_reader *r, size_t max, char **out)
{
    size_t len = cq_read_u16(r);
    const uint8_t *text = cq_read_span(r, len);

    *out = NULL;
    if (text == NULL || len > max)
        return CQ_ERR_INVALID;
    for (size_t i = 0; i < len; i++)
        if ((text[i] < ' ' && text[i] != '\t') || text[i] == 0x7f)
            return CQ_ERR_INVALID;
    if (len == 0)
        return CQ_OK;
    *out = malloc(len + 1);
    if (*out == NULL)
        return CQ_ERR_NOMEM;
    memcpy(*out, text, len);
    (*out)[len] = '\0';
    return CQ_OK;
}

static void write_ip(struct cq_writer *w, const struct cq_ip *ip)
{
    cq_write_u8(w, ip->family);
    cq_write_bytes(w, ip->bytes, sizeof(ip->bytes));
}

static enum cq_err read_ip(struct cq_reader *r, struct cq_ip *out)
{
    static const uint8_t zeros[sizeof(out->bytes)];

    out->family = cq_read_u8(r);
    cq_read_bytes(r, out->bytes, sizeof(out->bytes));
    size_t len = cq_ip_len(out->family);
    if (r->failed || len == 0 || memcmp(out->bytes + len, zeros, sizeof(zeros) - len) != 0)
        return CQ_ERR_INVALID;
    return CQ_OK;
}

void cq_pack_write_prefix(struct cq_writer *w, const struct cq_prefix *prefix)
{
    write_ip(w, &prefix->ip);
    cq_write_u8(w, prefix->bits);
}

/* No bit is set beyond the prefix. */
static bool is_bare(const struct cq_prefix *p)
{
    for (size_t bit = p->bits; bit < 8 * cq_ip_len(p->ip.family); bit++)
        if ((p->ip.bytes[bit / 8] & (0x80 >> bit % 8)) != 0)
            return false;
    return p->bits <= 8 * cq_ip_len(p->ip.family);
}

enum cq_err cq_pack_read_prefix(struct cq_reader *r, struct cq_prefix *out)
{
    enum cq_err err = read_ip(r, &out->ip);

    out->bits = cq_read_u8(r);
    return err == CQ_OK && !r->failed && is_bare(out) ? CQ_OK : CQ_ERR_INVALID;
}

static void write_list(struct cq_writer *w, const struct cq_conf_strings *list)
{
    cq_write_u16(w, (uint16_t)list->num);
    for (size_t i = 0; i < list->num; i++)
        cq_pack_write_text(w, list->items[i]);
}

static enum cq_err read_list(struct cq_reader *r, struct cq_conf_strings *out)
{
    uint16_t num = cq_read_u16(r);
    enum cq_err err = CQ_OK;

    for (uint16_t i = 0; err == CQ_OK && i < num; i++) {
        char *text;
        err = cq_pack_read_text(r, CQ_CONF_LINE_MAX, &text);
        if (err == CQ_OK && text == NULL)
            err = CQ_ERR_INVALID;
        if (err == CQ_OK)
            err = cq_conf_add_string(out, text, strlen(text));
        free(text);
    }
    return err;
}

static uint8_t secret_flags(const uint8_t *secret, bool kept, bool secrets)
{
    if (secret != NULL && secrets)
        return HAS_SECRET;
    return secret != NULL || kept ? KEPT_SECRET : 0;
}

/* ---- writing ---- */

static void write_peer(struct cq_writer *w, const struct cq_conf_peer *p, bool secrets)
{
    uint8_t flags = secret_flags(p->psk, p->psk_kept, secrets);
    char endpoint[CQ_CONF_ENDPOINT_TEXT_MAX];

    cq_write_bytes(w, p->id, CQ_PEER_ID_LEN);
    cq_pack_write_text(w, p->name);
    cq_write_u8(w, (uint8_t)(flags | (p->public_key != NULL ? HAS_KEY : 0) |
                             (p->psk_unsaved ? UNSAVED_SECRET : 0)));
    if ((flags & HAS_SECRET) != 0)
        cq_write_bytes(w, p->psk, CQ_PSK_LEN);
    if (p->public_key != NULL)
        cq_write_bytes(w, p->public_key, CQ_PUBLIC_KEY_LEN);
    cq_pack_write_text(w, p->psk_file);
    cq_pack_write_text(w, p->public_key_file);
    cq_pack_write_text(w, cq_conf_endpoint_format(&p->endpoint, endpoint));
    cq_write_u16(w, p->persistent_keepalive);
    cq_write_u32(w, (uint32_t)p->num_allowed_ips);
    for (size_t i = 0; i < p->num_allowed_ips; i++)
        cq_pack_write_prefix(w, &p->allowed_ips[i]);
}

static void write_metrics(struct cq_writer *w, const struct cq_conf_metrics *m)
{
    char text[CQ_ADDR_TEXT_MAX] = "none";

    if (m->mode == CQ_CONF_METRICS_FIXED)
        cq_addr_format(&m->addr, text);
    cq_pack_write_text(w, m->mode == CQ_CONF_METRICS_SEARCH ? NULL : text);
}

static void write_interface(struct cq_writer *w, const struct cq_conf *conf, bool secrets)
{
    uint8_t flags = secret_flags(conf->private_key, conf->private_key_kept, secrets);

    cq_pack_write_text(w, conf->interface);
    cq_write_u8(w, (uint8_t)(flags | (conf->private_key_unsaved ? UNSAVED_SECRET : 0)));
    if ((flags & HAS_SECRET) != 0)
        cq_write_bytes(w, conf->private_key, CQ_SECRET_KEY_LEN);
    cq_pack_write_text(w, conf->private_key_file);
    cq_write_u8(w, conf->has_listen_port);
    cq_write_u8(w, conf->answer_keys_on);
    cq_write_u8(w, conf->answer_keys_off);
    cq_write_u8(w, conf->push_keys_off);
    cq_write_u16(w, conf->listen_port);
    cq_write_u16(w, conf->mtu);
    cq_write_u8(w, (uint8_t)conf->table);
    cq_write_u32(w, conf->table_number);
    cq_write_u32(w, conf->fwmark);
    cq_write_u16(w, conf->rotate_secs);
    cq_write_u8(w, conf->suites);
    cq_write_u8(w, conf->preferred_suite);
    write_metrics(w, &conf->metrics);
    cq_write_u16(w, (uint16_t)conf->num_addresses);
    for (size_t i = 0; i < conf->num_addresses; i++) {
        write_ip(w, &conf->addresses[i].host);
        cq_pack_write_prefix(w, &conf->addresses[i].prefix);
    }
}

void cq_pack_write(struct cq_writer *w, const struct cq_conf *conf, bool secrets)
{
    cq_write_u32(w, MAGIC);
    write_interface(w, conf, secrets);
    write_list(w, &conf->pre_up);
    write_list(w, &conf->post_up);
    write_list(w, &conf->pre_down);
    write_list(w, &conf->post_down);
    write_list(w, &conf->settings);
    cq_write_u32(w, (uint32_t)conf->num_peers);
    for (size_t i = 0; i < conf->num_peers; i++)
        write_peer(w, &conf->peers[i], secrets);
}

/* ---- reading ---- */

static enum cq_err read_name(struct cq_reader *r, char out[CQ_CONF_NAME_MAX + 1])
{
    char *text;
    enum cq_err err = cq_pack_read_text(r, CQ_CONF_NAME_MAX, &text);

    if (err == CQ_OK && text != NULL && !cq_conf_name_is_valid(text))
        err = CQ_ERR_INVALID;
    if (err == CQ_OK && text != NULL)
        memcpy(out, text, strlen(text) + 1);
    free(text);
    return err;
}

static enum cq_err read_endpoint(struct cq_reader *r, struct cq_conf_endpoint *out)
{
    char *text;
    enum cq_err err = cq_pack_read_text(r, CQ_CONF_ENDPOINT_TEXT_MAX, &text);

    if (err == CQ_OK && text != NULL)
        err = cq_conf_parse_endpoint(out, text, NULL);
    free(text);
    return err;
}

static enum cq_err read_keys(struct cq_reader *r, struct cq_conf_peer *p)
{
    uint8_t flags = cq_read_u8(r);
    enum cq_err err = CQ_OK;

    if ((flags & ~(HAS_SECRET | KEPT_SECRET | HAS_KEY | UNSAVED_SECRET)) != 0)
        return CQ_ERR_INVALID;
    p->psk_kept = (flags & KEPT_SECRET) != 0;
    p->psk_unsaved = (flags & UNSAVED_SECRET) != 0;
    if ((flags & HAS_SECRET) != 0) {
        const uint8_t *psk = cq_read_span(r, CQ_PSK_LEN);
        err = psk != NULL ? cq_conf_peer_set_psk(p, psk) : CQ_ERR_INVALID;
    }
    if (err != CQ_OK || (flags & HAS_KEY) == 0)
        return err;
    p->public_key = malloc(sizeof(*p->public_key));
    if (p->public_key == NULL)
        return CQ_ERR_NOMEM;
    cq_read_bytes(r, p->public_key, CQ_PUBLIC_KEY_LEN);
    return r->failed ? CQ_ERR_INVALID : CQ_OK;
}

static enum cq_err read_peer(struct cq_reader *r, struct cq_conf *conf)
{
    struct cq_conf_peer *p;
    uint8_t id[CQ_PEER_ID_LEN];
    struct cq_prefix prefix;

    cq_read_bytes(r, id, sizeof(id));
    if (r->failed)
        return CQ_ERR_INVALID;
    enum cq_err err = cq_conf_add_peer(conf, id, &p);
    if (err == CQ_OK)
        err = read_name(r, p->name);
    if (err == CQ_OK)
        err = read_keys(r, p);
    if (err == CQ_OK)
        err = cq_pack_read_text(r, CQ_CONF_PATH_MAX, &p->psk_file);
    if (err == CQ_OK)
        err = cq_pack_read_text(r, CQ_CONF_PATH_MAX, &p->public_key_file);
    if (err == CQ_OK)
        err = read_endpoint(r, &p->endpoint);
    p->persistent_keepalive = cq_read_u16(r);
    uint32_t num = cq_read_u32(r);
    for (uint32_t i = 0; err == CQ_OK && i < num; i++) {
        err = cq_pack_read_prefix(r, &prefix);
        if (err == CQ_OK)
            err = cq_conf_add_allowed_ip(p, &prefix, (struct cq_conf_position){0});
    }
    return err;
}

static enum cq_err read_private_key(struct cq_reader *r, struct cq_conf *conf)
{
    uint8_t flags = cq_read_u8(r);

    conf->private_key_kept = (flags & KEPT_SECRET) != 0;
    conf->private_key_unsaved = (flags & UNSAVED_SECRET) != 0;
    if ((flags & HAS_SECRET) == 0)
        return CQ_OK;
    const uint8_t *key = cq_read_span(r, CQ_SECRET_KEY_LEN);
    return key != NULL ? cq_conf_set_private_key(conf, key) : CQ_ERR_INVALID;
}

static enum cq_err read_metrics(struct cq_reader *r, struct cq_conf_metrics *out)
{
    char *text;
    enum cq_err err = cq_pack_read_text(r, CQ_ADDR_TEXT_MAX, &text);

    if (err == CQ_OK && text != NULL)
        err = cq_conf_metrics_set_address(out, text, strlen(text));
    free(text);
    return err;
}

static enum cq_err read_addresses(struct cq_reader *r, struct cq_conf *conf)
{
    uint16_t num = cq_read_u16(r);
    enum cq_err err = CQ_OK;

    for (uint16_t i = 0; err == CQ_OK && i < num; i++) {
        struct cq_conf_address address;
        err = read_ip(r, &address.host);
        if (err == CQ_OK)
            err = cq_pack_read_prefix(r, &address.prefix);
        if (err == CQ_OK && !cq_prefix_contains(&address.prefix, &address.host))
            err = CQ_ERR_INVALID;
        if (err == CQ_OK)
            err = cq_conf_add_address(conf, &address);
    }
    return err;
}

static bool is_sound(const struct cq_conf *c)
{
    const uint8_t suites = CQ_CONF_SUITE_AES_256_GCM | CQ_CONF_SUITE_CHACHA20_POLY1305;

    return c->table <= CQ_CONF_TABLE_NUMBER && c->rotate_secs >= CQ_ROTATE_SECS_MIN &&
           c->rotate_secs <= CQ_ROTATE_SECS_MAX && c->suites != 0 && (c->suites & ~suites) == 0 &&
           (c->preferred_suite & ~c->suites) == 0 && c->preferred_suite != suites;
}

static enum cq_err read_interface(struct cq_reader *r, struct cq_conf *conf)
{
    char *name;
    enum cq_err err = cq_pack_read_text(r, CQ_CONF_INTERFACE_MAX, &name);

    if (err == CQ_OK && name != NULL && !cq_conf_interface_is_valid(name))
        err = CQ_ERR_INVALID;
    if (err == CQ_OK && name != NULL)
        memcpy(conf->interface, name, strlen(name) + 1);
    free(name);
    if (err == CQ_OK)
        err = read_private_key(r, conf);
    if (err == CQ_OK)
        err = cq_pack_read_text(r, CQ_CONF_PATH_MAX, &conf->private_key_file);
    conf->has_listen_port = cq_read_u8(r) != 0;
    conf->answer_keys_on = cq_read_u8(r) != 0;
    conf->answer_keys_off = cq_read_u8(r) != 0;
    conf->push_keys_off = cq_read_u8(r) != 0;
    conf->listen_port = cq_read_u16(r);
    conf->mtu = cq_read_u16(r);
    conf->table = (enum cq_conf_table)cq_read_u8(r);
    conf->table_number = cq_read_u32(r);
    conf->fwmark = cq_read_u32(r);
    conf->rotate_secs = cq_read_u16(r);
    conf->suites = cq_read_u8(r);
    conf->preferred_suite = cq_read_u8(r);
    if (err == CQ_OK)
        err = read_metrics(r, &conf->metrics);
    if (err == CQ_OK)
        err = is_sound(conf) ? read_addresses(r, conf) : CQ_ERR_INVALID;
    return err;
}

enum cq_err cq_pack_read(struct cq_reader *r, struct cq_conf *out)
{
    cq_conf_init(out);
    enum cq_err err = cq_read_u32(r) == MAGIC ? read_interface(r, out) : CQ_ERR_INVALID;
    struct cq_conf_strings *lists[] = {&out->pre_up, &out->post_up, &out->pre_down, &out->post_down,
                                       &out->settings};

    for (size_t i = 0; err == CQ_OK && i < sizeof(lists) / sizeof(lists[0]); i++)
        err = read_list(r, lists[i]);
    uint32_t num = cq_read_u32(r);
    for (uint32_t i = 0; err == CQ_OK && i < num; i++)
        err = read_peer(r, out);
    if (err == CQ_OK && r->failed)
        err = CQ_ERR_INVALID;
    if (err != CQ_OK)
        cq_conf_free(out);
    return err;
}
