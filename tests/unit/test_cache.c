#include "node/cache.h"

#include "os/file.h"

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

enum { ENTRY_BYTES = 1272 };

static char dir[64];
/* In base64 with both characters that a file name replaces. */
static const uint8_t id[CQ_PEER_ID_LEN] = {0xfb, 0xff, 0xbf, 0xfe, 1, 2, 3};
static const char file_name[] = "-_-__gECAwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.key";

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/cryprq-test-cache.XXXXXX");
    if (mkdtemp(dir) == NULL || setenv("CRYPRQ_STATE_DIR", dir, 1) != 0)
        return 1;
    return cq_cache_prepare() != CQ_OK;
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

static void entry_path(char out[256], const char *suffix)
{
    snprintf(out, 256, "%s/keys/%s%s", dir, file_name, suffix);
}

static void make_entry(struct cq_cache_entry *entry, bool replied)
{
    *entry = (struct cq_cache_entry){.has_key = true, .replied = replied};
    memset(&entry->key, 0xa5, sizeof(entry->key));
    entry->key.s[0] = 1;
    entry->key.ek[CQ_MLKEM_EK_LEN - 1] = 2;
}

static void test_round_trip(void **state)
{
    struct cq_cache_entry in, out;
    struct stat st;
    char path[256];

    (void)state;
    assert_int_equal(cq_cache_load(id, &out), CQ_ERR_NOTFOUND);
    assert_false(out.has_key || out.replied);
    for (int replied = 0; replied < 2; replied++) {
        make_entry(&in, replied != 0);
        assert_int_equal(cq_cache_store(id, &in), CQ_OK);
        assert_int_equal(cq_cache_load(id, &out), CQ_OK);
        assert_memory_equal(&in.key, &out.key, sizeof(in.key));
        assert_true(out.has_key);
        assert_int_equal(out.replied, replied);
    }
    in = (struct cq_cache_entry){.replied = true};
    assert_int_equal(cq_cache_store(id, &in), CQ_OK);
    assert_int_equal(cq_cache_load(id, &out), CQ_OK);
    assert_true(out.replied && !out.has_key);
    entry_path(path, "");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, ENTRY_BYTES);
    assert_int_equal(st.st_mode & 07777, 0600);
    snprintf(path, sizeof(path), "%s/keys", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

/* Writes the entry's file with one byte changed (flip >= 0) or of another length. */
static void damage(int flip, size_t len)
{
    uint8_t data[ENTRY_BYTES + 8] = {0};
    char path[256];

    entry_path(path, "");
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, data, sizeof(data)), ENTRY_BYTES);
    close(fd);
    if (flip >= 0)
        data[flip] ^= 0x10;
    assert_int_equal(cq_file_replace(path, data, len, 0600), CQ_OK);
}

static void test_damage(void **state)
{
    struct cq_cache_entry entry, out;
    char path[256];

    (void)state;
    make_entry(&entry, true);
    for (int i = -4; i < ENTRY_BYTES; i += i < 60 ? 1 : 97) {
        static const size_t lengths[] = {0, ENTRY_BYTES - 1, ENTRY_BYTES + 1, 40};
        assert_int_equal(cq_cache_store(id, &entry), CQ_OK);
        damage(i, i < 0 ? lengths[i + 4] : ENTRY_BYTES);
        assert_int_equal(cq_cache_load(id, &out), CQ_ERR_INVALID);
        assert_false(out.has_key || out.replied);
        entry_path(path, ".damaged");
        assert_int_equal(unlink(path), 0);
        assert_int_equal(cq_cache_load(id, &out), CQ_ERR_NOTFOUND);
    }
}

/* A file under another peer's name is not that peer's. */
static void test_misplaced(void **state)
{
    struct cq_cache_entry entry, out;
    uint8_t other[CQ_PEER_ID_LEN] = {9};
    char from[256], to[256];

    (void)state;
    make_entry(&entry, true);
    assert_int_equal(cq_cache_store(other, &entry), CQ_OK);
    snprintf(from, sizeof(from), "%s/keys/CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.key", dir);
    entry_path(to, "");
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(cq_cache_load(id, &out), CQ_ERR_INVALID);
}

static void test_prepare(void **state)
{
    char path[256];

    (void)state;
    assert_int_equal(cq_cache_prepare(), CQ_OK);
    snprintf(path, sizeof(path), "%s/keys", dir);
    assert_int_equal(chmod(path, 0777), 0);
    assert_int_equal(cq_cache_prepare(), CQ_ERR_PERM);
    setenv("CRYPRQ_STATE_DIR", "/nonexistent/state", 1);
    assert_int_equal(cq_cache_prepare(), CQ_ERR_IO);
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(test_round_trip),
        IN_DIR(test_damage),
        IN_DIR(test_misplaced),
        IN_DIR(test_prepare),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
