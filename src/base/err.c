#include "base/err.h"

const char *cq_err_text(enum cq_err err)
{
    switch (err) {
    case CQ_OK:
        return "success";
    case CQ_ERR_NOMEM:
        return "out of memory";
    case CQ_ERR_CRYPTO:
        return "the crypto library failed";
    case CQ_ERR_RANDOM:
        return "the random generator failed";
    case CQ_ERR_AUTH:
        return "authentication failed";
    case CQ_ERR_INVALID:
        return "invalid input";
    case CQ_ERR_RANGE:
        return "out of range";
    case CQ_ERR_EXISTS:
        return "exists already";
    case CQ_ERR_NOTFOUND:
        return "not found";
    case CQ_ERR_STATE:
        return "not possible in this state";
    case CQ_ERR_IO:
        return "input/output error";
    case CQ_ERR_AGAIN:
        return "try again later";
    case CQ_ERR_PERM:
        return "permission denied";
    case CQ_ERR_EXPIRED:
        return "expired";
    }
    return "unknown error";
}
