#include "world.h"

int world_matrix(unsigned seeds, unsigned jobs)
{
    (void)seeds;
    (void)jobs;
    return 2;
}
