// CodeHost: what the livepatch core needs of the owner of the hosted program's text. jit/
// implements it over the code memory that JITLink filled; tests implement it over plain mmap'ed
// pages.
//
// Thread safety: all calls come from one thread at a time (the one that holds the core's mutex),
// while any number of threads execute the text.
#ifndef MEND_RUNTIME_PATCH_CODE_HOST_H_
#define MEND_RUNTIME_PATCH_CODE_HOST_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/base/code_address.h"

namespace mend {

// One entry to rewrite: `bytes` are the 8 bytes of the stub, in memory order.
struct EntryWrite {
  CodeAddress entry;
  uint64_t bytes = 0;
};

// Bytes to put into text that no thread can execute yet.
struct TextWrite {
  CodeAddress address;
  absl::Span<const uint8_t> bytes;
};

class CodeHost {
 public:
  virtual ~CodeHost() = default;

  // Executable memory within +-2 GiB of all hosted text, filled with int3, 16-aligned, registered
  // with the stack walker as stub text (CFA = rsp + 8). RESOURCE_EXHAUSTED when there is none.
  virtual absl::StatusOr<CodeRange> AllocateText(size_t bytes) = 0;

  // Fills the range with int3 and frees it.
  // REQUIRES: `range` came from AllocateText; no thread executes or can reach it any more.
  virtual void ReleaseText(CodeRange range) = 0;

  // Copies into text from AllocateText that no thread can reach yet.
  virtual absl::Status WriteText(absl::Span<const TextWrite> writes) = 0;

  // Replaces entry stubs, each by one aligned 8-byte store, while threads execute them; then makes
  // every thread of the process see them (membarrier SYNC_CORE). Either all are written or, when
  // the text cannot be made writable, none: the error leaves every entry as it was.
  virtual absl::Status WriteEntries(absl::Span<const EntryWrite> writes) = 0;
};

}  // namespace mend

#endif  // MEND_RUNTIME_PATCH_CODE_HOST_H_
