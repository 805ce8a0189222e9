/*
 * Error codes shared by all layers.
 *
 * Functions that can fail return `enum cq_err`; data comes back through out_ parameters. What an
 * attacker on the network can trigger is not an error but a drop reason (base/drop.h).
 */
#ifndef CQ_BASE_ERR_H
#define CQ_BASE_ERR_H

enum cq_err {
    CQ_OK = 0,
    CQ_ERR_NOMEM,    /* an allocation failed or a fixed bound is reached */
    CQ_ERR_CRYPTO,   /* libcrypto refused an operation that should have succeeded */
    CQ_ERR_RANDOM,   /* the random generator failed */
    CQ_ERR_AUTH,     /* a tag, MAC or hash did not verify */
    CQ_ERR_INVALID,  /* an argument or input is malformed */
    CQ_ERR_RANGE,    /* a number is outside its bounds, a buffer is too small */
    CQ_ERR_EXISTS,   /* it is there already */
    CQ_ERR_NOTFOUND, /* it is not there */
    CQ_ERR_STATE,    /* not possible in the present state */
    CQ_ERR_IO,       /* a system call failed; errno says why where documented */
    CQ_ERR_AGAIN,    /* would block, or a queue is full: try later */
    CQ_ERR_PERM,     /* not allowed */
    CQ_ERR_EXPIRED,  /* a key's life or a limit is over */
};

#define CQ_MUST_CHECK __attribute__((warn_unused_result))

/* A short English text for an error code ("out of memory"); never NULL. Static storage. */
const char *cq_err_text(enum cq_err err);

#endif
