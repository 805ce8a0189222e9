#include "node/monitor.h"

#include "base/base64.h"
#include "base/log.h"
#include "node/cache.h"
#include "node/change.h"
#include "node/channel.h"
#include "node/child.h"
#include "node/keeper.h"
#include "node/launch.h"
#include "node/lock.h"
#include "node/logging.h"
#include "node/metrics.h"
#include "node/names.h"
#include "node/network.h"
#include "node/recent.h"
#include "node/transact.h"
#include "node/undo.h"
#include "os/backlog.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/generation.h"
#include "os/notify.h"
#include "os/process.h"
#include "os/steer.h"
#include "os/unix.h"

#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

struct monitor {
    const struct cq_monitor_options *options;
    const struct cq_conf *conf; /* in use */
    struct cq_conf *owned;      /* the same where it has been changed; NULL: not yet */
    const char *name;           /* of the interface */
    struct cq_failure *failure;
    struct cq_lock lock;
    struct cq_undo undo;
    struct cq_keeper keeper;
    struct cq_netlink *nl;
    unsigned num_workers;
    int backlog_fd; /* os/backlog.h */
    struct cq_tun tuns[CQ_CONF_MAX_WORKERS];
    struct cq_udp udps[CQ_CONF_MAX_WORKERS];
    struct cq_network network;
    struct cq_sandbox_user user;
    struct cq_names names;
    struct cq_addr *early; /* per peer: addresses found before the node was there; NULL: none */
    int signal_fd, listener;
    int generation_fd; /* -1: the kernel does not tell */
    struct cq_launched node;
    struct cq_metrics metrics;
    struct cq_change change;
    struct cq_recent_list recent;   /* of the node, as far as it has come */
    char id[CQ_KEY32_TEXT_LEN + 1]; /* our peer ID */
    uint16_t mtu, port;
    bool has_names, has_sockets;
    bool has_device_line; /* the journal says where the interface ends */
    bool stopping;        /* a signal asked for the end */
};

static const cq_time patience_with_keeper = 10 * CQ_NS_PER_S;
static const cq_time patience_at_start = 20 * CQ_NS_PER_S;
static const cq_time patience_with_names = 5 * CQ_NS_PER_S;
static const cq_time patience_at_end = 3 * CQ_NS_PER_S;

/* ---- setting up, in this order ---- */

static bool take_name(struct monitor *m)
{
    pid_t holder;
    const char *dir = cq_file_runtime_dir();
    enum cq_err err = cq_file_make_dir(dir, 0755);

    if (err == CQ_ERR_PERM)
        return cq_fail(m->failure, "%s: others than root could write there", dir);
    if (err != CQ_OK)
        return cq_fail(m->failure, "%s: %s", dir, strerror(errno));
    err = cq_lock_take(&m->lock, m->name, patience_with_keeper, &holder);
    if (err == CQ_ERR_EXISTS && holder > 0)
        return cq_fail(m->failure, "%s is running already (process %ld)", m->name, (long)holder);
    if (err == CQ_ERR_EXISTS)
        return cq_fail(m->failure, "%s is being put back by an earlier run; try again later",
                       m->name);
    if (err != CQ_OK)
        return cq_fail(m->failure, "%s/%s.pid: %s", dir, m->name, strerror(errno));
    return true;
}

/* What a killed run left, and a new journal with its keeper. */
static bool start_journal(struct monitor *m)
{
    if (cq_undo_exists(m->name)) {
        unsigned failures = cq_undo_run(m->name, NULL, NULL);
        cq_log(CQ_EVENT_PUT_BACK, cq_field_text("interface", m->name),
               cq_field_int("failures", failures), cq_field_text("after", "kill"));
    }
    if (cq_undo_open(&m->undo, m->name) != CQ_OK)
        return cq_fail(m->failure, "cannot make the undo journal: %s", strerror(errno));
    if (cq_keeper_start(&m->keeper, m->name, &m->lock, m->options->sink) != CQ_OK)
        return cq_fail(m->failure, "cannot start the keeper: %s", strerror(errno));
    return true;
}

/* One per core up to a limit; on one or two cores one does both directions. */
static unsigned choose_num_workers(const struct cq_conf *conf)
{
    enum { ENOUGH = 4 };
    unsigned cpus = cq_process_num_cpus();

    if (conf->tuning.num_workers > 0)
        return conf->tuning.num_workers;
    if (cpus <= 2)
        return 1;
    return cpus < ENOUGH ? cpus : ENOUGH;
}

static struct cq_tun_options tun_options(const struct monitor *m)
{
    enum cq_conf_tun_offload wanted = m->conf->tuning.tun_offload;

    return (struct cq_tun_options){
        .name = m->name,
        .multi_queue = true,
        .lines = m->num_workers > 1 ? CQ_TUN_MAX_LINES / 2 : CQ_TUN_MAX_LINES,
        .no_vnet = wanted == CQ_CONF_TUN_OFFLOAD_OFF,
        .without = wanted == CQ_CONF_TUN_OFFLOAD_ON    ? 0
                   : wanted == CQ_CONF_TUN_OFFLOAD_TSO ? CQ_TUN_OFFLOAD_USO
                                                       : CQ_TUN_OFFLOAD_USO | CQ_TUN_OFFLOAD_TSO,
    };
}

/* Without the kernel's help each worker has one line, and flows wait behind each other. */
static void divide_queues(struct monitor *m)
{
    unsigned lines = m->tuns[0].num_lines;
    bool good = lines > 1;

    for (unsigned i = 0; i < m->num_workers; i++)
        good = good && m->tuns[i].num_lines == lines;
    if (good && cq_steer_attach(&m->tuns[0], m->num_workers, lines) != CQ_OK) {
        cq_log(CQ_EVENT_NO_STEERING, cq_field_text("interface", m->name),
               cq_field_text("reason", strerror(errno)));
        good = false;
    }
    for (unsigned i = 0; !good && i < m->num_workers; i++)
        cq_tun_close_others(&m->tuns[i]);
    if (good && cq_backlog_attach(&m->tuns[0], &m->backlog_fd) != CQ_OK)
        m->backlog_fd = -1;
}

static bool open_device(struct monitor *m)
{
    struct cq_tun_options options = tun_options(m);
    enum cq_err err = CQ_OK;

    if (if_nametoindex(m->name) != 0)
        return cq_fail(m->failure, "there is an interface %s already", m->name);
    for (unsigned i = 0; err == CQ_OK && i < m->num_workers; i++) {
        err = cq_tun_open(&m->tuns[i], &options);
        if (err != CQ_OK)
            m->tuns[i].fd = -1;
    }
    if (err == CQ_OK) {
        divide_queues(m);
        return true;
    }
    if (err == CQ_ERR_EXISTS)
        return cq_fail(m->failure, "there is an interface %s already", m->name);
    return cq_fail(m->failure, "cannot open /dev/net/tun: %s%s", strerror(errno),
                   errno == ENOENT || errno == ENODEV  ? " (is the tun module loaded?)"
                   : errno == EPERM || errno == EACCES ? " (root is needed)"
                                                       : "");
}

static bool run_hooks(struct monitor *m, const char *kind, const struct cq_conf_strings *hooks)
{
    for (size_t i = 0; i < hooks->num; i++)
        if (!cq_undo_run_hook(m->name, kind, hooks->items[i], m->signal_fd))
            return cq_fail(m->failure, "%s failed: %s", kind, hooks->items[i]);
    return true;
}

/* They run backwards from the journal, so they are written backwards. */
static bool record_hooks(struct monitor *m, const char *kind, const struct cq_conf_strings *hooks)
{
    for (size_t i = hooks->num; i-- > 0;)
        if (cq_undo_hook(&m->undo, kind, hooks->items[i]) != CQ_OK)
            return cq_fail(m->failure, "cannot write the undo journal: %s", strerror(errno));
    return true;
}

static bool open_sockets(struct monitor *m)
{
    uint16_t port = m->conf->has_listen_port ? m->conf->listen_port : 0;
    struct cq_udp_options options = {
        .port = port, .fwmark = m->network.mark, .no_gro = m->conf->tuning.udp_gro_off};
    enum cq_err err = cq_udp_open_group(m->udps, m->num_workers, &options);

    if (err == CQ_OK) {
        m->port = m->udps[0].port;
        m->has_sockets = true;
        return true;
    }
    if (err == CQ_ERR_EXISTS)
        return cq_fail(m->failure, "UDP port %u is in use", port);
    return cq_fail(m->failure, "cannot open UDP port %u: %s", port, strerror(errno));
}

static bool set_up_network(struct monitor *m)
{
    int lock = cq_network_lock();
    unsigned ifindex = if_nametoindex(m->name);
    bool good = true;

    m->mtu = m->conf->mtu != 0 ? m->conf->mtu : CQ_CONF_MTU_DEFAULT;
    if (cq_netlink_open(&m->nl) != CQ_OK)
        good = cq_fail(m->failure, "cannot open netlink: %s", strerror(errno));
    good = good && cq_network_plan(&m->network, m->conf, m->nl, ifindex, m->failure) &&
           open_sockets(m) && cq_network_set_up(&m->network, m->mtu, m->port, &m->undo, m->failure);
    if (lock >= 0)
        close(lock);
    return good;
}

static bool open_control_socket(struct monitor *m)
{
    char path[CQ_FILE_PATH_MAX];
    enum cq_err err = cq_file_runtime_path(path, m->name, ".sock");

    if (err == CQ_OK && cq_undo_file(&m->undo, path) != CQ_OK)
        return cq_fail(m->failure, "cannot write the undo journal: %s", strerror(errno));
    /* We hold the interface's lock, so a socket that is there belongs to nobody. */
    if (err == CQ_OK && cq_file_remove(path) != CQ_OK)
        return cq_fail(m->failure, "%s: %s", path, strerror(errno));
    if (err == CQ_OK)
        err = cq_unix_listen(path, "cryprq", &m->listener);
    if (err == CQ_OK)
        return true;
    m->listener = -1;
    return cq_fail(m->failure, "cannot make the control socket in %s: %s", cq_file_runtime_dir(),
                   err == CQ_ERR_RANGE ? "the path is too long" : strerror(errno));
}

static bool open_admin_socket(struct monitor *m)
{
    char path[CQ_FILE_PATH_MAX];

    m->change.interface = m->name;
    m->change.path = m->options->config_path;
    m->change.sink = m->options->sink;
    if (cq_file_runtime_path(path, m->name, ".admin") != CQ_OK)
        return cq_fail(m->failure, "the path of the control socket is too long");
    if (cq_undo_file(&m->undo, path) != CQ_OK)
        return cq_fail(m->failure, "cannot write the undo journal: %s", strerror(errno));
    return cq_change_open(&m->change, path, m->failure);
}

static void tell_missing(const struct monitor *m, enum cq_offload offload, bool missing)
{
    if (missing)
        cq_log(CQ_EVENT_NO_OFFLOAD, cq_field_text("interface", m->name),
               cq_field_text("offload", cq_offload_name(offload)));
}

/* What was wanted and the kernel does not have. */
static void tell_missing_offloads(const struct monitor *m)
{
    struct cq_tun_options wanted = tun_options(m);
    unsigned missing = wanted.no_vnet ? 0 : ~(wanted.without | m->tuns[0].offloads);

    tell_missing(m, CQ_OFFLOAD_TUN_HEADER, !wanted.no_vnet && !m->tuns[0].vnet);
    tell_missing(m, CQ_OFFLOAD_TUN_CSUM, (missing & CQ_TUN_OFFLOAD_CSUM) != 0);
    tell_missing(m, CQ_OFFLOAD_TUN_TSO, (missing & CQ_TUN_OFFLOAD_TSO) != 0);
    tell_missing(m, CQ_OFFLOAD_TUN_USO, (missing & CQ_TUN_OFFLOAD_USO) != 0);
    tell_missing(m, CQ_OFFLOAD_UDP_GRO, !m->conf->tuning.udp_gro_off && !m->udps[0].gro);
}

/* The first message of the node: it serves, or says why it cannot. */
static bool await_node(struct monitor *m)
{
    cq_time deadline = cq_clock_now() + patience_at_start;
    struct cq_channel_message message;

    for (;;) {
        struct pollfd p[2] = {{.fd = m->node.channel, .events = POLLIN},
                              {.fd = m->signal_fd, .events = POLLIN}};
        cq_time left = deadline - cq_clock_now();
        if (left <= 0)
            return cq_fail(m->failure, "the node did not become ready in time");
        if (poll(p, 2, (int)(left / CQ_NS_PER_MS) + 1) < 0)
            continue;
        enum cq_err err = cq_channel_receive(m->node.channel, &message);
        if (err == CQ_OK && message.type == CQ_CHANNEL_READY && message.len == CQ_PEER_ID_LEN) {
            cq_base64_encode(message.data, CQ_PEER_ID_LEN, m->id);
            return true;
        }
        if (err == CQ_OK && message.type == CQ_CHANNEL_FAILED)
            return cq_fail(m->failure, "%.*s", (int)message.len, (const char *)message.data);
        if (err != CQ_ERR_AGAIN)
            return cq_fail(m->failure, "the node ended while it started");
        if (p[1].revents != 0)
            return cq_fail(m->failure, "stopped while starting");
    }
}

static void close_sockets(struct monitor *m)
{
    for (unsigned i = 0; m->has_sockets && i < m->num_workers; i++)
        cq_udp_close(&m->udps[i]);
    m->has_sockets = false;
}

static bool start_node(struct monitor *m)
{
    struct cq_handover_start start = {.listener = m->listener,
                                      .num_workers = m->num_workers,
                                      .backlog_fd = m->backlog_fd,
                                      .mtu = m->mtu,
                                      .fwmark = m->network.mark,
                                      .user = m->user,
                                      .metrics_addr = m->metrics.addr,
                                      .metrics_socket = m->metrics.node_end,
                                      .metrics_memory = m->metrics.snapshot.fd};

    memcpy(start.tuns, m->tuns, sizeof(start.tuns));
    memcpy(start.udps, m->udps, sizeof(start.udps));
    cq_handover_set_start(m->options->handover, &start);
    bool started =
        cq_launch(&m->node, m->name, m->options->handover, &start, m->options->sink, m->failure);
    if (started) {
        cq_keeper_set_node(&m->keeper, m->node.pid);
        /* The node has its own now. */
        close(m->listener);
        m->listener = -1;
        close_sockets(m);
    }
    started = started && await_node(m);
    cq_handover_wipe(m->options->handover);
    if (started)
        cq_log(CQ_EVENT_NODE_STARTED, cq_field_text("interface", m->name),
               cq_field_int("process", m->node.pid));
    return started;
}

/* Keeps an answer that came before the node, or gives it to the node. */
static void serve_name(struct monitor *m, int slot)
{
    struct cq_addr addr;
    size_t peer;

    if (!cq_names_finish(&m->names, slot, cq_clock_now(), &peer, &addr))
        return;
    if (m->node.pid == 0)
        m->early[peer] = addr;
    else if (cq_channel_send(m->node.channel, CQ_CHANNEL_RESOLVED, (uint32_t)peer, &addr, NULL,
                             0) != CQ_OK)
        cq_names_want(&m->names, peer);
}

/* Sets out[0 .. CQ_NAMES_AT_ONCE - 1] to the look-ups that run. True: there are some. */
static bool poll_names(const struct monitor *m, struct pollfd *out)
{
    bool any = false;

    for (int i = 0; i < CQ_NAMES_AT_ONCE; i++) {
        out[i] = (struct pollfd){.fd = m->names.running[i].resolve.fd, .events = POLLIN};
        any = any || out[i].fd >= 0;
    }
    return any;
}

/*
 * Where the tunnel takes all traffic, it may well be the only way to a name server once it is up,
 * and no way before its peer is known. So names are looked up first; what has no answer by then is
 * asked for again later.
 */
static void resolve_early(struct monitor *m)
{
    cq_time deadline = cq_clock_now() + patience_with_names;
    struct pollfd p[CQ_NAMES_AT_ONCE + 1];

    m->early = calloc(m->conf->num_peers + 1, sizeof(*m->early));
    for (size_t i = 0; m->early != NULL && i < m->conf->num_peers; i++)
        cq_names_want(&m->names, i);
    for (;;) {
        cq_time now = cq_clock_now();
        cq_names_start(&m->names, now);
        if (now >= deadline || !poll_names(m, p))
            return;
        p[CQ_NAMES_AT_ONCE] = (struct pollfd){.fd = m->signal_fd, .events = POLLIN};
        if (poll(p, CQ_NAMES_AT_ONCE + 1, (int)((deadline - now) / CQ_NS_PER_MS) + 1) < 0)
            continue;
        if (p[CQ_NAMES_AT_ONCE].revents != 0)
            return;
        for (int i = 0; i < CQ_NAMES_AT_ONCE; i++)
            if (p[i].revents != 0)
                serve_name(m, i);
    }
}

/* Gives the node what is known by now; for everything else the look-up is (still) wanted. */
static void tell_early(struct monitor *m)
{
    for (size_t i = 0; i < m->conf->num_peers; i++) {
        const struct cq_addr *addr = m->early != NULL ? &m->early[i] : NULL;
        bool told = addr != NULL && addr->ip.family != CQ_FAMILY_NONE &&
                    cq_channel_send(m->node.channel, CQ_CHANNEL_RESOLVED, (uint32_t)i, addr, NULL,
                                    0) == CQ_OK;
        if (!told)
            cq_names_want(&m->names, i);
    }
    free(m->early);
    m->early = NULL;
}

static void say_state_failed(const struct monitor *m, enum cq_err err)
{
    const char *reason = err == CQ_ERR_PERM ? "not ours, or others may write there"
                         : err == CQ_ERR_IO ? strerror(errno)
                                            : cq_err_text(err);

    cq_log(CQ_EVENT_CACHE_FAILED, cq_field_text("interface", m->name),
           cq_field_text("directory", cq_file_state_dir()), cq_field_text("reason", reason));
}

/* Gives the node what is known of where its peers were. */
static void tell_recent(const struct monitor *m)
{
    struct cq_recent_list list = {0};
    enum cq_err err;

    if (m->conf->remember_off) {
        err = cq_recent_remove(m->name);
    } else {
        err = cq_recent_load(m->name, &list);
        if (err == CQ_ERR_NOTFOUND)
            err = CQ_OK;
        (void)!cq_recent_send(m->node.channel, &list);
        cq_recent_free(&list);
    }
    if (err != CQ_OK)
        say_state_failed(m, err);
}

static void take_recent(struct monitor *m, const struct cq_channel_message *message)
{
    if (m->conf->remember_off || cq_recent_take(&m->recent, message) != CQ_OK || !m->recent.whole)
        return;
    enum cq_err err = cq_recent_store(m->name, &m->recent);
    if (err != CQ_OK)
        say_state_failed(m, err);
}

/* Those who watch are served by the node, so it hears of what happens here. */
static void tell_node(void *ctx, const struct cq_logline *line)
{
    const struct monitor *m = ctx;
    char text[CQ_CHANNEL_DATA_MAX];

    if (m->node.pid != 0)
        (void)!cq_channel_send(m->node.channel, CQ_CHANNEL_EVENT, line->event, NULL, text,
                               cq_logline_json(text, sizeof(text), line));
}

static bool set_up(struct monitor *m)
{
    if (!take_name(m) || !start_journal(m))
        return false;
    if (cq_sandbox_find_user("cryprq", &m->user) != CQ_OK)
        return cq_fail(m->failure, "there is neither a user cryprq nor nobody");
    if (cq_names_init(&m->names, m->conf) != CQ_OK)
        return cq_fail(m->failure, "out of memory");
    m->has_names = true;
    if (!open_control_socket(m) || !open_admin_socket(m) || !open_device(m) ||
        !record_hooks(m, "PostDown", &m->conf->post_down) ||
        !run_hooks(m, "PreUp", &m->conf->pre_up))
        return false;
    if (cq_network_takes_all(m->conf))
        resolve_early(m);
    if (!set_up_network(m) || !cq_metrics_open(&m->metrics, m->conf, m->failure) || !start_node(m))
        return false;
    tell_missing_offloads(m);
    tell_recent(m);
    tell_early(m);
    cq_metrics_start(&m->metrics, &m->user, m->options->sink);
    if (cq_undo_device(&m->undo) != CQ_OK)
        return cq_fail(m->failure, "cannot write the undo journal: %s", strerror(errno));
    m->has_device_line = true;
    return record_hooks(m, "PreDown", &m->conf->pre_down) &&
           run_hooks(m, "PostUp", &m->conf->post_up);
}

/* ---- running ---- */

static void store(struct monitor *m, const struct cq_channel_message *message)
{
    uint32_t i = message->peer;
    struct cq_cache_entry entry = {0};
    const uint8_t *id = m->conf->peers[i].id;

    enum cq_err err = cq_cache_prepare();
    if (err == CQ_OK) {
        err = cq_cache_load(id, &entry);
        if (err == CQ_ERR_NOTFOUND || err == CQ_ERR_INVALID)
            err = CQ_OK;
    }
    if (message->type == CQ_CHANNEL_STORE_KEY && message->len == CQ_PUBLIC_KEY_LEN) {
        memcpy(&entry.key, message->data, CQ_PUBLIC_KEY_LEN);
        entry.has_key = true;
    } else if (message->type == CQ_CHANNEL_STORE_REPLIED) {
        entry.replied = true;
    }
    if (err == CQ_OK)
        err = cq_cache_store(id, &entry);
    if (err != CQ_OK)
        say_state_failed(m, err);
}

static void serve_message(void *ctx, const struct cq_channel_message *message)
{
    struct monitor *m = ctx;

    if (message->type == CQ_CHANNEL_RECENT)
        take_recent(m, message);
    if (message->peer >= m->conf->num_peers)
        return;
    if (message->type == CQ_CHANNEL_STORE_KEY || message->type == CQ_CHANNEL_STORE_REPLIED)
        store(m, message);
    else if (message->type == CQ_CHANNEL_RESOLVE)
        cq_names_want(&m->names, message->peer);
}

/* False: the node is gone. */
static bool serve_node(struct monitor *m)
{
    struct cq_channel_message message;
    enum cq_err err;

    while ((err = cq_channel_receive(m->node.channel, &message)) == CQ_OK)
        serve_message(m, &message);
    return err == CQ_ERR_AGAIN;
}

/* ---- another configuration ---- */

/* The node runs with `next`, which is ours from now on; so do all others here. */
static void take_over(struct monitor *m, struct cq_conf *next, const struct cq_diff *diff,
                      const char *source)
{
    struct cq_diff_counts counts = cq_diff_count(diff);
    bool hooks = (diff->interface & CQ_DIFF_HOOKS) != 0;

    if (hooks &&
        cq_undo_replace_hooks(&m->undo, m->name, next->post_down.items, next->post_down.num,
                              next->pre_down.items, next->pre_down.num) != CQ_OK)
        cq_log(CQ_EVENT_UNDO_FAILED, cq_field_text("interface", m->name),
               cq_field_text("reason", "the hooks in the journal are those of before"));
    if (cq_names_replace(&m->names, next, diff->to_after) != CQ_OK)
        cq_log(CQ_EVENT_CONFIG_REFUSED, cq_field_text("interface", m->name),
               cq_field_text("reason", "out of memory: no names are looked up any more"));
    m->conf = next;
    if (m->owned != NULL) {
        cq_conf_free(m->owned);
        free(m->owned);
    }
    m->owned = next;
    cq_log(CQ_EVENT_CONFIG_CHANGED, cq_field_text("interface", m->name),
           cq_field_text("source", source), cq_field_int("added", (int64_t)counts.added),
           cq_field_int("removed", (int64_t)counts.removed),
           cq_field_int("changed", (int64_t)counts.changed));
}

/* The last line that whoever asked for the change gets to see. */
static void sum_up(const struct monitor *m, const struct cq_transact *t)
{
    struct cq_diff_counts c = cq_diff_count(&t->diff);

    if (cq_diff_is_empty(&t->diff))
        fprintf(t->text, "%s: no difference\n", m->name);
    else
        fprintf(t->text, "%s: %s: %zu peers added, %zu removed, %zu changed\n", m->name,
                t->dry_run ? "would be changed" : "changed", c.added, c.removed, c.changed);
}

static void change_to(struct monitor *m, struct cq_conf *next, const struct cq_editor_result *what)
{
    struct cq_failure failure = {{0}};
    char *text = NULL;
    size_t len = 0;
    struct cq_transact t = {.node = m->node.channel,
                            .handover = m->change.handover,
                            .dry_run = what->dry_run,
                            .before = m->conf,
                            .after = next,
                            .network = &m->network,
                            .metrics = &m->metrics,
                            .text = open_memstream(&text, &len),
                            .serve = serve_message,
                            .ctx = m};

    bool good = t.text != NULL ? cq_transact_run(&t, &failure) : cq_fail(&failure, "out of memory");
    if (good)
        sum_up(m, &t);
    if (t.text != NULL)
        fclose(t.text);
    if (!good)
        cq_log(CQ_EVENT_CONFIG_REFUSED, cq_field_text("interface", m->name),
               cq_field_text("reason", failure.text));
    cq_change_answer(&m->change, !good, good ? text : failure.text,
                     good ? len : strlen(failure.text));
    if (t.changed) {
        take_over(m, next, &t.diff, what->source);
    } else {
        cq_conf_free(next);
        free(next);
    }
    cq_transact_end(&t);
    free(text);
}

/* The editor says something. */
static void serve_change(struct monitor *m)
{
    struct cq_conf *next = calloc(1, sizeof(*next));
    struct cq_editor_result what;

    if (next != NULL && cq_change_receive(&m->change, next, &what))
        change_to(m, next, &what);
    else
        free(next);
}

/* A signal that was sent to us; the end of the terminal, which comes from the kernel, is no such.
 */
static bool asks_for_reload(const struct monitor *m, const struct signalfd_siginfo *info)
{
    return info->ssi_signo == SIGHUP && info->ssi_code <= SI_USER && m->change.path != NULL;
}

static void serve_signal(struct monitor *m)
{
    struct signalfd_siginfo info;

    while (read(m->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (asks_for_reload(m, &info)) {
            m->change.reload_wanted = true;
            continue;
        }
        if (info.ssi_signo != SIGCHLD) {
            m->stopping = true;
            continue;
        }
        cq_metrics_reap(&m->metrics, cq_clock_now());
        cq_change_reap(&m->change);
        if (m->keeper.pid == 0 || waitpid(m->keeper.pid, NULL, WNOHANG) != m->keeper.pid)
            continue;
        close(m->keeper.pipe_fd);
        m->keeper.pid = 0;
        bool again = cq_keeper_start(&m->keeper, m->name, &m->lock, m->options->sink) == CQ_OK;
        if (again)
            cq_keeper_set_node(&m->keeper, m->node.pid);
        cq_log(CQ_EVENT_KEEPER_DIED, cq_field_text("interface", m->name),
               cq_field_int("started_again", again));
    }
}

static void serve_generation(struct monitor *m)
{
    if (!cq_generation_changed(m->generation_fd))
        return;
    cq_log(CQ_EVENT_MACHINE_CLONED, cq_field_text("interface", m->name));
    (void)!cq_channel_send(m->node.channel, CQ_CHANNEL_FORGET, 0, NULL, NULL, 0);
}

static int milliseconds_until(cq_time when)
{
    if (when == CQ_TIME_NEVER)
        return -1;
    cq_time left = when - cq_clock_now();
    return left <= 0 ? 0 : (int)(cq_time_min(left, 60 * CQ_NS_PER_S) / CQ_NS_PER_MS) + 1;
}

/* Until a signal, or the end of the node. */
static bool run(struct monitor *m)
{
    enum {
        SIGNALS,
        NODE,
        GENERATION,
        METRICS,
        CLIENTS,
        EDITOR,
        FIRST_NAME,
        NUM = FIRST_NAME + CQ_NAMES_AT_ONCE
    };
    struct pollfd p[NUM];

    if (cq_generation_open(&m->generation_fd) != CQ_OK)
        m->generation_fd = -1;
    cq_metrics_reap(&m->metrics, cq_clock_now()); /* before its signal was listened for */
    cq_metrics_set_ready(&m->metrics, true);
    for (;;) {
        cq_names_start(&m->names, cq_clock_now());
        cq_metrics_update(&m->metrics, cq_clock_now());
        cq_time next = cq_time_min(cq_names_next_expiry(&m->names), cq_metrics_next(&m->metrics));
        p[SIGNALS] = (struct pollfd){.fd = m->signal_fd, .events = POLLIN};
        p[NODE] = (struct pollfd){.fd = m->node.channel, .events = POLLIN};
        p[GENERATION] = (struct pollfd){.fd = m->generation_fd, .events = POLLIN};
        p[METRICS] = (struct pollfd){.fd = m->metrics.channel, .events = POLLIN};
        bool idle = cq_change_is_idle(&m->change);
        p[CLIENTS] = (struct pollfd){.fd = idle ? m->change.listener : -1, .events = POLLIN};
        p[EDITOR] = (struct pollfd){.fd = m->change.channel, .events = POLLIN};
        (void)poll_names(m, p + FIRST_NAME);
        int num = poll(p, NUM, milliseconds_until(next));
        cq_logging_handle_expiry(m->name);
        if (num < 0)
            continue;
        if (p[SIGNALS].revents != 0)
            serve_signal(m);
        if (m->stopping)
            return true;
        if (p[NODE].revents != 0 && !serve_node(m))
            return cq_fail(m->failure, "the node of %s ended unexpectedly", m->name);
        if (p[EDITOR].revents != 0 && m->change.channel >= 0)
            serve_change(m);
        if (cq_change_is_idle(&m->change) && (p[CLIENTS].revents != 0 || m->change.reload_wanted))
            cq_change_start(&m->change, m->conf);
        if (p[GENERATION].revents != 0)
            serve_generation(m);
        if (p[METRICS].revents != 0 && m->metrics.channel >= 0)
            cq_metrics_serve(&m->metrics, m->node.pid);
        for (int i = 0; i < CQ_NAMES_AT_ONCE; i++)
            if (p[FIRST_NAME + i].revents != 0)
                serve_name(m, i);
    }
}

/* ---- putting everything back ---- */

/* The node takes leave of its peers and ends, and the interface with it. */
static void end_device(void *ctx)
{
    struct monitor *m = ctx;
    int status = 0;

    if (m->node.pid != 0) {
        status = cq_launch_end(&m->node, patience_at_end);
        if (WIFSIGNALED(status))
            cq_log(CQ_EVENT_NODE_DIED, cq_field_text("interface", m->name),
                   cq_field_int("signal", WTERMSIG(status)));
        else if (WEXITSTATUS(status) != 0)
            cq_log(CQ_EVENT_NODE_ENDED, cq_field_text("interface", m->name),
                   cq_field_int("status", WEXITSTATUS(status)));
    }
    cq_metrics_end(&m->metrics);
    for (unsigned i = 0; i < m->num_workers; i++)
        cq_tun_close(&m->tuns[i]);
    if (m->backlog_fd >= 0)
        close(m->backlog_fd);
    m->backlog_fd = -1;
    cq_network_wipe(&m->network);
}

static void put_back(struct monitor *m)
{
    cq_metrics_set_ready(&m->metrics, false);
    cq_change_end(&m->change);
    if (m->has_names)
        cq_names_wipe(&m->names);
    free(m->early);
    cq_recent_free(&m->recent);
    if (!m->has_device_line)
        end_device(m);
    if (m->undo.fd >= 0) {
        cq_undo_close(&m->undo);
        (void)cq_undo_run(m->name, end_device, m);
    }
    end_device(m);
    if (m->listener >= 0)
        close(m->listener);
    close_sockets(m);
    cq_handover_wipe(m->options->handover);
    cq_netlink_close(m->nl);
    cq_keeper_dismiss(&m->keeper);
    cq_lock_release(&m->lock, m->name);
    if (m->generation_fd >= 0)
        close(m->generation_fd);
    if (m->signal_fd >= 0)
        close(m->signal_fd);
}

static bool take_signals(struct monitor *m)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    /* Hooks are interrupted by what is readable here, so children's ends must not be before run().
     */
    m->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return m->signal_fd >= 0 || cq_fail(m->failure, "signalfd: %s", strerror(errno));
}

static void take_child_signals(const struct monitor *m)
{
    sigset_t set;

    sigprocmask(SIG_BLOCK, NULL, &set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    (void)!signalfd(m->signal_fd, &set, 0);
}

bool cq_monitor_run(const struct cq_monitor_options *options, struct cq_failure *failure)
{
    struct monitor m = {.options = options,
                        .conf = options->conf,
                        .name = options->conf->interface,
                        .failure = failure,
                        .lock.fd = -1,
                        .undo.fd = -1,
                        .keeper.pipe_fd = -1,
                        .num_workers = choose_num_workers(options->conf),
                        .backlog_fd = -1,
                        .signal_fd = -1,
                        .generation_fd = -1,
                        .listener = -1};

    for (unsigned i = 0; i < CQ_CONF_MAX_WORKERS; i++) {
        m.tuns[i].fd = -1;
        m.udps[i].fd4 = m.udps[i].fd6 = -1;
    }
    cq_metrics_init(&m.metrics);
    cq_change_init(&m.change);
    cq_process_set_name("cryprq-monitor");
    cq_logging_start(CQ_NOTIFY_STAY);
    cq_log_set_observer(tell_node, &m, CQ_LOG_DEBUG);
    bool good = take_signals(&m) && set_up(&m);
    if (good) {
        take_child_signals(&m);
        cq_notify("READY=1");
        if (options->ready != NULL)
            options->ready(options->ctx);
        cq_log(CQ_EVENT_READY, cq_field_text("interface", m.name), cq_field_text("id", m.id),
               cq_field_int("listen_port", m.port), cq_field_int("mtu", m.mtu),
               cq_field_int("fwmark", m.network.mark));
        good = run(&m);
        cq_notify("STOPPING=1");
        cq_log(CQ_EVENT_STOPPING, cq_field_text("interface", m.name));
    }
    put_back(&m);
    cq_log_set_observer(NULL, NULL, CQ_LOG_ERROR);
    cq_logging_end(m.name);
    if (m.owned != NULL)
        cq_conf_free(m.owned);
    free(m.owned);
    return good;
}
