#include "jit/link/layout_symbols.h"

#include <elf.h>
#include <sys/auxv.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <memory>

#include "llvm/ADT/BitmaskEnum.h"
#include "llvm/ExecutionEngine/JITLink/x86_64.h"

namespace mend::jit {
namespace {

using llvm::jitlink::Block;
using llvm::jitlink::LinkGraph;
using llvm::jitlink::Section;

LLVM_ENABLE_BITMASK_ENUMS_IN_NAMESPACE();

constexpr std::string_view kHeader = "__ehdr_start";
constexpr std::string_view kTextBegin[] = {"__executable_start"};
constexpr std::string_view kDataBegin[] = {"data_start", "__data_start"};
constexpr std::string_view kTextEnd[] = {"etext", "_etext", "__etext"};
constexpr std::string_view kDataEnd[] = {"edata", "_edata", "__bss_start", "end", "_end"};

template <size_t N>
bool IsIn(const std::string_view (&names)[N], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

template <size_t N>
void Define(LinkGraph& graph, Block& block, const std::string_view (&names)[N]) {
  for (const std::string_view name : names) {
    AddNamedSymbol(graph, block, 0, 0, llvm::StringRef(name.data(), name.size()),
                   llvm::jitlink::Scope::Default, /*is_callable=*/false);
  }
}

}  // namespace

bool LayoutSymbols::IsOne(std::string_view name) {
  return name == kHeader || IsIn(kTextBegin, name) || IsIn(kDataBegin, name) ||
         IsIn(kTextEnd, name) || IsIn(kDataEnd, name);
}

absl::Status LayoutSymbols::Begin(CodeMemory& memory) {
  constexpr size_t kAlignment = 16;
  absl::StatusOr<uintptr_t> text = memory.Allocate(MemoryKind::kText, 1, kAlignment);
  if (!text.ok()) return text.status();
  absl::StatusOr<uintptr_t> data = memory.Allocate(MemoryKind::kData, 1, kAlignment);
  if (!data.ok()) return data.status();
  for (const std::string_view name : kTextBegin) addresses_[std::string(name)] = *text;
  for (const std::string_view name : kDataBegin) addresses_[std::string(name)] = *data;
  addresses_[std::string(kHeader)] = getauxval(AT_PHDR) - sizeof(Elf64_Ehdr);
  return absl::OkStatus();
}

std::optional<uintptr_t> LayoutSymbols::ValueOf(std::string_view name) const {
  const auto it = addresses_.find(std::string(name));
  if (it == addresses_.end()) return std::nullopt;
  return it->second;
}

GraphPtr LayoutSymbols::MakeGraph(LinkGraph& like) {
  using llvm::orc::MemProt;
  auto graph =
      std::make_unique<LinkGraph>("layout", like.getSymbolStringPool(), like.getTargetTriple(),
                                  like.getFeatures(), llvm::jitlink::x86_64::getEdgeKindName);
  constexpr size_t kSize = 8;
  Section& text = graph->createSection("layout_text", MemProt::Read | MemProt::Exec);
  Section& data = graph->createSection("layout_data", MemProt::Read | MemProt::Write);
  const auto address = llvm::orc::ExecutorAddr(0);
  Define(*graph, graph->createZeroFillBlock(text, kSize, address, kSize, 0), kTextEnd);
  Define(*graph, graph->createZeroFillBlock(data, kSize, address, kSize, 0), kDataEnd);
  return graph;
}

Placement LayoutSymbols::PlacementOf(const Block& block) const {
  return IsExecutable(block.getSection()) ? Placement::kText : Placement::kData;
}

}  // namespace mend::jit
