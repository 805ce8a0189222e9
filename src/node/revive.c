#include "node/revive.h"

#include "os/clock.h"
#include "proto/identity.h"

#include <stdlib.h>
#include <string.h>

enum {
    AT_ONCE = 100,    /* handshakes at the start, */
    PER_STEP = 50,    /* and then in each step */
    FRESH_SECS = 300, /* the file's times are kept as fresh as that */
};

static const cq_time step = 100 * CQ_NS_PER_MS;
static const cq_time soon = CQ_NS_PER_S;
static const cq_time look_interval = FRESH_SECS * CQ_NS_PER_S;

/* Whoever was silent for longer has no session with us any more, and finds that out by itself. */
static const int64_t session_secs = CQ_ROTATE_SECS_MAX + 15;

void cq_revive_init(struct cq_revive *r)
{
    *r = (struct cq_revive){.next_call = CQ_TIME_NEVER, .next_look = CQ_TIME_NEVER};
}

void cq_revive_free(struct cq_revive *r)
{
    cq_recent_free(&r->list);
    free(r->told);
    cq_revive_init(r);
}

/* ---- after a start ---- */

/* False: no memory, as for a peer that the monitor was never told of. */
static bool remember_told(struct cq_revive *r, uint32_t number, const struct cq_recent_entry *entry)
{
    if (number >= r->num_told) {
        uint32_t num = number + 1 + number / 2;
        struct cq_recent_entry *told = realloc(r->told, num * sizeof(*told));
        if (told == NULL)
            return false;
        memset(told + r->num_told, 0, (num - r->num_told) * sizeof(*told));
        r->told = told;
        r->num_told = num;
    }
    r->told[number] = *entry;
    return true;
}

void cq_revive_take(struct cq_revive *r, struct cq_engine *engine,
                    const struct cq_channel_message *message, cq_time now)
{
    uint32_t number;

    /* Once is enough: what came later is known better here. */
    if (r->enabled || cq_recent_take(&r->list, message) != CQ_OK || !r->list.whole)
        return;
    r->enabled = true;
    for (size_t i = 0; i < r->list.num; i++) {
        const struct cq_recent_entry *entry = &r->list.entries[i];
        if (cq_engine_find_peer(engine, entry->id, &number) != CQ_OK)
            continue;
        (void)remember_told(r, number, entry);
        cq_engine_recall_endpoint(engine, number, &entry->addr, now);
    }
    cq_recent_sort(&r->list);
    r->next = 0;
    r->next_call = r->list.num > 0 ? now : CQ_TIME_NEVER;
    r->last_look = now;
    r->next_look = now + look_interval;
}

/* Whether a handshake was started. */
static bool call(struct cq_engine *engine, const struct cq_recent_entry *entry, int64_t wall,
                 cq_time now)
{
    struct cq_peer_status status;
    uint32_t number;

    /* A clock that was set back makes everybody look recent, which costs a handshake each. */
    if (wall - entry->seen > session_secs)
        return false;
    if (cq_engine_find_peer(engine, entry->id, &number) != CQ_OK ||
        cq_engine_peer_status(engine, number, &status) != CQ_OK)
        return false;
    if (status.has_session || status.handshaking)
        return false;
    return cq_engine_rotate(engine, number, now) == CQ_OK;
}

static void call_some(struct cq_revive *r, struct cq_engine *engine, cq_time now)
{
    int64_t wall = cq_clock_wall() / CQ_NS_PER_S;
    int budget = r->next == 0 ? AT_ONCE : PER_STEP;

    while (budget > 0 && r->next < r->list.num)
        budget -= call(engine, &r->list.entries[r->next++], wall, now);
    r->next_call = now + step;
    if (r->next < r->list.num)
        return;
    r->next_call = CQ_TIME_NEVER;
    cq_recent_free(&r->list);
}

/* ---- telling ---- */

void cq_revive_note(struct cq_revive *r, enum cq_event event, cq_time now)
{
    if (!r->enabled || (event != CQ_EVENT_HANDSHAKE_COMPLETE &&
                        event != CQ_EVENT_ENDPOINT_CHANGED && event != CQ_EVENT_ENDPOINT_REVERTED))
        return;
    /* A look at all peers costs about 1 % of the time until the next one. */
    cq_time gap = cq_time_min(look_interval, r->num_told * CQ_NS_PER_MS);
    r->next_look = cq_time_min(r->next_look, cq_time_max(r->last_look + gap, now + soon));
}

/* What is known of the peer now, or else what was known before. False: nothing. */
static bool look_at(const struct cq_revive *r, const struct cq_engine *engine, uint32_t number,
                    int64_t wall, cq_time now, struct cq_recent_entry *out)
{
    struct cq_peer_status status;
    cq_time last;

    if (cq_engine_peer_status(engine, number, &status) != CQ_OK)
        return false;
    last = status.path.last_received;
    if (status.endpoint_proven && last != CQ_TIME_NEVER) {
        *out = (struct cq_recent_entry){.addr = status.endpoint,
                                        .seen = wall - (now - last) / CQ_NS_PER_S};
        memcpy(out->id, status.id, sizeof(out->id));
        return true;
    }
    if (number >= r->num_told || r->told[number].addr.ip.family == CQ_FAMILY_NONE ||
        memcmp(r->told[number].id, status.id, sizeof(status.id)) != 0)
        return false;
    *out = r->told[number];
    return true;
}

static bool is_news(const struct cq_revive *r, uint32_t number, const struct cq_recent_entry *entry)
{
    const struct cq_recent_entry *told;

    if (number >= r->num_told)
        return true;
    told = &r->told[number];
    return memcmp(told->id, entry->id, sizeof(told->id)) != 0 ||
           !cq_addr_equal(&told->addr, &entry->addr) || entry->seen - told->seen >= FRESH_SECS / 2;
}

/* Everybody whom the monitor should know; *news: it does not. */
static enum cq_err gather(const struct cq_revive *r, const struct cq_engine *engine, cq_time now,
                          struct cq_recent_list *list, bool *news)
{
    int64_t wall = cq_clock_wall() / CQ_NS_PER_S;
    uint32_t limit = cq_engine_peer_limit(engine);
    struct cq_recent_entry entry;
    enum cq_err err = CQ_OK;

    *news = false;
    for (uint32_t number = 0; err == CQ_OK && number < limit; number++) {
        if (!look_at(r, engine, number, wall, now, &entry))
            continue;
        *news = *news || is_news(r, number, &entry);
        err = cq_recent_add(list, &entry);
    }
    return err == CQ_ERR_RANGE ? CQ_OK : err;
}

static void look(struct cq_revive *r, struct cq_engine *engine, int channel, cq_time now)
{
    struct cq_recent_list list = {0};
    uint32_t number;
    bool news;

    r->last_look = now;
    r->next_look = now + look_interval;
    enum cq_err err = gather(r, engine, now, &list, &news);
    if (err == CQ_OK && news)
        err = cq_recent_send(channel, &list);
    if (err == CQ_ERR_AGAIN)
        r->next_look = now + 10 * soon;
    for (size_t i = 0; err == CQ_OK && news && i < list.num; i++)
        if (cq_engine_find_peer(engine, list.entries[i].id, &number) == CQ_OK)
            (void)remember_told(r, number, &list.entries[i]);
    cq_recent_free(&list);
}

void cq_revive_update(struct cq_revive *r, struct cq_engine *engine, int channel, cq_time now)
{
    if (now >= r->next_call)
        call_some(r, engine, now);
    if (now >= r->next_look)
        look(r, engine, channel, now);
}

cq_time cq_revive_next_expiry(const struct cq_revive *r)
{
    return cq_time_min(r->next_call, r->next_look);
}
