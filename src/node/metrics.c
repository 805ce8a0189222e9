#include "node/metrics.h"

#include "base/log.h"
#include "base/mem.h"
#include "conf/metrics.h"
#include "node/channel.h"
#include "node/launch.h"
#include "node/metrics_render.h"
#include "node/metrics_server.h"
#include "os/clock.h"
#include "os/process.h"
#include "os/tcp.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const cq_time first_backoff = CQ_NS_PER_S;
static const cq_time longest_backoff = 60 * CQ_NS_PER_S;
static const cq_time patience_at_end = CQ_NS_PER_S;

_Static_assert(sizeof(struct cq_metrics_start) <= CQ_CHANNEL_DATA_MAX, "one message");
_Static_assert(sizeof(struct cq_procinfo[CQ_METRICS_PROCESSES]) <= CQ_CHANNEL_DATA_MAX,
               "one message");

void cq_metrics_init(struct cq_metrics *metrics)
{
    *metrics = (struct cq_metrics){.snapshot.fd = -1,
                                   .node_end = -1,
                                   .channel = -1,
                                   .start = {.listener = -1, .source = -1, .memory = -1},
                                   .again_at = CQ_TIME_NEVER};
}

static bool listen_at(struct cq_metrics *metrics, const struct cq_conf *conf,
                      struct cq_failure *failure)
{
    char text[CQ_ADDR_TEXT_MAX];
    const struct cq_addr *addr = &conf->metrics.addr;
    enum cq_err err = cq_tcp_listen(addr, &metrics->start.listener);

    metrics->addr = *addr;
    if (err == CQ_OK)
        return true;
    return cq_fail(failure, "cannot serve metrics at %s: %s", cq_addr_format(addr, text),
                   err == CQ_ERR_EXISTS ? "the port is in use" : strerror(errno));
}

/* The first port of the range that is free. */
static bool search_port(struct cq_metrics *metrics)
{
    struct cq_addr addr = {.ip = {CQ_FAMILY_IPV4, {127, 0, 0, 1}}};
    enum cq_err err = CQ_ERR_EXISTS;

    for (int i = 0; err == CQ_ERR_EXISTS && i < CQ_CONF_METRICS_PORTS; i++) {
        addr.port = (uint16_t)(CQ_CONF_METRICS_PORT + i);
        err = cq_tcp_listen(&addr, &metrics->start.listener);
    }
    if (err == CQ_OK) {
        metrics->addr = addr;
        return true;
    }
    cq_log(CQ_EVENT_NO_METRICS, cq_field_text("interface", metrics->interface),
           cq_field_text("reason", err == CQ_ERR_EXISTS
                                       ? "no port of 127.0.0.1 from 9464 to 9473 is free"
                                       : strerror(errno)));
    return false;
}

static bool make_shared(struct cq_metrics *metrics, const struct cq_conf *conf,
                        struct cq_failure *failure)
{
    int ends[2];

    if (cq_snapshot_make(&metrics->snapshot, conf) != CQ_OK ||
        cq_snapshot_reader(&metrics->snapshot, &metrics->start.memory) != CQ_OK)
        return cq_fail(failure, "cannot make memory for metrics: %s", strerror(errno));
    if (cq_channel_open(ends) != CQ_OK)
        return cq_fail(failure, "cannot make a socket pair: %s", strerror(errno));
    metrics->node_end = ends[0];
    metrics->start.source = ends[1];
    return true;
}

bool cq_metrics_open(struct cq_metrics *metrics, const struct cq_conf *conf,
                     struct cq_failure *failure)
{
    metrics->interface = conf->interface;
    switch (conf->metrics.mode) {
    case CQ_CONF_METRICS_OFF:
        return true;
    case CQ_CONF_METRICS_SEARCH:
        if (!search_port(metrics))
            return true;
        break;
    case CQ_CONF_METRICS_FIXED:
        if (!listen_at(metrics, conf, failure))
            return false;
        break;
    }
    metrics->start.addr = metrics->addr;
    metrics->start.max_peers = conf->metrics.max_peers;
    metrics->start.wireguard = !conf->metrics.wireguard_off;
    if (conf->metrics.token != NULL)
        snprintf(metrics->start.token, sizeof(metrics->start.token), "%s", conf->metrics.token);
    return make_shared(metrics, conf, failure);
}

static void plan_again(struct cq_metrics *metrics, cq_time now)
{
    bool stable = metrics->started != 0 && now - metrics->started > longest_backoff;

    metrics->backoff = stable || metrics->backoff == 0
                           ? first_backoff
                           : cq_time_min(2 * metrics->backoff, longest_backoff);
    metrics->again_at = now + metrics->backoff;
}

/* What it is told lies in its end of the channel before it is executed. */
_Noreturn static void become_server(const struct cq_metrics *metrics, const int ends[2])
{
    struct cq_metrics_start start = metrics->start;
    char program[] = CQ_METRICS_SERVER_NAME, name[CQ_CONF_INTERFACE_MAX + 1], channel[16];
    char *argv[] = {program, name, channel, NULL};

    cq_notify_redirect(metrics->sink);
    cq_logging_find(&start.logging, metrics->sink);
    (void)!cq_channel_send(ends[0], CQ_CHANNEL_SERVER_START, 0, NULL, &start, sizeof(start));
    cq_wipe(start.token, sizeof(start.token));
    int fds[] = {ends[1], start.listener, start.source, start.memory, start.logging.target.fd};
    snprintf(name, sizeof(name), "%s", metrics->interface);
    snprintf(channel, sizeof(channel), "%d", ends[1]);
    int error = cq_launch_become(argv, fds, sizeof(fds) / sizeof(fds[0]));
    cq_log(CQ_EVENT_METRICS_FAILED, cq_field_text("interface", name),
           cq_field_text("reason", strerror(error)));
    _exit(1);
}

static void launch(struct cq_metrics *metrics, cq_time now)
{
    int ends[2];

    metrics->again_at = CQ_TIME_NEVER;
    metrics->started = now;
    if (cq_channel_open(ends) != CQ_OK) {
        plan_again(metrics, now);
        return;
    }
    metrics->pid = fork();
    if (metrics->pid == 0)
        become_server(metrics, ends);
    close(ends[1]);
    if (metrics->pid > 0) {
        metrics->channel = ends[0];
        return;
    }
    metrics->pid = 0;
    close(ends[0]);
    plan_again(metrics, now);
}

void cq_metrics_start(struct cq_metrics *metrics, const struct cq_sandbox_user *user,
                      enum cq_notify_sink sink)
{
    if (metrics->start.listener < 0)
        return;
    if (metrics->node_end >= 0)
        close(metrics->node_end);
    metrics->node_end = -1;
    metrics->start.user = *user;
    metrics->sink = sink;
    launch(metrics, cq_clock_now());
}

void cq_metrics_set_ready(struct cq_metrics *metrics, bool ready)
{
    cq_snapshot_set_ready(&metrics->snapshot, ready);
}

void cq_metrics_serve(struct cq_metrics *metrics, pid_t node)
{
    struct cq_channel_message message;
    struct cq_procinfo usage[CQ_METRICS_PROCESSES];
    enum cq_err err = cq_channel_receive(metrics->channel, &message);

    if (err == CQ_ERR_EXPIRED) {
        /* Its end itself is heard of in cq_metrics_reap. */
        close(metrics->channel);
        metrics->channel = -1;
    }
    if (err != CQ_OK || message.type != CQ_CHANNEL_USAGE)
        return;
    memset(usage, 0, sizeof(usage));
    (void)!cq_procinfo_read(node, &usage[CQ_METRICS_NODE]);
    (void)!cq_procinfo_read(metrics->pid, &usage[CQ_METRICS_SERVER]);
    (void)!cq_procinfo_read(getpid(), &usage[CQ_METRICS_MONITOR]);
    (void)!cq_channel_send(metrics->channel, CQ_CHANNEL_USAGE, 0, NULL, usage, sizeof(usage));
}

void cq_metrics_reap(struct cq_metrics *metrics, cq_time now)
{
    int status = 0;

    if (metrics->pid == 0 || waitpid(metrics->pid, &status, WNOHANG) != metrics->pid)
        return;
    metrics->pid = 0;
    if (metrics->channel >= 0)
        close(metrics->channel);
    metrics->channel = -1;
    plan_again(metrics, now);
    cq_log(CQ_EVENT_METRICS_DIED, cq_field_text("interface", metrics->interface),
           WIFSIGNALED(status) ? cq_field_int("signal", WTERMSIG(status))
                               : cq_field_int("status", WEXITSTATUS(status)),
           cq_field_int("again_in_s", metrics->backoff / CQ_NS_PER_S));
}

cq_time cq_metrics_next(const struct cq_metrics *metrics)
{
    return metrics->again_at;
}

void cq_metrics_update(struct cq_metrics *metrics, cq_time now)
{
    if (now >= metrics->again_at)
        launch(metrics, now);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void end_process(struct cq_metrics *metrics)
{
    int watch = -1;

    close_fd(&metrics->channel); /* asks it to end */
    if (metrics->pid == 0)
        return;
    if (cq_process_watch(metrics->pid, &watch) == CQ_OK) {
        if (!cq_process_wait_end(watch, patience_at_end))
            (void)!cq_process_signal(watch, SIGKILL);
        close(watch);
    } else {
        kill(metrics->pid, SIGKILL);
    }
    while (waitpid(metrics->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    metrics->pid = 0;
}

bool cq_metrics_renew(struct cq_metrics_renewal *out, const struct cq_metrics *metrics,
                      const struct cq_conf *conf, struct cq_failure *failure)
{
    int ends[2];

    *out =
        (struct cq_metrics_renewal){.snapshot.fd = -1, .node_end = -1, .source = -1, .memory = -1};
    if (metrics->start.listener < 0)
        return true;
    out->is_there = true;
    if (cq_snapshot_make(&out->snapshot, conf) != CQ_OK ||
        cq_snapshot_reader(&out->snapshot, &out->memory) != CQ_OK || cq_channel_open(ends) != CQ_OK)
        return cq_fail(failure, "cannot make memory for metrics: %s", strerror(errno));
    out->node_end = ends[0];
    out->source = ends[1];
    return true;
}

void cq_metrics_renewal_close(struct cq_metrics_renewal *renewal)
{
    if (!renewal->is_there)
        return;
    close_fd(&renewal->node_end);
    close_fd(&renewal->source);
    close_fd(&renewal->memory);
    cq_snapshot_close(&renewal->snapshot);
    renewal->is_there = false;
}

void cq_metrics_switch(struct cq_metrics *metrics, struct cq_metrics_renewal *renewal, cq_time now)
{
    if (!renewal->is_there)
        return;
    end_process(metrics);
    close_fd(&metrics->start.source);
    close_fd(&metrics->start.memory);
    cq_snapshot_close(&metrics->snapshot);
    metrics->snapshot = renewal->snapshot;
    metrics->start.source = renewal->source;
    metrics->start.memory = renewal->memory;
    close_fd(&renewal->node_end);
    *renewal = (struct cq_metrics_renewal){.is_there = false};
    cq_metrics_set_ready(metrics, true);
    launch(metrics, now);
}

void cq_metrics_end(struct cq_metrics *metrics)
{
    end_process(metrics);
    close_fd(&metrics->start.listener);
    close_fd(&metrics->start.source);
    close_fd(&metrics->start.memory);
    close_fd(&metrics->node_end);
    cq_snapshot_close(&metrics->snapshot);
    cq_wipe(metrics->start.token, sizeof(metrics->start.token));
    cq_metrics_init(metrics);
}
