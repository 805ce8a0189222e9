#include "cli/findings.h"

#include "cli/cli.h"
#include "cli/units.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What came from the network or from arguments must not act on a terminal. */
static void make_plain(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
}

void cq_cli_check(struct cq_cli_findings *findings, const char *name, bool ok, uint64_t micros,
                  const char *format, ...)
{
    struct cq_findings *f = &findings->f;
    char took[CQ_UNITS_TEXT_MAX] = "";
    va_list args;

    if (f->num_checks == CQ_FINDINGS_MAX_CHECKS)
        return;
    struct cq_findings_check *c = &f->checks[f->num_checks++];
    c->name = name;
    c->ok = ok;
    c->micros = micros;
    va_start(args, format);
    vsnprintf(c->text, sizeof(c->text), format, args);
    va_end(args);
    make_plain(c->text);
    if (findings->json)
        return;
    if (micros > 0)
        cq_units_micros(micros, took);
    printf("  %-4s %-13s %s%s%s\n", ok ? "ok" : "BAD", name, c->text,
           took[0] != '\0' && c->text[0] != '\0' ? ", " : "", took);
    fflush(stdout);
}

enum cq_diagnosis cq_cli_conclude(struct cq_cli_findings *findings, enum cq_diagnosis reason,
                                  const char *format, ...)
{
    struct cq_findings *f = &findings->f;
    va_list args;

    f->reason = reason;
    f->certain = !cq_diagnosis_is_inferred(reason);
    va_start(args, format);
    vsnprintf(f->detail, sizeof(f->detail), format, args);
    va_end(args);
    make_plain(f->detail);
    return reason;
}

int cq_cli_print_findings(const struct cq_cli_findings *findings)
{
    const struct cq_findings *f = &findings->f;
    bool well = f->reason == CQ_DIAGNOSIS_ALL_WELL;
    char *text;

    if (findings->json) {
        if (cq_findings_to_json(f, &text) != CQ_OK)
            return cq_cli_fail("out of memory");
        printf("%s\n", text);
        free(text);
        return well ? CQ_EXIT_OK : CQ_EXIT_FAILURE;
    }
    printf("\n%s: %s (%s)\n",
           well         ? "result"
           : f->certain ? "problem"
                        : "likely problem",
           cq_diagnosis_text(f->reason), cq_diagnosis_name(f->reason));
    if (f->detail[0] != '\0')
        printf("  here: %s\n", f->detail);
    if (!well)
        printf("  mend: %s\n", cq_diagnosis_mend(f->reason));
    return well ? CQ_EXIT_OK : CQ_EXIT_FAILURE;
}
