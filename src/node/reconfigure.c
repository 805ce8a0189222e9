#include "node/reconfigure.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/secret.h"
#include "conf/diff.h"
#include "node/clients.h"
#include "node/control.h"
#include "node/handover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ACT_EVERY = 4 }; /* peers changed until the engine's actions are carried out */

static void wipe_secrets(struct cq_conf *conf)
{
    conf->private_key_kept = true;
    cq_secret_free(conf->private_key);
    conf->private_key = NULL;
    for (size_t i = 0; i < conf->num_peers; i++) {
        struct cq_conf_peer *p = &conf->peers[i];
        p->psk_kept = p->psk_kept || p->psk != NULL;
        cq_secret_free(p->psk);
        p->psk = NULL;
        free(p->public_key); /* the engine's by now */
        p->public_key = NULL;
    }
}

void cq_reconfigure_forget(struct cq_reconfigure *prepared)
{
    if (!prepared->is_there)
        return;
    if (prepared->identity != NULL)
        cq_identity_wipe(prepared->identity);
    cq_secret_free(prepared->identity);
    free(prepared->replied);
    free(prepared->marks);
    cq_conf_free(&prepared->conf);
    *prepared = (struct cq_reconfigure){.is_there = false};
}

static void answer(const struct cq_control *control, const char *refusal)
{
    size_t len = refusal != NULL ? strlen(refusal) : 0;

    (void)!cq_channel_send(control->start.channel,
                           refusal != NULL ? CQ_CHANNEL_REFUSED : CQ_CHANNEL_DONE, 0, NULL, refusal,
                           len < CQ_CHANNEL_DATA_MAX ? len : CQ_CHANNEL_DATA_MAX);
}

/* ---- preparing ---- */

/* Our identity with the private key that came, unless it is the one in use. NULL: fine. */
static const char *prepare_identity(struct cq_control *control)
{
    struct cq_reconfigure *p = &control->prepared;
    const uint8_t *id = control->identity->id;
    static char reason[sizeof(((struct cq_conf_error *)0)->message)];
    struct cq_conf_error error;

    if (p->conf.private_key != NULL) {
        p->identity = cq_secret_alloc(sizeof(*p->identity));
        if (p->identity == NULL || cq_identity_init(p->identity, p->conf.private_key) != CQ_OK)
            return "cannot derive the identity";
        id = p->identity->id;
    }
    if (cq_conf_check_own_id(&p->conf, id, &error) != CQ_OK) {
        snprintf(reason, sizeof(reason), "%s", error.message);
        return reason;
    }
    if (p->identity != NULL && memcmp(id, control->identity->id, CQ_PEER_ID_LEN) == 0) {
        cq_identity_wipe(p->identity);
        cq_secret_free(p->identity);
        p->identity = NULL;
    }
    return NULL;
}

static bool psk_differs(const struct cq_control *control, uint32_t number,
                        const struct cq_conf_peer *peer)
{
    static const uint8_t none[CQ_PSK_LEN];

    if (peer->psk_kept)
        return false;
    return !cq_engine_psk_is(control->engine, number, peer->psk != NULL ? peer->psk : none);
}

/* Whether the peer's public key is of use: it is new, or its key was not known; a damaged one from
 * the cache is asked for anew. */
static bool wants_key(const struct cq_control *control, struct cq_conf_peer *peer, bool is_new,
                      uint32_t number)
{
    struct cq_peer_status status;
    bool wanted = peer->public_key != NULL;

    if (wanted && !is_new)
        wanted =
            cq_engine_peer_status(control->engine, number, &status) == CQ_OK && !status.key_known;
    if (wanted && cq_public_key_verify(peer->public_key, peer->id) == CQ_OK)
        return true;
    free(peer->public_key);
    peer->public_key = NULL;
    return false;
}

static const char *prepare_peers(struct cq_control *control)
{
    struct cq_reconfigure *p = &control->prepared;
    struct cq_diff diff;

    p->marks = calloc(p->conf.num_peers + 1, sizeof(*p->marks));
    if (p->marks == NULL || cq_diff_make(&diff, control->conf, &p->conf) != CQ_OK)
        return "out of memory";
    for (size_t i = 0; i < diff.num_peers; i++) {
        const struct cq_diff_peer *d = &diff.peers[i];
        bool is_new = d->before == CQ_DIFF_NONE;
        if (d->after == CQ_DIFF_NONE)
            continue;
        struct cq_conf_peer *peer = &p->conf.peers[d->after];
        uint32_t number = is_new ? 0 : control->numbers[d->before];
        bool key = wants_key(control, peer, is_new, number);
        if (is_new)
            continue;
        p->marks[d->after] |= psk_differs(control, number, peer) ? CQ_HANDOVER_PSK : 0;
        p->marks[d->after] |= key ? CQ_HANDOVER_KEY : 0;
    }
    cq_diff_free(&diff);
    if (p->identity != NULL)
        p->marks[p->conf.num_peers] |= CQ_HANDOVER_IDENTITY;
    return NULL;
}

static const char *check_prepared(struct cq_control *control)
{
    static char reason[sizeof(((struct cq_conf_error *)0)->message)];
    struct cq_conf_error error;
    const char *refusal = NULL;

    if (cq_conf_check(&control->prepared.conf, &error) != CQ_OK) {
        snprintf(reason, sizeof(reason), "%s", error.message);
        return reason;
    }
    refusal = prepare_identity(control);
    return refusal != NULL ? refusal : prepare_peers(control);
}

static void prepare(struct cq_control *control, const struct cq_channel_message *message, int fd)
{
    struct cq_reconfigure *p = &control->prepared;
    struct cq_handover handover = {.fd = -1};
    struct cq_handover_start start;
    uint64_t len = 0;
    const char *refusal;

    cq_reconfigure_forget(p);
    if (fd < 0 || message->len != sizeof(len)) {
        answer(control, "no configuration came");
        return;
    }
    memcpy(&len, message->data, sizeof(len));
    enum cq_err err = cq_handover_take(&handover, fd, len, &start, &p->conf, &p->replied);
    p->is_there = err == CQ_OK;
    refusal = err == CQ_OK ? check_prepared(control) : cq_err_text(err);
    if (handover.memory != NULL && refusal == NULL)
        cq_handover_answer(&handover, p->marks, p->conf.num_peers + 1);
    else if (handover.memory != NULL)
        cq_wipe(handover.memory, handover.len);
    cq_handover_forget(&handover);
    if (refusal != NULL)
        cq_reconfigure_forget(p);
    control->worked = true; /* secrets may be on the stack */
    answer(control, refusal);
}

/* ---- applying ---- */

struct change {
    struct cq_control *control;
    struct cq_reconfigure *p;
    struct cq_diff diff;
    uint32_t *numbers;                 /* of the new configuration's peers */
    struct cq_peer_prefixes *prefixes; /* that change */
    size_t num_prefixes;
    cq_time now;
};

static void fill_config(struct cq_peer_config *out, const struct cq_conf_peer *p, bool replied)
{
    *out = (struct cq_peer_config){
        .key = p->public_key,
        .replied_before = replied,
        .persistent_keepalive = p->persistent_keepalive,
    };
    memcpy(out->id, p->id, sizeof(out->id));
    if (p->psk != NULL)
        memcpy(out->psk, p->psk, sizeof(out->psk));
    if (p->endpoint.is_numeric)
        out->endpoint = p->endpoint.addr;
}

/* Adds the new peers, without allowed IPs yet. */
static enum cq_err add_peers(struct change *c)
{
    enum cq_err err = CQ_OK;

    for (size_t i = 0; err == CQ_OK && i < c->diff.num_peers; i++) {
        const struct cq_diff_peer *d = &c->diff.peers[i];
        struct cq_peer_config config;
        if (d->after == CQ_DIFF_NONE)
            continue;
        c->numbers[d->after] = UINT32_MAX;
        if (d->before != CQ_DIFF_NONE) {
            c->numbers[d->after] = c->control->numbers[d->before];
            continue;
        }
        fill_config(&config, &c->p->conf.peers[d->after], c->p->replied[d->after]);
        err = cq_engine_add_peer(c->control->engine, &config, c->now, &c->numbers[d->after]);
        cq_wipe(config.psk, sizeof(config.psk));
    }
    return err;
}

static void take_added_back(const struct change *c)
{
    for (size_t i = 0; i < c->diff.num_peers; i++) {
        const struct cq_diff_peer *d = &c->diff.peers[i];
        if (d->what == CQ_DIFF_ADDED && c->numbers[d->after] != UINT32_MAX)
            (void)!cq_engine_remove_peer(c->control->engine, c->numbers[d->after], c->now);
    }
}

static void list_prefixes(struct change *c)
{
    for (size_t i = 0; i < c->diff.num_peers; i++) {
        const struct cq_diff_peer *d = &c->diff.peers[i];
        struct cq_peer_prefixes *out = &c->prefixes[c->num_prefixes];
        if ((d->what & (CQ_DIFF_ADDED | CQ_DIFF_REMOVED | CQ_DIFF_ALLOWED_IPS)) == 0)
            continue;
        c->num_prefixes++;
        *out = (struct cq_peer_prefixes){.number = d->after == CQ_DIFF_NONE
                                                       ? c->control->numbers[d->before]
                                                       : c->numbers[d->after]};
        if (d->after == CQ_DIFF_NONE)
            continue;
        out->allowed_ips = c->p->conf.peers[d->after].allowed_ips;
        out->num_allowed_ips = c->p->conf.peers[d->after].num_allowed_ips;
    }
}

static enum cq_err set_options(struct cq_control *control, const struct cq_conf *conf)
{
    struct cq_engine_config options;

    cq_control_fill_options(&options, conf);
    return cq_engine_set_options(control->engine, &options);
}

static enum cq_err change_engine(struct change *c)
{
    struct cq_engine *engine = c->control->engine;
    const struct cq_identity *fresh = c->p->identity;
    enum cq_err err = fresh != NULL ? cq_engine_set_identity(engine, fresh, c->now) : CQ_OK;

    if (err != CQ_OK)
        return err;
    list_prefixes(c);
    err = cq_engine_set_prefixes(engine, c->prefixes, c->num_prefixes);
    if (err != CQ_OK && fresh != NULL)
        (void)!cq_engine_set_identity(engine, c->control->identity, c->now);
    return err;
}

/* All that can fail; what was done is taken back then. */
static enum cq_err change_all(struct change *c)
{
    enum cq_err err = set_options(c->control, &c->p->conf);

    if (err != CQ_OK)
        return err;
    err = add_peers(c);
    if (err == CQ_OK)
        err = change_engine(c);
    if (err == CQ_OK)
        return CQ_OK;
    take_added_back(c);
    (void)!set_options(c->control, c->control->conf);
    return err;
}

static void update_peer(const struct change *c, const struct cq_diff_peer *d)
{
    const struct cq_conf_peer *peer = &c->p->conf.peers[d->after];
    uint8_t marks = c->p->marks[d->after];
    struct cq_peer_config config;
    unsigned what = ((d->what & CQ_DIFF_ENDPOINT) != 0 ? CQ_CHANGE_ENDPOINT : 0u) |
                    ((d->what & CQ_DIFF_KEEPALIVE) != 0 ? CQ_CHANGE_KEEPALIVE : 0u) |
                    ((marks & CQ_HANDOVER_PSK) != 0 ? CQ_CHANGE_PSK : 0u) |
                    ((marks & CQ_HANDOVER_KEY) != 0 ? CQ_CHANGE_KEY : 0u);

    if (what == 0)
        return;
    fill_config(&config, peer, false);
    (void)!cq_engine_update_peer(c->control->engine, c->numbers[d->after], what, &config, c->now);
    cq_wipe(config.psk, sizeof(config.psk));
}

/* What cannot fail. In between, actions are carried out, so that none is lost. */
static void finish_peers(const struct change *c)
{
    unsigned num = 0;

    for (size_t i = 0; i < c->diff.num_peers; i++) {
        const struct cq_diff_peer *d = &c->diff.peers[i];
        if (d->what == CQ_DIFF_REMOVED)
            (void)!cq_engine_remove_peer(c->control->engine, c->control->numbers[d->before],
                                         c->now);
        else if (d->before != CQ_DIFF_NONE && d->after != CQ_DIFF_NONE)
            update_peer(c, d);
        else
            continue;
        if (++num % ACT_EVERY == 0)
            cq_control_act(c->control);
    }
    cq_control_act(c->control);
}

/* The new configuration becomes the one in use; nothing of this fails. */
static void take_over(struct change *c, uint32_t *indices, uint32_t num_indices)
{
    struct cq_control *control = c->control;
    struct cq_reconfigure *p = c->p;
    char interface[sizeof(control->conf->interface)];

    memcpy(interface, control->conf->interface, sizeof(interface));
    cq_clients_reconfigured(control->clients, c->diff.to_after);
    wipe_secrets(&p->conf);
    cq_conf_free(control->conf);
    *control->conf = p->conf;
    memcpy(control->conf->interface, interface, sizeof(interface));
    cq_conf_init(&p->conf);
    free(control->numbers);
    free(control->indices);
    control->numbers = c->numbers;
    control->indices = indices;
    control->num_indices = num_indices;
    c->numbers = NULL;
    cq_control_index_peers(control);
    if (p->identity == NULL)
        return;
    cq_identity_wipe(control->identity);
    cq_secret_free(control->identity);
    control->identity = p->identity;
    p->identity = NULL;
}

static enum cq_err apply(struct change *c)
{
    const struct cq_conf *conf = &c->p->conf;
    size_t num = c->control->conf->num_peers + conf->num_peers + 1;
    enum cq_err err = cq_diff_make(&c->diff, c->control->conf, conf);
    uint32_t limit = cq_engine_peer_limit(c->control->engine) + (uint32_t)conf->num_peers + 1;
    uint32_t *indices = malloc(limit * sizeof(*indices));

    c->numbers = malloc(num * sizeof(*c->numbers));
    c->prefixes = malloc(num * sizeof(*c->prefixes));
    if (c->numbers == NULL || c->prefixes == NULL || indices == NULL)
        err = CQ_ERR_NOMEM;
    for (size_t i = 0; err == CQ_OK && i < conf->num_peers; i++)
        c->numbers[i] = UINT32_MAX;
    if (err == CQ_OK)
        err = change_all(c);
    if (err == CQ_OK) {
        finish_peers(c);
        take_over(c, indices, limit);
        indices = NULL;
    }
    free(indices);
    free(c->numbers);
    free(c->prefixes);
    cq_diff_free(&c->diff);
    return err;
}

static void close_all(const int fds[CQ_CHANNEL_MAX_FDS])
{
    for (int i = 0; i < CQ_CHANNEL_MAX_FDS; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static void commit(struct cq_control *control, const struct cq_channel_message *message,
                   const int fds[CQ_CHANNEL_MAX_FDS], cq_time now)
{
    struct change c = {.control = control, .p = &control->prepared, .now = now};
    struct cq_reconfigure_commit what;
    enum cq_err err = CQ_ERR_STATE;

    if (control->prepared.is_there && message->len == sizeof(what)) {
        memcpy(&what, message->data, sizeof(what));
        err = apply(&c);
    }
    cq_reconfigure_forget(&control->prepared);
    control->worked = true;
    if (err != CQ_OK) {
        close_all(fds);
        answer(control, cq_err_text(err));
        return;
    }
    control->start.fwmark = what.fwmark;
    if (what.new_metrics)
        cq_control_renew_source(control, fds[0], fds[1], what.metrics_len);
    else
        close_all(fds);
    answer(control, NULL);
}

void cq_reconfigure_serve(struct cq_control *control, const struct cq_channel_message *message,
                          const int fds[CQ_CHANNEL_MAX_FDS], cq_time now)
{
    if (message->type == CQ_CHANNEL_PREPARE) {
        if (fds[1] >= 0)
            close(fds[1]);
        prepare(control, message, fds[0]);
    } else if (message->type == CQ_CHANNEL_COMMIT) {
        commit(control, message, fds, now);
    } else {
        close_all(fds);
        cq_reconfigure_forget(&control->prepared);
    }
}
