#include "jit/debug/debug_collector.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "jit/link/graph_editor.h"
#include "jit/link/status_conversion.h"
#include "jit/link/unwind_records.h"
#include "llvm/Object/ELF.h"
#include "runtime/patch/redirection_table.h"

namespace mend::jit {
namespace {

using llvm::jitlink::Block;
using llvm::jitlink::LinkGraph;
using llvm::jitlink::Section;
using llvm::jitlink::Symbol;

constexpr uint32_t kAmbiguous = 0;  // no section of a file has that number

// The allocated sections of an object: those with content by its place in the file, others by the
// symbols in them. Names do not tell sections apart.
struct SectionNumbers {
  std::map<uint64_t, uint32_t> by_offset;
  std::map<std::string, uint32_t, std::less<>> by_symbol;
};

absl::StatusOr<SectionNumbers> NumberSections(std::string_view object) {
  using Elf = llvm::object::ELFFile<llvm::object::ELF64LE>;
  SectionNumbers numbers;
  auto elf = Elf::create(llvm::StringRef(object.data(), object.size()));
  if (!elf) return ToStatus(elf.takeError(), "");
  auto sections = elf->sections();
  if (!sections) return ToStatus(sections.takeError(), "");
  for (uint32_t number = 0; number < sections->size(); ++number) {
    const auto& section = (*sections)[number];
    const bool is_in_file = section.sh_type != llvm::ELF::SHT_NOBITS;
    if ((section.sh_flags & llvm::ELF::SHF_ALLOC) != 0 && section.sh_size != 0 && is_in_file) {
      numbers.by_offset[section.sh_offset] = number;
    }
    if (section.sh_type != llvm::ELF::SHT_SYMTAB) continue;
    auto symbols = elf->symbols(&section);
    if (!symbols) return ToStatus(symbols.takeError(), "");
    auto names = elf->getStringTableForSymtab(section);
    if (!names) return ToStatus(names.takeError(), "");
    for (const auto& symbol : *symbols) {
      if (symbol.st_shndx >= sections->size() ||
          (*sections)[symbol.st_shndx].sh_type != llvm::ELF::SHT_NOBITS) {
        continue;
      }
      auto name = symbol.getName(*names);
      if (!name) return ToStatus(name.takeError(), "");
      const auto [at, is_new] = numbers.by_symbol.try_emplace(name->str(), symbol.st_shndx);
      if (!is_new && at->second != symbol.st_shndx) at->second = kAmbiguous;
    }
  }
  return numbers;
}

// Whether the function begins with what entries of patchable functions have, closed or open.
bool HasStub(CodeRange text) {
  if (text.begin.value % 16 != 0 || text.size() <= sizeof(uint64_t)) return false;
  uint64_t bytes = 0;
  memcpy(&bytes, reinterpret_cast<const void*>(text.begin.value), sizeof(bytes));
  constexpr uint64_t kFixedBytes = 0xffff'0000'0000'ffff;  // around the displacement
  return bytes == kClosedEntry || (bytes & kFixedBytes) == 0xcccc'0000'0000'25ff;
}

}  // namespace

void DebugCollector::ReadGraph(LinkGraph& graph, std::string_view object) {
  linked_.object = object;
  const absl::StatusOr<SectionNumbers> numbers = NumberSections(object);
  // Damaged in what JITLink does not read: a debugger sees nothing of it.
  if (!numbers.ok()) return;
  for (Section& section : graph.sections()) {
    if (!IsAllocated(section) || section.getName() == kUnwindSection) continue;
    for (Block* block : section.blocks()) {
      if (block->isZeroFill()) continue;
      // Whatever the graph's maker has put into memory of its own lies outside of the object.
      const auto offset = static_cast<uint64_t>(block->getContent().data() - object.data());
      const auto found = numbers->by_offset.find(offset);
      if (offset < object.size() && found != numbers->by_offset.end()) {
        sections_[block] = found->second;
      }
    }
  }
  for (const Symbol* symbol : graph.defined_symbols()) {
    if (!HasSourceName(*symbol) || !symbol->getBlock().isZeroFill()) continue;
    const auto found = numbers->by_symbol.find(View(*symbol->getName()));
    if (found == numbers->by_symbol.end() || found->second == kAmbiguous) continue;
    sections_[&symbol->getBlock()] = found->second;
  }
  for (const Symbol* symbol : graph.defined_symbols()) {
    if (!HasSourceName(*symbol) || IsExecutable(symbol->getSection())) continue;
    const auto found = sections_.find(&symbol->getBlock());
    if (found == sections_.end()) continue;
    data_.push_back({std::string(*symbol->getName()), found->second, symbol->getOffset()});
  }
}

void DebugCollector::LiesElsewhere(const Block& block, uintptr_t address) {
  const auto found = sections_.find(&block);
  if (found != sections_.end()) linked_.elsewhere[found->second] = address;
}

void DebugCollector::ReadLinked(
    const LinkGraph& graph,
    const std::function<std::optional<uintptr_t>(const std::string&)>& find_datum) {
  uintptr_t unwind_begin = UINTPTR_MAX;
  uintptr_t unwind_end = 0;
  for (const Section& section : graph.sections()) {
    if (!IsAllocated(section)) continue;
    for (const Block* block : section.blocks()) {
      const uintptr_t begin = block->getAddress().getValue();
      if (section.getName() == kUnwindSection) {
        unwind_begin = std::min(unwind_begin, begin);
        unwind_end = std::max<uintptr_t>(unwind_end, begin + block->getSize());
      }
      const auto found = sections_.find(block);
      if (found != sections_.end()) linked_.sections[found->second] = begin;
    }
  }
  if (unwind_begin < unwind_end) {
    linked_.unwind_data = {CodeAddress{unwind_begin}, CodeAddress{unwind_end}};
  }
  for (const Symbol* symbol : graph.defined_symbols()) {
    if (!IsExecutable(symbol->getSection()) || !HasSourceName(*symbol)) continue;
    const CodeAddress entry{symbol->getAddress().getValue()};
    LinkedFunction function{std::string(*symbol->getName()), {entry, entry + symbol->getSize()}};
    if (function.text.empty()) continue;
    function.has_stub = HasStub(function.text);
    linked_.functions.push_back(std::move(function));
  }
  for (const Datum& datum : data_) {
    if (find_datum == nullptr || linked_.sections.contains(datum.section) ||
        linked_.elsewhere.contains(datum.section)) {
      continue;
    }
    if (const auto address = find_datum(datum.name)) {
      linked_.elsewhere[datum.section] = *address - datum.offset;
    }
  }
}

}  // namespace mend::jit
