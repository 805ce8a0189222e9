#include "os/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { DIR_BYTES = 1024 };

/* Sanitizers make system calls of their own. */
#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { IS_INSTRUMENTED = 1 };
#else
enum { IS_INSTRUMENTED = 0 };
#endif

enum cq_err cq_sandbox_allow_memlock(void)
{
    struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};

    return setrlimit(RLIMIT_MEMLOCK, &all) == 0 ? CQ_OK : CQ_ERR_IO;
}

enum cq_err cq_sandbox_hide(void)
{
    struct rlimit none = {0, 0};

    if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return CQ_ERR_IO;
    return CQ_OK;
}

enum cq_err cq_sandbox_chroot(const char *scratch_dir)
{
    char path[DIR_BYTES];

    if ((size_t)snprintf(path, sizeof(path), "%s/empty.XXXXXX", scratch_dir) >= sizeof(path))
        return CQ_ERR_RANGE;
    if (mkdtemp(path) == NULL)
        return CQ_ERR_IO;
    bool inside = chdir(path) == 0;
    int saved = errno;
    bool removed = rmdir(path) == 0;
    if (inside)
        saved = errno;
    if (!inside || !removed || chroot(".") != 0) {
        if (inside && removed)
            saved = errno;
        errno = saved;
        return CQ_ERR_IO;
    }
    return CQ_OK;
}

enum cq_err cq_sandbox_find_user(const char *name, struct cq_sandbox_user *out)
{
    const struct passwd *p = getpwnam(name);

    if (p == NULL || p->pw_uid == 0)
        p = getpwnam("nobody");
    if (p == NULL || p->pw_uid == 0)
        return CQ_ERR_NOTFOUND;
    *out = (struct cq_sandbox_user){p->pw_uid, p->pw_gid};
    return CQ_OK;
}

/* Whether no capability is left but, where it is to be kept, that of locking memory. */
static bool is_bare(bool keep_memlock)
{
    static const capng_type_t sets[] = {CAPNG_EFFECTIVE, CAPNG_PERMITTED, CAPNG_INHERITABLE};

    if (capng_get_caps_process() != 0)
        return false;
    for (unsigned c = 0; c <= CAP_LAST_CAP; c++)
        for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
            if (capng_have_capability(sets[i], c) != 0 && !(keep_memlock && c == CAP_IPC_LOCK))
                return false;
    return true;
}

enum cq_err cq_sandbox_drop(const struct cq_sandbox_user *user, bool keep_memlock)
{
    capng_get_caps_process();
    keep_memlock = keep_memlock && capng_have_capability(CAPNG_PERMITTED, CAP_IPC_LOCK) != 0;
    capng_clear(CAPNG_SELECT_ALL);
    if (keep_memlock)
        capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_IPC_LOCK);
    if (capng_change_id((int)user->uid, (int)user->gid,
                        CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING) != 0)
        return CQ_ERR_PERM;
    if (setuid(0) == 0 || geteuid() != user->uid || getegid() != user->gid)
        return CQ_ERR_PERM; /* the way back is open: something is wrong with this machine */
    return is_bare(keep_memlock) ? CQ_OK : CQ_ERR_PERM;
}

/* What the threads of a running node call. */
static const int allowed[] = {
    /* packets, handshakes, the monitor, clients of the control socket */
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(recvmsg),
    SCMP_SYS(recvmmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(accept4),
    SCMP_SYS(close),
    /* waiting */
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(futex),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(sched_yield),
    /* memory; mmap and mprotect with the restriction below */
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(brk),
    SCMP_SYS(madvise),
    SCMP_SYS(mlock),
    SCMP_SYS(munlock),
    /* randomness; libcrypto looks whether it was forked */
    SCMP_SYS(getrandom),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    /* a thread that has been started but has not run yet */
    SCMP_SYS(rseq),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(sched_getaffinity),
    /* the end, by abort() as well */
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(tgkill),
};

/* What the metrics server calls: one thread that accepts connections, reads and writes. */
static const int allowed_server[] = {
    /* connections, the node, the monitor, log lines */
    SCMP_SYS(accept4),
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(shutdown),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(fcntl),
    SCMP_SYS(close),
    /* waiting */
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(futex),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(restart_syscall),
    /* memory; mmap and mprotect with the restriction below */
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(brk),
    SCMP_SYS(madvise),
    SCMP_SYS(getrandom),
    /* the end, by abort() as well */
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigreturn),
};

static int add_rules(scmp_filter_ctx filter, const int *calls, size_t num)
{
    int r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);

    for (size_t i = 0; r == 0 && i < num; i++)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, PR_SET_NAME));
    /* No memory ever becomes executable. */
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    return r;
}

/* `itself`: signals reach no other process. */
static enum cq_err install(const int *calls, size_t num, bool itself)
{
    if (IS_INSTRUMENTED)
        return CQ_OK;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);

    if (filter == NULL) {
        errno = ENOMEM;
        return CQ_ERR_IO;
    }
    int r = add_rules(filter, calls, num);
    if (r == 0 && itself)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                             SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    if (r == 0)
        r = seccomp_load(filter);
    seccomp_release(filter);
    if (r != 0)
        errno = -r;
    return r == 0 ? CQ_OK : CQ_ERR_IO;
}

enum cq_err cq_sandbox_filter(void)
{
    return install(allowed, sizeof(allowed) / sizeof(allowed[0]), false);
}

enum cq_err cq_sandbox_filter_server(void)
{
    return install(allowed_server, sizeof(allowed_server) / sizeof(allowed_server[0]), true);
}
