#include "os/process.h"

#include "os/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    COMMAND_BYTES = 64 * 1024,
    GRACE_MS = 2000, /* between asking a hook to end and ending it */
};

void cq_process_set_name(const char *name)
{
    prctl(PR_SET_NAME, name);
}

enum cq_err cq_process_watch(pid_t pid, int *out_fd)
{
    int fd = pidfd_open(pid, 0); /* close-on-exec by itself */

    if (fd < 0)
        return errno == ESRCH ? CQ_ERR_NOTFOUND : CQ_ERR_IO;
    *out_fd = fd;
    return CQ_OK;
}

enum cq_err cq_process_signal(int watch_fd, int signal)
{
    if (pidfd_send_signal(watch_fd, signal, NULL, 0) == 0)
        return CQ_OK;
    if (errno == ESRCH)
        return CQ_ERR_NOTFOUND;
    return errno == EPERM ? CQ_ERR_PERM : CQ_ERR_IO;
}

/* Until one of two descriptors (-1: none) is readable or the time is over. 0: time; 1: first; 2:
 * second. */
static int wait_for_either(int first, int second, cq_time deadline)
{
    for (;;) {
        cq_time left = deadline - cq_clock_now();
        int ms = left <= 0 ? 0 : (int)((left + CQ_NS_PER_MS - 1) / CQ_NS_PER_MS);
        struct pollfd p[2] = {{.fd = first, .events = POLLIN}, {.fd = second, .events = POLLIN}};
        int n = poll(p, 2, ms);
        if (n > 0)
            return p[0].revents != 0 ? 1 : 2;
        if (n == 0 && left <= 0)
            return 0;
    }
}

bool cq_process_wait_end(int watch_fd, cq_time timeout)
{
    return wait_for_either(watch_fd, -1, cq_clock_now() + timeout) == 1;
}

unsigned cq_process_num_cpus(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
        return (unsigned)CPU_COUNT(&set);
    long n = sysconf(_SC_NPROCESSORS_ONLN); /* more processors than the set has room for */
    return n > 0 ? (unsigned)n : 1;
}

int cq_process_nice(void)
{
    return getpriority(PRIO_PROCESS, 0);
}

void cq_process_set_nice(int nice)
{
    (void)setpriority(PRIO_PROCESS, 0, nice);
}

void cq_process_close_others(const int *keep, int num_keep)
{
    unsigned from = 3;

    for (int i = 0; i < num_keep; i++) {
        if (keep[i] < (int)from)
            continue;
        if ((unsigned)keep[i] > from)
            (void)close_range(from, (unsigned)keep[i] - 1, 0);
        from = (unsigned)keep[i] + 1;
    }
    (void)close_range(from, ~0U, 0);
}

/* "%i" becomes the interface's name. NULL: too long or no memory. */
static char *expand(const char *command, const char *interface)
{
    char *out = malloc(COMMAND_BYTES);
    size_t len = 0, name_len = strlen(interface);

    if (out == NULL)
        return NULL;
    for (const char *p = command; *p != '\0'; p++) {
        if (len + name_len + 2 > COMMAND_BYTES) {
            free(out);
            return NULL;
        }
        if (p[0] == '%' && p[1] == 'i') {
            memcpy(out + len, interface, name_len);
            len += name_len;
            p++;
        } else {
            out[len++] = *p;
        }
    }
    out[len] = '\0';
    return out;
}

_Noreturn static void become_hook(const char *command)
{
    sigset_t none;
    int null = open("/dev/null", O_RDONLY);

    setpgid(0, 0);
    if (null >= 0)
        dup2(null, STDIN_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    cq_process_close_others(NULL, 0);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

/* Waits for the hook's end; ends its group when time is up or something interrupts. */
static enum cq_err wait_for_hook(pid_t pid, int watch_fd, int interrupt_fd, cq_time timeout)
{
    if (wait_for_either(watch_fd, interrupt_fd, cq_clock_now() + timeout) == 1)
        return CQ_OK;
    kill(-pid, SIGTERM);
    if (!cq_process_wait_end(watch_fd, GRACE_MS * CQ_NS_PER_MS))
        kill(-pid, SIGKILL);
    return CQ_ERR_EXPIRED;
}

enum cq_err cq_process_run_hook(const char *command, const char *interface, int interrupt_fd,
                                cq_time timeout, int *out_status)
{
    char *text = expand(command, interface);
    int watch_fd, status = 0;

    *out_status = 0;
    if (text == NULL)
        return CQ_ERR_RANGE;
    pid_t pid = fork();
    if (pid == 0)
        become_hook(text);
    free(text);
    if (pid < 0)
        return CQ_ERR_IO;
    setpgid(pid, pid); /* here as well, so that the group exists before it may be signalled */
    enum cq_err err = cq_process_watch(pid, &watch_fd);
    if (err == CQ_OK) {
        err = wait_for_hook(pid, watch_fd, interrupt_fd, timeout);
        close(watch_fd);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    *out_status = status;
    if (err == CQ_OK && status != 0)
        return CQ_ERR_STATE;
    return err;
}
