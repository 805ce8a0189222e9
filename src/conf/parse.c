#include "conf/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Line by line, without a copy of the text: a line is cut into a section or a key and its value,
 * and the key's entry in the tables below says which function of conf/value.h reads the value.
 * Invariant: `at` points into the line, so that every message has its column.
 */

enum { MAX_KEYS = CQ_CONF_MAX_SETTINGS };

struct key {
    const char *name;
    cq_conf_value_fn *read;
    bool repeats; /* may stand on several lines, which accumulate */
    bool may_be_empty;
    bool live; /* of [Interface]: a running node can take another value over */
};

static const struct key interface_keys[] = {
    {"PrivateKey", cq_conf_value_private_key, .live = true},
    {"PrivateKeyFile", cq_conf_value_private_key_file, .live = true},
    {"ListenPort", cq_conf_value_listen_port},
    {"Address", cq_conf_value_address, .repeats = true, .live = true},
    {"MTU", cq_conf_value_mtu},
    {"Table", cq_conf_value_table},
    {"FwMark", cq_conf_value_fwmark},
    {"RotateSecs", cq_conf_value_rotate_secs, .live = true},
    {"Suites", cq_conf_value_suites, .live = true},
    {"AnswerKeys", cq_conf_value_answer_keys, .live = true},
    {"PushKeys", cq_conf_value_push_keys, .live = true},
    {"TunOffload", cq_conf_value_tun_offload},
    {"UdpGso", cq_conf_value_udp_gso},
    {"UdpGro", cq_conf_value_udp_gro},
    {"Workers", cq_conf_value_workers},
    {"RememberPeers", cq_conf_value_remember_peers},
    {"PreUp", cq_conf_value_pre_up, .repeats = true, .live = true},
    {"PostUp", cq_conf_value_post_up, .repeats = true, .live = true},
    {"PreDown", cq_conf_value_pre_down, .repeats = true, .live = true},
    {"PostDown", cq_conf_value_post_down, .repeats = true, .live = true},
    {"MetricsAddress", cq_conf_value_metrics_address},
    {"MetricsToken", cq_conf_value_metrics_token},
    {"MetricsTokenFile", cq_conf_value_metrics_token_file},
    {"MetricsPeers", cq_conf_value_metrics_peers},
    {"MetricsWireGuard", cq_conf_value_metrics_wireguard},
    {NULL},
};

static const struct key peer_keys[] = {
    {"Name", cq_conf_value_name},
    {"PeerID", cq_conf_value_peer_id},
    {"PublicKeyFile", cq_conf_value_public_key_file},
    {"PresharedKey", cq_conf_value_psk},
    {"PresharedKeyFile", cq_conf_value_psk_file},
    {"AllowedIPs", cq_conf_value_allowed_ips, .repeats = true, .may_be_empty = true},
    {"Endpoint", cq_conf_value_endpoint},
    {"PersistentKeepalive", cq_conf_value_keepalive},
    {NULL},
};

_Static_assert(sizeof(interface_keys) / sizeof(interface_keys[0]) <= MAX_KEYS, "room for `seen`");
_Static_assert(sizeof(peer_keys) / sizeof(peer_keys[0]) <= MAX_KEYS, "room for `seen`");

enum section { SECTION_NONE, SECTION_INTERFACE, SECTION_PEER };

static const struct {
    const char *name;
    const struct key *keys;
} sections[] = {
    [SECTION_NONE] = {"", NULL},
    [SECTION_INTERFACE] = {"Interface", interface_keys},
    [SECTION_PEER] = {"Peer", peer_keys},
};

/* Keys that people coming from WireGuard will try. */
static const struct {
    enum section section;
    const char *name;
    const char *hint;
} hints[] = {
    {SECTION_PEER, "PublicKey", "CrypRQ names a peer by its 44-character PeerID (cryprq pubkey)"},
    {SECTION_INTERFACE, "DNS", "it is not supported yet; set name servers with PostUp"},
    {SECTION_INTERFACE, "SaveConfig",
     "it is not supported; cryprq save writes the file when it is told to"},
    {SECTION_INTERFACE, "PublicKey", "our own public key follows from PrivateKey"},
    {SECTION_INTERFACE, "PeerID", "our own PeerID follows from PrivateKey"},
};

struct parser {
    struct cq_conf_value v; /* what the value functions see */
    enum section section;
    struct cq_conf_position section_position;
    unsigned interface_line; /* 0: no [Interface] yet */
    struct cq_conf_position interface_position;
    unsigned seen[MAX_KEYS]; /* lines of the present section's keys; 0: not there */
    bool is_part;            /* no private key and no [Interface] is needed */
    bool peer_has_id;
};

static struct cq_conf_position position_of(const struct parser *p, const char *at)
{
    return cq_conf_value_position(&p->v, at);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct cq_conf_text trim(struct cq_conf_text t)
{
    while (t.len > 0 && is_blank(t.p[0])) {
        t.p++;
        t.len--;
    }
    while (t.len > 0 && is_blank(t.p[t.len - 1]))
        t.len--;
    return t;
}

/*
 * A key for a message, in quotes. What was taken for a key may be a secret that lost its line, so
 * only what is short enough not to be one is repeated.
 */
static const char *quote_key(struct cq_conf_text key, char out[32])
{
    enum { LONGEST_SHOWN = 24 };

    if (key.len > LONGEST_SHOWN)
        return "";
    out[0] = ' ';
    out[1] = '"';
    memcpy(out + 2, key.p, key.len);
    memcpy(out + 2 + key.len, "\"", 2);
    return out;
}

static const struct key *find_key(const struct key *keys, struct cq_conf_text name)
{
    for (; keys->name != NULL; keys++)
        if (cq_conf_text_is(name, keys->name))
            return keys;
    return NULL;
}

static enum cq_err report_unknown_key(struct parser *p, struct cq_conf_text key)
{
    enum section other = p->section == SECTION_PEER ? SECTION_INTERFACE : SECTION_PEER;
    struct cq_conf_position at = position_of(p, key.p);
    const char *name = sections[p->section].name;
    char quoted[32], known[384] = "";
    size_t len = 0;

    quote_key(key, quoted);
    for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
        if (hints[i].section == p->section && cq_conf_text_is(key, hints[i].name))
            return cq_conf_value_fail(&p->v, at, "unknown key \"%s\" in [%s]: %s", hints[i].name,
                                      name, hints[i].hint);
    const struct key *elsewhere = find_key(sections[other].keys, key);
    if (elsewhere != NULL)
        return cq_conf_value_fail(&p->v, at, "unknown key \"%s\" in [%s]: it belongs in [%s]",
                                  elsewhere->name, name, sections[other].name);
    for (const struct key *k = sections[p->section].keys; k->name != NULL; k++) {
        const char *comma = len > 0 ? ", " : "";
        size_t need = strlen(comma) + strlen(k->name);
        if (len + need >= sizeof(known))
            break;
        memcpy(known + len, comma, strlen(comma));
        memcpy(known + len + strlen(comma), k->name, strlen(k->name) + 1);
        len += need;
    }
    return cq_conf_value_fail(&p->v, at, "unknown key%s in [%s]: known are %s",
                              quote_key(key, quoted), name, known);
}

/* What a whole section must have, once its last line is behind. */
static enum cq_err end_section(struct parser *p)
{
    const struct cq_conf *conf = p->v.conf;

    switch (p->section) {
    case SECTION_NONE:
        return CQ_OK;
    case SECTION_INTERFACE:
        if (conf->private_key == NULL && conf->private_key_file == NULL && !p->is_part)
            return cq_conf_value_fail(&p->v, p->section_position,
                                      "[Interface] has no PrivateKey or PrivateKeyFile");
        return CQ_OK;
    case SECTION_PEER:
        if (!p->peer_has_id)
            return cq_conf_value_fail(&p->v, p->section_position, "[Peer] has no PeerID");
        return CQ_OK;
    }
    return CQ_OK;
}

static enum cq_err begin_section(struct parser *p, struct cq_conf_text line)
{
    static const uint8_t no_id[CQ_PEER_ID_LEN];
    struct cq_conf_position at = position_of(p, line.p);
    enum cq_err err = end_section(p);

    if (err != CQ_OK)
        return err;
    p->section_position = at;
    memset(p->seen, 0, sizeof(p->seen));
    if (line.p[line.len - 1] != ']')
        return cq_conf_value_fail(&p->v, position_of(p, line.p + line.len),
                                  "the section's closing ']' is missing");
    struct cq_conf_text name = trim((struct cq_conf_text){line.p + 1, line.len - 2});
    if (cq_conf_text_is(name, "Interface")) {
        if (p->interface_line != 0)
            return cq_conf_value_fail(&p->v, at, "second [Interface] section (the first: line %u)",
                                      p->interface_line);
        p->section = SECTION_INTERFACE;
        p->interface_line = at.line;
        p->interface_position = at;
        return CQ_OK;
    }
    if (!cq_conf_text_is(name, "Peer"))
        return cq_conf_value_fail(&p->v, at, "unknown section: known are [Interface] and [Peer]");
    p->section = SECTION_PEER;
    p->peer_has_id = false;
    err = cq_conf_add_peer(p->v.conf, no_id, &p->v.peer);
    if (err != CQ_OK)
        return cq_conf_value_fail_nomem(&p->v, "peers");
    p->v.peer->position = at;
    return CQ_OK;
}

static bool is_key_text(struct cq_conf_text t)
{
    for (size_t i = 0; i < t.len; i++) {
        char c = t.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return false;
    }
    return t.len > 0;
}

/* For whoever compares two files. A token, which is secret, is compared by itself. */
static enum cq_err keep_setting(struct parser *p, const struct key *k, struct cq_conf_text value,
                                struct cq_conf_position at)
{
    struct cq_conf *conf = p->v.conf;
    size_t num = conf->settings.num, size = strlen(k->name) + value.len + 4;
    char *text;

    if (k->read == cq_conf_value_metrics_token)
        return CQ_OK;
    text = malloc(size);
    if (text == NULL || num == CQ_CONF_MAX_SETTINGS) {
        free(text);
        return cq_conf_value_fail_nomem(&p->v, "keys");
    }
    int len = snprintf(text, size, "%s = %.*s", k->name, (int)value.len, value.p);
    enum cq_err err = cq_conf_add_string(&conf->settings, text, (size_t)len);
    free(text);
    if (err != CQ_OK)
        return cq_conf_value_fail_nomem(&p->v, "keys");
    conf->setting_positions[num] = at;
    return CQ_OK;
}

/* "Key = value"; line is trimmed and free of comments. */
static enum cq_err read_setting(struct parser *p, struct cq_conf_text line)
{
    const char *equals = memchr(line.p, '=', line.len);
    size_t key_len = equals != NULL ? (size_t)(equals - line.p) : line.len;
    struct cq_conf_text key = trim((struct cq_conf_text){line.p, key_len});
    struct cq_conf_position at = position_of(p, line.p);

    if (equals == NULL || !is_key_text(key))
        return cq_conf_value_fail(&p->v, at, "neither \"Key = value\" nor a [section]");
    struct cq_conf_text value =
        trim((struct cq_conf_text){equals + 1, line.len - (size_t)(equals + 1 - line.p)});
    if (p->section == SECTION_NONE)
        return cq_conf_value_fail(&p->v, at,
                                  "key before the first section: [Interface] is missing");
    const struct key *k = find_key(sections[p->section].keys, key);
    if (k == NULL)
        return report_unknown_key(p, key);
    unsigned *seen = &p->seen[k - sections[p->section].keys];
    if (*seen != 0 && !k->repeats)
        return cq_conf_value_fail(&p->v, at, "second %s in this section (the first: line %u)",
                                  k->name, *seen);
    *seen = at.line;
    if (value.len == 0 && !k->may_be_empty)
        return cq_conf_value_fail(&p->v, position_of(p, line.p + line.len), "%s has no value",
                                  k->name);
    p->v.key = k->name;
    p->peer_has_id |= k->read == cq_conf_value_peer_id;
    if (value.len == 0)
        return CQ_OK;
    enum cq_err err = k->read(&p->v, value);
    return err == CQ_OK && p->section == SECTION_INTERFACE && !k->live
               ? keep_setting(p, k, value, at)
               : err;
}

/* Bytes that no text has, which some program along the way would cut off or show as something else.
 */
static enum cq_err check_bytes(struct parser *p, struct cq_conf_text line)
{
    for (size_t i = 0; i < line.len; i++) {
        unsigned char c = (unsigned char)line.p[i];
        if (c == '\0')
            return cq_conf_value_fail(&p->v, position_of(p, line.p + i),
                                      "NUL byte: this is not a text file");
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return cq_conf_value_fail(&p->v, position_of(p, line.p + i), "control character 0x%02x",
                                      c);
    }
    return CQ_OK;
}

static enum cq_err read_line(struct parser *p, struct cq_conf_text line)
{
    p->v.line_start = line.p;
    if (line.len > 0 && line.p[line.len - 1] == '\r')
        line.len--;
    if (line.len > CQ_CONF_LINE_MAX)
        return cq_conf_value_fail(&p->v, position_of(p, line.p + CQ_CONF_LINE_MAX),
                                  "line is longer than %d bytes", CQ_CONF_LINE_MAX);
    enum cq_err err = check_bytes(p, line);
    if (err != CQ_OK)
        return err;
    const char *comment = memchr(line.p, '#', line.len);
    if (comment != NULL)
        line.len = (size_t)(comment - line.p);
    line = trim(line);
    if (line.len == 0)
        return CQ_OK;
    return line.p[0] == '[' ? begin_section(p, line) : read_setting(p, line);
}

/* What can only be said once the whole file was read. */
static enum cq_err finish(struct parser *p)
{
    struct cq_conf *conf = p->v.conf;
    enum cq_err err = end_section(p);

    if (err != CQ_OK)
        return err;
    if (p->interface_line == 0 && !p->is_part)
        return cq_conf_value_fail(&p->v, (struct cq_conf_position){0}, "no [Interface] section");
    if (conf->mtu != 0 && conf->mtu < CQ_CONF_MTU_IPV6_MIN)
        for (size_t i = 0; i < conf->num_addresses; i++)
            if (conf->addresses[i].host.family == CQ_FAMILY_IPV6)
                return cq_conf_value_fail(&p->v, p->interface_position,
                                          "MTU %u is below the %d that an IPv6 Address needs",
                                          conf->mtu, CQ_CONF_MTU_IPV6_MIN);
    return cq_conf_check(conf, p->v.error);
}

static enum cq_err parse(struct parser *p, struct cq_conf_text rest)
{
    static const char mark[] =
        "\xef\xbb\xbf"; /* UTF-8's byte order mark, which some editors write */

    if (rest.len > CQ_CONF_FILE_MAX)
        return cq_conf_value_fail(&p->v, (struct cq_conf_position){0},
                                  "file is larger than %d bytes", CQ_CONF_FILE_MAX);
    if (rest.len >= 3 && memcmp(rest.p, mark, 3) == 0) {
        rest.p += 3;
        rest.len -= 3;
    }
    while (rest.len > 0) {
        const char *end = memchr(rest.p, '\n', rest.len);
        size_t len = end != NULL ? (size_t)(end - rest.p) : rest.len;
        size_t used = len + (end != NULL ? 1 : 0);

        p->v.line++;
        enum cq_err err = read_line(p, (struct cq_conf_text){rest.p, len});
        if (err != CQ_OK)
            return err;
        rest.p += used;
        rest.len -= used;
    }
    return finish(p);
}

static enum cq_err parse_file(struct cq_conf *out, const char *buffer, size_t len, bool is_part,
                              struct cq_conf_error *error)
{
    struct parser p = {.v = {.conf = out, .error = error}, .is_part = is_part};

    *error = (struct cq_conf_error){0};
    cq_conf_init(out);
    enum cq_err err = parse(&p, (struct cq_conf_text){buffer, len});
    if (err != CQ_OK)
        cq_conf_free(out);
    return err;
}

enum cq_err cq_conf_parse(struct cq_conf *out, const char *buffer, size_t len,
                          struct cq_conf_error *error)
{
    return parse_file(out, buffer, len, false, error);
}

enum cq_err cq_conf_parse_part(struct cq_conf *out, const char *buffer, size_t len,
                               struct cq_conf_error *error)
{
    return parse_file(out, buffer, len, true, error);
}
