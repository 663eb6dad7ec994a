#include "runtime/base/own_allocations.h"

thread_local constinit int mend_own_allocations = 0;
