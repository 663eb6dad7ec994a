// UnwindTable: where the unwind information of hosted text is, for two readers: the stack walker
// (in signal handlers and on other threads' stacks) and the C++ exception machinery (through the
// process-wide _Unwind_Find_FDE that jit/ supplies). libgcc's own registry is linear and takes a
// mutex: a walk in a signal handler could deadlock on it. Since it knows every function, reports of
// crashes and dladdr take its names from here, too.
//
// Thread safety: writers take a mutex; readers are lock-free, allocate nothing and may run in a
// signal handler. A region that is removed stays readable until every reader that could see it has
// left (two reader counters, flipped by the writer).
//
// Invariants:
// 1. A published snapshot never changes. Snapshots and removed regions are freed only after both
//    counters were seen at zero since they were unpublished.
// 2. A reader that never leaves (the program's signal handler jumped out of it with longjmp) delays
//    a removal once, and then costs memory, never safety: what it might see is not freed.
#ifndef MEND_RUNTIME_SAFEPOINT_UNWIND_TABLE_H_
#define MEND_RUNTIME_SAFEPOINT_UNWIND_TABLE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "runtime/base/code_address.h"
#include "runtime/base/mutex.h"

namespace mend {

// One frame description entry of hosted text.
struct FdeEntry {
  CodeRange function;            // the PCs that the entry covers
  const uint8_t* fde = nullptr;  // its bytes in memory (.eh_frame, relocated)
  // What the function is called, for people; stays as long as the process. Null: unknown.
  const char* name = nullptr;
  const char* patch = nullptr;  // the patch module that brought it; null: the program's own
};

class UnwindTable {
 public:
  // The table of this process; constant-initialised, never destroyed (exit handlers still throw).
  static UnwindTable& Get() noexcept [[clang::nonblocking]];

  constexpr UnwindTable() = default;
  // REQUIRES: no readers. (The process' table is never destroyed.)
  ~UnwindTable();
  UnwindTable(const UnwindTable&) = delete;
  UnwindTable& operator=(const UnwindTable&) = delete;

  // Adds a region of text with its entries (any order; they are sorted here). The entries' bytes
  // must stay mapped until RemoveRegion has returned. Regions do not overlap.
  void AddRegion(CodeRange text, std::vector<FdeEntry> entries);

  // Adds a region of stubs or trampolines: text without frames, in which the return address is on
  // top of the stack at every instruction (CFA = rsp + 8).
  void AddStubRegion(CodeRange text);

  // Removes the region that begins at `text.begin`; blocks until no reader can see it (no longer
  // than a second: see invariant 2).
  // REQUIRES: it was added; the caller is not in a ReadScope.
  void RemoveRegion(CodeRange text);

  enum class Lookup {
    kUnknown,  // not hosted text
    kStub,     // CFA = rsp + 8
    kFde,      // `*entry` was filled
    kNoFde,    // hosted text, but no entry covers the address (assembler without CFI)
  };
  // Finds what covers `pc`. Nothing is returned by reference into the table.
  Lookup Find(CodeAddress pc, FdeEntry* entry) const noexcept [[clang::nonblocking]];

  // While it lives, regions that this thread finds stay readable, with their entries' bytes.
  // Async-signal-safe; scopes nest. Keep it short: RemoveRegion waits for it.
  class ReadScope {
   public:
    explicit ReadScope(const UnwindTable& table) noexcept [[clang::nonblocking]];
    ~ReadScope() [[clang::nonblocking]];
    ReadScope(const ReadScope&) = delete;
    ReadScope& operator=(const ReadScope&) = delete;

    // As UnwindTable::Find, without the price of entering.
    Lookup Find(CodeAddress pc, FdeEntry* entry) const noexcept [[clang::nonblocking]];

   private:
    const UnwindTable& table_;
    const unsigned phase_;
  };

  // In a forked child, before anything else uses the table there. Readers and writers of other
  // threads do not exist any more: only the forking thread's own readers stay counted. Needs no
  // preparation before the fork: what a writer was about to free is given up (a few KB).
  void ChildAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS;

 private:
  struct Region;
  struct Snapshot;

  void Insert(std::unique_ptr<Region> region) ABSL_LOCKS_EXCLUDED(mu_);
  // Makes `next` the current snapshot; the old one is retired.
  void Publish(const Snapshot* next) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Waits until every present reader has left, then frees what is retired.
  void ReclaimRetired() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool WaitForReaders() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool WaitForPhase(unsigned phase, int64_t deadline_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Mutex mu_;
  // Unpublished, but perhaps still in a reader's hands.
  std::vector<const Snapshot*> retired_snapshots_ ABSL_GUARDED_BY(mu_);
  std::vector<const Region*> retired_regions_ ABSL_GUARDED_BY(mu_);
  // A reader did not leave in time: later writers wait only briefly.
  bool reader_stuck_ ABSL_GUARDED_BY(mu_) = false;

  std::atomic<const Snapshot*> snapshot_{nullptr};  // written under mu_
  std::atomic<unsigned> phase_{0};                  // written under mu_; which counter readers take
  mutable std::atomic<int> readers_[2] = {};        // written by readers
};

}  // namespace mend

#endif  // MEND_RUNTIME_SAFEPOINT_UNWIND_TABLE_H_
