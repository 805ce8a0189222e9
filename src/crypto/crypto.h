/*
 * Process-wide set-up of libcrypto.
 */
#ifndef CQ_CRYPTO_CRYPTO_H
#define CQ_CRYPTO_CRYPTO_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * To be called first in every process, before any other function of this layer, from one thread.
 * Does not load a configuration file. With locked_memory, libcrypto allocates from the locked arena
 * of base/secret.h (which must exist already, and stay). CQ_ERR_CRYPTO when the library lacks an
 * algorithm that is needed or its allocations cannot be redirected. A second call changes nothing;
 * CQ_ERR_STATE when it asks for locked memory and the first did not.
 */
CQ_MUST_CHECK enum cq_err cq_crypto_init(bool locked_memory);

/* Frees what libcrypto keeps for the calling thread; for a thread that ends. */
void cq_crypto_thread_done(void);

/* "OpenSSL 3.5.7 ..." as linked at run time. */
const char *cq_crypto_version(void);

/* Whether this CPU has AES and carry-less multiplication instructions (AES-256-GCM is then the
 * fastest suite). */
bool cq_crypto_has_aes(void);

/*
 * Seeds the generator of the calling thread anew, with entropy that the kernel gives now. To be
 * called when the machine was cloned: libcrypto's state was copied with it, and both copies would
 * draw the same numbers (the kernel reseeds itself). CQ_ERR_RANDOM: the copies may still agree.
 */
CQ_MUST_CHECK enum cq_err cq_crypto_reseed(void);

/* len random bytes from libcrypto's generator. CQ_ERR_RANDOM. */
CQ_MUST_CHECK enum cq_err cq_crypto_random(void *out, size_t len);

#endif
