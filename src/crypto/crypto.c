#include "crypto/crypto.h"

#include "base/mem.h"
#include "base/secret.h"
#include "crypto/lib.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdint.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

static bool initialised;
static bool memory_locked;

static void *alloc_locked(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return cq_secret_alloc(size);
}

static void *realloc_locked(void *p, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    if (size == 0) {
        cq_secret_free(p);
        return NULL;
    }
    return cq_secret_realloc(p, size);
}

static void free_locked(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    cq_secret_free(p);
}

enum cq_err cq_crypto_init(bool locked_memory)
{
    if (initialised)
        return locked_memory && !memory_locked ? CQ_ERR_STATE : CQ_OK;
    if (locked_memory && CRYPTO_set_mem_functions(alloc_locked, realloc_locked, free_locked) != 1)
        return CQ_ERR_CRYPTO;
    memory_locked = locked_memory;
    if (OPENSSL_version_major() < 3 ||
        (OPENSSL_version_major() == 3 && OPENSSL_version_minor() < 5))
        return CQ_ERR_CRYPTO;
    /* No clean-up at exit: the kernel takes everything back, and a forked child must not touch
     * wiped memory. */
    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL) != 1)
        return CQ_ERR_CRYPTO;
    enum cq_err err = cq_lib_load();
    initialised = err == CQ_OK;
    return err;
}

void cq_crypto_thread_done(void)
{
    OPENSSL_thread_stop();
}

const char *cq_crypto_version(void)
{
    return OpenSSL_version(OPENSSL_VERSION);
}

#if defined(__x86_64__) || defined(__i386__)
bool cq_crypto_has_aes(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
}
#elif defined(__aarch64__)
bool cq_crypto_has_aes(void)
{
    unsigned long both = HWCAP_AES | HWCAP_PMULL;
    return (getauxval(AT_HWCAP) & both) == both;
}
#else
bool cq_crypto_has_aes(void)
{
    return false;
}
#endif

static bool reseed(EVP_RAND_CTX *generator)
{
    return generator != NULL && EVP_RAND_reseed(generator, 1, NULL, 0, NULL, 0) == 1;
}

enum cq_err cq_crypto_reseed(void)
{
    if (reseed(RAND_get0_primary(NULL)) && reseed(RAND_get0_private(NULL)) &&
        reseed(RAND_get0_public(NULL)))
        return CQ_OK;
    (void)!cq_lib_error();
    return CQ_ERR_RANDOM;
}

enum cq_err cq_crypto_random(void *out, size_t len)
{
    uint8_t spare[16];
    bool ok = RAND_priv_bytes_ex(NULL, out, len, 0) == 1;

    /* Without AES instructions the generator keeps its last 16 bytes, and leaves some on the stack:
     * let the ones that it keeps be nobody's. */
    ok = ok && RAND_priv_bytes_ex(NULL, spare, sizeof(spare), 0) == 1;
    cq_wipe(spare, sizeof(spare));
    cq_wipe_stack();
    if (ok)
        return CQ_OK;
    (void)!cq_lib_error();
    cq_wipe(out, len);
    return CQ_ERR_RANDOM;
}
