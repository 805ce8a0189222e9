/*
 * The configuration of the packet path: which offloads are used, and how many workers there are.
 * The same values come from a file (conf/value.h), from options and from the environment.
 */
#ifndef CQ_CONF_TUNING_H
#define CQ_CONF_TUNING_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum { CQ_CONF_MAX_WORKERS = 15 }; /* each owns one of the 16 lanes; the last lane stays free */

/* How far the offloads of the TUN are used: each of these includes those after it. */
enum cq_conf_tun_offload {
    CQ_CONF_TUN_OFFLOAD_ON,       /* all that the kernel has, UDP super-packets included */
    CQ_CONF_TUN_OFFLOAD_TSO,      /* TCP super-packets */
    CQ_CONF_TUN_OFFLOAD_CHECKSUM, /* partial checksums */
    CQ_CONF_TUN_OFFLOAD_OFF,      /* not even a virtio header: one plain packet per call */
};

/* Zeroed is the default. */
struct cq_conf_tuning {
    enum cq_conf_tun_offload tun_offload;
    bool udp_gso_off, udp_gro_off;
    unsigned num_workers; /* 0: as many as fit the machine */
};

/* Each reads text[:len], without regard to case. CQ_ERR_INVALID leaves everything as it was; the
 * text below says what is expected. */
CQ_MUST_CHECK enum cq_err cq_conf_tuning_set_tun_offload(struct cq_conf_tuning *tuning,
                                                         const char *text, size_t len);
CQ_MUST_CHECK enum cq_err cq_conf_tuning_set_udp_gso(struct cq_conf_tuning *tuning,
                                                     const char *text, size_t len);
CQ_MUST_CHECK enum cq_err cq_conf_tuning_set_udp_gro(struct cq_conf_tuning *tuning,
                                                     const char *text, size_t len);
CQ_MUST_CHECK enum cq_err cq_conf_tuning_set_workers(struct cq_conf_tuning *tuning,
                                                     const char *text, size_t len);

#define CQ_CONF_TUNING_TUN_OFFLOAD "on, tso, checksum or off"
#define CQ_CONF_TUNING_SWITCH "on or off"
#define CQ_CONF_TUNING_WORKERS "auto, or a number from 1 to 15"

#endif
