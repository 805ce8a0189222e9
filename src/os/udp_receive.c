#include "os/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { CONTROL_LEN = 128 };

struct slot {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } from;
    struct iovec iov;
    _Alignas(struct cmsghdr) uint8_t control[CONTROL_LEN];
};

struct cq_udp_rx {
    struct mmsghdr headers[CQ_UDP_RX_BUFFERS];
    struct slot slots[CQ_UDP_RX_BUFFERS];
    struct cq_udp_received received[CQ_UDP_RX_BUFFERS];
    uint8_t *buffers;
};

struct cq_udp_rx *cq_udp_rx_new(void)
{
    struct cq_udp_rx *rx = calloc(1, sizeof(*rx));

    if (rx == NULL)
        return NULL;
    /* Big enough for malloc to map it, so that pages never used cost nothing. */
    rx->buffers = malloc((size_t)CQ_UDP_RX_BUFFERS * CQ_UDP_BUFFER_LEN);
    if (rx->buffers == NULL) {
        free(rx);
        return NULL;
    }
    return rx;
}

void cq_udp_rx_free(struct cq_udp_rx *rx)
{
    if (rx == NULL)
        return;
    free(rx->buffers);
    free(rx);
}

static void read_source(struct cq_route *route, const struct slot *slot)
{
    struct cq_addr *remote = &route->remote;

    if (slot->from.any.sa_family == AF_INET) {
        remote->ip.family = CQ_FAMILY_IPV4;
        memcpy(remote->ip.bytes, &slot->from.v4.sin_addr, 4);
        remote->port = ntohs(slot->from.v4.sin_port);
    } else if (slot->from.any.sa_family == AF_INET6) {
        remote->ip.family = CQ_FAMILY_IPV6;
        memcpy(remote->ip.bytes, &slot->from.v6.sin6_addr, 16);
        remote->port = ntohs(slot->from.v6.sin6_port);
        remote->scope_id = slot->from.v6.sin6_scope_id;
    }
}

static void read_control(struct cq_udp_received *r, const struct cmsghdr *c)
{
    const uint8_t *value = CMSG_DATA(c);
    struct in_pktinfo info4;
    struct in6_pktinfo info6;
    int number = 0;

    if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
        memcpy(&number, value, sizeof(number));
        if (number > 0 && (size_t)number < r->len)
            r->segment = (size_t)number;
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
        memcpy(&info4, value, sizeof(info4));
        r->route.local.family = CQ_FAMILY_IPV4;
        memcpy(r->route.local.bytes, &info4.ipi_spec_dst, 4);
        r->route.ifindex = (uint32_t)info4.ipi_ifindex;
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
        memcpy(&info6, value, sizeof(info6));
        r->route.local.family = CQ_FAMILY_IPV6;
        memcpy(r->route.local.bytes, &info6.ipi6_addr, 16);
        r->route.ifindex = info6.ipi6_ifindex;
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
        r->ecn = value[0] & 3;
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
        memcpy(&number, value, sizeof(number));
        r->ecn = (uint8_t)(number & 3);
    }
}

static void read_message(struct cq_udp_rx *rx, size_t i)
{
    struct msghdr *header = &rx->headers[i].msg_hdr;
    struct cq_udp_received *r = &rx->received[i];

    *r = (struct cq_udp_received){
        .data = rx->slots[i].iov.iov_base,
        .len = rx->headers[i].msg_len,
        .segment = rx->headers[i].msg_len,
    };
    read_source(&r->route, &rx->slots[i]);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c))
        read_control(r, c);
}

enum cq_err cq_udp_receive(int fd, struct cq_udp_rx *rx, const struct cq_udp_received **out,
                           size_t *out_num)
{
    *out = rx->received;
    *out_num = 0;
    /* Everything that the kernel writes back into the headers is set anew. */
    for (size_t i = 0; i < CQ_UDP_RX_BUFFERS; i++) {
        struct slot *slot = &rx->slots[i];
        slot->iov = (struct iovec){rx->buffers + i * CQ_UDP_BUFFER_LEN, CQ_UDP_BUFFER_LEN};
        rx->headers[i].msg_hdr = (struct msghdr){
            .msg_name = &slot->from,
            .msg_namelen = sizeof(slot->from),
            .msg_iov = &slot->iov,
            .msg_iovlen = 1,
            .msg_control = slot->control,
            .msg_controllen = sizeof(slot->control),
        };
    }
    int n = recvmmsg(fd, rx->headers, CQ_UDP_RX_BUFFERS, MSG_DONTWAIT, NULL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? CQ_ERR_AGAIN : CQ_ERR_IO;
    for (int i = 0; i < n; i++)
        read_message(rx, (size_t)i);
    *out_num = (size_t)n;
    return CQ_OK;
}
