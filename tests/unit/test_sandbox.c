/* Giving privileges up: each case runs in a process of its own. */
#include "crypto/crypto.h"
#include "os/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { REFUSED = 42 }; /* exit status of a child whose step did not work at all */

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
static const bool is_instrumented = true; /* there is no filter then */
#else
static const bool is_instrumented = false;
#endif

/* The wait status of a child that calls f. */
static int status_of(int (*f)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0)
        _exit(f());
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void expect_exit(int (*f)(void), int code)
{
    int status = status_of(f);

    if (!WIFEXITED(status) || WEXITSTATUS(status) != code)
        fail_msg("status %x, wanted exit %d", (unsigned)status, code);
}

/* ---- the filter ---- */

static int filtered(void)
{
    return cq_sandbox_hide() == CQ_OK && cq_sandbox_filter() == CQ_OK;
}

static int allowed_calls(void)
{
    int pair[2];
    char byte = 'x';

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || !filtered())
        return REFUSED;
    if (write(pair[0], &byte, 1) != 1 || read(pair[1], &byte, 1) != 1)
        return 1;
    void *p = malloc(1 << 20);
    void *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == NULL || m == MAP_FAILED || mlock(m, 4096) != 0)
        return 2;
    free(p);
    return usleep(10) == 0 ? 0 : 3;
}

/* Randomness, and fresh seeds for it, are to be had behind the filter. */
static int random_numbers(void)
{
    uint8_t bytes[32];

    if (cq_crypto_init(false) != CQ_OK || !filtered())
        return REFUSED;
    return cq_crypto_random(bytes, sizeof(bytes)) == CQ_OK && cq_crypto_reseed() == CQ_OK ? 0 : 1;
}

static int open_file(void)
{
    if (!filtered())
        return REFUSED;
    return open("/dev/null", O_RDONLY) >= 0 ? 1 : 2;
}

static int make_socket(void)
{
    if (!filtered())
        return REFUSED;
    return socket(AF_INET, SOCK_DGRAM, 0) >= 0 ? 1 : 2;
}

static int execute(void)
{
    if (!filtered())
        return REFUSED;
    execl("/bin/true", "true", (char *)NULL);
    return 2;
}

static int fork_process(void)
{
    if (!filtered())
        return REFUSED;
    return fork() == 0 ? 1 : 2;
}

static int map_executable(void)
{
    if (!filtered())
        return REFUSED;
    void *m = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return m == MAP_FAILED ? 1 : 2;
}

static int make_executable(void)
{
    void *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (m == MAP_FAILED || !filtered())
        return REFUSED;
    return mprotect(m, 4096, PROT_READ | PROT_EXEC) == 0 ? 1 : 2;
}

static int trace(void)
{
    if (!filtered())
        return REFUSED;
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0 ? 1 : 2;
}

static int waiting_thread_pipe[2];

static void *open_when_told(void *unused)
{
    char byte;

    (void)unused;
    if (read(waiting_thread_pipe[0], &byte, 1) == 1)
        (void)!open("/dev/null", O_RDONLY);
    return NULL;
}

/* The filter holds for threads that were there before. */
static int open_file_in_thread(void)
{
    pthread_t thread;

    if (pipe(waiting_thread_pipe) != 0 || pthread_create(&thread, NULL, open_when_told, NULL) != 0)
        return REFUSED;
    if (!filtered() || write(waiting_thread_pipe[1], "x", 1) != 1)
        return REFUSED;
    pthread_join(thread, NULL);
    return 1;
}

static void test_filter_allows(void **state)
{
    (void)state;
    expect_exit(allowed_calls, 0);
    expect_exit(random_numbers, 0);
}

static void test_filter_kills(void **state)
{
    static const struct {
        const char *what;
        int (*f)(void);
    } cases[] = {
        {"open a file", open_file},
        {"make a socket", make_socket},
        {"execute a program", execute},
        {"fork", fork_process},
        {"map executable memory", map_executable},
        {"make memory executable", make_executable},
        {"become dumpable", trace},
        {"open a file in another thread", open_file_in_thread},
    };

    (void)state;
    if (is_instrumented)
        skip();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int status = status_of(cases[i].f);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
            fail_msg("%s: status %x", cases[i].what, (unsigned)status);
    }
}

/* ---- user, capabilities, root directory ---- */

static int hide(void)
{
    struct rlimit limit;

    if (cq_sandbox_hide() != CQ_OK)
        return REFUSED;
    if (getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_max != 0)
        return 1;
    return prctl(PR_GET_DUMPABLE) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 2;
}

static void test_hide(void **state)
{
    (void)state;
    expect_exit(hide, 0);
}

static int drop(void)
{
    struct cq_sandbox_user user;

    if (cq_sandbox_find_user("no such user here", &user) != CQ_OK ||
        cq_sandbox_drop(&user, false) != CQ_OK)
        return REFUSED;
    if (getuid() != user.uid || geteuid() != user.uid || getegid() != user.gid || user.uid == 0)
        return 1;
    if (getgroups(0, NULL) != 0)
        return 2;
    if (setuid(0) == 0 || setgid(0) == 0 || chroot("/") == 0)
        return 3;
    /* A program that would give capabilities back does not. */
    return prctl(PR_CAPBSET_READ, 0, 0, 0, 0) == 0 ? 0 : 4;
}

static int change_root(void)
{
    char dir[] = "/tmp/cryprq-test-sandbox.XXXXXX";
    const struct dirent *entry;

    if (mkdtemp(dir) == NULL)
        return REFUSED;
    int parent = open(dir, O_RDONLY | O_DIRECTORY);
    bool changed = cq_sandbox_chroot(dir) == CQ_OK;
    /* What it made is gone already. */
    DIR *d = parent >= 0 ? fdopendir(parent) : NULL;
    while (d != NULL && (entry = readdir(d)) != NULL)
        if (entry->d_name[0] != '.')
            return 1;
    if (!changed || d == NULL)
        return REFUSED;
    closedir(d);
    if (open("/tmp", O_RDONLY) >= 0 || open("../../etc/passwd", O_RDONLY) >= 0)
        return 2;
    return mkdir("/x", 0700) == 0 || open("/x", O_CREAT | O_WRONLY, 0600) >= 0 ? 3 : 0;
}

static void test_root_needed(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    expect_exit(drop, 0);
    expect_exit(change_root, 0);
    assert_int_equal(system("rmdir /tmp/cryprq-test-sandbox.?????? 2>/dev/null"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filter_allows),
        cmocka_unit_test(test_filter_kills),
        cmocka_unit_test(test_hide),
        cmocka_unit_test(test_root_needed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
