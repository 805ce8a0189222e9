#include "os/procinfo.h"

#include "base/time.h"
#include "os/clock.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 64, FILE_BYTES = 4096 };

/* A file of /proc/PID as a string. */
static bool read_file(pid_t pid, const char *name, char out[FILE_BYTES])
{
    char path[PATH_BYTES];

    snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = read(fd, out, FILE_BYTES - 1);
    close(fd);
    if (len <= 0)
        return false;
    out[len] = '\0';
    return true;
}

/* Fields of /proc/PID/stat (proc(5)) after the name, which may hold anything but ends with the last
 * parenthesis. */
static const char *read_stat(pid_t pid, char out[FILE_BYTES])
{
    const char *end = read_file(pid, "stat", out) ? strrchr(out, ')') : NULL;

    return end != NULL ? end + 1 : NULL;
}

/* Not by prlimit(2), which wants more capabilities than root may have in a service. */
static uint32_t read_fd_limit(pid_t pid)
{
    static const char title[] = "Max open files";
    char text[FILE_BYTES];
    const char *line = read_file(pid, "limits", text) ? strstr(text, title) : NULL;
    uint32_t max = 0;

    if (line != NULL && sscanf(line + strlen(title), " %" SCNu32, &max) != 1)
        return 0;
    return max;
}

static uint32_t count_fds(pid_t pid)
{
    char path[PATH_BYTES];
    uint32_t num = 0;

    snprintf(path, sizeof(path), "/proc/%ld/fd", (long)pid);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return 0;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        num += entry->d_name[0] != '.';
    closedir(dir);
    return num;
}

enum cq_err cq_procinfo_read(pid_t pid, struct cq_procinfo *out)
{
    char buffer[FILE_BYTES];
    uint64_t user = 0, system = 0, started = 0, virtual = 0;
    int64_t resident = 0;
    uint32_t threads = 0;
    long ticks = sysconf(_SC_CLK_TCK), page = sysconf(_SC_PAGESIZE);
    const char *fields = read_stat(pid, buffer);

    memset(out, 0, sizeof(*out));
    if (fields == NULL || ticks <= 0 || page <= 0 ||
        sscanf(fields,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
               " %*d %*d %*d %*d %" SCNu32 " %*d %" SCNu64 " %" SCNu64 " %" SCNd64,
               &user, &system, &threads, &started, &virtual, &resident) != 6)
        return CQ_ERR_NOTFOUND;
    out->cpu_ms = (user + system) * 1000 / (uint64_t)ticks;
    out->resident_bytes = resident > 0 ? (uint64_t)resident * (uint64_t)page : 0;
    out->virtual_bytes = virtual;
    out->num_threads = threads;
    out->num_fds = count_fds(pid);
    out->max_fds = read_fd_limit(pid);
    int64_t booted_ms = (cq_clock_wall() - cq_clock_now()) / CQ_NS_PER_MS;
    out->started_ms = booted_ms + (int64_t)(started * 1000 / (uint64_t)ticks);
    return CQ_OK;
}
