#include "world.h"

void world_crowd_build(struct world *world)
{
    (void)world;
}
