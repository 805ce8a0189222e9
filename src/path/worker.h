/*
 * The packet path, worker side: batches of packets from the TUN become datagrams, batches of
 * datagrams become frames for the TUN. The control side, which decides on peers and keys, is
 * path/path.h.
 *
 *   out: frame -> route by destination -> segment -> counters -> seal (out of place, into `struct
 * cq_path_out`) -> sends in:  datagrams of one source -> index -> window check -> open in place ->
 * window commit -> source check -> coalesce -> frames in `struct cq_path_in`, which point into the
 * datagrams' buffers
 *
 * Nothing here makes a system call, reads a clock, draws randomness or allocates per packet. A
 * worker (its struct, its out and in) belongs to one thread; several workers run at the same time.
 * Every function that takes `now` must be called between cq_path_enter and cq_path_leave; what it
 * returns may be used after leaving.
 *
 * Every drop is counted under its name in the worker's counters.
 */
#ifndef CQ_PATH_WORKER_H
#define CQ_PATH_WORKER_H

#include "base/addr.h"
#include "base/counter.h"
#include "base/err.h"
#include "base/time.h"
#include "path/path.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CQ_PATH_BATCH = 64,           /* datagrams of one call of cq_path_open */
    CQ_PATH_SLACK = 16,           /* writable bytes that a frame's buffer has beyond the frame */
    CQ_PATH_FRAME_MAX = 65535,    /* an inner packet or super-packet */
    CQ_PATH_DATAGRAM_MAX = 65507, /* a UDP payload, also of one send with several segments */
    CQ_PATH_MAX_SEGMENTS = 64,    /* in one send */
    CQ_PATH_OUT_SENDS = 64,
    CQ_PATH_IN_FRAMES = 512, /* frames, and packets in them, that one `in` holds; several batches */
    CQ_PATH_IN_PIECES = 128, /* packets merged into one frame */
    CQ_PATH_IN_PIECES_OLD = 64, /* the same of UDP before Linux 6.9 */
    CQ_PATH_IN_FLOWS = 8,
    CQ_PATH_CONTROL_MAX = 256, /* TLVs of one control record, without PAD */
};

struct cq_path_worker;

/* Number below cq_path_config.num_workers. The worker belongs to the path. */
struct cq_path_worker *cq_path_get_worker(struct cq_path *path, unsigned number);

/* Readable from any thread. */
struct cq_counters *cq_path_worker_counters(struct cq_path_worker *worker);

/* Totals of one worker; written by it alone, readable from any thread. */
struct cq_path_totals {
    _Atomic uint64_t sealed, sealed_bytes; /* records and their datagram bytes */
    _Atomic uint64_t opened, opened_bytes;
    _Atomic uint64_t frames_read;                /* from the TUN, super-packets count once */
    _Atomic uint64_t inner_sent, inner_received; /* IP packets */
};
const struct cq_path_totals *cq_path_worker_totals(const struct cq_path_worker *worker);

/*
 * From enter to leave the worker may see shared objects, and none of those is freed. Never nested,
 * never across a wait. leave returns true when events were reported since enter: the caller wakes
 * the control thread.
 */
void cq_path_enter(struct cq_path_worker *worker);
CQ_MUST_CHECK bool cq_path_leave(struct cq_path_worker *worker);

/* The virtio_net_hdr of a TUN frame (host byte order, 10 bytes, the layout of the kernel). */
struct cq_vnet {
    uint8_t flags;    /* CQ_VNET_NEEDS_CSUM */
    uint8_t gso_type; /* CQ_VNET_GSO_*, maybe with CQ_VNET_GSO_ECN */
    uint16_t hdr_len;
    uint16_t gso_size;
    uint16_t csum_start;
    uint16_t csum_offset;
};

enum {
    CQ_VNET_NEEDS_CSUM = 1,
    CQ_VNET_GSO_NONE = 0,
    CQ_VNET_GSO_TCPV4 = 1,
    CQ_VNET_GSO_TCPV6 = 4,
    CQ_VNET_GSO_UDP_L4 = 5,
    CQ_VNET_GSO_ECN = 0x80,
};

/* ---- out: TUN to network ---- */

/* One datagram, or several of `segment` bytes each (the last may be shorter) that leave by one UDP
 * GSO send. */
struct cq_path_send {
    struct cq_route route;
    const uint8_t *data;
    size_t len;
    uint16_t segment;
    uint8_t ecn; /* ECN bits of the outer header (RFC 6040, normal mode) */
};

/* Sealed datagrams that wait to be sent, in a buffer of the caller. */
struct cq_path_out {
    struct cq_path_send sends[CQ_PATH_OUT_SENDS];
    size_t num_sends;
    uint8_t *buf;
    size_t size, used;
    unsigned tail_segments; /* in the last send; 0: it takes no more */
    uint64_t tail_route;    /* serial of its endpoint */
    bool single;            /* set by the caller: one datagram per send (no UDP GSO) */
};

/* size >= CQ_PATH_DATAGRAM_MAX + CQ_AEAD_TAG_LEN. */
void cq_path_out_init(struct cq_path_out *out, uint8_t *buf, size_t size);
/* Forgets the sends; the caller has sent them. */
void cq_path_out_reset(struct cq_path_out *out);

/* A packet or super-packet from the TUN. The buffer is used as scratch: its content is undefined
 * afterwards. */
struct cq_path_frame {
    struct cq_vnet vnet; /* zero where the TUN has no virtio header */
    uint8_t *data;       /* CQ_PATH_SLACK more bytes than len are writable */
    size_t len;
};

/*
 * Seals a frame, stages it (no session: its packets are copied) or drops it. False: `out` is full;
 * send what it holds, reset it and call again with the same frame before any other call with this
 * worker.
 */
CQ_MUST_CHECK bool cq_path_seal(struct cq_path_worker *worker, struct cq_path_out *out,
                                struct cq_path_frame *frame, cq_time now);

/* After cq_path_seal: a packet for the TUN that tells the sender of what was dropped what would fit
 * (ICMP, whole, with its checksums), in memory of the worker until the next call. False: there is
 * none. */
CQ_MUST_CHECK bool cq_path_take_reply(struct cq_path_worker *worker, uint8_t **data, size_t *len);

/* A control record to send (CQ_ACTION_SEND_CONTROL). */
struct cq_path_control {
    uint32_t local_idx;
    uint16_t len;          /* at most CQ_PATH_CONTROL_MAX, else it is dropped */
    uint16_t padded_len;   /* of the plaintext, grown by PAD; smaller than len: no padding */
    struct cq_route route; /* remote.ip.family NONE: the peer's endpoint */
    const uint8_t *data;
};

/* False: `out` is full, as above. Only worker 0 may call it. */
CQ_MUST_CHECK bool cq_path_seal_control(struct cq_path_worker *worker, struct cq_path_out *out,
                                        const struct cq_path_control *control, cq_time now);

/* Seals what this worker staged for the peer of that number, as far as it has a current keypair.
 * False: `out` is full, as above. */
CQ_MUST_CHECK bool cq_path_send_staged(struct cq_path_worker *worker, struct cq_path_out *out,
                                       uint32_t peer, cq_time now);

/* Drops what this worker staged for the peer (staged_expired). */
void cq_path_drop_staged(struct cq_path_worker *worker, uint32_t peer);

/* ---- in: network to TUN ---- */

/* Whether a datagram is a record (DATA, CONTROL) and goes to cq_path_open. */
bool cq_path_is_record(const uint8_t *data, size_t len);

/* One datagram; opened in place. */
struct cq_path_datagram {
    uint8_t *data;
    size_t len;
};

struct cq_path_piece {
    uint8_t *data;
    uint32_t len;
    uint32_t next; /* index in cq_path_in.pieces, or CQ_PATH_IN_FRAMES: the last */
};

/* A packet or super-packet for the TUN: the pieces from `first` on, one after the other. */
struct cq_path_in_frame {
    struct cq_vnet vnet;
    uint32_t len;         /* of all pieces */
    uint32_t first, last; /* pieces */
    uint16_t num_pieces;
    /* Private to path/coalesce.c. */
    uint16_t header_len, segment, l4;
    uint8_t version, proto;
    bool elided, verified, closed;
};

/* Opened packets that wait to be written to the TUN. They lie in the buffers of their datagrams,
 * which must therefore stay as they are until the frames are written. */
struct cq_path_in {
    struct cq_path_in_frame frames[CQ_PATH_IN_FRAMES];
    struct cq_path_piece pieces[CQ_PATH_IN_FRAMES];
    size_t num_frames, num_pieces;
    uint16_t flows[CQ_PATH_IN_FLOWS]; /* TCP frames that may still grow */
    unsigned num_flows, next_flow;
    /* What the TUN takes, set by the caller at any time: partial checksums, TCP and UDP
     * super-packets. */
    bool csum, tso, uso;
    uint16_t max_udp; /* UDP packets of one frame: CQ_PATH_IN_PIECES or ..._OLD */
};

void cq_path_in_init(struct cq_path_in *in, bool csum, bool tso, bool uso);
/* Completes the headers of all frames, which may be written then; nothing is added until the reset.
 */
void cq_path_in_finish(struct cq_path_in *in);
/* Forgets the frames; the caller has written them. */
void cq_path_in_reset(struct cq_path_in *in);
/* How many more packets fit. */
static inline size_t cq_path_in_room(const struct cq_path_in *in)
{
    return CQ_PATH_IN_FRAMES - in->num_pieces;
}

/*
 * Takes a merged frame that the TUN refused apart again: calls `write` for each of its packets,
 * which then lie in one piece each. Stops merging nothing: the caller clears in->tso or in->uso.
 */
void cq_path_in_split(struct cq_path_in *in, size_t frame,
                      void (*write)(void *ctx, const struct cq_vnet *vnet, uint8_t *data,
                                    size_t len),
                      void *ctx);

/* Where the datagrams of one batch came from. */
struct cq_path_source {
    struct cq_route route;
    uint8_t ecn; /* ECN bits of the outer header */
};

/* Opens datagrams of one source (num <= CQ_PATH_BATCH and <= cq_path_in_room). */
void cq_path_open(struct cq_path_worker *worker, struct cq_path_in *in,
                  const struct cq_path_source *source, const struct cq_path_datagram *datagrams,
                  size_t num, cq_time now);

#endif
