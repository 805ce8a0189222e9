/*
 * Generator, sink and echo client of the benchmarks, in C because Python cannot make millions of
 * packets a second. Built by bench/tools.py; no part of the program.
 *
 *   load sink ADDRESS PORT                     counts datagrams; `count` on standard input: one
 * line of JSON load blast ADDRESS PORT SIZE SEGMENTS RATE SECONDS sends RATE datagrams a second (0:
 * as fast as it goes), with more than one segment by UDP_SEGMENT; one line of JSON at the end load
 * ping ADDRESS COUNT INTERVAL_US        ICMP echoes at fixed times, answered or not; their round
 * trips in microseconds as one line of JSON, null where none came back
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    OPTION_SEGMENT = 103, /* UDP_SEGMENT and UDP_GRO; older headers lack them */
    OPTION_GRO = 104,
    MESSAGES = 32,
    SINK_BYTES = 65536,
    SINK_BUFFER = 16 << 20,
    MOST_BEHIND_NS = 10 * 1000 * 1000,
    SHORTEST_SLEEP_NS = 50 * 1000,
    PING_PAYLOAD = 56,
    LAST_ANSWER_NS = 1000 * 1000 * 1000,
};

static void fail(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void sleep_until(int64_t ns)
{
    struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static struct sockaddr_in address_of(const char *text, const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};

    if (inet_pton(AF_INET, text, &address.sin_addr) != 1) {
        fprintf(stderr, "load: not an IPv4 address: %s\n", text);
        exit(2);
    }
    address.sin_port = htons((uint16_t)atoi(port));
    return address;
}

/* Sink */

static _Atomic uint64_t num_packets, num_bytes;

/* How long the datagrams are that GRO merged, or 0 if this is one. */
static size_t segment_of(struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c))
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == OPTION_GRO) {
            int size;
            memcpy(&size, CMSG_DATA(c), sizeof(size));
            return size > 0 ? (size_t)size : 0;
        }
    return 0;
}

static void *drain(void *arg)
{
    int fd = *(int *)arg;
    static char data[MESSAGES][SINK_BYTES];
    static char control[MESSAGES][CMSG_SPACE(sizeof(int))];
    struct iovec parts[MESSAGES];
    struct mmsghdr messages[MESSAGES];

    for (;;) {
        for (int i = 0; i < MESSAGES; i++) {
            parts[i] = (struct iovec){data[i], SINK_BYTES};
            messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i],
                                                  .msg_iovlen = 1,
                                                  .msg_control = control[i],
                                                  .msg_controllen = sizeof(control[i])};
        }
        int num = recvmmsg(fd, messages, MESSAGES, MSG_WAITFORONE, NULL);
        uint64_t packets = 0, bytes = 0;
        for (int i = 0; i < num; i++) {
            size_t segment = segment_of(&messages[i].msg_hdr);
            bytes += messages[i].msg_len;
            packets += segment > 0 ? (messages[i].msg_len + segment - 1) / segment : 1;
        }
        atomic_fetch_add_explicit(&num_packets, packets, memory_order_relaxed);
        atomic_fetch_add_explicit(&num_bytes, bytes, memory_order_relaxed);
    }
    return NULL;
}

static int run_sink(char **arguments)
{
    struct sockaddr_in own = address_of(arguments[0], arguments[1]);
    int fd = socket(AF_INET, SOCK_DGRAM, 0), size = SINK_BUFFER, on = 1;
    pthread_t thread;
    char line[64];

    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    setsockopt(fd, IPPROTO_UDP, OPTION_GRO, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&own, sizeof(own)) != 0)
        fail("bind");
    if (pthread_create(&thread, NULL, drain, &fd) != 0)
        fail("pthread_create");
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        printf("{\"packets\": %llu, \"bytes\": %llu}\n",
               (unsigned long long)atomic_load_explicit(&num_packets, memory_order_relaxed),
               (unsigned long long)atomic_load_explicit(&num_bytes, memory_order_relaxed));
        fflush(stdout);
    }
    return 0;
}

/* Blast */

struct blast {
    int fd;
    size_t size, segments; /* bytes of a datagram, datagrams of a message */
    double rate;           /* datagrams a second; 0: no limit */
    int64_t begin, end;
    uint64_t sent;
};

/* Sends up to `num` messages; how many the kernel took. */
static unsigned send_messages(struct blast *b, unsigned num)
{
    static char data[SINK_BYTES];
    struct iovec part = {data, b->size * b->segments};
    struct mmsghdr messages[MESSAGES];

    for (unsigned i = 0; i < num; i++)
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
    int sent = sendmmsg(b->fd, messages, num, 0);
    if (sent < 0) {
        if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED)
            fail("send");
        return 0;
    }
    return (unsigned)sent;
}

static void blast_until_end(struct blast *b)
{
    int64_t now;
    uint64_t skipped = 0;

    while ((now = now_ns()) < b->end) {
        uint64_t num = MESSAGES;
        if (b->rate > 0) {
            uint64_t due = (uint64_t)((double)(now - b->begin) * b->rate / 1e9);
            uint64_t behind = (uint64_t)(b->rate * MOST_BEHIND_NS / 1e9) + 1;
            /* After a pause of this process: no burst to make up for it. */
            if (due > b->sent + skipped + behind)
                skipped = due - b->sent - behind;
            num = due > b->sent + skipped ? (due - b->sent - skipped) / b->segments : 0;
            if (num == 0) {
                int64_t gap = (int64_t)(1e9 * (double)b->segments / b->rate);
                sleep_until(now + (gap > SHORTEST_SLEEP_NS ? gap : SHORTEST_SLEEP_NS));
                continue;
            }
        }
        b->sent += b->segments * send_messages(b, num < MESSAGES ? (unsigned)num : MESSAGES);
    }
}

static int run_blast(char **arguments)
{
    struct sockaddr_in peer = address_of(arguments[0], arguments[1]);
    struct blast b = {.fd = socket(AF_INET, SOCK_DGRAM, 0),
                      .size = (size_t)atol(arguments[2]),
                      .segments = (size_t)atol(arguments[3]),
                      .rate = atof(arguments[4])};
    int size = (int)b.size;

    if (b.size == 0 || b.segments == 0 || b.size * b.segments > 65000) {
        fprintf(stderr, "load: size and segments do not fit a datagram\n");
        return 2;
    }
    if (b.segments > 1 && setsockopt(b.fd, IPPROTO_UDP, OPTION_SEGMENT, &size, sizeof(size)) != 0)
        fail("UDP_SEGMENT");
    if (connect(b.fd, (struct sockaddr *)&peer, sizeof(peer)) != 0)
        fail("connect");
    prctl(PR_SET_TIMERSLACK, 1000);
    b.begin = now_ns();
    b.end = b.begin + (int64_t)(atof(arguments[5]) * 1e9);
    blast_until_end(&b);
    printf("{\"packets\": %llu, \"seconds\": %.6f}\n", (unsigned long long)b.sent,
           (double)(now_ns() - b.begin) / 1e9);
    return 0;
}

/* Ping */

struct ping {
    int fd;
    struct sockaddr_in peer;
    uint16_t id;
    unsigned count, num_sent, num_answered;
    int64_t *sent_at;
    double *trips_us; /* below 0: none yet */
};

static uint16_t checksum(const void *data, size_t len)
{
    const uint8_t *bytes = data;
    uint32_t sum = 0;

    for (size_t i = 0; i + 1 < len; i += 2)
        sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

static void send_echo(struct ping *p)
{
    struct {
        struct icmphdr header;
        char payload[PING_PAYLOAD];
    } echo = {.header = {.type = ICMP_ECHO}};

    echo.header.un.echo.id = p->id;
    echo.header.un.echo.sequence = htons((uint16_t)p->num_sent);
    echo.header.checksum = checksum(&echo, sizeof(echo));
    p->sent_at[p->num_sent++] = now_ns();
    /* What the kernel does not take counts as lost. */
    (void)!sendto(p->fd, &echo, sizeof(echo), 0, (struct sockaddr *)&p->peer, sizeof(p->peer));
}

static void take_answer(struct ping *p)
{
    uint8_t data[2048];
    struct icmphdr header;
    ssize_t len = recv(p->fd, data, sizeof(data), MSG_DONTWAIT);
    int64_t now = now_ns();
    size_t skip = len > 0 ? (size_t)(data[0] & 15) * 4 : 0;

    if (len < 0 || (size_t)len < skip + sizeof(header))
        return;
    memcpy(&header, data + skip, sizeof(header));
    unsigned number = ntohs(header.un.echo.sequence);
    if (header.type != ICMP_ECHOREPLY || header.un.echo.id != p->id || number >= p->num_sent ||
        p->trips_us[number] >= 0)
        return;
    p->trips_us[number] = (double)(now - p->sent_at[number]) / 1e3;
    p->num_answered++;
}

/* Echoes go at fixed times, so that a slow answer does not thin out the samples of a slow moment.
 */
static void ping_all(struct ping *p, int64_t interval)
{
    int64_t begin = now_ns(), end = begin + interval * p->count + LAST_ANSWER_NS;

    while (p->num_answered < p->count) {
        int64_t now = now_ns();
        int64_t due = p->num_sent < p->count ? begin + interval * p->num_sent : end;
        if (now >= end)
            return;
        if (now >= due) {
            send_echo(p);
            continue;
        }
        struct timespec wait = {(due - now) / 1000000000, (due - now) % 1000000000};
        struct pollfd poll = {.fd = p->fd, .events = POLLIN};
        if (ppoll(&poll, 1, &wait, NULL) > 0)
            take_answer(p);
    }
}

static int run_ping(char **arguments)
{
    struct ping p = {.fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP),
                     .peer = address_of(arguments[0], "0"),
                     .id = (uint16_t)getpid(),
                     .count = (unsigned)atoi(arguments[1])};

    if (p.fd < 0)
        fail("socket");
    if (p.count == 0 || p.count > 60000)
        return 2;
    p.sent_at = calloc(p.count, sizeof(*p.sent_at));
    p.trips_us = calloc(p.count, sizeof(*p.trips_us));
    if (p.sent_at == NULL || p.trips_us == NULL)
        fail("calloc");
    for (unsigned i = 0; i < p.count; i++)
        p.trips_us[i] = -1;
    prctl(PR_SET_TIMERSLACK, 1000);
    ping_all(&p, atol(arguments[2]) * 1000);
    for (unsigned i = 0; i < p.count; i++) {
        fputs(i == 0 ? "[" : ", ", stdout);
        if (p.trips_us[i] < 0)
            fputs("null", stdout);
        else
            printf("%.1f", p.trips_us[i]);
    }
    puts("]");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "sink") == 0)
        return run_sink(argv + 2);
    if (argc == 8 && strcmp(argv[1], "blast") == 0)
        return run_blast(argv + 2);
    if (argc == 5 && strcmp(argv[1], "ping") == 0)
        return run_ping(argv + 2);
    fprintf(stderr, "usage: load sink|blast|ping ...\n");
    return 2;
}
