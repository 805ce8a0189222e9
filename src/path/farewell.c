/*
 * The last record of a session that is closed: a CLOSE that the control thread seals itself, on
 * lane 0, when no worker can use the keypair any more. So the session stops at once for everything
 * else, its counters stay in order, and its keys are gone as soon as the record is made.
 */
#include "path/internal.h"

#include "proto/record.h"
#include "proto/wire.h"

#include <assert.h>
#include <string.h>

/* Where it goes: the address in use, or while that is not proven the one before it. */
static bool choose_route(const struct cq_path_peer *peer, struct cq_route *out)
{
    const struct cq_endpoint *e = cq_see(&peer->endpoint);

    if (e == NULL)
        return false;
    *out = e->config.validating ? e->config.previous : e->config.route;
    return out->remote.ip.family != CQ_FAMILY_NONE;
}

void cq_path_keypair_close(struct cq_path *path, struct cq_keypair *keypair, const uint8_t *entries,
                           size_t len, cq_time now)
{
    struct cq_route route;

    assert(len + CQ_RECORD_OVERHEAD <= CQ_PATH_FAREWELL_MAX);
    if (cq_keypair_may_send(keypair, now) && choose_route(keypair->peer, &route))
        keypair->farewell = cq_alloc(path->allocator, sizeof(*keypair->farewell));
    if (keypair->farewell != NULL) {
        keypair->farewell->path = path;
        keypair->farewell->datagram.route = route;
        keypair->farewell->entries_len = len;
        memcpy(keypair->farewell->datagram.data + CQ_RECORD_HEADER_LEN, entries, len);
    }
    cq_path_keypair_remove(path, keypair);
}

static bool seal(struct cq_keypair *keypair, struct cq_farewell *f)
{
    uint8_t *to = f->datagram.data;
    struct cq_record header = {CQ_MSG_CONTROL, 0, keypair->remote_idx, 0};

    if (!cq_keypair_reserve(keypair, 0, f->entries_len, &header.counter))
        return false;
    cq_record_write(to, &header);
    struct cq_aead_op op = {
        .ad = to,
        .ad_len = CQ_RECORD_HEADER_LEN,
        .in = to + CQ_RECORD_HEADER_LEN,
        .out = to + CQ_RECORD_HEADER_LEN,
        .len = f->entries_len,
        .tag = to + CQ_RECORD_HEADER_LEN + f->entries_len,
    };
    cq_record_nonce(op.nonce, keypair->send_iv, header.counter);
    f->datagram.len = f->entries_len + CQ_RECORD_OVERHEAD;
    return cq_aead_seal_batch(keypair->lanes[0].seal, &op, 1) == CQ_OK;
}

void cq_farewell_seal(struct cq_keypair *keypair)
{
    struct cq_farewell *f = keypair->farewell;
    struct cq_path *path = f->path;

    keypair->farewell = NULL;
    if (!seal(keypair, f)) {
        cq_free(path->allocator, f, sizeof(*f));
        return;
    }
    f->next = NULL;
    if (path->last_farewell != NULL)
        path->last_farewell->next = f;
    else
        path->first_farewell = f;
    path->last_farewell = f;
}

bool cq_path_next_farewell(struct cq_path *path, struct cq_path_farewell *out)
{
    struct cq_farewell *f = path->first_farewell;

    if (f == NULL)
        return false;
    *out = f->datagram;
    path->first_farewell = f->next;
    if (f->next == NULL)
        path->last_farewell = NULL;
    cq_free(path->allocator, f, sizeof(*f));
    return true;
}

void cq_farewell_wipe(struct cq_path *path)
{
    struct cq_path_farewell unused;

    while (cq_path_next_farewell(path, &unused))
        continue;
}
