/*
 * Merges opened packets into super-packets for the TUN: TCP segments of one stream that follow each
 * other, and UDP datagrams of equal length of one flow. The payloads stay where they are; a frame
 * is a list of pieces. Rules: docs of each check in coalesce.c; what is not sure to be equal is not
 * merged, and the order within a flow is kept.
 */
#ifndef CQ_PATH_COALESCE_H
#define CQ_PATH_COALESCE_H

#include "path/packet.h"
#include "path/worker.h"

/* Adds a packet (read by cq_packet_read from data). elided: it has a TCP or UDP checksum field,
 * whose content is undefined. in has room. */
void cq_coalesce_add(struct cq_path_in *in, uint8_t *data, const struct cq_packet *packet,
                     bool elided);

#endif
