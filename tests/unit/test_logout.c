/* Log lines that leave without waiting: pipes, files, sockets; what is kept and what is lost. */
#include "os/logout.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { LINE_BYTES = 100 };

static struct cq_logout out;

static void use(int from)
{
    struct cq_logout_target target;

    cq_logout_find(&target, from);
    cq_logout_init(&out, &target);
}

/* Line number i, of LINE_BYTES. */
static const char *line_of(unsigned i)
{
    static char line[LINE_BYTES + 1];

    snprintf(line, sizeof(line), "%0*u", LINE_BYTES - 1, i);
    line[LINE_BYTES - 1] = '\n';
    line[LINE_BYTES] = '\0';
    return line;
}

/* Reads what is there in steps that no line fits into; checks that the lines are the next ones. */
static unsigned read_lines(int fd, unsigned first, size_t *rest)
{
    static char text[LINE_BYTES];
    unsigned num = 0;
    ssize_t n;

    while ((n = read(fd, text + *rest, LINE_BYTES - *rest)) > 0) {
        *rest += (size_t)n;
        if (*rest < LINE_BYTES)
            continue;
        assert_memory_equal(text, line_of(first + num), LINE_BYTES);
        num++;
        *rest = 0;
    }
    return num;
}

/* Writes far more than fits, reads it all, and counts. */
static void check_stuck_reader(int reader, int writer)
{
    unsigned written = 0, got = 0;
    size_t rest = 0;

    assert_int_equal(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
    use(writer);
    for (unsigned i = 0; i < 10000; i++)
        cq_logout_write(&out, line_of(written++), LINE_BYTES);
    assert_false(cq_logout_is_empty(&out));
    assert_int_equal(cq_logout_take_lost(&out), 0); /* not before the rest is out */
    while (!cq_logout_is_empty(&out)) {
        got += read_lines(reader, got, &rest);
        cq_logout_flush(&out);
    }
    got += read_lines(reader, got, &rest);
    assert_int_equal(rest, 0);
    uint64_t lost = cq_logout_take_lost(&out);
    assert_true(lost > 0);
    assert_int_equal(got + lost, written);
    assert_int_equal(cq_logout_take_lost(&out), 0);
    assert_true(got * LINE_BYTES > CQ_LOGOUT_BUFFER_BYTES / 2);
    cq_logout_write(&out, line_of(got), LINE_BYTES); /* and goes on */
    assert_int_equal(read_lines(reader, got, &rest), 1);
    cq_logout_close(&out);
}

static void test_pipe(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    check_stuck_reader(ends[0], ends[1]);
    /* The flags of what others share are as they were. */
    assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
    close(ends[0]);
    close(ends[1]);
}

static void test_stream_socket(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    check_stuck_reader(ends[0], ends[1]);
    assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
    close(ends[0]);
    close(ends[1]);
}

static void test_datagram_socket(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
    check_stuck_reader(ends[0], ends[1]);
    close(ends[0]);
    close(ends[1]);
}

static void test_file(void **state)
{
    char path[] = "/tmp/cryprq-logout.XXXXXX", text[16];
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    unlink(path);
    use(fd);
    assert_int_equal(out.target.fd, fd); /* its position is the one that others write at */
    cq_logout_write(&out, "one\n", 4);
    assert_int_equal(write(fd, "two\n", 4), 4);
    cq_logout_write(&out, "three\n", 6);
    assert_int_equal(pread(fd, text, sizeof(text), 0), 14);
    assert_memory_equal(text, "one\ntwo\nthree\n", 14);
    cq_logout_close(&out);
    assert_true(fcntl(fd, F_GETFD) >= 0);
    close(fd);
}

static void test_dead(void **state)
{
    int ends[2];

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(ends), 0);
    use(ends[1]);
    close(ends[0]);
    for (unsigned i = 0; i < 10000; i++)
        cq_logout_write(&out, line_of(i), LINE_BYTES);
    assert_true(cq_logout_is_empty(&out));
    assert_int_equal(cq_logout_take_lost(&out), 0);
    cq_logout_close(&out);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipe),
        cmocka_unit_test(test_stream_socket),
        cmocka_unit_test(test_datagram_socket),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_dead),
    };
    return cmocka_run_group_tests_name("logout", tests, NULL, NULL);
}
