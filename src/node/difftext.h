/*
 * A difference of configurations as lines for people: "+ peer ...", "- peer ...",
 * "~ peer NAME: ...". Any thread.
 */
#ifndef CQ_NODE_DIFFTEXT_H
#define CQ_NODE_DIFFTEXT_H

#include "conf/diff.h"

#include <stdio.h>

void cq_difftext_print(FILE *out, const struct cq_diff *diff, const struct cq_conf *before,
                       const struct cq_conf *after);

#endif
