/*
 * The TUN device: opening it with offloads, reading and writing frames. Addresses, routes and link
 * state are netlink's (os/netlink.h); this file knows bytes and the virtio header in front of them.
 */
#ifndef CQ_OS_TUN_H
#define CQ_OS_TUN_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct iovec;

enum {
    CQ_TUN_NAME_MAX = 16, /* with the terminating NUL */
    CQ_TUN_MAX_LINES = 8, /* queues of one worker */
    CQ_TUN_OFFLOAD_CSUM = 0x01,
    CQ_TUN_OFFLOAD_TSO = 0x06, /* TSO4 and TSO6 */
    CQ_TUN_OFFLOAD_USO = 0x60, /* USO4 and USO6 */
};

/* What one worker has of a TUN device: one queue or several, read in turn (os/steer.h). Plain data,
 * may be handed to another process with its descriptors. */
struct cq_tun {
    int fd; /* the first one: line 0, and the one that is written to */
    int others[CQ_TUN_MAX_LINES - 1];
    unsigned num_lines; /* 1 and how many others */
    bool vnet;          /* a virtio header stands before each frame */
    unsigned offloads;  /* CQ_TUN_OFFLOAD_*: what the kernel agreed to, in both directions */
    char name[CQ_TUN_NAME_MAX];
};

struct cq_tun_options {
    const char *name; /* may hold "%d" for a number of the kernel's choice */
    bool multi_queue; /* further queues are opened with the same name and this set */
    unsigned lines;   /* that are wanted, with multi_queue; 0 is 1 */
    bool no_vnet;     /* no virtio header, and so no offloads */
    unsigned without; /* CQ_TUN_OFFLOAD_* that are not asked for */
};

/*
 * Makes the interface, or attaches a queue to it, non-blocking. CQ_ERR_EXISTS (in use by another
 * process), CQ_ERR_PERM, CQ_ERR_INVALID (name), CQ_ERR_NOTFOUND (no /dev/net/tun), CQ_ERR_IO; errno
 * says why.
 */
CQ_MUST_CHECK enum cq_err cq_tun_open(struct cq_tun *tun, const struct cq_tun_options *options);
/* Closes the descriptors; the interface goes with its last queue. */
void cq_tun_close(struct cq_tun *tun);

/* Closes all lines but the first. */
void cq_tun_close_others(struct cq_tun *tun);

/* The descriptor of a line below num_lines. */
static inline int cq_tun_line(const struct cq_tun *tun, unsigned line)
{
    return line == 0 ? tun->fd : tun->others[line - 1];
}

/* The virtio_net_hdr, host byte order. Zero means an ordinary packet. */
struct cq_tun_header {
    uint8_t flags, gso_type;
    uint16_t hdr_len, gso_size, csum_start, csum_offset;
};

enum { CQ_TUN_HEADER_LEN = 10 };

/*
 * Reads one frame of a line without waiting: header (zero without vnet) and at most size bytes of
 * packet. CQ_ERR_AGAIN: nothing is there; CQ_ERR_RANGE: a frame was longer and is lost; CQ_ERR_IO.
 */
CQ_MUST_CHECK enum cq_err cq_tun_read(const struct cq_tun *tun, unsigned line,
                                      struct cq_tun_header *header, uint8_t *buf, size_t size,
                                      size_t *out_len);

/*
 * Writes one frame from iov[1] on; iov[0] is left to this function, which puts the header there.
 * Without vnet the header must be zero. CQ_ERR_INVALID: the kernel refuses the frame's header
 * (EINVAL); CQ_ERR_AGAIN; CQ_ERR_IO.
 */
CQ_MUST_CHECK enum cq_err cq_tun_write(const struct cq_tun *tun, struct cq_tun_header *header,
                                       struct iovec *iov, size_t num_iov);

#endif
