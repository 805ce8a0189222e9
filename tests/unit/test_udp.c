/* Sockets over the loopback interface. */
#include "os/udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct cq_udp open_any(void)
{
    struct cq_udp_options options = {0};
    struct cq_udp udp;

    assert_int_equal(cq_udp_open(&udp, &options), CQ_OK);
    return udp;
}

static struct cq_route loopback(uint8_t family, uint16_t port)
{
    struct cq_route route = {.remote = {.ip = {.family = family}, .port = port}};

    if (family == CQ_FAMILY_IPV4)
        memcpy(route.remote.ip.bytes, (uint8_t[4]){127, 0, 0, 1}, 4);
    else
        route.remote.ip.bytes[15] = 1;
    return route;
}

static int fd_of(const struct cq_udp *udp, uint8_t family)
{
    return family == CQ_FAMILY_IPV4 ? udp->fd4 : udp->fd6;
}

/* Waits for something and receives once. */
static size_t receive(int fd, struct cq_udp_rx *rx, const struct cq_udp_received **out)
{
    struct pollfd p = {fd, POLLIN, 0};
    size_t num = 0;

    assert_int_equal(poll(&p, 1, 2000), 1);
    assert_int_equal(cq_udp_receive(fd, rx, out, &num), CQ_OK);
    return num;
}

static void test_ports(void **state)
{
    struct cq_udp a = open_any();
    struct cq_udp b;
    struct cq_udp_options same = {.port = a.port};

    (void)state;
    assert_true(a.port != 0 && (a.fd4 >= 0 || a.fd6 >= 0));
    assert_int_equal(cq_udp_open(&b, &same), CQ_ERR_EXISTS);
    assert_true(b.fd4 == -1 && b.fd6 == -1);
    /* Taken in one family alone. */
    if (a.fd4 >= 0 && a.fd6 >= 0) {
        close(a.fd6);
        a.fd6 = -1;
        assert_int_equal(cq_udp_open(&b, &same), CQ_ERR_EXISTS);
    }
    cq_udp_close(&a);
    assert_int_equal(cq_udp_open(&b, &same), CQ_OK);
    assert_int_equal(b.port, same.port);
    cq_udp_close(&b);
}

static void test_exchange(uint8_t family)
{
    struct cq_udp a = open_any();
    struct cq_udp b = open_any();
    struct cq_udp_rx *rx = cq_udp_rx_new();
    struct cq_udp_tx tx = {0};
    const struct cq_udp_received *got;
    size_t num;

    assert_non_null(rx);
    if (fd_of(&a, family) < 0)
        skip();
    assert_int_equal(cq_udp_receive(fd_of(&b, family), rx, &got, &num), CQ_ERR_AGAIN);
    struct cq_route route = loopback(family, b.port);
    struct cq_udp_send send = {.route = &route, .data = (const uint8_t *)"abc", .len = 3, .ecn = 1};
    size_t lost = cq_udp_send(&a, &tx, &send, 1);
    if (lost > 0 && family == CQ_FAMILY_IPV6)
        skip(); /* no IPv6 on this machine's loopback */
    assert_int_equal(lost, 0);
    assert_int_equal(receive(fd_of(&b, family), rx, &got), 1);
    assert_int_equal(got->len, 3);
    assert_int_equal(got->segment, 3);
    assert_memory_equal(got->data, "abc", 3);
    assert_int_equal(got->ecn, 1);
    assert_int_equal(got->route.remote.port, a.port);
    assert_true(cq_ip_equal(&got->route.remote.ip, &route.remote.ip));
    assert_true(cq_ip_equal(&got->route.local, &route.remote.ip));

    /* The answer leaves from the address that was reached. */
    struct cq_route back = got->route;
    if (family == CQ_FAMILY_IPV4)
        back.local.bytes[3] = 9;
    assert_int_equal(cq_udp_send_one(&b, &back, (const uint8_t *)"defg", 4), CQ_OK);
    assert_int_equal(receive(fd_of(&a, family), rx, &got), 1);
    assert_true(cq_ip_equal(&got->route.remote.ip, &back.local));
    assert_int_equal(got->ecn, 0);

    /* A local address that is not ours (any more): the kernel's choice instead. */
    back.local.bytes[0] = family == CQ_FAMILY_IPV4 ? 198 : 0x20;
    assert_int_equal(cq_udp_send_one(&b, &back, (const uint8_t *)"hi", 2), CQ_OK);
    assert_int_equal(receive(fd_of(&a, family), rx, &got), 1);
    assert_int_equal(got->len, 2);
    cq_udp_rx_free(rx);
    cq_udp_close(&a);
    cq_udp_close(&b);
}

static void test_exchange4(void **state)
{
    (void)state;
    test_exchange(CQ_FAMILY_IPV4);
}

static void test_exchange6(void **state)
{
    (void)state;
    test_exchange(CQ_FAMILY_IPV6);
}

/* Many segments in few calls, with and without GSO; whatever way they come, all bytes do. */
static void test_segments(void **state)
{
    enum { SEGMENT = 1000, LEN = 40 * SEGMENT + 77 };
    static uint8_t data[LEN];
    struct cq_udp a = open_any();
    struct cq_udp b = open_any();
    struct cq_udp_rx *rx = cq_udp_rx_new();
    struct cq_route route = loopback(CQ_FAMILY_IPV4, b.port);

    (void)state;
    assert_non_null(rx);
    for (size_t i = 0; i < LEN; i++)
        data[i] = (uint8_t)(i * 7 + i / 251);
    for (int round = 0; round < 3; round++) {
        struct cq_udp_tx tx = {.gso_off = round == 1};
        struct cq_udp_send sends[3];
        for (size_t i = 0; i < 3; i++)
            sends[i] = (struct cq_udp_send){&route, data, LEN, SEGMENT, 0};
        assert_int_equal(cq_udp_send(&a, &tx, sends, round == 2 ? 1 : 3), 0);
        size_t total = 0;
        while (total < (round == 2 ? 1u : 3u) * LEN) {
            const struct cq_udp_received *got;
            size_t num = receive(b.fd4, rx, &got);
            for (size_t i = 0; i < num; i++) {
                assert_true(got[i].segment == SEGMENT || got[i].segment == got[i].len);
                assert_memory_equal(got[i].data, data + total % LEN, got[i].len);
                total += got[i].len;
            }
        }
    }
    cq_udp_rx_free(rx);
    cq_udp_close(&a);
    cq_udp_close(&b);
}

/* What the kernel refuses is counted and stops nothing that comes after it. */
static void test_refused(void **state)
{
    static uint8_t data[66000];
    struct cq_udp a = open_any();
    struct cq_udp b = open_any();
    struct cq_udp_rx *rx = cq_udp_rx_new();
    struct cq_udp_tx tx = {0};
    struct cq_route route = loopback(CQ_FAMILY_IPV4, b.port);
    const struct cq_udp_received *got;
    struct cq_udp_send sends[] = {
        {&route, data, 10, 0, 0},
        {&route, data, 65700, 0, 0}, /* longer than a datagram can be */
        {&route, data, 11, 0, 0},
        {&route, data, 65700, 6570, 0}, /* the same as one GSO send: goes one by one */
        {&route, data, 12, 0, 0},
    };
    size_t total = 0;
    size_t lens = 0;

    (void)state;
    assert_non_null(rx);
    assert_int_equal(cq_udp_send(&a, &tx, sends, 5), 1);
    assert_int_equal(tx.num_unsent, 1);
    assert_int_equal(tx.num_fallbacks, 1);
    while (total < 13) {
        size_t num = receive(b.fd4, rx, &got);
        for (size_t i = 0; i < num; i++) {
            total += (got[i].len + got[i].segment - 1) / got[i].segment;
            lens += got[i].len;
        }
    }
    assert_int_equal(lens, 10 + 11 + 12 + 65700);
    cq_udp_rx_free(rx);
    cq_udp_close(&a);
    cq_udp_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ports),     cmocka_unit_test(test_exchange4),
        cmocka_unit_test(test_exchange6), cmocka_unit_test(test_segments),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
