/*
 * Packets that are larger than the path to a peer takes (docs/protocol.md section 5, "Path MTU"):
 * what the maximum segment size of TCP says, and the ICMP message for whoever must send smaller
 * packets. Pure functions over one packet.
 */
#ifndef CQ_PATH_FIT_H
#define CQ_PATH_FIT_H

#include "path/packet.h"

enum { CQ_FIT_REPLY_MAX = 1280 }; /* bytes of an ICMP message with its IP header (RFC 4443 2.4) */

/* Whether cq_fit_clamp_mss may have something to do. */
static inline bool cq_fit_is_syn(const struct cq_packet *packet, const uint8_t *data)
{
    enum { FLAGS = 13, SYN = 0x02 };

    return packet->proto == CQ_PROTO_TCP && packet->len > packet->l4 + (uint32_t)FLAGS &&
           (data[packet->l4 + FLAGS] & SYN) != 0;
}

/*
 * Lowers the maximum segment size that a TCP SYN announces to what fits packets of `limit` bytes
 * (RFC 9293 section 3.7.1), and its checksum with it unless that is partial. Any other packet stays
 * as it is.
 */
void cq_fit_clamp_mss(const struct cq_packet *packet, uint8_t *data, uint16_t limit, bool partial);

/*
 * Writes the ICMP message that says to the sender of a packet that `mtu` is what fits:
 * fragmentation needed (RFC 1191) or packet too big (RFC 4443 section 3.2), as if it came from the
 * packet's destination. Its length; 0 where there must be no answer (to ICMP errors, later
 * fragments, from addresses that are none).
 */
size_t cq_fit_write_too_big(uint8_t out[CQ_FIT_REPLY_MAX], const struct cq_packet *packet,
                            const uint8_t *data, uint16_t mtu);

#endif
