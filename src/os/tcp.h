/*
 * Listening TCP sockets. Stateless; any thread. Descriptors are non-blocking and close-on-exec.
 */
#ifndef CQ_OS_TCP_H
#define CQ_OS_TCP_H

#include "base/addr.h"
#include "base/err.h"

/* Listens on exactly this address. An IPv6 address takes no IPv4 connections. CQ_ERR_EXISTS (the
 * port is taken), CQ_ERR_IO (errno). */
CQ_MUST_CHECK enum cq_err cq_tcp_listen(const struct cq_addr *addr, int *out_fd);

#endif
