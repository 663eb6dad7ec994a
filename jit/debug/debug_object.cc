#include "jit/debug/debug_object.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "jit/debug/debug_names.h"
#include "jit/link/status_conversion.h"
#include "llvm/Object/ELF.h"
#include "runtime/format/debug_relocations.h"

namespace mend::jit {
namespace {

namespace ELF = llvm::ELF;
using Elf = llvm::object::ELFFile<llvm::object::ELF64LE>;
using Header = llvm::object::ELF64LE::Shdr;
using Symbol = llvm::object::ELF64LE::Sym;

// Indexes, which a debugger rebuilds: they would list what the link dropped.
constexpr std::string_view kLeftOut[] = {".debug_names",        ".debug_aranges",
                                         ".debug_pubnames",     ".debug_pubtypes",
                                         ".debug_gnu_pubnames", ".debug_gnu_pubtypes"};
// What stands for the address of something that was dropped: no code is there. In the older tables
// of ranges two zeros would be the end.
constexpr uint64_t kNowhere = 0;
constexpr uint64_t kNowhereInRanges = 1;

absl::Status Damaged(llvm::Error error) {
  return absl::InvalidArgumentError(ToStatus(std::move(error), "damaged object").message());
}

bool IsDebugSection(const Header& section, std::string_view name) {
  return name.starts_with(".debug_") && section.sh_type == ELF::SHT_PROGBITS &&
         (section.sh_flags & (ELF::SHF_ALLOC | ELF::SHF_COMPRESSED)) == 0 &&
         std::find(std::begin(kLeftOut), std::end(kLeftOut), name) == std::end(kLeftOut);
}

// An ELF file that grows section by section.
class ElfWriter {
 public:
  ElfWriter() : sections_(1), names_(1, '\0') {}

  // `content` is empty for memory that the file does not hold.
  uint16_t Add(std::string_view name, const ELF::Elf64_Shdr& header, std::string content) {
    sections_.push_back({header, std::move(content)});
    sections_.back().header.sh_name = AddName(names_, name);
    return static_cast<uint16_t>(sections_.size() - 1);
  }
  size_t section_count() const { return sections_.size(); }

  static uint32_t AddName(std::string& table, std::string_view name) {
    const auto offset = static_cast<uint32_t>(table.size());
    table += name;
    table.push_back('\0');
    return offset;
  }

  std::string Finish() {
    ELF::Elf64_Shdr names = {};
    names.sh_type = ELF::SHT_STRTAB;
    const uint16_t names_section = Add(".shstrtab", names, "");
    sections_.back().content = names_;
    ELF::Elf64_Ehdr header = {};
    memcpy(header.e_ident, ELF::ElfMagic, sizeof(ELF::ElfMagic) - 1);
    header.e_ident[ELF::EI_CLASS] = ELF::ELFCLASS64;
    header.e_ident[ELF::EI_DATA] = ELF::ELFDATA2LSB;
    header.e_ident[ELF::EI_VERSION] = ELF::EV_CURRENT;
    header.e_type = ELF::ET_REL;
    header.e_machine = ELF::EM_X86_64;
    header.e_version = ELF::EV_CURRENT;
    header.e_ehsize = sizeof(ELF::Elf64_Ehdr);
    header.e_shentsize = sizeof(ELF::Elf64_Shdr);
    header.e_shnum = static_cast<uint16_t>(sections_.size());
    header.e_shstrndx = names_section;
    std::string file(sizeof(header), '\0');
    for (Section& section : sections_) {
      file.resize((file.size() + sizeof(uint64_t) - 1) / sizeof(uint64_t) * sizeof(uint64_t));
      section.header.sh_offset = file.size();
      if (section.header.sh_type != ELF::SHT_NOBITS) {
        section.header.sh_size = section.content.size();
      }
      file += section.content;
    }
    sections_.front().header = {};
    file.resize((file.size() + sizeof(uint64_t) - 1) / sizeof(uint64_t) * sizeof(uint64_t));
    header.e_shoff = file.size();
    memcpy(file.data(), &header, sizeof(header));
    for (const Section& section : sections_) {
      file.append(reinterpret_cast<const char*>(&section.header), sizeof(section.header));
    }
    return file;
  }

 private:
  struct Section {
    ELF::Elf64_Shdr header = {};
    std::string content;
  };
  std::vector<Section> sections_;
  std::string names_;
};

class DebugObjectMaker {
 public:
  DebugObjectMaker(const LinkedObject& linked, std::string_view version)
      : linked_(linked), version_(version) {
    for (const LinkedFunction& function : linked.functions) {
      if (function.has_stub) stubs_.insert(function.text.begin.value);
    }
  }

  absl::StatusOr<std::string> Make();

 private:
  absl::Status ReadTables(const Elf& elf);
  absl::Status AddLinkedSections(const Elf& elf);
  absl::Status CollectDebugSections(const Elf& elf);
  void AddDebugSections();
  absl::Status AddSymbols(const Elf& elf);
  void AddSymbol(const Symbol& symbol, uint32_t section, std::string_view name);
  // Whether every relocation of the section could be applied.
  bool Relocate(const Elf& elf, const Header& relocations, std::string_view name,
                std::string& content) const;
  std::optional<uint64_t> ValueOf(const Elf& elf, uint32_t symbol, int64_t addend,
                                  uint64_t nowhere) const;
  std::optional<uint32_t> SectionOf(const Elf& elf, const Symbol& symbol) const;

  const LinkedObject& linked_;
  const std::string_view version_;
  std::set<uintptr_t> stubs_;
  llvm::ArrayRef<Header> sections_;
  llvm::ArrayRef<Symbol> symbols_;
  llvm::ArrayRef<llvm::object::ELF64LE::Word> large_numbers_;
  llvm::StringRef symbol_names_;

  ElfWriter file_;
  DebugSections debug_;
  std::map<uint32_t, uint16_t> placed_;  // section numbers: of the object, of the file
  std::vector<ELF::Elf64_Sym> local_symbols_, global_symbols_;
  std::string names_ = std::string(1, '\0');
};

absl::Status DebugObjectMaker::ReadTables(const Elf& elf) {
  if (elf.getHeader().e_type != ELF::ET_REL || elf.getHeader().e_machine != ELF::EM_X86_64) {
    return absl::InvalidArgumentError("not a relocatable object for x86-64");
  }
  auto sections = elf.sections();
  if (!sections) return Damaged(sections.takeError());
  sections_ = *sections;
  for (const Header& section : sections_) {
    if (section.sh_type == ELF::SHT_SYMTAB_SHNDX) {
      auto numbers = elf.getSHNDXTable(section, sections_);
      if (!numbers) return Damaged(numbers.takeError());
      large_numbers_ = *numbers;
    }
    if (section.sh_type != ELF::SHT_SYMTAB) continue;
    auto symbols = elf.symbols(&section);
    if (!symbols) return Damaged(symbols.takeError());
    symbols_ = *symbols;
    auto names = elf.getStringTableForSymtab(section, sections_);
    if (!names) return Damaged(names.takeError());
    symbol_names_ = *names;
  }
  return absl::OkStatus();
}

absl::Status DebugObjectMaker::AddLinkedSections(const Elf& elf) {
  for (const auto& [number, address] : linked_.sections) {
    if (number >= sections_.size()) return absl::InvalidArgumentError("no such section");
    const Header& section = sections_[number];
    auto name = elf.getSectionName(section);
    if (!name) return Damaged(name.takeError());
    ELF::Elf64_Shdr header = {};
    header.sh_type = ELF::SHT_NOBITS;
    header.sh_flags = section.sh_flags & (ELF::SHF_ALLOC | ELF::SHF_WRITE | ELF::SHF_EXECINSTR);
    header.sh_addr = address;
    header.sh_size = section.sh_size;
    header.sh_addralign = 1;
    if (file_.section_count() >= ELF::SHN_LORESERVE - 64) {
      return absl::InvalidArgumentError("too many sections");
    }
    placed_[number] = file_.Add({name->data(), name->size()}, header, "");
  }
  if (linked_.unwind_data.empty()) return absl::OkStatus();
  // As it was linked: what is relative in it is relative to where it lies.
  ELF::Elf64_Shdr header = {};
  header.sh_type = ELF::SHT_PROGBITS;
  header.sh_flags = ELF::SHF_ALLOC;
  header.sh_addr = linked_.unwind_data.begin.value;
  header.sh_addralign = 1;
  file_.Add(".eh_frame", header,
            std::string(reinterpret_cast<const char*>(linked_.unwind_data.begin.value),
                        linked_.unwind_data.size()));
  return absl::OkStatus();
}

std::optional<uint32_t> DebugObjectMaker::SectionOf(const Elf& elf, const Symbol& symbol) const {
  auto section = elf.getSectionIndex(symbol, symbols_, large_numbers_);
  if (!section) {
    llvm::consumeError(section.takeError());
    return std::nullopt;
  }
  return *section;
}

std::optional<uint64_t> DebugObjectMaker::ValueOf(const Elf& elf, uint32_t symbol_number,
                                                  int64_t addend, uint64_t nowhere) const {
  if (symbol_number >= symbols_.size()) return std::nullopt;
  const Symbol& symbol = symbols_[symbol_number];
  const uint64_t offset = symbol.st_value + static_cast<uint64_t>(addend);
  if (symbol.st_shndx == ELF::SHN_ABS) return offset;
  const auto section = SectionOf(elf, symbol);
  if (!section) return std::nullopt;
  // 0: undefined here, or common.
  if (*section == ELF::SHN_UNDEF || *section >= sections_.size()) return nowhere;
  for (const LinkedObject::Addresses* addresses : {&linked_.sections, &linked_.elsewhere}) {
    if (const auto found = addresses->find(*section); found != addresses->end()) {
      return found->second + offset;
    }
  }
  return (sections_[*section].sh_flags & ELF::SHF_ALLOC) != 0 ? nowhere : offset;
}

bool DebugObjectMaker::Relocate(const Elf& elf, const Header& relocations, std::string_view name,
                                std::string& content) const {
  const bool ranges = name == ".debug_ranges" || name == ".debug_loc";
  auto entries = elf.relas(relocations);
  if (!entries) {
    llvm::consumeError(entries.takeError());
    return false;
  }
  for (const auto& entry : *entries) {
    size_t size = 0;
    switch (entry.getType(false)) {
      case ELF::R_X86_64_NONE:
        continue;
      case ELF::R_X86_64_64:
      case ELF::R_X86_64_DTPOFF64:
        size = 8;
        break;
      case ELF::R_X86_64_32:
      case ELF::R_X86_64_32S:
      case ELF::R_X86_64_DTPOFF32:
        size = 4;
        break;
      default:
        return false;
    }
    const auto value =
        ValueOf(elf, entry.getSymbol(false), entry.r_addend, ranges ? kNowhereInRanges : kNowhere);
    if (!value || content.size() < size || entry.r_offset > content.size() - size) return false;
    memcpy(content.data() + entry.r_offset, &*value, size);
  }
  return true;
}

absl::Status DebugObjectMaker::CollectDebugSections(const Elf& elf) {
  std::map<uint32_t, std::string> names;
  std::set<std::string> refused;
  for (uint32_t number = 0; number < sections_.size(); ++number) {
    auto name = elf.getSectionName(sections_[number]);
    if (!name) return Damaged(name.takeError());
    if (!IsDebugSection(sections_[number], {name->data(), name->size()})) continue;
    auto content = elf.getSectionContents(sections_[number]);
    if (!content) return Damaged(content.takeError());
    names[number] = name->str();
    // Several of one name are type units in groups of their own: what refers to them finds none.
    debug_.try_emplace(name->str(), content->begin(), content->end());
  }
  for (const Header& relocations : sections_) {
    if (relocations.sh_type != ELF::SHT_RELA && relocations.sh_type != kDebugRelocations) continue;
    const auto target = names.find(relocations.sh_info);
    if (target == names.end()) continue;
    std::string& content = debug_[target->second];
    if (!Relocate(elf, relocations, target->second, content)) refused.insert(target->second);
  }
  // Debug information that lacks a part of itself misleads.
  if (!refused.empty()) debug_.clear();
  return absl::OkStatus();
}

void DebugObjectMaker::AddDebugSections() {
  if (!version_.empty()) NameVersions(debug_, version_);
  for (auto& [name, content] : debug_) {
    ELF::Elf64_Shdr header = {};
    header.sh_type = ELF::SHT_PROGBITS;
    header.sh_addralign = 1;
    file_.Add(name, header, std::move(content));
  }
}

void DebugObjectMaker::AddSymbol(const Symbol& symbol, uint32_t section, std::string_view name) {
  ELF::Elf64_Sym added = {};
  added.st_name = ElfWriter::AddName(names_, name);
  added.st_info = symbol.st_info;
  added.st_other = symbol.st_other;
  added.st_shndx = placed_[section];
  added.st_value = symbol.st_value;
  added.st_size = symbol.st_size;
  // Without line tables a debugger puts a breakpoint at a function's first byte, which opening the
  // entry overwrites: what it knows then is the body.
  const bool has_lines = debug_.contains(".debug_line");
  if (!has_lines && stubs_.contains(linked_.sections.at(section) + symbol.st_value)) {
    added.st_value += kEntryStubSize;
    added.st_size -= kEntryStubSize;
  }
  const bool local = symbol.getBinding() == ELF::STB_LOCAL;
  (local ? local_symbols_ : global_symbols_).push_back(added);
}

absl::Status DebugObjectMaker::AddSymbols(const Elf& elf) {
  for (const Symbol& symbol : symbols_) {
    const auto section = SectionOf(elf, symbol);
    if (!section || !placed_.contains(*section)) continue;
    auto name = symbol.getName(symbol_names_);
    if (!name) return Damaged(name.takeError());
    if (name->empty() || name->starts_with(".L")) continue;
    if (symbol.getType() == ELF::STT_FUNC && !version_.empty()) {
      AddSymbol(symbol, *section, name->str() + "@" + std::string(version_));
    }
    AddSymbol(symbol, *section, {name->data(), name->size()});
  }
  ELF::Elf64_Shdr strings = {};
  strings.sh_type = ELF::SHT_STRTAB;
  strings.sh_addralign = 1;
  const uint16_t names_section = file_.Add(".strtab", strings, std::move(names_));
  std::vector<ELF::Elf64_Sym> all(1);
  all.insert(all.end(), local_symbols_.begin(), local_symbols_.end());
  ELF::Elf64_Shdr header = {};
  header.sh_type = ELF::SHT_SYMTAB;
  header.sh_link = names_section;
  header.sh_info = static_cast<uint32_t>(all.size());  // the first that is not local
  header.sh_entsize = sizeof(ELF::Elf64_Sym);
  header.sh_addralign = alignof(ELF::Elf64_Sym);
  all.insert(all.end(), global_symbols_.begin(), global_symbols_.end());
  file_.Add(".symtab", header,
            std::string(reinterpret_cast<const char*>(all.data()), all.size() * sizeof(all[0])));
  return absl::OkStatus();
}

absl::StatusOr<std::string> DebugObjectMaker::Make() {
  auto elf = Elf::create(llvm::StringRef(linked_.object.data(), linked_.object.size()));
  if (!elf) return Damaged(elf.takeError());
  absl::Status status = ReadTables(*elf);
  if (status.ok()) status = AddLinkedSections(*elf);
  if (status.ok()) status = CollectDebugSections(*elf);
  if (!status.ok()) return status;
  AddDebugSections();
  status = AddSymbols(*elf);
  if (!status.ok()) return status;
  return file_.Finish();
}

}  // namespace

absl::StatusOr<std::string> MakeDebugObject(const LinkedObject& linked, std::string_view version) {
  return DebugObjectMaker(linked, version).Make();
}

}  // namespace mend::jit
