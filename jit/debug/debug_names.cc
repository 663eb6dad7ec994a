#include "jit/debug/debug_names.h"

#include <cstdint>
#include <cstring>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "llvm/BinaryFormat/Dwarf.h"
#include "llvm/Support/DataExtractor.h"
#include "llvm/Support/Error.h"

namespace mend::jit {
namespace {

using llvm::DataExtractor;
namespace dwarf = llvm::dwarf;

constexpr char kInfo[] = ".debug_info";
constexpr char kAbbreviations[] = ".debug_abbrev";
constexpr char kStrings[] = ".debug_str";
constexpr char kStringOffsets[] = ".debug_str_offsets";
constexpr char kAddresses[] = ".debug_addr";
// A function's name is found over this many references from its code: from an instance to its
// abstract origin, from there to its declaration in a class.
constexpr int kReferencesMax = 4;
// Of the 32-bit format, the only one that is handled.
constexpr size_t kOffsetSize = 4;
constexpr uint32_t kLengthMax = 0xfffffff0;

struct AttributeForm {
  uint64_t attribute = 0;
  uint64_t form = 0;
};

struct Abbreviation {
  uint64_t tag = 0;
  std::vector<AttributeForm> attributes;
};
using Abbreviations = std::map<uint64_t, Abbreviation>;  // by code

DataExtractor Reader(std::string_view bytes) {
  return {llvm::StringRef(bytes.data(), bytes.size()), /*IsLittleEndian=*/true, sizeof(void*)};
}

// Reads one abbreviation; nullopt: the end of the table, or of what can be read. `places` gets
// where attributes of the kind DW_AT_linkage_name stand.
std::optional<std::pair<uint64_t, Abbreviation>> ReadAbbreviation(const DataExtractor& data,
                                                                  DataExtractor::Cursor& cursor,
                                                                  std::vector<uint64_t>* places) {
  const uint64_t code = data.getULEB128(cursor);
  if (code == 0) return std::nullopt;
  Abbreviation abbreviation;
  abbreviation.tag = data.getULEB128(cursor);
  data.getU8(cursor);  // whether it has children
  while (cursor) {
    const uint64_t place = cursor.tell();
    AttributeForm attribute;
    attribute.attribute = data.getULEB128(cursor);
    attribute.form = data.getULEB128(cursor);
    if (attribute.form == dwarf::DW_FORM_implicit_const) data.getSLEB128(cursor);
    if (attribute.attribute == 0 && attribute.form == 0) break;
    if (places != nullptr && attribute.attribute == dwarf::DW_AT_linkage_name) {
      places->push_back(place);
    }
    abbreviation.attributes.push_back(attribute);
  }
  if (!cursor) return std::nullopt;
  return std::make_pair(code, std::move(abbreviation));
}

// Where a 32-bit offset into the table of strings stands.
struct StringPlace {
  bool in_info = false;  // else in the table of string offsets
  uint64_t offset = 0;
  auto operator<=>(const StringPlace&) const = default;
};

// Reads all entries, in the order of the bytes: how they nest is of no interest.
class EntryReader {
 public:
  explicit EntryReader(const DebugSections& sections) : sections_(sections) {}

  // False when anything cannot be read.
  bool ReadAll();
  // Of names of functions that have code and share the place with nothing else.
  std::set<StringPlace> FunctionNames() const;

 private:
  struct Value {
    uint64_t attribute = 0;
    uint64_t form = 0;
    uint64_t place = 0;  // of its bytes
    uint64_t number = 0;
  };
  struct Unit {
    uint64_t begin = 0;
    dwarf::FormParams format;
    const Abbreviations* abbreviations = nullptr;
    std::optional<uint64_t> string_offsets;
    std::optional<uint64_t> addresses;
  };
  struct Function {
    bool has_code = false;
    bool has_name = false;
    std::optional<StringPlace> name;
    std::optional<uint64_t> origin;  // the entry that knows more of it
  };

  std::string_view Section(std::string_view name) const {
    const auto found = sections_.find(name);
    return found == sections_.end() ? std::string_view() : std::string_view(found->second);
  }
  const Abbreviations* AbbreviationsAt(uint64_t offset);
  bool ReadUnit(uint64_t& offset);
  bool ReadEntry(const DataExtractor& data, DataExtractor::Cursor& cursor, Unit& unit);
  bool ReadValue(const DataExtractor& data, DataExtractor::Cursor& cursor, const Unit& unit,
                 Value& value) const;
  void AddEntry(const Unit& unit, uint64_t offset, uint64_t tag, const std::vector<Value>& values);
  std::optional<StringPlace> PlaceOf(const Unit& unit, const Value& value) const;
  bool HasAddress(const Unit& unit, const Value& value) const;

  const DebugSections& sections_;
  std::map<uint64_t, Abbreviations> abbreviations_;  // by offset of the table
  std::map<uint64_t, Function> functions_;           // by offset of the entry
  std::set<StringPlace> others_;                     // what names something else
};

const Abbreviations* EntryReader::AbbreviationsAt(uint64_t offset) {
  // A cursor takes for granted that it begins within the bytes.
  if (offset > Section(kAbbreviations).size()) return nullptr;
  const auto [at, is_new] = abbreviations_.try_emplace(offset);
  if (!is_new) return &at->second;
  const DataExtractor data = Reader(Section(kAbbreviations));
  DataExtractor::Cursor cursor(offset);
  while (auto abbreviation = ReadAbbreviation(data, cursor, nullptr)) {
    at->second.insert(std::move(*abbreviation));
  }
  const bool complete = static_cast<bool>(cursor);
  llvm::consumeError(cursor.takeError());
  return complete ? &at->second : nullptr;
}

bool EntryReader::ReadAll() {
  uint64_t offset = 0;
  while (offset < Section(kInfo).size()) {
    if (!ReadUnit(offset)) return false;
  }
  return true;
}

// Leaves `offset` behind the unit.
bool EntryReader::ReadUnit(uint64_t& offset) {
  const std::string_view info = Section(kInfo);
  if (info.size() - offset < kOffsetSize) return false;
  uint32_t length = 0;
  memcpy(&length, info.data() + offset, sizeof(length));
  if (length >= kLengthMax || length > info.size() - offset - kOffsetSize) return false;
  Unit unit;
  unit.begin = offset;
  offset += kOffsetSize + length;
  // What is read of the unit does not go beyond its end.
  const DataExtractor data = Reader(info.substr(0, offset));
  DataExtractor::Cursor cursor(unit.begin + kOffsetSize);
  unit.format.Version = data.getU16(cursor);
  unit.format.Format = dwarf::DWARF32;
  uint64_t table = 0;
  if (unit.format.Version >= 5) {
    const uint8_t type = data.getU8(cursor);
    unit.format.AddrSize = data.getU8(cursor);
    table = data.getU32(cursor);
    if (type == dwarf::DW_UT_type) data.skip(cursor, sizeof(uint64_t) + kOffsetSize);
  } else {
    table = data.getU32(cursor);
    unit.format.AddrSize = data.getU8(cursor);
  }
  bool ok = static_cast<bool>(cursor) && unit.format.Version >= 2 && unit.format.Version <= 5 &&
            unit.format.AddrSize == sizeof(uint64_t);
  if (ok) unit.abbreviations = AbbreviationsAt(table);
  ok = ok && unit.abbreviations != nullptr;
  while (ok && cursor.tell() < offset) ok = ReadEntry(data, cursor, unit);
  llvm::consumeError(cursor.takeError());
  return ok;
}

bool EntryReader::ReadEntry(const DataExtractor& data, DataExtractor::Cursor& cursor, Unit& unit) {
  const uint64_t offset = cursor.tell();
  const uint64_t code = data.getULEB128(cursor);
  if (!cursor) return false;
  if (code == 0) return true;  // the end of a list of children
  const auto abbreviation = unit.abbreviations->find(code);
  if (abbreviation == unit.abbreviations->end()) return false;
  std::vector<Value> values;
  for (const AttributeForm& attribute : abbreviation->second.attributes) {
    Value value{attribute.attribute, attribute.form, cursor.tell(), 0};
    if (!ReadValue(data, cursor, unit, value)) return false;
    values.push_back(value);
    // Of the unit's own entry, the first.
    if (value.attribute == dwarf::DW_AT_str_offsets_base) unit.string_offsets = value.number;
    if (value.attribute == dwarf::DW_AT_addr_base) unit.addresses = value.number;
  }
  AddEntry(unit, offset, abbreviation->second.tag, values);
  return true;
}

bool EntryReader::ReadValue(const DataExtractor& data, DataExtractor::Cursor& cursor,
                            const Unit& unit, Value& value) const {
  const auto form = static_cast<dwarf::Form>(value.form);
  switch (form) {
    case dwarf::DW_FORM_block1:
      data.skip(cursor, data.getU8(cursor));
      break;
    case dwarf::DW_FORM_block2:
      data.skip(cursor, data.getU16(cursor));
      break;
    case dwarf::DW_FORM_block4:
      data.skip(cursor, data.getU32(cursor));
      break;
    case dwarf::DW_FORM_block:
    case dwarf::DW_FORM_exprloc:
      data.skip(cursor, data.getULEB128(cursor));
      break;
    case dwarf::DW_FORM_string:
      data.getCStrRef(cursor);
      break;
    case dwarf::DW_FORM_sdata:
      data.getSLEB128(cursor);
      break;
    case dwarf::DW_FORM_udata:
    case dwarf::DW_FORM_ref_udata:
    case dwarf::DW_FORM_strx:
    case dwarf::DW_FORM_addrx:
    case dwarf::DW_FORM_loclistx:
    case dwarf::DW_FORM_rnglistx:
      value.number = data.getULEB128(cursor);
      break;
    case dwarf::DW_FORM_strx3:
    case dwarf::DW_FORM_addrx3:
      value.number = data.getU24(cursor);
      break;
    default: {
      const auto size = dwarf::getFixedFormByteSize(form, unit.format);
      if (!size) return false;
      if (*size == 1 || *size == 2 || *size == 4 || *size == 8) {
        value.number = data.getUnsigned(cursor, *size);
      } else {
        data.skip(cursor, *size);
      }
    }
  }
  return static_cast<bool>(cursor);
}

std::optional<StringPlace> EntryReader::PlaceOf(const Unit& unit, const Value& value) const {
  switch (value.form) {
    case dwarf::DW_FORM_strp:
      return StringPlace{true, value.place};
    case dwarf::DW_FORM_strx:
    case dwarf::DW_FORM_strx1:
    case dwarf::DW_FORM_strx2:
    case dwarf::DW_FORM_strx3:
    case dwarf::DW_FORM_strx4:
      if (!unit.string_offsets || value.number > UINT32_MAX) return std::nullopt;
      return StringPlace{false, *unit.string_offsets + value.number * kOffsetSize};
    default:
      return std::nullopt;
  }
}

// What was dropped is at address 0.
bool EntryReader::HasAddress(const Unit& unit, const Value& value) const {
  if (value.form == dwarf::DW_FORM_addr) return value.number != 0;
  const std::string_view addresses = Section(kAddresses);
  if (!unit.addresses || value.number > UINT32_MAX) return false;
  const uint64_t at = *unit.addresses + value.number * sizeof(uint64_t);
  if (addresses.size() < sizeof(uint64_t) || at > addresses.size() - sizeof(uint64_t)) return false;
  uint64_t address = 0;
  memcpy(&address, addresses.data() + at, sizeof(address));
  return address != 0;
}

void EntryReader::AddEntry(const Unit& unit, uint64_t offset, uint64_t tag,
                           const std::vector<Value>& values) {
  const bool is_function = tag == dwarf::DW_TAG_subprogram;
  Function function;
  for (const Value& value : values) {
    const std::optional<StringPlace> place = PlaceOf(unit, value);
    if (is_function && value.attribute == dwarf::DW_AT_name) {
      function.has_name = true;
      function.name = place;
    } else if (place) {
      others_.insert(*place);
    }
    if (value.attribute == dwarf::DW_AT_low_pc) function.has_code = HasAddress(unit, value);
    if (value.attribute == dwarf::DW_AT_ranges) function.has_code = true;
    if (value.attribute == dwarf::DW_AT_abstract_origin ||
        value.attribute == dwarf::DW_AT_specification) {
      const bool in_unit = value.form != dwarf::DW_FORM_ref_addr;
      function.origin = value.number + (in_unit ? unit.begin : 0);
    }
  }
  if (is_function) functions_[offset] = function;
}

std::set<StringPlace> EntryReader::FunctionNames() const {
  std::set<StringPlace> names;
  for (const auto& [offset, function] : functions_) {
    if (!function.has_code) continue;
    const Function* named = &function;
    for (int i = 0; i < kReferencesMax && named != nullptr && !named->has_name; ++i) {
      const auto origin = named->origin ? functions_.find(*named->origin) : functions_.end();
      named = origin == functions_.end() ? nullptr : &origin->second;
    }
    if (named != nullptr && named->name && !others_.contains(*named->name)) {
      names.insert(*named->name);
    }
  }
  return names;
}

void Rename(const StringPlace& place, std::string_view version, DebugSections& sections) {
  const auto section = sections.find(place.in_info ? kInfo : kStringOffsets);
  if (section == sections.end() || section->second.size() < kOffsetSize ||
      place.offset > section->second.size() - kOffsetSize) {
    return;
  }
  std::string& strings = sections[kStrings];
  uint32_t offset = 0;
  memcpy(&offset, section->second.data() + place.offset, sizeof(offset));
  if (offset >= strings.size() || strings.size() > UINT32_MAX) return;
  const auto renamed = static_cast<uint32_t>(strings.size());
  memcpy(section->second.data() + place.offset, &renamed, sizeof(renamed));
  // Up to its end, which a damaged table lacks.
  const std::string name = strings.substr(offset, strings.find('\0', offset) - offset);
  absl::StrAppend(&strings, name, "@", absl::string_view(version.data(), version.size()));
  strings.push_back('\0');
}

// Turns linkage names into descriptions, in the table of abbreviations: both attributes are one
// byte and take the same forms.
void HideLinkageNames(std::string& abbreviations) {
  const DataExtractor data = Reader(abbreviations);
  DataExtractor::Cursor cursor(0);
  std::vector<uint64_t> places;
  while (cursor && cursor.tell() < abbreviations.size()) ReadAbbreviation(data, cursor, &places);
  llvm::consumeError(cursor.takeError());
  for (const uint64_t place : places) {
    char& byte = abbreviations[place];
    if (byte == dwarf::DW_AT_linkage_name) byte = dwarf::DW_AT_description;
  }
}

}  // namespace

void NameVersions(DebugSections& sections, std::string_view version) {
  if (!sections.contains(kAbbreviations) || !sections.contains(kStrings)) return;
  EntryReader entries(sections);
  if (!entries.ReadAll()) return;
  for (const StringPlace& place : entries.FunctionNames()) Rename(place, version, sections);
  HideLinkageNames(sections[kAbbreviations]);
}

}  // namespace mend::jit
