#include "conf/rewrite.h"

#include "base/base64.h"
#include "base/bytes.h"
#include "base/secret.h"
#include "conf/diff.h"
#include "conf/value.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What one or two keys of a section say together. */
enum group {
    GROUP_NONE, /* another line: stays */
    GROUP_PRIVATE_KEY,
    GROUP_NAME,
    GROUP_PUBLIC_KEY,
    GROUP_PSK,
    GROUP_ALLOWED,
    GROUP_ENDPOINT,
    GROUP_KEEPALIVE,
    NUM_GROUPS,
};

static const struct {
    const char *key;
    enum group group;
    bool of_interface;
} keys[] = {
    {"PrivateKey", GROUP_PRIVATE_KEY, true},
    {"PrivateKeyFile", GROUP_PRIVATE_KEY, true},
    {"Name", GROUP_NAME, false},
    {"PublicKeyFile", GROUP_PUBLIC_KEY, false},
    {"PresharedKey", GROUP_PSK, false},
    {"PresharedKeyFile", GROUP_PSK, false},
    {"AllowedIPs", GROUP_ALLOWED, false},
    {"Endpoint", GROUP_ENDPOINT, false},
    {"PersistentKeepalive", GROUP_KEEPALIVE, false},
};

struct rewriter {
    struct cq_writer w;
    const struct cq_conf *file, *running;
    struct cq_conf_error *error;
    int *to_running; /* by index in file */
    unsigned *what;  /* the same: how the running one differs */
    bool *written;   /* by index in running */
    /* the present section */
    bool in_interface;
    const struct cq_conf_peer *old, *now; /* of [Peer]; now NULL: it goes */
    bool changed[NUM_GROUPS], done[NUM_GROUPS];
};

/* ---- values ---- */

static void put(struct rewriter *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct rewriter *r, const char *format, ...)
{
    char line[CQ_CONF_PATH_MAX + 64];
    va_list args;

    va_start(args, format);
    int len = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof(line))
        r->w.failed = true;
    else
        cq_write_bytes(&r->w, line, (size_t)len);
}

static void put_allowed(struct rewriter *r, const struct cq_conf_peer *p)
{
    enum { PER_LINE = 8 };
    char text[CQ_PREFIX_TEXT_MAX];

    for (size_t i = 0; i < p->num_allowed_ips; i++) {
        bool last = i % PER_LINE == PER_LINE - 1 || i + 1 == p->num_allowed_ips;
        put(r, "%s%s%s", i % PER_LINE == 0 ? "AllowedIPs = " : "",
            cq_prefix_format(&p->allowed_ips[i], text), last ? "\n" : ", ");
    }
}

static void put_psk(struct rewriter *r, const struct cq_conf_peer *p)
{
    if (p->psk_file != NULL)
        put(r, "PresharedKeyFile = %s\n", p->psk_file);
    else if (p->psk != NULL || p->psk_kept)
        put(r, "# PresharedKey = (not shown)\n");
}

static void put_private_key(struct rewriter *r)
{
    if (r->running->private_key_file != NULL)
        put(r, "PrivateKeyFile = %s\n", r->running->private_key_file);
    else
        put(r, "# PrivateKey = (not shown)\n");
}

/* The lines of a group as the running node has it. */
static void put_group(struct rewriter *r, enum group group)
{
    char endpoint[CQ_CONF_ENDPOINT_TEXT_MAX];
    const struct cq_conf_peer *p = r->now;

    r->done[group] = true;
    switch (group) {
    case GROUP_PRIVATE_KEY:
        put_private_key(r);
        break;
    case GROUP_NAME:
        if (p->name[0] != '\0')
            put(r, "Name = %s\n", p->name);
        break;
    case GROUP_PUBLIC_KEY:
        if (p->public_key_file != NULL)
            put(r, "PublicKeyFile = %s\n", p->public_key_file);
        break;
    case GROUP_PSK:
        put_psk(r, p);
        break;
    case GROUP_ALLOWED:
        put_allowed(r, p);
        break;
    case GROUP_ENDPOINT:
        if (p->endpoint.host != NULL)
            put(r, "Endpoint = %s\n", cq_conf_endpoint_format(&p->endpoint, endpoint));
        break;
    case GROUP_KEEPALIVE:
        if (p->persistent_keepalive > 0)
            put(r, "PersistentKeepalive = %u\n", p->persistent_keepalive);
        break;
    case GROUP_NONE:
    case NUM_GROUPS:
        break;
    }
}

static void put_new_peer(struct rewriter *r, const struct cq_conf_peer *p)
{
    char id[CQ_KEY32_TEXT_LEN + 1];

    r->now = p;
    cq_base64_encode(p->id, sizeof(p->id), id);
    put(r, "%s[Peer]\n", r->w.written > 0 ? "\n" : "");
    put_group(r, GROUP_NAME);
    put(r, "PeerID = %s\n", id);
    for (enum group g = GROUP_PUBLIC_KEY; g < NUM_GROUPS; g++)
        put_group(r, g);
}

/* ---- what is still true ---- */

static bool same_text(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

static bool has_psk(const struct cq_conf_peer *p)
{
    return p->psk != NULL || p->psk_kept || p->psk_file != NULL;
}

static void compare_peer(struct rewriter *r, unsigned what)
{
    const struct cq_conf_peer *old = r->old, *now = r->now;

    r->changed[GROUP_NAME] = (what & CQ_DIFF_NAME) != 0;
    r->changed[GROUP_ALLOWED] = (what & CQ_DIFF_ALLOWED_IPS) != 0;
    r->changed[GROUP_ENDPOINT] = (what & CQ_DIFF_ENDPOINT) != 0;
    r->changed[GROUP_KEEPALIVE] = (what & CQ_DIFF_KEEPALIVE) != 0;
    r->changed[GROUP_PUBLIC_KEY] = !same_text(old->public_key_file, now->public_key_file);
    r->changed[GROUP_PSK] = !same_text(old->psk_file, now->psk_file) ||
                            has_psk(old) != has_psk(now) || now->psk_unsaved;
}

/* ---- sections ---- */

static void begin_interface(struct rewriter *r)
{
    r->in_interface = true;
    r->changed[GROUP_PRIVATE_KEY] =
        !same_text(r->file->private_key_file, r->running->private_key_file) ||
        r->running->private_key_unsaved;
}

static void begin_peer(struct rewriter *r, size_t index)
{
    int to = r->to_running[index];

    r->old = &r->file->peers[index];
    if (to < 0)
        return;
    r->now = &r->running->peers[to];
    r->written[to] = true;
    compare_peer(r, r->what[index]);
}

static enum group group_of(const struct rewriter *r, struct cq_conf_text line)
{
    const char *equals = memchr(line.p, '=', line.len);
    size_t len = equals != NULL ? (size_t)(equals - line.p) : 0;

    while (len > 0 && (line.p[len - 1] == ' ' || line.p[len - 1] == '\t'))
        len--;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (keys[i].of_interface == r->in_interface &&
            cq_conf_text_is((struct cq_conf_text){line.p, len}, keys[i].key))
            return keys[i].group;
    return GROUP_NONE;
}

/* The present section is of a peer that is gone. */
static bool goes(const struct rewriter *r)
{
    return r->old != NULL && r->now == NULL;
}

/* ---- lines ---- */

struct lines {
    const char *p;
    size_t left;
};

/* The next line with its end; blanks before its text are skipped in *out_text. */
static bool next_line(struct lines *l, struct cq_conf_text *out, struct cq_conf_text *out_text)
{
    if (l->left == 0)
        return false;
    const char *end = memchr(l->p, '\n', l->left);
    size_t len = end != NULL ? (size_t)(end - l->p) + 1 : l->left;
    *out = *out_text = (struct cq_conf_text){l->p, len};
    while (out_text->len > 0 && (out_text->p[0] == ' ' || out_text->p[0] == '\t')) {
        out_text->p++;
        out_text->len--;
    }
    l->p += len;
    l->left -= len;
    return true;
}

static bool is_blank(struct cq_conf_text t)
{
    return t.len == 0 || t.p[0] == '\n' || t.p[0] == '\r';
}

/* Blank lines and comments at the end of a section: those right above the next header go with it.
 */
struct tail {
    const char *p; /* NULL: none */
    size_t len;
    size_t own; /* bytes of it that still belong to the section before */
};

static void keep_line(struct rewriter *r, struct cq_conf_text line)
{
    bool whole = line.len > 0 && line.p[line.len - 1] == '\n';

    cq_write_bytes(&r->w, line.p, line.len);
    if (!whole)
        cq_write_bytes(&r->w, "\n", 1);
}

static void edit_line(struct rewriter *r, struct cq_conf_text line, struct cq_conf_text text)
{
    enum group group = group_of(r, text);

    if (goes(r))
        return; /* the section goes */
    if (group == GROUP_NONE || !r->changed[group])
        keep_line(r, line);
    else if (!r->done[group])
        put_group(r, group);
}

static void flush_tail(struct rewriter *r, struct tail *tail, size_t len)
{
    if (len > 0 && !goes(r))
        keep_line(r, (struct cq_conf_text){tail->p, len});
}

/* At a header or the end: the section gets what it lacks so far, and the lines at its end. */
static void end_section(struct rewriter *r, struct tail *tail)
{
    for (enum group g = GROUP_PRIVATE_KEY; g < NUM_GROUPS; g++)
        if (r->changed[g] && !r->done[g])
            put_group(r, g);
    flush_tail(r, tail, tail->own);
    memset(r->changed, 0, sizeof(r->changed));
    memset(r->done, 0, sizeof(r->done));
    r->in_interface = false;
    r->old = r->now = NULL;
}

static void add_to_tail(struct tail *tail, struct cq_conf_text line, struct cq_conf_text text)
{
    if (tail->p == NULL)
        *tail = (struct tail){.p = line.p};
    tail->len += line.len;
    if (is_blank(text))
        tail->own = tail->len;
}

static void rewrite_lines(struct rewriter *r, const char *text, size_t len)
{
    struct lines lines = {text, len};
    struct cq_conf_text line, t;
    struct tail tail = {.p = NULL};
    size_t peer = 0;

    while (next_line(&lines, &line, &t)) {
        if (is_blank(t) || t.p[0] == '#') {
            add_to_tail(&tail, line, t);
            continue;
        }
        if (t.p[0] != '[') {
            flush_tail(r, &tail, tail.len);
            tail = (struct tail){.p = NULL};
            edit_line(r, line, t);
            continue;
        }
        end_section(r, &tail);
        if (memchr(t.p, 'I', t.len) != NULL || memchr(t.p, 'i', t.len) != NULL)
            begin_interface(r);
        else
            begin_peer(r, peer++);
        if (tail.p != NULL && tail.len > tail.own && !goes(r))
            keep_line(r, (struct cq_conf_text){tail.p + tail.own, tail.len - tail.own});
        if (!goes(r))
            keep_line(r, line);
        tail = (struct tail){.p = NULL};
    }
    tail.own = tail.len;
    end_section(r, &tail);
}

/* ---- the whole ---- */

static enum cq_err check_secrets(const struct cq_conf *file, const struct cq_conf *running,
                                 const int *to_running, struct cq_conf_error *error)
{
    static const char how[] = "is in no file: set it with cryprq set, from a file, and save again";
    char label[CQ_CONF_LABEL_MAX];
    bool *in_file = calloc(running->num_peers + 1, sizeof(*in_file));

    if (in_file == NULL)
        return CQ_ERR_NOMEM;
    for (size_t i = 0; i < file->num_peers; i++)
        if (to_running[i] >= 0)
            in_file[to_running[i]] = has_psk(&file->peers[i]) && file->peers[i].psk_file == NULL;
    enum cq_err err = CQ_OK;
    if (running->private_key_file == NULL &&
        (running->private_key_unsaved || file->private_key_file != NULL)) {
        cq_conf_error_set(error, (struct cq_conf_position){0}, "the private key in use %s", how);
        err = CQ_ERR_STATE;
    }
    for (size_t i = 0; err == CQ_OK && i < running->num_peers; i++) {
        const struct cq_conf_peer *p = &running->peers[i];
        if (p->psk_file != NULL || !has_psk(p) || (in_file[i] && !p->psk_unsaved))
            continue;
        cq_conf_error_set(error, (struct cq_conf_position){0},
                          "the pre-shared key of peer \"%s\" %s", cq_conf_peer_label(p, label),
                          how);
        err = CQ_ERR_STATE;
    }
    free(in_file);
    return err;
}

/* More than a peer's section can take. */
static size_t peer_bytes(const struct cq_conf_peer *p)
{
    return 1024 + (size_t)CQ_CONF_PATH_MAX * 2 + p->num_allowed_ips * (CQ_PREFIX_TEXT_MAX + 16);
}

static enum cq_err make_room(struct rewriter *r, char **out, size_t text_len)
{
    size_t size = text_len + 8192;

    for (size_t i = 0; i < r->running->num_peers; i++)
        size += peer_bytes(&r->running->peers[i]);
    *out = cq_secret_alloc(size);
    r->written = calloc(r->running->num_peers + 1, sizeof(*r->written));
    if (*out == NULL || r->written == NULL)
        return CQ_ERR_NOMEM;
    r->w = cq_writer_make(*out, size - 1);
    return CQ_OK;
}

static enum cq_err finish(struct rewriter *r, char **out, size_t *out_len, enum cq_err err)
{
    for (size_t i = 0; err == CQ_OK && i < r->running->num_peers; i++)
        if (!r->written[i])
            put_new_peer(r, &r->running->peers[i]);
    free(r->written);
    if (err == CQ_OK && r->w.failed)
        err = CQ_ERR_NOMEM;
    *out_len = r->w.written;
    if (err == CQ_OK)
        return CQ_OK;
    cq_secret_free(*out);
    *out = NULL;
    return err;
}

enum cq_err cq_rewrite_file(char **out, size_t *out_len, const char *text, size_t len,
                            const struct cq_conf *file, const struct cq_conf *running,
                            struct cq_conf_error *error)
{
    struct rewriter r = {.file = file, .running = running, .error = error};
    struct cq_diff diff;

    *out = NULL;
    *error = (struct cq_conf_error){0};
    if (cq_diff_make(&diff, file, running) != CQ_OK)
        return CQ_ERR_NOMEM;
    r.to_running = diff.to_after;
    enum cq_err err = check_secrets(file, running, diff.to_after, error);
    r.what = calloc(file->num_peers + 1, sizeof(*r.what));
    if (err == CQ_OK)
        err = r.what != NULL ? make_room(&r, out, len) : CQ_ERR_NOMEM;
    for (size_t i = 0; err == CQ_OK && i < diff.num_peers; i++)
        if (diff.peers[i].before >= 0)
            r.what[diff.peers[i].before] = diff.peers[i].what;
    if (err == CQ_OK)
        rewrite_lines(&r, text, len);
    err = finish(&r, out, out_len, err);
    free(r.what);
    cq_diff_free(&diff);
    return err;
}

static void put_interface(struct rewriter *r)
{
    const struct cq_conf *c = r->running;
    char text[CQ_IP_TEXT_MAX];
    bool port = false, rotate = false;

    put(r, "[Interface]\n");
    put_private_key(r);
    for (size_t i = 0; i < c->num_addresses; i++)
        put(r, "Address = %s/%u\n", cq_ip_format(&c->addresses[i].host, text),
            c->addresses[i].prefix.bits);
    for (size_t i = 0; i < c->settings.num; i++) {
        const char *s = c->settings.items[i];
        port = port || strncmp(s, "ListenPort ", 11) == 0;
        if (strlen(s) < CQ_CONF_PATH_MAX)
            put(r, "%s\n", s);
    }
    rotate = c->rotate_secs != CQ_ROTATE_SECS_DEFAULT;
    if (c->has_listen_port && !port)
        put(r, "ListenPort = %u\n", c->listen_port);
    if (rotate)
        put(r, "RotateSecs = %u\n", c->rotate_secs);
}

enum cq_err cq_rewrite_plain(char **out, size_t *out_len, const struct cq_conf *running)
{
    struct rewriter r = {.running = running};

    *out = NULL;
    enum cq_err err = make_room(&r, out, 64 * 1024);
    if (err == CQ_OK)
        put_interface(&r);
    return finish(&r, out, out_len, err);
}
