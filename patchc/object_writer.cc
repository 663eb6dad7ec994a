#include "patchc/object_writer.h"

#include <elf.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
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
  std::vector<Elf64_Shdr> headers = elf->sections();
  absl::StatusOr<std::string_view> old_names = elf->Contents(headers[elf->names_index()]);
  if (!old_names.ok()) return old_names.status();

  std::string bytes(object);
  std::string names(*old_names);
  for (const NewSection& section : sections) {
    AlignTo(bytes, std::max<uint64_t>(section.alignment, 1));
    Elf64_Shdr header{};
    header.sh_name = static_cast<Elf64_Word>(names.size());
    header.sh_type = SHT_PROGBITS;
    header.sh_flags = section.flags;
    header.sh_offset = bytes.size();
    header.sh_size = section.contents.size();
    header.sh_addralign = section.alignment;
    headers.push_back(header);
    names.append(section.name).push_back('\0');
    bytes.append(section.contents);
  }
  headers[elf->names_index()].sh_offset = bytes.size();
  headers[elf->names_index()].sh_size = names.size();
  bytes.append(names);
  AlignTo(bytes, alignof(Elf64_Shdr));

  Elf64_Ehdr header = elf->header();
  header.e_shoff = bytes.size();
  if (headers.size() < SHN_LORESERVE) {
    header.e_shnum = static_cast<Elf64_Half>(headers.size());
  } else {
    header.e_shnum = 0;
    headers[0].sh_size = headers.size();
  }
  WriteAt(bytes, 0, header);
  bytes.resize(bytes.size() + headers.size() * sizeof(Elf64_Shdr));
  for (size_t i = 0; i < headers.size(); ++i) {
    WriteAt(bytes, header.e_shoff + i * sizeof(Elf64_Shdr), headers[i]);
  }
  return bytes;
}

absl::StatusOr<std::string> RemoveSection(std::string_view object, std::string_view name) {
  absl::StatusOr<ElfSections> elf = ElfSections::Read(object);
  if (!elf.ok()) return elf.status();
  std::vector<Elf64_Shdr> headers = elf->sections();
  absl::StatusOr<std::string_view> names = elf->Contents(headers[elf->names_index()]);
  if (!names.ok()) return names.status();
  const auto found = std::find_if(headers.begin(), headers.end(), [&](const Elf64_Shdr& header) {
    return header.sh_name < names->size() &&
           std::string_view(names->data() + header.sh_name) == name;
  });
  if (found == headers.end()) return std::string(object);
  if (absl::StatusOr<std::string_view> contents = elf->Contents(*found); !contents.ok()) {
    return contents.status();
  }
  const uint64_t begin = found->sh_offset;
  // What follows keeps its alignment.
  uint64_t alignment = alignof(Elf64_Shdr);
  for (const Elf64_Shdr& header : headers) {
    if (header.sh_offset > begin) alignment = std::max(alignment, header.sh_addralign);
  }
  const uint64_t removed = found->sh_size / alignment * alignment;
  std::string bytes(object);
  std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(begin), found->sh_size, '\0');
  bytes.erase(begin, removed);
  found->sh_size = 0;
  for (Elf64_Shdr& header : headers) {
    if (header.sh_offset > begin) header.sh_offset -= removed;
  }
  Elf64_Ehdr header = elf->header();
  if (header.e_shoff > begin) header.e_shoff -= removed;
  WriteAt(bytes, 0, header);
  for (size_t i = 0; i < headers.size(); ++i) {
    WriteAt(bytes, header.e_shoff + i * sizeof(Elf64_Shdr), headers[i]);
  }
  return bytes;
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
      return absl::UnimplementedError(
          absl::StrCat(std::string(name),
                       ": accesses thread-local storage in a way that cannot be hosted "
                       "(relocation type ",
                       ELF64_R_TYPE(relocation.r_info), "): assembler, or not compiled by patchc"));
    }
  }
  return absl::OkStatus();
}

}  // namespace mend::patchc
