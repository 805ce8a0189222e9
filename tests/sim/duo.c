#include "duo.h"

#include "proto/wire.h"

struct duo duo_new(const struct duo_config *config)
{
    static const struct duo_config none;
    const struct duo_config *c = config != NULL ? config : &none;
    struct duo duo = {.lab = lab_new(c->seed)};
    duo.a = lab_add_node(duo.lab, &c->a);
    duo.b = lab_add_node(duo.lab, &c->b);
    /* Identities are random: take others until their order is the one that is wanted. */
    while ((c->a_is_larger || c->a_is_smaller) &&
           (memcmp(duo.a->identity.id, duo.b->identity.id, 32) > 0) != c->a_is_larger) {
        uint64_t seed = lab_rng_next(&duo.lab->rng);
        lab_free(duo.lab);
        duo.lab = lab_new(seed);
        duo.a = lab_add_node(duo.lab, &c->a);
        duo.b = lab_add_node(duo.lab, &c->b);
    }
    lab_connect(duo.a, &c->of_a, duo.b, &c->of_b);
    return duo;
}

void duo_free(struct duo *duo)
{
    lab_free(duo->lab);
    memset(duo, 0, sizeof(*duo));
}

void duo_establish(struct duo *duo)
{
    (void)lab_send_packet(lab_flow(duo->a, duo->b, 0, 0));
    for (unsigned i = 0; i < 100 && !lab_are_connected(duo->a, duo->b); i++)
        lab_run_for(duo->lab, MS(100));
    assert_true(lab_are_connected(duo->a, duo->b));
    lab_run_for(duo->lab, SECS(1));
    assert_int_equal(lab_flow_missing(&duo->a->flows[0]), 0);
}

uint64_t duo_missing(struct duo *duo)
{
    uint64_t missing = 0;
    for (unsigned i = 0; i < duo->a->num_flows; i++)
        missing += lab_flow_missing(&duo->a->flows[i]);
    for (unsigned i = 0; i < duo->b->num_flows; i++)
        missing += lab_flow_missing(&duo->b->flows[i]);
    return missing;
}

static uint64_t sum_sent(const struct lab_node *node)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < LAB_TYPES; i++)
        sum += node->sent[i];
    return sum;
}

void duo_snapshot(const struct duo *duo, struct duo_state *out)
{
    memset(out, 0, sizeof(*out));
    out->a = lab_status(duo->a, duo->b);
    out->b = lab_status(duo->b, duo->a);
    out->engine_a = lab_engine_status(duo->a);
    out->engine_b = lab_engine_status(duo->b);
    out->expiry_a = cq_engine_next_expiry(duo->a->engine);
    out->expiry_b = cq_engine_next_expiry(duo->b->engine);
    out->sent_a = sum_sent(duo->a);
    out->sent_b = sum_sent(duo->b);
}

static void assert_same_peer(const struct cq_peer_status *x, const struct cq_peer_status *y)
{
    assert_int_equal(x->key_known, y->key_known);
    assert_int_equal(x->handshaking, y->handshaking);
    assert_true(cq_addr_equal(&x->endpoint, &y->endpoint));
    assert_int_equal(x->completed, y->completed);
    assert_int_equal(x->initiated, y->initiated);
    assert_int_equal(x->responded, y->responded);
    assert_int_equal(x->rotations, y->rotations);
    assert_int_equal(x->failed, y->failed);
    assert_int_equal(x->last_handshake, y->last_handshake);
    assert_int_equal(x->has_session, y->has_session);
    assert_int_equal(x->num_sessions, y->num_sessions);
    assert_memory_equal(x->sid, y->sid, sizeof(x->sid));
    assert_int_equal(x->began, y->began);
    assert_int_equal(x->rotate_at, y->rotate_at);
    assert_int_equal(x->send_until, y->send_until);
    assert_int_equal(x->recv_until, y->recv_until);
    assert_int_equal(x->path.rx_bytes, y->path.rx_bytes);
    assert_int_equal(x->path.tx_bytes, y->path.tx_bytes);
    assert_int_equal(x->path.last_received, y->path.last_received);
    assert_int_equal(x->path.unanswered_since, y->path.unanswered_since);
    assert_int_equal(x->path.unreplied_since, y->path.unreplied_since);
    assert_int_equal(x->path.num_staged, y->path.num_staged);
}

static void assert_same_engine(const struct cq_engine_status *x, const struct cq_engine_status *y)
{
    assert_int_equal(x->num_peers, y->num_peers);
    assert_int_equal(x->num_sessions, y->num_sessions);
    assert_int_equal(x->num_pending, y->num_pending);
    assert_int_equal(x->cookies_sent, y->cookies_sent);
    assert_int_equal(x->keys_sent, y->keys_sent);
    assert_int_equal(x->keys_erased, y->keys_erased);
}

void duo_assert_unchanged(const struct duo *duo, const struct duo_state *before)
{
    struct duo_state now;
    duo_snapshot(duo, &now);
    assert_same_peer(&now.a, &before->a);
    assert_same_peer(&now.b, &before->b);
    assert_same_engine(&now.engine_a, &before->engine_a);
    assert_same_engine(&now.engine_b, &before->engine_b);
    assert_int_equal(now.expiry_a, before->expiry_a);
    assert_int_equal(now.expiry_b, before->expiry_b);
    assert_int_equal(now.sent_a, before->sent_a);
    assert_int_equal(now.sent_b, before->sent_b);
}

bool filter_no_handshakes(void *ctx, const struct lab_node *from, struct lab_datagram *d)
{
    (void)ctx;
    (void)from;
    return d->data[0] >= CQ_MSG_DATA;
}

bool filter_nothing_passes(void *ctx, const struct lab_node *from, struct lab_datagram *d)
{
    (void)ctx;
    (void)from;
    (void)d;
    return false;
}

bool filter_types(void *ctx, const struct lab_node *from, struct lab_datagram *d)
{
    (void)from;
    return (*(const uint64_t *)ctx >> d->data[0] % 64 & 1) == 0;
}
