#include "base/diagnosis.h"

#include <stddef.h>

struct diagnosis_entry {
    const char *name, *text, *mend;
};

static const struct diagnosis_entry diagnosis_table[CQ_DIAGNOSIS_COUNT] = {
#define X(symbol, name, text, mend) [CQ_DIAGNOSIS_##symbol] = {name, text, mend},
    CQ_DIAGNOSIS_LIST(X)
#undef X
};

static const char *const step_names[CQ_STEP_COUNT] = {
#define X(symbol, name) [CQ_STEP_##symbol] = (name),
    CQ_STEP_LIST(X)
#undef X
};

static const struct diagnosis_entry *find_entry(enum cq_diagnosis diagnosis)
{
    static const struct diagnosis_entry unknown = {"unknown", "unknown", ""};

    return (unsigned)diagnosis < CQ_DIAGNOSIS_COUNT ? &diagnosis_table[diagnosis] : &unknown;
}

const char *cq_diagnosis_name(enum cq_diagnosis diagnosis)
{
    return find_entry(diagnosis)->name;
}

const char *cq_diagnosis_text(enum cq_diagnosis diagnosis)
{
    return find_entry(diagnosis)->text;
}

const char *cq_diagnosis_mend(enum cq_diagnosis diagnosis)
{
    return find_entry(diagnosis)->mend;
}

bool cq_diagnosis_is_inferred(enum cq_diagnosis diagnosis)
{
    return diagnosis == CQ_DIAGNOSIS_NO_ANSWER || diagnosis == CQ_DIAGNOSIS_WRONG_PEER_ID ||
           diagnosis == CQ_DIAGNOSIS_PEER_SILENT || diagnosis == CQ_DIAGNOSIS_MTU_TOO_SMALL ||
           diagnosis == CQ_DIAGNOSIS_SILENT_AFTER_COOKIE ||
           diagnosis == CQ_DIAGNOSIS_COOKIE_NOT_ACCEPTED || diagnosis == CQ_DIAGNOSIS_NO_REPLY ||
           diagnosis == CQ_DIAGNOSIS_NO_ACCEPT || diagnosis == CQ_DIAGNOSIS_SESSION_SILENT ||
           diagnosis == CQ_DIAGNOSIS_NO_INNER_ANSWER;
}

const char *cq_step_name(enum cq_step step)
{
    return (unsigned)step < CQ_STEP_COUNT ? step_names[step] : "unknown";
}

const char *cq_send_fault_name(enum cq_send_fault fault)
{
    static const char *const names[CQ_SEND_FAULT_COUNT] = {
        [CQ_SEND_FAULT_NONE] = "none",         [CQ_SEND_FAULT_FORBIDDEN] = "forbidden",
        [CQ_SEND_FAULT_NO_ROUTE] = "no_route", [CQ_SEND_FAULT_TOO_BIG] = "too_big",
        [CQ_SEND_FAULT_OTHER] = "other",
    };

    return (unsigned)fault < CQ_SEND_FAULT_COUNT ? names[fault] : "unknown";
}

void cq_facts_begin(struct cq_attempt_facts *facts, cq_time now)
{
    *facts = (struct cq_attempt_facts){.began = now, .happened = true};
}

void cq_facts_note(struct cq_attempt_facts *facts, enum cq_step step, cq_time now)
{
    if (!facts->happened)
        return;
    cq_time ms = now > facts->began ? (now - facts->began) / CQ_NS_PER_MS : 0;
    if (facts->num[step] < UINT16_MAX)
        facts->num[step]++;
    facts->last_ms[step] = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

/* Nothing came back, and the kernel said why, at least of what was sent last. */
static enum cq_diagnosis of_fault(enum cq_send_fault fault)
{
    switch (fault) {
    case CQ_SEND_FAULT_FORBIDDEN:
        return CQ_DIAGNOSIS_LOCAL_FIREWALL;
    case CQ_SEND_FAULT_NO_ROUTE:
        return CQ_DIAGNOSIS_NO_ROUTE_TO_PEER;
    case CQ_SEND_FAULT_TOO_BIG:
        return CQ_DIAGNOSIS_MTU_TOO_SMALL;
    case CQ_SEND_FAULT_OTHER:
        return CQ_DIAGNOSIS_SEND_FAILED;
    case CQ_SEND_FAULT_NONE:
    case CQ_SEND_FAULT_COUNT:
        break;
    }
    return CQ_DIAGNOSIS_NO_ANSWER;
}

enum cq_diagnosis cq_diagnosis_of_attempt(const struct cq_attempt_facts *f)
{
    /* One COOKIE is usual, and one more may come where a copy was under way or for an INIT. */
    enum { COOKIES_TOO_MANY = 4 };
    bool got_key = f->num[CQ_STEP_KEY_RESPONSE_RECEIVED] > f->num[CQ_STEP_KEY_MISMATCH];
    unsigned cookies = f->num[CQ_STEP_COOKIE_RECEIVED];

    if (f->num[CQ_STEP_ACCEPT_RECEIVED] > 0)
        return CQ_DIAGNOSIS_ALL_WELL;
    if (f->num[CQ_STEP_OFFER_SENT] > 0)
        return CQ_DIAGNOSIS_NO_ACCEPT;
    if (f->num[CQ_STEP_REPLY_REFUSED] > 0)
        return CQ_DIAGNOSIS_BAD_REPLY;
    if (!got_key && f->num[CQ_STEP_KEY_MISMATCH] > 0)
        return CQ_DIAGNOSIS_KEY_HASH_MISMATCH;
    if (cookies >= COOKIES_TOO_MANY)
        return CQ_DIAGNOSIS_COOKIE_NOT_ACCEPTED;
    if (got_key)
        return CQ_DIAGNOSIS_NO_REPLY;
    if (cookies > 0)
        return CQ_DIAGNOSIS_SILENT_AFTER_COOKIE;
    return of_fault((enum cq_send_fault)f->send_fault);
}

bool cq_diagnosis_is_of_attempt(enum cq_diagnosis diagnosis)
{
    return diagnosis == CQ_DIAGNOSIS_NO_ROUTE_TO_PEER || diagnosis == CQ_DIAGNOSIS_LOCAL_FIREWALL ||
           diagnosis == CQ_DIAGNOSIS_SEND_FAILED || diagnosis == CQ_DIAGNOSIS_NO_ANSWER ||
           diagnosis == CQ_DIAGNOSIS_MTU_TOO_SMALL ||
           diagnosis == CQ_DIAGNOSIS_SILENT_AFTER_COOKIE ||
           diagnosis == CQ_DIAGNOSIS_COOKIE_NOT_ACCEPTED ||
           diagnosis == CQ_DIAGNOSIS_KEY_HASH_MISMATCH || diagnosis == CQ_DIAGNOSIS_NO_REPLY ||
           diagnosis == CQ_DIAGNOSIS_BAD_REPLY || diagnosis == CQ_DIAGNOSIS_NO_ACCEPT;
}

enum cq_diagnosis cq_diagnosis_of_refusal(enum cq_drop drop)
{
    if (drop == CQ_DROP_NONE)
        return CQ_DIAGNOSIS_ALL_WELL;
    return drop == CQ_DROP_DECRYPT_FRESH      ? CQ_DIAGNOSIS_PSK_MISMATCH
           : drop == CQ_DROP_PEER_KEY_UNKNOWN ? CQ_DIAGNOSIS_PEER_KEY_UNKNOWN
           : drop == CQ_DROP_NO_COMMON_SUITE  ? CQ_DIAGNOSIS_NO_COMMON_SUITE
                                              : CQ_DIAGNOSIS_REFUSED;
}

bool cq_diagnosis_is_of_refusal(enum cq_diagnosis diagnosis)
{
    return diagnosis == CQ_DIAGNOSIS_PSK_MISMATCH || diagnosis == CQ_DIAGNOSIS_PEER_KEY_UNKNOWN ||
           diagnosis == CQ_DIAGNOSIS_NO_COMMON_SUITE || diagnosis == CQ_DIAGNOSIS_REFUSED;
}
