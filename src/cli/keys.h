/*
 * Keys as the commands meet them: read from standard input, written to standard output, made at
 * random. Secrets are in locked memory and never in a buffer of stdio.
 */
#ifndef CQ_CLI_KEYS_H
#define CQ_CLI_KEYS_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Sets up locked memory of at most max_bytes and libcrypto. CQ_EXIT_OK, or CQ_EXIT_FAILURE after a
 * message. */
int cq_keys_init(size_t max_bytes);

enum {
    CQ_KEYS_MEMORY_SMALL = 8 * 1024 * 1024,
    CQ_KEYS_MEMORY_CONFIG =
        128 * 1024 * 1024, /* the largest configuration file, while its buffer grows */
};

/* Reads 32 bytes in base64 from standard input, to its end. The same results. */
int cq_keys_read_stdin(uint8_t out[32]);

/* Writes bytes in base64 and a newline to standard output, past stdio. The same results. */
int cq_keys_write_stdout(const uint8_t *key, size_t len);

/* Writes 32 random bytes: what genkey and genpsk do. The same results. */
int cq_keys_generate(void);

#endif
