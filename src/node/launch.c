#include "node/launch.h"

#include "base/log.h"
#include "node/channel.h"
#include "node/child.h"
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_ENV = 16 };

static int compare_fds(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* Closes all descriptors but these. */
static void keep_descriptors(const int *fds, size_t num_fds)
{
    int kept[CQ_LAUNCH_MAX_FDS] = {0};
    int num = 0;

    for (size_t i = 0; i < num_fds && num < CQ_LAUNCH_MAX_FDS; i++)
        if (fds[i] >= 3)
            kept[num++] = fds[i];
    qsort(kept, (size_t)num, sizeof(kept[0]), compare_fds);
    cq_process_close_others(kept, num);
    for (int i = 0; i < num; i++)
        fcntl(kept[i], F_SETFD, 0);
}

/* Only our own variables: nothing else of the environment concerns the node. */
static void fill_environment(char *out[MAX_ENV])
{
    int num = 0;

    for (char **e = environ; *e != NULL && num < MAX_ENV - 1; e++)
        if (strncmp(*e, "CRYPRQ_", 7) == 0)
            out[num++] = *e;
    out[num] = NULL;
}

int cq_launch_become(char *const argv[], const int *fds, size_t num_fds)
{
    char *env[MAX_ENV];
    sigset_t none;

    keep_descriptors(fds, num_fds);
    fill_environment(env);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve("/proc/self/exe", argv, env);
    return errno;
}

_Noreturn static void become_node(const char *interface, int channel, struct cq_handover *handover,
                                  const struct cq_handover_start *start, enum cq_notify_sink sink)
{
    struct cq_handover_start mine = *start;
    char program[] = CQ_CHILD_NAME, name[64], handover_text[16], channel_text[16], reason[128];
    char *argv[] = {program, name, handover_text, channel_text, NULL};

    cq_notify_redirect(sink);
    cq_logging_find(&mine.logging, sink);
    cq_handover_set_start(handover, &mine);
    int fds[CQ_LAUNCH_MAX_FDS] = {channel,
                                  handover->fd,
                                  mine.listener,
                                  mine.metrics_socket,
                                  mine.metrics_memory,
                                  mine.logging.target.fd,
                                  mine.backlog_fd};
    size_t num_fds = 7;
    for (unsigned i = 0; i < mine.num_workers; i++) {
        for (unsigned line = 0; line < mine.tuns[i].num_lines; line++)
            fds[num_fds++] = cq_tun_line(&mine.tuns[i], line);
        fds[num_fds++] = mine.udps[i].fd4;
        fds[num_fds++] = mine.udps[i].fd6;
    }
    snprintf(name, sizeof(name), "%s", interface);
    snprintf(handover_text, sizeof(handover_text), "%d", handover->fd);
    snprintf(channel_text, sizeof(channel_text), "%d", channel);
    int error = cq_launch_become(argv, fds, num_fds);
    snprintf(reason, sizeof(reason), "cannot execute /proc/self/exe: %s", strerror(error));
    (void)!cq_channel_send(channel, CQ_CHANNEL_FAILED, 0, NULL, reason, strlen(reason));
    _exit(1);
}

bool cq_launch(struct cq_launched *out, const char *interface, struct cq_handover *handover,
               const struct cq_handover_start *start, enum cq_notify_sink sink,
               struct cq_failure *failure)
{
    int ends[2];

    *out = (struct cq_launched){.channel = -1, .watch = -1};
    if (cq_channel_open(ends) != CQ_OK)
        return cq_fail(failure, "cannot make a socket pair: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0)
        become_node(interface, ends[1], handover, start, sink);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return cq_fail(failure, "cannot start the node: %s", strerror(errno));
    }
    *out = (struct cq_launched){.pid = pid, .channel = ends[0], .watch = -1};
    if (cq_process_watch(pid, &out->watch) != CQ_OK)
        out->watch = -1; /* waiting at the end is not bounded then */
    return true;
}

int cq_launch_end(struct cq_launched *node, cq_time patience)
{
    int status = 0;

    (void)!cq_channel_send(node->channel, CQ_CHANNEL_SHUTDOWN, 0, NULL, NULL, 0);
    if (node->watch >= 0 && !cq_process_wait_end(node->watch, patience))
        (void)!cq_process_signal(node->watch, SIGKILL);
    while (waitpid(node->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    close(node->channel);
    if (node->watch >= 0)
        close(node->watch);
    *node = (struct cq_launched){.channel = -1, .watch = -1};
    return status;
}
