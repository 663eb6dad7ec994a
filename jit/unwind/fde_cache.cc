#include "jit/unwind/fde_cache.h"

namespace mend::jit {
namespace {

[[clang::no_destroy]] constinit FdeCache process_cache;  // exit handlers still throw

}  // namespace

FdeCache& ProcessFdeCache() { return process_cache; }

}  // namespace mend::jit
