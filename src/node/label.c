#include "node/label.h"

#include "base/log.h"

#include <stdio.h>

char *cq_label_peer(const struct cq_conf_peer *peer, char out[CQ_LABEL_MAX])
{
    char id[CQ_KEY32_TEXT_LEN + 1], quoted[4 * CQ_CONF_NAME_MAX + 3];

    cq_base64_encode(peer->id, CQ_PEER_ID_LEN, id);
    if (peer->name[0] == '\0')
        snprintf(out, CQ_LABEL_MAX, "peer=%s", id);
    else
        snprintf(out, CQ_LABEL_MAX, "peer=%s name=%s", id,
                 cq_log_quote(peer->name, quoted, sizeof(quoted)));
    return out;
}
