#include "os/file.h"

#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/cryprq-test-file.XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

/* In two buffers by turns, so that two paths can be used at once. */
static const char *in_dir(const char *name)
{
    static char paths[2][128];
    static int turn;

    turn = !turn;
    snprintf(paths[turn], sizeof(paths[turn]), "%s/%s", dir, name);
    return paths[turn];
}

static void put(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void expect_content(const char *path, const char *text)
{
    char *data;
    size_t len;

    assert_int_equal(cq_file_read(path, 4096, false, &data, &len, NULL), CQ_OK);
    assert_int_equal(len, strlen(text));
    assert_string_equal(data, text);
    cq_secret_free(data);
}

static unsigned num_entries(void)
{
    char command[128];
    unsigned num = 0;

    snprintf(command, sizeof(command), "ls -A %s | wc -l", dir);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%u", &num), 1);
    pclose(f);
    return num;
}

static void test_read_bounds(void **state)
{
    static const struct {
        size_t size, max;
        enum cq_err err;
    } cases[] = {
        {0, 0, CQ_OK},           {0, 10, CQ_OK},       {10, 10, CQ_OK},
        {11, 10, CQ_ERR_RANGE},  {1, 0, CQ_ERR_RANGE}, {4095, 100000, CQ_OK},
        {4096, 100000, CQ_OK},   {4097, 4097, CQ_OK},  {9000, 8999, CQ_ERR_RANGE},
        {100000, 100000, CQ_OK},
    };
    char *text = malloc(100001);

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *data = (char *)1;
        size_t len = 99;
        struct cq_file_info info;
        memset(text, 'x', cases[i].size);
        text[cases[i].size] = '\0';
        put(in_dir("f"), text, 0600);
        assert_int_equal(cq_file_read(in_dir("f"), cases[i].max, true, &data, &len, &info),
                         cases[i].err);
        if (cases[i].err != CQ_OK) {
            assert_null(data);
            assert_int_equal(len, 0);
            continue;
        }
        assert_int_equal(len, cases[i].size);
        assert_int_equal(info.size, len);
        assert_int_equal(info.mode, 0600);
        assert_string_equal(data, text);
        cq_secret_free(data);
    }
    free(text);
}

/* A pipe tells no size beforehand. */
static void test_read_pipe(void **state)
{
    char path[32];
    int ends[2];
    char *data;
    size_t len;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "from a pipe", 11), 11);
    close(ends[1]);
    snprintf(path, sizeof(path), "/dev/fd/%d", ends[0]);
    assert_int_equal(cq_file_read(path, 100, true, &data, &len, NULL), CQ_OK);
    assert_string_equal(data, "from a pipe");
    cq_secret_free(data);
    close(ends[0]);
}

static void test_secret_modes(void **state)
{
    static const struct {
        mode_t mode;
        enum cq_err err;
    } cases[] = {
        {0600, CQ_OK},       {0400, CQ_OK},       {0700, CQ_OK},       {0640, CQ_ERR_PERM},
        {0604, CQ_ERR_PERM}, {0620, CQ_ERR_PERM}, {0601, CQ_ERR_PERM}, {0644, CQ_ERR_PERM},
    };
    char message[256], wanted[32];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *data;
        size_t len;
        struct cq_file_info info;
        put(in_dir("key"), "secret", cases[i].mode);
        enum cq_err err = cq_file_read(in_dir("key"), 100, true, &data, &len, &info);
        assert_int_equal(err, cases[i].err);
        if (err != CQ_OK) {
            cq_file_read_message(err, "the/path", 100, &info, message, sizeof(message));
            snprintf(wanted, sizeof(wanted), "mode %04o", (unsigned)cases[i].mode);
            assert_non_null(strstr(message, wanted));
            assert_non_null(strstr(message, "chmod 600 the/path"));
        }
        cq_secret_free(data);
        /* Without `secret` the mode does not matter. */
        assert_int_equal(cq_file_read(in_dir("key"), 100, false, &data, &len, NULL), CQ_OK);
        cq_secret_free(data);
    }
}

static void test_read_errors(void **state)
{
    char *data;
    size_t len;
    char message[256];

    (void)state;
    assert_int_equal(cq_file_read(in_dir("none"), 10, false, &data, &len, NULL), CQ_ERR_NOTFOUND);
    assert_int_equal(cq_file_read(dir, 10, false, &data, &len, NULL), CQ_ERR_IO);
    assert_int_equal(errno, EISDIR);
    cq_file_read_message(CQ_ERR_IO, "p", 10, NULL, message, sizeof(message));
    assert_string_equal(message, "p: Is a directory");
    cq_file_read_message(CQ_ERR_RANGE, "p", 10, NULL, message, sizeof(message));
    assert_string_equal(message, "p: longer than 10 bytes");
}

static void test_replace(void **state)
{
    struct stat st;

    (void)state;
    umask(077);
    assert_int_equal(cq_file_replace(in_dir("f"), "one", 3, 0644), CQ_OK);
    expect_content(in_dir("f"), "one");
    assert_int_equal(stat(in_dir("f"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    umask(0);
    assert_int_equal(cq_file_replace(in_dir("f"), "twotwo", 6, 0600), CQ_OK);
    expect_content(in_dir("f"), "twotwo");
    assert_int_equal(stat(in_dir("f"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    umask(022);
    assert_int_equal(num_entries(), 1);
}

/* What cannot be replaced stays as it was, and no temporary is left. */
static void test_replace_failing(void **state)
{
    (void)state;
    assert_int_equal(mkdir(in_dir("d"), 0700), 0);
    put(in_dir("d/f"), "old", 0600);
    assert_int_equal(cq_file_replace(in_dir("d"), "new", 3, 0600), CQ_ERR_IO);
    expect_content(in_dir("d/f"), "old");
    assert_int_equal(num_entries(), 1);
    assert_int_equal(cq_file_replace(in_dir("none/f"), "new", 3, 0600), CQ_ERR_IO);
    assert_int_equal(errno, ENOENT);
}

static void test_create(void **state)
{
    struct stat st;

    (void)state;
    assert_int_equal(cq_file_create(in_dir("f"), "one", 3, 0600), CQ_OK);
    assert_int_equal(cq_file_create(in_dir("f"), "two", 3, 0600), CQ_ERR_EXISTS);
    expect_content(in_dir("f"), "one");
    assert_int_equal(stat(in_dir("f"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(symlink("elsewhere", in_dir("link")), 0);
    assert_int_equal(cq_file_create(in_dir("link"), "two", 3, 0600), CQ_ERR_EXISTS);
    assert_int_equal(access(in_dir("elsewhere"), F_OK), -1);
}

static void test_make_dir(void **state)
{
    struct stat st;

    (void)state;
    assert_int_equal(cq_file_make_dir(in_dir("d"), 0755), CQ_OK);
    assert_int_equal(stat(in_dir("d"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(cq_file_make_dir(in_dir("d"), 0755), CQ_OK);
    assert_int_equal(chmod(in_dir("d"), 0777), 0);
    assert_int_equal(cq_file_make_dir(in_dir("d"), 0755), CQ_ERR_PERM);
    assert_int_equal(symlink("/tmp", in_dir("link")), 0);
    assert_int_equal(cq_file_make_dir(in_dir("link"), 0755), CQ_ERR_PERM);
    put(in_dir("f"), "", 0600);
    assert_int_equal(cq_file_make_dir(in_dir("f"), 0755), CQ_ERR_PERM);
    assert_int_equal(cq_file_make_dir(in_dir("none/d"), 0755), CQ_ERR_IO);
}

static void test_remove(void **state)
{
    (void)state;
    put(in_dir("f"), "", 0600);
    assert_int_equal(cq_file_remove(in_dir("f")), CQ_OK);
    assert_int_equal(cq_file_remove(in_dir("f")), CQ_OK);
    assert_int_equal(cq_file_remove(dir), CQ_ERR_IO);
}

static void test_places(void **state)
{
    char path[CQ_FILE_PATH_MAX];
    char long_name[CQ_FILE_PATH_MAX];

    (void)state;
    unsetenv("CRYPRQ_RUNTIME_DIR");
    unsetenv("CRYPRQ_STATE_DIR");
    assert_string_equal(cq_file_runtime_dir(), "/run/cryprq");
    assert_string_equal(cq_file_state_dir(), "/var/lib/cryprq");
    setenv("CRYPRQ_RUNTIME_DIR", "relative", 1);
    assert_string_equal(cq_file_runtime_dir(), "/run/cryprq");
    setenv("CRYPRQ_RUNTIME_DIR", "/some/where", 1);
    assert_int_equal(cq_file_runtime_path(path, "wan0", ".sock"), CQ_OK);
    assert_string_equal(path, "/some/where/wan0.sock");
    memset(long_name, 'x', sizeof(long_name));
    long_name[sizeof(long_name) - 1] = '\0';
    assert_int_equal(cq_file_runtime_path(path, long_name, ""), CQ_ERR_RANGE);
    unsetenv("CRYPRQ_RUNTIME_DIR");
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(test_read_bounds),  cmocka_unit_test(test_read_pipe),
        IN_DIR(test_secret_modes), IN_DIR(test_read_errors),
        IN_DIR(test_replace),      IN_DIR(test_replace_failing),
        IN_DIR(test_create),       IN_DIR(test_make_dir),
        IN_DIR(test_remove),       cmocka_unit_test(test_places),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
