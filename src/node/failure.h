/*
 * Why something could not be done, as one line for people. Single-threaded.
 */
#ifndef CQ_NODE_FAILURE_H
#define CQ_NODE_FAILURE_H

#include <stdbool.h>

struct cq_failure {
    char text[1024]; /* "": none */
};

/* Sets the text unless one is there already (the first cause counts). Always false, for `return
 * cq_fail(...)`. */
bool cq_fail(struct cq_failure *failure, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
