#include "jit/static_pool.h"

__attribute__((aligned(MEND_STATIC_POOL_ALIGNMENT),
               visibility("default"))) _Thread_local char __mend_static_pool[MEND_STATIC_POOL_SIZE];
