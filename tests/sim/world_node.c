/*
 * A node of the simulator: an engine and its path, driven exactly as engine/engine.h and
 * path/worker.h say, with a clock, randomness and an allocator of its own.
 */
#include "world.h"

#include "base/bytes.h"
#include "path/internal.h"
#include "proto/wire.h"

#include <stdlib.h>
#include <string.h>

/* ---- what a node gets from outside ---- */

static int fill_random(void *ctx, void *buf, size_t len)
{
    struct world_node *node = ctx;
    uint8_t *p = buf;
    for (size_t i = 0; i < len; i += 8) {
        uint64_t word = lab_rng_next(&node->rng);
        memcpy(p + i, &word, len - i < 8 ? len - i : 8);
    }
    return CQ_OK;
}

static void *alloc_counted(void *ctx, size_t size)
{
    struct world_node *node = ctx;
    struct world_memory *m = &node->memory;
    m->live++;
    m->live_bytes += (int64_t)size;
    if (m->live_bytes > m->peak_bytes)
        m->peak_bytes = m->live_bytes;
    return cq_alloc(&cq_heap_allocator, size);
}

static void free_counted(void *ctx, void *p, size_t size)
{
    struct world_node *node = ctx;
    if (p == NULL)
        return;
    node->memory.live--;
    node->memory.live_bytes -= (int64_t)size;
    if (node->world->light)
        free(p); /* wiping 10,000 nodes takes longer than running them */
    else
        cq_free(&cq_heap_allocator, p, size);
}

cq_time world_local_time(const struct world_node *node)
{
    return node->world->mute ? node->world->replayed : node->world->now + node->offset;
}

bool world_is_up(const struct world_node *node)
{
    return node->engine != NULL && !node->asleep;
}

struct cq_ip world_inner_ip(unsigned identity_number)
{
    struct cq_ip ip = {.family = CQ_FAMILY_IPV4};
    cq_store_be32(ip.bytes, UINT32_C(0x0a000001) + identity_number);
    return ip;
}

/* ---- inputs, kept for copies ---- */

void world_forget_inputs(struct world_node *node)
{
    for (size_t i = 0; i < node->num_inputs; i++)
        free(node->inputs[i].data);
    node->num_inputs = 0;
}

static void note_input(struct world_node *node, struct world_input input, const uint8_t *data)
{
    if (!node->logging || node->world->mute)
        return;
    if (node->num_inputs == node->max_inputs) {
        node->max_inputs = node->max_inputs == 0 ? 256 : node->max_inputs * 2;
        node->inputs = world_grow(node->inputs, node->max_inputs * sizeof(*node->inputs));
    }
    input.when = world_local_time(node);
    if (input.len > 0) {
        input.data = world_alloc(input.len);
        memcpy(input.data, data, input.len);
    }
    node->inputs[node->num_inputs++] = input;
}

/* ---- doing what the engine wants ---- */

static void leave(struct world_node *node)
{
    node->reported = cq_path_leave(node->worker) || node->reported;
}

static void flush(struct world_node *node)
{
    struct cq_path_out *out = &node->world->out;
    for (size_t i = 0; i < out->num_sends; i++) {
        const struct cq_path_send *send = &out->sends[i];
        for (size_t at = 0; at < send->len; at += send->segment) {
            size_t len = send->len - at < send->segment ? send->len - at : send->segment;
            world_transmit(node, &send->route.remote, send->data + at, len);
        }
    }
    cq_path_out_reset(out);
}

static void send_control(struct world_node *node, const struct cq_action *a)
{
    struct cq_path_control control = {.local_idx = a->local_idx,
                                      .len = a->len,
                                      .padded_len = a->padded_len,
                                      .route = a->route,
                                      .data = a->data};
    cq_path_enter(node->worker);
    bool done =
        cq_path_seal_control(node->worker, &node->world->out, &control, world_local_time(node));
    leave(node);
    if (!done)
        lab_die("no room for a control record");
    flush(node);
}

static void send_staged(struct world_node *node, uint32_t peer)
{
    bool done = false;
    while (!done) {
        cq_path_enter(node->worker);
        done = cq_path_send_staged(node->worker, &node->world->out, peer, world_local_time(node));
        leave(node);
        flush(node);
    }
}

static void drop_staged(struct world_node *node, uint32_t peer)
{
    cq_path_enter(node->worker);
    cq_path_drop_staged(node->worker, peer);
    leave(node);
}

static void take_log(struct world_node *node, const struct cq_action *a)
{
    struct world *world = node->world;
    const struct cq_event_record *r = &a->event;
    if (world->mute || a->peer >= node->num_peers)
        return;
    struct world_peer *peer = &node->peers[a->peer];
    world_mix_number(world, (uint64_t)r->event << 32 | node->number);
    if (r->event == CQ_EVENT_HANDSHAKE_COMPLETE || r->event == CQ_EVENT_KEY_ROTATION) {
        world->totals.handshakes += r->role == CQ_ROLE_INITIATOR;
        world->totals.rotations +=
            r->role == CQ_ROLE_INITIATOR && r->event == CQ_EVENT_KEY_ROTATION;
        world_keys_session(node, peer, r->sid);
        world_trace(world, "%u: %s with %u as %s, sid %02x%02x%02x%02x, %.3f s", node->number,
                    cq_event_name(r->event), peer->other->number, cq_role_name(r->role), r->sid[0],
                    r->sid[1], r->sid[2], r->sid[3], (double)r->duration / 1e9);
    } else {
        world_trace(world, "%u: %s, peer %u%s%s", node->number, cq_event_name(r->event),
                    peer->other->number, r->reason != CQ_DROP_NONE ? ", " : "",
                    r->reason != CQ_DROP_NONE ? cq_drop_name(r->reason) : "");
    }
}

static void carry_out(struct world_node *node, const struct cq_action *a)
{
    struct world_peer *peer = a->peer < node->num_peers ? &node->peers[a->peer] : NULL;
    switch (a->type) {
    case CQ_ACTION_SEND:
        world_transmit(node, &a->route.remote, a->data, a->len);
        break;
    case CQ_ACTION_SEND_CONTROL:
        send_control(node, a);
        break;
    case CQ_ACTION_SESSION_READY:
        send_staged(node, a->peer);
        break;
    case CQ_ACTION_DROP_STAGED:
        drop_staged(node, a->peer);
        break;
    case CQ_ACTION_STORE_KEY:
        if (peer != NULL &&
            memcmp(a->data, &peer->other->identity.public_key, CQ_PUBLIC_KEY_LEN) != 0)
            world_violate(node->world, WORLD_AGREEMENT, "%u stores a wrong key of %u", node->number,
                          peer->other->number);
        if (peer != NULL && !node->world->mute)
            peer->key_stored = true;
        break;
    case CQ_ACTION_STORE_REPLIED:
        if (peer != NULL && !node->world->mute)
            peer->replied_stored = true;
        break;
    case CQ_ACTION_RESOLVE:
        if (peer != NULL && peer->by_name && !node->world->mute)
            world_queue(node->world, node->world->now + MS(50), WORLD_RESOLVED, peer);
        break;
    case CQ_ACTION_LOG:
        take_log(node, a);
        break;
    }
}

static void schedule_wake(struct world_node *node)
{
    cq_time next = cq_engine_next_expiry(node->engine);
    if (next == CQ_TIME_NEVER || node->world->mute || node->stuck)
        return;
    next -= node->offset;
    if (next >= node->wake)
        return;
    node->wake = cq_time_max(next, node->world->now);
    world_queue(node->world, node->wake, WORLD_WAKE, node);
}

/* Carries actions out and feeds events until there are none. */
static void drain(struct world_node *node)
{
    struct cq_action action;
    struct cq_path_event event;
    for (unsigned rounds = 0;; rounds++) {
        bool idle = true;
        if (rounds > 100000)
            lab_die("an engine does not come to rest");
        while (cq_engine_next_action(node->engine, &action)) {
            carry_out(node, &action);
            idle = false;
        }
        if (node->reported && cq_path_next_event(node->path, &event)) {
            cq_engine_path_event(node->engine, &event, world_local_time(node));
            idle = false;
        }
        if (idle)
            break;
    }
    node->reported = false;
}

static void settle(struct world_node *node)
{
    drain(node);
    schedule_wake(node);
}

static void tick(struct world_node *node)
{
    cq_time now = world_local_time(node);
    for (unsigned rounds = 0; cq_engine_next_expiry(node->engine) <= now; rounds++) {
        if (rounds > 10000)
            lab_die("an engine's expiry does not move on");
        cq_engine_handle_expiry(node->engine, now);
        drain(node);
    }
}

void world_on_wake(struct world_node *node)
{
    node->wake = CQ_TIME_NEVER;
    if (!world_is_up(node) || node->stuck)
        return;
    node->world->running = node;
    note_input(node, (struct world_input){.kind = WORLD_INPUT_WAKE}, NULL);
    tick(node);
    schedule_wake(node);
}

/* ---- inputs ---- */

static void open_record(struct world_node *node, const struct cq_route *route, uint8_t *data,
                        size_t len)
{
    struct cq_path_in *in = &node->world->in;
    struct cq_path_source source = {.route = *route};
    struct cq_path_datagram datagram = {.data = data, .len = len};
    cq_path_enter(node->worker);
    cq_path_open(node->worker, in, &source, &datagram, 1, world_local_time(node));
    leave(node);
    node->world->accepted = in->num_frames > 0;
    for (size_t i = 0; i < in->num_frames && !node->world->mute; i++) {
        const struct cq_path_piece *piece = &in->pieces[in->frames[i].first];
        world_packet_received(node, piece->data, piece->len);
    }
    cq_path_in_reset(in);
}

static void take_datagram(struct world_node *node, const struct cq_route *route, uint8_t *data,
                          size_t len)
{
    if (cq_path_is_record(data, len))
        open_record(node, route, data, len);
    else
        cq_engine_receive(node->engine, route, data, len, world_local_time(node));
    settle(node);
}

void world_deliver(struct world_node *node, const struct cq_addr *from, uint8_t *data, size_t len)
{
    struct cq_route route = {.remote = *from, .local = node->address.ip};
    node->world->running = node;
    note_input(
        node,
        (struct world_input){
            .kind = WORLD_INPUT_DATAGRAM, .address = *from, .local = route.local, .len = len},
        data);
    world_note_received(node, from, len);
    world_begin_answer(node, from, data, len);
    take_datagram(node, &route, data, len);
    world_end_answer(node);
}

static bool take_packet(struct world_node *node, uint8_t *packet, size_t len, bool *out_refused)
{
    struct cq_path_frame frame = {.data = packet, .len = len};
    cq_path_enter(node->worker);
    bool done = cq_path_seal(node->worker, &node->world->out, &frame, world_local_time(node));
    leave(node);
    if (!done)
        lab_die("no room for a packet");
    bool left = node->world->out.num_sends > 0;
    uint8_t *icmp;
    size_t icmp_len;
    *out_refused = cq_path_take_reply(node->worker, &icmp, &icmp_len);
    flush(node);
    settle(node);
    return left || *out_refused;
}

bool world_send_packet(struct world_node *node, uint8_t *packet, size_t len, bool *out_refused)
{
    node->world->running = node;
    note_input(node, (struct world_input){.kind = WORLD_INPUT_PACKET, .len = len}, packet);
    return take_packet(node, packet, len, out_refused);
}

void world_rotate(struct world_node *node, struct world_peer *peer)
{
    uint32_t number = (uint32_t)(peer - node->peers);
    if (!world_is_up(node))
        return;
    node->world->running = node;
    note_input(node, (struct world_input){.kind = WORLD_INPUT_ROTATE, .peer = number}, NULL);
    if (cq_engine_rotate(node->engine, number, world_local_time(node)) == CQ_OK)
        settle(node);
}

void world_overload(struct world_node *node)
{
    if (!world_is_up(node))
        return;
    note_input(node, (struct world_input){.kind = WORLD_INPUT_OVERLOAD}, NULL);
    cq_engine_note_overload(node->engine, world_local_time(node));
}

void world_set_endpoint(struct world_peer *peer)
{
    struct world_node *node = peer->node;
    uint32_t number = (uint32_t)(peer - node->peers);
    if (peer->other->nat != NULL)
        return;
    peer->endpoint = peer->other->address;
    if (!world_is_up(node))
        return;
    node->world->running = node;
    world_note_configured(node, &peer->endpoint);
    note_input(node,
               (struct world_input){
                   .kind = WORLD_INPUT_ENDPOINT, .peer = number, .address = peer->endpoint},
               NULL);
    cq_engine_set_endpoint(node->engine, number, &peer->endpoint, world_local_time(node));
    settle(node);
}

void world_wipe(struct world_node *node)
{
    if (node->engine == NULL)
        return;
    node->world->running = node;
    node->epoch++;
    note_input(node, (struct world_input){.kind = WORLD_INPUT_WIPE}, NULL);
    cq_engine_wipe(node->engine, world_local_time(node));
    settle(node);
}

/* ---- coming and going ---- */

struct world_peer *world_add_peer(struct world_node *a, struct world_node *b,
                                  struct world_pair *pair, unsigned side)
{
    if (a->num_peers == a->max_peers)
        lab_die("more peers than announced");
    struct world_peer *peer = &a->peers[a->num_peers++];
    *peer = (struct world_peer){
        .node = a, .other = b, .pair = pair, .side = side, .endpoint = b->address};
    peer->flow.peer = peer;
    peer->flow.waiting_since = peer->flow.last_arrival = peer->flow.first_arrival = CQ_TIME_NEVER;
    return peer;
}

static bool attach_peer(struct world_node *node, struct world_peer *peer)
{
    struct cq_prefix inner = {.ip = world_inner_ip(peer->other->identity_number), .bits = 32};
    struct cq_peer_config config = {
        .replied_before = peer->at_start.replied_stored,
        .persistent_keepalive = peer->persistent_keepalive,
        .allowed_ips = &inner,
        .num_allowed_ips = 1,
    };
    uint32_t number;
    if (!peer->no_key || peer->at_start.key_stored)
        config.key = &peer->other->identity.public_key;
    if (!peer->no_endpoint)
        config.endpoint = peer->at_start.endpoint;
    memcpy(config.id, peer->other->identity.id, sizeof(config.id));
    return cq_engine_add_peer(node->engine, &config, world_local_time(node), &number) == CQ_OK &&
           number == (uint32_t)(peer - node->peers);
}

static void bring_up(struct world_node *node)
{
    struct cq_path_config path_config = {
        .allocator = &node->allocator, .num_workers = 1, .mtu = WORLD_MTU};
    struct cq_engine_config config = {
        .allocator = &node->allocator,
        .random = {fill_random, node},
        .identity = &node->identity,
        .rotate_secs = node->rotate_secs,
        .suites = node->suites,
        .preferred_suite = node->preferred_suite,
        .answer_keys = true,
        .push_keys = true,
        .load_per_second = node->load_per_second,
    };
    node->world->running = node;
    if (cq_path_new(&node->path, &path_config) != CQ_OK)
        lab_die("no path");
    config.path = node->path;
    if (cq_engine_new(&node->engine, &config, world_local_time(node)) != CQ_OK)
        lab_die("no engine");
    node->worker = cq_path_get_worker(node->path, 0);
    node->memory.empty_bytes = node->memory.live_bytes;
    for (unsigned i = 0; i < node->num_peers; i++)
        if (!attach_peer(node, &node->peers[i]))
            lab_die("a peer cannot be added");
    settle(node);
}

void world_start(struct world_node *node)
{
    node->epoch++;
    node->num_starts++;
    node->asleep = false;
    node->awake_since = node->world->now;
    node->rng_at_start = node->rng;
    node->started = world_local_time(node);
    world_forget_inputs(node);
    for (unsigned i = 0; i < node->num_peers; i++) {
        struct world_peer *peer = &node->peers[i];
        if (peer->by_name && peer->other->nat == NULL)
            peer->endpoint = peer->other->address;
        peer->at_start.endpoint = peer->endpoint;
        peer->at_start.key_stored = peer->key_stored;
        peer->at_start.replied_stored = peer->replied_stored;
    }
    bring_up(node);
}

static void tear_down(struct world_node *node)
{
    node->world->running = node;
    cq_engine_free(node->engine);
    cq_path_free(node->path);
    node->engine = NULL;
    node->path = NULL;
    node->worker = NULL;
    node->reported = false;
    node->wake = CQ_TIME_NEVER;
    if (node->memory.peak_bytes > node->world->totals.peak_bytes)
        node->world->totals.peak_bytes = node->memory.peak_bytes;
    if (node->memory.live != 0 || node->memory.live_bytes != 0)
        world_violate(node->world, WORLD_MEMORY, "%u ends and keeps %lld bytes", node->number,
                      (long long)node->memory.live_bytes);
}

void world_crash(struct world_node *node)
{
    if (node->engine == NULL)
        return;
    node->epoch++;
    tear_down(node);
}

void world_shutdown(struct world_node *node)
{
    if (!world_is_up(node))
        return;
    node->world->running = node;
    cq_engine_shutdown(node->engine, world_local_time(node));
    drain(node);
    tick(node);
    world_crash(node);
}

void world_sleep(struct world_node *node)
{
    node->asleep = true;
}

void world_wake_up(struct world_node *node)
{
    if (!node->asleep)
        return;
    node->asleep = false;
    node->awake_since = node->world->now;
    node->wake = CQ_TIME_NEVER;
    if (node->engine != NULL)
        schedule_wake(node);
}

static void feed(struct world_node *node, const struct world_input *in)
{
    cq_time now = world_local_time(node);
    struct cq_route route = {.remote = in->address, .local = in->local};
    bool refused;
    uint8_t data[WORLD_MAX_DATAGRAM + CQ_PATH_SLACK];
    if (in->len > 0)
        memcpy(data, in->data, in->len);
    switch (in->kind) {
    case WORLD_INPUT_DATAGRAM:
        take_datagram(node, &route, data, in->len);
        break;
    case WORLD_INPUT_PACKET:
        (void)take_packet(node, data, in->len, &refused);
        break;
    case WORLD_INPUT_WAKE:
        tick(node);
        break;
    case WORLD_INPUT_ENDPOINT:
        cq_engine_set_endpoint(node->engine, in->peer, &in->address, now);
        break;
    case WORLD_INPUT_ROTATE:
        if (cq_engine_rotate(node->engine, in->peer, now) != CQ_OK)
            return;
        break;
    case WORLD_INPUT_OVERLOAD:
        cq_engine_note_overload(node->engine, now);
        break;
    case WORLD_INPUT_WIPE:
        cq_engine_wipe(node->engine, now);
        break;
    }
    drain(node);
}

bool world_copy(struct world_node *onto, struct world_node *of, cq_time local_then)
{
    struct world *world = of->world;
    struct lab_rng fresh;
    if (!of->logging || of->engine == NULL)
        return false;
    world_crash(onto);
    world->mute = true;
    onto->rng = of->rng_at_start;
    world->replayed = of->started;
    bring_up(onto);
    for (size_t i = 0; i < of->num_inputs && of->inputs[i].when <= local_then; i++) {
        world->replayed = of->inputs[i].when;
        feed(onto, &of->inputs[i]);
    }
    /* The machine goes on: with other randomness, a clock that knows nothing of the time between,
     * and, before anything else, the news that it is a copy. */
    world_stream(&fresh, world, "copy", onto->number, (uint64_t)world->now);
    onto->rng = fresh;
    onto->offset = local_then - world->now;
    world->replayed = local_then;
    cq_engine_wipe(onto->engine, local_then);
    drain(onto);
    /* Packets that waited at that time would be sent by two machines; they are not ours to judge.
     */
    for (unsigned i = 0; i < onto->num_peers; i++)
        drop_staged(onto, i);
    world->mute = false;
    onto->epoch++;
    onto->asleep = false;
    onto->awake_since = world->now;
    onto->wake = CQ_TIME_NEVER;
    onto->logging = false;
    schedule_wake(onto);
    return true;
}

struct cq_keypair *world_current_keypair(struct world_peer *peer)
{
    struct world_node *node = peer->node;
    return cq_see(&cq_path_find_peer(node->path, (uint32_t)(peer - node->peers))->current);
}

/* ---- making ---- */

struct world_node *world_add_node(struct world *world)
{
    struct world_node *node = world_alloc(sizeof(*node));
    unsigned n = world->num_nodes++;
    if ((n & (n - 1)) == 0)
        world->nodes = world_grow(world->nodes, (n == 0 ? 1 : 2 * n) * sizeof(struct world_node *));
    world->nodes[n] = node;
    node->world = world;
    node->number = node->identity_number = n;
    node->rotate_secs = 300;
    node->suites = CQ_SUITE_AES_256_GCM | CQ_SUITE_CHACHA20_POLY1305;
    node->preferred_suite = CQ_SUITE_AES_256_GCM;
    node->wake = CQ_TIME_NEVER;
    node->allocator = (struct cq_allocator){alloc_counted, free_counted, node};
    node->address = world_address(world, n, 0);
    world_stream(&node->rng, world, "node", n, 0);
    uint8_t secret[CQ_SECRET_KEY_LEN];
    fill_random(node, secret, sizeof(secret));
    if (cq_identity_init(&node->identity, secret) != CQ_OK)
        lab_die("no identity");
    node->offset = world_between(&node->rng, -SECS(900), SECS(1000000));
    return node;
}

struct world_pair *world_connect(struct world_node *a, struct world_node *b)
{
    struct world *world = a->world;
    struct world_pair *pair = world_alloc(sizeof(*pair));
    if (world->num_pairs == world->max_pairs) {
        world->max_pairs = world->max_pairs == 0 ? 16 : world->max_pairs * 2;
        world->pairs = world_grow(world->pairs, world->max_pairs * sizeof(struct world_pair *));
    }
    world->pairs[world->num_pairs] = pair;
    pair->number = world->num_pairs++;
    pair->ends[0] = a;
    pair->ends[1] = b;
    pair->calm_since = world->now;
    pair->attacked_until = world->began - SECS(900);
    for (unsigned i = 0; i < 2; i++) {
        pair->links[i].delay = MS(20);
        world_stream(&pair->links[i].rng, world, "link", pair->ends[i]->number,
                     pair->ends[1 - i]->number);
    }
    pair->peers[0] = world_add_peer(a, b, pair, 0);
    pair->peers[1] = world_add_peer(b, a, pair, 1);
    pair->works_since[0] = pair->works_since[1] = CQ_TIME_NEVER;
    return pair;
}

void world_node_free(struct world_node *node)
{
    if (node->engine != NULL)
        tear_down(node);
    world_forget_inputs(node);
    for (unsigned i = 0; i < node->num_peers; i++)
        free(node->peers[i].flow.seen);
    if (node->original == NULL)
        cq_identity_wipe(&node->identity);
    free(node->inputs);
    free(node->peers);
    free(node->contacts);
    free(node);
}
