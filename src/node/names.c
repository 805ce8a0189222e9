#include "node/names.h"

#include "base/log.h"
#include "node/label.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct cq_name {
    bool wanted, asked; /* waits to be asked for; is being asked for */
    unsigned failures;  /* in a row */
    cq_time not_before;
};

static const cq_time first_distance = 2 * CQ_NS_PER_S;
static const cq_time last_distance = 120 * CQ_NS_PER_S;
static const cq_time distance_after_success = 5 * CQ_NS_PER_S;

static bool has_name(const struct cq_conf_peer *peer)
{
    return peer->endpoint.host != NULL && !peer->endpoint.is_numeric;
}

enum cq_err cq_names_init(struct cq_names *names, const struct cq_conf *conf)
{
    bool any = false;

    *names = (struct cq_names){.conf = conf};
    for (int i = 0; i < CQ_NAMES_AT_ONCE; i++)
        names->running[i].resolve.fd = -1;
    for (size_t i = 0; i < conf->num_peers; i++)
        any = any || has_name(&conf->peers[i]);
    if (!any)
        return CQ_OK;
    names->names = calloc(conf->num_peers, sizeof(*names->names));
    return names->names != NULL ? CQ_OK : CQ_ERR_NOMEM;
}

void cq_names_wipe(struct cq_names *names)
{
    for (int i = 0; i < CQ_NAMES_AT_ONCE; i++)
        cq_resolve_cancel(&names->running[i].resolve);
    free(names->names);
    names->names = NULL;
}

void cq_names_want(struct cq_names *names, size_t index)
{
    if (names->names == NULL || index >= names->conf->num_peers ||
        !has_name(&names->conf->peers[index]))
        return;
    struct cq_name *name = &names->names[index];
    if (name->wanted || name->asked)
        return;
    name->wanted = true;
    names->num_wanted++;
}

/* Whether the peer's name is the one that was asked for before. */
static bool same_name(const struct cq_conf_peer *a, const struct cq_conf_peer *b)
{
    return has_name(a) && has_name(b) && a->endpoint.port == b->endpoint.port &&
           strcmp(a->endpoint.host, b->endpoint.host) == 0;
}

static void carry_over(struct cq_names *fresh, struct cq_names *old, const int *to_after)
{
    for (size_t i = 0; i < old->conf->num_peers && fresh->names != NULL; i++) {
        int to = to_after[i];
        if (to < 0 || !same_name(&old->conf->peers[i], &fresh->conf->peers[to]))
            continue;
        fresh->names[to] = old->names[i];
        fresh->names[to].asked = false;
        fresh->num_wanted += old->names[i].wanted;
    }
    for (int slot = 0; slot < CQ_NAMES_AT_ONCE; slot++) {
        if (old->running[slot].resolve.fd < 0)
            continue;
        size_t i = old->running[slot].peer;
        int to = to_after[i];
        if (to < 0 || !same_name(&old->conf->peers[i], &fresh->conf->peers[to])) {
            cq_resolve_cancel(&old->running[slot].resolve);
            old->running[slot].resolve.fd = -1;
            continue;
        }
        fresh->running[slot] = old->running[slot];
        fresh->running[slot].peer = (size_t)to;
        fresh->names[to].asked = true;
    }
}

enum cq_err cq_names_replace(struct cq_names *names, const struct cq_conf *conf,
                             const int *to_after)
{
    struct cq_names fresh;
    bool *known = calloc(conf->num_peers + 1, sizeof(*known));
    enum cq_err err = cq_names_init(&fresh, conf);

    if (err == CQ_OK && known != NULL) {
        for (size_t i = 0; i < names->conf->num_peers; i++)
            if (to_after[i] >= 0)
                known[to_after[i]] = same_name(&names->conf->peers[i], &conf->peers[to_after[i]]);
        if (names->names != NULL)
            carry_over(&fresh, names, to_after);
        for (size_t i = 0; i < conf->num_peers; i++)
            if (!known[i])
                cq_names_want(&fresh, i);
        free(names->names);
        *names = fresh;
    } else {
        cq_names_wipe(names);
        *names = fresh;
        names->conf = conf;
        err = CQ_ERR_NOMEM;
    }
    free(known);
    return err;
}

/* Asks again later: 2 s, 4 s, ... 120 s. */
static void put_off(struct cq_names *names, size_t index, const char *reason, cq_time now)
{
    struct cq_name *name = &names->names[index];
    const struct cq_conf_peer *peer = &names->conf->peers[index];
    cq_time distance = first_distance << (name->failures < 6 ? name->failures : 6);
    struct cq_label label = cq_label_make(peer);

    distance = cq_time_min(distance, last_distance);
    name->failures++;
    name->not_before = now + distance;
    cq_names_want(names, index);
    cq_log(CQ_EVENT_RESOLVE_FAILED, cq_field_text("interface", names->conf->interface),
           cq_label_peer(&label), cq_label_name(&label), cq_field_text("host", peer->endpoint.host),
           cq_field_text("reason", reason), cq_field_int("again_in_s", distance / CQ_NS_PER_S));
}

static void start_one(struct cq_names *names, int slot, size_t index, cq_time now)
{
    struct cq_name *name = &names->names[index];
    const struct cq_conf_endpoint *endpoint = &names->conf->peers[index].endpoint;

    const struct cq_sandbox_user user = {CQ_SANDBOX_RESOLVER_ID, CQ_SANDBOX_RESOLVER_ID};

    name->wanted = false;
    names->num_wanted--;
    if (cq_resolve_start(&names->running[slot].resolve, endpoint->host, endpoint->port, &user) !=
        CQ_OK) {
        names->running[slot].resolve.fd = -1;
        put_off(names, index, strerror(errno), now);
        return;
    }
    name->asked = true;
    names->running[slot].peer = index;
}

void cq_names_start(struct cq_names *names, cq_time now)
{
    size_t index = 0;

    for (int slot = 0; slot < CQ_NAMES_AT_ONCE && names->num_wanted > 0; slot++) {
        if (names->running[slot].resolve.fd >= 0)
            continue;
        while (index < names->conf->num_peers &&
               !(names->names[index].wanted && names->names[index].not_before <= now))
            index++;
        if (index == names->conf->num_peers)
            return;
        start_one(names, slot, index, now);
    }
}

bool cq_names_finish(struct cq_names *names, int slot, cq_time now, size_t *out_peer,
                     struct cq_addr *out)
{
    size_t index = names->running[slot].peer;
    struct cq_name *name = &names->names[index];
    const char *reason;

    name->asked = false;
    if (cq_resolve_finish(&names->running[slot].resolve, out, &reason) != CQ_OK) {
        put_off(names, index, reason, now);
        return false;
    }
    name->failures = 0;
    name->not_before = now + distance_after_success;
    *out_peer = index;
    return true;
}

cq_time cq_names_next_expiry(const struct cq_names *names)
{
    cq_time next = CQ_TIME_NEVER;
    bool free_slot = false;

    for (int i = 0; i < CQ_NAMES_AT_ONCE; i++)
        free_slot = free_slot || names->running[i].resolve.fd < 0;
    if (!free_slot || names->num_wanted == 0)
        return CQ_TIME_NEVER;
    for (size_t i = 0; i < names->conf->num_peers; i++)
        if (names->names[i].wanted)
            next = cq_time_min(next, names->names[i].not_before);
    return next;
}
