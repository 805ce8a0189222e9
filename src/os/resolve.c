#include "os/resolve.h"

#include "os/process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the child hands over; of fixed size, so that the parent parses nothing. */
struct answer {
    int error; /* of getaddrinfo */
    struct cq_addr addr;
};

static bool convert(const struct sockaddr *from, struct cq_addr *to)
{
    *to = (struct cq_addr){0};
    if (from->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, from, sizeof(in));
        to->ip.family = CQ_FAMILY_IPV4;
        memcpy(to->ip.bytes, &in.sin_addr, 4);
        to->port = ntohs(in.sin_port);
        return true;
    }
    if (from->sa_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, from, sizeof(in));
        to->ip.family = CQ_FAMILY_IPV6;
        memcpy(to->ip.bytes, &in.sin6_addr, 16);
        to->port = ntohs(in.sin6_port);
        to->scope_id = in.sin6_scope_id;
        return true;
    }
    return false;
}

/* The first usable address in the system's order of preference (RFC 6724). */
static struct answer look_up(const char *host, uint16_t port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    struct answer answer = {0};
    char service[8];

    snprintf(service, sizeof(service), "%u", port);
    answer.error = getaddrinfo(host, service, &hints, &list);
    if (answer.error != 0)
        return answer;
    answer.error = EAI_NONAME;
    for (const struct addrinfo *i = list; i != NULL && answer.error != 0; i = i->ai_next)
        if (convert(i->ai_addr, &answer.addr) && cq_addr_is_usable(&answer.addr))
            answer.error = 0;
    freeaddrinfo(list);
    return answer;
}

_Noreturn static void become_resolver(int fd, const char *host, uint16_t port,
                                      const struct cq_sandbox_user *user)
{
    sigset_t none;

    cq_process_set_name("cryprq-resolve");
    cq_process_close_others(&fd, 1);
    signal(SIGALRM, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    alarm(CQ_RESOLVE_TIMEOUT_S);
    if (cq_sandbox_hide() != CQ_OK || (user != NULL && cq_sandbox_drop(user, false) != CQ_OK))
        _exit(1);
    struct answer answer = look_up(host, port);
    ssize_t n = write(fd, &answer, sizeof(answer));
    _exit(n == (ssize_t)sizeof(answer) ? 0 : 1);
}

enum cq_err cq_resolve_start(struct cq_resolve *out, const char *host, uint16_t port,
                             const struct cq_sandbox_user *user)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return CQ_ERR_IO;
    pid_t pid = fork();
    if (pid == 0)
        become_resolver(ends[1], host, port, user);
    int saved = errno;
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        errno = saved;
        return CQ_ERR_IO;
    }
    *out = (struct cq_resolve){.pid = pid, .fd = ends[0]};
    return CQ_OK;
}

static void reap(struct cq_resolve *resolve)
{
    close(resolve->fd);
    while (waitpid(resolve->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    *resolve = (struct cq_resolve){.fd = -1};
}

enum cq_err cq_resolve_finish(struct cq_resolve *resolve, struct cq_addr *out, const char **reason)
{
    struct answer answer = {0};
    /* Fewer bytes than PIPE_BUF come whole or not at all. */
    ssize_t n = read(resolve->fd, &answer, sizeof(answer));

    kill(resolve->pid, SIGKILL); /* it has nothing more to say */
    reap(resolve);
    *reason = "no answer";
    if (n != (ssize_t)sizeof(answer))
        return CQ_ERR_NOTFOUND;
    if (answer.error != 0) {
        *reason = gai_strerror(answer.error);
        return CQ_ERR_NOTFOUND;
    }
    if (!cq_addr_is_usable(&answer.addr))
        return CQ_ERR_NOTFOUND;
    *out = answer.addr;
    return CQ_OK;
}

void cq_resolve_cancel(struct cq_resolve *resolve)
{
    if (resolve->fd < 0)
        return;
    kill(resolve->pid, SIGKILL);
    reap(resolve);
}
