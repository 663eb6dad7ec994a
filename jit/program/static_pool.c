#include "jit/program/static_pool.h"

/* With a template in the file, zeros, which the runtime fills (tls_pool.h). */
__attribute__((section(".tdata"), aligned(MEND_STATIC_POOL_ALIGNMENT),
               visibility("default"))) _Thread_local char __mend_static_pool[MEND_STATIC_POOL_SIZE];
