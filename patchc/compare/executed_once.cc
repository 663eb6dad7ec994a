#include "patchc/compare/executed_once.h"

#include <llvm/Object/ELFObjectFile.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "patchc/compare/module_diff.h"
#include "patchc/object/object_view.h"
#include "patchc/support/llvm_status.h"

namespace mend::patchc {
namespace {

using ElfFile = llvm::object::ELFObjectFile<llvm::object::ELF64LE>;

// One instruction of a function, by its offset in the section.
struct Instruction {
  uint64_t size = 0;
  bool goes_on = true;             // with the instruction behind it
  bool leads_anywhere = false;     // a jump through a register or a table
  std::optional<uint64_t> target;  // of a jump inside of the function
};
struct Code {
  std::map<uint64_t, Instruction> instructions;
  std::set<uint64_t> labels;  // whose addresses are in tables, or are taken by the function itself
};

constexpr int64_t kToEndOfInstruction = 4;

bool IsRelative(const ViewRelocation& relocation) {
  return relocation.type == llvm::ELF::R_X86_64_PC32 ||
         relocation.type == llvm::ELF::R_X86_64_PLT32;
}

bool IsInside(const ViewSymbol& function, uint64_t offset) {
  return offset >= function.value && offset < function.value + function.size;
}

// Where a relocation of an instruction leads, in the section of its symbol.
int64_t OffsetOf(const ObjectView& view, const ViewRelocation& relocation) {
  return static_cast<int64_t>(view.symbols()[relocation.symbol].value) + relocation.addend +
         (IsRelative(relocation) ? kToEndOfInstruction : 0);
}

// Places inside of the function, but for its beginning, that jumps through tables may lead to. An
// entry counts from the beginning of its table, which the function refers to.
std::set<uint64_t> FindLabels(const ObjectView& view, const ViewSymbol& function) {
  std::set<uint64_t> labels;
  std::map<uint32_t, std::set<uint64_t>> tables;  // by section: where they begin
  const auto add = [&](int64_t offset) {
    const auto place = static_cast<uint64_t>(offset);
    if (place != function.value && IsInside(function, place)) labels.insert(place);
  };
  for (const ViewRelocation& relocation : view.sections()[function.section].relocations) {
    if (!IsInside(function, relocation.offset)) continue;
    const uint32_t section = view.symbols()[relocation.symbol].section;
    const int64_t offset = OffsetOf(view, relocation);
    if (section == function.section) {
      add(offset);
    } else if (section != 0) {
      tables[section].insert(static_cast<uint64_t>(offset));
    }
  }
  for (const auto& [index, begins] : tables) {
    for (const ViewRelocation& entry : view.sections()[index].relocations) {
      const ViewSymbol& symbol = view.symbols()[entry.symbol];
      if (symbol.section != function.section) continue;
      int64_t offset = static_cast<int64_t>(symbol.value) + entry.addend;
      if (IsRelative(entry)) {
        const auto behind = begins.upper_bound(entry.offset);
        if (behind == begins.begin()) continue;
        offset -= static_cast<int64_t>(entry.offset - *std::prev(behind));
      }
      add(offset);
    }
  }
  return labels;
}

// The function's code; without instructions if it cannot be read to its end.
Code Decode(const Disassembler& disassembler, const ObjectView& view, const ViewSymbol& function) {
  const ViewSection& section = view.sections()[function.section];
  Code code;
  code.labels = FindLabels(view, function);
  const uint64_t end = std::min<uint64_t>(function.value + function.size, section.contents.size());
  auto relocation = section.relocations.begin();
  for (uint64_t at = function.value; at < end;) {
    llvm::MCInst decoded;
    Instruction instruction;
    instruction.size = disassembler.Decode(
        {reinterpret_cast<const uint8_t*>(section.contents.data()) + at, end - at}, &decoded);
    if (instruction.size == 0) return {};
    const uint64_t next = at + instruction.size;
    while (relocation != section.relocations.end() && relocation->offset < at) ++relocation;
    // Where it leads is another function's, or a table's.
    const bool is_relocated = relocation != section.relocations.end() && relocation->offset < next;
    const llvm::MCInstrDesc& description = disassembler.Describe(decoded);
    instruction.goes_on = !description.isBarrier();
    if (description.isIndirectBranch()) {
      instruction.leads_anywhere = true;
    } else if (description.isBranch() && !is_relocated) {
      instruction.target = disassembler.BranchTarget(decoded, at, instruction.size);
      instruction.leads_anywhere = !instruction.target.has_value();
    }
    code.instructions.emplace(at, instruction);
    at = next;
  }
  return code;
}

// The name of what a call leads to. A local function may go by its section.
std::string_view CalleeOf(const ObjectView& view, const ViewRelocation& call) {
  const ViewSymbol& symbol = view.symbols()[call.symbol];
  if (symbol.section == 0 || symbol.IsFunction()) return symbol.name;
  const std::optional<uint32_t> found = view.SymbolAt(symbol.section, OffsetOf(view, call));
  return found.has_value() ? std::string_view(view.symbols()[*found].name) : std::string_view();
}

// Whether what runs at `from` may come to run again. REQUIRES: there are instructions.
bool IsInLoop(const Code& code, uint64_t from) {
  const uint64_t begin = code.instructions.begin()->first;
  const auto& [last, last_instruction] = *code.instructions.rbegin();
  std::vector<bool> seen(last + last_instruction.size - begin);
  std::vector<uint64_t> pending = {from};
  while (!pending.empty()) {
    const auto at = code.instructions.find(pending.back());
    pending.pop_back();
    if (at == code.instructions.end()) continue;
    const Instruction& instruction = at->second;
    std::vector<uint64_t> next;
    if (instruction.target.has_value()) next.push_back(*instruction.target);
    if (instruction.goes_on) next.push_back(at->first + instruction.size);
    if (instruction.leads_anywhere) {
      if (code.labels.empty()) return true;
      next.insert(next.end(), code.labels.begin(), code.labels.end());
    }
    for (const uint64_t place : next) {
      if (place == from) return true;
      if (place < begin || place - begin >= seen.size() || seen[place - begin]) continue;
      seen[place - begin] = true;
      pending.push_back(place);
    }
  }
  return false;
}

bool IsInitializer(const ObjectSummary& summary, const std::string& function) {
  return std::find(summary.initializers.begin(), summary.initializers.end(), function) !=
         summary.initializers.end();
}

// Whether a symbol of the object has that name: most units have none, and need not be summarized.
// The text is looked for first, which is fast.
absl::StatusOr<bool> HasSymbol(std::string_view object, const std::string& name) {
  if (object.find(std::string_view(name.c_str(), name.size() + 1)) == std::string_view::npos) {
    return false;
  }
  auto file = ElfFile::create(
      llvm::MemoryBufferRef(llvm::StringRef(object.data(), object.size()), "object"));
  if (!file) return FromLlvm(file.takeError(), "object");
  for (const llvm::object::ELFSymbolRef symbol : file->symbols()) {
    auto its_name = symbol.getName();
    if (!its_name) return FromLlvm(its_name.takeError(), "a symbol");
    if (*its_name == name) return true;
  }
  return false;
}

// Whether another symbol is the same function: who calls that one calls this.
bool HasAlias(const ObjectSummary& summary, const std::string& name) {
  const auto own = summary.details.find(name);
  return own != summary.details.end() &&
         std::any_of(summary.details.begin(), summary.details.end(), [&](const auto& other) {
           return other.first != name && other.second.place == own->second.place;
         });
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ExecutedOnce::CallersOf(size_t unit,
                                                                 const std::string& function,
                                                                 Binding binding) {
  if (function == "main") return std::vector<std::string>();
  if (binding != Binding::kLocal) unit = program().Definer(function).value_or(unit);
  absl::StatusOr<std::vector<std::string>> chain = ChainTo(unit, function);
  if (chain.ok() && !chain->empty()) chain->pop_back();
  return chain;
}

absl::StatusOr<std::vector<std::string>> ExecutedOnce::ChainTo(size_t unit,
                                                               const std::string& function) {
  // Of functions that call one another none is executed once.
  const auto [known, is_new] = chains_.try_emplace({unit, function});
  if (!is_new) return known->second;
  const absl::StatusOr<const ObjectSummary*> summary = program().Summary(unit);
  if (!summary.ok()) return summary.status();
  if (function == "main" || IsInitializer(**summary, function)) return known->second = {function};
  const FunctionDescription* const own = FindNamed((*summary)->functions, function);
  if (own == nullptr || HasAlias(**summary, function)) return known->second;
  std::vector<Place> callers;
  const bool is_local = own->binding == Binding::kLocal;
  // Its own unit first, which most often settles it.
  for (size_t i = 0; i < program().units().size(); ++i) {
    const size_t in = i == 0 ? unit : (i <= unit ? i - 1 : i);
    if (is_local && i > 0) break;
    const absl::StatusOr<bool> once = AddCallers(in, function, is_local, callers);
    if (!once.ok()) return once.status();
    if (!*once) return known->second;
  }
  if (!is_local) {
    const absl::StatusOr<bool> by_modules = IsUsedByModules(function);
    if (!by_modules.ok()) return by_modules.status();
    if (*by_modules) return known->second;
  }
  std::vector<std::string> shown;
  for (const auto& [in, caller] : callers) {
    absl::StatusOr<std::vector<std::string>> chain = ChainTo(in, caller);
    if (!chain.ok() || chain->empty()) return chain;
    if (shown.empty() || chain->front() == "main") shown = *std::move(chain);
  }
  if (shown.empty()) return known->second;
  shown.push_back(function);
  return known->second = std::move(shown);
}

absl::StatusOr<bool> ExecutedOnce::AddCallers(size_t unit, const std::string& function,
                                              bool is_local, std::vector<Place>& callers) {
  const absl::StatusOr<bool> has_symbol = HasSymbol(program().units()[unit].object, function);
  if (!has_symbol.ok()) return has_symbol.status();
  if (!*has_symbol) return true;
  const absl::StatusOr<const ObjectSummary*> summary = program().Summary(unit);
  if (!summary.ok()) return summary.status();
  const FunctionDescription* const namesake = FindNamed((*summary)->functions, function);
  const bool is_another = !is_local && namesake != nullptr && namesake->binding == Binding::kLocal;
  if (is_another) return true;
  for (const auto& [name, details] : (*summary)->details) {
    if (!details.references.contains(function)) continue;
    if (details.addresses.contains(function) || FindNamed((*summary)->functions, name) == nullptr) {
      return false;
    }
    const absl::StatusOr<bool> again = CallsInLoop({unit, name}, function);
    if (!again.ok()) return again.status();
    if (*again) return false;
    callers.emplace_back(unit, name);
  }
  return true;
}

absl::StatusOr<bool> ExecutedOnce::IsUsedByModules(const std::string& function) {
  for (size_t module = 1; module < objects_.size(); ++module) {
    const absl::StatusOr<std::vector<size_t>> users = objects_[module].Users(function);
    if (!users.ok()) return users.status();
    if (!users->empty()) return true;
  }
  return false;
}

absl::StatusOr<bool> ExecutedOnce::CallsInLoop(const Place& caller, const std::string& function) {
  const auto& [unit, name] = caller;
  const absl::StatusOr<ObjectView> view = ObjectView::Parse(program().units()[unit].object);
  if (!view.ok()) return view.status();
  const auto& symbols = view->symbols();
  const auto found = std::find_if(symbols.begin(), symbols.end(), [&](const ViewSymbol& symbol) {
    return symbol.name == name && symbol.IsFunction();
  });
  if (found == symbols.end()) return true;
  if (!disassembler_.has_value()) disassembler_.emplace();
  const Code code = Decode(*disassembler_, *view, *found);
  if (code.instructions.empty()) return true;
  bool is_called = false;
  for (const ViewRelocation& relocation : view->sections()[found->section].relocations) {
    if (!IsInside(*found, relocation.offset) || CalleeOf(*view, relocation) != function) continue;
    is_called = true;
    const auto behind = code.instructions.upper_bound(relocation.offset);
    if (IsInLoop(code, std::prev(behind)->first)) return true;
  }
  // Something that the function refers to leads there.
  return !is_called;
}

}  // namespace mend::patchc
