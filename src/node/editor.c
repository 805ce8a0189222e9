#include "node/editor.h"

#include "base/mem.h"
#include "base/secret.h"
#include "conf/admin.h"
#include "conf/diff.h"
#include "conf/load.h"
#include "conf/pack.h"
#include "conf/rewrite.h"
#include "crypto/crypto.h"
#include "node/cache.h"
#include "node/difftext.h"
#include "node/failure.h"
#include "node/handover.h"
#include "os/file.h"
#include "os/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MEMORY = 192 * 1024 * 1024,
    LONGEST_LIFE = 25, /* seconds */
    CLIENT_PATIENCE = 5,
};

struct editor {
    int channel;
    struct cq_editor_start start;
    struct cq_conf running, next;
    struct cq_admin_request request;
    uint8_t *body; /* secret memory */
    struct cq_editor_result result;
    struct cq_failure failure;
};

/* ---- the client ---- */

static void send_client(const struct editor *e, char status, const char *text, size_t len)
{
    if (e->start.client < 0 || cq_file_write_all(e->start.client, &status, 1) != CQ_OK)
        return;
    (void)!cq_file_write_all(e->start.client, text, len);
}

static bool read_client(struct editor *e, void *out, size_t len)
{
    uint8_t *p = out;

    while (len > 0) {
        ssize_t n = recv(e->start.client, p, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return cq_fail(&e->failure, "the request did not come whole");
        p += n;
        len -= (size_t)n;
    }
    return true;
}

static bool read_request(struct editor *e)
{
    const struct timeval patience = {.tv_sec = CLIENT_PATIENCE};
    uint8_t header[CQ_ADMIN_HEADER_LEN];

    if (e->start.client < 0) {
        e->request = (struct cq_admin_request){.command = CQ_ADMIN_RELOAD};
        return true;
    }
    (void)setsockopt(e->start.client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(e->start.client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (!read_client(e, header, sizeof(header)))
        return false;
    if (cq_admin_read_header(header, &e->request) != CQ_OK)
        return cq_fail(&e->failure, "not a request of this program's version");
    e->body = cq_secret_alloc(e->request.body_len + 1);
    if (e->body == NULL)
        return cq_fail(&e->failure, "the request is too large");
    return read_client(e, e->body, e->request.body_len);
}

static bool is_root(const struct editor *e)
{
    struct ucred who;
    socklen_t len = sizeof(who);

    return getsockopt(e->start.client, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 && who.uid == 0;
}

/* ---- files ---- */

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

static bool fail_file(struct editor *e, const struct cq_conf_error *error)
{
    const char *path = e->start.path;
    char text[CQ_EDITOR_PATH_MAX + sizeof(error->message) + 32];

    if (error->line == 0 && strncmp(error->message, path, strlen(path)) == 0)
        return cq_fail(&e->failure, "%s", error->message);
    return cq_fail(&e->failure, "%s", cq_conf_error_format(error, path, text, sizeof(text)));
}

/* All of a memory file, into secret memory. */
static bool read_all(int fd, uint8_t **out, size_t *out_len)
{
    struct stat st;
    size_t done = 0;

    if (fstat(fd, &st) != 0 || st.st_size <= 0)
        return false;
    *out_len = (size_t)st.st_size;
    *out = cq_secret_alloc(*out_len);
    while (*out != NULL && done < *out_len) {
        ssize_t n = pread(fd, *out + done, *out_len - done, (off_t)done);
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return *out != NULL;
}

static bool read_running(struct editor *e)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    bool good = read_all(e->start.running, &bytes, &len);

    if (good) {
        struct cq_reader r = cq_reader_make(bytes, len);
        good = cq_pack_read(&r, &e->running) == CQ_OK;
    }
    cq_secret_free(bytes);
    return good || cq_fail(&e->failure, "cannot read the configuration in use");
}

/* ---- new configurations: each fills e->next ---- */

/* The node checks this as well, but knows no positions. */
static bool check_own_id(const struct editor *e, struct cq_conf_error *error)
{
    struct cq_identity *identity = cq_secret_alloc(sizeof(*identity));
    bool good = identity != NULL && cq_identity_init(identity, e->next.private_key) == CQ_OK;

    if (good)
        good = cq_conf_check_own_id(&e->next, identity->id, error) == CQ_OK;
    else
        cq_conf_error_set(error, (struct cq_conf_position){0}, "cannot derive our peer ID");
    if (identity != NULL)
        cq_identity_wipe(identity);
    cq_secret_free(identity);
    return good;
}

static bool make_reload(struct editor *e)
{
    struct cq_conf_error error;

    if (e->start.path[0] == '\0')
        return cq_fail(&e->failure, "this node was started without a configuration file");
    if (cq_conf_load(&e->next, e->start.path, &reader, &error) != CQ_OK)
        return fail_file(e, &error);
    memcpy(e->next.interface, e->running.interface, sizeof(e->next.interface));
    if (!check_own_id(e, &error))
        return fail_file(e, &error);
    if (cq_diff_check_settings(&e->running, &e->next, &error) != CQ_OK)
        return fail_file(e, &error);
    snprintf(e->result.source, sizeof(e->result.source), "reload");
    return true;
}

/* Another copy of the running one, to be changed. */
static bool copy_running(struct editor *e)
{
    cq_conf_free(&e->next);
    e->next = e->running;
    cq_conf_init(&e->running);
    return read_running(e);
}

static bool make_set(struct editor *e)
{
    struct cq_reader body = cq_reader_make(e->body, e->request.body_len);
    struct cq_conf_error error;

    if (!copy_running(e))
        return false;
    if (cq_admin_apply_set(&e->next, &body, &error) != CQ_OK)
        return cq_fail(&e->failure, "%s", error.message);
    snprintf(e->result.source, sizeof(e->result.source), "set");
    return true;
}

static bool make_sync(struct editor *e)
{
    struct cq_reader body = cq_reader_make(e->body, e->request.body_len);
    struct cq_conf file;

    if (cq_pack_read(&body, &file) != CQ_OK)
        return cq_fail(&e->failure, "damaged request");
    bool good = copy_running(e);
    if (good)
        cq_admin_apply_sync(&e->next, &file);
    cq_conf_free(&file);
    snprintf(e->result.source, sizeof(e->result.source), "syncconf");
    return good;
}

/* ---- handing it on ---- */

struct known {
    struct cq_public_key **keys;
    bool *replied;
};

static void free_known(struct known *k, size_t num)
{
    for (size_t i = 0; k->keys != NULL && i < num; i++)
        free(k->keys[i]);
    free(k->keys);
    free(k->replied);
}

/* What the cache knows of the peers that are new. */
static bool load_known(struct known *k, const struct cq_conf *conf, const struct cq_diff *diff)
{
    struct cq_cache_entry entry;

    *k = (struct known){calloc(conf->num_peers + 1, sizeof(struct cq_public_key *)),
                        calloc(conf->num_peers + 1, sizeof(*k->replied))};
    if (k->keys == NULL || k->replied == NULL)
        return false;
    for (size_t i = 0; i < diff->num_peers; i++) {
        const struct cq_diff_peer *d = &diff->peers[i];
        if (d->what != CQ_DIFF_ADDED || cq_cache_load(conf->peers[d->after].id, &entry) != CQ_OK)
            continue;
        k->replied[d->after] = entry.replied;
        if (!entry.has_key)
            continue;
        k->keys[d->after] = malloc(sizeof(entry.key));
        if (k->keys[d->after] != NULL)
            *k->keys[d->after] = entry.key;
    }
    return true;
}

static bool write_handover(struct editor *e)
{
    struct known known = {0};
    struct cq_diff diff = {0};
    struct cq_handover handover = {.fd = -1};
    bool good =
        cq_diff_make(&diff, &e->running, &e->next) == CQ_OK && load_known(&known, &e->next, &diff);

    if (good)
        good = cq_handover_make_in(&handover, e->start.handover, &e->next,
                                   (const struct cq_public_key *const *)known.keys,
                                   known.replied) == CQ_OK;
    cq_handover_forget(&handover);
    free_known(&known, e->next.num_peers);
    cq_diff_free(&diff);
    return good || cq_fail(&e->failure, "cannot make memory for the configuration");
}

static bool write_result(struct editor *e)
{
    size_t size = cq_pack_bytes(&e->next);
    uint8_t *bytes = malloc(size);
    bool good = bytes != NULL;

    if (good) {
        struct cq_writer w = cq_writer_make(bytes, size);
        cq_pack_write(&w, &e->next, false);
        good = !w.failed && cq_file_write_all(e->start.result, bytes, w.written) == CQ_OK;
    }
    free(bytes);
    return good || cq_fail(&e->failure, "out of memory");
}

/* The monitor's answer goes to the client. */
static void pass_answer(struct editor *e)
{
    struct cq_channel_message message;
    struct pollfd p = {.fd = e->channel, .events = POLLIN};
    uint8_t *text = NULL;
    size_t len = 0;

    if (poll(&p, 1, -1) < 0 || cq_channel_receive(e->channel, &message) != CQ_OK ||
        message.type != CQ_CHANNEL_ANSWER)
        return;
    (void)read_all(e->start.answer, &text, &len);
    send_client(e, message.peer != 0 ? '1' : '0', (const char *)text, text != NULL ? len : 0);
    cq_secret_free(text);
}

static bool hand_on(struct editor *e)
{
    struct cq_conf_error error;

    e->result.dry_run = e->request.dry_run;
    if (cq_conf_check(&e->next, &error) != CQ_OK)
        return cq_fail(&e->failure, "%s", error.message);
    if (!write_handover(e) || !write_result(e))
        return false;
    if (cq_channel_send(e->channel, CQ_CHANNEL_EDITED, 0, NULL, &e->result, sizeof(e->result)) !=
        CQ_OK)
        return cq_fail(&e->failure, "the monitor is gone");
    pass_answer(e);
    return true;
}

/* ---- showing and saving ---- */

/* The file's text with what the node runs with. */
static bool rewrite(struct editor *e, char **out, size_t *out_len)
{
    struct cq_conf_error error = {0};
    struct cq_file_info info;
    struct cq_conf file;
    char *text = NULL, reason[512];
    size_t len;

    if (e->start.path[0] == '\0')
        return cq_fail(&e->failure, "this node was started without a configuration file");
    enum cq_err err = cq_file_read(e->start.path, CQ_CONF_FILE_MAX, true, &text, &len, &info);
    if (err != CQ_OK)
        return cq_fail(&e->failure, "%s",
                       cq_file_read_message(err, e->start.path, CQ_CONF_FILE_MAX, &info, reason,
                                            sizeof(reason)));
    err = cq_conf_parse(&file, text, len, &error);
    if (err == CQ_OK)
        err = cq_rewrite_file(out, out_len, text, len, &file, &e->running, &error);
    cq_conf_free(&file);
    cq_secret_free(text);
    if (err == CQ_OK)
        return true;
    return error.message[0] != '\0' ? fail_file(e, &error)
                                    : cq_fail(&e->failure, "%s", cq_err_text(err));
}

static bool show(struct editor *e)
{
    char *text = NULL;
    size_t len = 0;
    bool good = is_root(e) && e->start.path[0] != '\0'
                    ? rewrite(e, &text, &len)
                    : cq_rewrite_plain(&text, &len, &e->running) == CQ_OK ||
                          cq_fail(&e->failure, "out of memory");

    if (good)
        send_client(e, '0', text, len);
    cq_secret_free(text);
    return good;
}

/* Replaces the file; owner and permissions stay. */
static bool replace_file(struct editor *e, const char *text, size_t len)
{
    struct stat st;
    const char *path = e->start.path;

    if (stat(path, &st) != 0)
        return cq_fail(&e->failure, "%s: %s", path, strerror(errno));
    if (cq_file_replace(path, text, len, st.st_mode & 07777) != CQ_OK)
        return cq_fail(&e->failure, "%s: %s", path, strerror(errno));
    if ((st.st_uid != geteuid() || st.st_gid != getegid()) &&
        chown(path, st.st_uid, st.st_gid) != 0)
        return cq_fail(&e->failure, "%s was written, but is not its owner's any more: %s", path,
                       strerror(errno));
    return true;
}

static bool save_text(struct editor *e, const char *text, size_t len)
{
    struct cq_conf_error error;
    struct cq_conf before, after;
    struct cq_diff diff = {0};
    char *lines = NULL;
    size_t lines_len = 0;

    /* What would not load again is not written. */
    if (cq_conf_parse(&after, text, len, &error) != CQ_OK)
        return cq_fail(&e->failure, "cannot save: %s", error.message);
    bool good =
        cq_conf_load(&before, e->start.path, &reader, &error) == CQ_OK || fail_file(e, &error);
    FILE *out = open_memstream(&lines, &lines_len);
    if (good && out != NULL && cq_diff_make(&diff, &before, &after) == CQ_OK) {
        cq_difftext_print(out, &diff, &before, &after);
        struct cq_diff_counts c = cq_diff_count(&diff);
        bool same = cq_diff_is_empty(&diff);
        if (!e->request.dry_run && !same)
            good = replace_file(e, text, len);
        fprintf(out, "%s: %s: %zu peers added, %zu removed, %zu changed\n", e->start.path,
                same                 ? "nothing to save"
                : e->request.dry_run ? "would be saved"
                                     : "saved",
                c.added, c.removed, c.changed);
    }
    if (out != NULL)
        fclose(out);
    if (good)
        send_client(e, '0', lines, lines_len);
    free(lines);
    cq_diff_free(&diff);
    cq_conf_free(&before);
    cq_conf_free(&after);
    return good;
}

static bool save(struct editor *e)
{
    char *text = NULL;
    size_t len = 0;

    if (!is_root(e))
        return cq_fail(&e->failure, "only root may write the configuration file");
    bool good = rewrite(e, &text, &len) && save_text(e, text, len);
    cq_secret_free(text);
    return good;
}

/* ---- the process ---- */

/* Changes of peers are changes of routes: access to the socket is not enough for them. */
static bool may_change(struct editor *e)
{
    return e->start.client < 0 || is_root(e) ||
           cq_fail(&e->failure, "only root may change a running interface");
}

static bool serve(struct editor *e)
{
    if (!read_running(e) || !read_request(e))
        return false;
    switch (e->request.command) {
    case CQ_ADMIN_RELOAD:
        return may_change(e) && make_reload(e) && hand_on(e);
    case CQ_ADMIN_SYNC:
        return may_change(e) && make_sync(e) && hand_on(e);
    case CQ_ADMIN_SET:
        return may_change(e) && make_set(e) && hand_on(e);
    case CQ_ADMIN_SHOW:
        return show(e);
    case CQ_ADMIN_SAVE:
        return save(e);
    }
    return false;
}

void cq_editor_run(const char *interface, int channel)
{
    static struct editor e;
    struct cq_channel_message message;

    (void)interface;
    cq_process_set_name(CQ_EDITOR_NAME);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    alarm(LONGEST_LIFE);
    e.channel = channel;
    cq_conf_init(&e.running);
    cq_conf_init(&e.next);
    if (cq_channel_receive(channel, &message) != CQ_OK || message.type != CQ_CHANNEL_EDITOR_START ||
        message.len != sizeof(e.start))
        _exit(1);
    memcpy(&e.start, message.data, sizeof(e.start));
    cq_logging_use(&e.start.logging);
    bool good = (cq_secret_init(MEMORY, false) == CQ_OK && cq_crypto_init(true) == CQ_OK) ||
                cq_fail(&e.failure, "out of memory");
    good = good && serve(&e);
    if (!good) {
        size_t len = strnlen(e.failure.text, CQ_CHANNEL_DATA_MAX);
        (void)!cq_channel_send(channel, CQ_CHANNEL_REFUSED, 0, NULL, e.failure.text, len);
        send_client(&e, '1', e.failure.text, strlen(e.failure.text));
    }
    cq_wipe_stack();
    cq_secret_shutdown();
    _exit(good ? 0 : 1);
}
