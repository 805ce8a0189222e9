/*
 * The offloads of the packet path, by names that logs, `cryprq show`, metrics and the status share:
 * work on packets that the kernel does for us, or for many packets at once. Plain data.
 */
#ifndef CQ_BASE_OFFLOAD_H
#define CQ_BASE_OFFLOAD_H

enum cq_offload {
    CQ_OFFLOAD_TUN_HEADER, /* the virtio header before each frame, on which the next three rest */
    CQ_OFFLOAD_TUN_CSUM,
    CQ_OFFLOAD_TUN_TSO,
    CQ_OFFLOAD_TUN_USO,
    CQ_OFFLOAD_UDP_GSO,
    CQ_OFFLOAD_UDP_GRO,
    CQ_OFFLOAD_COUNT
};

enum cq_offload_state {
    CQ_OFFLOAD_ON,
    CQ_OFFLOAD_SWITCHED_OFF, /* by the configuration */
    CQ_OFFLOAD_UNAVAILABLE,  /* the kernel refused it at the start */
    CQ_OFFLOAD_GIVEN_UP,     /* the kernel took it at the start and refused it later */
    CQ_OFFLOAD_STATE_COUNT
};

/* "tun_header", "tun_csum", "tun_tso", "tun_uso", "udp_gso", "udp_gro". Static storage. */
const char *cq_offload_name(enum cq_offload offload);
/* "on", "switched_off", "unavailable", "given_up". Static storage. */
const char *cq_offload_state_name(enum cq_offload_state state);

#endif
