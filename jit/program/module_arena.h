// ModuleArena: the memory of one guest module or explicit patch: pages of code memory that come and
// go with it, in the three kinds that a program's permanent memory has.
//
// Patches of a module put their data for it here, too, which go with the module.
//
// A patch's text is freed with it, but live objects may keep pointers to its data: that stays
// mapped (FreeText), and serves the next link of the same objects (Reuse), which puts everything at
// the same places again.
//
// Thread safety: none; the session's lock serialises links, and whoever destroys an arena is the
// last to know it.
#ifndef MEND_JIT_PROGRAM_MODULE_ARENA_H_
#define MEND_JIT_PROGRAM_MODULE_ARENA_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "jit/link/code_memory.h"
#include "runtime/base/code_address.h"

namespace mend::jit {

class ModuleArena {
 public:
  // `memory` must outlive the arena.
  explicit ModuleArena(CodeMemory* memory) : memory_(memory) {}
  // Frees all that is left. REQUIRES: no thread executes or can reach the text any more.
  ~ModuleArena();
  ModuleArena(const ModuleArena&) = delete;
  ModuleArena& operator=(const ModuleArena&) = delete;

  // As CodeMemory's: writable until Seal.
  absl::StatusOr<uintptr_t> Allocate(MemoryKind kind, size_t size, size_t alignment);
  absl::Status Seal();
  // How far it is filled; to undo a link that failed.
  struct Mark {
    std::array<std::vector<size_t>, 3> used;  // of each chunk
  };
  Mark Position() const;
  // Gives back what was allocated since `mark`. REQUIRES: nothing refers to it.
  void Rollback(const Mark& mark);

  // REQUIRES: as the destructor.
  void FreeText();
  // Makes what FreeText left writable and empty, to be allocated again.
  absl::Status Reuse();

  // Constants and data, to be put back when they were reused for nothing.
  struct Contents {
    Mark mark;
    std::array<std::vector<std::vector<char>>, 3> bytes;  // of each chunk; of text none
  };
  Contents Save() const;
  // REQUIRES: text that was allocated since Save is freed.
  absl::Status Restore(const Contents& contents);

  // What was allocated of that kind.
  std::vector<CodeRange> RangesOf(MemoryKind kind) const;
  std::vector<CodeRange> text() const { return RangesOf(MemoryKind::kText); }
  // The end of the constants or data that contain `address`; 0 when none do.
  uintptr_t DataEnd(uintptr_t address) const;
  // The same of data alone.
  uintptr_t WritableEnd(uintptr_t address) const;
  size_t bytes(MemoryKind kind) const;

 private:
  struct Chunk {
    ModulePages pages;
    uintptr_t begin = 0;
    size_t size = 0;
    size_t used = 0;
    bool sealed = false;  // not writable any more
  };
  // The end of what was allocated of that kind and contains `address`; 0 when nothing does.
  uintptr_t EndOf(MemoryKind kind, uintptr_t address) const;
  std::vector<Chunk>& ChunksOf(MemoryKind kind) { return chunks_[static_cast<size_t>(kind)]; }
  const std::vector<Chunk>& ChunksOf(MemoryKind kind) const {
    return chunks_[static_cast<size_t>(kind)];
  }

  CodeMemory* const memory_;
  std::array<std::vector<Chunk>, 3> chunks_;
};

}  // namespace mend::jit

#endif  // MEND_JIT_PROGRAM_MODULE_ARENA_H_
