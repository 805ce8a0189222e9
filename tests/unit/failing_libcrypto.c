#include "failing_libcrypto.h"

#include "crypto/crypto.h"

#include <openssl/crypto.h>
#include <stdlib.h>

static long live, countdown = -1;
static bool failed;

static bool fails_now(void)
{
    if (countdown < 0)
        return false;
    if (countdown-- > 0)
        return false;
    failed = true;
    return true;
}

static void *count_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    if (size == 0 || fails_now())
        return NULL;
    void *p = malloc(size);
    live += p != NULL;
    return p;
}

static void count_free(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    live -= p != NULL;
    free(p);
}

static void *count_realloc(void *p, size_t size, const char *file, int line)
{
    if (p == NULL)
        return count_malloc(size, file, line);
    if (size == 0) {
        count_free(p, file, line);
        return NULL;
    }
    return fails_now() ? NULL : realloc(p, size);
}

bool failing_libcrypto_init(void)
{
    return CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free) == 1 &&
           cq_crypto_init(false) == CQ_OK;
}

void failing_libcrypto_arm(long n)
{
    countdown = n;
    failed = false;
}

bool failing_libcrypto_disarm(void)
{
    countdown = -1;
    return failed;
}

long failing_libcrypto_live(void)
{
    /* The error queue is kept per thread and grows when it is first needed. */
    cq_crypto_thread_done();
    return live;
}
