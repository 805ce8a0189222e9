/*
 * A function that takes a few instructions more than it should: the linker puts this in front of
 * cq_packet_read, and the gate must see it in the rows that read packets, and in no other.
 */
#include "path/packet.h"

bool __real_cq_packet_read(struct cq_packet *out, const uint8_t *data, size_t len);
bool __wrap_cq_packet_read(struct cq_packet *out, const uint8_t *data, size_t len);

bool __wrap_cq_packet_read(struct cq_packet *out, const uint8_t *data, size_t len)
{
    volatile unsigned idle = 0;

    while (idle < 4)
        idle = idle + 1;
    return __real_cq_packet_read(out, data, len);
}
