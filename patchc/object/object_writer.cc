#include "patchc/object/object_writer.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "runtime/format/debug_relocations.h"
#include "runtime/format/object_description.h"

namespace mend::patchc {
namespace {

// The section headers of an ELF relocatable, checked against the size of the file.
class ElfSections {
 public:
  static absl::StatusOr<ElfSections> Read(std::string_view object) {
    ElfSections elf;
    elf.object_ = object;
    if (!ReadAt(object, 0, &elf.header_) ||
        std::memcmp(elf.header_.e_ident, ELFMAG, SELFMAG) != 0 ||
        elf.header_.e_ident[EI_CLASS] != ELFCLASS64 ||
        elf.header_.e_ident[EI_DATA] != ELFDATA2LSB || elf.header_.e_type != ET_REL ||
        elf.header_.e_machine != EM_X86_64) {
      return absl::InvalidArgumentError("not an x86-64 ELF relocatable");
    }
    Elf64_Shdr first{};
    if (elf.header_.e_shentsize != sizeof(Elf64_Shdr) ||
        !ReadAt(object, elf.header_.e_shoff, &first)) {
      return absl::InvalidArgumentError("the ELF relocatable has no section headers");
    }
    // Many sections: their number and the names' index are in the first header.
    const uint64_t count = elf.header_.e_shnum != 0 ? elf.header_.e_shnum : first.sh_size;
    elf.names_index_ =
        elf.header_.e_shstrndx != SHN_XINDEX ? elf.header_.e_shstrndx : first.sh_link;
    if (count > object.size() / sizeof(Elf64_Shdr) || elf.names_index_ >= count) {
      return absl::InvalidArgumentError("the ELF relocatable is damaged");
    }
    elf.sections_.resize(count);
    for (uint64_t i = 0; i < count; ++i) {
      if (!ReadAt(object, elf.header_.e_shoff + i * sizeof(Elf64_Shdr), &elf.sections_[i])) {
        return absl::InvalidArgumentError("the ELF relocatable is cut off");
      }
    }
    return elf;
  }

  const Elf64_Ehdr& header() const { return header_; }
  const std::vector<Elf64_Shdr>& sections() const { return sections_; }
  uint64_t names_index() const { return names_index_; }

  absl::StatusOr<std::string_view> Contents(const Elf64_Shdr& section) const {
    if (section.sh_offset > object_.size() ||
        section.sh_size > object_.size() - section.sh_offset) {
      return absl::InvalidArgumentError("a section of the ELF relocatable is cut off");
    }
    return object_.substr(section.sh_offset, section.sh_size);
  }

 private:
  template <typename T>
  static bool ReadAt(std::string_view bytes, uint64_t offset, T* value) {
    if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return false;
    std::memcpy(value, bytes.data() + offset, sizeof(T));
    return true;
  }

  std::string_view object_;
  Elf64_Ehdr header_{};
  std::vector<Elf64_Shdr> sections_;
  uint64_t names_index_ = 0;
};

void AlignTo(std::string& bytes, uint64_t alignment) {
  bytes.resize((bytes.size() + alignment - 1) / alignment * alignment, '\0');
}

template <typename T>
void WriteAt(std::string& bytes, uint64_t offset, const T& value) {
  std::memcpy(bytes.data() + offset, &value, sizeof(T));
}

bool IsThreadLocalRelocation(uint32_t type) {
  switch (type) {
    case R_X86_64_DTPMOD64:
    case R_X86_64_DTPOFF64:
    case R_X86_64_TPOFF64:
    case R_X86_64_TLSGD:
    case R_X86_64_TLSLD:
    case R_X86_64_DTPOFF32:
    case R_X86_64_GOTTPOFF:
    case R_X86_64_TPOFF32:
    case R_X86_64_GOTPC32_TLSDESC:
    case R_X86_64_TLSDESC_CALL:
    case R_X86_64_TLSDESC:
      return true;
    default:
      return false;
  }
}

// Clears the type of the offset symbols of a symbol table and marks them in `is_offset`.
absl::Status RetypeOffsetSymbols(const ElfSections& elf, const Elf64_Shdr& table,
                                 std::string& object, std::vector<bool>& is_offset) {
  absl::StatusOr<std::string_view> symbols = elf.Contents(table);
  if (!symbols.ok()) return symbols.status();
  if (table.sh_link >= elf.sections().size()) {
    return absl::InvalidArgumentError("the ELF relocatable is damaged");
  }
  absl::StatusOr<std::string_view> names = elf.Contents(elf.sections()[table.sh_link]);
  if (!names.ok()) return names.status();
  const size_t count = symbols->size() / sizeof(Elf64_Sym);
  is_offset.assign(count, false);
  for (size_t i = 0; i < count; ++i) {
    Elf64_Sym symbol;
    std::memcpy(&symbol, symbols->data() + i * sizeof(symbol), sizeof(symbol));
    if (symbol.st_name >= names->size() ||
        !absl::StartsWith(std::string(names->substr(symbol.st_name, sizeof(kTlsOffsetPrefix))),
                          kTlsOffsetPrefix)) {
      continue;
    }
    is_offset[i] = true;
    symbol.st_info =
        static_cast<unsigned char>(ELF64_ST_INFO(ELF64_ST_BIND(symbol.st_info), STT_NOTYPE));
    WriteAt(object, table.sh_offset + i * sizeof(symbol), symbol);
  }
  return absl::OkStatus();
}

// A section on its way into another file.
struct Part {
  Elf64_Shdr header{};
  std::string contents;  // empty for SHT_NOBITS, which keeps its size
};

constexpr char kDebugPrefix[] = ".debug_";
constexpr char kEntryLists[] = "__patchable_function_entries";
constexpr Elf64_Off kBehindAll = ~Elf64_Off{0};
// In memory a section may need more; in the file nobody does.
constexpr uint64_t kFileAlignmentMax = 4096;

absl::Status Damaged() { return absl::InvalidArgumentError("the ELF relocatable is damaged"); }

std::string_view NameIn(std::string_view names, const Elf64_Shdr& header) {
  if (header.sh_name >= names.size()) return {};
  const std::string_view tail = names.substr(header.sh_name);
  return tail.substr(0, tail.find('\0'));
}

absl::StatusOr<std::vector<Part>> PartsOf(const ElfSections& elf, size_t file_size) {
  std::vector<Part> parts(elf.sections().size());
  size_t total = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    parts[i].header = elf.sections()[i];
    // The first one is no section; its fields may have another meaning.
    if (i == 0 || parts[i].header.sh_type == SHT_NOBITS) continue;
    absl::StatusOr<std::string_view> contents = elf.Contents(parts[i].header);
    if (!contents.ok()) return contents.status();
    total += contents->size();
    // Copies of sections that overlap would be larger than the file, without limit.
    if (total > file_size) return Damaged();
    parts[i].contents = *contents;
  }
  return parts;
}

// The sections one behind the other, in the order that they have in the file by their offsets; then
// the names and the headers. What lay between them is left behind: compilers write the headers
// last, so whoever appends would else keep two tables of them.
std::string Assemble(Elf64_Ehdr header, std::vector<Part> parts, uint64_t names_index) {
  parts[names_index].header.sh_offset = kBehindAll;
  std::vector<size_t> order;
  for (size_t i = 1; i < parts.size(); ++i) {
    if (i != names_index) order.push_back(i);
  }
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::pair(parts[a].header.sh_offset, a) < std::pair(parts[b].header.sh_offset, b);
  });
  order.push_back(names_index);
  std::string bytes(sizeof(Elf64_Ehdr), '\0');
  for (const size_t i : order) {
    Elf64_Shdr& section = parts[i].header;
    AlignTo(bytes, std::clamp<uint64_t>(section.sh_addralign, 1, kFileAlignmentMax));
    section.sh_offset = bytes.size();
    if (section.sh_type != SHT_NOBITS) section.sh_size = parts[i].contents.size();
    bytes += parts[i].contents;
  }
  AlignTo(bytes, alignof(Elf64_Shdr));
  header.e_shoff = bytes.size();
  // Numbers that do not fit are in the first header.
  const bool is_many = parts.size() >= SHN_LORESERVE;
  header.e_shnum = is_many ? Elf64_Half{0} : static_cast<Elf64_Half>(parts.size());
  parts[0].header.sh_size = is_many ? parts.size() : 0;
  const bool is_far = names_index >= SHN_LORESERVE;
  header.e_shstrndx = is_far ? Elf64_Half{SHN_XINDEX} : static_cast<Elf64_Half>(names_index);
  parts[0].header.sh_link = is_far ? static_cast<Elf64_Word>(names_index) : 0;
  WriteAt(bytes, 0, header);
  bytes.resize(bytes.size() + parts.size() * sizeof(Elf64_Shdr));
  for (size_t i = 0; i < parts.size(); ++i) {
    WriteAt(bytes, header.e_shoff + i * sizeof(Elf64_Shdr), parts[i].header);
  }
  return bytes;
}

// Which sections are lists of patchable entries, and relocations of those. None, when a symbol lies
// in one of them.
absl::StatusOr<std::vector<bool>> EntryListsOf(const ElfSections& elf) {
  const std::vector<Elf64_Shdr>& sections = elf.sections();
  absl::StatusOr<std::string_view> names = elf.Contents(sections[elf.names_index()]);
  if (!names.ok()) return names.status();
  std::vector<bool> goes(sections.size(), false);
  for (size_t i = 1; i < sections.size(); ++i) goes[i] = NameIn(*names, sections[i]) == kEntryLists;
  for (size_t i = 1; i < sections.size(); ++i) {
    const Elf64_Shdr& section = sections[i];
    if (section.sh_type == SHT_RELA && section.sh_info < goes.size() && goes[section.sh_info]) {
      goes[i] = true;
    }
  }
  for (const Elf64_Shdr& section : sections) {
    if (section.sh_type != SHT_SYMTAB) continue;
    absl::StatusOr<std::string_view> symbols = elf.Contents(section);
    if (!symbols.ok()) return symbols.status();
    for (size_t at = 0; at + sizeof(Elf64_Sym) <= symbols->size(); at += sizeof(Elf64_Sym)) {
      Elf64_Sym symbol;
      std::memcpy(&symbol, symbols->data() + at, sizeof(symbol));
      if (symbol.st_shndx < goes.size() && goes[symbol.st_shndx]) {
        return std::vector<bool>(goes.size(), false);
      }
    }
  }
  return goes;
}

// The sections' numbers when some of them are gone.
class Renumbering {
 public:
  explicit Renumbering(const std::vector<bool>& goes) {
    uint32_t next = 0;
    for (const bool is_gone : goes) {
      numbers_.push_back(is_gone ? std::optional<uint32_t>() : next);
      if (!is_gone) ++next;
    }
  }

  // nullopt: it is gone, or there is none of that number.
  std::optional<uint32_t> Of(uint64_t number) const {
    return number < numbers_.size() ? numbers_[number] : std::nullopt;
  }

  // Changes every number of a section that a section contains, or has in its header.
  absl::Status Apply(Part& part) const {
    Elf64_Shdr& header = part.header;
    const bool has_section_in_info = header.sh_type == SHT_RELA || header.sh_type == SHT_REL ||
                                     header.sh_type == kDebugRelocations ||
                                     (header.sh_flags & SHF_INFO_LINK) != 0;
    if (!Change(header.sh_link) || (has_section_in_info && !Change(header.sh_info))) {
      return Damaged();
    }
    switch (header.sh_type) {
      case SHT_SYMTAB:
        return ApplyToSymbols(part.contents);
      case SHT_SYMTAB_SHNDX:
        // As many as there are symbols.
        return ApplyToWords(part.contents, 0, /*may_lose_words=*/false);
      case SHT_GROUP:
        // Flags come first.
        return ApplyToWords(part.contents, sizeof(Elf64_Word), /*may_lose_words=*/true);
      default:
        return absl::OkStatus();
    }
  }

 private:
  bool Change(Elf64_Word& number) const {
    const std::optional<uint32_t> changed = Of(number);
    if (changed) number = *changed;
    return changed.has_value();
  }

  absl::Status ApplyToSymbols(std::string& symbols) const {
    for (size_t at = 0; at + sizeof(Elf64_Sym) <= symbols.size(); at += sizeof(Elf64_Sym)) {
      Elf64_Sym symbol;
      std::memcpy(&symbol, symbols.data() + at, sizeof(symbol));
      if (symbol.st_shndx >= SHN_LORESERVE) continue;
      const std::optional<uint32_t> number = Of(symbol.st_shndx);
      if (!number) return Damaged();
      symbol.st_shndx = static_cast<Elf64_Section>(*number);
      WriteAt(symbols, at, symbol);
    }
    return absl::OkStatus();
  }

  absl::Status ApplyToWords(std::string& words, size_t begin, bool may_lose_words) const {
    std::string changed = words.substr(0, begin);
    for (size_t at = begin; at + sizeof(Elf64_Word) <= words.size(); at += sizeof(Elf64_Word)) {
      Elf64_Word word;
      std::memcpy(&word, words.data() + at, sizeof(word));
      if (word >= numbers_.size()) return Damaged();
      if (!Change(word)) {
        if (may_lose_words) continue;
        return Damaged();
      }
      changed.append(reinterpret_cast<const char*>(&word), sizeof(word));
    }
    words = std::move(changed);
    return absl::OkStatus();
  }

  std::vector<std::optional<uint32_t>> numbers_;
};

}  // namespace

absl::Status ResolveThreadOffsets(std::string& object) {
  // The headers are read once; what changes below is inside of sections.
  const std::string original = object;
  absl::StatusOr<ElfSections> elf = ElfSections::Read(original);
  if (!elf.ok()) return elf.status();
  std::vector<bool> is_offset;
  for (const Elf64_Shdr& section : elf->sections()) {
    if (section.sh_type != SHT_SYMTAB) continue;
    absl::Status status = RetypeOffsetSymbols(*elf, section, object, is_offset);
    if (!status.ok()) return status;
  }
  for (const Elf64_Shdr& section : elf->sections()) {
    if (section.sh_type != SHT_RELA) continue;
    absl::StatusOr<std::string_view> contents = elf->Contents(section);
    if (!contents.ok()) return contents.status();
    for (size_t at = 0; at + sizeof(Elf64_Rela) <= contents->size(); at += sizeof(Elf64_Rela)) {
      Elf64_Rela relocation;
      std::memcpy(&relocation, contents->data() + at, sizeof(relocation));
      const uint64_t symbol = ELF64_R_SYM(relocation.r_info);
      if (ELF64_R_TYPE(relocation.r_info) != R_X86_64_TPOFF32 || symbol >= is_offset.size() ||
          !is_offset[symbol]) {
        continue;
      }
      relocation.r_info = ELF64_R_INFO(symbol, R_X86_64_32S);
      WriteAt(object, section.sh_offset + at, relocation);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> AppendSections(std::string_view object,
                                           const std::vector<NewSection>& sections) {
  absl::StatusOr<ElfSections> elf = ElfSections::Read(object);
  if (!elf.ok()) return elf.status();
  absl::StatusOr<std::vector<Part>> parts = PartsOf(*elf, object.size());
  if (!parts.ok()) return parts.status();
  std::string& names = (*parts)[elf->names_index()].contents;
  std::vector<Part> added;
  for (const NewSection& section : sections) {
    Part part;
    part.header.sh_name = static_cast<Elf64_Word>(names.size());
    part.header.sh_type = SHT_PROGBITS;
    part.header.sh_flags = section.flags;
    part.header.sh_offset = kBehindAll;
    part.header.sh_addralign = section.alignment;
    part.contents = section.contents;
    names.append(section.name).push_back('\0');
    added.push_back(std::move(part));
  }
  std::move(added.begin(), added.end(), std::back_inserter(*parts));
  return Assemble(elf->header(), *std::move(parts), elf->names_index());
}

absl::StatusOr<std::string> RemoveEntryLists(std::string_view object) {
  absl::StatusOr<ElfSections> elf = ElfSections::Read(object);
  if (!elf.ok()) return elf.status();
  absl::StatusOr<std::vector<bool>> goes = EntryListsOf(*elf);
  if (!goes.ok()) return goes.status();
  if (std::find(goes->begin(), goes->end(), true) == goes->end()) return std::string(object);
  absl::StatusOr<std::vector<Part>> parts = PartsOf(*elf, object.size());
  if (!parts.ok()) return parts.status();
  const Renumbering numbers(*goes);
  std::vector<Part> kept;
  for (size_t i = 0; i < parts->size(); ++i) {
    if ((*goes)[i]) continue;
    if (absl::Status renumbered = numbers.Apply((*parts)[i]); !renumbered.ok()) return renumbered;
    kept.push_back(std::move((*parts)[i]));
  }
  const std::optional<uint32_t> names = numbers.Of(elf->names_index());
  if (!names) return Damaged();
  return Assemble(elf->header(), std::move(kept), *names);
}

std::string EmptyObject() {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_REL;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_ehsize = sizeof(Elf64_Ehdr);
  header.e_shentsize = sizeof(Elf64_Shdr);
  Part names;
  names.header.sh_name = 1;
  names.header.sh_type = SHT_STRTAB;
  names.header.sh_addralign = 1;
  names.contents = std::string("\0.shstrtab\0", 11);
  return Assemble(header, {Part(), std::move(names)}, 1);
}

absl::StatusOr<std::string> RemoveSection(std::string_view object, std::string_view name) {
  absl::StatusOr<ElfSections> elf = ElfSections::Read(object);
  if (!elf.ok()) return elf.status();
  absl::StatusOr<std::vector<Part>> parts = PartsOf(*elf, object.size());
  if (!parts.ok()) return parts.status();
  const std::string& names = (*parts)[elf->names_index()].contents;
  const auto found = std::find_if(parts->begin(), parts->end(), [&](const Part& part) {
    return NameIn(names, part.header) == name;
  });
  if (found == parts->end()) return std::string(object);
  found->contents.clear();
  return Assemble(elf->header(), *std::move(parts), elf->names_index());
}

absl::Status SetDebugRelocationsAside(std::string& object) {
  absl::StatusOr<ElfSections> elf = ElfSections::Read(object);
  if (!elf.ok()) return elf.status();
  const std::vector<Elf64_Shdr>& sections = elf->sections();
  absl::StatusOr<std::string_view> names = elf->Contents(sections[elf->names_index()]);
  if (!names.ok()) return names.status();
  for (size_t i = 1; i < sections.size(); ++i) {
    Elf64_Shdr header = sections[i];
    if (header.sh_type != SHT_RELA || header.sh_info >= sections.size() ||
        !NameIn(*names, sections[header.sh_info]).starts_with(kDebugPrefix)) {
      continue;
    }
    header.sh_type = kDebugRelocations;
    WriteAt(object, elf->header().e_shoff + i * sizeof(header), header);
  }
  return absl::OkStatus();
}

absl::Status CheckHostable(std::string_view object, std::string_view name) {
  absl::StatusOr<ElfSections> elf = ElfSections::Read(object);
  if (!elf.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(std::string(name), ": ", elf.status().message()));
  }
  for (const Elf64_Shdr& section : elf->sections()) {
    if ((section.sh_flags & SHF_TLS) != 0) {
      return absl::UnimplementedError(
          absl::StrCat(std::string(name),
                       ": defines thread-local variables but was not compiled by patchc; "
                       "compile it with patchc cc"));
    }
    if (section.sh_type != SHT_RELA || section.sh_info >= elf->sections().size() ||
        (elf->sections()[section.sh_info].sh_flags & SHF_ALLOC) == 0) {
      continue;
    }
    absl::StatusOr<std::string_view> contents = elf->Contents(section);
    if (!contents.ok()) return contents.status();
    for (size_t at = 0; at + sizeof(Elf64_Rela) <= contents->size(); at += sizeof(Elf64_Rela)) {
      Elf64_Rela relocation;
      std::memcpy(&relocation, contents->data() + at, sizeof(relocation));
      if (!IsThreadLocalRelocation(ELF64_R_TYPE(relocation.r_info))) continue;
      return absl::UnimplementedError(absl::StrCat(
          std::string(name),
          ": accesses thread-local storage in a way that cannot be hosted "
          "(relocation type ",
          ELF64_R_TYPE(relocation.r_info),
          "): assembler, or not compiled by patchc; compile it with patchc, or link it as "
          "a shared library"));
    }
  }
  return absl::OkStatus();
}

}  // namespace mend::patchc
