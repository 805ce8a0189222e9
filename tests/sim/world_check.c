/*
 * The properties of docs/reliability.md that are about time, size and memory; those of keys are in
 * world_keys.c.
 */
#include "world.h"

#include "path/internal.h"
#include "proto/timers.h"
#include "proto/wire.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Bytes of a node's allocator, above which it has more than it may. */
    PEER_BYTES = 12 * 1024, /* with an attempt in flight */
    SESSION_BYTES = 10 * 1024,
    PENDING_BYTES = 4 * 1024,
    SLACK_BYTES = 16 * 1024,
    MAX_PENDING = 4, /* per peer, as the protocol says */
    MAX_SESSIONS = 12,
};

static const double negligible = 1e-9; /* how unlikely bad luck of the link must be */

void world_violate(struct world *world, enum world_property property, const char *format, ...)
{
    va_list args;
    if (world->num_violations == WORLD_MAX_VIOLATIONS)
        return;
    struct world_violation *v = &world->violations[world->num_violations++];
    v->property = property;
    v->when = world->now - world->began;
    va_start(args, format);
    vsnprintf(v->text, sizeof(v->text), format, args);
    va_end(args);
    world_trace(world, "VIOLATION of %s: %s", world_property_names[property], v->text);
}

/* ---- liveness ---- */

void world_disturb(struct world_pair *pair)
{
    pair->disturbed++;
}

void world_calm(struct world_pair *pair)
{
    pair->disturbed--;
    pair->calm_since = pair->ends[0]->world->now;
}

static double worst_loss(const struct world_pair *pair)
{
    return fmax(pair->links[0].loss, pair->links[1].loss);
}

static cq_time longest_delay(const struct world_pair *pair)
{
    return cq_time_max(pair->links[0].delay + pair->links[0].jitter,
                       pair->links[1].delay + pair->links[1].jitter);
}

/* How often something that fails with probability p must be tried until failing is negligible. */
static double tries(double p)
{
    return p <= negligible ? 1 : ceil(log(negligible) / log(p));
}

static bool may_have_stale_address(const struct world_pair *pair)
{
    for (unsigned i = 0; i < 2; i++)
        if (pair->ends[i]->nat != NULL || pair->ends[i]->num_moves > 0)
            return true;
    return false;
}

static cq_time extra_for_keys(const struct world_pair *pair)
{
    if (!pair->peers[0]->no_key && !pair->peers[1]->no_key)
        return 0;
    cq_time extra = 5 * CQ_STAGE_TIME; /* KEY_PUSH goes before the INIT of number 4 */
    unsigned rotate = pair->ends[0]->rotate_secs < pair->ends[1]->rotate_secs
                          ? pair->ends[0]->rotate_secs
                          : pair->ends[1]->rotate_secs;
    /* Which goes to the address in use: where that is stale, the old session must go first. */
    if (may_have_stale_address(pair))
        extra += SECS(rotate) + CQ_ATTEMPT_TIME;
    return extra;
}

cq_time world_bound(const struct world_pair *pair, cq_time interval)
{
    double p = worst_loss(pair), there_and_back = 1 - (1 - p) * (1 - p);
    double rounds = tries(pow(there_and_back, 4)); /* transmissions of a stage */
    double stages = 2 * rounds + 1;                /* INIT, OFFER; one was nearly over */
    if (pair->ends[0]->world->now < pair->attacked_until + SECS(300))
        stages += 4; /* cookies; INITs 3, 6, ... go without one */
    else
        stages += 2;
    if (may_have_stale_address(pair))
        stages = 2 * stages + 3; /* every second one goes astray, from the third on */
    cq_time bound = (cq_time)(stages * CQ_STAGE_TIME);
    bound += (1 + bound / CQ_ATTEMPT_TIME) * (CQ_DEAD_PEER + CQ_DEAD_PEER_SPAN);
    bound += CQ_HOLD_BACK + 8 * longest_delay(pair) + extra_for_keys(pair);
    return bound + (cq_time)(tries(p) * 1.25 * (double)interval);
}

/* Whether the peer can be called at an address that is right. */
static bool can_call(const struct world_peer *peer)
{
    const struct world_node *other = peer->other;
    if (peer->no_endpoint || other->nat != NULL)
        return false;
    return peer->by_name || cq_addr_equal(&peer->endpoint, &other->address);
}

bool world_is_promised(const struct world_flow *flow, cq_time *out_since)
{
    const struct world_peer *peer = flow->peer;
    const struct world_pair *pair = peer->pair;
    const struct world_peer *back = pair->peers[1 - peer->side];
    *out_since = cq_time_max(pair->calm_since, flow->on_since);
    if (pair->disturbed > 0 || peer->node->original != NULL || !flow->on)
        return false;
    if (can_call(peer))
        return true;
    *out_since = cq_time_max(*out_since, back->flow.on_since);
    return can_call(back) && back->flow.on && back->flow.interval > 0;
}

static cq_time slower_interval(const struct world_flow *flow)
{
    const struct world_peer *peer = flow->peer;
    return cq_time_max(flow->interval, peer->pair->peers[1 - peer->side]->flow.interval);
}

void world_check_waiting(struct world_flow *flow)
{
    struct world *world = flow->peer->node->world;
    cq_time since;
    if (flow->waiting_since == CQ_TIME_NEVER || !world_is_promised(flow, &since))
        return;
    since = cq_time_max(since, flow->waiting_since);
    cq_time bound = world_bound(flow->peer->pair, slower_interval(flow));
    cq_time outage = world->now - since;
    if (outage > SECS(2))
        world->totals.outages++;
    world->totals.worst_outage = cq_time_max(world->totals.worst_outage, outage);
    world->totals.worst_share = fmax(world->totals.worst_share, (double)outage / (double)bound);
    if (outage > bound)
        world_violate(world, WORLD_LIVENESS, "%u waits for its way to %u for %.1f s, bound %.1f s",
                      flow->peer->node->number, flow->peer->other->number, (double)outage / 1e9,
                      (double)bound / 1e9);
}

/* ---- continuity ---- */

void world_note_taken(struct world_flow *flow)
{
    struct world_pair *pair = flow->peer->pair;
    unsigned side = flow->peer->side;
    if (pair->works_since[side] == CQ_TIME_NEVER || pair->works_since[side] < pair->calm_since)
        pair->works_since[side] = flow->peer->node->world->now;
}

bool world_continuity_holds(const struct world_pair *pair, unsigned side)
{
    cq_time now = pair->ends[0]->world->now, works = pair->works_since[side];
    if (pair->disturbed > 0 || pair->tapped > 0 || worst_loss(pair) > 0.05 ||
        works == CQ_TIME_NEVER || works < pair->calm_since)
        return false;
    /* What the storm left behind is gone: unconfirmed sessions, answers on their way. */
    return now > works + SECS(60) && now > pair->calm_since + world_bound(pair, SECS(5));
}

void world_check_staged(struct world_flow *flow)
{
    const struct world_peer *peer = flow->peer;
    struct world *world = peer->node->world;
    cq_time since;
    if (!world_continuity_holds(peer->pair, peer->side) || !world_is_promised(flow, &since) ||
        world->now < since + world_bound(peer->pair, slower_interval(flow)) ||
        flow->last_arrival == CQ_TIME_NEVER || world->now > flow->last_arrival + SECS(15))
        return; /* the last: what stays away for longer is a matter of liveness */
    world_violate(world, WORLD_CONTINUITY, "%u cannot send to %u at once", peer->node->number,
                  peer->other->number);
}

/* ---- memory ---- */

void world_check_memory(struct world_node *node)
{
    struct cq_engine_status status;
    struct world *world = node->world;
    if (node->engine == NULL)
        return;
    cq_engine_get_status(node->engine, &status, world_local_time(node));
    const struct cq_stage_pool *pool = &node->worker->stage;
    int64_t bound = node->memory.empty_bytes + SLACK_BYTES + status.num_peers * PEER_BYTES +
                    status.num_sessions * SESSION_BYTES + status.num_pending * PENDING_BYTES +
                    (int64_t)(pool->num_chunks * (pool->chunk_bytes + 64));
    if (node->memory.live_bytes > bound)
        world_violate(world, WORLD_MEMORY, "%u has %lld bytes, with %u sessions, %u pending",
                      node->number, (long long)node->memory.live_bytes, status.num_sessions,
                      status.num_pending);
    if (status.num_pending > MAX_PENDING * status.num_peers ||
        status.num_sessions > MAX_SESSIONS * status.num_peers ||
        pool->num_chunks * pool->chunk_bytes > CQ_STAGE_POOL_BYTES)
        world_violate(world, WORLD_MEMORY, "%u has %u sessions, %u pending, %u chunks",
                      node->number, status.num_sessions, status.num_pending, pool->num_chunks);
}

/* ---- what goes to addresses that have not proven themselves ---- */

static struct world_contact *find_contact(struct world_node *node, const struct cq_addr *address)
{
    for (unsigned i = 0; i < node->num_contacts; i++)
        if (cq_addr_equal(&node->contacts[i].address, address))
            return &node->contacts[i];
    if (node->num_contacts == node->max_contacts) {
        node->max_contacts = node->max_contacts == 0 ? 8 : node->max_contacts * 2;
        node->contacts = world_grow(node->contacts, node->max_contacts * sizeof(*node->contacts));
    }
    struct world_contact *c = &node->contacts[node->num_contacts++];
    *c = (struct world_contact){.address = *address};
    return c;
}

/* Addresses that the node was told, by configuration or name. */
static bool is_configured(const struct world_node *node, const struct cq_addr *address)
{
    for (unsigned i = 0; i < node->num_peers; i++) {
        const struct world_peer *peer = &node->peers[i];
        if (!peer->no_endpoint && (cq_addr_equal(&peer->endpoint, address) ||
                                   cq_addr_equal(&peer->at_start.endpoint, address)))
            return true;
    }
    return false;
}

void world_note_received(struct world_node *node, const struct cq_addr *from, size_t len)
{
    if (node->world->light)
        return;
    struct world_contact *c = find_contact(node, from);
    c->received += len;
    c->heard = node->world->now;
}

void world_note_reached(struct world_node *node, const struct cq_addr *to)
{
    if (!node->world->light)
        find_contact(node, to)->reached = true;
}

void world_note_configured(struct world_node *node, const struct cq_addr *address)
{
    if (!node->world->light)
        find_contact(node, address)->reached = true;
}

void world_copy_contact(struct world_node *node, const struct world_contact *contact)
{
    *find_contact(node, &contact->address) = *contact;
}

void world_note_sent(struct world_node *node, const struct cq_addr *to, const uint8_t *data,
                     size_t len)
{
    struct world *world = node->world;
    if (data[0] < CQ_MSG_DATA && len > CQ_HANDSHAKE_MSG_MAX)
        world_violate(world, WORLD_SIZE, "%u sends a message of type %u with %zu bytes",
                      node->number, data[0], len);
    if (world->light)
        return;
    if (node->answering && data[0] < CQ_MSG_DATA && cq_addr_equal(to, &node->answered))
        node->answer_len += len;
    struct world_contact *c = find_contact(node, to);
    bool calls =
        data[0] == CQ_MSG_INIT || data[0] == CQ_MSG_KEY_PUSH || data[0] == CQ_MSG_KEY_REQUEST;
    if (calls && world->now >= c->heard + CQ_PING_TIME)
        return; /* no answer to anything: the node looks for its peer where it was last */
    c->sent += len;
    /* Three times by the rule for unproven addresses, and a PONG for each PING. */
    if (!c->reached && c->sent > 4 * c->received && !is_configured(node, to))
        world_violate(world, WORLD_AMPLIFICATION,
                      "%u sent %llu bytes to an address that gave it %llu and proved nothing",
                      node->number, (unsigned long long)c->sent, (unsigned long long)c->received);
}

void world_begin_answer(struct world_node *node, const struct cq_addr *from, const uint8_t *data,
                        size_t len)
{
    node->answering = !node->world->light && len > 0 && data[0] < CQ_MSG_DATA;
    node->answered = *from;
    node->request_len = len;
    node->answer_len = 0;
}

void world_end_answer(struct world_node *node)
{
    if (node->answering && node->answer_len > node->request_len &&
        !find_contact(node, &node->answered)->reached && !is_configured(node, &node->answered))
        world_violate(node->world, WORLD_AMPLIFICATION,
                      "%u answers %zu bytes with %zu to an address that proved nothing",
                      node->number, node->request_len, node->answer_len);
    node->answering = false;
}
