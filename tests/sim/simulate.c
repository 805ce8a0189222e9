/*
 * The simulator's program: runs seeds of a scenario and tells what held. See --help.
 */
#include "simulate.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char usage[] =
    "usage: simulate [--scenario NAME] [--seeds N] [--first-seed K] [--jobs J]\n"
    "       simulate --seed N [--scenario NAME] [--trace] [--nodes N] [--seconds N] [--without "
    "LIST]\n"
    "       simulate --matrix [--seeds N] [--jobs J]\n"
    "       simulate --self-test | --determinism\n"
    "\n"
    "  --scenario NAME  mixed (2 to 8 nodes, all faults), links, restarts, roaming, clones, "
    "attack,\n"
    "                   calm (no faults), crowd (many nodes)\n"
    "  --trace          print what happens\n"
    "  --nodes N        at most so many nodes (crowd: exactly)\n"
    "  --seconds N      of virtual time\n"
    "  --without LIST   leave these faults out, as numbered in the trace: 0,3,7\n"
    "  --matrix         time to connect, rotation and outages by loss and round trip\n"
    "  --self-test      plant violations and see that each is found (TAP)\n"
    "  --determinism    run seeds twice and compare (TAP)\n"
    "  --tap            one case per scenario\n";

void simulate_run(const struct world_options *options, struct result *out)
{
    struct world *world = world_new(options);
    memset(out, 0, sizeof(*out));
    out->seed = options->seed;
    if (strcmp(options->scenario, "crowd") == 0)
        world_crowd_build(world);
    else
        world_mixed_build(world);
    if (options->plant != WORLD_PLANT_NONE)
        world_queue(world,
                    world->began + (options->plant == WORLD_PLANT_SILENCE ? SECS(40) : SECS(400)),
                    WORLD_PLANTING, NULL);
    world_run_until(world, world->began + world->options.length);
    world->totals.virtual_time = world->now - world->began;
    for (unsigned i = 0; i < world->num_nodes; i++)
        world_crash(world->nodes[i]); /* everything must be given back */
    out->hash = world->hash;
    out->totals = world->totals;
    out->num_violations = world->num_violations;
    out->num_faults = world->num_faults;
    for (unsigned i = 0; i < world->num_faults; i++)
        out->faults |= UINT64_C(1) << world->faults[i].number;
    out->num_nodes = world->num_regular;
    if (world->num_violations > 0)
        out->first = world->violations[0];
    world_free(world);
}

/* ---- many seeds, in several processes ---- */

static void add_totals(struct world_totals *sum, const struct world_totals *t)
{
    sum->datagrams += t->datagrams;
    sum->handshakes += t->handshakes;
    sum->rotations += t->rotations;
    sum->packets += t->packets;
    sum->events += t->events;
    sum->outages += t->outages;
    sum->virtual_time += t->virtual_time;
    sum->worst_outage = cq_time_max(sum->worst_outage, t->worst_outage);
    sum->worst_share = sum->worst_share > t->worst_share ? sum->worst_share : t->worst_share;
    sum->peak_bytes = sum->peak_bytes > t->peak_bytes ? sum->peak_bytes : t->peak_bytes;
}

static pid_t start_job(const struct request *r, unsigned job, int to)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    for (unsigned i = job; i < r->seeds; i += r->jobs) {
        struct world_options options = r->options;
        struct result result;
        options.seed = r->first_seed + i;
        simulate_run(&options, &result);
        if (write(to, &result, sizeof(result)) != (ssize_t)sizeof(result))
            _exit(2);
    }
    _exit(0);
}

static void report_violation(const struct request *r, const struct result *result)
{
    printf("# seed %llu: %s at %.3f s: %s\n", (unsigned long long)result->seed,
           world_property_names[result->first.property], (double)result->first.when / 1e9,
           result->first.text);
    fflush(stdout);
    (void)r;
}

static bool wait_for_jobs(const pid_t *pids, unsigned jobs)
{
    bool ok = true;
    for (unsigned i = 0; i < jobs; i++) {
        int status;
        if (waitpid(pids[i], &status, 0) != pids[i] || status != 0)
            ok = false;
    }
    return ok;
}

unsigned simulate_seeds(const struct request *r, struct world_totals *sum,
                        struct result *first_failure)
{
    int pipes[2];
    pid_t pids[MAX_JOBS];
    struct result result;
    unsigned failures = 0, done = 0;
    if (pipe(pipes) != 0)
        lab_die("no pipe");
    for (unsigned i = 0; i < r->jobs; i++)
        if ((pids[i] = start_job(r, i, pipes[1])) < 0)
            lab_die("no process");
    close(pipes[1]);
    while (read(pipes[0], &result, sizeof(result)) == (ssize_t)sizeof(result)) {
        add_totals(sum, &result.totals);
        if (result.num_violations > 0) {
            if (failures == 0 || result.seed < first_failure->seed)
                *first_failure = result;
            failures++;
            report_violation(r, &result);
        }
        done++;
        if (r->progress && done % 50 == 0)
            fprintf(stderr, "simulate: %s %u of %u, %u with violations\n", r->options.scenario,
                    done, r->seeds, failures);
    }
    close(pipes[0]);
    if (!wait_for_jobs(pids, r->jobs) || done != r->seeds) {
        printf("# a job ended early: %u of %u seeds done\n", done, r->seeds);
        failures++;
    }
    return failures;
}

void simulate_table(const char *scenario, unsigned seeds, const struct world_totals *t,
                    unsigned failures)
{
    printf("# %-10s %6s %10s %10s %10s %9s %9s %8s %9s %7s %10s\n", "scenario", "seeds", "hours",
           "datagrams", "packets", "handsh.", "rotations", "outages", "longest", "bound",
           "violations");
    printf("# %-10s %6u %10.1f %10llu %10llu %9llu %9llu %8llu %8.1fs %6.0f%% %10u\n", scenario,
           seeds, (double)t->virtual_time / 3.6e12, (unsigned long long)t->datagrams,
           (unsigned long long)t->packets, (unsigned long long)t->handshakes,
           (unsigned long long)t->rotations, (unsigned long long)t->outages,
           (double)t->worst_outage / 1e9, 100 * t->worst_share, failures);
}

static int run_many(struct request *r, bool tap)
{
    struct world_totals sum = {0};
    struct result failure;
    unsigned failures = simulate_seeds(r, &sum, &failure);
    simulate_table(r->options.scenario, r->seeds, &sum, failures);
    if (failures > 0 && failure.num_violations > 0)
        simulate_shrink(&r->options, &failure);
    if (tap)
        printf("%sok 1 - %u seeds of %s\n1..1\n", failures > 0 ? "not " : "", r->seeds,
               r->options.scenario);
    return failures > 0;
}

static int run_one(const struct world_options *options)
{
    struct result result;
    simulate_run(options, &result);
    printf("seed %llu: hash %016llx, %u nodes, %u faults, %llu datagrams, %llu handshakes, "
           "peak %lld kB a node\n",
           (unsigned long long)result.seed, (unsigned long long)result.hash, result.num_nodes,
           result.num_faults, (unsigned long long)result.totals.datagrams,
           (unsigned long long)result.totals.handshakes,
           (long long)result.totals.peak_bytes / 1024);
    if (result.num_violations > 0)
        printf("violation of %s at %.3f s: %s\n", world_property_names[result.first.property],
               (double)result.first.when / 1e9, result.first.text);
    return result.num_violations > 0;
}

/* ---- the command line ---- */

static uint64_t number(const char *text)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || end == text) {
        fprintf(stderr, "simulate: not a number: %s\n", text);
        exit(2);
    }
    return n;
}

static uint64_t read_list(const char *text)
{
    uint64_t bits = 0;
    while (*text != '\0') {
        char *end;
        unsigned long n = strtoul(text, &end, 10);
        if (end == text || n >= WORLD_MAX_FAULTS) {
            fprintf(stderr, "simulate: not a list of faults\n");
            exit(2);
        }
        bits |= UINT64_C(1) << n;
        text = *end == ',' ? end + 1 : end;
    }
    return bits;
}

enum mode { SEEDS, ONE, MATRIX, SELF_TEST, DETERMINISM };

struct command {
    enum mode mode;
    struct request request;
    bool tap;
};

static bool read_option(struct command *c, int option)
{
    struct request *r = &c->request;
    switch (option) {
    case 's':
        r->seeds = (unsigned)number(optarg);
        return true;
    case 'f':
        r->first_seed = number(optarg);
        return true;
    case 'j':
        r->jobs = (unsigned)number(optarg);
        return r->jobs > 0 && r->jobs <= MAX_JOBS;
    case 'n':
        r->options.scenario = optarg;
        return true;
    case 'o':
        r->options.seed = number(optarg);
        c->mode = ONE;
        return true;
    case 't':
        r->options.trace = stdout;
        return true;
    case 'N':
        r->options.max_nodes = (unsigned)number(optarg);
        return true;
    case 'S':
        r->options.length = (cq_time)number(optarg) * CQ_NS_PER_S;
        return true;
    case 'w':
        r->options.without = read_list(optarg);
        return true;
    case 'm':
        c->mode = MATRIX;
        return true;
    case 'T':
        c->mode = SELF_TEST;
        return true;
    case 'd':
        c->mode = DETERMINISM;
        return true;
    case 'p':
        c->tap = true;
        return true;
    default:
        return false;
    }
}

static int run_matrix(const struct command *c)
{
    int status = world_matrix(c->request.seeds > 0 ? c->request.seeds : 30, c->request.jobs);
    if (c->tap)
        printf("%sok 1 - no packet is lost because of a rotation\n1..1\n",
               status != 0 ? "not " : "");
    return status;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"seeds", required_argument, NULL, 's'},
        {"first-seed", required_argument, NULL, 'f'},
        {"jobs", required_argument, NULL, 'j'},
        {"scenario", required_argument, NULL, 'n'},
        {"seed", required_argument, NULL, 'o'},
        {"trace", no_argument, NULL, 't'},
        {"nodes", required_argument, NULL, 'N'},
        {"seconds", required_argument, NULL, 'S'},
        {"without", required_argument, NULL, 'w'},
        {"matrix", no_argument, NULL, 'm'},
        {"self-test", no_argument, NULL, 'T'},
        {"determinism", no_argument, NULL, 'd'},
        {"tap", no_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct command c = {.request = {.seeds = 0, .jobs = 2, .first_seed = 1, .progress = true}};
    int option;
    c.request.options.scenario = "mixed";
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            return 0;
        }
        if (!read_option(&c, option)) {
            fputs(usage, stderr);
            return 2;
        }
    }
    switch (c.mode) {
    case ONE:
        return run_one(&c.request.options);
    case MATRIX:
        return run_matrix(&c);
    case SELF_TEST:
        return simulate_self_test();
    case DETERMINISM:
        return simulate_determinism();
    case SEEDS:
        c.request.seeds = c.request.seeds > 0 ? c.request.seeds : 100;
        return run_many(&c.request, c.tap);
    }
    return 2;
}
