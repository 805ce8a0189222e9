#include "bench/nodes.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "base/secret.h"
#include "crypto/crypto.h"

#include <stdlib.h>
#include <string.h>

/* ---- coming into being ---- */

static int fill_random(void *ctx, void *buf, size_t len)
{
    (void)ctx;
    return (int)cq_crypto_random(buf, len);
}

static struct cq_addr outer_address(uint8_t last)
{
    return (struct cq_addr){.ip = {CQ_FAMILY_IPV4, {192, 0, 2, last}}, .port = 51820};
}

static enum cq_err make_identity(struct cq_identity *out)
{
    uint8_t secret[CQ_SECRET_KEY_LEN];
    enum cq_err err = cq_crypto_random(secret, sizeof(secret));

    if (err == CQ_OK)
        err = cq_identity_init(out, secret);
    cq_wipe(secret, sizeof(secret));
    return err;
}

static enum cq_err make_node(struct cq_bench_node *node, uint8_t self, uint8_t other,
                             enum cq_suite suite, cq_time now)
{
    struct cq_path_config path_config = {
        .allocator = &cq_secret_allocator,
        .num_workers = 1,
        .mtu = CQ_BENCH_MTU,
    };
    struct cq_engine_config config = {
        .allocator = &cq_secret_allocator,
        .random = {fill_random, NULL},
        .identity = &node->identity,
        .rotate_secs = CQ_ROTATE_SECS_DEFAULT,
        .suites = (uint8_t)suite,
        .preferred_suite = (uint8_t)suite,
        .answer_keys = true,
        .push_keys = true,
    };

    node->route =
        (struct cq_route){.remote = outer_address(self), .local = outer_address(other).ip};
    node->inner = (struct cq_prefix){{CQ_FAMILY_IPV4, {10, 0, 0, self}}, 32};
    node->out_buf = calloc(1, CQ_BENCH_OUT_ROOM);
    if (node->out_buf == NULL)
        return CQ_ERR_NOMEM;
    cq_path_out_init(&node->out, node->out_buf, CQ_BENCH_OUT_ROOM);
    cq_path_in_init(&node->in, true, true, true);
    enum cq_err err = make_identity(&node->identity);
    if (err == CQ_OK)
        err = cq_path_new(&node->path, &path_config);
    if (err != CQ_OK)
        return err;
    node->worker = cq_path_get_worker(node->path, 0);
    config.path = node->path;
    return cq_engine_new(&node->engine, &config, now);
}

static enum cq_err add_peer(struct cq_bench_node *node, const struct cq_bench_node *other,
                            bool know_key, cq_time now)
{
    struct cq_peer_config config = {
        .key = know_key ? &other->identity.public_key : NULL,
        .replied_before = know_key,
        .endpoint = other->route.remote,
        .allowed_ips = &other->inner,
        .num_allowed_ips = 1,
    };

    memcpy(config.id, other->identity.id, sizeof(config.id));
    return cq_engine_add_peer(node->engine, &config, now, &node->peer);
}

struct cq_bench_nodes *cq_bench_nodes_new(enum cq_suite suite, bool know_keys)
{
    struct cq_bench_nodes *nodes = cq_secret_alloc(sizeof(*nodes));

    if (nodes == NULL)
        return NULL;
    nodes->now = 1000 * CQ_NS_PER_S;
    nodes->queue = calloc(CQ_BENCH_QUEUE, sizeof(*nodes->queue));
    if (nodes->queue != NULL && make_node(&nodes->a, 1, 2, suite, nodes->now) == CQ_OK &&
        make_node(&nodes->b, 2, 1, suite, nodes->now) == CQ_OK &&
        add_peer(&nodes->a, &nodes->b, know_keys, nodes->now) == CQ_OK &&
        add_peer(&nodes->b, &nodes->a, know_keys, nodes->now) == CQ_OK)
        return nodes;
    cq_bench_nodes_free(nodes);
    return NULL;
}

static void wipe_node(struct cq_bench_node *node)
{
    cq_engine_free(node->engine);
    cq_path_free(node->path);
    cq_identity_wipe(&node->identity);
    free(node->out_buf);
}

void cq_bench_nodes_free(struct cq_bench_nodes *nodes)
{
    if (nodes == NULL)
        return;
    wipe_node(&nodes->a);
    wipe_node(&nodes->b);
    free(nodes->queue);
    cq_secret_free(nodes);
}

/* ---- what the engines want done ---- */

static struct cq_bench_node *other_of(struct cq_bench_nodes *nodes,
                                      const struct cq_bench_node *node)
{
    return node == &nodes->a ? &nodes->b : &nodes->a;
}

static void transmit(struct cq_bench_nodes *nodes, const struct cq_bench_node *from,
                     const uint8_t *data, size_t len)
{
    struct cq_bench_datagram *datagram = &nodes->queue[nodes->head % CQ_BENCH_QUEUE];

    if (nodes->head - nodes->tail == CQ_BENCH_QUEUE || len > sizeof(datagram->data)) {
        nodes->overflown = true;
        return;
    }
    nodes->head++;
    datagram->to = other_of(nodes, from);
    datagram->len = len;
    memcpy(datagram->data, data, len);
}

static void flush(struct cq_bench_nodes *nodes, struct cq_bench_node *node)
{
    for (size_t i = 0; i < node->out.num_sends; i++) {
        const struct cq_path_send *send = &node->out.sends[i];
        for (size_t at = 0; at < send->len; at += send->segment) {
            size_t rest = send->len - at;
            transmit(nodes, node, send->data + at, rest < send->segment ? rest : send->segment);
        }
    }
    cq_path_out_reset(&node->out);
}

static void send_control(struct cq_bench_nodes *nodes, struct cq_bench_node *node,
                         const struct cq_action *a)
{
    struct cq_path_control control = {
        .local_idx = a->local_idx,
        .len = a->len,
        .padded_len = a->padded_len,
        .route = a->route,
        .data = a->data,
    };

    cq_bench_enter(node);
    if (!cq_path_seal_control(node->worker, &node->out, &control, nodes->now))
        nodes->overflown = true;
    cq_bench_leave(node);
    flush(nodes, node);
}

static void send_staged(struct cq_bench_nodes *nodes, struct cq_bench_node *node, uint32_t peer)
{
    cq_bench_enter(node);
    if (!cq_path_send_staged(node->worker, &node->out, peer, nodes->now))
        nodes->overflown = true;
    cq_bench_leave(node);
    flush(nodes, node);
}

static void carry_out(struct cq_bench_nodes *nodes, struct cq_bench_node *node,
                      const struct cq_action *a)
{
    switch (a->type) {
    case CQ_ACTION_SEND:
        transmit(nodes, node, a->data, a->len);
        break;
    case CQ_ACTION_SEND_CONTROL:
        send_control(nodes, node, a);
        break;
    case CQ_ACTION_SESSION_READY:
        send_staged(nodes, node, a->peer);
        break;
    case CQ_ACTION_DROP_STAGED:
        cq_bench_enter(node);
        cq_path_drop_staged(node->worker, a->peer);
        cq_bench_leave(node);
        break;
    case CQ_ACTION_STORE_KEY:
    case CQ_ACTION_STORE_REPLIED:
    case CQ_ACTION_RESOLVE:
    case CQ_ACTION_LOG:
        break;
    }
}

static void settle_node(struct cq_bench_nodes *nodes, struct cq_bench_node *node)
{
    struct cq_action action;
    struct cq_path_event event;

    for (bool idle = false; !idle;) {
        idle = true;
        while (cq_engine_next_action(node->engine, &action)) {
            carry_out(nodes, node, &action);
            idle = false;
        }
        while (node->reported && cq_path_next_event(node->path, &event)) {
            cq_engine_path_event(node->engine, &event, nodes->now);
            idle = false;
        }
        node->reported = false;
    }
}

static void deliver(struct cq_bench_nodes *nodes, struct cq_bench_datagram *datagram)
{
    struct cq_bench_node *node = datagram->to;
    struct cq_path_source source = {.route = other_of(nodes, node)->route};

    if (!cq_path_is_record(datagram->data, datagram->len)) {
        cq_engine_receive(node->engine, &source.route, datagram->data, datagram->len, nodes->now);
        return;
    }
    struct cq_path_datagram one = {datagram->data, datagram->len};
    cq_bench_enter(node);
    cq_path_open(node->worker, &node->in, &source, &one, 1, nodes->now);
    cq_bench_leave(node);
    cq_path_in_finish(&node->in);
    node->received += node->in.num_pieces;
    cq_path_in_reset(&node->in);
}

/* Until both are idle and nothing is under way. */
static void settle(struct cq_bench_nodes *nodes)
{
    settle_node(nodes, &nodes->a);
    settle_node(nodes, &nodes->b);
    while (nodes->tail != nodes->head) {
        struct cq_bench_datagram *datagram = &nodes->queue[nodes->tail % CQ_BENCH_QUEUE];
        deliver(nodes, datagram);
        nodes->tail++;
        settle_node(nodes, datagram->to);
    }
}

/* ---- what benchmarks ask for ---- */

bool cq_bench_nodes_forget(struct cq_bench_nodes *nodes, bool know_keys)
{
    struct cq_bench_node *a = &nodes->a, *b = &nodes->b;
    bool ok = cq_engine_remove_peer(a->engine, a->peer, nodes->now) == CQ_OK &&
              cq_engine_remove_peer(b->engine, b->peer, nodes->now) == CQ_OK &&
              add_peer(a, b, know_keys, nodes->now) == CQ_OK &&
              add_peer(b, a, know_keys, nodes->now) == CQ_OK;

    settle(nodes);
    return ok;
}

bool cq_bench_nodes_send(struct cq_bench_nodes *nodes)
{
    static uint8_t buf[CQ_BENCH_FRAME_ROOM];
    struct cq_path_frame frame = cq_bench_frame(buf, CQ_PROTO_UDP, 64, 0);
    uint64_t before = nodes->b.received;

    cq_bench_enter(&nodes->a);
    bool done = cq_path_seal(nodes->a.worker, &nodes->a.out, &frame, nodes->now);
    cq_bench_leave(&nodes->a);
    flush(nodes, &nodes->a);
    settle(nodes);
    return done && !nodes->overflown && nodes->b.received == before + 1;
}

static uint64_t completed(const struct cq_bench_node *node)
{
    struct cq_peer_status status;

    return cq_engine_peer_status(node->engine, node->peer, &status) == CQ_OK ? status.completed : 0;
}

bool cq_bench_nodes_rotate(struct cq_bench_nodes *nodes)
{
    uint64_t before_a = completed(&nodes->a), before_b = completed(&nodes->b);

    if (cq_engine_rotate(nodes->a.engine, nodes->a.peer, nodes->now) != CQ_OK)
        return false;
    settle(nodes);
    return completed(&nodes->a) == before_a + 1 && completed(&nodes->b) == before_b + 1;
}

static void handle_expiry(struct cq_bench_nodes *nodes, struct cq_bench_node *node)
{
    while (cq_engine_next_expiry(node->engine) <= nodes->now) {
        cq_engine_handle_expiry(node->engine, nodes->now);
        settle_node(nodes, node);
    }
    (void)cq_path_reclaim(node->path);
}

/* A second at a time: what one says at its time keeps the other from giving it up. */
void cq_bench_nodes_advance(struct cq_bench_nodes *nodes, cq_time by)
{
    for (cq_time end = nodes->now + by; nodes->now < end;) {
        nodes->now = cq_time_min(nodes->now + CQ_NS_PER_S, end);
        handle_expiry(nodes, &nodes->a);
        handle_expiry(nodes, &nodes->b);
        settle(nodes);
    }
}

bool cq_bench_nodes_refresh(struct cq_bench_nodes *nodes)
{
    static const uint64_t many = UINT64_C(1) << 26;
    struct cq_peer_status status;

    if (cq_engine_peer_status(nodes->a.engine, nodes->a.peer, &status) != CQ_OK)
        return false;
    if (status.path.tx_packets / many == status.rotations)
        return true;
    cq_bench_nodes_advance(nodes, CQ_NS_PER_S);
    return cq_bench_nodes_rotate(nodes);
}

struct cq_path_frame cq_bench_frame(uint8_t *p, uint8_t proto, size_t payload, uint16_t gso_size)
{
    static const uint8_t addresses[8] = {10, 0, 0, 1, 10, 0, 0, 2};
    bool tcp = proto == CQ_PROTO_TCP;
    size_t l4_len = (tcp ? CQ_TCP_HEADER_LEN : CQ_UDP_HEADER_LEN) + payload;
    size_t len = CQ_IPV4_HEADER_LEN + l4_len;
    uint16_t csum = tcp ? CQ_TCP_CSUM : CQ_UDP_CSUM;
    uint8_t *l4 = p + CQ_IPV4_HEADER_LEN;
    struct cq_packet packet;

    memset(p, 0, CQ_IPV4_HEADER_LEN + CQ_TCP_HEADER_LEN);
    p[0] = 0x45;
    cq_store_be16(p + 2, (uint16_t)len);
    p[6] = 0x40; /* DF */
    p[8] = 64;
    p[9] = proto;
    memcpy(p + 12, addresses, sizeof(addresses));
    cq_packet_set_ipv4_csum(p);
    cq_store_be16(l4, 40000);
    cq_store_be16(l4 + 2, 5201);
    if (tcp) {
        l4[12] = 0x50;
        l4[13] = 0x10; /* ACK */
        cq_store_be16(l4 + 14, 501);
    } else {
        cq_store_be16(l4 + 4, (uint16_t)l4_len);
    }
    if (cq_packet_read(&packet, p, len))
        cq_store_be16(l4 + csum, cq_sum_fold(cq_packet_pseudo_sum(&packet, p, proto, l4_len)));
    return (struct cq_path_frame){
        .vnet =
            {
                .flags = CQ_VNET_NEEDS_CSUM,
                .gso_type = gso_size == 0 ? CQ_VNET_GSO_NONE
                            : tcp         ? CQ_VNET_GSO_TCPV4
                                          : CQ_VNET_GSO_UDP_L4,
                .gso_size = gso_size,
                .csum_start = CQ_IPV4_HEADER_LEN,
                .csum_offset = csum,
            },
        .data = p,
        .len = len,
    };
}
