/*
 * Numbers as people read them: pure functions from values to text.
 */
#ifndef CQ_CLI_UNITS_H
#define CQ_CLI_UNITS_H

#include <stddef.h>
#include <stdint.h>

enum { CQ_UNITS_TEXT_MAX = 96 };

/* "1 day, 2 hours, 3 minutes, 4 seconds"; parts that are zero are left out; "0 seconds". Returns
 * out. */
char *cq_units_duration(uint64_t secs, char out[CQ_UNITS_TEXT_MAX]);

/* "now" or "1 minute, 5 seconds ago". */
char *cq_units_ago(uint64_t secs, char out[CQ_UNITS_TEXT_MAX]);

/* "812 B", "1.20 KiB", up to TiB. */
char *cq_units_bytes(uint64_t bytes, char out[CQ_UNITS_TEXT_MAX]);

/* "850 us", "2.35 ms", "1.20 s". */
char *cq_units_micros(uint64_t micros, char out[CQ_UNITS_TEXT_MAX]);

#endif
