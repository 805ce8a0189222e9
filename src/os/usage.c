#include "os/usage.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static size_t read_text(const char *path, char *out, size_t size)
{
    FILE *f = fopen(path, "re");

    if (f == NULL)
        return 0;
    size_t len = fread(out, 1, size - 1, f);
    out[len] = '\0';
    fclose(f);
    return len;
}

/* Of a process that is called cryprq-node. */
static enum cq_err read_stat(long pid, struct cq_usage *out)
{
    char path[64], text[1024];
    unsigned long long user, system;
    long long pages;

    snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    if (read_text(path, text, sizeof(text)) == 0 || strstr(text, "(cryprq-node)") == NULL)
        return CQ_ERR_NOTFOUND;
    /* Behind the name: state and fields 4 to 13, then utime and stime; rss is the 24th. */
    const char *rest = strrchr(text, ')') + 1;
    if (sscanf(rest,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %*u "
               "%*u %lld",
               &user, &system, &pages) != 3)
        return CQ_ERR_NOTFOUND;
    out->cpu = (cq_time)(user + system) * (CQ_NS_PER_S / sysconf(_SC_CLK_TCK));
    out->rss_bytes = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return CQ_OK;
}

enum cq_err cq_usage_of_node(int fd, struct cq_usage *out)
{
    struct ucred monitor;
    socklen_t len = sizeof(monitor);
    char path[64], children[1024];

    /* Who began to listen: the monitor, whose child the node is. */
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &monitor, &len) != 0 || monitor.pid <= 0)
        return CQ_ERR_NOTFOUND;
    snprintf(path, sizeof(path), "/proc/%ld/task/%ld/children", (long)monitor.pid,
             (long)monitor.pid);
    if (read_text(path, children, sizeof(children)) == 0)
        return CQ_ERR_NOTFOUND;
    for (char *at = children, *end; *at != '\0'; at = end) {
        long pid = strtol(at, &end, 10);
        if (end == at)
            break;
        if (read_stat(pid, out) == CQ_OK)
            return CQ_OK;
    }
    return CQ_ERR_NOTFOUND;
}
