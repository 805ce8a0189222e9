#include "cli/units.h"

#include <stdio.h>

char *cq_units_duration(uint64_t secs, char out[CQ_UNITS_TEXT_MAX])
{
    static const struct {
        uint64_t secs;
        const char *name;
    } units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
    size_t used = 0;

    snprintf(out, CQ_UNITS_TEXT_MAX, "0 seconds");
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        unsigned long long n = secs / units[i].secs;
        secs %= units[i].secs;
        if (n == 0)
            continue;
        int len = snprintf(out + used, CQ_UNITS_TEXT_MAX - used, "%s%llu %s%s",
                           used > 0 ? ", " : "", n, units[i].name, n == 1 ? "" : "s");
        used += len > 0 ? (size_t)len : 0;
    }
    return out;
}

char *cq_units_ago(uint64_t secs, char out[CQ_UNITS_TEXT_MAX])
{
    char text[CQ_UNITS_TEXT_MAX];

    if (secs == 0)
        snprintf(out, CQ_UNITS_TEXT_MAX, "now");
    else
        snprintf(out, CQ_UNITS_TEXT_MAX, "%.80s ago", cq_units_duration(secs, text));
    return out;
}

char *cq_units_bytes(uint64_t bytes, char out[CQ_UNITS_TEXT_MAX])
{
    static const char *const names[] = {"KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes / 1024;
    size_t unit = 0;

    if (bytes < 1024) {
        snprintf(out, CQ_UNITS_TEXT_MAX, "%u B", (unsigned)bytes);
        return out;
    }
    for (; value >= 1024 && unit + 1 < sizeof(names) / sizeof(names[0]); unit++)
        value /= 1024;
    snprintf(out, CQ_UNITS_TEXT_MAX, "%.2f %s", value, names[unit]);
    return out;
}

char *cq_units_micros(uint64_t micros, char out[CQ_UNITS_TEXT_MAX])
{
    if (micros < 1000)
        snprintf(out, CQ_UNITS_TEXT_MAX, "%u us", (unsigned)micros);
    else if (micros < 1000000)
        snprintf(out, CQ_UNITS_TEXT_MAX, "%.2f ms", (double)micros / 1e3);
    else
        snprintf(out, CQ_UNITS_TEXT_MAX, "%.2f s", (double)micros / 1e6);
    return out;
}
