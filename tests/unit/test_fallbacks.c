/* What the sockets do without when the kernel refuses it, and that nothing is lost by it. */
#include "faults.h"
#include "os/udp.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

enum { SEGMENT = 1000, SEGMENTS = 20, SENDS = 6, GROUP = 4 };

static uint8_t data[SENDS][SEGMENT * SEGMENTS + 77];

static struct cq_udp open_any(void)
{
    struct cq_udp_options options = {0};
    struct cq_udp udp;

    assert_int_equal(cq_udp_open(&udp, &options), CQ_OK);
    assert_true(udp.fd4 >= 0);
    return udp;
}

static struct cq_route loopback(uint16_t port)
{
    return (struct cq_route){.remote = {.ip = {CQ_FAMILY_IPV4, {127, 0, 0, 1}}, .port = port}};
}

/* The first `expected` bytes of `data` come, in order and undamaged. */
static void expect(const struct cq_udp *udp, struct cq_udp_rx *rx, size_t expected)
{
    size_t total = 0, num;
    const struct cq_udp_received *got;
    struct pollfd p = {udp->fd4, POLLIN, 0};

    while (total < expected) {
        assert_int_equal(poll(&p, 1, 2000), 1);
        assert_int_equal(cq_udp_receive(udp->fd4, rx, &got, &num), CQ_OK);
        for (size_t i = 0; i < num; i++) {
            const uint8_t *all = (const uint8_t *)data;
            assert_true(total + got[i].len <= sizeof(data));
            assert_memory_equal(got[i].data, all + total, got[i].len);
            total += got[i].len;
        }
    }
    assert_int_equal(total, expected);
}

/* Refused from the first, in the middle of a call, in a later call; with one send and with many. */
static void test_gso(void **state)
{
    static const char *const faults[] = {"gso", "gso=1", "gso=3", "gso=5", "gso=8"};
    struct cq_udp a = open_any(), b = open_any();
    struct cq_udp_rx *rx = cq_udp_rx_new();
    struct cq_route route = loopback(b.port);
    struct cq_udp_send sends[SENDS];

    (void)state;
    assert_non_null(rx);
    for (size_t i = 0; i < sizeof(data); i++)
        ((uint8_t *)data)[i] = (uint8_t)(i * 7 + i / 251);
    for (size_t i = 0; i < SENDS; i++)
        sends[i] = (struct cq_udp_send){&route, data[i], sizeof(data[i]), SEGMENT, 0};
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct cq_udp_tx tx = {0};
        faults_set(faults[i]);
        for (int round = 0; round < 3; round++) {
            assert_int_equal(cq_udp_send(&a, &tx, sends, SENDS), 0);
            expect(&b, rx, sizeof(data));
        }
        /* Once, and for good: the last round never asked again. */
        assert_int_equal(tx.num_fallbacks, 1);
        assert_int_equal(tx.fallback_error, EIO);
        assert_true(cq_addr_equal(&tx.fallback, &route.remote));
        assert_int_equal(tx.num_unsent, 0);
        faults_set("");
        for (size_t j = 0; j < SENDS; j++)
            assert_int_equal(cq_udp_send(&a, &tx, &sends[j], 1), 0);
        expect(&b, rx, sizeof(data));
        /* Another destination still gets many at once. */
        struct cq_route other = loopback(a.port);
        struct cq_udp_send one = {&other, data[0], sizeof(data[0]), SEGMENT, 0};
        faults_set("gso=1");
        assert_int_equal(cq_udp_send(&b, &tx, &one, 1), 0);
        assert_int_equal(tx.num_fallbacks, 1);
        expect(&a, rx, sizeof(data[0]));
        assert_int_equal(cq_udp_send(&b, &tx, &one, 1), 0); /* it was asked for once more */
        assert_int_equal(tx.num_fallbacks, 2);
        expect(&a, rx, sizeof(data[0]));
    }
    faults_set("");
    cq_udp_rx_free(rx);
    cq_udp_close(&a);
    cq_udp_close(&b);
}

static void test_gro(void **state)
{
    struct cq_udp_options off = {.no_gro = true};
    struct cq_udp udp = open_any();

    (void)state;
    assert_true(udp.gro);
    cq_udp_close(&udp);
    faults_set("gro");
    udp = open_any();
    assert_false(udp.gro);
    cq_udp_close(&udp);
    faults_set("");
    assert_int_equal(cq_udp_open(&udp, &off), CQ_OK);
    assert_false(udp.gro);
    cq_udp_close(&udp);
}

/* Sockets of one port: a sender always reaches the same one, many senders reach all of them, and
 * nobody else gets the port, with or without sharing. */
static void test_group(void **state)
{
    struct cq_udp_options options = {0}, same;
    struct cq_udp group[GROUP], more[GROUP], other;
    size_t reached[GROUP] = {0}, all = 0;

    (void)state;
    assert_int_equal(cq_udp_open_group(group, GROUP, &options), CQ_OK);
    same = (struct cq_udp_options){.port = group[0].port};
    assert_int_equal(cq_udp_open(&other, &same), CQ_ERR_EXISTS);
    assert_int_equal(cq_udp_open_group(more, GROUP, &same), CQ_ERR_EXISTS);
    assert_int_equal(cq_udp_open_group(more, 1, &same), CQ_ERR_EXISTS);
    struct cq_route route = loopback(group[0].port);
    bool has_ipv6 = group[0].fd6 >= 0;
    for (int sender = 0; sender < 64; sender++) {
        struct cq_udp from = open_any();
        for (uint8_t i = 0; i < 5; i++)
            assert_int_equal(cq_udp_send_one(&from, &route, &i, 1), CQ_OK);
        size_t receivers = 0;
        for (size_t g = 0; g < GROUP; g++) {
            uint8_t byte, expected = 0;
            while (recv(group[g].fd4, &byte, 1, MSG_DONTWAIT) == 1)
                assert_int_equal(byte, expected++);
            assert_true(expected == 0 || expected == 5);
            receivers += expected == 5;
            reached[g] += expected == 5;
        }
        assert_int_equal(receivers, 1);
        cq_udp_close(&from);
    }
    for (size_t g = 0; g < GROUP; g++) {
        assert_int_equal(group[g].port, group[0].port);
        assert_int_equal(group[g].fd6 >= 0, has_ipv6);
        all += reached[g] > 0;
        cq_udp_close(&group[g]);
    }
    assert_int_equal(all, GROUP);
    /* A port that anybody has, sharing or not, is none for a group. */
    assert_int_equal(cq_udp_open(&other, &same), CQ_OK);
    assert_int_equal(setsockopt(other.fd4, SOL_SOCKET, SO_REUSEPORT, &(int){1}, sizeof(int)), 0);
    assert_int_equal(cq_udp_open_group(more, GROUP, &same), CQ_ERR_EXISTS);
    cq_udp_close(&other);
    assert_int_equal(cq_udp_open_group(more, GROUP, &same), CQ_OK);
    for (size_t g = 0; g < GROUP; g++)
        cq_udp_close(&more[g]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gso),
        cmocka_unit_test(test_gro),
        cmocka_unit_test(test_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
