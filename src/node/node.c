#include "node/node.h"

#include "base/log.h"
#include "base/secret.h"
#include "node/cache.h"
#include "node/child.h"
#include "node/editor.h"
#include "node/failure.h"
#include "node/handover.h"
#include "node/label.h"
#include "node/lock.h"
#include "node/logging.h"
#include "node/metrics_server.h"
#include "node/monitor.h"
#include "node/undo.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/notify.h"
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const cq_time patience_at_down = 75 * CQ_NS_PER_S; /* a hook may take 60 s */

static int say(const char *text)
{
    fprintf(stderr, "cryprq: %s\n", text);
    return 1;
}

/* ---- what the node will be given ---- */

struct peers_cache {
    struct cq_public_key **keys; /* per peer; NULL: none */
    bool *replied;
};

static void free_cache(struct peers_cache *cache, size_t num)
{
    for (size_t i = 0; cache->keys != NULL && i < num; i++)
        free(cache->keys[i]);
    free(cache->keys);
    free(cache->replied);
    *cache = (struct peers_cache){0};
}

static void load_peer(struct peers_cache *cache, const struct cq_conf *conf, size_t i)
{
    struct cq_cache_entry entry;
    enum cq_err err = cq_cache_load(conf->peers[i].id, &entry);

    if (err == CQ_ERR_NOTFOUND)
        return;
    if (err != CQ_OK) {
        const char *reason = err == CQ_ERR_INVALID
                                 ? "set aside as .damaged; the key will be asked for again"
                                 : strerror(errno);
        struct cq_label label = cq_label_make(&conf->peers[i]);
        cq_log(CQ_EVENT_CACHE_DAMAGED, cq_field_text("interface", conf->interface),
               cq_label_peer(&label), cq_label_name(&label), cq_field_text("reason", reason));
        return;
    }
    cache->replied[i] = entry.replied;
    if (!entry.has_key)
        return;
    cache->keys[i] = malloc(sizeof(entry.key));
    if (cache->keys[i] != NULL)
        *cache->keys[i] = entry.key;
}

static bool load_cache(struct peers_cache *cache, const struct cq_conf *conf,
                       struct cq_failure *failure)
{
    cache->keys = calloc(conf->num_peers + 1, sizeof(struct cq_public_key *));
    cache->replied = calloc(conf->num_peers + 1, sizeof(*cache->replied));
    if (cache->keys == NULL || cache->replied == NULL)
        return cq_fail(failure, "out of memory");
    for (size_t i = 0; i < conf->num_peers; i++)
        load_peer(cache, conf, i);
    return true;
}

static void wipe_secrets(struct cq_conf *conf)
{
    conf->private_key_kept = conf->private_key != NULL;
    cq_secret_free(conf->private_key);
    conf->private_key = NULL;
    for (size_t i = 0; i < conf->num_peers; i++) {
        conf->peers[i].psk_kept = conf->peers[i].psk != NULL;
        cq_secret_free(conf->peers[i].psk);
        conf->peers[i].psk = NULL;
    }
}

/* Puts the secrets where only the node will find them. */
static bool make_handover(struct cq_handover *handover, struct cq_conf *conf,
                          struct peers_cache *cache, struct cq_failure *failure)
{
    if (!load_cache(cache, conf, failure))
        return false;
    const struct cq_public_key *const *keys = (const struct cq_public_key *const *)cache->keys;
    if (cq_handover_make(handover, conf, keys, cache->replied) != CQ_OK)
        return cq_fail(failure, "cannot make memory for the configuration: %s", strerror(errno));
    return true;
}

/* ---- in the background ---- */

struct background {
    enum cq_notify_sink sink;
    int report_fd;
};

static volatile pid_t background_pid; /* for the signal handler */

static void pass_on(int signal)
{
    if (background_pid > 0)
        kill(background_pid, signal);
}

/* From now on this process has no terminal and nobody who reads what it writes. */
static void leave_terminal(void *ctx)
{
    const struct background *b = ctx;

    cq_notify_redirect(b->sink);
    cq_logging_start(b->sink);
    (void)!write(b->report_fd, "", 1);
    close(b->report_fd);
}

_Noreturn static void become_background(struct cq_monitor_options *options, int report_fd)
{
    struct cq_failure failure = {0};
    static struct background background; /* options refer to it */
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    background = (struct background){cq_notify_background_sink(), report_fd};
    setsid();
    (void)!chdir("/");
    dup2(null, STDIN_FILENO);
    close(null);
    /* Locked memory is wiped in a forked process, and what lived in it must not be used here (nor
     * by anything that exit() would call): no libcrypto, and the heap in place of the arena. */
    cq_secret_shutdown();
    options->sink = background.sink;
    options->ready = leave_terminal;
    options->ctx = &background;
    bool good = cq_monitor_run(options, &failure);
    if (!good)
        say(failure.text);
    _exit(good ? 0 : 1);
}

/* Waits until the other process says that the interface is ready, or has ended. */
static int await_background(pid_t pid, int report_fd)
{
    struct sigaction pass = {.sa_handler = pass_on};
    char byte;
    ssize_t n;

    background_pid = pid;
    sigaction(SIGINT, &pass, NULL);
    sigaction(SIGTERM, &pass, NULL);
    do {
        n = read(report_fd, &byte, 1);
    } while (n < 0 && errno == EINTR);
    close(report_fd);
    if (n == 1)
        return 0;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    return 1; /* it has said why */
}

static int run_in_background(struct cq_monitor_options *options, struct cq_failure *failure)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0) {
        cq_fail(failure, "cannot make a pipe: %s", strerror(errno));
        return say(failure->text);
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        become_background(options, ends[1]);
    }
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        cq_fail(failure, "cannot start a process: %s", strerror(errno));
        return say(failure->text);
    }
    return await_background(pid, ends[0]);
}

/* ---- the commands ---- */

int cq_node_run(struct cq_conf *conf, const struct cq_node_run_options *options)
{
    struct cq_handover handover = {.fd = -1};
    struct peers_cache cache = {0};
    struct cq_failure failure = {0};
    int status;

    if (geteuid() != 0)
        return say("root is needed to make a network interface");
    char *path = options->config_path != NULL ? realpath(options->config_path, NULL) : NULL;
    bool made = make_handover(&handover, conf, &cache, &failure);
    wipe_secrets(conf);
    struct cq_monitor_options monitor = {.conf = conf, .config_path = path, .handover = &handover};
    if (!made)
        status = say(failure.text);
    else if (!options->foreground)
        status = run_in_background(&monitor, &failure);
    else
        status = cq_monitor_run(&monitor, &failure) ? 0 : say(failure.text);
    /* In the background case the memory is shared with the other process, which wipes it. */
    if (made && !options->foreground)
        cq_handover_forget(&handover);
    else
        cq_handover_wipe(&handover);
    free_cache(&cache, conf->num_peers);
    free(path);
    return status;
}

/* What a run left that was killed with all its processes. */
static int clear_up(const char *name)
{
    char text[128];
    struct cq_lock lock;
    pid_t holder;

    if (!cq_undo_exists(name)) {
        snprintf(text, sizeof(text), "%s is not running", name);
        return say(text);
    }
    if (cq_lock_take(&lock, name, 0, &holder) != CQ_OK) {
        snprintf(text, sizeof(text), "%s: cannot take its lock: %s", name, strerror(errno));
        return say(text);
    }
    unsigned failures = cq_undo_run(name, NULL, NULL);
    cq_lock_release(&lock, name);
    return failures == 0 ? 0 : say("not everything could be put back");
}

/* Signals the monitor, and certainly no other process. */
static int stop_monitor(const char *name, pid_t holder)
{
    char text[160];
    pid_t again;
    int watch;
    enum cq_err err = cq_process_watch(holder, &watch);

    if (err == CQ_ERR_NOTFOUND)
        return 0; /* ended meanwhile; its keeper is at work */
    if (err == CQ_OK) {
        /* Its number still names it: the kernel says who holds the lock. */
        if (cq_lock_holder(name, &again) == CQ_OK && again == holder)
            err = cq_process_signal(watch, SIGTERM);
        close(watch);
    }
    if (err == CQ_OK || err == CQ_ERR_NOTFOUND)
        return 0;
    snprintf(text, sizeof(text), "cannot stop %s: %s", name,
             err == CQ_ERR_PERM ? "root is needed" : strerror(errno));
    return say(text);
}

int cq_node_down(const char *name)
{
    char text[128];
    pid_t holder;
    enum cq_err err = cq_lock_holder(name, &holder);

    if (err == CQ_ERR_NOTFOUND)
        return clear_up(name);
    if (err != CQ_OK) {
        snprintf(text, sizeof(text), "%s: %s", name,
                 err == CQ_ERR_IO ? strerror(errno) : cq_err_text(err));
        return say(text);
    }
    if (holder > 0 && stop_monitor(name, holder) != 0)
        return 1;
    if (cq_lock_wait_free(
            name, patience_at_down)) /* a journal is left by those who were killed meanwhile */
        return cq_undo_exists(name) ? clear_up(name) : 0;
    snprintf(text, sizeof(text), "%s has not ended after %d s", name,
             (int)(patience_at_down / CQ_NS_PER_S));
    return say(text);
}

/* ---- the unprivileged processes ---- */

static struct {
    const char *interface;
    int handover, channel;
    bool is_metrics, is_editor;
} child;

/* A descriptor's number. -1: it is none. */
static int parse_descriptor(const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);

    return *text != '\0' && *end == '\0' && n >= 3 && n < 1024 ? (int)n : -1;
}

bool cq_node_is_child(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[0], CQ_METRICS_SERVER_NAME) == 0) {
        child.is_metrics = true;
        child.interface = argv[1];
        child.channel = parse_descriptor(argv[2]);
        return child.channel >= 0;
    }
    if (argc == 3 && strcmp(argv[0], CQ_EDITOR_NAME) == 0) {
        child.is_editor = true;
        child.interface = argv[1];
        child.channel = parse_descriptor(argv[2]);
        return child.channel >= 0;
    }
    if (argc != 4 || strcmp(argv[0], CQ_CHILD_NAME) != 0)
        return false;
    child.interface = argv[1];
    child.handover = parse_descriptor(argv[2]);
    child.channel = parse_descriptor(argv[3]);
    return child.handover >= 0 && child.channel >= 0;
}

int cq_node_child(void)
{
    if (child.is_metrics)
        cq_metrics_server_run(child.interface, child.channel);
    if (child.is_editor)
        cq_editor_run(child.interface, child.channel);
    cq_child_run(child.interface, child.handover, child.channel);
}
