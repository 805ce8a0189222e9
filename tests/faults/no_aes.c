/* In place of cq_crypto_has_aes (the linker's --wrap): a CPU without AES instructions on demand. */
#include "faults.h"

bool __real_cq_crypto_has_aes(void);
bool __wrap_cq_crypto_has_aes(void);

bool __wrap_cq_crypto_has_aes(void)
{
    return !faults_hide_aes() && __real_cq_crypto_has_aes();
}
