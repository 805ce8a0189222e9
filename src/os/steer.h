/*
 * Which line (queue) of a TUN device an outgoing packet waits in. Left alone, all of them wait in
 * one, and an echo or a name look-up stands behind whatever a bulk transfer has put there:
 * megabytes. With this, each worker has a few lines and serves them in turn:
 *
 *   line 0   what is small by nature: TCP segments without payload, ICMP, other protocols,
 * fragments line 1.. TCP and UDP flows, spread by their addresses and ports
 *
 * Packets of one flow keep their order, but for TCP segments without payload, which nobody waits
 * for in order. The kernel decides by a program (os/bpf.h) that reads headers and remembers
 * nothing.
 */
#ifndef CQ_OS_STEER_H
#define CQ_OS_STEER_H

#include "base/err.h"
#include "os/tun.h"

/*
 * For a device with num_workers * num_lines queues, opened worker by worker; num_lines at least 2.
 * Flows are spread over the workers as well. The setting lives as long as the device. CQ_ERR_PERM,
 * CQ_ERR_IO (errno): the kernel or the caller's rights do not allow it, and it chooses queues by
 * itself.
 */
CQ_MUST_CHECK enum cq_err cq_steer_attach(const struct cq_tun *tun, unsigned num_workers,
                                          unsigned num_lines);

/* The program alone: a descriptor of the caller's, or -1 with errno. It returns the queue, worker *
 * num_lines + line. */
int cq_steer_load(unsigned num_workers, unsigned num_lines);

#endif
