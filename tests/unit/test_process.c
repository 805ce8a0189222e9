/* Hook commands and control-socket conversations. */
#include "os/process.h"

#include "os/clock.h"
#include "os/unix.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/cryprq-test-process.XXXXXX");
    return mkdtemp(dir) == NULL || setenv("CRYPRQ_RUNTIME_DIR", dir, 1) != 0;
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

static void test_hook_status(void **state)
{
    static const struct {
        const char *command;
        enum cq_err err;
        int status; /* exit status; negative: signal */
    } cases[] = {
        {"exit 0", CQ_OK, 0},
        {"true; test %i = wan0 && test %i%i = wan0wan0 && test '%' = '%'", CQ_OK, 0},
        {"exit 3", CQ_ERR_STATE, 3},
        {"/nonexistent/program 2>/dev/null", CQ_ERR_STATE, 127},
        {"kill -9 $$", CQ_ERR_STATE, -SIGKILL},
        {"read x && exit 1; exit 0", CQ_OK, 0}, /* standard input is empty */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int status;
        enum cq_err err =
            cq_process_run_hook(cases[i].command, "wan0", -1, 20 * CQ_NS_PER_S, &status);
        if (err != cases[i].err)
            fail_msg("%s: error %d", cases[i].command, err);
        assert_int_equal(WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status),
                         cases[i].status);
    }
}

/* It gets no descriptor of ours, and no blocked signals. */
static void test_hook_inherits_nothing(void **state)
{
    int status;
    sigset_t set, before;

    (void)state;
    int fd = dup(STDERR_FILENO);
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, &before);
    assert_int_equal(cq_process_run_hook("test ! -e /proc/self/fd/3 && "
                                         "grep -q 'SigBlk:.0000000000000000' /proc/self/status",
                                         "wan0", -1, 20 * CQ_NS_PER_S, &status),
                     CQ_OK);
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(fd);
}

static void test_hook_too_slow(void **state)
{
    int status;
    cq_time start = cq_clock_now();

    (void)state;
    /* Children of the command end with it. */
    assert_int_equal(
        cq_process_run_hook("sleep 60 & sleep 60", "wan0", -1, CQ_NS_PER_S / 10, &status),
        CQ_ERR_EXPIRED);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    assert_true(cq_clock_now() - start < 2 * CQ_NS_PER_S);
}

static void test_hook_interrupted(void **state)
{
    int status, ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(cq_process_run_hook("sleep 60", "wan0", ends[0], 50 * CQ_NS_PER_S, &status),
                     CQ_ERR_EXPIRED);
    close(ends[0]);
    close(ends[1]);
}

static void test_watch(void **state)
{
    int fd;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        pause();
        _exit(0);
    }
    assert_int_equal(cq_process_watch(pid, &fd), CQ_OK);
    assert_false(cq_process_wait_end(fd, 1));
    assert_int_equal(cq_process_signal(fd, SIGKILL), CQ_OK);
    assert_true(cq_process_wait_end(fd, 5 * CQ_NS_PER_S));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(cq_process_signal(fd, SIGKILL), CQ_ERR_NOTFOUND);
    close(fd);
    assert_int_equal(cq_process_watch(pid, &fd), CQ_ERR_NOTFOUND);
}

static void make_socket(const char *name, int *out_fd)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s.sock", dir, name);
    assert_int_equal(cq_unix_listen(path, NULL, out_fd), CQ_OK);
}

static void test_listen(void **state)
{
    char path[128], long_path[200];
    struct stat st;
    int fd, again;

    (void)state;
    snprintf(path, sizeof(path), "%s/wan0.sock", dir);
    make_socket("wan0", &fd);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(cq_unix_accept(fd, &again), CQ_ERR_AGAIN);
    assert_int_equal(cq_unix_listen(path, NULL, &again), CQ_ERR_EXISTS);
    close(fd);
    memset(long_path, 'x', sizeof(long_path));
    long_path[sizeof(long_path) - 1] = '\0';
    assert_int_equal(cq_unix_listen(long_path, NULL, &fd), CQ_ERR_RANGE);
    /* A socket that nobody listens on any more, and none at all. */
    assert_int_equal(cq_unix_connect("wan0", &fd), CQ_ERR_NOTFOUND);
    assert_int_equal(cq_unix_connect("wan1", &fd), CQ_ERR_NOTFOUND);
}

static void test_list(void **state)
{
    char **names, path[128];
    size_t num;
    int fds[3];

    (void)state;
    assert_int_equal(cq_unix_list(&names, &num), CQ_OK);
    assert_int_equal(num, 0);
    make_socket("b", &fds[0]);
    make_socket("a.x", &fds[1]);
    make_socket("c", &fds[2]);
    snprintf(path, sizeof(path), "%s/c.pid", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(cq_unix_list(&names, &num), CQ_OK);
    assert_int_equal(num, 3);
    for (size_t i = 0; i < num; i++) {
        static const char *const wanted[] = {"a.x", "b", "c"};
        assert_string_equal(names[i], wanted[i]);
        free(names[i]);
        close(fds[i]);
    }
    free(names);
    setenv("CRYPRQ_RUNTIME_DIR", "/nonexistent", 1);
    assert_int_equal(cq_unix_list(&names, &num), CQ_OK);
    assert_int_equal(num, 0);
}

/* A server in a process of its own: reads something, then writes `answer` in two parts and closes.
 */
static pid_t serve(int listener, const char *answer, size_t len)
{
    pid_t pid = fork();

    if (pid == 0) {
        char waste[64];
        int fd = accept(listener, NULL, NULL);
        while (fd < 0 && errno == EAGAIN) {
            usleep(1000);
            fd = accept(listener, NULL, NULL);
        }
        if (read(fd, waste, sizeof(waste)) <= 0)
            _exit(1);
        (void)!write(fd, answer, len / 2);
        usleep(20 * 1000);
        (void)!write(fd, answer + len / 2, len - len / 2);
        _exit(0);
    }
    return pid;
}

static void test_ask(void **state)
{
    static char large[200001];
    static const struct {
        const char *answer;
        size_t max;
        enum cq_err err;
    } cases[] = {
        {"one line\n", 100, CQ_OK},    {"no end", 100, CQ_OK},       {"", 100, CQ_OK},
        {"12345\n", 6, CQ_OK},         {"12345\n", 5, CQ_ERR_RANGE}, {large, 200000, CQ_OK},
        {large, 199999, CQ_ERR_RANGE},
    };

    (void)state;
    memset(large, 'y', 200000);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int listener, fd;
        char *out, name[16];
        size_t len;
        snprintf(name, sizeof(name), "wan%zu", i);
        make_socket(name, &listener);
        pid_t pid = serve(listener, cases[i].answer, strlen(cases[i].answer));
        assert_int_equal(cq_unix_connect(name, &fd), CQ_OK);
        assert_int_equal(cq_unix_ask(fd, "ask\n", 4, 5000, cases[i].max, &out, &len), cases[i].err);
        if (cases[i].err == CQ_OK) {
            assert_int_equal(len, strlen(cases[i].answer));
            assert_string_equal(out, cases[i].answer);
        }
        free(out);
        close(fd);
        close(listener);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
    }
}

static void test_ask_silent(void **state)
{
    int listener, fd;
    char *out;
    size_t len;
    cq_time start = cq_clock_now();

    (void)state;
    make_socket("wan0", &listener);
    assert_int_equal(cq_unix_connect("wan0", &fd), CQ_OK);
    assert_int_equal(cq_unix_ask(fd, "ask\n", 4, 100, 1000, &out, &len), CQ_ERR_EXPIRED);
    assert_null(out);
    assert_true(cq_clock_now() - start >= 100 * CQ_NS_PER_MS);
    assert_true(cq_clock_now() - start < 3 * CQ_NS_PER_S);
    close(fd);
    close(listener);
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hook_status),
        cmocka_unit_test(test_hook_inherits_nothing),
        cmocka_unit_test(test_hook_too_slow),
        cmocka_unit_test(test_hook_interrupted),
        cmocka_unit_test(test_watch),
        IN_DIR(test_listen),
        IN_DIR(test_list),
        IN_DIR(test_ask),
        IN_DIR(test_ask_silent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
