/*
 * A peer's address and its validation (docs/protocol.md section 6, "Address").
 *
 *   state       event                                action
 *   proven      newer record from another address    validating: PING to both, limited sending to
 * the new one validating  PONG of the new from the new         proven: the new one validating  PONG
 * of the previous within 3 s      proven: the previous one; the new one barred for 10 s validating
 * newer record from the previous       proven: the previous one validating  newer record from a
 * third address    validating: the third one; the previous stays
 */
#include "engine/internal.h"

#include "proto/control.h"

#include <string.h>

static void publish(struct cq_engine *e, struct cq_peer *peer, uint32_t received_bytes)
{
    struct cq_path_endpoint endpoint = {
        .route = peer->address.current,
        .previous = peer->address.previous,
        .validating = peer->address.validating,
        .received_bytes = received_bytes,
    };
    /* Without memory the path goes on with the address it has until a later event or timer. */
    peer->address.unpublished =
        cq_path_peer_set_endpoint(e->config.path, peer->path, &endpoint) != CQ_OK;
    if (peer->address.unpublished)
        cq_engine_drop(e, peer, CQ_DROP_HANDSHAKE_INTERNAL);
}

static void settle(struct cq_engine *e, struct cq_peer *peer, const struct cq_route *route)
{
    struct cq_address *a = &peer->address;
    bool moved = a->validating || !cq_addr_equal(&a->current.remote, &route->remote);
    a->current = *route;
    memset(&a->previous, 0, sizeof(a->previous));
    a->validating = a->recalled = false;
    a->next_ping = CQ_TIME_NEVER;
    publish(e, peer, 0);
    if (moved)
        cq_pmtu_on_new_path(e, peer);
}

void cq_address_set(struct cq_engine *e, struct cq_peer *peer, const struct cq_route *route)
{
    peer->address.learned = false;
    settle(e, peer, route);
}

void cq_address_recall(struct cq_engine *e, struct cq_peer *peer, const struct cq_addr *addr)
{
    if (peer->address.learned)
        return;
    settle(e, peer, &(struct cq_route){.remote = *addr});
    peer->address.recalled = true;
}

static void send_ping(struct cq_engine *e, const struct cq_peer *peer, const struct cq_route *route,
                      const uint8_t token[8])
{
    struct cq_action *a = cq_action_push(e, CQ_ACTION_SEND_CONTROL, peer);
    a->local_idx = peer->address.local_idx;
    a->route = *route;
    struct cq_writer w = cq_writer_make(a->data, sizeof(a->data));
    cq_control_write_ping(&w, token);
    a->len = (uint16_t)w.written;
}

static void ping_both(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    struct cq_address *a = &peer->address;
    send_ping(e, peer, &a->current, a->token_new);
    send_ping(e, peer, &a->previous, a->token_previous);
    a->next_ping = now + a->backoff + cq_engine_jitter(e, a->backoff / 5);
    a->backoff = cq_time_min(a->backoff * 2, CQ_RETRANSMIT_MAX);
}

static void log_endpoint(struct cq_engine *e, const struct cq_peer *peer, enum cq_event event)
{
    struct cq_action *a = cq_action_push(e, CQ_ACTION_LOG, peer);
    a->event.event = event;
    a->route = peer->address.current;
}

static void validate(struct cq_engine *e, struct cq_peer *peer, const struct cq_path_event *ev,
                     cq_time now)
{
    struct cq_address *a = &peer->address;
    uint8_t tokens[16];
    if (!cq_engine_random(e, tokens, sizeof(tokens)))
        return;
    if (!a->validating)
        a->previous = a->current;
    a->validating = true;
    a->current = ev->route;
    a->local_idx = ev->local_idx;
    memcpy(a->token_new, tokens, 8);
    memcpy(a->token_previous, tokens + 8, 8);
    a->began = now;
    a->backoff = CQ_RETRANSMIT_FIRST;
    publish(e, peer, ev->bytes);
    ping_both(e, peer, now);
}

void cq_address_seen(struct cq_engine *e, struct cq_peer *peer, const struct cq_path_event *ev,
                     cq_time now)
{
    struct cq_address *a = &peer->address;
    const struct cq_addr *source = &ev->route.remote;
    bool known = a->current.remote.ip.family != CQ_FAMILY_NONE;
    if (known && ev->counter >> 56 != 0) /* only lane 0 tells a change */
        return;
    a->learned = true;
    if (!known) {
        settle(e, peer, &ev->route);
        log_endpoint(e, peer, CQ_EVENT_ENDPOINT_CHANGED);
    } else if (cq_addr_equal(source, &a->current.remote)) {
        if (!a->validating && a->current.local.family == CQ_FAMILY_NONE)
            settle(e, peer, &ev->route); /* now known: the local address that it reached */
        else if (a->unpublished)
            publish(e, peer, ev->bytes);
    } else if (a->validating && cq_addr_equal(source, &a->previous.remote)) {
        a->barred = a->current.remote; /* takes effect with the PONG of the previous one alone */
        settle(e, peer, &ev->route);
        log_endpoint(e, peer, CQ_EVENT_ENDPOINT_REVERTED);
    } else if (now >= a->barred_until || !cq_addr_equal(source, &a->barred)) {
        validate(e, peer, ev, now);
    }
}

static bool from(const struct cq_path_event *ev, const struct cq_route *route)
{
    return cq_addr_equal(&ev->route.remote, &route->remote);
}

void cq_address_on_pong(struct cq_engine *e, struct cq_peer *peer, const struct cq_path_event *ev,
                        cq_time now)
{
    struct cq_address *a = &peer->address;
    if (a->validating && memcmp(ev->token, a->token_new, 8) == 0 && from(ev, &a->current)) {
        struct cq_route route = a->current;
        settle(e, peer, &route);
        cq_wipe(a->token_previous, sizeof(a->token_previous)); /* it came too late */
        log_endpoint(e, peer, CQ_EVENT_ENDPOINT_CHANGED);
        return;
    }
    static const uint8_t none[8];
    if (memcmp(a->token_previous, none, 8) == 0 || memcmp(ev->token, a->token_previous, 8) != 0 ||
        now >= a->began + CQ_REVERT_TIME)
        return;
    /* The record that carried this PONG may have settled the address already (cq_address_seen); the
     * new one is barred all the same. */
    if (a->validating && from(ev, &a->previous)) {
        struct cq_route route = a->previous;
        a->barred = a->current.remote;
        settle(e, peer, &route);
        log_endpoint(e, peer, CQ_EVENT_ENDPOINT_REVERTED);
        a->barred_until = now + CQ_BARRED_TIME;
    } else if (!a->validating && from(ev, &a->current)) {
        a->barred_until = now + CQ_BARRED_TIME;
    }
    cq_wipe(a->token_previous, sizeof(a->token_previous));
}

cq_time cq_address_deadline(const struct cq_peer *peer)
{
    return peer->address.validating ? peer->address.next_ping : CQ_TIME_NEVER;
}

void cq_address_tick(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    struct cq_address *a = &peer->address;
    if (a->unpublished)
        publish(e, peer, 0);
    if (!a->validating || now < a->next_ping)
        return;
    if (now >= a->began + CQ_PING_TIME || cq_session_find(peer, a->local_idx) == NULL)
        a->next_ping = CQ_TIME_NEVER;
    else
        ping_both(e, peer, now);
}
