/*
 * What the simulator does with itself: proving that its checks can fail, that runs repeat, and
 * reducing a failing run to what is needed.
 */
#include "simulate.h"

#include <string.h>

enum { DETERMINISM_SEEDS = 8, TRACE_LINES = 60 };

/* ---- self-test ---- */

static const struct {
    const char *name;
    enum world_property property;
} plants[WORLD_NUM_PLANTS] = {
#define X(symbol, name, property) {name, WORLD_##property},
    WORLD_PLANTS(X)
#undef X
};

static void report(unsigned n, bool ok, const char *what, const char *detail)
{
    printf("%sok %u - %s\n", ok ? "" : "not ", n, what);
    if (!ok)
        printf("# %s\n", detail);
    fflush(stdout);
}

int simulate_self_test(void)
{
    unsigned failed = 0;
    printf("1..%d\n", WORLD_NUM_PLANTS);
    for (unsigned i = 0; i < WORLD_NUM_PLANTS; i++) {
        struct world_options options = {.scenario = "calm", .seed = 1, .length = SECS(900)};
        struct result result;
        char what[100], detail[300] = "nothing was found";
        options.plant = (enum world_plant)i;
        simulate_run(&options, &result);
        bool found = result.num_violations > 0;
        bool ok =
            i == WORLD_PLANT_NONE ? !found : found && result.first.property == plants[i].property;
        if (i == WORLD_PLANT_NONE)
            snprintf(what, sizeof(what), "nothing planted, nothing found");
        else
            snprintf(what, sizeof(what), "planted %s: %s", plants[i].name,
                     world_property_names[plants[i].property]);
        if (found)
            snprintf(detail, sizeof(detail), "found %s: %s",
                     world_property_names[result.first.property], result.first.text);
        failed += !ok;
        report(i + 1, ok, what, detail);
    }
    return failed > 0;
}

/* ---- determinism ---- */

int simulate_determinism(void)
{
    unsigned failed = 0;
    uint64_t last = 0;
    printf("1..%d\n", DETERMINISM_SEEDS);
    for (unsigned i = 0; i < DETERMINISM_SEEDS; i++) {
        struct world_options options = {.scenario = "mixed", .seed = 1000 + i};
        struct result once, twice;
        char what[100];
        simulate_run(&options, &once);
        simulate_run(&options, &twice);
        bool ok = once.hash == twice.hash && once.hash != last && once.hash != 0;
        last = once.hash;
        snprintf(what, sizeof(what), "seed %u gives one run: %016llx", 1000 + i,
                 (unsigned long long)once.hash);
        failed += !ok;
        report(i + 1, ok, what, "the second run was another one, or the seeds are alike");
    }
    return failed > 0;
}

/* ---- shrinking ---- */

static bool still_fails(const struct world_options *options, enum world_property property,
                        struct result *out)
{
    simulate_run(options, out);
    return out->num_violations > 0 && out->first.property == property;
}

static void drop_faults(struct world_options *o, struct result *last)
{
    enum world_property property = last->first.property;
    for (unsigned i = 0; i < WORLD_MAX_FAULTS; i++) {
        struct world_options fewer = *o;
        struct result result;
        if ((last->faults >> i & 1) == 0)
            continue;
        fewer.without |= UINT64_C(1) << i;
        if (still_fails(&fewer, property, &result)) {
            *o = fewer;
            *last = result;
        }
    }
}

static void drop_nodes(struct world_options *o, struct result *last)
{
    for (unsigned nodes = 2; nodes < last->num_nodes; nodes++) {
        struct world_options fewer = *o;
        struct result result;
        fewer.max_nodes = nodes;
        if (still_fails(&fewer, last->first.property, &result)) {
            *o = fewer;
            *last = result;
            return;
        }
    }
}

/* The last lines of a trace. */
static void print_end(FILE *trace)
{
    char line[300];
    unsigned lines = 0;
    rewind(trace);
    while (fgets(line, sizeof(line), trace) != NULL)
        lines++;
    unsigned skip = lines > TRACE_LINES ? lines - TRACE_LINES : 0;
    if (skip > 0)
        printf("# ... %u lines before\n", skip);
    rewind(trace);
    for (unsigned i = 0; fgets(line, sizeof(line), trace) != NULL; i++)
        if (i >= skip)
            printf("# %s", line);
    fflush(stdout);
}

void simulate_shrink(const struct world_options *options, const struct result *failure)
{
    struct world_options o = *options;
    struct result last = *failure;
    o.seed = failure->seed;
    drop_nodes(&o, &last);
    drop_faults(&o, &last);
    o.length = (last.first.when / CQ_NS_PER_S + 1) * CQ_NS_PER_S;
    printf("# reduced: scripts/simulate.sh --scenario %s --seed %llu --seconds %lld", o.scenario,
           (unsigned long long)o.seed, (long long)(o.length / CQ_NS_PER_S));
    if (o.max_nodes > 0)
        printf(" --nodes %u", o.max_nodes);
    const char *comma = " --without ";
    for (unsigned i = 0; i < WORLD_MAX_FAULTS; i++) {
        if ((o.without >> i & 1) == 0)
            continue;
        printf("%s%u", comma, i);
        comma = ",";
    }
    printf(" --trace\n");
    o.trace = tmpfile();
    if (o.trace == NULL)
        return;
    simulate_run(&o, &last);
    print_end(o.trace);
    fclose(o.trace);
}
