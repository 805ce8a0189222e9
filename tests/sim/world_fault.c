/*
 * What goes wrong in a run: beginning, steps and end of each fault. A fault that stops the way
 * between two nodes, or takes one of them away, disturbs their pair as long as it lasts.
 */
#include "world.h"

const char *const world_fault_names[FAULT_NUM_KINDS] = {
    [FAULT_LOSS] = "loss",
    [FAULT_BURSTS] = "bursts",
    [FAULT_DELAY] = "delay",
    [FAULT_DUPLICATE] = "duplicate",
    [FAULT_REORDER] = "reorder",
    [FAULT_PARTITION] = "partition",
    [FAULT_ISOLATION] = "isolation",
    [FAULT_ONE_WAY] = "one-way",
    [FAULT_MTU] = "mtu",
    [FAULT_CRASH] = "crash",
    [FAULT_CRASH_NO_CACHE] = "crash-no-cache",
    [FAULT_SHUTDOWN] = "shutdown",
    [FAULT_SLEEP] = "sleep",
    [FAULT_ROAM] = "roam",
    [FAULT_NAT_RESET] = "nat-reset",
    [FAULT_RESTORE] = "restore",
    [FAULT_TWIN] = "twin",
    [FAULT_ROTATE] = "rotate",
    [FAULT_OVERLOAD] = "overload",
    [FAULT_REPLAY] = "replay",
    [FAULT_DAMAGE] = "damage",
    [FAULT_HOLD] = "hold",
    [FAULT_STEAL] = "steal",
    [FAULT_FORGE] = "forge",
    [FAULT_FLOOD] = "flood",
};

static struct world_pair *pair_of(const struct world_fault *f)
{
    return f->world->pairs[f->pair];
}

static struct world_node *node_of(const struct world_fault *f)
{
    return f->world->nodes[f->node];
}

/* Who a kind concerns. */
enum concerns { ONE_PAIR, ONE_NODE };

static enum concerns concern(enum world_fault_kind kind)
{
    switch (kind) {
    case FAULT_LOSS:
    case FAULT_BURSTS:
    case FAULT_DELAY:
    case FAULT_DUPLICATE:
    case FAULT_REORDER:
    case FAULT_PARTITION:
    case FAULT_ONE_WAY:
    case FAULT_MTU:
    case FAULT_ROTATE:
    case FAULT_REPLAY:
    case FAULT_DAMAGE:
    case FAULT_HOLD:
    case FAULT_STEAL:
        return ONE_PAIR;
    case FAULT_ISOLATION:
    case FAULT_CRASH:
    case FAULT_CRASH_NO_CACHE:
    case FAULT_SHUTDOWN:
    case FAULT_SLEEP:
    case FAULT_ROAM:
    case FAULT_NAT_RESET:
    case FAULT_RESTORE:
    case FAULT_TWIN:
    case FAULT_OVERLOAD:
    case FAULT_FORGE:
    case FAULT_FLOOD:
    case FAULT_NUM_KINDS:
        return ONE_NODE;
    }
    return ONE_NODE;
}

/* Whether nothing is promised while it lasts. */
static bool disturbs(enum world_fault_kind kind)
{
    return kind != FAULT_DUPLICATE && kind != FAULT_REORDER && kind != FAULT_ROTATE &&
           kind != FAULT_OVERLOAD && kind != FAULT_REPLAY && kind != FAULT_FORGE &&
           kind != FAULT_FLOOD;
}

static void for_pairs(struct world_fault *f, void (*what)(struct world_pair *pair))
{
    struct world *world = f->world;
    if (concern(f->kind) == ONE_PAIR) {
        what(pair_of(f));
        return;
    }
    for (unsigned i = 0; i < world->num_pairs; i++)
        if (world->pairs[i]->ends[0] == node_of(f) || world->pairs[i]->ends[1] == node_of(f))
            what(world->pairs[i]);
}

static void block(struct world_pair *pair)
{
    pair->links[0].blocked++;
    pair->links[1].blocked++;
}

static void unblock(struct world_pair *pair)
{
    pair->links[0].blocked--;
    pair->links[1].blocked--;
}

static void expect_cookies(struct world_pair *pair)
{
    pair->attacked_until = pair->ends[0]->world->now;
}

/* ---- nodes ---- */

static void crash(struct world_fault *f)
{
    struct world_node *node = node_of(f);
    if (f->kind == FAULT_SHUTDOWN)
        world_shutdown(node);
    else
        world_crash(node);
    for (unsigned i = 0; i < node->num_peers && f->kind == FAULT_CRASH_NO_CACHE; i++)
        node->peers[i].key_stored = node->peers[i].replied_stored = false;
}

static void roam(struct world_fault *f)
{
    struct world_node *node = node_of(f);
    if (node->nat != NULL) {
        world_reset_nat(f->world, node->nat);
    } else {
        node->num_moves++;
        node->address = world_address(f->world, node->number, node->num_moves);
    }
}

static void restore(struct world_fault *f)
{
    struct world_node *node = node_of(f);
    cq_time then = world_local_time(node) - (cq_time)(f->amount * 1e9);
    if (!world_is_up(node) || then < node->started)
        then = world_local_time(node);
    if (node->asleep || node->engine == NULL || !world_copy(node, node, then))
        return;
    node->logging = false;
}

static void begin_twin(struct world_fault *f)
{
    struct world_node *node = node_of(f), *twin = f->twin;
    if (twin == NULL || !world_is_up(node))
        return;
    for (unsigned i = 0; i < node->num_peers; i++) {
        twin->peers[i].at_start = node->peers[i].at_start;
        twin->peers[i].endpoint = node->peers[i].endpoint;
    }
    if (!world_copy(twin, node, world_local_time(node)))
        return;
    for (unsigned i = 0; i < node->num_contacts; i++)
        world_copy_contact(twin, &node->contacts[i]);
    for (unsigned i = 0; i < twin->num_peers; i++)
        world_flow_begin(&twin->peers[i].flow, f->world->now + SECS(1));
}

static void end_twin(struct world_fault *f)
{
    for (unsigned i = 0; f->twin != NULL && i < f->twin->num_peers; i++)
        f->twin->peers[i].flow.next = CQ_TIME_NEVER;
    if (f->twin != NULL)
        world_crash(f->twin);
}

/* ---- pairs ---- */

static void change_links(struct world_fault *f)
{
    struct world_pair *pair = pair_of(f);
    for (unsigned i = 0; i < 2; i++) {
        struct world_link *link = &pair->links[i];
        switch (f->kind) {
        case FAULT_LOSS:
            link->loss = f->amount;
            break;
        case FAULT_DELAY:
            link->delay = (cq_time)(f->amount * 2e9);
            break;
        case FAULT_DUPLICATE:
            link->duplicate = f->amount;
            break;
        case FAULT_REORDER:
            link->jitter = (cq_time)(f->amount * 8e8);
            break;
        default:
            link->mtu = 600 + (unsigned)(f->amount * 760);
            break;
        }
    }
}

static void restore_links(struct world_fault *f)
{
    struct world_pair *pair = pair_of(f);
    for (unsigned i = 0; i < 2; i++) {
        struct world_link *link = &pair->links[i];
        const struct world_link *usual = &pair->usual[i];
        if (f->kind == FAULT_LOSS)
            link->loss = usual->loss;
        else if (f->kind == FAULT_DELAY)
            link->delay = usual->delay;
        else if (f->kind == FAULT_DUPLICATE)
            link->duplicate = usual->duplicate;
        else if (f->kind == FAULT_REORDER)
            link->jitter = usual->jitter;
        else
            link->mtu = usual->mtu;
    }
}

/* Short black-outs, one after the other. */
static void step_bursts(struct world_fault *f)
{
    f->stepping = !f->stepping;
    if (f->stepping)
        block(pair_of(f));
    else
        unblock(pair_of(f));
    world_queue(f->world,
                f->world->now + (f->stepping ? world_between(&f->rng, MS(20), SECS(3))
                                             : world_between(&f->rng, MS(50), SECS(10))),
                WORLD_FAULT_STEP, f);
}

/* ---- beginning, step, end ---- */

static void act(struct world_fault *f)
{
    struct world_pair *pair = pair_of(f);
    switch (f->kind) {
    case FAULT_LOSS:
    case FAULT_DELAY:
    case FAULT_DUPLICATE:
    case FAULT_REORDER:
    case FAULT_MTU:
        change_links(f);
        break;
    case FAULT_PARTITION:
    case FAULT_ISOLATION:
        for_pairs(f, block);
        break;
    case FAULT_ONE_WAY:
        pair->links[f->amount < 0.5].blocked++;
        break;
    case FAULT_CRASH:
    case FAULT_CRASH_NO_CACHE:
    case FAULT_SHUTDOWN:
        crash(f);
        break;
    case FAULT_SLEEP:
        world_sleep(node_of(f));
        break;
    case FAULT_ROAM:
    case FAULT_NAT_RESET:
        roam(f);
        break;
    case FAULT_RESTORE:
        restore(f);
        break;
    case FAULT_TWIN:
        begin_twin(f);
        break;
    case FAULT_ROTATE:
        world_rotate(pair->ends[f->amount < 0.5], pair->peers[f->amount < 0.5]);
        break;
    case FAULT_REPLAY:
    case FAULT_DAMAGE:
    case FAULT_HOLD:
    case FAULT_STEAL:
        pair->tapped++;
        break;
    case FAULT_BURSTS:
    case FAULT_OVERLOAD:
    case FAULT_FORGE:
    case FAULT_FLOOD:
    case FAULT_NUM_KINDS:
        break;
    }
}

static bool has_steps(enum world_fault_kind kind)
{
    return kind == FAULT_BURSTS || kind == FAULT_OVERLOAD || kind >= FAULT_REPLAY;
}

void world_fault_begin(struct world_fault *f)
{
    struct world *world = f->world;
    if (concern(f->kind) == ONE_PAIR)
        world_trace(world, "fault %u begins: %s between %u and %u, %.2f, for %.1f s", f->number,
                    world_fault_names[f->kind], pair_of(f)->ends[0]->number,
                    pair_of(f)->ends[1]->number, f->amount, (double)f->length / 1e9);
    else
        world_trace(world, "fault %u begins: %s at %u, %.2f, for %.1f s", f->number,
                    world_fault_names[f->kind], f->node, f->amount, (double)f->length / 1e9);
    f->on = true;
    if (disturbs(f->kind))
        for_pairs(f, world_disturb);
    act(f);
    if (has_steps(f->kind))
        world_queue(world, world->now, WORLD_FAULT_STEP, f);
    world_queue(world, world->now + f->length, WORLD_FAULT_END, f);
}

void world_fault_step(struct world_fault *f)
{
    if (!f->on)
        return;
    f->steps++;
    if (f->kind == FAULT_BURSTS) {
        step_bursts(f);
    } else if (f->kind == FAULT_OVERLOAD) {
        for_pairs(f, expect_cookies);
        world_overload(node_of(f));
        world_queue(f->world, f->world->now + MS(900), WORLD_FAULT_STEP, f);
    } else {
        if (f->kind == FAULT_FLOOD || f->kind == FAULT_REPLAY || f->kind == FAULT_FORGE)
            for_pairs(f, expect_cookies);
        world_attack_step(f);
    }
}

void world_fault_end(struct world_fault *f)
{
    struct world_pair *pair = pair_of(f);
    world_trace(f->world, "fault %u ends: %s", f->number, world_fault_names[f->kind]);
    f->on = false;
    switch (f->kind) {
    case FAULT_LOSS:
    case FAULT_DELAY:
    case FAULT_DUPLICATE:
    case FAULT_REORDER:
    case FAULT_MTU:
        restore_links(f);
        break;
    case FAULT_PARTITION:
    case FAULT_ISOLATION:
        for_pairs(f, unblock);
        break;
    case FAULT_ONE_WAY:
        pair->links[f->amount < 0.5].blocked--;
        break;
    case FAULT_CRASH:
    case FAULT_CRASH_NO_CACHE:
    case FAULT_SHUTDOWN:
        if (node_of(f)->engine == NULL)
            world_start(node_of(f));
        break;
    case FAULT_SLEEP:
        world_wake_up(node_of(f));
        break;
    case FAULT_TWIN:
        end_twin(f);
        break;
    case FAULT_BURSTS:
        if (f->stepping)
            unblock(pair);
        f->stepping = false;
        break;
    case FAULT_REPLAY:
    case FAULT_DAMAGE:
    case FAULT_HOLD:
    case FAULT_STEAL:
        pair->tapped--;
        break;
    case FAULT_ROAM:
    case FAULT_NAT_RESET:
    case FAULT_RESTORE:
    case FAULT_ROTATE:
    case FAULT_OVERLOAD:
    case FAULT_FORGE:
    case FAULT_FLOOD:
    case FAULT_NUM_KINDS:
        break;
    }
    if (disturbs(f->kind))
        for_pairs(f, world_calm);
}
