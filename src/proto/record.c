#include "proto/record.h"

#include "base/bytes.h"
#include "proto/wire.h"

#include <string.h>

bool cq_record_is_one(const uint8_t *data, size_t len)
{
    return len > 0 && (data[0] == CQ_MSG_DATA || data[0] == CQ_MSG_CONTROL);
}

enum cq_drop cq_record_read(struct cq_record *out, const uint8_t *data, size_t len)
{
    if (len < CQ_RECORD_OVERHEAD || len > CQ_RECORD_MAX)
        return CQ_DROP_BAD_LENGTH;
    if (data[1] != CQ_PROTOCOL_VERSION)
        return CQ_DROP_BAD_VERSION;

    uint8_t known_flags = data[0] == CQ_MSG_DATA ? CQ_RECORD_FLAG_ELIDED : 0;
    if ((data[2] & ~known_flags) != 0 || data[3] != 0)
        return CQ_DROP_RESERVED_BITS;
    *out = (struct cq_record){
        .type = data[0],
        .flags = data[2],
        .receiver = cq_load_be32(data + 4),
        .counter = cq_load_be64(data + 8),
    };
    return cq_record_lane(out->counter) < CQ_RECORD_NUM_LANES ? CQ_DROP_NONE : CQ_DROP_BAD_LANE;
}

void cq_record_write(uint8_t out[CQ_RECORD_HEADER_LEN], const struct cq_record *record)
{
    out[0] = record->type;
    out[1] = CQ_PROTOCOL_VERSION;
    out[2] = record->flags;
    out[3] = 0;
    cq_store_be32(out + 4, record->receiver);
    cq_store_be64(out + 8, record->counter);
}

void cq_record_nonce(uint8_t out[CQ_AEAD_NONCE_LEN], const uint8_t iv[CQ_AEAD_NONCE_LEN],
                     uint64_t counter)
{
    memcpy(out, iv, 4);
    cq_store_be64(out + 4, cq_load_be64(iv + 4) ^ counter);
}

struct cq_record_limits cq_record_limits(enum cq_suite suite)
{
    switch (suite) {
    case CQ_SUITE_AES_256_GCM:
        return (struct cq_record_limits){UINT64_C(1) << 28, UINT64_C(512) << 30};
    case CQ_SUITE_CHACHA20_POLY1305:
        return (struct cq_record_limits){UINT64_C(1) << 60, UINT64_MAX};
    }
    return (struct cq_record_limits){0, 0};
}
