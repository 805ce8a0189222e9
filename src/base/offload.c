#include "base/offload.h"

const char *cq_offload_name(enum cq_offload offload)
{
    static const char *const names[CQ_OFFLOAD_COUNT] = {
        [CQ_OFFLOAD_TUN_HEADER] = "tun_header", [CQ_OFFLOAD_TUN_CSUM] = "tun_csum",
        [CQ_OFFLOAD_TUN_TSO] = "tun_tso",       [CQ_OFFLOAD_TUN_USO] = "tun_uso",
        [CQ_OFFLOAD_UDP_GSO] = "udp_gso",       [CQ_OFFLOAD_UDP_GRO] = "udp_gro",
    };

    return (unsigned)offload < CQ_OFFLOAD_COUNT ? names[offload] : "unknown";
}

const char *cq_offload_state_name(enum cq_offload_state state)
{
    static const char *const names[CQ_OFFLOAD_STATE_COUNT] = {
        [CQ_OFFLOAD_ON] = "on",
        [CQ_OFFLOAD_SWITCHED_OFF] = "switched_off",
        [CQ_OFFLOAD_UNAVAILABLE] = "unavailable",
        [CQ_OFFLOAD_GIVEN_UP] = "given_up",
    };

    return (unsigned)state < CQ_OFFLOAD_STATE_COUNT ? names[state] : "unknown";
}
