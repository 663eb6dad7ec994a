#include "jit/link/elf_scan.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "jit/link/status_conversion.h"
#include "llvm/BinaryFormat/ELF.h"
#include "llvm/Object/ELF.h"
#include "runtime/format/object_check.h"

namespace mend::jit {
namespace {

using Elf = llvm::object::ELFFile<llvm::object::ELF64LE>;
using Symbol = llvm::object::ELF64LE::Sym;

absl::Status Damaged(llvm::Error error) {
  return absl::InvalidArgumentError(ToStatus(std::move(error), "damaged object").message());
}

// In the copy of the object, which is made when there is none.
void MakeUndefined(std::string_view object, const Symbol& symbol, std::string& rewritten) {
  if (rewritten.empty()) rewritten = std::string(object);
  Symbol undefined = symbol;
  undefined.st_value = 0;
  undefined.st_size = 0;
  undefined.st_shndx = llvm::ELF::SHN_UNDEF;
  undefined.setBindingAndType(symbol.getBinding(), llvm::ELF::STT_NOTYPE);
  const auto at = static_cast<size_t>(reinterpret_cast<const char*>(&symbol) - object.data());
  memcpy(rewritten.data() + at, &undefined, sizeof(undefined));
}

}  // namespace

absl::StatusOr<ElfScan> ScanObject(std::string_view object) {
  if (object.size() < sizeof(llvm::ELF::Elf64_Ehdr) || object.substr(0, 4) != "\177ELF" ||
      object[llvm::ELF::EI_CLASS] != llvm::ELF::ELFCLASS64) {
    return absl::InvalidArgumentError("not a 64-bit ELF object");
  }
  auto elf = Elf::create(llvm::StringRef(object.data(), object.size()));
  if (!elf) return Damaged(elf.takeError());
  if (elf->getHeader().e_type != llvm::ELF::ET_REL ||
      elf->getHeader().e_machine != llvm::ELF::EM_X86_64) {
    return absl::InvalidArgumentError("not a relocatable object for x86-64");
  }
  if (absl::Status checked = CheckObject(object); !checked.ok()) return checked;
  auto sections = elf->sections();
  if (!sections) return Damaged(sections.takeError());
  ElfScan scan;
  for (const auto& section : *sections) {
    if (section.sh_type != llvm::ELF::SHT_SYMTAB) continue;
    auto symbols = elf->symbols(&section);
    if (!symbols) return Damaged(symbols.takeError());
    auto names = elf->getStringTableForSymtab(section);
    if (!names) return Damaged(names.takeError());
    for (const Symbol& symbol : *symbols) {
      if (symbol.isAbsolute() && symbol.getBinding() != llvm::ELF::STB_LOCAL) {
        auto name = symbol.getName(*names);
        if (!name) return Damaged(name.takeError());
        scan.absolute_symbols.emplace_back(*name, symbol.st_value);
        MakeUndefined(object, symbol, scan.rewritten);
        continue;
      }
      const unsigned type = symbol.getType();
      if (type != llvm::ELF::STT_TLS && type != llvm::ELF::STT_GNU_IFUNC) continue;
      auto name = symbol.getName(*names);
      if (!name) return Damaged(name.takeError());
      if (type == llvm::ELF::STT_TLS) {
        return absl::InvalidArgumentError(
            absl::StrCat("thread-local ", std::string(*name),
                         " was compiled for the native loader; compile the object with patchc"));
      }
      if (!symbol.isDefined()) continue;
      if (scan.rewritten.empty()) scan.rewritten = std::string(object);
      scan.indirect_functions.emplace_back(*name);
      const size_t at =
          static_cast<size_t>(reinterpret_cast<const char*>(&symbol.st_info) - object.data());
      scan.rewritten[at] = static_cast<char>((symbol.st_info & 0xf0) | llvm::ELF::STT_FUNC);
    }
  }
  return scan;
}

}  // namespace mend::jit
