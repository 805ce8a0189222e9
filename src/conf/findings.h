/*
 * What `cryprq diagnose` and `cryprq ping` found out, as plain data and in its JSON form
 * ("version": 1):
 *
 *   {"version":1,"command":"diagnose","peer":"<44 characters>","ok":false,"reason":"no_reply",
 *    "certain":false,"text":"...","detail":"...","mend":"...",
 *    "checks":[{"name":"interface","ok":true,"us":0,"text":"..."}]}
 *
 * Names of reasons are those of base/diagnosis.h. Nothing in it is secret.
 */
#ifndef CQ_CONF_FINDINGS_H
#define CQ_CONF_FINDINGS_H

#include "base/diagnosis.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CQ_FINDINGS_MAX_CHECKS = 32, /* more are left out */
    CQ_FINDINGS_TEXT_MAX = 384,  /* characters of a text, with NUL */
};

struct cq_findings_check {
    const char *name; /* static storage */
    bool ok;
    uint64_t micros; /* where it is about a time */
    char text[CQ_FINDINGS_TEXT_MAX];
};

struct cq_findings {
    const char *command; /* static storage */
    char peer[64];       /* ID, or what stood for it */
    struct cq_findings_check checks[CQ_FINDINGS_MAX_CHECKS];
    size_t num_checks;
    enum cq_diagnosis reason;
    bool certain;                      /* told, not inferred */
    char detail[CQ_FINDINGS_TEXT_MAX]; /* what belongs to this case; "": nothing */
};

/* One line without its end to *out, NUL-terminated, which the caller frees with free().
 * CQ_ERR_NOMEM. */
CQ_MUST_CHECK enum cq_err cq_findings_to_json(const struct cq_findings *findings, char **out);

#endif
