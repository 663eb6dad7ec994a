#include "patchc/stack_switches.h"

#include <llvm/ADT/SmallSet.h>
#include <llvm/MC/MCInst.h>
#include <llvm/Object/ELFObjectFile.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "patchc/disassembler.h"
#include "patchc/llvm_status.h"
#include "patchc/object_writer.h"
#include "runtime/format/stack_switch_names.h"

namespace mend::patchc {
namespace {

using ElfFile = llvm::object::ELFObjectFile<llvm::object::ELF64LE>;

// Follows which registers hold addresses of the function's own stack, in the order of its text.
class StackFollower {
 public:
  explicit StackFollower(const Disassembler& disassembler) : disassembler_(disassembler) {}

  // Whether the instruction makes the stack pointer lead to another stack.
  bool Leaves(const llvm::MCInst& instruction) {
    const llvm::MCInstrDesc& description = disassembler_.Describe(instruction);
    const llvm::StringRef name = disassembler_.NameOf(instruction);
    // The second and later registers are what it comes from; of a load, the base comes first.
    const bool moves = name.starts_with("MOV64r") || name.starts_with("MOV32r") ||
                       name.starts_with("LEA64") || name.starts_with("CMOV64");
    const bool from_own = moves && ComesFromOwn(instruction, description.getNumDefs());
    if (name.starts_with("XCHG64") || name.starts_with("POP64r")) {
      return ChangesStackPointer(instruction);
    }
    for (unsigned i = 0; i < description.getNumDefs(); ++i) {
      const std::string target = RegisterAt(instruction, i);
      if (target.empty()) continue;
      if (target == "RSP" || target == "ESP") return moves && !from_own;
      // What is added to, or aligned, is still an address of the same stack.
      if (moves) {
        Set(target, from_own);
      } else if (!description.mayLoad() && !KeepsStack(name)) {
        Set(target, false);
      }
    }
    return false;
  }

 private:
  static bool KeepsStack(llvm::StringRef name) {
    return name.starts_with("ADD64") || name.starts_with("SUB64") || name.starts_with("AND64") ||
           name.starts_with("OR64") || name.starts_with("INC64") || name.starts_with("DEC64");
  }
  std::string RegisterAt(const llvm::MCInst& instruction, unsigned index) const {
    if (index >= instruction.getNumOperands()) return "";
    const llvm::MCOperand& operand = instruction.getOperand(index);
    if (!operand.isReg() || operand.getReg() == 0) return "";
    return disassembler_.NameOfRegister(operand.getReg()).str();
  }
  bool ComesFromOwn(const llvm::MCInst& instruction, unsigned first) const {
    for (unsigned i = first; i < instruction.getNumOperands(); ++i) {
      if (own_.contains(RegisterAt(instruction, i))) return true;
    }
    return false;
  }
  bool ChangesStackPointer(const llvm::MCInst& instruction) const {
    for (unsigned i = 0; i < instruction.getNumOperands(); ++i) {
      // The base of an operand in memory is followed by a scale.
      const bool is_base =
          i + 1 < instruction.getNumOperands() && instruction.getOperand(i + 1).isImm();
      if (!is_base && RegisterAt(instruction, i) == "RSP") return true;
    }
    return false;
  }
  void Set(const std::string& target, bool own) {
    if (own) {
      own_.insert(target);
    } else if (target != "RBP") {
      own_.erase(target);
    }
  }

  const Disassembler& disassembler_;
  llvm::SmallSet<std::string, 8> own_ = [] {
    llvm::SmallSet<std::string, 8> begin;
    begin.insert("RSP");
    begin.insert("RBP");
    return begin;
  }();
};

bool LeavesStack(const Disassembler& disassembler, llvm::ArrayRef<uint8_t> text) {
  StackFollower follower(disassembler);
  while (!text.empty()) {
    llvm::MCInst instruction;
    const uint64_t size = disassembler.Decode(text, &instruction);
    if (size != 0 && follower.Leaves(instruction)) return true;
    // Data between instructions is passed byte by byte.
    text = text.drop_front(std::max<uint64_t>(size, 1));
  }
  return false;
}

// By section: where functions begin, and what they are called.
using Functions = std::map<uint64_t, std::multimap<uint64_t, std::string>>;

absl::StatusOr<Functions> FunctionsOf(const ElfFile& file) {
  Functions functions;
  for (const llvm::object::ELFSymbolRef symbol : file.symbols()) {
    const bool is_function = symbol.getELFType() == llvm::ELF::STT_FUNC;
    const bool is_global =
        symbol.getBinding() != llvm::ELF::STB_LOCAL && symbol.getELFType() == llvm::ELF::STT_NOTYPE;
    if (!is_function && !is_global) continue;
    auto section = symbol.getSection();
    if (!section) return FromLlvm(section.takeError(), "a symbol");
    if (*section == file.section_end() || !(*section)->isText()) continue;
    auto name = symbol.getName();
    if (!name) return FromLlvm(name.takeError(), "a symbol");
    auto place = symbol.getValue();
    if (!place) return FromLlvm(place.takeError(), "a symbol");
    functions[(*section)->getIndex()].emplace(*place, name->str());
  }
  return functions;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> FindStackSwitches(
    std::string_view object, absl::FunctionRef<bool(std::string_view function)> skip) {
  auto file = ElfFile::create(
      llvm::MemoryBufferRef(llvm::StringRef(object.data(), object.size()), "object"));
  if (!file) return FromLlvm(file.takeError(), "object");
  const absl::StatusOr<Functions> functions = FunctionsOf(*file);
  if (!functions.ok()) return functions.status();
  std::vector<std::string> found;
  std::optional<Disassembler> disassembler;  // takes a while to set up
  for (const llvm::object::SectionRef section : file->sections()) {
    const auto in_section = functions->find(section.getIndex());
    if (in_section == functions->end()) continue;
    auto contents = section.getContents();
    if (!contents) return FromLlvm(contents.takeError(), "a section");
    const llvm::ArrayRef<uint8_t> text(contents->bytes_begin(), contents->size());
    for (auto at = in_section->second.begin(); at != in_section->second.end();) {
      const auto next = in_section->second.upper_bound(at->first);
      const uint64_t begin = std::min<uint64_t>(at->first, text.size());
      const uint64_t end = next == in_section->second.end()
                               ? text.size()
                               : std::min<uint64_t>(next->first, text.size());
      const bool skipped =
          std::any_of(at, next, [&skip](const auto& function) { return skip(function.second); });
      if (!skipped && !disassembler.has_value()) disassembler.emplace();
      const bool leaves = !skipped && LeavesStack(*disassembler, text.slice(begin, end - begin));
      for (; at != next; ++at) {
        if (leaves) found.push_back(at->second);
      }
    }
  }
  return found;
}

absl::StatusOr<std::string> WithStackSwitches(
    std::string object, absl::FunctionRef<bool(std::string_view function)> skip) {
  const absl::StatusOr<std::vector<std::string>> found = FindStackSwitches(object, skip);
  if (!found.ok()) return found.status();
  if (found->empty()) return object;
  std::string names;
  for (const std::string& name : *found) {
    names += name;
    names += '\0';
  }
  return AppendSections(object, {{kSwitchesSection, names, llvm::ELF::SHF_EXCLUDE, 1}});
}

}  // namespace mend::patchc
