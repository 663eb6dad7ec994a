#include "jit/link/link_memory.h"

#include <string.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "jit/link/status_conversion.h"

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
  uint64_t size = 0;
  uintptr_t base = 0;
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

// Sets the blocks' addresses, counted from zero.
void LayOut(Group& group) {
  uint64_t offset = 0;
  for (Block* block : group.blocks) {
    group.alignment = std::max(group.alignment, block->getAlignment());
    offset = llvm::jitlink::alignToBlock(offset, *block);
    block->setAddress(llvm::orc::ExecutorAddr(offset));
    offset += block->getSize();
  }
  group.size = offset;
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

}  // namespace

// The places of one graph's blocks.
class LinkMemory::Places {
 public:
  // Lays its groups out, counted from zero.
  Places(LinkGraph& graph, GraphEditor* editor);
  // Takes the memory. What an earlier step took stays taken when a later one fails.
  absl::Status Allocate(CodeMemory& memory);
  // Puts the blocks there.
  void Fill();

 private:
  Group& Of(Placement placement) { return groups_[static_cast<size_t>(placement)]; }

  GraphEditor* const editor_;
  std::array<Group, kPlacements> groups_;
  std::vector<std::pair<Block*, uintptr_t>> reserved_;
};

LinkMemory::Places::Places(LinkGraph& graph, GraphEditor* editor) : editor_(editor) {
  for (llvm::jitlink::Section& section : graph.sections()) {
    if (!IsAllocated(section)) continue;
    for (Block* block : section.blocks()) {
      if (const auto reserved = editor_->ReservedAddress(*block)) {
        reserved_.emplace_back(block, *reserved);
      } else {
        Of(editor_->PlacementOf(*block)).blocks.push_back(block);
      }
    }
  }
  for (Group& group : groups_) {
    SortAsInObject(group.blocks);
    LayOut(group);
  }
}

absl::Status LinkMemory::Places::Allocate(CodeMemory& memory) {
  constexpr std::pair<Placement, MemoryKind> kPermanent[] = {
      {Placement::kText, MemoryKind::kText},
      {Placement::kConstant, MemoryKind::kConstant},
      {Placement::kData, MemoryKind::kData}};
  for (const auto& [placement, kind] : kPermanent) {
    Group& group = Of(placement);
    if (group.blocks.empty()) continue;
    absl::StatusOr<uintptr_t> base = editor_->Allocate(memory, kind, group.size, group.alignment);
    if (!base.ok()) return base.status();
    group.base = *base;
  }
  Group& text = Of(Placement::kModuleText);
  Group& rest = Of(Placement::kModuleRest);
  if (text.alignment > kPage || rest.alignment > kPage) {
    return absl::InvalidArgumentError("an alignment of more than a page in a patch");
  }
  absl::StatusOr<ModulePages> pages = memory.AllocateModule(text.size, rest.size);
  if (!pages.ok()) return pages.status();
  editor_->TakeModulePages(*pages);
  text.base = pages->text;
  rest.base = pages->rest;
  return absl::OkStatus();
}

void LinkMemory::Places::Fill() {
  for (const auto& [block, address] : reserved_) MoveContent(*block, address);
  for (Group& group : groups_) {
    const bool fresh = &group != &Of(Placement::kModuleText) && &group != &Of(Placement::kText);
    for (Block* block : group.blocks) {
      MoveContent(*block, group.base + block->getAddress().getValue());
      ZeroFill(*block, fresh);
    }
  }
}

LinkMemory::LinkMemory(CodeMemory* memory) : memory_(memory) {}
LinkMemory::~LinkMemory() = default;

void LinkMemory::Add(const LinkGraph* graph, GraphEditor* editor) {
  numbers_[graph] = requests_.size();
  requests_.push_back({editor, nullptr, nullptr});
}

void LinkMemory::allocate(const llvm::jitlink::JITLinkDylib* /*dylib*/, LinkGraph& graph,
                          OnAllocatedFunction on_allocated) {
  const auto known = numbers_.find(&graph);
  if (known == numbers_.end()) {
    return on_allocated(ToError(absl::InternalError(
        absl::StrCat("nobody loads the graph ", std::string(graph.getName())))));
  }
  Request& request = requests_[known->second];
  request.places = std::make_unique<Places>(graph, request.editor);
  request.on_allocated = std::move(on_allocated);
}

absl::Status LinkMemory::Place() {
  for (Request& request : requests_) {
    if (request.places == nullptr) continue;
    if (absl::Status placed = request.places->Allocate(*memory_); !placed.ok()) return placed;
  }
  return absl::OkStatus();
}

void LinkMemory::GoOn(size_t number, bool ok) {
  Request request = std::move(requests_[number]);
  if (request.places == nullptr) return;
  if (!ok) return request.on_allocated(ToError(absl::CancelledError("another object failed")));
  request.places->Fill();
  request.on_allocated(std::make_unique<Allocation>());
}

void LinkMemory::deallocate(std::vector<FinalizedAlloc> allocations,
                            OnDeallocatedFunction on_deallocated) {
  for (FinalizedAlloc& allocation : allocations) allocation.release();
  on_deallocated(llvm::Error::success());
}

}  // namespace mend::jit
