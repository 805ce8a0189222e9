#include "node/undo.h"

#include "base/log.h"
#include "node/lock.h"
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];

static int set_up(void **state)
{
    (void)state;
    cq_log_set_level(CQ_LOG_ERROR);
    strcpy(dir, "/tmp/cryprq-test-undo.XXXXXX");
    if (mkdtemp(dir) == NULL)
        return 1;
    return setenv("CRYPRQ_RUNTIME_DIR", dir, 1);
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

static void path_of(char out[128], const char *name)
{
    snprintf(out, 128, "%s/%s", dir, name);
}

static void expect_note(const char *wanted)
{
    char path[128], text[256];

    path_of(path, "note");
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 || *wanted == '\0');
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
    assert_true(n >= 0);
    text[n] = '\0';
    assert_string_equal(text, wanted);
    if (fd >= 0)
        close(fd);
}

/* A command that leaves `text` in the note. */
static void note_command(char out[256], const char *text)
{
    snprintf(out, 256, "echo '%s' >> %s/note", text, dir);
}

static void note_device(void *ctx)
{
    char command[256];

    note_command(command, ctx);
    assert_int_equal(system(command), 0);
}

static void test_backwards(void **state)
{
    struct cq_undo undo;
    char command[256], file[128], word[] = "device";
    struct stat st;

    (void)state;
    assert_false(cq_undo_exists("wan0"));
    assert_int_equal(cq_undo_open(&undo, "wan0"), CQ_OK);
    assert_true(cq_undo_exists("wan0"));
    path_of(file, "wan0.undo");
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    path_of(file, "a file\\with\nodd name");
    assert_int_equal(cq_file_create(file, "", 0, 0600), CQ_OK);
    assert_int_equal(cq_undo_file(&undo, file), CQ_OK);
    note_command(command, "PostDown %i");
    assert_int_equal(cq_undo_hook(&undo, "PostDown", command), CQ_OK);
    assert_int_equal(cq_undo_device(&undo), CQ_OK);
    snprintf(command, sizeof(command), "printf '%%s\\n' 'two\nlines' '\\end' >> %s/note", dir);
    assert_int_equal(cq_undo_hook(&undo, "PreDown", command), CQ_OK);
    cq_undo_close(&undo);
    /* Not twice. */
    assert_int_equal(cq_undo_open(&undo, "wan0"), CQ_ERR_EXISTS);
    assert_int_equal(cq_undo_run("wan0", note_device, word), 0);
    expect_note("two\nlines\n\\end\ndevice\nPostDown wan0\n");
    assert_int_equal(access(file, F_OK), -1);
    assert_false(cq_undo_exists("wan0"));
    /* Nothing to do is fine. */
    assert_int_equal(cq_undo_run("wan0", note_device, word), 0);
}

static void test_failing_step(void **state)
{
    struct cq_undo undo;
    char command[256];

    (void)state;
    assert_int_equal(cq_undo_open(&undo, "wan0"), CQ_OK);
    note_command(command, "last");
    assert_int_equal(cq_undo_hook(&undo, "PostDown", command), CQ_OK);
    assert_int_equal(cq_undo_file(&undo, dir), CQ_OK); /* a directory: cannot be unlinked */
    assert_int_equal(cq_undo_hook(&undo, "PostDown", "exit 3"), CQ_OK);
    note_command(command, "first");
    assert_int_equal(cq_undo_hook(&undo, "PostDown", command), CQ_OK);
    cq_undo_close(&undo);
    assert_int_equal(cq_undo_run("wan0", NULL, NULL), 2);
    expect_note("first\nlast\n");
    assert_false(cq_undo_exists("wan0"));
}

/* Whatever a killed process left of a line, and whatever else stands there. */
static void test_damaged(void **state)
{
    static const char *const texts[] = {
        "",
        "cryprq-undo 1",
        "another file\nhook PostDown echo wrong >> %s/note\n",
        "cryprq-undo 2\nhook PostDown echo wrong >> %s/note\n",
        "cryprq-undo 1\nhook PostDown echo wrong >> %s/note",
        "cryprq-undo 1\nrule 4 100\nrule\nrule x\nhook\nhook PostDown\nnonsense\nnonsense x\n\n",
    };
    char path[128], text[256];

    (void)state;
    path_of(path, "wan0.undo");
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char *where = strstr(texts[i], "%s");
        int len = where == NULL ? snprintf(text, sizeof(text), "%s", texts[i])
                                : snprintf(text, sizeof(text), "%.*s%s%s", (int)(where - texts[i]),
                                           texts[i], dir, where + 2);
        assert_int_equal(cq_file_create(path, text, (size_t)len, 0600), CQ_OK);
        assert_int_equal(cq_undo_run("wan0", NULL, NULL), 0);
        assert_false(cq_undo_exists("wan0"));
        expect_note("");
    }
}

static void test_too_long(void **state)
{
    struct cq_undo undo;
    char *text = malloc(20000);

    (void)state;
    assert_non_null(text);
    memset(text, 'x', 19999);
    text[19999] = '\0';
    assert_int_equal(cq_undo_open(&undo, "wan0"), CQ_OK);
    assert_int_equal(cq_undo_hook(&undo, "PostDown", text), CQ_ERR_RANGE);
    cq_undo_close(&undo);
    assert_int_equal(cq_undo_run("wan0", NULL, NULL), 0);
    free(text);
}

/* The lock: one owner, known by its PID, gone with it. */
static void test_lock(void **state)
{
    struct cq_lock lock;
    pid_t holder;
    int ends[2];
    char byte;

    (void)state;
    assert_int_equal(cq_lock_holder("wan0", &holder), CQ_ERR_NOTFOUND);
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        bool taken = cq_lock_take(&lock, "wan0", 0, &holder) == CQ_OK;
        (void)!write(ends[1], taken ? "y" : "n", 1);
        pause();
        _exit(0);
    }
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    assert_int_equal(cq_lock_holder("wan0", &holder), CQ_OK);
    assert_int_equal(holder, child);
    assert_int_equal(cq_lock_take(&lock, "wan0", 0, &holder), CQ_ERR_EXISTS);
    assert_int_equal(holder, child);
    assert_false(cq_lock_wait_free("wan0", 0));
    assert_int_equal(cq_lock_take(&lock, "wan1", 0, &holder), CQ_OK);
    cq_lock_release(&lock, "wan1");
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    /* Its file is still there, but nobody's. */
    assert_int_equal(cq_lock_holder("wan0", &holder), CQ_ERR_NOTFOUND);
    assert_true(cq_lock_wait_free("wan0", 0));
    assert_int_equal(cq_lock_take(&lock, "wan0", 0, &holder), CQ_OK);
    cq_lock_release(&lock, "wan0");
    cq_lock_release(&lock, "wan0");
    close(ends[0]);
    close(ends[1]);
}

/* A child that shares the lock, as the keeper does: it is no owner, but nobody gets in. */
static void test_shared_lock(void **state)
{
    struct cq_lock lock;
    pid_t holder;

    (void)state;
    assert_int_equal(cq_lock_take(&lock, "wan0", 0, &holder), CQ_OK);
    pid_t child = fork();
    if (child == 0) {
        usleep(150 * 1000);
        cq_lock_release(&lock, "wan0");
        _exit(0);
    }
    close(lock.fd);
    assert_int_equal(cq_lock_holder("wan0", &holder), CQ_OK);
    assert_int_equal(holder, 0);
    assert_int_equal(cq_lock_take(&lock, "wan0", 0, &holder), CQ_ERR_EXISTS);
    assert_int_equal(holder, 0);
    assert_int_equal(cq_lock_take(&lock, "wan0", 5 * CQ_NS_PER_S, &holder), CQ_OK);
    cq_lock_release(&lock, "wan0");
    assert_int_equal(waitpid(child, NULL, 0), child);
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(test_backwards), IN_DIR(test_failing_step), IN_DIR(test_damaged),
        IN_DIR(test_too_long),  IN_DIR(test_lock),         IN_DIR(test_shared_lock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
