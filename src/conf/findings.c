#include "conf/findings.h"

#include <jansson.h>

static json_t *checks_value(const struct cq_findings *f)
{
    json_t *list = json_array();
    int failed = 0;

    for (size_t i = 0; list != NULL && i < f->num_checks; i++) {
        const struct cq_findings_check *c = &f->checks[i];
        failed |= json_array_append_new(list, json_pack("{s:s,s:b,s:I,s:s}", "name", c->name, "ok",
                                                        (int)c->ok, "us", (json_int_t)c->micros,
                                                        "text", c->text));
    }
    if (failed == 0)
        return list;
    json_decref(list);
    return NULL;
}

enum cq_err cq_findings_to_json(const struct cq_findings *f, char **out)
{
    json_t *checks = checks_value(f);

    *out = NULL;
    if (checks == NULL)
        return CQ_ERR_NOMEM;
    json_t *object =
        json_pack("{s:i,s:s,s:s,s:b,s:s,s:b,s:s,s:s,s:s,s:o}", "version", 1, "command", f->command,
                  "peer", f->peer, "ok", (int)(f->reason == CQ_DIAGNOSIS_ALL_WELL), "reason",
                  cq_diagnosis_name(f->reason), "certain", (int)f->certain, "text",
                  cq_diagnosis_text(f->reason), "detail", f->detail, "mend",
                  cq_diagnosis_mend(f->reason), "checks", checks);
    if (object == NULL)
        return CQ_ERR_NOMEM; /* json_pack lets go of what it was given, also then */
    *out = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    return *out != NULL ? CQ_OK : CQ_ERR_NOMEM;
}
