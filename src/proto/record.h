/*
 * Header, nonce, padding and limits of records, DATA and CONTROL (docs/protocol.md section 5).
 */
#ifndef CQ_PROTO_RECORD_H
#define CQ_PROTO_RECORD_H

#include "base/drop.h"
#include "crypto/aead.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CQ_RECORD_HEADER_LEN = 16,
    CQ_RECORD_OVERHEAD = CQ_RECORD_HEADER_LEN + CQ_AEAD_TAG_LEN,
    CQ_RECORD_MAX = 65507,
    CQ_RECORD_PLAINTEXT_MAX = CQ_RECORD_MAX - CQ_RECORD_OVERHEAD,
    CQ_RECORD_NUM_LANES = 16,
    CQ_RECORD_PAD_TO = 16,
    CQ_RECORD_FLAG_ELIDED = 0x01, /* DATA: the content of the inner checksum field is undefined */
};

#define CQ_RECORD_SEQ_MAX ((UINT64_C(1) << 56) - 1)
/* A session ends at this many failed tags. */
#define CQ_RECORD_MAX_FAILED_TAGS (UINT64_C(1) << 36)

struct cq_record {
    uint8_t type; /* CQ_MSG_DATA or CQ_MSG_CONTROL */
    uint8_t flags;
    uint32_t receiver; /* index */
    uint64_t counter;
};

/* lane < 16, seq <= CQ_RECORD_SEQ_MAX. */
static inline uint64_t cq_record_counter(unsigned lane, uint64_t seq)
{
    return (uint64_t)lane << 56 | seq;
}

static inline unsigned cq_record_lane(uint64_t counter)
{
    return (unsigned)(counter >> 56);
}

static inline uint64_t cq_record_seq(uint64_t counter)
{
    return counter & CQ_RECORD_SEQ_MAX;
}

/* Whether the first byte says DATA or CONTROL, so that the datagram belongs to the packet path. */
bool cq_record_is_one(const uint8_t *data, size_t len);

/*
 * Reads the header of a datagram that cq_record_is_one. CQ_DROP_NONE, or why it is dropped:
 * bad_length (32 to 65507), bad_version, reserved_bits (unknown flags, byte 3), bad_lane.
 */
enum cq_drop cq_record_read(struct cq_record *out, const uint8_t *data, size_t len);

void cq_record_write(uint8_t out[CQ_RECORD_HEADER_LEN], const struct cq_record *record);

/* nonce = iv XOR (0^4 || counter) */
void cq_record_nonce(uint8_t out[CQ_AEAD_NONCE_LEN], const uint8_t iv[CQ_AEAD_NONCE_LEN],
                     uint64_t counter);

/* UDP payload that every path takes: an IPv6 packet of 1280 bytes (RFC 8200 section 5) less its
 * headers. */
enum { CQ_RECORD_BASE_LEN = 1232 };

/* Length of a DATA plaintext that carries a packet of len bytes: the next multiple of 16, but not
 * above the MTU. */
static inline size_t cq_record_padded_len(size_t len, size_t mtu)
{
    size_t padded = (len + CQ_RECORD_PAD_TO - 1) / CQ_RECORD_PAD_TO * CQ_RECORD_PAD_TO;

    return padded <= mtu ? padded : len < mtu ? mtu : len;
}

/* What one sending key may seal, all lanes together. */
struct cq_record_limits {
    uint64_t records;
    uint64_t bytes; /* of plaintext */
};
struct cq_record_limits cq_record_limits(enum cq_suite suite);

#endif
