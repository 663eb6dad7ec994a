#include "jit/link_memory.h"

#include <string.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "jit/status_conversion.h"

namespace mend::jit {
namespace {

using llvm::jitlink::Block;
using llvm::jitlink::LinkGraph;

constexpr size_t kPlacements = 5;
constexpr size_t kPage = 4096;

// The blocks of one placement, in the order of the object file.
struct Group {
  std::vector<Block*> blocks;
  uint64_t alignment = 1;
};

void SortAsInObject(std::vector<Block*>& blocks) {
  // Sections come in file order; blocks of one name from several ELF sections in the order of their
  // bytes in the file, which keeps constructor tables and unwind records (a CIE before its FDEs) in
  // order. Zero-filled ones come last.
  std::sort(blocks.begin(), blocks.end(), [](const Block* a, const Block* b) {
    const auto key = [](const Block* block) {
      const char* bytes = block->isZeroFill() ? nullptr : block->getContent().data();
      return std::make_tuple(block->isZeroFill(), block->getSection().getOrdinal(),
                             reinterpret_cast<uintptr_t>(bytes), block->getSize());
    };
    return key(a) < key(b);
  });
}

// Sets the blocks' addresses, counted from zero; returns the size of them all.
uint64_t LayOut(Group& group) {
  uint64_t offset = 0;
  for (Block* block : group.blocks) {
    group.alignment = std::max(group.alignment, block->getAlignment());
    offset = llvm::jitlink::alignToBlock(offset, *block);
    block->setAddress(llvm::orc::ExecutorAddr(offset));
    offset += block->getSize();
  }
  return offset;
}

void MoveContent(Block& block, uintptr_t address) {
  block.setAddress(llvm::orc::ExecutorAddr(address));
  if (block.isZeroFill()) return;
  auto* bytes = reinterpret_cast<char*>(address);
  if (block.getSize() != 0) memcpy(bytes, block.getContent().data(), block.getSize());
  block.setMutableContent({bytes, block.getSize()});
}

// Zero-filled blocks of text or of reused pages need their zeros written; fresh data pages do not.
void ZeroFill(const Block& block, bool fresh) {
  if (block.isZeroFill() && !fresh) {
    memset(reinterpret_cast<void*>(block.getAddress().getValue()), 0, block.getSize());
  }
}

class Allocation : public llvm::jitlink::JITLinkMemoryManager::InFlightAlloc {
 public:
  void finalize(OnFinalizedFunction on_finalized) override {
    // No plugin of ours adds actions to a graph.
    on_finalized(llvm::jitlink::JITLinkMemoryManager::FinalizedAlloc());
  }

  void abandon(OnAbandonedFunction on_abandoned) override {
    // The loader rolls back.
    on_abandoned(llvm::Error::success());
  }
};

absl::Status Place(CodeMemory& memory, GraphEditor& editor, LinkGraph& graph) {
  std::array<Group, kPlacements> groups;
  for (llvm::jitlink::Section& section : graph.sections()) {
    if (!IsAllocated(section)) continue;
    for (Block* block : section.blocks()) {
      if (const auto reserved = editor.ReservedAddress(*block)) {
        MoveContent(*block, *reserved);
      } else {
        groups[static_cast<size_t>(editor.PlacementOf(*block))].blocks.push_back(block);
      }
    }
  }
  std::array<uint64_t, kPlacements> sizes;
  for (size_t i = 0; i < kPlacements; ++i) {
    SortAsInObject(groups[i].blocks);
    sizes[i] = LayOut(groups[i]);
  }

  std::array<uintptr_t, kPlacements> bases = {};
  constexpr std::pair<Placement, MemoryKind> kPermanent[] = {
      {Placement::kText, MemoryKind::kText},
      {Placement::kConstant, MemoryKind::kConstant},
      {Placement::kData, MemoryKind::kData}};
  for (const auto& [placement, kind] : kPermanent) {
    const size_t i = static_cast<size_t>(placement);
    if (groups[i].blocks.empty()) continue;
    absl::StatusOr<uintptr_t> base = editor.Allocate(memory, kind, sizes[i], groups[i].alignment);
    if (!base.ok()) return base.status();
    bases[i] = *base;
  }
  const size_t text = static_cast<size_t>(Placement::kModuleText);
  const size_t rest = static_cast<size_t>(Placement::kModuleRest);
  if (groups[text].alignment > kPage || groups[rest].alignment > kPage) {
    return absl::InvalidArgumentError("an alignment of more than a page in a patch");
  }
  absl::StatusOr<ModulePages> pages = memory.AllocateModule(sizes[text], sizes[rest]);
  if (!pages.ok()) return pages.status();
  editor.TakeModulePages(*pages);
  bases[text] = pages->text;
  bases[rest] = pages->rest;

  for (size_t i = 0; i < kPlacements; ++i) {
    const bool fresh = i != text && i != static_cast<size_t>(Placement::kText);
    for (Block* block : groups[i].blocks) {
      MoveContent(*block, bases[i] + block->getAddress().getValue());
      ZeroFill(*block, fresh);
    }
  }
  return absl::OkStatus();
}

}  // namespace

void LinkMemory::allocate(const llvm::jitlink::JITLinkDylib* /*dylib*/, LinkGraph& graph,
                          OnAllocatedFunction on_allocated) {
  const auto editor = editors_->find(&graph);
  if (editor == editors_->end()) {
    return on_allocated(ToError(absl::InternalError(
        absl::StrCat("nobody loads the graph ", std::string(graph.getName())))));
  }
  absl::Status placed = Place(*memory_, *editor->second, graph);
  if (!placed.ok()) return on_allocated(ToError(placed));
  on_allocated(std::make_unique<Allocation>());
}

void LinkMemory::deallocate(std::vector<FinalizedAlloc> allocations,
                            OnDeallocatedFunction on_deallocated) {
  for (FinalizedAlloc& allocation : allocations) allocation.release();
  on_deallocated(llvm::Error::success());
}

}  // namespace mend::jit
