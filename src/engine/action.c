#include "engine/internal.h"

#include <string.h>

#include "proto/control.h"

const char *cq_role_name(enum cq_role role)
{
    return role == CQ_ROLE_INITIATOR ? "initiator" : "responder";
}

unsigned cq_action_space(const struct cq_engine *e)
{
    return CQ_NUM_ACTIONS - e->num_actions;
}

struct cq_action *cq_action_push(struct cq_engine *e, enum cq_action_type type,
                                 const struct cq_peer *peer)
{
    struct cq_action *a;
    if (e->num_actions == CQ_NUM_ACTIONS) {
        a = &e->actions[CQ_NUM_ACTIONS]; /* scratch behind the ring */
        cq_engine_drop(e, NULL, CQ_DROP_QUEUE_FULL);
    } else {
        a = &e->actions[(e->first_action + e->num_actions++) % CQ_NUM_ACTIONS];
    }
    memset(a, 0, offsetof(struct cq_action, data));
    a->type = type;
    a->peer = peer != NULL ? peer->number : UINT32_MAX;
    return a;
}

bool cq_engine_next_action(struct cq_engine *e, struct cq_action *out)
{
    if (e->num_actions == 0)
        return false;
    struct cq_action *a = &e->actions[e->first_action];
    memcpy(out, a, offsetof(struct cq_action, data) + a->len);
    e->first_action = (e->first_action + 1) % CQ_NUM_ACTIONS;
    if (--e->num_actions == 0)
        e->first_action = 0; /* few actions touch few pages */
    return true;
}

void cq_action_send(struct cq_engine *e, const struct cq_peer *peer, const struct cq_route *route,
                    const uint8_t *msg, size_t len)
{
    struct cq_action *a = cq_action_push(e, CQ_ACTION_SEND, peer);
    a->route = *route;
    a->len = (uint16_t)len;
    memcpy(a->data, msg, len);
}

void cq_action_keepalive(struct cq_engine *e, const struct cq_peer *peer,
                         const struct cq_session *session, const struct cq_route *route)
{
    struct cq_action *a = cq_action_push(e, CQ_ACTION_SEND_CONTROL, peer);
    a->local_idx = session->local_idx;
    if (route != NULL)
        a->route = *route;
    struct cq_writer w = cq_writer_make(a->data, sizeof(a->data));
    cq_control_write_keepalive(&w);
    a->len = (uint16_t)w.written;
}

struct cq_event_record *cq_action_log(struct cq_engine *e, const struct cq_peer *peer,
                                      enum cq_event event)
{
    struct cq_action *a = cq_action_push(e, CQ_ACTION_LOG, peer);
    a->event.event = event;
    return &a->event;
}
