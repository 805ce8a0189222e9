#include "node/failure.h"

#include <stdarg.h>
#include <stdio.h>

bool cq_fail(struct cq_failure *failure, const char *format, ...)
{
    va_list args;

    if (failure->text[0] != '\0')
        return false;
    va_start(args, format);
    (void)vsnprintf(failure->text, sizeof(failure->text), format, args);
    va_end(args);
    return false;
}
