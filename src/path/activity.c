/*
 * What a worker notes about a peer and a keypair as records pass, and the events that follow from
 * it. A flag that keeps an event from coming twice is set only once the event is in the ring, so a
 * full ring delays it and loses nothing.
 */
#include "path/internal.h"

enum { NEED_SESSION_GAP_MS = 100, LANE0_QUIET_MS = 1000 };

static bool report(struct cq_path_worker *worker, enum cq_path_event_type type,
                   const struct cq_path_peer *peer, const struct cq_keypair *keypair, cq_time now)
{
    struct cq_path_event event = {
        .type = type,
        .peer = peer->number,
        .has_keypair = keypair != NULL,
        .local_idx = keypair != NULL ? keypair->local_idx : 0,
        .when = now,
    };
    return cq_event_push(worker, &event);
}

static void check_rotation(struct cq_path_worker *worker, struct cq_keypair *keypair, cq_time now)
{
    cq_time at = cq_relaxed_time(&keypair->rotate_at);

    if (now < at || at == CQ_TIME_NEVER)
        return;
    /* The control thread may have armed it again meanwhile; two workers report once. */
    if (!atomic_compare_exchange_strong_explicit(&keypair->rotate_at, &at, CQ_TIME_NEVER,
                                                 memory_order_relaxed, memory_order_relaxed))
        return;
    if (!report(worker, CQ_PATH_ROTATE_DUE, keypair->peer, keypair, now)) {
        cq_time never = CQ_TIME_NEVER;
        atomic_compare_exchange_strong_explicit(&keypair->rotate_at, &never, at,
                                                memory_order_relaxed, memory_order_relaxed);
    }
}

/* Notes when the condition began and reports it if that is armed. */
static void note_since(struct cq_path_worker *worker, enum cq_path_event_type type,
                       const struct cq_keypair *keypair, _Atomic cq_time *since,
                       _Atomic bool *armed, cq_time now)
{
    if (cq_relaxed_time(since) == CQ_TIME_NEVER)
        cq_set_time(since, now);
    if (!cq_flag(armed) || !atomic_exchange_explicit(armed, false, memory_order_relaxed))
        return;
    if (!report(worker, type, keypair->peer, keypair, now))
        cq_set_flag(armed, true);
}

/* The peer learns our address from lane 0 alone. */
static void note_lane(struct cq_path_worker *worker, struct cq_keypair *keypair, cq_time now)
{
    cq_time last = cq_relaxed_time(&keypair->lane0_used);

    if (worker->number == 0) {
        cq_set_time(&keypair->lane0_used, now);
        return;
    }
    if (last != CQ_TIME_NEVER && now - last < LANE0_QUIET_MS * CQ_NS_PER_MS)
        return;
    if (!atomic_compare_exchange_strong_explicit(&keypair->lane0_used, &last, now,
                                                 memory_order_relaxed, memory_order_relaxed))
        return;
    if (!report(worker, CQ_PATH_LANE0_QUIET, keypair->peer, keypair, now))
        cq_set_time(&keypair->lane0_used, last);
}

void cq_activity_sealed(struct cq_path_worker *worker, struct cq_keypair *keypair, bool data,
                        cq_time now)
{
    struct cq_path_peer *peer = keypair->peer;

    cq_set_time(&peer->last_sent, now);
    note_lane(worker, keypair, now);
    if (cq_relaxed_time(&peer->unreplied_since) != CQ_TIME_NEVER)
        cq_set_time(&peer->unreplied_since, CQ_TIME_NEVER);
    if (data) {
        if (!cq_flag(&keypair->carried_data))
            cq_set_flag(&keypair->carried_data, true);
        check_rotation(worker, keypair, now);
    }
    /* A record on keys under which nothing came back yet is a confirmation: it wants an answer like
     * DATA. */
    if (data || cq_relaxed_time(&keypair->first_opened) == CQ_TIME_NEVER)
        note_since(worker, CQ_PATH_UNANSWERED, keypair, &peer->unanswered_since,
                   &peer->unanswered_armed, now);
    cq_activity_limits(worker, keypair, now);
}

void cq_activity_opened(struct cq_path_worker *worker, struct cq_keypair *keypair, bool data,
                        bool answers, cq_time now)
{
    struct cq_path_peer *peer = keypair->peer;

    if (cq_relaxed_time(&keypair->first_opened) == CQ_TIME_NEVER)
        cq_set_time(&keypair->first_opened, now);
    cq_set_time(&keypair->last_opened, now);
    cq_set_time(&peer->last_received, now);
    if (answers && cq_relaxed_time(&peer->unanswered_since) != CQ_TIME_NEVER)
        cq_set_time(&peer->unanswered_since, CQ_TIME_NEVER);
    if (!data)
        return;
    if (!cq_flag(&keypair->carried_data))
        cq_set_flag(&keypair->carried_data, true);
    check_rotation(worker, keypair, now);
    note_since(worker, CQ_PATH_UNREPLIED, keypair, &peer->unreplied_since, &peer->unreplied_armed,
               now);
}

static void report_limit(struct cq_path_worker *worker, struct cq_keypair *keypair, bool exhausted,
                         _Atomic bool *reported, cq_time now)
{
    struct cq_path_event event = {
        .type = CQ_PATH_LIMIT,
        .peer = keypair->peer->number,
        .has_keypair = true,
        .local_idx = keypair->local_idx,
        .exhausted = exhausted,
        .when = now,
    };

    if (cq_flag(reported) || atomic_exchange_explicit(reported, true, memory_order_relaxed))
        return;
    if (!cq_event_push(worker, &event))
        cq_set_flag(reported, false);
}

void cq_activity_limits(struct cq_path_worker *worker, struct cq_keypair *keypair, cq_time now)
{
    uint64_t failed = cq_relaxed(&keypair->failed_tags);

    if (cq_keypair_is_half_used(keypair))
        report_limit(worker, keypair, false, &keypair->half_reported, now);
    if (cq_flag(&keypair->exhausted))
        report_limit(worker, keypair, true, &keypair->exhausted_reported, now);
    if (failed >= CQ_RECORD_MAX_FAILED_TAGS / 2)
        report_limit(worker, keypair, false, &keypair->tags_half_reported, now);
    if (failed >= CQ_RECORD_MAX_FAILED_TAGS)
        report_limit(worker, keypair, true, &keypair->tags_reported, now);
}

void cq_activity_large(struct cq_path_worker *worker, struct cq_keypair *keypair, cq_time now)
{
    struct cq_path_peer *peer = keypair->peer;

    if (!cq_flag(&peer->large_armed) ||
        !atomic_exchange_explicit(&peer->large_armed, false, memory_order_relaxed))
        return;
    if (!report(worker, CQ_PATH_LARGE, peer, keypair, now))
        cq_set_flag(&peer->large_armed, true);
}

void cq_activity_need_session(struct cq_path_worker *worker, struct cq_path_peer *peer, cq_time now)
{
    cq_time last = cq_relaxed_time(&peer->need_reported);

    if (last != CQ_TIME_NEVER && now - last < NEED_SESSION_GAP_MS * CQ_NS_PER_MS)
        return;
    if (report(worker, CQ_PATH_NEED_SESSION, peer, NULL, now))
        cq_set_time(&peer->need_reported, now);
}
