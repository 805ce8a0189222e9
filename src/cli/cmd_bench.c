/*
 * cryprq bench: options and messages; what is measured is in bench/.
 */
#include "bench/bench.h"
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum option { JSON, QUICK, LIST, ONLY, BATCHES, BATCH_MS, OPS, PROBE };

static const struct cq_cli_option options[] = {
    {"json", false},    {"quick", false}, {"list", false}, {"only", true}, {"batches", true},
    {"batch-ms", true}, {"ops", true},    {"probe", true}, {NULL, false},
};

enum {
    BATCHES_DEFAULT = 30,
    BATCH_MS_DEFAULT = 20,
    BATCHES_QUICK = 11,
    BATCH_MS_QUICK = 5,
};

static int take_number(const char *name, const char *text, uint64_t max, uint64_t *out)
{
    char *end;

    if (strspn(text, "0123456789") != strlen(text) || strlen(text) > 12)
        return cq_cli_usage("bench", "--%s: %.40s is not a number", name, text);
    *out = strtoull(text, &end, 10);
    if (*out >= 1 && *out <= max)
        return CQ_EXIT_OK;
    return cq_cli_usage("bench", "--%s: %s is not between 1 and %llu", name, text,
                        (unsigned long long)max);
}

struct request {
    struct cq_bench_options options;
    const char *probe; /* not NULL: a child of ours is to measure itself */
};

static int take(struct request *r, int option, const char *value)
{
    struct cq_bench_options *o = &r->options;
    uint64_t number = 0;
    int status = CQ_EXIT_OK;

    switch ((enum option)option) {
    case JSON:
        o->json = true;
        break;
    case QUICK:
        o->batches = BATCHES_QUICK;
        o->batch_ms = BATCH_MS_QUICK;
        break;
    case LIST:
        o->list = true;
        break;
    case ONLY:
        o->only = value;
        break;
    case BATCHES:
        status = take_number("batches", value, CQ_BENCH_BATCHES_MAX, &number);
        o->batches = (unsigned)number;
        break;
    case BATCH_MS:
        status = take_number("batch-ms", value, CQ_BENCH_BATCH_MS_MAX, &number);
        o->batch_ms = (unsigned)number;
        break;
    case OPS:
        status = take_number("ops", value, UINT64_C(1) << 32, &o->ops);
        break;
    case PROBE:
        r->probe = value;
        break;
    }
    return status;
}

/* --quick comes before the numbers of batches, wherever it stands. */
static int take_all(struct request *r, int argc, char **argv)
{
    for (int pass = 0; pass < 2; pass++) {
        struct cq_cli_args args = {.command = "bench", .argc = argc, .argv = argv, .at = 1};
        int option;
        while ((option = cq_cli_next(&args, options)) >= 0) {
            if ((option == QUICK) != (pass == 0))
                continue;
            int status = take(r, option, args.value);
            if (status != CQ_EXIT_OK)
                return status;
        }
        if (option == CQ_CLI_ARGUMENT)
            return cq_cli_usage("bench", "it takes options only");
        if (option == CQ_CLI_BAD)
            return CQ_EXIT_USAGE;
    }
    return CQ_EXIT_OK;
}

static int probe(const char *what)
{
    enum cq_err err = cq_bench_probe(what);

    if (err == CQ_ERR_NOTFOUND)
        return cq_cli_usage("bench", "--probe: there is no %.40s", what);
    return err == CQ_OK ? CQ_EXIT_OK : cq_cli_fail("%s: the benchmark failed", what);
}

static int run(int argc, char **argv)
{
    struct request r = {
        .options =
            {
                .batches = BATCHES_DEFAULT,
                .batch_ms = BATCH_MS_DEFAULT,
                .progress = isatty(STDERR_FILENO) == 1,
            },
    };
    struct cq_bench_failure failure;
    int status = take_all(&r, argc, argv);

    if (status != CQ_EXIT_OK)
        return status;
    if (r.probe != NULL)
        return probe(r.probe);
    enum cq_err err = cq_bench_run(&r.options, &failure);
    if (err == CQ_ERR_NOTFOUND)
        return cq_cli_usage("bench", "%s", failure.text);
    return err == CQ_OK ? CQ_EXIT_OK : cq_cli_fail("%s", failure.text);
}

const struct cq_cli_command cq_cmd_bench = {
    .name = "bench",
    .arguments = "[--json] [--quick] [--list] [--only PREFIX[,PREFIX...]] [--batches N] "
                 "[--batch-ms N] [--ops N]",
    .summary = "Measure the parts that need no network",
    .help = "Each benchmark runs in batches (30 of about 20 ms each), which take turns, and is "
            "told as the median\n"
            "over its batches with a 95 % confidence interval.\n"
            "\n"
            "  --json          all samples, for scripts/benchmark.sh\n"
            "  --quick         fewer and shorter batches\n"
            "  --list          names only; nothing is measured\n"
            "  --only PREFIX   those whose names begin so, or so...\n"
            "  --batches N     samples of each, 1 to 1000\n"
            "  --batch-ms N    how long each takes, 1 to 10000\n"
            "  --ops N         each once, with N operations, without measuring time: for tools "
            "that count\n"
            "                  instructions\n",
    .run = run,
};
