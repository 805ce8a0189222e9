/* Loaded before a program: forgets some memory, so that a leak check which does not notice is none.
 */
#include <stdlib.h>

__attribute__((constructor)) static void forget(void)
{
    volatile char *block = malloc(1234);

    block[0] = 1;
    block = NULL;
}
