#include "node/failure.h"

#include <stdarg.h>
#include <stdio.h>

bool cq_fail(struct cq_failure *failure, const char *format, ...)
{
    if (failure->text[0] != '\0')
        return false;
    va_list args;
    va_start(args, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is, in the line above */
    (void)vsnprintf(failure->text, sizeof(failure->text), format, args);
    va_end(args);
    return false;
}
