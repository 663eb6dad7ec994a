#include "patchc/link/stand_ins.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "patchc/link/shell_library.h"

namespace mend::patchc {
namespace {

// The C runtime's start files, which the launcher has too, define them; `main` is the launcher's.
// Whoever defines dlsym is asked for nothing: the table itself depends on it.
bool IsLaunchers(std::string_view name) {
  static constexpr std::string_view kNames[] = {"main",         "_start",         "_init",
                                                "_fini",        "data_start",     "__data_start",
                                                "__dso_handle", "_IO_stdin_used", "dlsym"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

void Append(std::string& text, std::initializer_list<std::string_view> parts) {
  for (const std::string_view part : parts) text += part;
  text += '\n';
}

}  // namespace

void StandInTableBuilder::AddProgram(const std::vector<ExportedSymbol>& exports) {
  for (const ExportedSymbol& symbol : exports) {
    if (!IsLaunchers(symbol.name)) program_.emplace(symbol.name, symbol);
  }
}

void StandInTableBuilder::AddLibrary(const std::vector<ExportedSymbol>& defined,
                                     const std::set<std::string>& undefined) {
  for (const ExportedSymbol& symbol : defined) {
    const auto own = program_.find(symbol.name);
    if (own == program_.end() || own->second.is_function != symbol.is_function) continue;
    const bool allocates = IsAllocationFunction(symbol.name) || IsAllocationOperator(symbol.name);
    // What C++ makes weak is in both, and is the same. Nobody defines malloc for that.
    if (own->second.is_weak && !allocates) {
      in_both_.insert(symbol.name);
      continue;
    }
    StandInKind& kind = found_[symbol.name];
    if (!symbol.is_function) {
      kind = StandInKind::kVariable;
    } else if (allocates) {
      kind = StandInKind::kAllocation;
    } else {
      kind = StandInKind::kReplacement;
    }
  }
  for (const std::string& name : undefined) {
    const auto own = program_.find(name);
    // One library may define what another leaves undefined.
    if (own == program_.end()) continue;
    if (own->second.is_function) {
      found_.try_emplace(name, StandInKind::kCallback);
    } else if (!own->second.is_weak) {
      found_.try_emplace(name, StandInKind::kPlace);
    }
  }
}

std::map<std::string, StandInKind> StandInTableBuilder::Finish() const {
  std::map<std::string, StandInKind> stand_ins = found_;
  // What one library leaves undefined and another one has is no callback of the program's.
  for (const std::string& name : in_both_) stand_ins.erase(name);
  const auto complete = [&](auto is_one, const auto& all) {
    const bool has_one = std::any_of(found_.begin(), found_.end(),
                                     [&](const auto& entry) { return is_one(entry.first); });
    if (!has_one) return;
    for (const std::string_view name : all) {
      stand_ins.try_emplace(std::string(name), StandInKind::kAllocation);
    }
  };
  complete(IsAllocationFunction, kAllocationFunctions);
  complete(IsAllocationOperator, kAllocationOperators);
  return stand_ins;
}

absl::StatusOr<std::string> MakeStandIns(const std::map<std::string, StandInKind>& stand_ins,
                                         const std::string& linked) {
  const absl::StatusOr<std::map<std::string, Variable>> variables = ReadVariables(linked);
  if (!variables.ok()) return variables.status();
  std::string places = ".data\n";
  std::string code = ".text\n";
  std::string names = ".section .rodata\n";
  std::string table = ".section .data.rel,\"aw\"\n.p2align 4\n.Lbegin:\n";
  size_t number = 0;
  for (const auto& [name, kind] : stand_ins) {
    const std::string entry = absl::StrCat(".Lentry", number);
    const std::string name_label = absl::StrCat(".Lname", number);
    ++number;
    Append(names, {name_label, ": .asciz \"", name, "\""});
    const auto variable = variables->find(name);
    const bool is_place = kind == StandInKind::kPlace && variable != variables->end();
    Append(table,
           {entry, ": .quad ", name_label, ", ", absl::StrCat(static_cast<uint64_t>(kind)), ", 0"});
    if (is_place) {
      const Variable& value = variable->second;
      Append(table, {".quad \"", name, "\", ", absl::StrCat(value.bytes.size())});
      Append(places, {".p2align ", absl::StrCat(std::countr_zero(value.alignment)), "\n.globl \"",
                      name, "\"\n.type \"", name, "\", @object\n.size \"", name, "\", ",
                      absl::StrCat(value.bytes.size()), "\n\"", name, "\":"});
      for (const char c : value.bytes) {
        Append(places, {".byte ", absl::StrCat(static_cast<unsigned char>(c))});
      }
      continue;
    }
    Append(table, {".quad 0, 0"});
    if (kind == StandInKind::kVariable || kind == StandInKind::kPlace) continue;
    Append(code, {".p2align 4\n.globl \"", name, "\"\n.type \"", name, "\", @function"});
    Append(code, {"\"", name, "\":\n.cfi_startproc"});
    Append(code, {"leaq ", entry, "(%rip), %r11"});
    Append(code, {"jmpq *mend_stand_in@GOTPCREL(%rip)\n.cfi_endproc"});
    Append(code, {".size \"", name, "\", .-\"", name, "\""});
  }
  // RTLD_NEXT means the caller's, which has to be the executable.
  Append(code, {".p2align 4\n.Lnext:\n.cfi_startproc\nsubq $8, %rsp\n.cfi_adjust_cfa_offset 8\n"
                "movq %rdi, %rsi\nmovq $-1, %rdi\ncallq *dlsym@GOTPCREL(%rip)\naddq $8, %rsp\n"
                ".cfi_adjust_cfa_offset -8\nretq\n.cfi_endproc"});
  Append(table, {".Lend:\n.globl ", kStandInTable, "\n.type ", kStandInTable, ", @object\n",
                 kStandInTable, ": .quad .Lnext, .Lbegin, .Lend\n.size ", kStandInTable, ", 24"});
  return AssembleObject(absl::StrCat(code, names, places, table));
}

}  // namespace mend::patchc
