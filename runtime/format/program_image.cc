#include "runtime/format/program_image.h"

#include <elf.h>

#include <algorithm>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/format/byte_order.h"

namespace mend {
namespace {

constexpr std::string_view kMagic = "MENDPROG";
constexpr size_t kHeaderSize = 16;
constexpr size_t kRowSize = 32;
constexpr size_t kAlignment = 16;
constexpr size_t kNumberRoom = 4;
constexpr unsigned kLinkShift = 32;  // in the word that has the size of the name, too

size_t AlignUp(size_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

// The part [offset, offset + size) of `whole`, or nothing when it is not inside.
bool Slice(std::string_view whole, uint64_t offset, uint64_t size, std::string_view* part) {
  if (offset > whole.size() || size > whole.size() - offset) return false;
  *part = whole.substr(offset, size);
  return true;
}

// Copies a structure of an ELF file out: the file need not be aligned.
template <typename T>
bool ReadAt(std::string_view bytes, uint64_t offset, T* value) {
  std::string_view part;
  if (!Slice(bytes, offset, sizeof(T), &part)) return false;
  std::memcpy(value, part.data(), sizeof(T));
  return true;
}

// Copies the part to its place; where the next one is.
size_t Place(std::string_view part, size_t at, std::string& image) {
  if (!part.empty()) std::memcpy(image.data() + at, part.data(), part.size());
  return at + AlignUp(part.size());
}

bool IsModuleNameCharacter(char c) {
  return c > ' ' && c < 0x7f && std::strchr("/:,~", c) == nullptr;
}

absl::Status DamagedElf() { return absl::InvalidArgumentError("the ELF file is damaged"); }

}  // namespace

std::string SerializeProgramImage(const std::vector<ProgramObject>& objects) {
  size_t size = AlignUp(kHeaderSize + objects.size() * kRowSize);
  for (const ProgramObject& object : objects) {
    size += AlignUp(object.name.size()) + AlignUp(object.bytes.size());
  }
  std::string image(size, '\0');
  std::memcpy(image.data(), kMagic.data(), kMagic.size());
  WriteLittleEndian64(image, 8, objects.size());
  size_t row = kHeaderSize;
  size_t at = AlignUp(kHeaderSize + objects.size() * kRowSize);
  for (const ProgramObject& object : objects) {
    const uint64_t link_word = uint64_t{object.link} << kLinkShift;
    WriteLittleEndian64(image, row, at);
    WriteLittleEndian64(image, row + 8, object.name.size() | link_word);
    at = Place(object.name, at, image);
    WriteLittleEndian64(image, row + 16, at);
    WriteLittleEndian64(image, row + 24, object.bytes.size());
    at = Place(object.bytes, at, image);
    row += kRowSize;
  }
  return image;
}

absl::StatusOr<std::vector<ProgramObject>> ParseProgramImage(std::string_view image) {
  if (image.substr(0, kMagic.size()) != kMagic || image.size() < kHeaderSize) {
    return absl::InvalidArgumentError("not a program image");
  }
  const uint64_t count = ReadLittleEndian64(image, 8);
  if (count > (image.size() - kHeaderSize) / kRowSize) {
    return absl::InvalidArgumentError("the program image is cut off");
  }
  std::vector<ProgramObject> objects(count);
  for (uint64_t i = 0; i < count; ++i) {
    const size_t row = kHeaderSize + i * kRowSize;
    const uint64_t name_size = ReadLittleEndian64(image, row + 8);
    const uint64_t bytes_offset = ReadLittleEndian64(image, row + 16);
    objects[i].link = static_cast<uint32_t>(name_size >> kLinkShift);
    if (!Slice(image, ReadLittleEndian64(image, row), static_cast<uint32_t>(name_size),
               &objects[i].name) ||
        !Slice(image, bytes_offset, ReadLittleEndian64(image, row + 24), &objects[i].bytes) ||
        bytes_offset % kAlignment != 0) {
      return absl::InvalidArgumentError("the program image is cut off");
    }
  }
  return objects;
}

absl::StatusOr<std::vector<ProgramObject>> ParseHostedObjects(std::string_view image) {
  absl::StatusOr<std::vector<ProgramObject>> objects = ParseProgramImage(image);
  if (!objects.ok()) return objects;
  std::erase_if(*objects,
                [](const ProgramObject& object) { return object.name == kHeadersMember; });
  return objects;
}

absl::StatusOr<std::string_view> FindElfSection(std::string_view elf, std::string_view section) {
  Elf64_Ehdr header;
  if (!ReadAt(elf, 0, &header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
      header.e_ident[EI_CLASS] != ELFCLASS64) {
    return absl::NotFoundError("not a 64-bit ELF file");
  }
  // The gABI moves counts that do not fit into 16 bits to the first section header.
  Elf64_Shdr first;
  if (header.e_shoff == 0) return absl::NotFoundError("the ELF file has no sections");
  if (!ReadAt(elf, header.e_shoff, &first)) return DamagedElf();
  const uint64_t count = header.e_shnum != 0 ? header.e_shnum : first.sh_size;
  const uint64_t names_index = header.e_shstrndx != SHN_XINDEX ? header.e_shstrndx : first.sh_link;
  if (count > elf.size() / sizeof(Elf64_Shdr) || names_index >= count) return DamagedElf();

  Elf64_Shdr names_header;
  std::string_view names;
  if (!ReadAt(elf, header.e_shoff + names_index * sizeof(Elf64_Shdr), &names_header) ||
      !Slice(elf, names_header.sh_offset, names_header.sh_size, &names)) {
    return DamagedElf();
  }
  for (uint64_t i = 1; i < count; ++i) {
    Elf64_Shdr candidate;
    if (!ReadAt(elf, header.e_shoff + i * sizeof(Elf64_Shdr), &candidate)) return DamagedElf();
    if (candidate.sh_name >= names.size()) return DamagedElf();
    const std::string_view tail = names.substr(candidate.sh_name);
    if (tail.substr(0, tail.find('\0')) != section) continue;
    std::string_view contents;
    if (candidate.sh_type == SHT_NOBITS ||
        !Slice(elf, candidate.sh_offset, candidate.sh_size, &contents)) {
      return DamagedElf();
    }
    return contents;
  }
  return absl::NotFoundError(
      absl::StrCat("the ELF file has no section '", std::string(section), "'"));
}

std::vector<DynamicEntry> DynamicEntries(std::string_view elf) {
  std::vector<DynamicEntry> entries;
  const absl::StatusOr<std::string_view> section = FindElfSection(elf, ".dynamic");
  if (!section.ok()) return entries;
  Elf64_Dyn entry;
  for (size_t at = 0; ReadAt(*section, at, &entry) && entry.d_tag != DT_NULL; at += sizeof entry) {
    entries.push_back({entry.d_tag, entry.d_un.d_val});
  }
  return entries;
}

bool IsModuleName(std::string_view name) {
  return !name.empty() && name.size() <= kModuleNameMax && name[0] != '.' &&
         std::all_of(name.begin(), name.end(), IsModuleNameCharacter);
}

std::string GuestModuleName(std::string_view path) {
  const std::string_view file = path.substr(path.rfind('/') + 1);
  std::string name(file.substr(0, file.find(".so")));
  if (name.empty()) name = "_";
  if (name[0] == '.') name[0] = '_';
  std::replace_if(name.begin(), name.end(), [](char c) { return !IsModuleNameCharacter(c); }, '_');
  if (name.size() > kModuleNameMax) name.resize(kModuleNameMax - kNumberRoom);
  return name;
}

std::string SectionOfNames(const std::vector<std::string>& names) {
  std::string contents;
  for (const std::string& name : names) contents.append(name).push_back('\0');
  return contents;
}

std::vector<std::string> NamesInSection(std::string_view contents) {
  std::vector<std::string> names;
  while (!contents.empty()) {
    const size_t end = contents.find('\0');
    names.emplace_back(contents.substr(0, end));
    contents.remove_prefix(end == std::string_view::npos ? contents.size() : end + 1);
  }
  return names;
}

absl::StatusOr<std::string_view> FindProgramImage(std::string_view executable) {
  absl::StatusOr<std::string_view> image = FindElfSection(executable, kProgramSection);
  if (absl::IsNotFound(image.status())) {
    return absl::NotFoundError("not an executable made by patchc");
  }
  return image;
}

}  // namespace mend
