#include "patchc/object/object_view.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "llvm/BinaryFormat/ELF.h"
#include "llvm/Object/ELF.h"

namespace mend::patchc {
namespace {

using ElfFile = llvm::object::ELFFile<llvm::object::ELF64LE>;

absl::Status Malformed(llvm::Error error) {
  return absl::InvalidArgumentError(
      absl::StrCat("not a usable object file: ", llvm::toString(std::move(error))));
}

// Global names before local ones, so that a target has the same name however it was referred to.
bool SortsBefore(const ViewSymbol& a, const ViewSymbol& b) {
  const bool a_local = a.binding == llvm::ELF::STB_LOCAL;
  const bool b_local = b.binding == llvm::ELF::STB_LOCAL;
  return std::tie(a.value, a_local, a.name) < std::tie(b.value, b_local, b.name);
}

absl::Status ReadSections(const ElfFile& file, std::vector<ViewSection>& sections) {
  auto headers = file.sections();
  if (!headers) return Malformed(headers.takeError());
  for (const auto& header : *headers) {
    ViewSection section;
    auto name = file.getSectionName(header);
    if (!name) return Malformed(name.takeError());
    section.name = name->str();
    section.type = header.sh_type;
    section.flags = header.sh_flags;
    section.size = header.sh_size;
    section.alignment = header.sh_addralign;
    section.entry_size = header.sh_entsize;
    section.link = header.sh_link;
    if (header.sh_type != llvm::ELF::SHT_NOBITS && header.sh_type != llvm::ELF::SHT_NULL) {
      auto contents = file.getSectionContents(header);
      if (!contents) return Malformed(contents.takeError());
      section.contents =
          std::string_view(reinterpret_cast<const char*>(contents->data()), contents->size());
    }
    if (header.sh_type != llvm::ELF::SHT_NOBITS) section.size = section.contents.size();
    sections.push_back(std::move(section));
  }
  return absl::OkStatus();
}

absl::Status ReadSymbols(const ElfFile& file, std::vector<ViewSection>& sections,
                         std::vector<ViewSymbol>& symbols) {
  auto headers = file.sections();
  if (!headers) return Malformed(headers.takeError());
  for (const auto& header : *headers) {
    if (header.sh_type != llvm::ELF::SHT_SYMTAB) continue;
    auto strings = file.getStringTableForSymtab(header);
    if (!strings) return Malformed(strings.takeError());
    auto entries = file.symbols(&header);
    if (!entries) return Malformed(entries.takeError());
    for (const auto& entry : *entries) {
      ViewSymbol symbol;
      auto name = entry.getName(*strings);
      if (!name) return Malformed(name.takeError());
      symbol.name = name->str();
      symbol.value = entry.st_value;
      symbol.size = entry.st_size;
      symbol.type = entry.getType();
      symbol.binding = entry.getBinding();
      symbol.is_undefined = entry.st_shndx == llvm::ELF::SHN_UNDEF;
      symbol.is_common = entry.st_shndx == llvm::ELF::SHN_COMMON;
      if (!symbol.is_undefined && entry.st_shndx < llvm::ELF::SHN_LORESERVE) {
        symbol.section = entry.st_shndx;
      } else if (entry.st_shndx == llvm::ELF::SHN_XINDEX) {
        return absl::InvalidArgumentError("not a usable object file: over 65000 sections");
      }
      if (symbol.section >= sections.size()) {
        return absl::InvalidArgumentError(
            absl::StrCat("symbol '", symbol.name, "' lies in a section that does not exist"));
      }
      symbols.push_back(std::move(symbol));
    }
    break;
  }
  for (uint32_t index = 0; index < symbols.size(); ++index) {
    const ViewSymbol& symbol = symbols[index];
    if (symbol.section == 0 || (!symbol.IsFunction() && !symbol.IsNamedData())) continue;
    ViewSection& section = sections[symbol.section];
    if (symbol.value > section.size || symbol.size > section.size - symbol.value) {
      return absl::InvalidArgumentError(
          absl::StrCat("symbol '", symbol.name, "' reaches beyond section ", section.name));
    }
    section.symbols.push_back(index);
  }
  for (ViewSection& section : sections) {
    std::sort(section.symbols.begin(), section.symbols.end(),
              [&](uint32_t a, uint32_t b) { return SortsBefore(symbols[a], symbols[b]); });
  }
  return absl::OkStatus();
}

absl::Status ReadRelocations(const ElfFile& file, size_t symbol_count,
                             std::vector<ViewSection>& sections) {
  auto headers = file.sections();
  if (!headers) return Malformed(headers.takeError());
  for (const auto& header : *headers) {
    if (header.sh_type == llvm::ELF::SHT_REL) {
      return absl::InvalidArgumentError("not a usable object file: relocations without addends");
    }
    if (header.sh_type != llvm::ELF::SHT_RELA) continue;
    if (header.sh_info >= sections.size()) {
      return absl::InvalidArgumentError("relocations of a section that does not exist");
    }
    ViewSection& section = sections[header.sh_info];
    auto entries = file.relas(header);
    if (!entries) return Malformed(entries.takeError());
    for (const auto& entry : *entries) {
      ViewRelocation relocation{entry.r_offset, entry.getType(false), entry.getSymbol(false),
                                entry.r_addend};
      if (relocation.offset >= section.size || relocation.symbol >= symbol_count) {
        return absl::InvalidArgumentError(
            absl::StrCat("a relocation of section ", section.name, " lies outside of the file"));
      }
      section.relocations.push_back(relocation);
    }
    std::sort(section.relocations.begin(), section.relocations.end(),
              [](const ViewRelocation& a, const ViewRelocation& b) {
                return std::tie(a.offset, a.type, a.addend) < std::tie(b.offset, b.type, b.addend);
              });
  }
  return absl::OkStatus();
}

}  // namespace

bool ViewSymbol::IsFunction() const {
  return type == llvm::ELF::STT_FUNC || type == llvm::ELF::STT_GNU_IFUNC;
}

bool ViewSymbol::IsNamedData() const {
  return (type == llvm::ELF::STT_OBJECT || type == llvm::ELF::STT_TLS) &&
         !absl::StartsWith(name, ".L");
}

bool ViewSection::IsCode() const { return (flags & llvm::ELF::SHF_EXECINSTR) != 0; }

bool ViewSection::IsMergeable() const { return (flags & llvm::ELF::SHF_MERGE) != 0; }

bool ViewSection::IsWritable() const {
  return (flags & llvm::ELF::SHF_WRITE) != 0 && !absl::StartsWith(name, ".data.rel.ro");
}

absl::StatusOr<ObjectView> ObjectView::Parse(std::string_view elf) {
  auto file = ElfFile::create(llvm::StringRef(elf.data(), elf.size()));
  if (!file) return Malformed(file.takeError());
  const auto& header = file->getHeader();
  if (!header.checkMagic() || header.e_ident[llvm::ELF::EI_CLASS] != llvm::ELF::ELFCLASS64 ||
      header.e_machine != llvm::ELF::EM_X86_64 || header.e_type != llvm::ELF::ET_REL) {
    return absl::InvalidArgumentError("not an x86-64 ELF relocatable");
  }
  ObjectView view;
  if (absl::Status read = ReadSections(*file, view.sections_); !read.ok()) return read;
  if (absl::Status read = ReadSymbols(*file, view.sections_, view.symbols_); !read.ok()) {
    return read;
  }
  if (absl::Status read = ReadRelocations(*file, view.symbols_.size(), view.sections_);
      !read.ok()) {
    return read;
  }
  return view;
}

std::optional<uint32_t> ObjectView::SymbolAt(uint32_t section, int64_t offset) const {
  const std::vector<uint32_t>& candidates = sections_[section].symbols;
  if (candidates.empty()) return std::nullopt;
  const auto lies_in = [&](const ViewSymbol& symbol) {
    return offset >= static_cast<int64_t>(symbol.value) &&
           offset < static_cast<int64_t>(symbol.value + std::max<uint64_t>(symbol.size, 1));
  };
  const auto after = std::upper_bound(candidates.begin(), candidates.end(), offset,
                                      [&](int64_t value, uint32_t index) {
                                        return value < static_cast<int64_t>(symbols_[index].value);
                                      });
  // Symbols at one address are neighbours: go back to the first of them.
  for (auto it = after; it != candidates.begin();) {
    --it;
    if (!lies_in(symbols_[*it])) continue;
    while (it != candidates.begin() && symbols_[*(it - 1)].value == symbols_[*it].value) --it;
    return *it;
  }
  const uint64_t first_value = symbols_[candidates.front()].value;
  const bool one_address = symbols_[candidates.back()].value == first_value;
  if (one_address) return candidates.front();
  return std::nullopt;
}

}  // namespace mend::patchc
