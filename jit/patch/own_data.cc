#include "jit/patch/own_data.h"

#include <string.h>

#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "jit/link/graph_editor.h"
#include "jit/link/unwind_records.h"
#include "runtime/format/object_description.h"

namespace mend::jit {
namespace {

using llvm::jitlink::Block;
using llvm::jitlink::Edge;
using llvm::jitlink::LinkGraph;
using llvm::jitlink::Section;
using llvm::jitlink::Symbol;

// Where the structures of <mend/livepatch.h> have pointers to others of them.
constexpr uint64_t kObjectsOfPatch = 0;
constexpr uint64_t kStatesOfPatch = 8;
constexpr uint64_t kSizeOfObject = 48;
constexpr uint64_t kFunctionsOfObject = 8;
constexpr uint64_t kVariableOfParameter = 8;

}  // namespace

class OwnData::Finder {
 public:
  Finder(LinkGraph& graph, const BlockNames& names, const std::set<std::string>& new_data,
         OwnData& found)
      : graph_(graph), names_(names), new_data_(new_data), found_(found) {}

  void Find() {
    for (Symbol* symbol : graph_.defined_symbols()) {
      if (!HasSourceName(*symbol)) continue;
      const std::string name(*symbol->getName());
      if (!IsPatchDeclaration(name) || !new_data_.contains(name)) continue;
      found_.declarations_.push_back(symbol);
      found_.blocks_.insert(&symbol->getBlock());
      if (name == kLivepatchPointer) FollowDescriptor(*symbol);
      if (name.starts_with(kParameterPrefix)) FollowParameter(*symbol);
    }
    if (found_.blocks_.empty()) return;
    AddWhatLeadsThere();
    RefuseThreadLocals();
  }

  std::vector<std::string> TakeFaults() { return std::move(faults_); }

 private:
  // The pointer at `offset` of the block leads to data of the patch's own: where; null without one.
  struct Place {
    Block* block = nullptr;
    uint64_t offset = 0;
  };

  bool IsNew(const Block& block) const {
    const Section& section = block.getSection();
    if (!IsAllocated(section) || IsExecutable(section) || IsUnwindSection(section)) return false;
    const auto named = names_.find(&block);
    return named == names_.end() || new_data_.contains(std::string(*named->second->getName()));
  }

  Place FollowPointer(const Block& block, uint64_t offset) {
    for (const Edge& edge : block.edges()) {
      if (!edge.isRelocation() || edge.getOffset() != offset) continue;
      Symbol& target = edge.getTarget();
      if (!target.isDefined() || !IsNew(target.getBlock())) {
        // The compiler names the section where it can.
        const auto named = target.isDefined() ? names_.find(&target.getBlock()) : names_.end();
        const Symbol& symbol = named == names_.end() ? target : *named->second;
        faults_.push_back(absl::StrCat("the patch's descriptor leads to '",
                                       symbol.hasName() ? Demangled(View(*symbol.getName())) : "?",
                                       "', which the patch does not add in the same source"));
        return {};
      }
      found_.blocks_.insert(&target.getBlock());
      return {&target.getBlock(), target.getOffset() + static_cast<uint64_t>(edge.getAddend())};
    }
    return {};
  }

  void FollowDescriptor(const Symbol& pointer) {
    const Place patch = FollowPointer(pointer.getBlock(), pointer.getOffset());
    if (patch.block == nullptr) return;
    FollowPointer(*patch.block, patch.offset + kStatesOfPatch);
    const Place objects = FollowPointer(*patch.block, patch.offset + kObjectsOfPatch);
    if (objects.block == nullptr) return;
    for (uint64_t at = objects.offset; at < objects.block->getSize(); at += kSizeOfObject) {
      FollowPointer(*objects.block, at + kFunctionsOfObject);
    }
  }

  // A variable of the running program stays what it is.
  void FollowParameter(const Symbol& entry) {
    const uint64_t offset = entry.getOffset() + kVariableOfParameter;
    for (const Edge& edge : entry.getBlock().edges()) {
      if (!edge.isRelocation() || edge.getOffset() != offset) continue;
      const Symbol& variable = edge.getTarget();
      if (!variable.isDefined() || !IsNew(variable.getBlock())) continue;
      found_.blocks_.insert(&variable.getBlock());
    }
  }

  // Found again, it would lead to another patch's.
  void AddWhatLeadsThere() {
    for (bool grows = true; grows;) {
      grows = false;
      for (Block* block : graph_.blocks()) {
        if (found_.Contains(*block) || !IsNew(*block)) continue;
        const bool leads_there =
            std::any_of(block->edges().begin(), block->edges().end(), [this](const Edge& edge) {
              return edge.getTarget().isDefined() && found_.Contains(edge.getTarget().getBlock());
            });
        if (!leads_there) continue;
        found_.blocks_.insert(block);
        grows = true;
      }
    }
  }

  void RefuseThreadLocals() {
    for (Symbol* symbol : graph_.defined_symbols()) {
      if (!found_.Contains(symbol->getBlock()) || !symbol->hasName() ||
          !View(*symbol->getName()).starts_with(kTlsImagePrefix)) {
        continue;
      }
      faults_.push_back(
          absl::StrCat("a thread-local begins with the address of what the patch declares: ",
                       Demangled(View(*symbol->getName()).substr(sizeof(kTlsImagePrefix) - 1))));
    }
  }

  LinkGraph& graph_;
  const BlockNames& names_;
  const std::set<std::string>& new_data_;
  OwnData& found_;
  std::vector<std::string> faults_;
};

std::vector<std::string> OwnData::Find(LinkGraph& graph, const BlockNames& names,
                                       const std::set<std::string>& new_data) {
  Finder finder(graph, names, new_data, *this);
  finder.Find();
  return finder.TakeFaults();
}

void OwnData::Read() {
  for (const Symbol* symbol : declarations_) {
    const std::string_view name = View(*symbol->getName());
    const uintptr_t address = symbol->getAddress().getValue();
    if (name.starts_with(kStateOwnerPrefix)) {
      declared_.state_owners.emplace_back(address, symbol->getSize());
    } else if (name.starts_with(kParameterPrefix)) {
      parameter_tables_.emplace_back(address, symbol->getSize());
    } else if (symbol->getSize() == sizeof(declared_.patch)) {
      memcpy(&declared_.patch, reinterpret_cast<const void*>(address), sizeof(declared_.patch));
    }
  }
}

}  // namespace mend::jit
