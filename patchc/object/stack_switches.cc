#include "patchc/object/stack_switches.h"

#include <llvm/ADT/SmallSet.h>
#include <llvm/MC/MCInst.h>
#include <llvm/Object/ELFObjectFile.h>
#include <llvm/Support/MemoryBuffer.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "patchc/object/disassembler.h"
#include "patchc/object/object_writer.h"
#include "patchc/support/llvm_status.h"
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

// What a shared library exports as code.
struct ExportedText {
  std::string name;
  llvm::ArrayRef<uint8_t> bytes;
};

absl::StatusOr<std::vector<ExportedText>> ExportedTexts(const ElfFile& file,
                                                        const std::string& path) {
  struct Place {
    uint64_t address;
    uint64_t size;
    std::string name;
  };
  std::vector<Place> places;
  for (const llvm::object::ELFSymbolRef symbol : file.getDynamicSymbolIterators()) {
    const uint8_t type = symbol.getELFType();
    if (type != llvm::ELF::STT_FUNC && type != llvm::ELF::STT_NOTYPE) continue;
    auto name = symbol.getName();
    if (!name) return FromLlvm(name.takeError(), path);
    auto address = symbol.getAddress();
    if (!address) return FromLlvm(address.takeError(), path);
    places.push_back({*address, symbol.getSize(), name->str()});
  }
  std::sort(places.begin(), places.end(),
            [](const Place& a, const Place& b) { return a.address < b.address; });
  std::vector<ExportedText> texts;
  for (const llvm::object::ELFSectionRef section : file.sections()) {
    if (!section.isText()) continue;
    auto contents = section.getContents();
    if (!contents) return FromLlvm(contents.takeError(), path);
    const llvm::ArrayRef<uint8_t> text(contents->bytes_begin(), contents->size());
    const uint64_t begin = section.getAddress();
    for (auto at = places.begin(); at != places.end(); ++at) {
      if (at->address < begin || at->address - begin >= text.size()) continue;
      const auto next = std::find_if(
          at, places.end(), [at](const Place& other) { return other.address > at->address; });
      // Assembler does not always say how long a function is.
      uint64_t size = at->size;
      if (size == 0) size = next == places.end() ? text.size() : next->address - at->address;
      texts.push_back({at->name, text.drop_front(at->address - begin).take_front(size)});
    }
  }
  return texts;
}

// Whether an instruction in there may write the whole stack pointer from a register or memory: most
// functions of a library need not be disassembled.
bool MayLoadStackPointer(llvm::ArrayRef<uint8_t> text) {
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    // popq %rsp, and what ends a function or pops more.
    const uint8_t next = text[i + 1];
    if (text[i] == 0x5c &&
        (next == 0xc3 || next == 0xff || next == 0x41 || (next & 0xf8) == 0x58)) {
      return true;
    }
    // REX.W, an operation, and its operands; the stack pointer is register 4 without REX's bits.
    if ((text[i] & 0xf8) != 0x48) continue;
    const uint8_t operation = next;
    if (text[i] == 0x48 && operation == 0x94) return true;  // xchgq %rax, %rsp
    if (i + 2 >= text.size()) continue;
    const uint8_t operands = text[i + 2];
    const bool into_register = operation == 0x8b || operation == 0x8d || operation == 0x87;
    const bool from_register = operation == 0x89 || operation == 0x87;
    if (into_register && (text[i] & 4) == 0 && (operands & 0x38) == 0x20) return true;
    if (from_register && (text[i] & 1) == 0 && (operands & 0xc7) == 0xc4) return true;
  }
  return false;
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

absl::StatusOr<std::vector<std::string>> FindSwitchesOfLibrary(const std::string& path,
                                                               const std::set<std::string>& names) {
  auto bytes =
      llvm::MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!bytes) return absl::InternalError(absl::StrCat(path, ": ", bytes.getError().message()));
  auto file = ElfFile::create((*bytes)->getMemBufferRef());
  if (!file) return FromLlvm(file.takeError(), path);
  absl::StatusOr<std::vector<ExportedText>> texts = ExportedTexts(*file, path);
  if (!texts.ok()) return texts.status();
  std::vector<std::string> found;
  std::optional<Disassembler> disassembler;
  for (const ExportedText& text : *texts) {
    if (!names.contains(text.name) || !MayLoadStackPointer(text.bytes)) continue;
    if (!disassembler.has_value()) disassembler.emplace();
    if (LeavesStack(*disassembler, text.bytes)) found.push_back(text.name);
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
