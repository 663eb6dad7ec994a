#include "patchc/compare/layout.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "absl/strings/str_cat.h"

namespace mend::patchc {
namespace {

// What has to stay: where there are members, and how large they are.
std::vector<std::pair<uint64_t, uint64_t>> Places(const RecordDescription& record) {
  std::vector<std::pair<uint64_t, uint64_t>> places;
  for (const FieldDescription& field : record.fields) {
    places.emplace_back(field.offset_bits, field.size_bits);
  }
  return places;
}

// The first member that tells the two apart, in words.
std::string FirstDifference(const RecordDescription& base, const RecordDescription& edited) {
  std::map<std::string, const FieldDescription*> old_fields;
  for (const FieldDescription& field : base.fields) old_fields[field.name] = &field;
  for (const FieldDescription& field : edited.fields) {
    const auto found = old_fields.find(field.name);
    if (found == old_fields.end()) {
      return absl::StrCat("member '", field.name, "' was added at offset ", field.offset_bits / 8);
    }
    if (found->second->offset_bits != field.offset_bits) {
      return absl::StrCat("member '", field.name, "' moved from offset ",
                          found->second->offset_bits / 8, " to ", field.offset_bits / 8);
    }
    if (found->second->size_bits != field.size_bits) {
      return absl::StrCat("member '", field.name, "' changed its size from ",
                          found->second->size_bits / 8, " to ", field.size_bits / 8);
    }
    old_fields.erase(found);
  }
  if (!old_fields.empty()) {
    return absl::StrCat("member '", old_fields.begin()->first, "' was removed");
  }
  return absl::StrCat("its size changed from ", base.size_bytes, " to ", edited.size_bytes);
}

std::optional<Refusal> CompareEnum(const RecordDescription& base, const RecordDescription& edited) {
  // An enumerator's value stands in the place of its type.
  std::map<std::string, std::string> values;
  for (const FieldDescription& enumerator : edited.fields) {
    values[enumerator.name] = enumerator.type;
  }
  for (const FieldDescription& enumerator : base.fields) {
    const auto found = values.find(enumerator.name);
    if (found == values.end() || found->second == enumerator.type) continue;
    return Refusal{RefusalCode::kEnumValue,
                   absl::StrCat("enum ", base.name, ": the value of '", enumerator.name,
                                "' changed from ", enumerator.type, " to ", found->second),
                   {}};
  }
  if (base.size_bytes == edited.size_bytes) return std::nullopt;
  return Refusal{RefusalCode::kRecordLayout,
                 absl::StrCat("enum ", base.name, ": its size changed from ", base.size_bytes,
                              " to ", edited.size_bytes),
                 {}};
}

std::optional<Refusal> CompareRecord(const RecordDescription& base,
                                     const RecordDescription& edited) {
  if (base.kind == "enum" && edited.kind == "enum") return CompareEnum(base, edited);
  const std::string both = absl::StrCat("  in the running program:\n", DescribeLayout(base),
                                        "  in the edited source:\n", DescribeLayout(edited));
  if (std::tie(base.size_bytes, base.alignment_bytes) !=
          std::tie(edited.size_bytes, edited.alignment_bytes) ||
      Places(base) != Places(edited)) {
    return Refusal{RefusalCode::kRecordLayout,
                   absl::StrCat(base.kind, " ", base.name, ": ", FirstDifference(base, edited)),
                   both};
  }
  if (base.vtable != edited.vtable) {
    return Refusal{RefusalCode::kVtable,
                   absl::StrCat(base.kind, " ", base.name, ": its virtual functions changed"),
                   both};
  }
  return std::nullopt;
}

}  // namespace

std::vector<Refusal> CompareRecords(const std::vector<RecordDescription>& base,
                                    const std::vector<RecordDescription>& edited,
                                    const std::set<std::string>& allowed) {
  std::map<std::string, const RecordDescription*> old_records;
  for (const RecordDescription& record : base) old_records.emplace(record.name, &record);
  std::vector<Refusal> refusals;
  for (const RecordDescription& record : edited) {
    const auto found = old_records.find(record.name);
    if (found == old_records.end() || allowed.contains(record.name)) continue;
    if (std::optional<Refusal> refusal = CompareRecord(*found->second, record)) {
      refusals.push_back(*std::move(refusal));
    }
  }
  return refusals;
}

std::string DescribeLayout(const RecordDescription& record) {
  std::string text =
      absl::StrCat("    ", record.kind, " ", record.name, ", ", record.size_bytes, " bytes\n");
  for (const FieldDescription& field : record.fields) {
    const uint64_t bits = field.offset_bits % 8;
    absl::StrAppend(&text, "    ", absl::Dec(field.offset_bits / 8, absl::kSpacePad6),
                    bits == 0 ? "" : absl::StrCat(":", bits), "  ", field.type, " ", field.name,
                    field.size_bits % 8 == 0 ? "" : absl::StrCat(" : ", field.size_bits), "\n");
  }
  for (const std::string& function : record.vtable) {
    absl::StrAppend(&text, "            virtual ", function, "\n");
  }
  return text;
}

}  // namespace mend::patchc
