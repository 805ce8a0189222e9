/*
 * The loss matrix: two nodes, steady traffic, rotation every 60 s, by loss, round trip and who has
 * traffic. For each cell: how long it took to connect, what was lost because of rotation and not by
 * the link, and the longest time without an arrival.
 */
#include "world.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    NUM_LOSSES = 5,
    NUM_TRIPS = 3,
    NUM_ROLES = 3,
    MAX_SEEDS = 1000,
    ROTATE_SECS = 60,
    LENGTH_SECS = 150,
};

static const double losses[NUM_LOSSES] = {0, 0.01, 0.05, 0.10, 0.30};
static const int trips_ms[NUM_TRIPS] = {1, 50, 500};
static const char *const roles[NUM_ROLES] = {"initiator", "responder", "both"};
static const cq_time interval = MS(100);

struct cell {
    unsigned loss, trip, role;
    uint64_t seed;
    cq_time connected, outage;
    uint64_t packets, lost, rotations;
    bool violated;
};

static struct world *make_pair(const struct cell *cell, struct world_pair **out)
{
    struct world_options options = {.scenario = "matrix", .seed = cell->seed};
    struct world *world = world_new(&options);
    for (unsigned i = 0; i < 2; i++) {
        struct world_node *node = world_add_node(world);
        node->rotate_secs = ROTATE_SECS;
        node->max_peers = 1;
        node->peers = world_alloc(sizeof(struct world_peer));
    }
    struct world_pair *pair = world_connect(world->nodes[0], world->nodes[1]);
    for (unsigned i = 0; i < 2; i++) {
        pair->links[i].delay = trips_ms[cell->trip] * CQ_NS_PER_MS / 2;
        pair->links[i].loss = losses[cell->loss];
        pair->usual[i] = pair->links[i];
    }
    world_start(world->nodes[0]);
    world_start(world->nodes[1]);
    *out = pair;
    return world;
}

static void begin_flow(struct world *world, struct world_peer *peer)
{
    world_stream(&peer->flow.rng, world, "flow", peer->side, 0);
    peer->flow.interval = interval;
    world_flow_begin(&peer->flow, world->now);
}

/* Node 0 calls in any case; then those with traffic begin. */
static void run_cell(struct cell *cell)
{
    struct world_pair *pair;
    struct world *world = make_pair(cell, &pair);
    struct world_flow *flows[2] = {&pair->peers[0]->flow, &pair->peers[1]->flow};
    struct cq_peer_status status;
    cq_time began = world->now;
    world_rotate(world->nodes[0], pair->peers[0]);
    do {
        world_run_until(world, world->now + MS(1));
        if (cq_engine_peer_status(world->nodes[1]->engine, 0, &status) != CQ_OK)
            lab_die("no peer");
    } while (!status.has_session && world->now < began + SECS(300));
    cell->connected = world->now - began;
    if (cell->role != 1)
        begin_flow(world, pair->peers[0]);
    if (cell->role != 0)
        begin_flow(world, pair->peers[1]);
    world_run_until(world, world->now + SECS(LENGTH_SECS));
    for (unsigned i = 0; i < 2; i++)
        flows[i]->next = CQ_TIME_NEVER; /* no more; what is under way arrives */
    world_run_until(world, world->now + SECS(10));
    for (unsigned i = 0; i < 2; i++) {
        cell->outage = cq_time_max(cell->outage, flows[i]->worst_gap);
        cell->packets += flows[i]->sent;
        cell->lost +=
            flows[i]->sent - flows[i]->received - flows[i]->refused - pair->links[i].lost_data;
    }
    cell->rotations = world->totals.rotations;
    cell->violated = world->num_violations > 0;
    if (cell->violated)
        printf("# seed %llu: %s: %s\n", (unsigned long long)cell->seed,
               world_property_names[world->violations[0].property], world->violations[0].text);
    world_free(world);
}

/* ---- all cells ---- */

static int compare(const void *a, const void *b)
{
    cq_time x = *(const cq_time *)a, y = *(const cq_time *)b;
    return x < y ? -1 : x > y;
}

struct row {
    cq_time times[MAX_SEEDS];
    unsigned num;
    cq_time outage;
    uint64_t packets, lost, rotations;
};

static struct row rows[NUM_LOSSES][NUM_TRIPS][NUM_ROLES];

static void job(unsigned first, unsigned step, unsigned seeds, int to)
{
    unsigned num = NUM_LOSSES * NUM_TRIPS * NUM_ROLES * seeds;
    for (unsigned i = first; i < num; i += step) {
        struct cell cell = {.seed = i + 1};
        unsigned at = i / seeds;
        cell.role = at % NUM_ROLES;
        cell.trip = at / NUM_ROLES % NUM_TRIPS;
        cell.loss = at / NUM_ROLES / NUM_TRIPS;
        run_cell(&cell);
        if (write(to, &cell, sizeof(cell)) != (ssize_t)sizeof(cell))
            _exit(2);
    }
    fflush(stdout);
    _exit(0);
}

static bool take_cell(const struct cell *cell)
{
    struct row *row = &rows[cell->loss][cell->trip][cell->role];
    row->times[row->num++] = cell->connected;
    row->outage = cq_time_max(row->outage, cell->outage);
    row->packets += cell->packets;
    row->lost += cell->lost;
    row->rotations += cell->rotations;
    return !cell->violated && cell->lost == 0;
}

static void print_row(unsigned loss, unsigned trip, unsigned role)
{
    struct row *row = &rows[loss][trip][role];
    qsort(row->times, row->num, sizeof(row->times[0]), compare);
    printf("| %2.0f %% | %3d ms | %-9s | %7.3f s | %7.3f s | %8llu | %5llu | %llu | %6.2f s |\n",
           100 * losses[loss], trips_ms[trip], roles[role], (double)row->times[row->num / 2] / 1e9,
           (double)row->times[(row->num * 99 + 99) / 100 - 1] / 1e9,
           (unsigned long long)row->packets, (unsigned long long)row->rotations,
           (unsigned long long)row->lost, (double)row->outage / 1e9);
}

static bool collect(unsigned seeds, unsigned jobs)
{
    int pipes[2];
    pid_t pids[64];
    struct cell cell;
    unsigned num = 0;
    bool ok = true;
    if (pipe(pipes) != 0)
        lab_die("no pipe");
    for (unsigned i = 0; i < jobs; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            job(i, jobs, seeds, pipes[1]);
        if (pids[i] < 0)
            lab_die("no process");
    }
    close(pipes[1]);
    for (; read(pipes[0], &cell, sizeof(cell)) == (ssize_t)sizeof(cell); num++)
        ok = take_cell(&cell) && ok;
    for (unsigned i = 0; i < jobs; i++) {
        int status;
        ok = waitpid(pids[i], &status, 0) == pids[i] && status == 0 && ok;
    }
    return ok && num == NUM_LOSSES * NUM_TRIPS * NUM_ROLES * seeds;
}

int world_matrix(unsigned seeds, unsigned jobs)
{
    if (seeds < 1 || seeds > MAX_SEEDS)
        return 2;
    fflush(stdout);
    bool ok = collect(seeds, jobs);
    printf(
        "| loss | round trip | traffic | connect, median | 99th percentile | packets | rotations "
        "| lost by rotation | longest outage |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for (unsigned l = 0; l < NUM_LOSSES; l++)
        for (unsigned t = 0; t < NUM_TRIPS; t++)
            for (unsigned r = 0; r < NUM_ROLES; r++)
                if (rows[l][t][r].num > 0)
                    print_row(l, t, r);
    return ok ? 0 : 1;
}
