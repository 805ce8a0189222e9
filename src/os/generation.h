/*
 * Being told that this machine was restored from a snapshot or cloned (a new VM generation ID),
 * where hypervisor and kernel tell (the kernel's event NEW_VMGENID, Linux 6.10): randomness and
 * keys of before may then exist twice.
 */
#ifndef CQ_OS_GENERATION_H
#define CQ_OS_GENERATION_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* A descriptor that is readable when the kernel has events (non-blocking, close-on-exec). CQ_ERR_IO
 * (errno). */
CQ_MUST_CHECK enum cq_err cq_generation_open(int *out_fd);

/* Reads all events that are there. True: one of them is a new generation. */
bool cq_generation_changed(int fd);

/* Whether an event, as the kernel writes it ("change@/devices/..." and NUL-separated variables), is
 * one. */
bool cq_generation_is_event(const char *event, size_t len);

#endif
