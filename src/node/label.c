#include "node/label.h"

#include <stddef.h>

struct cq_label cq_label_make(const struct cq_conf_peer *peer)
{
    struct cq_label label = {.name = NULL};

    if (peer == NULL)
        return label;
    cq_base64_encode(peer->id, CQ_PEER_ID_LEN, label.id);
    if (peer->name[0] != '\0')
        label.name = peer->name;
    return label;
}

struct cq_field cq_label_peer(const struct cq_label *label)
{
    return cq_field_text("peer", label->id[0] != '\0' ? label->id : NULL);
}

struct cq_field cq_label_name(const struct cq_label *label)
{
    return cq_field_text("name", label->name);
}
