#include "bench/report.h"

#include "bench/stat.h"
#include "config.h"
#include "crypto/aead.h"
#include "crypto/crypto.h"

#include <stdio.h>
#include <string.h>

void cq_bench_report_list(const struct cq_bench_suite *suite)
{
    for (size_t i = 0; i < suite->num; i++)
        if (suite->cases[i].selected)
            printf("%s\n", suite->cases[i].name);
}

static bool is_time(const struct cq_bench_case *c)
{
    return strcmp(c->kind->unit, "ns/op") == 0;
}

/* "12.3 ns", "4.56 us", "120 MB": three digits. */
static const char *quantity(char out[32], double value, const char *const units[], double step)
{
    size_t i = 0;

    while (units[i + 1] != NULL && value >= 999.5) {
        value /= step;
        i++;
    }
    int digits = value == (double)(long)value && i == 0 ? 0 : value < 9.995 ? 2 : value < 99.95;
    snprintf(out, 32, "%.*f%s%s", digits, value, units[i][0] != '\0' ? " " : "", units[i]);
    return out;
}

static const char *amount(char out[32], const struct cq_bench_case *c, double value)
{
    static const char *const times[] = {"ns", "us", "ms", "s", NULL};
    static const char *const bytes[] = {"B", "kB", "MB", "GB", NULL};
    static const char *const plain[] = {"", NULL};

    if (is_time(c))
        return quantity(out, value, times, 1000);
    return quantity(out, value, strcmp(c->kind->unit, "bytes") == 0 ? bytes : plain, 1000);
}

static void print_rate(const struct cq_bench_case *c, double median)
{
    static const char *const powers[] = {"", "k", "M", "G", NULL};
    char text[32];

    if (!is_time(c) || median <= 0)
        return;
    printf("  %10s %s/s", quantity(text, 1e9 / median, powers, 1000), c->kind->things);
    if (c->bytes_per_op > 0)
        printf(", %.2f GB/s", (double)c->bytes_per_op / median);
}

static void print_verdict(const char *what, const struct cq_bench_case *c, double limit,
                          double median)
{
    char text[32];

    if (limit >= 0)
        printf("  %s %s: %s", what, amount(text, c, limit), median <= limit ? "kept" : "MISSED");
}

static void print_case(struct cq_bench_case *c)
{
    struct cq_bench_stat stat = cq_bench_stat_of(c->samples, c->num_samples);
    char median[32], low[32], high[32], interval[80] = "";

    if (c->num_samples > 1)
        snprintf(interval, sizeof(interval), "%s - %s", amount(low, c, stat.low),
                 amount(high, c, stat.high));
    printf("%-40s %10s  %-21s", c->name, amount(median, c, stat.median), interval);
    print_rate(c, stat.median);
    print_verdict("promise", c, c->promise, stat.median);
    print_verdict("mark", c, c->mark, stat.median);
    printf("\n");
}

void cq_bench_report_text(struct cq_bench_suite *suite, const struct cq_bench_machine *machine,
                          const struct cq_bench_options *options)
{
    printf("cryprq %s, %s, %s, records by %s\n", CQ_VERSION, CQ_COMPILER, cq_crypto_version(),
           cq_aead_backend());
    printf("%s%s, %ld cores, %s\n", machine->cpu,
           machine->virtual_machine[0] != '\0' ? " (virtual)" : "", machine->cores,
           machine->kernel);
    printf("%u batches of about %u ms each, ", options->batches, options->batch_ms);
    if (machine->pinned_to >= 0)
        printf("on CPU %d alone\n\n", machine->pinned_to);
    else
        printf("on any CPU\n\n");
    printf("%-40s %10s  %-21s\n", "", "median", "95 % of it");
    for (size_t i = 0; i < suite->num; i++)
        if (suite->cases[i].num_samples > 0)
            print_case(&suite->cases[i]);
}
