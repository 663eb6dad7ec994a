#include "jit/link/entry_stubs.h"

#include <string.h>

#include "runtime/base/check.h"

namespace mend::jit {
namespace {

// The 8-byte no-ops that LLVM emits for "patchable-function-entry"="8": one instruction, or 7+1
// bytes where the CPU decodes no longer ones, and what the host itself writes.
constexpr uint8_t kNoOps[][8] = {
    {0x0f, 0x1f, 0x84, 0x00, 0x00, 0x02, 0x00, 0x00},
    {0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00},
    {0x0f, 0x1f, 0x80, 0x00, 0x02, 0x00, 0x00, 0x90},
    {0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00, 0x90},
};

}  // namespace

bool HasEntryStub(CodeAddress entry, uint64_t size, const char* bytes) {
  if (entry.value % kEntryAlignment != 0 || size <= kEntryStubSize) return false;
  for (const auto& no_op : kNoOps) {
    if (memcmp(bytes, no_op, sizeof(no_op)) == 0) return true;
  }
  // GCC, and clang for some CPUs, fill with single-byte no-ops.
  static constexpr uint8_t kSingles[8] = {0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90};
  // Those cannot be replaced while a thread may stand between two of them, but at link time no
  // thread does: the host writes its own single instruction.
  return memcmp(bytes, kSingles, sizeof(kSingles)) == 0;
}

uint64_t OpenEntry(CodeAddress entry, const uintptr_t* slot) {
  constexpr intptr_t kJumpSize = 6;
  const intptr_t displacement =
      reinterpret_cast<intptr_t>(slot) - static_cast<intptr_t>(entry.value) - kJumpSize;
  MEND_CHECK(displacement == static_cast<int32_t>(displacement),
             "slots and entries lie within 2 GiB of each other");
  uint64_t bytes = 0xcccc'0000'0000'25ff;
  bytes |= static_cast<uint64_t>(static_cast<uint32_t>(displacement)) << 16;
  return bytes;
}

}  // namespace mend::jit
