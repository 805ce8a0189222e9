/*
 * Rate limits of the log: how many events of one kind and peer are let through, and how many were
 * not. A pure table in the caller's time; not thread-safe.
 */
#ifndef CQ_BASE_LOGLIMIT_H
#define CQ_BASE_LOGLIMIT_H

#include "base/event.h"

#include <stdbool.h>

enum {
    CQ_LOGLIMIT_BURST = 40,  /* at once, after a time of silence */
    CQ_LOGLIMIT_KEYS = 256,  /* kinds and peers known at a time */
    CQ_LOGLIMIT_KEY_MAX = 64 /* with its NUL; longer ones are cut off */
};

#define CQ_LOGLIMIT_REFILL (10 * CQ_NS_PER_S) /* until one more is let through */
#define CQ_LOGLIMIT_REPORT (10 * CQ_NS_PER_S) /* after the first one left out */

struct cq_loglimit_entry {
    bool used;
    enum cq_event event;
    char key[CQ_LOGLIMIT_KEY_MAX]; /* the peer's ID; "": none */
    char name[CQ_LOGLIMIT_KEY_MAX + 1];
    unsigned tokens;
    cq_time refilled; /* when tokens were counted last */
    uint64_t held;    /* left out and not reported yet */
    cq_time report_at;
};

/* A zeroed one is ready for use. */
struct cq_loglimit {
    /* The last ones are for events of each kind when all the others have something to report. */
    struct cq_loglimit_entry entries[CQ_LOGLIMIT_KEYS + CQ_EVENT_COUNT];
    unsigned num_held; /* entries with events to report */
};

struct cq_loglimit_report {
    enum cq_event event;
    char key[CQ_LOGLIMIT_KEY_MAX];
    char name[CQ_LOGLIMIT_KEY_MAX + 1];
    uint64_t count;
};

/* Whether the event may be told. key: the peer's ID, or ""; name: what else it is called, or "".
 * Where more kinds and peers are held back at a time than the table knows, all others are as well,
 * counted by kind under an empty key. */
bool cq_loglimit_pass(struct cq_loglimit *limit, enum cq_event event, const char *key,
                      const char *name, cq_time now);

/* The next report that is due at `now` (CQ_TIME_NEVER: any). False: none. */
bool cq_loglimit_report(struct cq_loglimit *limit, struct cq_loglimit_report *out, cq_time now);

/* When a report is due; CQ_TIME_NEVER: none. */
cq_time cq_loglimit_next_expiry(const struct cq_loglimit *limit);

#endif
