#include "lab.h"

#include "base/bytes.h"
#include "path/internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- coming into being ---- */

static int fill_random(void *ctx, void *buf, size_t len)
{
    struct lab_node *node = ctx;
    if (node->random_broken || (node->random_countdown >= 0 && node->random_countdown-- == 0)) {
        node->random_failed = true;
        return CQ_ERR_RANDOM;
    }
    uint8_t *p = buf;
    for (size_t i = 0; i < len; i += 8) {
        uint64_t word = lab_rng_next(&node->rng);
        memcpy(p + i, &word, len - i < 8 ? len - i : 8);
    }
    return CQ_OK;
}

struct cq_ip lab_inner_ip(const struct lab_node *node)
{
    struct cq_ip ip = {.family = CQ_FAMILY_IPV4, .bytes = {10}};
    cq_store_be16(ip.bytes + 2, (uint16_t)(node->number + 1));
    return ip;
}

static struct cq_addr outer_address(const struct lab_node *node)
{
    struct cq_addr addr = {.port = 51820};
    if (node->config.ipv6) {
        addr.ip = (struct cq_ip){.family = CQ_FAMILY_IPV6, .bytes = {0x20, 0x01, 0x0d, 0xb8}};
        cq_store_be16(addr.ip.bytes + 14, (uint16_t)(node->number + 1));
    } else {
        addr.ip = (struct cq_ip){.family = CQ_FAMILY_IPV4, .bytes = {198, 18}};
        cq_store_be16(addr.ip.bytes + 2, (uint16_t)(node->number + 1));
    }
    return addr;
}

static bool attach_peer(struct lab_node *node, struct lab_peer *peer)
{
    struct cq_prefix inner = {.ip = lab_inner_ip(peer->node), .bits = 32};
    struct cq_public_key key = peer->node->identity.public_key;
    struct cq_peer_config config = {
        .replied_before = peer->peering.replied_before || peer->replied_stored,
        .persistent_keepalive = peer->peering.persistent_keepalive,
        .allowed_ips = &inner,
        .num_allowed_ips = 1,
    };
    if (peer->key_stored)
        memcpy(&key, peer->stored_key, sizeof(key));
    if (!peer->peering.no_key || peer->key_stored)
        config.key = &key;
    if (!peer->peering.no_endpoint)
        config.endpoint = peer->node->address;
    memcpy(config.id, peer->node->identity.id, sizeof(config.id));
    memcpy(config.psk, peer->peering.psk, sizeof(config.psk));
    return cq_engine_add_peer(node->engine, &config, node->lab->now, &peer->number) == CQ_OK;
}

bool lab_start(struct lab_node *node)
{
    struct lab *lab = node->lab;
    struct cq_path_config path_config = {
        .allocator = &lab->allocator, .num_workers = 1, .mtu = LAB_MTU};
    struct cq_engine_config config = {
        .allocator = &lab->allocator,
        .random = {fill_random, node},
        .identity = &node->identity,
        .rotate_secs = node->config.rotate_secs,
        .suites = node->config.suites,
        .preferred_suite = node->config.preferred_suite,
        .yield_suite = node->config.yield_suite,
        .answer_keys = !node->config.no_key_answers,
        .push_keys = !node->config.no_key_pushes,
        .load_per_second = node->config.load_per_second,
    };
    bool ok = cq_path_new(&node->path, &path_config) == CQ_OK;
    config.path = node->path;
    ok = ok && cq_engine_new(&node->engine, &config, lab->now) == CQ_OK;
    for (unsigned i = 0; ok && i < node->num_peers; i++)
        ok = attach_peer(node, &node->peers[i]);
    if (!ok) {
        lab_crash(node);
        return false;
    }
    node->worker = cq_path_get_worker(node->path, 0);
    lab_settle(node);
    return true;
}

struct lab_node *lab_add_node(struct lab *lab, const struct lab_node_config *config)
{
    struct lab_node *node = calloc(1, sizeof(*node));
    lab->nodes = realloc(lab->nodes, (lab->num_nodes + 1) * sizeof(struct lab_node *));
    if (node == NULL || lab->nodes == NULL)
        lab_die("no memory");
    node->lab = lab;
    node->number = lab->num_nodes;
    if (config != NULL)
        node->config = *config;
    if (node->config.rotate_secs == 0)
        node->config.rotate_secs = 300;
    if (node->config.suites == 0)
        node->config.suites = CQ_SUITE_AES_256_GCM | CQ_SUITE_CHACHA20_POLY1305;
    if (node->config.preferred_suite == 0)
        node->config.preferred_suite = CQ_SUITE_AES_256_GCM;
    lab_rng_seed(&node->rng, lab_rng_next(&lab->rng));
    node->random_countdown = -1;
    node->wake = CQ_TIME_NEVER;
    node->link = (struct lab_link){.delay = 20 * CQ_NS_PER_MS};
    node->address = outer_address(node);
    uint8_t secret[CQ_SECRET_KEY_LEN];
    fill_random(node, secret, sizeof(secret));
    if (cq_identity_init(&node->identity, secret) != CQ_OK)
        lab_die("no identity");
    lab->nodes[lab->num_nodes++] = node;
    if (!lab_start(node))
        lab_die("a node does not start");
    return node;
}

void lab_add_peer(struct lab_node *a, struct lab_node *b, const struct lab_peering *peering)
{
    if (a->num_peers == LAB_MAX_PEERS)
        lab_die("too many peers");
    struct lab_peer *peer = &a->peers[a->num_peers++];
    *peer = (struct lab_peer){.node = b};
    if (peering != NULL)
        peer->peering = *peering;
    if (!attach_peer(a, peer))
        lab_die("a peer cannot be added");
    lab_settle(a);
}

void lab_connect(struct lab_node *a, const struct lab_peering *of_a, struct lab_node *b,
                 const struct lab_peering *of_b)
{
    lab_add_peer(a, b, of_a);
    lab_add_peer(b, a, of_b);
}

void lab_crash(struct lab_node *node)
{
    cq_engine_free(node->engine);
    cq_path_free(node->path);
    node->engine = NULL;
    node->path = NULL;
    node->worker = NULL;
    node->wake = CQ_TIME_NEVER;
}

void lab_node_free(struct lab_node *node)
{
    lab_crash(node);
    for (unsigned i = 0; i < node->num_flows; i++)
        free(node->flows[i].seen);
    cq_identity_wipe(&node->identity);
    free(node);
}

void lab_move(struct lab_node *node, const struct cq_addr *address)
{
    if (lab_node_at(node->lab, address) != NULL)
        lab_die("the address is taken");
    node->address = *address;
}

/* ---- doing what the engine wants ---- */

void lab_leave(struct lab_node *node)
{
    node->reported = cq_path_leave(node->worker) || node->reported;
}

void lab_flush(struct lab_node *node)
{
    struct cq_path_out *out = &node->lab->out;
    for (size_t i = 0; i < out->num_sends; i++) {
        const struct cq_path_send *send = &out->sends[i];
        for (size_t at = 0; at < send->len; at += send->segment) {
            size_t len = send->len - at < send->segment ? send->len - at : send->segment;
            lab_transmit(node, &send->route.remote, send->data + at, len);
        }
    }
    cq_path_out_reset(out);
}

static void send_control(struct lab_node *node, const struct cq_path_control *control)
{
    struct cq_path_out *out = &node->lab->out;
    cq_path_enter(node->worker);
    bool done = cq_path_seal_control(node->worker, out, control, node->lab->now);
    lab_leave(node);
    if (!done)
        lab_die("no room for a control record");
    lab_flush(node);
}

static void send_staged(struct lab_node *node, uint32_t peer)
{
    struct cq_path_out *out = &node->lab->out;
    bool done = false;
    while (!done) {
        cq_path_enter(node->worker);
        done = cq_path_send_staged(node->worker, out, peer, node->lab->now);
        lab_leave(node);
        lab_flush(node);
    }
}

static struct lab_peer *peer_by_number(struct lab_node *node, uint32_t number)
{
    for (unsigned i = 0; i < node->num_peers; i++)
        if (node->peers[i].number == number)
            return &node->peers[i];
    return NULL;
}

static void carry_out(struct lab_node *node, const struct cq_action *a)
{
    struct lab_peer *peer = peer_by_number(node, a->peer);
    switch (a->type) {
    case CQ_ACTION_SEND:
        lab_transmit(node, &a->route.remote, a->data, a->len);
        break;
    case CQ_ACTION_SEND_CONTROL:
        send_control(node, &(struct cq_path_control){.local_idx = a->local_idx,
                                                     .len = a->len,
                                                     .padded_len = a->padded_len,
                                                     .route = a->route,
                                                     .data = a->data});
        break;
    case CQ_ACTION_SESSION_READY:
        send_staged(node, a->peer);
        break;
    case CQ_ACTION_DROP_STAGED:
        node->drops_of_staged++;
        cq_path_enter(node->worker);
        cq_path_drop_staged(node->worker, a->peer);
        lab_leave(node);
        break;
    case CQ_ACTION_STORE_KEY:
        memcpy(peer->stored_key, a->data, sizeof(peer->stored_key));
        peer->key_stored = true;
        break;
    case CQ_ACTION_STORE_REPLIED:
        peer->replied_stored = true;
        break;
    case CQ_ACTION_RESOLVE:
        node->resolves++;
        break;
    case CQ_ACTION_LOG:
        node->events[a->event.event]++;
        node->last_event[a->event.event] = a->event;
        break;
    }
}

/* An entry in the queue for the engine's next expiry, unless an earlier one is there already. */
static void schedule_wake(struct lab_node *node)
{
    cq_time next = cq_engine_next_expiry(node->engine);
    if (next >= node->wake)
        return;
    node->wake = cq_time_max(next, node->lab->now);
    lab_queue(node->lab, &(struct lab_entry){.when = node->wake, .kind = LAB_WAKE, .node = node});
}

/* Carries actions out and feeds events until there are none. */
static void drain(struct lab_node *node)
{
    struct cq_action action;
    struct cq_path_event event;
    struct cq_path_farewell farewell;
    for (unsigned rounds = 0;; rounds++) {
        bool idle = true;
        if (rounds > 10000)
            lab_die("an engine does not come to rest");
        while (cq_engine_next_action(node->engine, &action)) {
            carry_out(node, &action);
            idle = false;
        }
        while (cq_path_next_farewell(node->path, &farewell))
            lab_transmit(node, &farewell.route.remote, farewell.data, farewell.len);
        if (node->reported && cq_path_next_event(node->path, &event)) {
            cq_engine_path_event(node->engine, &event, node->lab->now);
            idle = false;
        }
        if (idle)
            break;
    }
    node->reported = false;
}

void lab_settle(struct lab_node *node)
{
    drain(node);
    schedule_wake(node);
}

void lab_node_wake(struct lab_node *node)
{
    cq_time now = node->lab->now;
    node->wake = CQ_TIME_NEVER;
    if (node->engine == NULL)
        return;
    for (unsigned rounds = 0; cq_engine_next_expiry(node->engine) <= now; rounds++) {
        if (rounds > 1000)
            lab_die("an engine's expiry does not move on");
        cq_engine_handle_expiry(node->engine, now);
        drain(node);
    }
    schedule_wake(node);
}

static void open_record(struct lab_node *node, const struct cq_route *route, uint8_t *data,
                        size_t len)
{
    struct cq_path_in *in = &node->lab->in;
    struct cq_path_source source = {.route = *route};
    struct cq_path_datagram datagram = {.data = data, .len = len};
    cq_path_enter(node->worker);
    cq_path_open(node->worker, in, &source, &datagram, 1, node->lab->now);
    lab_leave(node);
    for (size_t i = 0; i < in->num_frames; i++) {
        const struct cq_path_piece *piece = &in->pieces[in->frames[i].first];
        lab_flow_received(node, piece->data, piece->len);
    }
    cq_path_in_reset(in);
}

void lab_deliver(struct lab_node *node, const struct cq_addr *from, const uint8_t *data, size_t len)
{
    struct cq_route route = {.remote = *from, .local = node->address.ip};
    if (node->engine == NULL)
        return;
    if (len > 0)
        node->received[data[0] % LAB_TYPES]++;
    /* A copy of the exact size: it is opened in place, and a sanitizer sees a read past its end. */
    uint8_t *copy = malloc(len > 0 ? len : 1);
    if (copy == NULL)
        lab_die("no memory");
    if (len > 0)
        memcpy(copy, data, len);
    if (cq_path_is_record(copy, len))
        open_record(node, &route, copy, len);
    else
        cq_engine_receive(node->engine, &route, copy, len, node->lab->now);
    free(copy);
    lab_settle(node);
}

/* ---- what tests ask for ---- */

struct lab_peer *lab_peer_of(struct lab_node *node, const struct lab_node *other)
{
    for (unsigned i = 0; i < node->num_peers; i++)
        if (node->peers[i].node == other)
            return &node->peers[i];
    lab_die("no such peer");
}

struct cq_peer_status lab_status(const struct lab_node *node, const struct lab_node *other)
{
    struct cq_peer_status status;
    uint32_t number;
    if (cq_engine_find_peer(node->engine, other->identity.id, &number) != CQ_OK ||
        cq_engine_peer_status(node->engine, number, &status) != CQ_OK)
        lab_die("no such peer");
    return status;
}

struct cq_engine_status lab_engine_status(const struct lab_node *node)
{
    struct cq_engine_status status;
    cq_engine_get_status(node->engine, &status, node->lab->now);
    return status;
}

void lab_rotate(struct lab_node *node, struct lab_node *other)
{
    if (cq_engine_rotate(node->engine, lab_peer_of(node, other)->number, node->lab->now) != CQ_OK)
        lab_die("no handshake can be started");
    lab_settle(node);
}

bool lab_are_connected(const struct lab_node *a, const struct lab_node *b)
{
    if (a->engine == NULL || b->engine == NULL)
        return false;
    struct cq_peer_status of_a = lab_status(a, b), of_b = lab_status(b, a);
    return of_a.has_session && of_b.has_session && a->lab->now < of_a.send_until &&
           a->lab->now < of_b.send_until;
}

uint64_t lab_drops(const struct lab_node *node, enum cq_drop reason)
{
    return cq_counter_get(&cq_engine_counters(node->engine)->drops[reason]) +
           cq_counter_get(&cq_path_worker_counters(node->worker)->drops[reason]);
}

uint64_t lab_all_drops(const struct lab_node *node)
{
    uint64_t sum = 0;
    for (int i = CQ_DROP_NONE + 1; i < CQ_DROP_COUNT; i++)
        sum += lab_drops(node, (enum cq_drop)i);
    return sum;
}

/* The current keypair; tests may look at it and change its limits. */
struct cq_keypair *lab_keypair(const struct lab_node *node, const struct lab_node *other)
{
    uint32_t number;
    if (cq_engine_find_peer(node->engine, other->identity.id, &number) != CQ_OK)
        lab_die("no such peer");
    return cq_see(&cq_path_find_peer(node->path, number)->current);
}

void lab_send_control(struct lab_node *node, struct lab_node *other, const uint8_t *tlvs,
                      uint16_t len, const struct cq_addr *to)
{
    struct cq_path_control control = {.data = tlvs, .len = len};
    control.local_idx = lab_keypair(node, other)->local_idx;
    if (to != NULL)
        control.route.remote = *to;
    send_control(node, &control);
    lab_settle(node);
}
