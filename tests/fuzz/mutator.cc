#include "tests/fuzz/mutator.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "runtime/format/common_text.h"
#include "runtime/format/debug_relocations.h"
#include "runtime/format/frame.h"
#include "runtime/format/object_description.h"
#include "runtime/format/patch_module.h"
#include "runtime/format/program_image.h"

namespace mend::fuzz {
namespace {

constexpr char kDescriptionMagic[] = "MENDOBJT";
constexpr size_t kObjectAlignment = 16;

Elf64_Ehdr HeaderOf(const std::string& elf) {
  Elf64_Ehdr header = {};
  std::memcpy(&header, elf.data(), std::min(elf.size(), sizeof header));
  return header;
}

struct Place {
  uint64_t header = 0;  // of the section's header in the file
  Elf64_Shdr section = {};
  std::string name;
};

std::vector<Place> SectionsOf(const std::string& elf) {
  const Elf64_Ehdr header = HeaderOf(elf);
  std::vector<Place> places;
  for (uint64_t i = 0; i < header.e_shnum; ++i) {
    Place place;
    place.header = header.e_shoff + i * sizeof(Elf64_Shdr);
    if (place.header > elf.size() || elf.size() - place.header < sizeof place.section) break;
    std::memcpy(&place.section, elf.data() + place.header, sizeof place.section);
    places.push_back(place);
  }
  if (header.e_shstrndx >= places.size()) return places;
  const Elf64_Shdr& names = places[header.e_shstrndx].section;
  for (Place& place : places) {
    const uint64_t at = names.sh_offset + place.section.sh_name;
    if (at < elf.size()) place.name = elf.c_str() + at;
  }
  return places;
}

bool IsInFile(const std::string& elf, const Elf64_Shdr& section) {
  return section.sh_type != SHT_NOBITS && section.sh_size > 0 && section.sh_offset <= elf.size() &&
         section.sh_size <= elf.size() - section.sh_offset;
}

// Puts other contents into the section, at the end of the file.
void ReplaceContents(std::string& elf, const Place& place, const std::string& contents) {
  elf.resize((elf.size() + kObjectAlignment - 1) / kObjectAlignment * kObjectAlignment);
  Elf64_Shdr section = place.section;
  section.sh_offset = elf.size();
  section.sh_size = contents.size();
  elf += contents;
  std::memcpy(elf.data() + place.header, &section, sizeof section);
}

}  // namespace

uint64_t Mutator::Number(uint64_t old) {
  static constexpr uint64_t kNumbers[] = {0,          1,          2,          3,     4,
                                          7,          8,          0x7f,       0x80,  0xff,
                                          0xfff1,     0xfff2,     0xffff,     4096,  0x7fffffff,
                                          0x80000000, 0xffffffff, ~0ull >> 1, ~0ull, 1ull << 32};
  switch (Below(6)) {
    case 0:
      return kNumbers[Below(std::size(kNumbers))];
    case 1:
      return old + Below(16);
    case 2:
      return old - Below(16);
    case 3:
      return old ^ (uint64_t{1} << Below(64));
    case 4:
      return ~old;
    default:
      return random_() >> Below(64);
  }
}

std::string Mutator::Text(std::string text) {
  switch (Below(5)) {
    case 0:
      return "";
    case 1:
      return std::string(Below(100'000), 'x');
    case 2:
      return text + std::string("/../\n\0\x1b[31m", 12);
    case 3:
      if (!text.empty()) text[Below(text.size())] = static_cast<char>(random_() % 128);
      return text;
    default:
      return text.substr(0, Below(text.size() + 1));
  }
}

void Mutator::ChangeField(std::string& bytes, uint64_t offset, size_t size) {
  if (offset > bytes.size() || bytes.size() - offset < size) return;
  uint64_t number = 0;
  std::memcpy(&number, bytes.data() + offset, size);
  number = Number(number);
  std::memcpy(bytes.data() + offset, &number, size);
}

void Mutator::ChangeHeader(std::string& object) {
  static constexpr std::pair<size_t, size_t> kFields[] = {{offsetof(Elf64_Ehdr, e_type), 2},
                                                          {offsetof(Elf64_Ehdr, e_machine), 2},
                                                          {offsetof(Elf64_Ehdr, e_shoff), 8},
                                                          {offsetof(Elf64_Ehdr, e_shentsize), 2},
                                                          {offsetof(Elf64_Ehdr, e_shnum), 2},
                                                          {offsetof(Elf64_Ehdr, e_shstrndx), 2},
                                                          {EI_CLASS, 1},
                                                          {EI_DATA, 1}};
  const auto [offset, size] = kFields[Below(std::size(kFields))];
  ChangeField(object, offset, size);
}

void Mutator::ChangeSection(std::string& object) {
  static constexpr std::pair<size_t, size_t> kFields[] = {
      {offsetof(Elf64_Shdr, sh_name), 4},      {offsetof(Elf64_Shdr, sh_type), 4},
      {offsetof(Elf64_Shdr, sh_flags), 8},     {offsetof(Elf64_Shdr, sh_addr), 8},
      {offsetof(Elf64_Shdr, sh_offset), 8},    {offsetof(Elf64_Shdr, sh_size), 8},
      {offsetof(Elf64_Shdr, sh_link), 4},      {offsetof(Elf64_Shdr, sh_info), 4},
      {offsetof(Elf64_Shdr, sh_addralign), 8}, {offsetof(Elf64_Shdr, sh_entsize), 8}};
  const std::vector<Place> places = SectionsOf(object);
  if (places.empty()) return;
  const auto [offset, size] = kFields[Below(std::size(kFields))];
  const uint64_t header = places[Below(places.size())].header;
  if (offset == offsetof(Elf64_Shdr, sh_name) && Below(2) == 0) {
    // Another section's name.
    std::memcpy(object.data() + header, object.data() + places[Below(places.size())].header, 4);
    return;
  }
  if (offset == offsetof(Elf64_Shdr, sh_type) && Below(2) == 0) {
    static constexpr uint32_t kTypes[] = {SHT_NULL,          SHT_NOBITS,       SHT_PROGBITS,
                                          SHT_RELA,          SHT_SYMTAB,       SHT_INIT_ARRAY + 7,
                                          SHT_X86_64_UNWIND, kDebugRelocations};
    std::memcpy(object.data() + header + offset, &kTypes[Below(std::size(kTypes))], 4);
    return;
  }
  ChangeField(object, header + offset, size);
}

void Mutator::ChangeRow(std::string& object) {
  std::vector<Place> tables;
  for (Place& place : SectionsOf(object)) {
    const uint32_t type = place.section.sh_type;
    const bool is_table = type == SHT_SYMTAB || type == SHT_RELA || type == kDebugRelocations;
    if (is_table && IsInFile(object, place.section)) tables.push_back(place);
  }
  if (tables.empty()) return;
  const Elf64_Shdr& table = tables[Below(tables.size())].section;
  if (table.sh_type == SHT_SYMTAB) {
    static constexpr std::pair<size_t, size_t> kFields[] = {
        {offsetof(Elf64_Sym, st_name), 4},  {offsetof(Elf64_Sym, st_info), 1},
        {offsetof(Elf64_Sym, st_other), 1}, {offsetof(Elf64_Sym, st_shndx), 2},
        {offsetof(Elf64_Sym, st_value), 8}, {offsetof(Elf64_Sym, st_size), 8}};
    const uint64_t row =
        table.sh_offset + Below(table.sh_size / sizeof(Elf64_Sym)) * sizeof(Elf64_Sym);
    const auto [offset, size] = kFields[Below(std::size(kFields))];
    ChangeField(object, row + offset, size);
  } else {
    static constexpr std::pair<size_t, size_t> kFields[] = {
        {0, 8}, {8, 4}, {12, 4}, {16, 8}};  // offset, type, symbol, addend
    const uint64_t row =
        table.sh_offset + Below(table.sh_size / sizeof(Elf64_Rela)) * sizeof(Elf64_Rela);
    const auto [offset, size] = kFields[Below(std::size(kFields))];
    ChangeField(object, row + offset, size);
  }
}

void Mutator::ChangeContents(std::string& object) {
  std::vector<Place> read;
  for (Place& place : SectionsOf(object)) {
    const bool is_run = (place.section.sh_flags & SHF_EXECINSTR) != 0;
    const bool is_unwind = place.name.find("eh_frame") != std::string::npos;
    if (IsInFile(object, place.section) && !is_run && (is_unwind || Below(3) == 0)) {
      read.push_back(place);
    }
  }
  if (read.empty()) return;
  const Elf64_Shdr& section = read[Below(read.size())].section;
  static constexpr size_t kSizes[] = {1, 1, 2, 4, 4, 8};
  const size_t size = kSizes[Below(std::size(kSizes))];
  uint64_t at = Below(section.sh_size);
  if (Below(2) == 0) at = at / size * size;
  ChangeField(object, section.sh_offset + at, size);
}

void Mutator::ChangeDescription(std::string& object) {
  for (const Place& place : SectionsOf(object)) {
    if (place.name != kObjectSection || !IsInFile(object, place.section)) continue;
    const std::string_view frame(object.data() + place.section.sh_offset, place.section.sh_size);
    auto bytes = UnwrapFrame(kDescriptionMagic, frame, kCommonText);
    if (!bytes.ok() || bytes->empty()) return;
    for (uint64_t i = 0; i <= Below(3); ++i) {
      // Lengths and counts are at the front, or anywhere.
      const uint64_t bound = Below(2) == 0 ? 16 : bytes->size();
      const uint64_t at = Below(std::min<uint64_t>(bound, bytes->size()));
      (*bytes)[at] = static_cast<char>(Number(static_cast<uint8_t>((*bytes)[at])));
    }
    if (Below(8) == 0) bytes->resize(Below(bytes->size()));
    ReplaceContents(object, place,
                    WrapFrameOfParts(kDescriptionMagic, {*bytes}, kFrameLevelFast, kCommonText));
    return;
  }
}

std::string Mutator::Object(std::string object) {
  for (uint64_t i = 0; i <= Below(3); ++i) {
    switch (Below(16)) {
      case 0:
        ChangeHeader(object);
        break;
      case 1:
        object.resize(Below(object.size() + 1));
        break;
      case 2:
        ChangeDescription(object);
        break;
      case 3:
      case 4:
      case 5:
        ChangeSection(object);
        break;
      case 6:
      case 7:
      case 8:
        ChangeContents(object);
        break;
      default:
        ChangeRow(object);
    }
  }
  return object;
}

std::string Mutator::PatchModuleFile(const std::string& file) {
  absl::StatusOr<PatchModule> module = ParsePatchModule(file);
  if (!module.ok()) return file;
  if (Below(4) != 0) {
    if (module->is_explicit()) {
      ExplicitObject& object = module->objects[Below(module->objects.size())];
      object.bytes = Object(std::move(object.bytes));
    } else {
      PatchUnit& unit = module->units[Below(module->units.size())];
      unit.object = Object(std::move(unit.object));
    }
    return SerializePatchModule(*module);
  }
  for (uint64_t i = 0; i <= Below(2); ++i) {
    if (Below(6) == 0) module->name = Text(module->name);
    if (Below(6) == 0) module->replace_set = Text(module->replace_set);
    if (Below(6) == 0) module->hold.push_back(Text("plugin:twice,1"));
    if (Below(6) == 0) module->changed_layouts.push_back(Text("struct record"));
    if (module->is_explicit()) {
      if (Below(3) == 0) module->objects.push_back(module->objects.front());
      if (Below(3) == 0) module->objects.front().name = Text(module->objects.front().name);
      continue;
    }
    PatchUnit& unit = module->units[Below(module->units.size())];
    if (Below(6) == 0) unit.unit = Text(unit.unit);
    if (Below(6) == 0) unit.module = Text("plugin");
    if (Below(4) == 0 && !unit.functions.empty()) {
      PatchedFunction& function = unit.functions[Below(unit.functions.size())];
      if (Below(3) == 0) function.name = Text(function.name);
      if (Below(3) == 0) function.binding = static_cast<Binding>(Below(3));
      if (Below(3) == 0) function.position = static_cast<unsigned>(Number(function.position));
      if (Below(3) == 0) function.base_fingerprint = Text(function.base_fingerprint);
    }
    if (Below(4) == 0 && !unit.functions.empty()) unit.functions.push_back(unit.functions.front());
    if (Below(4) == 0 && !unit.functions.empty()) {
      unit.new_functions.push_back(unit.functions.front().name);
    }
    if (Below(4) == 0 && !unit.new_data.empty()) unit.new_functions.push_back(unit.new_data.back());
    if (Below(4) == 0) unit.new_data.push_back(Text(kLivepatchPointer));
    if (Below(4) == 0 && !unit.new_functions.empty()) unit.new_data = unit.new_functions;
    if (Below(6) == 0) unit.functions.clear();
    if (Below(4) == 0) module->units.push_back(unit);
  }
  return SerializePatchModule(*module);
}

std::string Mutator::ImageFile(const std::string& file, const char* section) {
  std::string changed = file;
  const std::vector<Place> places = SectionsOf(file);
  const auto place =
      std::find_if(places.begin(), places.end(), [&](const Place& p) { return p.name == section; });
  if (place == places.end() || Below(8) == 0) {
    ChangeSection(changed);
    return changed;
  }
  std::string image = file.substr(place->section.sh_offset, place->section.sh_size);
  if (Below(6) == 0) {
    // Rows of offsets and sizes are at the front.
    ChangeField(image, Below(20) * 8, 8);
    ReplaceContents(changed, *place, image);
    return changed;
  }
  const auto objects = ParseProgramImage(image);
  if (!objects.ok() || objects->empty()) return file;
  std::vector<ProgramObject> members = *objects;
  ProgramObject& member = members[Below(members.size())];
  const std::string bytes = Object(std::string(member.bytes));
  member.bytes = bytes;
  ReplaceContents(changed, *place, SerializeProgramImage(members));
  return changed;
}

}  // namespace mend::fuzz
