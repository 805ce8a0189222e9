/*
 * An allocator for libcrypto that counts what is live and fails at a chosen call. Call
 * failing_libcrypto_init first in main: libcrypto takes an allocator only before its first
 * allocation.
 */
#ifndef CQ_TESTS_FAILING_LIBCRYPTO_H
#define CQ_TESTS_FAILING_LIBCRYPTO_H

#include <stdbool.h>

/* Puts the allocator into place and sets libcrypto up. False when it does not let itself be. */
bool failing_libcrypto_init(void);

/* Lets the call number `n` from now on (0: the next) fail, and that one alone; negative: none. */
void failing_libcrypto_arm(long n);

/* Whether the armed failure has happened; disarms. */
bool failing_libcrypto_disarm(void);

/* Blocks that are allocated at present, without what libcrypto keeps for the thread (which this
 * frees). */
long failing_libcrypto_live(void);

#endif
