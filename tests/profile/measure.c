#include "measure.h"

#include "crypto/crypto.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WANTED = 32 };

struct options {
    const char *only[MAX_WANTED];
    size_t num_only;
    unsigned long times;
};

__attribute__((noinline)) void profile_measure(const struct measure_row *row)
{
    row->run(row);
}

static int usage(const char *program)
{
    fprintf(stderr, "usage: %s [--only TEXT]... [--times N]\n", program);
    return 2;
}

static bool read_options(struct options *out, int argc, char **argv)
{
    *out = (struct options){.times = 1};
    for (int i = 1; i < argc; i += 2) {
        char *end = NULL;
        if (i + 1 == argc)
            return false;
        if (strcmp(argv[i], "--only") == 0 && out->num_only < MAX_WANTED) {
            out->only[out->num_only++] = argv[i + 1];
        } else if (strcmp(argv[i], "--times") == 0) {
            out->times = strtoul(argv[i + 1], &end, 10);
            if (*end != '\0' || out->times == 0)
                return false;
        } else {
            return false;
        }
    }
    return true;
}

static bool is_wanted(const struct options *options, const char *name)
{
    for (size_t i = 0; i < options->num_only; i++)
        if (strstr(name, options->only[i]) != NULL)
            return true;
    return options->num_only == 0;
}

int measure_main(int argc, char **argv, const struct measure_row *rows, size_t num_rows)
{
    struct options options;

    if (!read_options(&options, argc, argv))
        return usage(argv[0]);
    printf("# %s\n", cq_crypto_version());
    for (size_t i = 0; i < num_rows; i++) {
        const struct measure_row *row = &rows[i];
        if (!is_wanted(&options, row->name))
            continue;
        /* What is done once in the life of a process is not what a row costs. */
        row->prepare(row);
        row->run(row);
        for (unsigned long n = 0; n < options.times; n++) {
            row->prepare(row);
            profile_measure(row);
        }
        printf("%s\t%s\t%u\n", row->name, row->unit, row->num);
    }
    return 0;
}
