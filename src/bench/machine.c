#include "bench/machine.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Of /proc/cpuinfo: x86 and Arm. */
static const char *const interesting[] = {
    "aes",      "pclmulqdq", "vaes", "vpclmulqdq", "avx",  "avx2",  "avx512f", "avx512vl",
    "avx512bw", "bmi2",      "adx",  "sha_ni",     "neon", "asimd", "pmull",   "sha2",
};
enum { NUM_INTERESTING = sizeof(interesting) / sizeof(interesting[0]) };

int cq_bench_pin(void)
{
    int cpu = sched_getcpu();
    cpu_set_t set;

    if (cpu < 0 || cpu >= CPU_SETSIZE)
        return -1;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    return sched_setaffinity(0, sizeof(set), &set) == 0 ? cpu : -1;
}

/* The text after "key<blanks>: ", or NULL. */
static char *value_of(char *line, const char *key)
{
    size_t len = strlen(key);
    char *colon = strchr(line, ':');

    if (colon == NULL || strncmp(line, key, len) != 0 || strspn(line + len, " \t") == 0)
        return NULL;
    if (line + len + strspn(line + len, " \t") != colon)
        return NULL;
    colon[strcspn(colon, "\n")] = '\0';
    return colon + 1 + strspn(colon + 1, " ");
}

static void take_flags(struct cq_bench_machine *m, char *list)
{
    char *rest = NULL;
    size_t used = 0;

    for (char *flag = strtok_r(list, " ", &rest); flag != NULL; flag = strtok_r(NULL, " ", &rest)) {
        if (strcmp(flag, "hypervisor") == 0)
            snprintf(m->virtual_machine, sizeof(m->virtual_machine), "hypervisor");
        for (int i = 0; i < NUM_INTERESTING; i++) {
            size_t len = strlen(flag);
            if (strcmp(flag, interesting[i]) != 0 || used + len + 2 > sizeof(m->flags))
                continue;
            used += (size_t)snprintf(m->flags + used, sizeof(m->flags) - used, "%s%s",
                                     used > 0 ? " " : "", flag);
        }
    }
}

/* The first processor stands for all. */
static void read_cpuinfo(struct cq_bench_machine *m)
{
    FILE *f = fopen("/proc/cpuinfo", "re");
    static char line[8192];

    snprintf(m->cpu, sizeof(m->cpu), "unknown");
    if (f == NULL)
        return;
    while (fgets(line, sizeof(line), f) != NULL && line[0] != '\n') {
        char *name = value_of(line, "model name");
        if (name != NULL)
            snprintf(m->cpu, sizeof(m->cpu), "%s", name);
        char *flags = value_of(line, "flags");
        if (flags == NULL)
            flags = value_of(line, "Features");
        if (flags != NULL)
            take_flags(m, flags);
    }
    fclose(f);
}

void cq_bench_machine_read(struct cq_bench_machine *m, int pinned_to)
{
    struct utsname name;

    *m = (struct cq_bench_machine){
        .cores = sysconf(_SC_NPROCESSORS_ONLN),
        .pinned_to = pinned_to,
    };
    if (uname(&name) == 0)
        snprintf(m->kernel, sizeof(m->kernel), "%.32s %.48s %.32s", name.sysname, name.release,
                 name.machine);
    read_cpuinfo(m);
}
