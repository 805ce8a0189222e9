/*
 * Who encrypts records: libcrypto, or something that stands in its place where the build has it and
 * the processor can do it. What the files aead*.c share; not for other layers.
 */
#ifndef CQ_CRYPTO_AEAD_BACKEND_H
#define CQ_CRYPTO_AEAD_BACKEND_H

#include "crypto/aead.h"

#include <limits.h>

/* The functions of a keyed context; each context begins with a struct cq_aead. seal and open have
 * the contracts of aead.h; the direction was checked. */
struct cq_aead_backend {
    const char *name;
    enum cq_err (*make)(struct cq_aead **out, enum cq_suite suite, enum cq_aead_dir dir,
                        const uint8_t key[CQ_AEAD_KEY_LEN]);
    enum cq_err (*seal)(struct cq_aead *aead, struct cq_aead_op *ops, size_t num_ops);
    enum cq_err (*open)(struct cq_aead *aead, struct cq_aead_op *ops, size_t num_ops);
    void (*destroy)(struct cq_aead *aead);
};

struct cq_aead {
    const struct cq_aead_backend *backend;
    enum cq_aead_dir dir;
};

/* What libraries can count with. */
static inline bool cq_aead_fits(const struct cq_aead_op *op)
{
    return op->len <= INT_MAX && op->ad_len <= INT_MAX;
}

/* aead_evp.c */
extern const struct cq_aead_backend cq_aead_libcrypto;

/* What is used instead of libcrypto, NULL: nothing. Defined by exactly one of aead_none.c,
 * aead_ipsec_mb.c and aead_null.c, as the build is configured. Any thread; the first call may take
 * a millisecond. */
const struct cq_aead_backend *cq_aead_preferred(void);

/* Added to the protocol's name by a build that does not encrypt, else empty. From the same file. */
extern const char cq_aead_build_marker[];

#endif
