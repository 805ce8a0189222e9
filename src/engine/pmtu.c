/*
 * Path MTU discovery (docs/protocol.md section 5, "Path MTU"; RFC 8899): sizes are proven by PINGs
 * padded to them. Sizes here are UDP payloads.
 *
 *   state    event                            action, next state
 *   QUIET    DATA above the base size         PING of the present size: CHECK
 *   QUIET    time to look for more            PING of the largest size: SEARCH
 *   CHECK    PONG                             proven: REST until a second after the PING
 *   CHECK    unanswered, three times          down to the base size, PING of that: FALLEN
 *   FALLEN   PONG                             the peer lives; the lost size once more: SEARCH
 *   FALLEN   unanswered                       the peer may be gone: PING of the base size again,
 * and a handshake every 15 s SEARCH   PONG                             that size from now on; the
 * next one, or REST SEARCH   unanswered too often             too big; the next one, or REST REST
 * time                             QUIET any      the peer is at another address   QUIET; look for
 * more at once where less is in use
 */
#include "engine/internal.h"

#include "proto/control.h"
#include "proto/record.h"

#include <string.h>

enum {
    LOSS_WEIGHT = 16, /* of older PINGs, as of one new one */
    MAX_TRIES = 12,
    STEP = 8,        /* sizes closer together than that are not told apart */
    IPV6_MIN = 1280, /* packets that IPv6 relies on */
    IPV4_HEADERS = 28,
    IPV6_HEADERS = 48,
};

static uint16_t largest(const struct cq_engine *e)
{
    return (uint16_t)(cq_path_mtu(e->config.path) + CQ_RECORD_OVERHEAD);
}

static void rest(struct cq_peer *peer, cq_time until)
{
    peer->pmtu.state = CQ_PMTU_REST;
    peer->pmtu.next = until;
}

static void be_quiet(struct cq_peer *peer)
{
    peer->pmtu.state = CQ_PMTU_QUIET;
    peer->pmtu.next = peer->pmtu.raise_at;
    cq_path_peer_arm_large(peer->path);
}

static void use(struct cq_peer *peer, uint16_t size)
{
    peer->pmtu.size = size;
    cq_path_peer_set_mtu(peer->path, (uint16_t)(size - CQ_RECORD_OVERHEAD));
}

void cq_pmtu_init(struct cq_engine *e, struct cq_peer *peer)
{
    peer->pmtu.raise_at = peer->pmtu.next = CQ_TIME_NEVER;
    use(peer, largest(e));
    if (largest(e) > CQ_RECORD_BASE_LEN)
        be_quiet(peer);
}

unsigned cq_pmtu_of_path(const struct cq_peer *peer)
{
    bool v4 = peer->address.current.remote.ip.family == CQ_FAMILY_IPV4;
    return peer->pmtu.size + (unsigned)(v4 ? IPV4_HEADERS : IPV6_HEADERS);
}

static void send_probe(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    struct cq_pmtu *p = &peer->pmtu;
    struct cq_action *a = cq_action_push(e, CQ_ACTION_SEND_CONTROL, peer);
    a->local_idx = peer->current->local_idx;
    struct cq_writer w = cq_writer_make(a->data, sizeof(a->data));
    cq_control_write_ping(&w, p->token);
    a->len = (uint16_t)w.written;
    a->padded_len = (uint16_t)(p->probe - CQ_RECORD_OVERHEAD);
    p->sent_at = now;
    p->next = now + CQ_PMTU_INTERVAL;
}

/* PINGs of the size in use that were lost before one was answered: chance, which takes its share of
 * what follows. */
static void note_losses(struct cq_pmtu *p, unsigned num)
{
    for (; num > 0; num--)
        p->loss = (uint16_t)(p->loss + (UINT16_MAX - p->loss) / LOSS_WEIGHT);
    p->loss = (uint16_t)(p->loss - p->loss / LOSS_WEIGHT);
}

/* How many must be lost in a row before it is no chance: less than once in 4096 checks. */
static unsigned tries_of_check(const struct cq_pmtu *p)
{
    uint32_t chance = p->loss;
    unsigned tries = 1;

    for (; chance > UINT16_MAX / 4096 && tries < MAX_TRIES; tries++)
        chance = chance * p->loss / UINT16_MAX;
    return tries > CQ_PMTU_TRIES ? tries : CQ_PMTU_TRIES;
}

static void begin_probe(struct cq_engine *e, struct cq_peer *peer, enum cq_pmtu_state state,
                        uint16_t size, unsigned tries, cq_time now)
{
    struct cq_pmtu *p = &peer->pmtu;
    if (!cq_engine_random(e, p->token, sizeof(p->token))) {
        rest(peer, now + CQ_PMTU_INTERVAL);
        return;
    }
    p->state = state;
    p->probe = size;
    p->tries = p->num_tries = tries;
    send_probe(e, peer, now);
}

static void finish_search(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    struct cq_pmtu *p = &peer->pmtu;
    bool whole = p->size == largest(e);
    p->raise_at = whole ? CQ_TIME_NEVER : now + CQ_PMTU_RAISE;
    rest(peer, now + CQ_PMTU_INTERVAL);
    if (p->size == p->told)
        return;
    p->told = p->size;
    cq_action_log(e, peer, CQ_EVENT_PATH_MTU)->path_mtu = (uint16_t)cq_pmtu_of_path(peer);
    if (cq_path_mtu(e->config.path) >= IPV6_MIN && p->size < IPV6_MIN + CQ_RECORD_OVERHEAD)
        cq_action_log(e, peer, CQ_EVENT_PATH_TOO_SMALL)->path_mtu = (uint16_t)cq_pmtu_of_path(peer);
}

/* The next size between one that passes and one that does not. */
static void continue_search(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    struct cq_pmtu *p = &peer->pmtu;
    if (p->too_big - p->size <= STEP)
        finish_search(e, peer, now);
    else
        begin_probe(e, peer, CQ_PMTU_SEARCH, (uint16_t)(p->size + (p->too_big - p->size) / 2),
                    CQ_PMTU_TRIES, now);
}

static void look_for_more(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    peer->pmtu.raise_at = CQ_TIME_NEVER;
    peer->pmtu.too_big = (uint16_t)(largest(e) + 1);
    begin_probe(e, peer, CQ_PMTU_SEARCH, largest(e), CQ_PMTU_TRIES, now);
}

/* What is in use does not arrive any more, or nothing does. */
static void fall_back(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    peer->pmtu.too_big = (uint16_t)(peer->pmtu.size + 1);
    peer->pmtu.fallen_at = now;
    peer->pmtu.alarm = true;
    use(peer, CQ_RECORD_BASE_LEN);
    begin_probe(e, peer, CQ_PMTU_FALLEN, CQ_RECORD_BASE_LEN, CQ_PMTU_TRIES, now);
}

static bool can_probe(const struct cq_peer *peer, cq_time now)
{
    return peer->current != NULL && now < peer->current->send_until && !peer->address.validating &&
           peer->address.current.remote.ip.family != CQ_FAMILY_NONE;
}

void cq_pmtu_on_large(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    struct cq_pmtu *p = &peer->pmtu;
    if (p->state != CQ_PMTU_QUIET) /* armed again when it is */
        return;
    if (can_probe(peer, now))
        begin_probe(e, peer, CQ_PMTU_CHECK, p->size, tries_of_check(p), now);
    else
        rest(peer, now + CQ_PMTU_INTERVAL);
}

void cq_pmtu_on_pong(struct cq_engine *e, struct cq_peer *peer, const struct cq_path_event *ev,
                     cq_time now)
{
    struct cq_pmtu *p = &peer->pmtu;
    if (p->state == CQ_PMTU_QUIET || p->state == CQ_PMTU_REST ||
        memcmp(ev->token, p->token, sizeof(p->token)) != 0)
        return;
    if (p->state == CQ_PMTU_CHECK) {
        note_losses(p, p->num_tries - p->tries);
        rest(peer, p->sent_at + CQ_PMTU_INTERVAL);
    } else if (p->state == CQ_PMTU_FALLEN) {
        /* Chance may have lost the three. */
        begin_probe(e, peer, CQ_PMTU_SEARCH, (uint16_t)(p->too_big - 1), 1, now);
    } else {
        if (p->alarm && p->probe == p->too_big - 1)
            note_losses(p, CQ_PMTU_TRIES); /* a false one */
        p->alarm = false;
        use(peer, p->probe);
        continue_search(e, peer, now);
    }
}

void cq_pmtu_on_new_path(struct cq_engine *e, struct cq_peer *peer)
{
    struct cq_pmtu *p = &peer->pmtu;
    if (largest(e) <= CQ_RECORD_BASE_LEN)
        return;
    p->raise_at = p->size < largest(e) ? e->now : CQ_TIME_NEVER;
    be_quiet(peer);
}

cq_time cq_pmtu_deadline(const struct cq_peer *peer)
{
    return peer->pmtu.next;
}

static void on_unanswered(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    struct cq_pmtu *p = &peer->pmtu;
    /* Whatever comes on older sessions: the peer does not have the one that we send on. */
    if (p->state == CQ_PMTU_FALLEN && now >= p->fallen_at + CQ_DEAD_PEER) {
        p->fallen_at = now;
        cq_attempt_want(e, peer, CQ_CAUSE_DEAD, now);
    }
    if (p->state == CQ_PMTU_FALLEN || --p->tries > 0) {
        send_probe(e, peer, now);
    } else if (p->state == CQ_PMTU_CHECK) {
        fall_back(e, peer, now);
    } else {
        p->too_big = p->probe;
        p->alarm = false;
        continue_search(e, peer, now);
    }
}

void cq_pmtu_tick(struct cq_engine *e, struct cq_peer *peer, cq_time now)
{
    struct cq_pmtu *p = &peer->pmtu;
    if (now < p->next)
        return;
    if (p->state != CQ_PMTU_REST && !can_probe(peer, now)) {
        /* Nothing can be learned now. What is unproven stays in use, and is looked at when there is
         * something to send again. */
        if (p->state == CQ_PMTU_FALLEN)
            use(peer, (uint16_t)(p->too_big - 1));
        p->raise_at = p->size < largest(e) ? now + CQ_PMTU_RAISE : CQ_TIME_NEVER;
        be_quiet(peer);
        return;
    }
    switch (p->state) {
    case CQ_PMTU_QUIET:
        look_for_more(e, peer, now);
        break;
    case CQ_PMTU_CHECK:
    case CQ_PMTU_FALLEN:
    case CQ_PMTU_SEARCH:
        on_unanswered(e, peer, now);
        break;
    case CQ_PMTU_REST:
        be_quiet(peer);
        break;
    }
}
