#include "node/control.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/secret.h"
#include "crypto/crypto.h"
#include "node/channel.h"
#include "node/clients.h"
#include "node/logging.h"
#include "node/report.h"
#include "os/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/*
 * One turn of the loop:
 *
 *   1. wait for the worker, the monitor, clients, or the time (one timer for everything)
 *   2. handshake datagrams and path events of the worker -> engine -> actions
 *   3. messages of the monitor, clients
 *   4. what the engine has to do by the clock -> actions
 *   5. answers to clients that waited for 2 to 4, a piece of a snapshot for the metrics server; set
 *      the timer anew
 */

enum {
    MAX_EVENTS = 32,
    MAX_DATAGRAMS = 64, /* of one turn, so that clients and timers get theirs under load */
    MAX_PATH_EVENTS = 1024,
};

static const cq_time soon = CQ_NS_PER_MS;

/* Fill function of the engine's randomness. */
static int fill_random(void *ctx, void *buf, size_t len)
{
    (void)ctx;
    return (int)cq_crypto_random(buf, len);
}

/* ---- carrying actions out ---- */

/* For whoever asks why a peer does not answer. */
static void note_send_error(const struct cq_control *control, uint32_t peer, int error)
{
    cq_engine_note_send_error(control->engine, peer, cq_udp_fault(error), cq_clock_now());
}

static void send_datagram(const struct cq_control *control, const struct cq_action *action)
{
    const struct cq_udp *udp = &control->start.udps[0];
    struct cq_route route = action->route;

    if (cq_udp_send_one(udp, &route, action->data, action->len) == CQ_OK)
        return;
    int error = errno;
    if (route.local.family == CQ_FAMILY_NONE && route.ifindex == 0) {
        note_send_error(control, action->peer, error);
        return;
    }
    /* The address that the peer used is not ours any more: let the kernel choose. What cannot be
     * sent at all is lost, as on any network; the engine sends again. */
    route.local = (struct cq_ip){0};
    route.ifindex = 0;
    if (cq_udp_send_one(udp, &route, action->data, action->len) != CQ_OK)
        note_send_error(control, action->peer, errno);
}

static void tell_monitor(const struct cq_control *control, enum cq_channel_type type,
                         const struct cq_action *action)
{
    if (action->peer >= control->num_indices)
        return;
    uint32_t index = control->indices[action->peer];
    bool has_data = type == CQ_CHANNEL_STORE_KEY;
    enum cq_err err = cq_channel_send(control->start.channel, type, index, NULL,
                                      has_data ? action->data : NULL, has_data ? action->len : 0);
    if (err != CQ_OK)
        cq_log(CQ_EVENT_MONITOR_BUSY, cq_field_text("interface", control->conf->interface),
               cq_field_int("message", type), cq_field_text("reason", cq_err_text(err)));
}

/* Control records are sealed by the first worker; packets wait with each of them. False: a worker
 * cannot take it now. */
static bool command_workers(struct cq_control *control, const struct cq_action *action)
{
    unsigned end = action->type == CQ_ACTION_SEND_CONTROL ? 1 : control->num_workers;

    for (; control->next_commanded < end; control->next_commanded++) {
        enum cq_err err = cq_worker_command(control->workers[control->next_commanded], action);
        if (err == CQ_ERR_AGAIN)
            return false;
        if (err != CQ_OK)
            cq_log(CQ_EVENT_COMMAND_REFUSED, cq_field_text("interface", control->conf->interface),
                   cq_field_int("action", action->type), cq_field_text("reason", cq_err_text(err)));
    }
    control->next_commanded = 0;
    return true;
}

static bool carry_out(struct cq_control *control, const struct cq_action *action)
{
    switch (action->type) {
    case CQ_ACTION_SEND:
        send_datagram(control, action);
        break;
    case CQ_ACTION_SEND_CONTROL:
    case CQ_ACTION_SESSION_READY:
    case CQ_ACTION_DROP_STAGED:
        return command_workers(control, action);
    case CQ_ACTION_STORE_KEY:
        tell_monitor(control, CQ_CHANNEL_STORE_KEY, action);
        break;
    case CQ_ACTION_STORE_REPLIED:
        tell_monitor(control, CQ_CHANNEL_STORE_REPLIED, action);
        break;
    case CQ_ACTION_RESOLVE:
        tell_monitor(control, CQ_CHANNEL_RESOLVE, action);
        break;
    case CQ_ACTION_LOG:
        cq_source_note(&control->source, action);
        cq_revive_note(&control->revive, action->event.event, cq_clock_now());
        cq_report_event(control, action);
        break;
    }
    return true;
}

/* Carries out what the engine wants. False: a worker is behind; the rest waits. */
static bool act(struct cq_control *control)
{
    while (control->is_blocked || cq_engine_next_action(control->engine, &control->blocked)) {
        control->is_blocked = !carry_out(control, &control->blocked);
        if (control->is_blocked)
            return false;
    }
    return true;
}

void cq_control_act(struct cq_control *control)
{
    (void)act(control);
}

/* Sessions that were closed take their leave, as soon as the worker has let go of them. */
static bool say_farewell(struct cq_control *control)
{
    bool waiting = cq_path_reclaim(control->path);
    struct cq_path_farewell farewell;

    while (cq_path_next_farewell(control->path, &farewell)) {
        struct cq_route *route = &farewell.route;
        if (cq_udp_send_one(&control->start.udps[0], route, farewell.data, farewell.len) == CQ_OK)
            continue;
        route->local = (struct cq_ip){0}; /* it may not be ours any more */
        route->ifindex = 0;
        (void)!cq_udp_send_one(&control->start.udps[0], route, farewell.data, farewell.len);
    }
    return waiting;
}

/* ---- what comes in ---- */

static void tell_fallbacks(const struct cq_control *control, struct cq_worker *worker)
{
    struct cq_worker_fallback fallback;

    while (cq_worker_next_fallback(worker, &fallback))
        cq_report_fallback(control, &fallback);
}

/* What the workers want noticed besides datagrams and events. */
static void acknowledge_workers(struct cq_control *control, cq_time now)
{
    uint64_t overflows = 0;

    for (unsigned i = 0; i < control->num_workers; i++) {
        struct cq_worker *worker = control->workers[i];
        cq_worker_acknowledge(worker);
        tell_fallbacks(control, worker);
        overflows += cq_counter_get(&cq_worker_counters(worker)->drops[CQ_DROP_QUEUE_FULL]);
    }
    if (overflows != control->overflows) {
        control->overflows = overflows;
        cq_engine_note_overload(control->engine, now);
    }
}

/* The worker whose datagram comes next, in turns; NULL: none has one. */
static struct cq_worker *find_datagram(struct cq_control *control,
                                       const struct cq_worker_datagram **out)
{
    for (unsigned i = 0; i < control->num_workers; i++) {
        struct cq_worker *worker = control->workers[control->next_worker];
        control->next_worker = (control->next_worker + 1) % control->num_workers;
        *out = cq_worker_next_datagram(worker);
        if (*out != NULL)
            return worker;
    }
    return NULL;
}

/* Gives the engine what the workers have. False: there may be more. */
static bool take_from_workers(struct cq_control *control, cq_time *now)
{
    const struct cq_worker_datagram *d;
    struct cq_path_event event;

    for (int i = 0; i < MAX_PATH_EVENTS; i++) {
        if (!act(control) || !cq_path_next_event(control->path, &event))
            break;
        cq_engine_path_event(control->engine, &event, *now);
        control->worked = true;
    }
    for (int i = 0; i < MAX_DATAGRAMS; i++) {
        if (!act(control))
            return false;
        struct cq_worker *worker = find_datagram(control, &d);
        if (worker == NULL)
            return true;
        *now = cq_clock_now(); /* a handshake takes time, and says how much */
        cq_engine_receive(control->engine, &d->route, d->data, d->len, *now);
        cq_worker_pop_datagram(worker);
        control->worked = true;
    }
    return false;
}

/* The machine was cloned: our twin has the same sessions, and would draw the same random numbers.
 */
static void forget(struct cq_control *control, cq_time now)
{
    enum cq_err err = cq_crypto_reseed();

    cq_engine_wipe(control->engine, now);
    if (err != CQ_OK)
        control->ending = true; /* without a session left, nothing is sent any more */
}

static void take_from_monitor(struct cq_control *control, cq_time now)
{
    struct cq_channel_message message;
    int fds[CQ_CHANNEL_MAX_FDS];
    enum cq_err err;

    while ((err = cq_channel_receive_fds(control->start.channel, &message, fds)) == CQ_OK) {
        if (message.type == CQ_CHANNEL_PREPARE || message.type == CQ_CHANNEL_COMMIT ||
            message.type == CQ_CHANNEL_ABORT)
            cq_reconfigure_serve(control, &message, fds, now);
        else if (message.type == CQ_CHANNEL_SHUTDOWN)
            control->ending = true;
        else if (message.type == CQ_CHANNEL_RESOLVED && message.peer < control->conf->num_peers)
            cq_engine_set_endpoint(control->engine, control->numbers[message.peer], &message.addr,
                                   now);
        else if (message.type == CQ_CHANNEL_RECENT)
            cq_revive_take(&control->revive, control->engine, &message, now);
        else if (message.type == CQ_CHANNEL_FORGET)
            forget(control, now);
        else if (message.type == CQ_CHANNEL_EVENT && message.len <= sizeof(message.data))
            cq_clients_tell(control->clients, (enum cq_event)message.peer,
                            (const char *)message.data, message.len);
        if (!act(control))
            return;
    }
    if (err != CQ_ERR_AGAIN)
        control->ending = true; /* the monitor is gone: its keeper cleans up, we only have to end */
}

static void handle_expiry(struct cq_control *control, cq_time now)
{
    if (!act(control) || cq_engine_next_expiry(control->engine) > now)
        return;
    cq_engine_handle_expiry(control->engine, now);
    control->worked = true;
    (void)!act(control);
}

/* ---- the loop ---- */

static enum cq_err watch(const struct cq_control *control, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};

    if (epoll_ctl(control->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
        return CQ_OK;
    if (errno == EEXIST && epoll_ctl(control->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
        return CQ_OK;
    return CQ_ERR_IO;
}

enum cq_err cq_control_watch(struct cq_control *control, int fd, enum cq_watch what)
{
    static const uint32_t events[] = {
        [CQ_WATCH_END] = 0, [CQ_WATCH_READ] = EPOLLIN, [CQ_WATCH_WRITE] = EPOLLOUT};

    return watch(control, fd, events[what]);
}

static void set_timer(struct cq_control *control, bool hurry, cq_time now)
{
    cq_time next = cq_engine_next_expiry(control->engine);

    next = cq_time_min(next, cq_clients_next_expiry(control->clients));
    next = cq_time_min(next, cq_revive_next_expiry(&control->revive));
    next = cq_time_min(next, cq_logging_next_expiry(now));
    if (say_farewell(control) || control->is_blocked)
        next = cq_time_min(next, now + soon);
    if (hurry || control->source.filling)
        next = now;
    cq_clock_timer_set(control->timer_fd, next);
}

static bool is_notify_fd(const struct cq_control *control, int fd)
{
    for (unsigned i = 0; i < control->num_workers; i++)
        if (fd == cq_worker_notify_fd(control->workers[i]))
            return true;
    return false;
}

static void turn(struct cq_control *control)
{
    struct epoll_event events[MAX_EVENTS];
    int num = epoll_wait(control->epoll_fd, events, MAX_EVENTS, -1);
    cq_time now = cq_clock_now();
    bool monitor = false, client = false;

    /* The timer and the workers need no look at who called: what they call for is done in every
     * turn. */
    acknowledge_workers(control, now);
    bool drained = take_from_workers(control, &now);
    for (int i = 0; i < num; i++) {
        int fd = events[i].data.fd;
        if (fd == control->start.channel)
            monitor = true;
        else if (fd == control->start.listener)
            cq_clients_accept(control->clients, fd, now);
        else if (fd == control->source.socket)
            cq_source_ready(&control->source);
        else if (fd != control->timer_fd && !is_notify_fd(control, fd))
            cq_clients_ready(control->clients, fd, now), client = true;
    }
    if (monitor)
        take_from_monitor(control, now);
    if (client)
        (void)!act(control);
    handle_expiry(control, now);
    cq_revive_update(&control->revive, control->engine, control->start.channel, now);
    (void)!act(control);
    cq_clients_update(control->clients, now);
    cq_logging_handle_expiry(control->conf->interface);
    (void)cq_source_continue(control, now);
    if (control->worked) {
        cq_wipe_stack();
        control->worked = false;
    }
    set_timer(control, !drained && !control->is_blocked, now);
}

/* Peers learn that we are gone; what a worker was given it still sends (cq_worker_stop). */
static void take_leave(struct cq_control *control)
{
    cq_time now = cq_clock_now();
    cq_time deadline = now + 200 * CQ_NS_PER_MS;

    cq_engine_shutdown(control->engine, now);
    while (!act(control) && cq_clock_now() < deadline)
        usleep(1000);
}

void cq_control_run(struct cq_control *control)
{
    set_timer(control, true, cq_clock_now());
    while (!control->ending)
        turn(control);
    take_leave(control);
}

/* ---- beginning and end ---- */

static enum cq_err add_peers(struct cq_control *control, const bool *replied, cq_time now)
{
    const struct cq_conf *conf = control->conf;

    for (size_t i = 0; i < conf->num_peers; i++) {
        const struct cq_conf_peer *p = &conf->peers[i];
        struct cq_peer_config config = {
            .key = p->public_key,
            .replied_before = replied[i],
            .persistent_keepalive = p->persistent_keepalive,
            .allowed_ips = p->allowed_ips,
            .num_allowed_ips = p->num_allowed_ips,
        };
        memcpy(config.id, p->id, sizeof(config.id));
        if (p->psk != NULL)
            memcpy(config.psk, p->psk, sizeof(config.psk));
        if (p->endpoint.is_numeric)
            config.endpoint = p->endpoint.addr;
        enum cq_err err = cq_engine_add_peer(control->engine, &config, now, &control->numbers[i]);
        cq_wipe(config.psk, sizeof(config.psk));
        if (err != CQ_OK)
            return err;
    }
    return CQ_OK;
}

void cq_control_index_peers(struct cq_control *control)
{
    for (uint32_t i = 0; i < control->num_indices; i++)
        control->indices[i] = UINT32_MAX;
    for (uint32_t i = 0; i < control->conf->num_peers; i++)
        if (control->numbers[i] < control->num_indices)
            control->indices[control->numbers[i]] = i;
}

/* Who is who, both ways round. */
static enum cq_err index_peers(struct cq_control *control)
{
    control->num_indices = cq_engine_peer_limit(control->engine);
    control->indices = calloc(control->num_indices + 1, sizeof(*control->indices));
    if (control->indices == NULL)
        return CQ_ERR_NOMEM;
    cq_control_index_peers(control);
    return CQ_OK;
}

void cq_control_fill_options(struct cq_engine_config *out, const struct cq_conf *conf)
{
    uint8_t preferred = conf->preferred_suite;

    if (preferred == 0)
        preferred = cq_crypto_has_aes() ? CQ_SUITE_AES_256_GCM : CQ_SUITE_CHACHA20_POLY1305;
    *out = (struct cq_engine_config){
        .rotate_secs = conf->rotate_secs,
        .suites = conf->suites,
        .preferred_suite = preferred,
        .yield_suite = conf->preferred_suite == 0,
        .answer_keys = conf->answer_keys_on || (conf->has_listen_port && !conf->answer_keys_off),
        .push_keys = !conf->push_keys_off,
    };
}

void cq_control_renew_source(struct cq_control *control, int socket, int memory, size_t len)
{
    struct cq_snapshot_counts counts = control->source.counts;

    cq_source_wipe(&control->source);
    if (cq_source_init(&control->source, socket, memory, len, control->conf->num_peers) != CQ_OK ||
        (socket >= 0 && watch(control, socket, EPOLLIN) != CQ_OK))
        cq_source_wipe(&control->source);
    control->source.counts = counts;
}

static enum cq_err make_engine(struct cq_control *control, const bool *replied)
{
    const struct cq_conf *conf = control->conf;
    struct cq_engine_config config;

    cq_control_fill_options(&config, conf);
    config.allocator = &cq_secret_allocator;
    config.random = (struct cq_random){.fill = fill_random};
    config.path = control->path;
    config.identity = control->identity;
    control->numbers = calloc(conf->num_peers + 1, sizeof(*control->numbers));
    if (control->numbers == NULL)
        return CQ_ERR_NOMEM;
    enum cq_err err = cq_engine_new(&control->engine, &config, control->started);
    if (err == CQ_OK)
        err = add_peers(control, replied, control->started);
    if (err == CQ_OK)
        err = index_peers(control);
    return err;
}

static enum cq_err make_path(struct cq_control *control)
{
    const struct cq_handover_start *start = &control->start;
    struct cq_path_config path = {
        .allocator = &cq_secret_allocator, .num_workers = start->num_workers, .mtu = start->mtu};
    enum cq_err err = cq_path_new(&control->path, &path);

    for (unsigned i = 0; err == CQ_OK && i < start->num_workers; i++) {
        struct cq_worker_config worker = {
            .path = control->path,
            .number = i,
            .tun = start->tuns[i],
            .udp = start->udps[i],
            .backlog_fd = start->backlog_fd,
            .no_gso = control->conf->tuning.udp_gso_off,
        };
        err = cq_worker_start(&control->workers[i], &worker);
        if (err == CQ_OK)
            control->num_workers++;
    }
    return err;
}

static enum cq_err make_loop(struct cq_control *control)
{
    control->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (control->epoll_fd < 0)
        return CQ_ERR_IO;
    enum cq_err err = cq_clock_timer(&control->timer_fd);
    if (err == CQ_OK)
        err = watch(control, control->timer_fd, EPOLLIN);
    for (unsigned i = 0; err == CQ_OK && i < control->num_workers; i++)
        err = watch(control, cq_worker_notify_fd(control->workers[i]), EPOLLIN);
    if (err == CQ_OK)
        err = watch(control, control->start.channel, EPOLLIN);
    if (err == CQ_OK && control->start.listener >= 0)
        err = watch(control, control->start.listener, EPOLLIN);
    if (err == CQ_OK && control->source.socket >= 0)
        err = watch(control, control->source.socket, EPOLLIN);
    if (err == CQ_OK)
        err = cq_clients_new(&control->clients, control);
    return err;
}

enum cq_err cq_control_init(struct cq_control *control, struct cq_conf *conf, const bool *replied,
                            struct cq_identity *identity, const struct cq_handover_start *start,
                            const char **reason)
{
    memset(control, 0, sizeof(*control));
    control->conf = conf;
    control->identity = identity;
    control->start = *start;
    control->epoll_fd = control->timer_fd = -1;
    control->started = cq_clock_now();
    cq_revive_init(&control->revive);
    *reason = "cannot map the memory for metrics";
    enum cq_err err = cq_source_init(&control->source, start->metrics_socket, start->metrics_memory,
                                     0, conf->num_peers);
    if (err == CQ_OK) {
        *reason = "cannot start the packet workers";
        err = make_path(control);
    }
    if (err == CQ_OK) {
        *reason = "cannot set up the peers";
        err = make_engine(control, replied);
    }
    if (err == CQ_OK) {
        *reason = "cannot watch descriptors";
        err = make_loop(control);
    }
    return err;
}

void cq_control_end(struct cq_control *control)
{
    if (control->conf == NULL)
        return;
    /* The first one last: it says the last word to the peers. */
    while (control->num_workers > 0)
        cq_worker_stop(control->workers[--control->num_workers]);
    cq_clients_free(control->clients);
    control->clients = NULL;
    cq_revive_free(&control->revive);
}
