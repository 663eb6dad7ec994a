#include "runtime/safepoint/safepoint_poll.h"

#include <cpuid.h>

#include <algorithm>

// Read by safepoint_poll_stub.S. Written once, before hosted code runs. Size zero: not initialised.
extern "C" {
__attribute__((visibility("hidden"))) constinit uint32_t mend_poll_state_size = 0;
// The components to save, as XSAVE takes them in edx:eax. Zero: the CPU knows FXSAVE only.
__attribute__((visibility("hidden"))) constinit uint64_t mend_poll_state_components = 0;
}

namespace mend {
namespace {

constexpr uint32_t kLegacyAndHeaderSize = 512 + 64;
constexpr uint64_t kX87 = 1u << 0;
constexpr uint64_t kSse = 1u << 1;
// Not saved, since no code of the runtime touches them: protection keys, AMX tiles (which alone
// would take 8 KB of stack).
constexpr uint64_t kUntouched = uint64_t{1} << 9 | uint64_t{1} << 17 | uint64_t{1} << 18;

uint64_t EnabledComponents() {
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & bit_OSXSAVE) == 0) return 0;
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

}  // namespace

void InitializePollStub() {
  const uint64_t components = EnabledComponents() & ~kUntouched;
  uint32_t size = kLegacyAndHeaderSize;
  for (unsigned i = 2; i < 63; ++i) {
    if ((components >> i & 1) == 0) continue;
    uint32_t component_size, offset, c, d;
    __cpuid_count(0xd, i, component_size, offset, c, d);
    size = std::max(size, offset + component_size);
  }
  mend_poll_state_components = components & (kX87 | kSse) ? components : 0;
  mend_poll_state_size = size;
}

}  // namespace mend
