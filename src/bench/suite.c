#include "bench/suite.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where additions go when memory ran out: nobody looks at it. */
static struct cq_bench_case lost;

static bool grow(struct cq_bench_suite *suite)
{
    size_t room = suite->room > 0 ? 2 * suite->room : 64;
    struct cq_bench_case *cases = realloc(suite->cases, room * sizeof(*cases));

    if (cases == NULL)
        return false;
    suite->cases = cases;
    suite->room = room;
    return true;
}

static bool has_name(const struct cq_bench_suite *suite, const char *name)
{
    for (size_t i = 0; i < suite->num; i++)
        if (strcmp(suite->cases[i].name, name) == 0)
            return true;
    return false;
}

struct cq_bench_case *cq_bench_add(struct cq_bench_suite *suite, const struct cq_bench_kind *kind,
                                   const struct cq_bench_params *params, const char *name_format,
                                   ...)
{
    struct cq_bench_case c = {
        .kind = kind,
        .chunk = kind->chunk,
        .promise = -1,
        .mark = -1,
    };
    va_list args;

    if (params != NULL)
        c.params = *params;
    c.bytes_per_op = c.params.size;
    va_start(args, name_format);
    int len = vsnprintf(c.name, sizeof(c.name), name_format, args);
    va_end(args);
    if (len < 0 || len >= (int)sizeof(c.name) || has_name(suite, c.name) ||
        (suite->num == suite->room && !grow(suite))) {
        suite->failed = true;
        return &lost;
    }
    suite->cases[suite->num] = c;
    return &suite->cases[suite->num++];
}

/* Selects what begins with the prefix; how many that were. */
static size_t select_prefix(struct cq_bench_suite *suite, const char *prefix, size_t len)
{
    size_t found = 0;

    for (size_t i = 0; i < suite->num; i++) {
        if (strncmp(suite->cases[i].name, prefix, len) != 0)
            continue;
        suite->cases[i].selected = true;
        found++;
    }
    return found;
}

enum cq_err cq_bench_select(struct cq_bench_suite *suite, const char *prefixes,
                            struct cq_bench_failure *out)
{
    const char *at = prefixes != NULL ? prefixes : "";

    for (bool more = true; more; at++) {
        size_t len = strcspn(at, ",");
        if ((len == 0 && prefixes != NULL) || select_prefix(suite, at, len) == 0) {
            snprintf(out->text, sizeof(out->text), "no benchmark is called %.*s... (see --list)",
                     (int)(len < 40 ? len : 40), at);
            return CQ_ERR_NOTFOUND;
        }
        at += len;
        more = *at == ',';
    }
    return CQ_OK;
}

void cq_bench_suite_free(struct cq_bench_suite *suite)
{
    for (size_t i = 0; i < suite->num; i++) {
        struct cq_bench_case *c = &suite->cases[i];
        if (c->ctx != NULL)
            c->kind->teardown(c->ctx);
        free(c->samples);
    }
    free(suite->cases);
    *suite = (struct cq_bench_suite){0};
}
