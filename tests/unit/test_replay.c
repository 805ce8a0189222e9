#include "proto/replay.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct cq_replay *make(uint32_t size)
{
    struct cq_replay *w = calloc(1, cq_replay_bytes(size));

    assert_non_null(w);
    cq_replay_init(w, size);
    return w;
}

static bool commit(struct cq_replay *w, uint64_t seq)
{
    bool newest;

    return cq_replay_commit(w, seq, &newest);
}

/* Numbered steps on a window of 8192: whether a look and a commit say fresh, and whether it is the
 * newest. */
static const struct step {
    int number;
    uint64_t seq;
    bool fresh, newest;
} steps[] = {
    {1, 0, true, true},
    {2, 0, false, false},
    {3, 1, true, true},
    {4, 1, false, false},
    {5, 9, true, true},
    {6, 8, true, false},
    {7, 7, true, false},
    {8, 7, false, false},
    {9, 63, true, true},
    {10, 64, true, true},
    {11, 63, false, false},
    {12, 8192, true, true}, /* 1 to 8192 are in the window */
    {13, 0, false, false},  /* too old now */
    {14, 2, true, false},   /* inside, never seen */
    {15, 1, false, false},  /* the oldest inside, seen */
    {16, 8193, true, true}, /* 1 falls out */
    {17, 1, false, false},
    {18, 2, false, false}, /* the oldest inside, seen */
    {19, 3, true, false},
    {20, 16384, true, true}, /* 8193 is the oldest inside */
    {21, 8193, false, false},
    {22, 8192, false, false},
    {23, 8194, true, false},
    {24, 16383, true, false},
    {25, 16383, false, false},
    {26, 100000, true, true}, /* a jump over the whole window */
    {27, 91809, true, false}, /* 100000 - 8191 */
    {28, 91808, false, false},
    {29, 91809, false, false},
    {30, 99999, true, false},
    {31, (UINT64_C(1) << 56) - 1, true, true},
    {32, 100000, false, false},
    {33, (UINT64_C(1) << 56) - 2, true, false},
    {34, (UINT64_C(1) << 56) - 8192, true, false},
    {35, (UINT64_C(1) << 56) - 8193, false, false},
    {36, (UINT64_C(1) << 56) - 1, false, false},
};

static void test_steps(void **state)
{
    struct cq_replay *w = make(CQ_REPLAY_WINDOW_OTHER);

    (void)state;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        const struct step *s = &steps[i];
        bool newest = !s->newest;
        if (cq_replay_look(w, s->seq) != s->fresh)
            fail_msg("step %d: look", s->number);
        if (cq_replay_commit(w, s->seq, &newest) != s->fresh)
            fail_msg("step %d: commit", s->number);
        if (newest != s->newest)
            fail_msg("step %d: newest", s->number);
        if (cq_replay_look(w, s->seq))
            fail_msg("step %d: fresh after commit", s->number);
    }
    free(w);
}

/* Each size keeps exactly its number of records. */
static void test_width(void **state)
{
    static const uint32_t sizes[] = {64, 128, CQ_REPLAY_WINDOW_OTHER, CQ_REPLAY_WINDOW_FIRST};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint32_t size = sizes[i];
        for (uint64_t top = size; top < size + 130; top++) {
            struct cq_replay *w = make(size);
            assert_true(commit(w, top));
            assert_true(cq_replay_look(w, top - size + 1));
            assert_false(cq_replay_look(w, top - size));
            assert_false(commit(w, top - size));
            assert_true(commit(w, top - size + 1));
            assert_false(commit(w, top - size + 1));
            free(w);
        }
    }
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Against the plainest possible model: an array of everything that was ever seen. */
static void test_model(void **state)
{
    enum { SPAN = 60000, SIZE = CQ_REPLAY_WINDOW_OTHER };
    struct cq_replay *w = make(SIZE);
    bool *seen = calloc(SPAN, sizeof(*seen));
    uint64_t random = 88172645463325252u;
    uint64_t next = 0;

    (void)state;
    assert_non_null(seen);
    for (int i = 0; i < 200000; i++) {
        uint64_t r = next_random(&random);
        uint64_t seq = r % 8 == 0 ? next + (r >> 8) % 90 : (next + SPAN - (r >> 8) % 9000) % SPAN;
        if (seq >= SPAN || (r % 8 != 0 && seq >= next))
            continue;
        bool fresh = !seen[seq] && seq + SIZE >= next;
        if (next > 0 && seq < next && next - 1 - seq >= SIZE)
            fresh = false;
        assert_int_equal(cq_replay_look(w, seq), fresh);
        assert_int_equal(commit(w, seq), fresh);
        seen[seq] = true;
        if (fresh && seq >= next)
            next = seq + 1;
    }
    assert_true(next > SPAN - 100);
    free(seen);
    free(w);
}

enum { THREADS = 4, NUMBERS = 40000 };

struct racer {
    struct cq_replay *w;
    uint32_t accepted;
};

static void *race(void *arg)
{
    struct racer *r = arg;

    for (uint64_t i = 0; i < NUMBERS; i++)
        r->accepted += commit(r->w, i);
    return NULL;
}

/* Several threads commit the same numbers: each is accepted at most once; those that all threads
 * took within the window exactly once. */
static void test_race(void **state)
{
    struct cq_replay *w = make(CQ_REPLAY_WINDOW_FIRST);
    struct racer racers[THREADS];
    pthread_t threads[THREADS];
    uint32_t accepted = 0;

    (void)state;
    for (int i = 0; i < THREADS; i++) {
        racers[i] = (struct racer){.w = w};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        accepted += racers[i].accepted;
    }
    assert_int_equal(accepted, NUMBERS);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_width),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_race),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
