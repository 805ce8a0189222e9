/*
 * Collecting what a diagnosis finds (conf/findings.h): told line by line as it is found, or as one
 * JSON object at the end.
 */
#ifndef CQ_CLI_FINDINGS_H
#define CQ_CLI_FINDINGS_H

#include "conf/findings.h"

struct cq_cli_findings {
    struct cq_findings f;
    bool json; /* nothing is printed before the end */
};

/* Adds a check that was made, and prints it. micros: 0 where it is not about a time. */
void cq_cli_check(struct cq_cli_findings *findings, const char *name, bool ok, uint64_t micros,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Sets what is wrong (or that all is well), with the details of this case ("" for none). Returns
 * the same reason. */
enum cq_diagnosis cq_cli_conclude(struct cq_cli_findings *findings, enum cq_diagnosis reason,
                                  const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Prints the conclusion, or everything as JSON. Gives the exit status. */
int cq_cli_print_findings(const struct cq_cli_findings *findings);

#endif
