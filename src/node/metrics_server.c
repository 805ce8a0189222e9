#include "node/metrics_server.h"

#include "base/log.h"
#include "base/mem.h"
#include "conf/control.h"
#include "node/channel.h"
#include "node/logging.h"
#include "node/metrics.h"
#include "node/metrics_http.h"
#include "node/snapshot.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/process.h"
#include "os/sandbox.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

struct server {
    const char *interface;
    int channel;
    struct cq_metrics_start start;
    struct cq_snapshot snapshot;
    struct cq_snapshot_node node;
    struct cq_peer_status *peers;
    struct cq_procinfo usage[CQ_METRICS_PROCESSES];
    struct cq_metrics_labels labels;
};

static const cq_time patience_at_start = 5 * CQ_NS_PER_S;
static const cq_time patience_with_node = CQ_NS_PER_S;
static const cq_time patience_with_monitor = 100 * CQ_NS_PER_MS;

_Noreturn static void give_up(const struct server *s, const char *reason)
{
    cq_log(CQ_EVENT_METRICS_FAILED, cq_field_text("interface", s->interface),
           cq_field_text("reason", reason));
    cq_logging_end(s->interface);
    _exit(1);
}

/* The next message of that type within the time; others are of no interest any more. False: none
 * came. Where the other side is gone, so are we. */
static bool await_message(int fd, enum cq_channel_type type, struct cq_channel_message *out,
                          cq_time deadline)
{
    for (;;) {
        enum cq_err err = cq_channel_receive(fd, out);
        if (err == CQ_OK && out->type == type)
            return true;
        if (err == CQ_ERR_EXPIRED)
            _exit(0);
        if (err == CQ_OK || err == CQ_ERR_INVALID)
            continue;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        cq_time left = deadline - cq_clock_now();
        if (left <= 0)
            return false;
        (void)poll(&p, 1, (int)(left / CQ_NS_PER_MS) + 1);
    }
}

static void drain(int fd)
{
    struct cq_channel_message message;

    while (cq_channel_receive(fd, &message) == CQ_OK)
        continue;
}

/* Asks the node for its present state. */
static bool ask_node(struct server *s)
{
    struct cq_channel_message message;
    cq_time deadline = cq_clock_now() + patience_with_node;
    uint64_t version;

    drain(s->start.source); /* what one before us asked for, or we in vain */
    if (cq_channel_send(s->start.source, CQ_CHANNEL_SNAPSHOT, 0, NULL, NULL, 0) != CQ_OK)
        return false;
    while (await_message(s->start.source, CQ_CHANNEL_SNAPSHOT, &message, deadline)) {
        if (message.len != sizeof(version))
            continue;
        memcpy(&version, message.data, sizeof(version));
        if (cq_snapshot_read(&s->snapshot, version, &s->node, s->peers) == CQ_OK)
            return true;
    }
    return false;
}

/* Asks the monitor what the processes use; what it does not say in time is left out. */
static void ask_monitor(struct server *s)
{
    struct cq_channel_message message;

    memset(s->usage, 0, sizeof(s->usage));
    drain(s->channel);
    if (cq_channel_send(s->channel, CQ_CHANNEL_USAGE, 0, NULL, NULL, 0) == CQ_OK &&
        await_message(s->channel, CQ_CHANNEL_USAGE, &message,
                      cq_clock_now() + patience_with_monitor) &&
        message.len == sizeof(s->usage))
        memcpy(s->usage, message.data, sizeof(s->usage));
}

static bool look(void *ctx, struct cq_metrics_view *out, bool with_usage)
{
    struct server *s = ctx;

    if (!ask_node(s))
        return false;
    if (with_usage)
        ask_monitor(s);
    *out = (struct cq_metrics_view){
        .interface = cq_snapshot_interface(&s->snapshot),
        .ready = cq_snapshot_is_ready(&s->snapshot),
        .node = &s->node,
        .num_peers = s->snapshot.num_peers,
        .infos = s->snapshot.infos,
        .prefixes = s->snapshot.prefixes,
        .texts = s->snapshot.texts,
        .peers = s->peers,
        .max_peers = s->start.max_peers,
        .wireguard = s->start.wireguard,
        .labels = &s->labels,
    };
    memcpy(out->usage, s->usage, sizeof(out->usage));
    return true;
}

/* What is opened, read or looked up for the first time later on would be out of reach then. */
static void prepare(struct server *s)
{
    uint32_t seed = 0;

    if (cq_metrics_http_load() != CQ_OK)
        give_up(s, "libmicrohttpd cannot be loaded");
    if (cq_snapshot_open(&s->snapshot, s->start.memory, 0, false) != CQ_OK)
        give_up(s, "the node's memory cannot be mapped");
    s->peers = calloc(s->snapshot.num_peers + (size_t)1, sizeof(*s->peers));
    if (s->peers == NULL)
        give_up(s, "out of memory");
    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed) || seed == 0)
        seed = 1;
    cq_control_seed(seed);
    tzset();
}

static void confine(const struct server *s)
{
    if (cq_sandbox_chroot(cq_file_runtime_dir()) != CQ_OK)
        give_up(s, "the root directory cannot be changed");
    if (cq_sandbox_drop(&s->start.user, false) != CQ_OK)
        give_up(s, "privileges cannot be given up");
    if (cq_sandbox_hide() != CQ_OK)
        give_up(s, "core dumps cannot be switched off");
    if (cq_sandbox_filter_server() != CQ_OK)
        give_up(s, "the system-call filter cannot be installed");
}

static int milliseconds_until(cq_time when, cq_time now)
{
    if (when == CQ_TIME_NEVER)
        return -1;
    return when <= now ? 0 : (int)((cq_time_min(when - now, CQ_NS_PER_S) / CQ_NS_PER_MS) + 1);
}

_Noreturn static void serve(struct server *s)
{
    struct cq_metrics_http *http;
    struct cq_metrics_http_config config = {.listener = s->start.listener,
                                            .bound = s->start.addr,
                                            .token = s->start.token,
                                            .look = look,
                                            .ctx = s};

    if (cq_metrics_http_new(&http, &config) != CQ_OK)
        give_up(s, "the server cannot be set up");
    for (;;) {
        cq_time now = cq_clock_now();
        struct pollfd p[2] = {{.fd = cq_metrics_http_fd(http), .events = POLLIN},
                              {.fd = s->channel, .events = POLLIN}};
        cq_time next = cq_time_min(cq_metrics_http_next(http, now), cq_logging_next_expiry(now));
        (void)poll(p, 2, milliseconds_until(next, now));
        cq_logging_handle_expiry(s->interface);
        if (p[1].revents != 0) {
            struct cq_channel_message message;
            if (cq_channel_receive(s->channel, &message) == CQ_ERR_EXPIRED)
                _exit(0);
        }
        cq_metrics_http_run(http, cq_clock_now());
    }
}

void cq_metrics_server_run(const char *interface, int channel)
{
    static struct server s; /* large */
    struct cq_channel_message message;

    cq_process_set_name(CQ_METRICS_SERVER_NAME);
    /* The monitor decides when it ends, also where a signal goes to all processes. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    s.interface = interface;
    s.channel = channel;
    s.snapshot.fd = -1;
    if (!await_message(channel, CQ_CHANNEL_SERVER_START, &message,
                       cq_clock_now() + patience_at_start) ||
        message.len != sizeof(s.start))
        give_up(&s, "no start message came");
    memcpy(&s.start, message.data, sizeof(s.start));
    cq_wipe(&message, sizeof(message));
    cq_logging_use(&s.start.logging);
    prepare(&s);
    confine(&s);
    cq_log(CQ_EVENT_METRICS_STARTED, cq_field_text("interface", interface));
    serve(&s);
}
