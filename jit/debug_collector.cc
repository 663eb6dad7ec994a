#include "jit/debug_collector.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "jit/graph_editor.h"
#include "jit/unwind_records.h"
#include "llvm/Object/ELF.h"
#include "runtime/patch/redirection_table.h"

namespace mend::jit {
namespace {

using llvm::jitlink::Block;
using llvm::jitlink::LinkGraph;
using llvm::jitlink::Section;
using llvm::jitlink::Symbol;

constexpr uint32_t kAmbiguous = 0;  // no section of a file has that number

// The allocated sections of an object: those with content by its place in the file, others by name.
struct SectionNumbers {
  std::map<uint64_t, uint32_t> by_offset;
  std::map<std::string, uint32_t> by_name;
};

SectionNumbers NumberSections(std::string_view object) {
  SectionNumbers numbers;
  auto elf = llvm::object::ELFFile<llvm::object::ELF64LE>::create(
      llvm::StringRef(object.data(), object.size()));
  if (!elf) {
    llvm::consumeError(elf.takeError());
    return numbers;
  }
  auto sections = elf->sections();
  if (!sections) {
    llvm::consumeError(sections.takeError());
    return numbers;
  }
  uint32_t number = 0;
  for (const auto& section : *sections) {
    const uint32_t own = number++;
    if ((section.sh_flags & llvm::ELF::SHF_ALLOC) == 0 || section.sh_size == 0) continue;
    if (section.sh_type != llvm::ELF::SHT_NOBITS) {
      numbers.by_offset[section.sh_offset] = own;
      continue;
    }
    auto name = elf->getSectionName(section);
    if (!name) {
      llvm::consumeError(name.takeError());
      continue;
    }
    const auto [at, is_new] = numbers.by_name.try_emplace(name->str(), own);
    if (!is_new) at->second = kAmbiguous;
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
  const SectionNumbers numbers = NumberSections(object);
  for (Section& section : graph.sections()) {
    if (!IsAllocated(section) || section.getName() == kUnwindSection) continue;
    for (Block* block : section.blocks()) {
      if (block->isZeroFill()) {
        const auto found = numbers.by_name.find(section.getName().str());
        if (found != numbers.by_name.end() && found->second != kAmbiguous) {
          sections_[block] = found->second;
        }
        continue;
      }
      // Whatever the graph's maker has put into memory of its own lies outside of the object.
      const auto offset = static_cast<uint64_t>(block->getContent().data() - object.data());
      const auto found = numbers.by_offset.find(offset);
      if (offset < object.size() && found != numbers.by_offset.end()) {
        sections_[block] = found->second;
      }
    }
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
