/*
 * A stand-in for the crypto layer that computes nothing: every output is a byte string that was
 * never seen before, the same inputs give the same output, and every call is written to standard
 * output as one line of JSON. Whoever reads the lines can tell from any byte string by which
 * operations it came about. Single-threaded; for the symbolic check of the handshake only.
 */
#ifndef CQ_TESTS_RECORDER_H
#define CQ_TESTS_RECORDER_H

#include <stddef.h>
#include <stdint.h>

/* What follows belongs to the run of this name. */
void rec_run(const char *name);

/* New bytes for an input, and its name: '@...' is drawn by a role for one handshake, '?...' is
 * whatever the network or the configuration says, the rest lasts. */
void rec_atom(const char *name, uint8_t *out, size_t len);

/* Names bytes that were computed, or are sent. */
void rec_value(const char *name, const uint8_t *value, size_t len);

/* len + 16 bytes that open under whatever key they are opened with, once, and then give the
 * plaintext p: a ciphertext by somebody of whom it is not known yet what he knows. */
void rec_hole(uint8_t *out, const uint8_t *p, size_t len);

#endif
