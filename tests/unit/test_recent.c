#include "node/recent.h"

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

static char dir[64];

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/cryprq-test-recent.XXXXXX");
    return mkdtemp(dir) == NULL || setenv("CRYPRQ_STATE_DIR", dir, 1) != 0;
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

/* Peer n, seen at second `seen`; every third one over IPv6 with a scope. */
static struct cq_recent_entry entry(unsigned n, int64_t seen)
{
    struct cq_recent_entry e = {.id = {(uint8_t)(n >> 8), (uint8_t)n, 7}, .seen = seen};

    if (n % 3 == 2)
        e.addr = (struct cq_addr){{CQ_FAMILY_IPV6, {0xfe, 0x80, [15] = 9}}, 1000, 5};
    else
        e.addr = (struct cq_addr){
            {CQ_FAMILY_IPV4, {192, 0, (uint8_t)(n >> 8), (uint8_t)(n | 1)}}, 51820, 0};
    return e;
}

static void assert_entry(const struct cq_recent_entry *found, const struct cq_recent_entry *wanted)
{
    assert_memory_equal(found->id, wanted->id, sizeof(found->id));
    assert_true(cq_addr_equal(&found->addr, &wanted->addr));
    assert_true(found->seen == wanted->seen);
}

static void fill(struct cq_recent_list *list, unsigned num)
{
    for (unsigned n = 0; n < num; n++) {
        struct cq_recent_entry e = entry(n, 1000 + n);
        assert_int_equal(cq_recent_add(list, &e), CQ_OK);
    }
}

static void test_file(void **state)
{
    struct cq_recent_list in = {0}, out;
    struct stat st;
    char path[128];

    (void)state;
    assert_int_equal(cq_recent_load("wan0", &out), CQ_ERR_NOTFOUND);
    assert_true(out.num == 0 && out.entries == NULL);
    fill(&in, 500);
    assert_int_equal(cq_recent_store("wan0", &in), CQ_OK);
    snprintf(path, sizeof(path), "%s/wan0.recent", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(cq_recent_load("wan0", &out), CQ_OK);
    assert_int_equal(out.num, 500);
    for (unsigned n = 0; n < 500; n++) {
        struct cq_recent_entry wanted = entry(499 - n, 1000 + 499 - n); /* newest first */
        assert_entry(&out.entries[n], &wanted);
    }
    cq_recent_free(&out);
    in.num = 0;
    assert_int_equal(cq_recent_store("wan0", &in), CQ_OK);
    assert_int_equal(cq_recent_load("wan0", &out), CQ_OK);
    assert_int_equal(out.num, 0);
    assert_int_equal(cq_recent_remove("wan0"), CQ_OK);
    assert_int_equal(cq_recent_remove("wan0"), CQ_OK);
    assert_int_equal(cq_recent_load("wan0", &out), CQ_ERR_NOTFOUND);
    cq_recent_free(&in);
}

static void test_damaged_file(void **state)
{
    static const char id[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    static const struct {
        const char *rest; /* after the ID */
        size_t num;
    } rows[] = {
        {" 192.0.2.1:5 12\n", 1},
        {" [2001:db8::1]:5 12", 1},
        {" 192.0.2.1:5 12\r\n", 0},
        {" 192.0.2.1:5 -1\n", 0},
        {" 192.0.2.1:0 12\n", 0},
        {" 224.0.0.1:5 12\n", 0},
        {" 192.0.2.1:5\n", 0},
        {" host.example:5 1\n", 0},
        {"\n", 0},
        {" 192.0.2.1:5 12 13\n", 0},
        {" 192.0.2.1:5 \n", 0},
        {"  12\n", 0},
        {"A 192.0.2.1:5 12\n", 0},
        {" 192.0.2.1:5 99999999999999999999\n", 0},
    };
    struct cq_recent_list list;
    char path[128], text[256];

    (void)state;
    snprintf(path, sizeof(path), "%s/wan1.recent", dir);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        /* A good line follows the damaged one, and is found. */
        int n = snprintf(text, sizeof(text), "%s%s\n%s 192.0.2.9:9 9\n", id, rows[i].rest, id);
        assert_int_equal(cq_file_replace(path, text, (size_t)n, 0600), CQ_OK);
        assert_int_equal(cq_recent_load("wan1", &list), CQ_OK);
        assert_int_equal(list.num, rows[i].num + 1);
        cq_recent_free(&list);
    }
    /* A NUL ends it, as any damage does. */
    assert_int_equal(cq_file_replace(path, "\0abc", 4, 0600), CQ_OK);
    assert_int_equal(cq_recent_load("wan1", &list), CQ_OK);
    assert_int_equal(list.num, 0);
}

static void test_messages(void **state)
{
    static const unsigned nums[] = {0, 1, CQ_RECENT_PER_MESSAGE, CQ_RECENT_PER_MESSAGE + 1, 1000};
    struct cq_recent_list in = {0}, out = {0};
    struct cq_channel_message message;
    int ends[2];

    (void)state;
    assert_int_equal(cq_channel_open(ends), CQ_OK);
    for (size_t i = 0; i < sizeof(nums) / sizeof(nums[0]); i++) {
        in.num = 0;
        fill(&in, nums[i]);
        assert_int_equal(cq_recent_send(ends[0], &in), CQ_OK);
        while (cq_channel_receive(ends[1], &message) == CQ_OK) {
            assert_int_equal(message.type, CQ_CHANNEL_RECENT);
            assert_int_equal(cq_recent_take(&out, &message), CQ_OK);
        }
        assert_true(out.whole);
        assert_int_equal(out.num, nums[i]);
        for (unsigned n = 0; n < nums[i]; n++)
            assert_entry(&out.entries[n], &in.entries[n]);
    }
    cq_recent_free(&in);
    cq_recent_free(&out);
    close(ends[0]);
    close(ends[1]);
}

static void test_hostile_messages(void **state)
{
    struct cq_recent_list list = {0}, one = {0};
    struct cq_channel_message good, message;
    int ends[2];

    (void)state;
    assert_int_equal(cq_channel_open(ends), CQ_OK);
    fill(&one, 2);
    assert_int_equal(cq_recent_send(ends[0], &one), CQ_OK);
    assert_int_equal(cq_channel_receive(ends[1], &good), CQ_OK);
    message = good;
    message.len--;
    assert_int_equal(cq_recent_take(&list, &message), CQ_ERR_INVALID);
    message = good;
    message.data[32] = 5; /* a family that is none */
    assert_int_equal(cq_recent_take(&list, &message), CQ_ERR_INVALID);
    message = good;
    message.data[CQ_RECENT_ENTRY_BYTES - 8] = 0x80; /* a time that is none */
    assert_int_equal(cq_recent_take(&list, &message), CQ_ERR_INVALID);
    assert_true(list.num == 0 && !list.whole);
    /* More than anybody may send: what came before is forgotten, and the next list is taken. */
    message = good;
    message.peer = 0;
    enum cq_err err = CQ_OK;
    for (int i = 0; i <= CQ_RECENT_MAX / 2 && err == CQ_OK; i++)
        err = cq_recent_take(&list, &message);
    assert_int_equal(err, CQ_ERR_RANGE);
    assert_true(list.num == 0 && !list.whole);
    assert_int_equal(cq_recent_take(&list, &good), CQ_OK);
    assert_true(list.num == 2 && list.whole);
    cq_recent_free(&list);
    cq_recent_free(&one);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_damaged_file),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_hostile_messages),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
