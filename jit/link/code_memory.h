// CodeMemory: the one range of addresses in which all hosted text and data lies, so that every
// 32-bit displacement between them reaches.
//
// It is reserved once and filled from areas that only grow (the program's text, constants and data,
// and the data of patches, all of which stay for good) and from one area of pages that come and go
// (what belongs to a patch's text, and trampolines). All memory is private and anonymous: a forked
// child has its own copy of text and slots, so what the parent opens later does not reach it.
//
//   area        while linking   afterwards
//   text        RW              RX
//   constants   RW              R
//   data        RW              RW
//   modules     RW              text RX, the rest R; freed pages are inaccessible
//
// Entries of running text are rewritten in a window in which their pages are RWX.
//
// Thread safety: all methods are thread-safe (a loader and the core work at the same time); any
// number of threads run the text meanwhile.
#ifndef MEND_JIT_LINK_CODE_MEMORY_H_
#define MEND_JIT_LINK_CODE_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "jit/link/memory_range.h"
#include "runtime/base/code_address.h"
#include "runtime/base/mutex.h"
#include "runtime/patch/code_host.h"

namespace mend::jit {

enum class MemoryKind : uint8_t { kText, kConstant, kData };

// Pages of one linked patch module: text first, then what its text alone uses (GOT, unwind data).
struct ModulePages {
  uintptr_t text = 0;
  size_t text_size = 0;  // whole pages; may be 0
  uintptr_t rest = 0;
  size_t rest_size = 0;  // whole pages; may be 0

  uintptr_t begin() const { return text_size != 0 ? text : rest; }
  size_t size() const { return text_size + rest_size; }
};

class CodeMemory {
 public:
  // How far the permanent areas have grown; to undo a link that failed.
  struct Mark {
    size_t used[3] = {};
  };

  // Smaller than usual where the process may not map that much, and RESOURCE_EXHAUSTED when it may
  // map next to nothing. Right below `neighbour`, if it is not 0 and there is room, so that text
  // reaches what lies there.
  static absl::StatusOr<std::unique_ptr<CodeMemory>> Create(uintptr_t neighbour = 0);
  ~CodeMemory();
  CodeMemory(const CodeMemory&) = delete;
  CodeMemory& operator=(const CodeMemory&) = delete;

  // Permanent memory, writable until Seal: text is filled with int3, the rest with zeros.
  absl::StatusOr<uintptr_t> Allocate(MemoryKind kind, size_t size, size_t alignment);
  // Takes the write permission from text and constants allocated so far.
  absl::Status Seal();
  Mark Position() const;
  // Gives back what was allocated since `mark`.
  // REQUIRES: nothing refers to it; Seal has not succeeded since.
  void Rollback(const Mark& mark);

  // Pages for one patch module, writable until ProtectModule.
  absl::StatusOr<ModulePages> AllocateModule(size_t text_size, size_t rest_size);
  absl::Status ProtectModule(const ModulePages& pages);
  // Data that outlived its text, to be filled once more. REQUIRES: `pages` have no text.
  absl::Status MakeModuleWritable(const ModulePages& pages);
  // REQUIRES: no thread executes or can reach the text any more.
  void FreeModule(const ModulePages& pages);

  // For trampolines; see CodeHost, except that the stack walker is not told.
  absl::StatusOr<CodeRange> AllocateText(size_t bytes);
  void ReleaseText(CodeRange range);
  absl::Status WriteText(absl::Span<const TextWrite> writes);
  absl::Status WriteEntries(absl::Span<const EntryWrite> writes);

  // What is in use of the permanent areas, and data that comes and goes with modules; not the text
  // of patches. `visit` must not call this object.
  void ForEachRange(absl::FunctionRef<void(const MemoryRange&)> visit) const;

  bool Contains(uintptr_t address) const { return address - base_ < size_; }
  // The end of the permanent memory of that kind that contains `address`; 0 when none does.
  uintptr_t EndOf(MemoryKind kind, uintptr_t address) const;
  // Bytes in use for good, of all kinds; and by modules and trampolines.
  size_t permanent_bytes() const;
  size_t module_bytes() const;

  // Around fork, so that a child does not inherit a lock that is held.
  void PrepareFork() ABSL_EXCLUSIVE_LOCK_FUNCTION(mu_) { mu_.Lock(); }
  void AfterFork() ABSL_UNLOCK_FUNCTION(mu_) { mu_.Unlock(); }

 private:
  struct Area {
    uintptr_t begin = 0;
    uintptr_t end = 0;
    size_t used = 0;    // bytes given out
    size_t opened = 0;  // bytes made accessible, whole pages
    size_t sealed = 0;  // bytes that have lost the write permission, whole pages
  };
  using FreeRanges = std::map<uintptr_t, size_t>;  // begin -> size; neighbours are merged

  // `part`: each area is that part of its usual size.
  CodeMemory(uintptr_t base, size_t part);
  static uintptr_t TakeFit(FreeRanges& ranges, size_t size, uintptr_t* last);
  static void GiveBack(FreeRanges& ranges, uintptr_t begin, size_t size);
  absl::StatusOr<ModulePages> AllocateModuleLocked(size_t text_size, size_t rest_size)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status ProtectModuleLocked(const ModulePages& pages) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status GrowTrampolines(size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const uintptr_t base_;
  const size_t size_;
  mutable Mutex mu_;
  Area areas_[3] ABSL_GUARDED_BY(mu_);
  FreeRanges free_pages_ ABSL_GUARDED_BY(mu_);        // of the modules area
  FreeRanges free_trampolines_ ABSL_GUARDED_BY(mu_);  // within pages taken from it, RX
  FreeRanges module_data_ ABSL_GUARDED_BY(mu_);       // writable for as long as they are in use
  // Where the last taken ranges of each end.
  uintptr_t last_page_ ABSL_GUARDED_BY(mu_) = 0;
  uintptr_t last_trampoline_ ABSL_GUARDED_BY(mu_) = 0;
  size_t module_bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_CODE_MEMORY_H_
