#include "node/change.h"

#include "base/bytes.h"
#include "base/log.h"
#include "conf/pack.h"
#include "node/launch.h"
#include "os/file.h"
#include "os/unix.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RESULT_MAX = 256 * 1024 * 1024 };

_Static_assert(sizeof(struct cq_editor_start) <= CQ_CHANNEL_DATA_MAX, "one message");

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void cq_change_init(struct cq_change *change)
{
    *change = (struct cq_change){
        .listener = -1, .channel = -1, .handover = -1, .result = -1, .answer = -1};
}

bool cq_change_open(struct cq_change *change, const char *socket_path, struct cq_failure *failure)
{
    enum cq_err err = cq_file_remove(socket_path);

    if (err == CQ_OK)
        err = cq_unix_listen(socket_path, "cryprq", &change->listener);
    if (err == CQ_OK)
        return true;
    change->listener = -1;
    return cq_fail(failure, "%s: %s", socket_path,
                   err == CQ_ERR_RANGE ? "the path is too long" : strerror(errno));
}

bool cq_change_is_idle(const struct cq_change *change)
{
    return change->pid == 0 && change->channel < 0;
}

static void refuse(const struct cq_change *change, const char *reason)
{
    cq_log(CQ_EVENT_CONFIG_REFUSED, cq_field_text("interface", change->interface),
           cq_field_text("reason", reason));
}

/* The configuration in use, in an anonymous file. -1: errno. */
static int write_running(const struct cq_conf *conf)
{
    size_t size = cq_pack_bytes(conf);
    uint8_t *bytes = malloc(size);
    int fd = memfd_create("cryprq-running", MFD_CLOEXEC);
    bool good = fd >= 0 && bytes != NULL;

    if (good) {
        struct cq_writer w = cq_writer_make(bytes, size);
        cq_pack_write(&w, conf, false);
        good = !w.failed && cq_file_write_all(fd, bytes, w.written) == CQ_OK;
    }
    free(bytes);
    if (!good)
        close_fd(&fd);
    return fd;
}

/* What it is told lies in its end of the channel before it is executed. */
_Noreturn static void become_editor(const struct cq_change *change, struct cq_editor_start *start,
                                    const int ends[2])
{
    char program[] = CQ_EDITOR_NAME, name[CQ_CONF_INTERFACE_MAX + 1], channel[16];
    char *argv[] = {program, name, channel, NULL};

    cq_notify_redirect(change->sink);
    cq_logging_find(&start->logging, change->sink);
    (void)!cq_channel_send(ends[0], CQ_CHANNEL_EDITOR_START, 0, NULL, start, sizeof(*start));
    int fds[] = {ends[1],       start->client, start->running,          start->handover,
                 start->result, start->answer, start->logging.target.fd};
    snprintf(name, sizeof(name), "%s", change->interface);
    snprintf(channel, sizeof(channel), "%d", ends[1]);
    int error = cq_launch_become(argv, fds, sizeof(fds) / sizeof(fds[0]));
    refuse(change, strerror(error));
    _exit(1);
}

static bool launch(struct cq_change *change, struct cq_editor_start *start)
{
    int ends[2];

    if (cq_channel_open(ends) != CQ_OK)
        return false;
    change->pid = fork();
    if (change->pid == 0)
        become_editor(change, start, ends);
    int saved = errno;
    close(ends[1]);
    if (change->pid > 0) {
        change->channel = ends[0];
        return true;
    }
    change->pid = 0;
    close(ends[0]);
    errno = saved;
    return false;
}

static void forget(struct cq_change *change)
{
    close_fd(&change->channel);
    close_fd(&change->handover);
    close_fd(&change->result);
    close_fd(&change->answer);
}

static void serve_one(struct cq_change *change, int client, const struct cq_conf *conf)
{
    struct cq_editor_start start = {.client = client, .running = write_running(conf)};

    if (client >= 0)
        (void)fcntl(client, F_SETFL, fcntl(client, F_GETFL) & ~O_NONBLOCK);
    change->handover = memfd_create("cryprq-handover", MFD_CLOEXEC);
    change->result = memfd_create("cryprq-result", MFD_CLOEXEC);
    change->answer = memfd_create("cryprq-answer", MFD_CLOEXEC);
    start.handover = change->handover;
    start.result = change->result;
    start.answer = change->answer;
    snprintf(start.path, sizeof(start.path), "%s", change->path != NULL ? change->path : "");
    bool good = start.running >= 0 && change->handover >= 0 && change->result >= 0 &&
                change->answer >= 0 && launch(change, &start);
    close_fd(&start.running);
    if (good)
        return;
    refuse(change, strerror(errno));
    forget(change);
}

void cq_change_start(struct cq_change *change, const struct cq_conf *conf)
{
    int client = -1;

    if (change->reload_wanted) {
        change->reload_wanted = false;
        serve_one(change, -1, conf);
    } else if (cq_unix_accept(change->listener, &client) == CQ_OK) {
        serve_one(change, client, conf);
        close(client);
    }
}

static bool read_result(const struct cq_change *change, struct cq_conf *out)
{
    struct stat st;
    bool good = false;

    if (fstat(change->result, &st) != 0 || st.st_size <= 0 || st.st_size > RESULT_MAX)
        return false;
    size_t len = (size_t)st.st_size;
    void *memory = mmap(NULL, len, PROT_READ, MAP_PRIVATE, change->result, 0);
    if (memory == MAP_FAILED)
        return false;
    struct cq_reader r = cq_reader_make(memory, len);
    good = cq_pack_read(&r, out) == CQ_OK;
    munmap(memory, len);
    return good;
}

bool cq_change_receive(struct cq_change *change, struct cq_conf *out, struct cq_editor_result *what)
{
    struct cq_channel_message message;
    enum cq_err err = cq_channel_receive(change->channel, &message);

    if (err == CQ_OK && message.type == CQ_CHANNEL_EDITED && message.len == sizeof(*what)) {
        memcpy(what, message.data, sizeof(*what));
        what->source[sizeof(what->source) - 1] = '\0';
        if (read_result(change, out))
            return true;
        refuse(change, "the editor's result cannot be read");
    } else if (err == CQ_OK && message.type == CQ_CHANNEL_REFUSED) {
        char text[CQ_CHANNEL_DATA_MAX + 1];
        memcpy(text, message.data, message.len);
        text[message.len] = '\0';
        refuse(change, text);
    }
    if (err == CQ_ERR_AGAIN)
        return false;
    forget(change); /* it ends by itself: cq_change_reap */
    return false;
}

void cq_change_answer(struct cq_change *change, bool failed, const char *text, size_t len)
{
    (void)!cq_file_write_all(change->answer, text, len);
    if (change->channel >= 0)
        (void)!cq_channel_send(change->channel, CQ_CHANNEL_ANSWER, failed, NULL, NULL, 0);
    forget(change);
}

void cq_change_reap(struct cq_change *change)
{
    if (change->pid == 0 || waitpid(change->pid, NULL, WNOHANG) != change->pid)
        return;
    change->pid = 0; /* what it has said is still in the channel, up to its end */
}

void cq_change_end(struct cq_change *change)
{
    close_fd(&change->listener);
    forget(change);
    if (change->pid == 0)
        return;
    kill(change->pid, SIGKILL);
    while (waitpid(change->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    change->pid = 0;
}
