#include "node/transact.h"

#include "node/difftext.h"
#include "node/handover.h"
#include "node/reconfigure.h"
#include "os/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const cq_time patience = 10 * CQ_NS_PER_S;

/* Until the node has done what it was asked for, or refuses it. */
static bool await_node(struct cq_transact *t, struct cq_failure *failure)
{
    cq_time deadline = cq_clock_now() + patience;
    struct cq_channel_message message;

    for (;;) {
        struct pollfd p = {.fd = t->node, .events = POLLIN};
        enum cq_err err = cq_channel_receive(t->node, &message);
        if (err == CQ_OK && message.type == CQ_CHANNEL_DONE)
            return true;
        if (err == CQ_OK && message.type == CQ_CHANNEL_REFUSED)
            return cq_fail(failure, "%.*s", (int)message.len, (const char *)message.data);
        if (err == CQ_OK) {
            t->serve(t->ctx, &message);
            continue;
        }
        cq_time left = deadline - cq_clock_now();
        if (err != CQ_ERR_AGAIN)
            return cq_fail(failure, "the node is gone");
        if (left <= 0)
            return cq_fail(failure, "the node does not answer");
        (void)poll(&p, 1, (int)(left / CQ_NS_PER_MS) + 1);
    }
}

static bool prepare_node(struct cq_transact *t, struct cq_failure *failure)
{
    struct stat st;
    uint64_t len;

    if (fstat(t->handover, &st) != 0)
        return cq_fail(failure, "fstat: %s", strerror(errno));
    len = (uint64_t)st.st_size;
    if (cq_channel_send_fds(t->node, CQ_CHANNEL_PREPARE, &len, sizeof(len), &t->handover, 1) !=
        CQ_OK)
        return cq_fail(failure, "the node cannot be asked now");
    return await_node(t, failure);
}

/* What the node alone can tell: which secrets are others. */
static bool read_marks(struct cq_transact *t, struct cq_failure *failure)
{
    size_t num = t->after->num_peers + 1;
    uint8_t *marks = malloc(num);
    bool good = marks != NULL && cq_handover_read_answer(t->handover, marks, num) == CQ_OK;

    for (size_t i = 0; good && i < t->diff.num_peers; i++) {
        struct cq_diff_peer *d = &t->diff.peers[i];
        if (d->before == CQ_DIFF_NONE || d->after == CQ_DIFF_NONE)
            continue;
        d->what |= (marks[d->after] & CQ_HANDOVER_PSK) != 0 ? CQ_DIFF_PSK : 0u;
        d->what |= (marks[d->after] & CQ_HANDOVER_KEY) != 0 ? CQ_DIFF_KEY : 0u;
    }
    if (good && (marks[num - 1] & CQ_HANDOVER_IDENTITY) != 0)
        t->diff.interface |= CQ_DIFF_IDENTITY;
    free(marks);
    return good || cq_fail(failure, "cannot read the node's answer");
}

/* Whether the metrics server shows the same peers in the same order afterwards. */
static bool shows_the_same(const struct cq_transact *t)
{
    const unsigned hidden = CQ_DIFF_KEEPALIVE | CQ_DIFF_PSK | CQ_DIFF_FILES | CQ_DIFF_KEY;

    for (size_t i = 0; i < t->diff.num_peers; i++)
        if ((t->diff.peers[i].what & ~hidden) != 0 ||
            t->diff.peers[i].before != t->diff.peers[i].after)
            return false;
    return true;
}

static bool commit_node(struct cq_transact *t, const struct cq_metrics_renewal *renewal,
                        struct cq_failure *failure)
{
    struct cq_reconfigure_commit what = {.fwmark = t->network->mark,
                                         .new_metrics = renewal->is_there,
                                         .metrics_len = renewal->snapshot.len};
    const int fds[] = {renewal->node_end, renewal->snapshot.fd};

    if (cq_channel_send_fds(t->node, CQ_CHANNEL_COMMIT, &what, sizeof(what), fds,
                            renewal->is_there ? 2 : 0) != CQ_OK)
        return cq_fail(failure, "the node cannot be told now");
    return await_node(t, failure);
}

static bool apply(struct cq_transact *t, struct cq_network_change *net, struct cq_failure *failure)
{
    struct cq_metrics_renewal renewal = {.is_there = false};

    if (!cq_network_change_begin(net, failure))
        return false;
    bool good = (shows_the_same(t) || cq_metrics_renew(&renewal, t->metrics, t->after, failure)) &&
                commit_node(t, &renewal, failure);
    if (good) {
        cq_network_change_finish(net);
        cq_metrics_switch(t->metrics, &renewal, cq_clock_now());
        t->changed = true;
    } else {
        cq_network_change_abort(net);
    }
    cq_metrics_renewal_close(&renewal);
    return good;
}

bool cq_transact_run(struct cq_transact *t, struct cq_failure *failure)
{
    struct cq_network_change net = {.network = NULL};
    bool good =
        cq_network_change_plan(&net, t->network, t->after, failure) && prepare_node(t, failure);
    bool prepared = good;

    if (good && cq_diff_make(&t->diff, t->before, t->after) != CQ_OK)
        good = cq_fail(failure, "out of memory");
    good = good && read_marks(t, failure);
    if (good) {
        cq_difftext_print(t->text, &t->diff, t->before, t->after);
        cq_network_change_print(t->text, &net);
    }
    bool wanted = good && !t->dry_run && !cq_diff_is_empty(&t->diff);
    if (wanted)
        good = apply(t, &net, failure);
    if (prepared && !wanted)
        (void)!cq_channel_send(t->node, CQ_CHANNEL_ABORT, 0, NULL, NULL, 0);
    cq_network_change_wipe(&net);
    return good;
}

void cq_transact_end(struct cq_transact *t)
{
    cq_diff_free(&t->diff);
}
