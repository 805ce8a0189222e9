#include "base/loglimit.h"

#include <stddef.h>
#include <string.h>

enum { NUM_ENTRIES = CQ_LOGLIMIT_KEYS + CQ_EVENT_COUNT };

static void copy_text(char *out, size_t size, const char *text)
{
    size_t len = strnlen(text, size - 1);

    memcpy(out, text, len);
    out[len] = '\0';
}

static bool is_full(const struct cq_loglimit_entry *e, cq_time now)
{
    return now - e->refilled >= (CQ_LOGLIMIT_BURST - (cq_time)e->tokens) * CQ_LOGLIMIT_REFILL;
}

/* The entry of an event and peer, or one that can be taken for it: free, or as good as new, or else
 * the one that was used least recently. NULL: every entry has events to report. */
static struct cq_loglimit_entry *find(struct cq_loglimit *limit, enum cq_event event,
                                      const char *key, cq_time now)
{
    struct cq_loglimit_entry *place = NULL;

    for (int i = 0; i < CQ_LOGLIMIT_KEYS; i++) {
        struct cq_loglimit_entry *e = &limit->entries[i];
        if (!e->used || (e->held == 0 && is_full(e, now))) {
            if (e->used && e->event == event && strncmp(e->key, key, sizeof(e->key) - 1) == 0)
                return e;
            if (place == NULL || place->used)
                place = e;
            e->used = false;
            continue;
        }
        if (e->event == event && strncmp(e->key, key, sizeof(e->key) - 1) == 0)
            return e;
        if (e->held == 0 && (place == NULL || (place->used && e->refilled < place->refilled)))
            place = e;
    }
    return place;
}

static void refill(struct cq_loglimit_entry *e, cq_time now)
{
    cq_time steps = (now - e->refilled) / CQ_LOGLIMIT_REFILL;

    if (steps <= 0)
        return;
    if (steps >= CQ_LOGLIMIT_BURST - (cq_time)e->tokens) {
        e->tokens = CQ_LOGLIMIT_BURST;
        e->refilled = now;
        return;
    }
    e->tokens += (unsigned)steps;
    e->refilled += steps * CQ_LOGLIMIT_REFILL;
}

static void hold(struct cq_loglimit *limit, struct cq_loglimit_entry *e, cq_time now)
{
    if (e->held++ == 0) {
        limit->num_held++;
        e->report_at = now + CQ_LOGLIMIT_REPORT;
    }
}

bool cq_loglimit_pass(struct cq_loglimit *limit, enum cq_event event, const char *key,
                      const char *name, cq_time now)
{
    struct cq_loglimit_entry *e = find(limit, event, key, now);

    if (e == NULL) {
        /* All are being held back: whoever comes now is one of too many. */
        e = &limit->entries[CQ_LOGLIMIT_KEYS + (unsigned)event];
        e->event = event;
        hold(limit, e, now);
        return false;
    }
    if (!e->used || e->event != event || strncmp(e->key, key, sizeof(e->key) - 1) != 0) {
        *e = (struct cq_loglimit_entry){
            .used = true, .event = event, .tokens = CQ_LOGLIMIT_BURST, .refilled = now};
        copy_text(e->key, sizeof(e->key), key);
        copy_text(e->name, sizeof(e->name), name);
    }
    refill(e, now);
    if (e->tokens > 0) {
        if (e->tokens == CQ_LOGLIMIT_BURST)
            e->refilled = now;
        e->tokens--;
        return true;
    }
    hold(limit, e, now);
    return false;
}

bool cq_loglimit_report(struct cq_loglimit *limit, struct cq_loglimit_report *out, cq_time now)
{
    for (int i = 0; limit->num_held > 0 && i < NUM_ENTRIES; i++) {
        struct cq_loglimit_entry *e = &limit->entries[i];
        if (e->held == 0 || e->report_at > now)
            continue;
        *out = (struct cq_loglimit_report){.event = e->event, .count = e->held};
        memcpy(out->key, e->key, sizeof(out->key));
        memcpy(out->name, e->name, sizeof(out->name));
        e->held = 0;
        limit->num_held--;
        return true;
    }
    return false;
}

cq_time cq_loglimit_next_expiry(const struct cq_loglimit *limit)
{
    cq_time next = CQ_TIME_NEVER;

    for (int i = 0; limit->num_held > 0 && i < NUM_ENTRIES; i++)
        if (limit->entries[i].held > 0)
            next = cq_time_min(next, limit->entries[i].report_at);
    return next;
}
