#include "patchc/object/dynamic_symbols.h"

#include <llvm/Object/ELFObjectFile.h>
#include <llvm/Support/MemoryBuffer.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "patchc/support/llvm_status.h"

namespace mend::patchc {
namespace {

using Elf = llvm::object::ELFObjectFile<llvm::object::ELF64LE>;

struct ElfFile {
  std::unique_ptr<llvm::MemoryBuffer> bytes;
  std::unique_ptr<Elf> elf;
};

absl::StatusOr<ElfFile> OpenElf(const std::string& path) {
  auto bytes =
      llvm::MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!bytes) return absl::InternalError(absl::StrCat(path, ": ", bytes.getError().message()));
  auto elf = Elf::create((*bytes)->getMemBufferRef());
  if (!elf) return FromLlvm(elf.takeError(), path);
  return ElfFile{std::move(*bytes), std::make_unique<Elf>(std::move(*elf))};
}

}  // namespace

absl::StatusOr<std::vector<ExportedSymbol>> ReadExports(const std::string& path) {
  absl::StatusOr<ElfFile> file = OpenElf(path);
  if (!file.ok()) return file.status();
  std::vector<ExportedSymbol> exports;
  for (const llvm::object::ELFSymbolRef symbol : file->elf->getDynamicSymbolIterators()) {
    const uint8_t binding = symbol.getBinding();
    auto flags = symbol.getFlags();
    auto name = symbol.getName();
    if (!flags) return FromLlvm(flags.takeError(), path);
    if (!name) return FromLlvm(name.takeError(), path);
    const bool is_exported = (binding == llvm::ELF::STB_GLOBAL || binding == llvm::ELF::STB_WEAK) &&
                             (*flags & llvm::object::SymbolRef::SF_Undefined) == 0;
    const uint8_t type = symbol.getELFType();
    // What code generation and loader agree on is nobody else's.
    if (!is_exported || name->empty() || name->starts_with("__mend_")) continue;
    // One that a resolver chooses (ifunc) is a function to others.
    const bool is_function = type == llvm::ELF::STT_FUNC || type == llvm::ELF::STT_GNU_IFUNC;
    if (!is_function && type != llvm::ELF::STT_OBJECT) continue;
    exports.push_back({.name = name->str(),
                       .is_function = is_function,
                       .is_weak = binding == llvm::ELF::STB_WEAK,
                       .size = symbol.getSize()});
  }
  return exports;
}

absl::StatusOr<std::set<std::string>> ReadUndefined(const std::string& path) {
  absl::StatusOr<ElfFile> file = OpenElf(path);
  if (!file.ok()) return file.status();
  std::set<std::string> names;
  for (const llvm::object::ELFSymbolRef symbol : file->elf->getDynamicSymbolIterators()) {
    auto flags = symbol.getFlags();
    auto name = symbol.getName();
    if (!flags) return FromLlvm(flags.takeError(), path);
    if (!name) return FromLlvm(name.takeError(), path);
    if ((*flags & llvm::object::SymbolRef::SF_Undefined) != 0) names.insert(name->str());
  }
  return names;
}

absl::StatusOr<std::set<std::string>> ReadCopies(const std::string& path) {
  absl::StatusOr<ElfFile> file = OpenElf(path);
  if (!file.ok()) return file.status();
  std::set<std::string> names;
  for (const llvm::object::ELFSectionRef section : file->elf->sections()) {
    if (section.getType() != llvm::ELF::SHT_RELA) continue;
    for (const llvm::object::RelocationRef& relocation : section.relocations()) {
      if (relocation.getType() != llvm::ELF::R_X86_64_COPY) continue;
      auto name = relocation.getSymbol()->getName();
      if (!name) return FromLlvm(name.takeError(), path);
      names.insert(name->str());
    }
  }
  return names;
}

absl::StatusOr<std::map<std::string, Variable>> ReadVariables(const std::string& path) {
  absl::StatusOr<ElfFile> file = OpenElf(path);
  if (!file.ok()) return file.status();
  std::map<std::string, Variable> variables;
  for (const llvm::object::ELFSymbolRef symbol : file->elf->getDynamicSymbolIterators()) {
    if (symbol.getELFType() != llvm::ELF::STT_OBJECT) continue;
    auto name = symbol.getName();
    auto address = symbol.getAddress();
    auto section = symbol.getSection();
    if (!name) return FromLlvm(name.takeError(), path);
    if (!address) return FromLlvm(address.takeError(), path);
    if (!section) return FromLlvm(section.takeError(), path);
    if (*section == file->elf->section_end()) continue;
    Variable variable;
    // At least what its own type needs, since it is aligned so here.
    variable.alignment = std::min<uint64_t>(*address & -*address, 4096);
    if ((*section)->isBSS()) {
      variable.bytes.resize(symbol.getSize());
    } else {
      auto contents = (*section)->getContents();
      if (!contents) return FromLlvm(contents.takeError(), path);
      variable.bytes =
          contents->substr(*address - (*section)->getAddress(), symbol.getSize()).str();
    }
    variables[name->str()] = std::move(variable);
  }
  return variables;
}

}  // namespace mend::patchc
