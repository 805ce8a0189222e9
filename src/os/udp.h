/*
 * UDP sockets of a node: one for IPv4 and one for IPv6 on the same port, with UDP GSO and GRO,
 * packet information (so that answers leave from the address that was reached), ECN and the DF bit.
 * Bytes only: this file knows no message.
 *
 * Sending and receiving may happen in several threads at once on the same sockets; a `struct
 * cq_udp_rx` and a `struct cq_udp_tx` belong to one thread.
 */
#ifndef CQ_OS_UDP_H
#define CQ_OS_UDP_H

#include "base/addr.h"
#include "base/diagnosis.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CQ_UDP_RX_BUFFERS = 8,
    CQ_UDP_BUFFER_LEN = 65536,
    CQ_UDP_MAX_SEND = 64, /* sends of one call */
    CQ_UDP_NO_GSO = 64,   /* destinations remembered as unable to take UDP GSO */
};

struct cq_udp {
    int fd4, fd6; /* -1: this family is not available */
    uint16_t port;
    bool gro; /* the kernel merges what arrives together (UDP_GRO), in all families */
};

struct cq_udp_options {
    uint16_t port;   /* 0: any that is free in both families */
    uint32_t fwmark; /* SO_MARK; 0: none */
    bool no_gro;     /* configuration */
    bool shared;     /* joins others on the port that are shared (cq_udp_open_group's own) */
};

/*
 * Opens and binds both sockets to all local addresses; a family that the machine does not have is
 * left out (-1). CQ_ERR_EXISTS: the port is taken in one family at least; CQ_ERR_PERM, CQ_ERR_IO
 * (errno says why). *udp has no open descriptor then.
 */
CQ_MUST_CHECK enum cq_err cq_udp_open(struct cq_udp *udp, const struct cq_udp_options *options);
/*
 * The same for `num` receivers on one port: the kernel gives each datagram to one of them, by a
 * hash of addresses and ports, so that all datagrams of one sender come to the same one, in their
 * order (SO_REUSEPORT). Nobody else's socket may have the port at the start. Each is closed with
 * cq_udp_close.
 */
CQ_MUST_CHECK enum cq_err cq_udp_open_group(struct cq_udp *udps, size_t num,
                                            const struct cq_udp_options *options);
/* For one that was opened; both descriptors are -1 afterwards. */
void cq_udp_close(struct cq_udp *udp);

/* One datagram, or several of `segment` bytes each but the last, which may be shorter. */
struct cq_udp_send {
    const struct cq_route *route;
    const uint8_t *data;
    size_t len;
    uint16_t segment; /* 0 or >= len: one datagram */
    uint8_t ecn;      /* 0 to 3 */
};

/* What one sending thread remembers. Zeroed is the beginning; gso_off may be set by the caller
 * (configuration). */
struct cq_udp_tx {
    bool gso_off;           /* never use UDP GSO */
    uint64_t num_fallbacks; /* destinations for which UDP GSO was switched off at run time */
    uint64_t num_unsent;    /* datagrams that the kernel refused */
    struct cq_addr fallback; /* the last of those destinations */
    int fallback_error;      /* the errno that said so */
    struct cq_addr no_gso[CQ_UDP_NO_GSO];
};

/*
 * Sends all (num <= CQ_UDP_MAX_SEND), waiting at no time: what the kernel does not take is lost, as
 * on any network, and counted in num_unsent. Where GSO is refused (EIO, EINVAL, EMSGSIZE) the
 * datagrams are sent one by one, for this destination from then on. Where the local address of a
 * route is gone, the kernel chooses one. Returns the number of datagrams that were not sent.
 */
size_t cq_udp_send(const struct cq_udp *udp, struct cq_udp_tx *tx, const struct cq_udp_send *sends,
                   size_t num);

/* One datagram, for threads that send rarely. CQ_ERR_IO (errno says why). */
CQ_MUST_CHECK enum cq_err cq_udp_send_one(const struct cq_udp *udp, const struct cq_route *route,
                                          const uint8_t *data, size_t len);

/* What an errno of sending means. */
enum cq_send_fault cq_udp_fault(int error);

/* What was received by one call: num buffers, each one datagram or several of `segment` bytes. */
struct cq_udp_received {
    struct cq_route route; /* remote: the source; local, ifindex: what it reached */
    uint8_t *data;
    size_t len;
    size_t segment; /* len where there is one datagram */
    uint8_t ecn;
};

struct cq_udp_rx;
/* 8 buffers of 64 kB, touched as they are used. NULL: no memory. */
struct cq_udp_rx *cq_udp_rx_new(void);
void cq_udp_rx_free(struct cq_udp_rx *rx);

/*
 * Receives up to CQ_UDP_RX_BUFFERS times without waiting. The buffers are valid until the next
 * call. CQ_ERR_AGAIN: nothing is there. CQ_ERR_IO.
 */
CQ_MUST_CHECK enum cq_err cq_udp_receive(int fd, struct cq_udp_rx *rx,
                                         const struct cq_udp_received **out, size_t *out_num);

#endif
