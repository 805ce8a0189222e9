/* Secret memory: contents, bounds, wiping, locking, forks, corruption. */
#include "base/secret.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { MIB = 1024 * 1024 };

static int open_arena(void **state)
{
    (void)state;
    return cq_secret_init(4 * MIB, false) == CQ_OK ? 0 : -1;
}

static int close_arena(void **state)
{
    (void)state;
    cq_secret_shutdown();
    return 0;
}

static size_t used(void)
{
    size_t in_use = 0;
    size_t mapped = 0;

    cq_secret_usage(&in_use, &mapped);
    return in_use;
}

static size_t mapped(void)
{
    size_t in_use = 0;
    size_t now_mapped = 0;

    cq_secret_usage(&in_use, &now_mapped);
    return now_mapped;
}

/* Every size around the borders of the size classes: zeroed, aligned, writable to the last byte. */
static void test_sizes(void **state)
{
    size_t before = used();

    (void)state;
    for (size_t size = 0; size < 70000; size += size < 600 ? 1 : 37) {
        uint8_t *p = cq_secret_alloc(size);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        assert_true(cq_is_zero_ct(p, size));
        memset(p, 0xee, size);
        cq_secret_free(p);
        uint8_t *again = cq_secret_alloc(size);
        assert_true(cq_is_zero_ct(again, size));
        cq_secret_free(again);
    }
    assert_int_equal(used(), before);
    cq_secret_free(NULL);
    assert_null(cq_secret_alloc(SIZE_MAX));
    assert_null(cq_secret_alloc(SIZE_MAX - 24));
}

static void test_resize(void **state)
{
    static const size_t sizes[] = {1, 16, 40, 41, 100, 99, 5000, 4000, 40000, 70000, 39000, 10, 0};
    uint8_t *p = cq_secret_realloc(NULL, 1);
    size_t old = 1;

    (void)state;
    assert_non_null(p);
    p[0] = 0;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t kept = old < sizes[i] ? old : sizes[i];
        p = cq_secret_realloc(p, sizes[i]);
        assert_non_null(p);
        for (size_t j = 0; j < kept; j++)
            assert_int_equal(p[j], (uint8_t)(j * 7));
        assert_true(cq_is_zero_ct(p + kept, sizes[i] - kept));
        for (size_t j = 0; j < sizes[i]; j++)
            p[j] = (uint8_t)(j * 7);
        old = sizes[i];
    }
    cq_secret_free(p);
}

static void test_realloc_failure(void **state)
{
    uint8_t *p = cq_secret_alloc(100);

    (void)state;
    memset(p, 3, 100);
    assert_null(cq_secret_realloc(p, SIZE_MAX));
    assert_null(cq_secret_realloc(p, 64 * MIB));
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(p[i], 3);
    cq_secret_free(p);
}

/* The old place of a block that moved, and of one that was freed, holds nothing any more. */
static void test_wiped(void **state)
{
    uint8_t *p = cq_secret_alloc(200);

    (void)state;
    memset(p, 0x77, 200);
    uint8_t *moved = cq_secret_realloc(p, 5000);
    assert_ptr_not_equal(moved, p);
    assert_true(cq_is_zero_ct(p, 200));
    memset(moved, 0x77, 5000);
    assert_ptr_equal(cq_secret_realloc(moved, 4500), moved);
    assert_true(cq_is_zero_ct(moved + 4508, 492)); /* behind the canary */
    cq_secret_free(moved);
    assert_true(cq_is_zero_ct(moved, 5000));
}

static void test_exhaustion(void **state)
{
    void *blocks[4096] = {NULL};
    size_t n = 0;

    (void)state;
    while (n < 4096 && (blocks[n] = cq_secret_alloc(3000)) != NULL)
        n++;
    assert_true(n > 1000 && n < 4096);
    assert_true(mapped() <= 4 * MIB);
    assert_null(cq_secret_alloc(100000));
    cq_secret_free(blocks[--n]);
    blocks[n] = cq_secret_alloc(3000);
    assert_non_null(blocks[n]);
    for (size_t i = 0; i <= n; i++)
        cq_secret_free(blocks[i]);
    assert_int_equal(used(), 0);
}

static void test_large_blocks(void **state)
{
    size_t before = mapped();
    uint8_t *a = cq_secret_alloc(300000);
    uint8_t *b = cq_secret_alloc(200000);
    uint8_t *c = cq_secret_alloc(100000);

    (void)state;
    assert_true(mapped() >= before + 600000);
    cq_secret_free(b);
    cq_secret_free(a);
    cq_secret_free(c);
    assert_int_equal(mapped(), before);
}

struct slot {
    uint8_t *p;
    size_t size;
    uint8_t fill;
};

static void check_slot(const struct slot *s, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (s->p[i] != s->fill)
            abort();
    }
}

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* Random traffic; a block that overlaps another one loses its fill. */
static void *churn(void *arg)
{
    uint32_t seed = (uint32_t)(uintptr_t)arg * 2654435761u + 1;
    struct slot slots[64] = {{0}};

    for (int i = 0; i < 20000; i++) {
        struct slot *s = &slots[next_random(&seed) % 64];
        size_t size = next_random(&seed) % (i % 50 == 0 ? 40000 : 2000) + 1;
        if (s->p != NULL)
            check_slot(s, s->size);
        if (s->p == NULL) {
            s->p = cq_secret_alloc(size);
        } else if (next_random(&seed) % 3 == 0) {
            uint8_t *p = cq_secret_realloc(s->p, size);
            if (p == NULL)
                continue;
            s->p = p;
            check_slot(s, size < s->size ? size : s->size);
        } else {
            cq_secret_free(s->p);
            s->p = NULL;
        }
        s->size = size;
        s->fill = (uint8_t)next_random(&seed);
        if (s->p != NULL)
            memset(s->p, s->fill, size);
    }
    for (size_t i = 0; i < 64; i++)
        cq_secret_free(slots[i].p);
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t threads[4];

    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(used(), 0);
}

/* Runs f in a child; returns its exit code, or -signal. */
static int in_child(int (*f)(void *), void *arg)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        _exit(f(arg));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int use_after_fork(void *arg)
{
    uint8_t *p = arg;

    if (!cq_is_zero_ct(p, 100))
        return 1;
    if (cq_secret_alloc(10) != NULL || cq_secret_realloc(p, 10) != NULL)
        return 2;
    cq_secret_free(p);
    /* A child that wants secrets of its own starts anew. */
    cq_secret_shutdown();
    if (cq_secret_init(MIB, false) != CQ_OK)
        return 3;
    uint8_t *own = cq_secret_alloc(10);
    if (own == NULL)
        return 4;
    cq_secret_free(own);
    return 0;
}

static void test_fork(void **state)
{
    uint8_t *p = cq_secret_alloc(100);

    (void)state;
    memset(p, 9, 100);
    assert_int_equal(in_child(use_after_fork, p), 0);
    assert_int_equal(p[99], 9);
    cq_secret_free(p);
}

static int restart(void)
{
    cq_secret_shutdown();
    return cq_secret_init(MIB, false) == CQ_OK ? 0 : -1;
}

static int overrun(void *arg)
{
    volatile uint8_t *p;

    if (restart() != 0)
        return 1;
    p = cq_secret_alloc(100);
    p[*(size_t *)arg] ^= 1;
    cq_secret_free((void *)(uintptr_t)p);
    return 0;
}

static int free_twice(void *arg)
{
    (void)arg;
    if (restart() != 0)
        return 1;
    void *p = cq_secret_alloc(100);
    cq_secret_free(p);
    cq_secret_free(p);
    return 0;
}

static int write_after_free(void *arg)
{
    (void)arg;
    if (restart() != 0)
        return 1;
    volatile uint64_t *p = cq_secret_alloc(100);
    cq_secret_free((void *)(uintptr_t)p);
    p[-1] ^= 64; /* the link to the next free block */
    void *again = cq_secret_alloc(100);
    return again == NULL;
}

static void test_corruption(void **state)
{
    size_t inside = 99;
    size_t behind = 100;
    size_t before = (size_t)-1;

    (void)state;
    assert_int_equal(in_child(overrun, &inside), 0);
    assert_int_equal(in_child(overrun, &behind), -SIGABRT);
    assert_int_equal(in_child(overrun, &before), -SIGABRT);
    assert_int_equal(in_child(free_twice, NULL), -SIGABRT);
    assert_int_equal(in_child(write_after_free, NULL), -SIGABRT);
}

/* Whether the mapping of p has a flag of proc(5)'s VmFlags. */
static bool has_flag(const void *p, const char *flag)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    char line[512];
    bool inside = false;
    bool found = false;

    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        unsigned long from;
        unsigned long to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (uintptr_t)p >= from && (uintptr_t)p < to;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, flag) != NULL;
    }
    fclose(f);
    return found;
}

/* Not where the limit is zero, nor under a sanitizer, which makes mlock(2) do nothing. */
static void skip_unless_lockable(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_true(page != MAP_FAILED);
    bool lockable = mlock(page, 4096) == 0 && has_flag(page, " lo");
    munmap(page, 4096);
    if (!lockable) {
        print_message("# skipped: memory cannot be locked here\n");
        skip();
    }
}

static int init_without_limit(void *arg)
{
    struct rlimit none = {0, 0};
    bool require_lock = *(bool *)arg;

    cq_secret_shutdown();
    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0)
        return 1;
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
        return 2;
    enum cq_err err = cq_secret_init(MIB, require_lock);
    if (require_lock)
        return err == CQ_ERR_PERM ? 0 : 3;
    return err == CQ_OK && cq_secret_alloc(10) != NULL ? 0 : 4;
}

static void test_lock_refused(void **state)
{
    bool require = true;
    bool optional = false;

    (void)state;
    skip_unless_lockable();
    assert_int_equal(in_child(init_without_limit, &require), 0);
    assert_int_equal(in_child(init_without_limit, &optional), 0);
}

static void test_locked(void **state)
{
    (void)state;
    skip_unless_lockable();
    assert_int_equal(cq_secret_init(MIB, true), CQ_OK);
    uint8_t *p = cq_secret_alloc(100);
    uint8_t *large = cq_secret_alloc(100000);
    uint8_t *const both[] = {p, large};
    for (size_t i = 0; i < 2; i++) {
        assert_true(has_flag(both[i], " lo")); /* locked */
        assert_true(has_flag(both[i], " dd")); /* not dumped */
        assert_true(has_flag(both[i], " wf")); /* wiped on fork */
    }
    cq_secret_free(p);
    cq_secret_free(large);
    cq_secret_shutdown();
}

/* Without an arena the heap serves; blocks of it may be freed once there is one. */
static void test_before_init(void **state)
{
    (void)state;
    uint8_t *p = cq_secret_alloc(100);
    assert_true(cq_is_zero_ct(p, 100));
    memset(p, 1, 100);
    p = cq_secret_realloc(p, 200);
    assert_int_equal(p[99], 1);
    assert_true(cq_is_zero_ct(p + 100, 100));
    assert_int_equal(mapped(), 0);
    assert_int_equal(cq_secret_init(MIB, false), CQ_OK);
    assert_int_equal(cq_secret_init(MIB, false), CQ_ERR_STATE);
    assert_true(mapped() > 0);
    cq_secret_free(p);
    cq_secret_shutdown();
    cq_secret_shutdown();
    assert_int_equal(mapped(), 0);
}

static void test_allocator(void **state)
{
    uint8_t *p = cq_alloc(&cq_secret_allocator, 64);

    (void)state;
    assert_true(cq_is_zero_ct(p, 64));
    assert_int_equal(used(), 64);
    cq_free(&cq_secret_allocator, p, 64);
    cq_free(&cq_secret_allocator, NULL, 64);
    assert_int_equal(used(), 0);
}

#define IN_ARENA(f) cmocka_unit_test_setup_teardown(f, open_arena, close_arena)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_init),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_resize),
        IN_ARENA(test_sizes),
        IN_ARENA(test_resize),
        IN_ARENA(test_realloc_failure),
        IN_ARENA(test_wiped),
        IN_ARENA(test_exhaustion),
        IN_ARENA(test_large_blocks),
        IN_ARENA(test_threads),
        IN_ARENA(test_fork),
        IN_ARENA(test_corruption),
        IN_ARENA(test_lock_refused),
        IN_ARENA(test_allocator),
        cmocka_unit_test(test_locked),
    };
    return cmocka_run_group_tests_name("secret", tests, NULL, NULL);
}
