#include "node/keeper.h"

#include "base/log.h"
#include "base/secret.h"
#include "node/logging.h"
#include "node/undo.h"
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORD_NODE = 'N', WORD_DONE = 'D' };

/* What the monitor says over the pipe; shorter than PIPE_BUF, so it comes whole. */
struct word {
    int kind;
    pid_t node;
};

static const cq_time grace = 3 * CQ_NS_PER_S; /* for the node to take leave by itself */

/* Listens until the monitor has gone. True: everything is put back. */
static bool listen_to_monitor(int pipe_fd, int monitor_watch, int *node_watch)
{
    struct pollfd p[2] = {{.fd = pipe_fd, .events = POLLIN},
                          {.fd = monitor_watch, .events = POLLIN}};
    struct word word;

    for (;;) {
        if (poll(p, 2, -1) < 0)
            continue;
        ssize_t n = p[0].revents != 0 ? read(pipe_fd, &word, sizeof(word)) : 0;
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n != (ssize_t)sizeof(word))
            return false;
        if (word.kind == WORD_DONE)
            return true;
        if (word.kind == WORD_NODE && cq_process_watch(word.node, node_watch) != CQ_OK)
            *node_watch = -1;
    }
}

static void end_node(void *ctx)
{
    const int *node_watch = ctx;

    if (*node_watch < 0 || cq_process_wait_end(*node_watch, grace))
        return;
    (void)!cq_process_signal(*node_watch, SIGKILL);
    (void)cq_process_wait_end(*node_watch, grace);
}

_Noreturn static void become_keeper(const char *name, struct cq_lock lock, int pipe_fd,
                                    pid_t monitor, enum cq_notify_sink sink)
{
    int keep[2] = {lock.fd < pipe_fd ? lock.fd : pipe_fd, lock.fd < pipe_fd ? pipe_fd : lock.fd};
    int monitor_watch = -1, node_watch = -1;
    sigset_t none;

    cq_process_set_name("cryprq-keeper");
    cq_process_close_others(keep, 2);
    /* It goes when the monitor has gone, whoever is asked to end at the same time. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    cq_notify_redirect(sink);
    cq_log_forget();
    cq_log_set_observer(NULL, NULL, CQ_LOG_ERROR); /* which is the monitor's */
    cq_logging_start(sink);
    /* In a forked process the locked arena is wiped and of no use; the heap takes its place. */
    cq_secret_shutdown();
    /* Should the monitor be gone already, the pipe says so. */
    (void)!cq_process_watch(monitor, &monitor_watch);
    if (listen_to_monitor(pipe_fd, monitor_watch, &node_watch))
        _exit(0);
    cq_log(CQ_EVENT_MONITOR_DIED, cq_field_text("interface", name));
    end_node(&node_watch);
    unsigned failures = cq_undo_run(name, NULL, NULL);
    cq_log(CQ_EVENT_PUT_BACK, cq_field_text("interface", name), cq_field_int("failures", failures));
    cq_logging_end(name);
    cq_lock_release(&lock, name);
    _exit(0);
}

enum cq_err cq_keeper_start(struct cq_keeper *keeper, const char *name, const struct cq_lock *lock,
                            enum cq_notify_sink sink)
{
    pid_t monitor = getpid();
    int ends[2];

    *keeper = (struct cq_keeper){.pipe_fd = -1};
    if (pipe2(ends, O_CLOEXEC) != 0)
        return CQ_ERR_IO;
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[1]);
        become_keeper(name, *lock, ends[0], monitor, sink);
    }
    int saved = errno;
    close(ends[0]);
    if (pid < 0) {
        close(ends[1]);
        errno = saved;
        return CQ_ERR_IO;
    }
    *keeper = (struct cq_keeper){.pid = pid, .pipe_fd = ends[1]};
    return CQ_OK;
}

static void say(const struct cq_keeper *keeper, struct word word)
{
    if (keeper->pipe_fd >= 0)
        (void)!write(keeper->pipe_fd, &word, sizeof(word)); /* SIGPIPE is ignored by the monitor */
}

void cq_keeper_set_node(const struct cq_keeper *keeper, pid_t node)
{
    say(keeper, (struct word){.kind = WORD_NODE, .node = node});
}

void cq_keeper_dismiss(struct cq_keeper *keeper)
{
    if (keeper->pid == 0)
        return;
    say(keeper, (struct word){.kind = WORD_DONE});
    close(keeper->pipe_fd);
    while (waitpid(keeper->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    *keeper = (struct cq_keeper){.pipe_fd = -1};
}
