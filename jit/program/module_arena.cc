#include "jit/program/module_arena.h"

#include <string.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "runtime/safepoint/stack_switches.h"

namespace mend::jit {
namespace {

constexpr size_t kPage = 4096;

}  // namespace

ModuleArena::~ModuleArena() {
  for (const std::vector<Chunk>& chunks : chunks_) {
    for (const Chunk& chunk : chunks) {
      ForgetStackSwitches(chunk.begin, chunk.size);
      memory_->FreeModule(chunk.pages);
    }
  }
}

absl::StatusOr<uintptr_t> ModuleArena::Allocate(MemoryKind kind, size_t size, size_t alignment) {
  alignment = std::max<size_t>(alignment, 1);
  if (alignment > kPage) {
    return absl::InvalidArgumentError(
        absl::StrCat("an alignment of ", alignment, ", more than a page"));
  }
  size = std::max<size_t>(size, 1);
  std::vector<Chunk>& chunks = ChunksOf(kind);
  for (Chunk& chunk : chunks) {
    const size_t offset = (chunk.used + alignment - 1) / alignment * alignment;
    if (chunk.sealed || offset > chunk.size || size > chunk.size - offset) continue;
    chunk.used = offset + size;
    return chunk.begin + offset;
  }
  const bool is_text = kind == MemoryKind::kText;
  absl::StatusOr<ModulePages> pages =
      memory_->AllocateModule(is_text ? size : 0, is_text ? 0 : size);
  if (!pages.ok()) return pages.status();
  chunks.push_back({.pages = *pages,
                    .begin = pages->begin(),
                    .size = pages->size(),
                    .used = size,
                    .sealed = false});
  return pages->begin();
}

absl::Status ModuleArena::Seal() {
  for (const MemoryKind kind : {MemoryKind::kText, MemoryKind::kConstant}) {
    for (Chunk& chunk : ChunksOf(kind)) {
      if (chunk.sealed) continue;
      absl::Status status = memory_->ProtectModule(chunk.pages);
      if (!status.ok()) return status;
      chunk.sealed = true;
    }
  }
  return absl::OkStatus();
}

ModuleArena::Mark ModuleArena::Position() const {
  Mark mark;
  for (size_t kind = 0; kind < chunks_.size(); ++kind) {
    for (const Chunk& chunk : chunks_[kind]) mark.used[kind].push_back(chunk.used);
  }
  return mark;
}

void ModuleArena::Rollback(const Mark& mark) {
  for (size_t kind = 0; kind < chunks_.size(); ++kind) {
    std::vector<Chunk>& chunks = chunks_[kind];
    while (chunks.size() > mark.used[kind].size()) {
      memory_->FreeModule(chunks.back().pages);
      chunks.pop_back();
    }
    for (size_t i = 0; i < chunks.size(); ++i) {
      const size_t used = mark.used[kind][i];
      // Who gets it next finds zeros, as always.
      if (!chunks[i].sealed && chunks[i].used > used) {
        memset(reinterpret_cast<void*>(chunks[i].begin + used), 0, chunks[i].used - used);
      }
      chunks[i].used = used;
    }
  }
}

void ModuleArena::FreeText() {
  for (const Chunk& chunk : ChunksOf(MemoryKind::kText)) memory_->FreeModule(chunk.pages);
  ChunksOf(MemoryKind::kText).clear();
}

absl::Status ModuleArena::Reuse() {
  for (const MemoryKind kind : {MemoryKind::kConstant, MemoryKind::kData}) {
    for (Chunk& chunk : ChunksOf(kind)) {
      absl::Status status = memory_->MakeModuleWritable(chunk.pages);
      if (!status.ok()) return status;
      ForgetStackSwitches(chunk.begin, chunk.size);
      memset(reinterpret_cast<void*>(chunk.begin), 0, chunk.size);
      chunk.used = 0;
      chunk.sealed = false;
    }
  }
  return absl::OkStatus();
}

ModuleArena::Contents ModuleArena::Save() const {
  Contents contents{.mark = Position(), .bytes = {}};
  for (const MemoryKind kind : {MemoryKind::kConstant, MemoryKind::kData}) {
    for (const Chunk& chunk : ChunksOf(kind)) {
      const char* const begin = reinterpret_cast<const char*>(chunk.begin);
      contents.bytes[static_cast<size_t>(kind)].emplace_back(begin, begin + chunk.used);
    }
  }
  return contents;
}

absl::Status ModuleArena::Restore(const Contents& contents) {
  Rollback(contents.mark);
  for (const MemoryKind kind : {MemoryKind::kConstant, MemoryKind::kData}) {
    std::vector<Chunk>& chunks = ChunksOf(kind);
    for (size_t i = 0; i < chunks.size(); ++i) {
      absl::Status status = memory_->MakeModuleWritable(chunks[i].pages);
      if (!status.ok()) return status;
      chunks[i].sealed = false;
      const std::vector<char>& bytes = contents.bytes[static_cast<size_t>(kind)][i];
      memcpy(reinterpret_cast<void*>(chunks[i].begin), bytes.data(), bytes.size());
    }
  }
  return Seal();
}

std::vector<CodeRange> ModuleArena::RangesOf(MemoryKind kind) const {
  std::vector<CodeRange> ranges;
  for (const Chunk& chunk : ChunksOf(kind)) {
    ranges.push_back({CodeAddress{chunk.begin}, CodeAddress{chunk.begin + chunk.used}});
  }
  return ranges;
}

uintptr_t ModuleArena::EndOf(MemoryKind kind, uintptr_t address) const {
  for (const Chunk& chunk : ChunksOf(kind)) {
    if (address >= chunk.begin && address - chunk.begin < chunk.used) {
      return chunk.begin + chunk.used;
    }
  }
  return 0;
}

uintptr_t ModuleArena::DataEnd(uintptr_t address) const {
  const uintptr_t end = EndOf(MemoryKind::kConstant, address);
  return end != 0 ? end : WritableEnd(address);
}

uintptr_t ModuleArena::WritableEnd(uintptr_t address) const {
  return EndOf(MemoryKind::kData, address);
}

size_t ModuleArena::bytes(MemoryKind kind) const {
  size_t bytes = 0;
  for (const Chunk& chunk : ChunksOf(kind)) bytes += chunk.size;
  return bytes;
}

}  // namespace mend::jit
