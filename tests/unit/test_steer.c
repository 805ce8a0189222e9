/* Which line a packet goes to: the program is run by the kernel on packets made here. Needs the
 * right to load it. */
#include "os/steer.h"

#include "base/bytes.h"

#include <errno.h>
#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

enum { ETHERNET = 14, ROOM = 200, WORKERS = 3, LINES = 8, TCP = 6, UDP = 17, ICMP = 1 };

struct packet {
    uint8_t frame[ETHERNET + ROOM]; /* the kernel takes test packets with an Ethernet header */
    size_t len;                     /* without it */
};

static int load(void **state, unsigned workers)
{
    int fd = cq_steer_load(workers, LINES);

    (void)state;
    if (fd < 0 && (errno == EPERM || errno == ENOSYS))
        skip();
    assert_true(fd >= 0);
    return fd;
}

static unsigned run(int fd, const struct packet *p)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.test.prog_fd = (uint32_t)fd;
    attr.test.data_in = (uint64_t)(uintptr_t)p->frame;
    attr.test.data_size_in = (uint32_t)(ETHERNET + p->len);
    assert_int_equal(syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof(attr)), 0);
    return attr.test.retval;
}

/* `payload` bytes behind a TCP, UDP or other header. */
static struct packet make(int version, uint8_t proto, uint16_t source_port, size_t payload)
{
    struct packet p = {.len = 0};
    uint8_t *ip = p.frame + ETHERNET;
    size_t header = version == 4 ? 20 : 40;
    size_t l4 = proto == TCP ? 32 : 8;

    p.len = header + l4 + payload;
    cq_store_be16(p.frame + 12, version == 4 ? 0x0800 : 0x86dd);
    if (version == 4) {
        ip[0] = 0x45;
        cq_store_be16(ip + 2, (uint16_t)p.len);
        ip[9] = proto;
        memcpy(ip + 12, (uint8_t[8]){10, 1, 0, 1, 10, 2, 0, 9}, 8);
    } else {
        ip[0] = 0x60;
        cq_store_be16(ip + 4, (uint16_t)(l4 + payload));
        ip[6] = proto;
        ip[8] = ip[24] = 0xfd;
        ip[23] = 1;
        ip[39] = 9;
    }
    cq_store_be16(ip + header, source_port);
    cq_store_be16(ip + header + 2, 443);
    if (proto == TCP)
        ip[header + 12] = 8 << 4;
    return p;
}

static void test_small_first(void **state)
{
    int fd = load(state, 1);

    for (int version = 4; version <= 6; version += 2) {
        struct packet ack = make(version, TCP, 1000, 0);
        struct packet data = make(version, TCP, 1000, 1);
        struct packet datagram = make(version, UDP, 1000, 0);
        struct packet echo = make(version, version == 4 ? ICMP : 58, 8, 56);
        assert_int_equal(run(fd, &ack), 0);
        assert_int_equal(run(fd, &echo), 0);
        assert_in_range(run(fd, &data), 1, LINES - 1);
        assert_in_range(run(fd, &datagram), 1, LINES - 1);
    }
    close(fd);
}

static void test_flows_spread_and_stay(void **state)
{
    int fd = load(state, WORKERS);

    for (int version = 4; version <= 6; version += 2) {
        unsigned seen[WORKERS * LINES] = {0}, used = 0;
        for (uint16_t port = 1024; port < 1024 + 2000; port++) {
            struct packet one = make(version, TCP, port, 1), other = make(version, TCP, port, 100);
            unsigned queue = run(fd, &one);
            assert_int_equal(run(fd, &other), queue);
            assert_in_range(queue, 0, WORKERS * LINES - 1);
            assert_int_not_equal(queue % LINES, 0);
            seen[queue]++;
        }
        for (unsigned i = 0; i < WORKERS * LINES; i++)
            used += seen[i] > 20;
        assert_int_equal(used, WORKERS * (LINES - 1));
    }
    close(fd);
}

static void test_fragments_and_scraps(void **state)
{
    int fd = load(state, 1);
    struct packet p = make(4, UDP, 1000, 64);

    cq_store_be16(p.frame + ETHERNET + 6, 0x2000); /* more fragments follow */
    assert_int_equal(run(fd, &p), 0);
    cq_store_be16(p.frame + ETHERNET + 6, 100);
    assert_int_equal(run(fd, &p), 0);
    p = make(4, TCP, 1000, 64);
    p.frame[ETHERNET] = 0x4f; /* a header longer than the packet has room for */
    p.len = 30;
    assert_int_equal(run(fd, &p), 0);
    p.frame[ETHERNET] = 0x95; /* not IP */
    assert_int_equal(run(fd, &p), 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_first),
        cmocka_unit_test(test_flows_spread_and_stay),
        cmocka_unit_test(test_fragments_and_scraps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
