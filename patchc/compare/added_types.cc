#include "patchc/compare/added_types.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "patchc/object/fingerprint.h"
#include "patchc/support/refusals.h"

namespace mend::patchc {
namespace {

struct Type {
  RefusalCode refusal;
  std::string allowed_by;  // what the author names
  std::string text;
};
using TypesByName = std::map<std::string, Type>;

void AddEnumerators(const RecordDescription& record, TypesByName& types) {
  // An unnamed enumeration is described by its enumerators.
  const bool is_unnamed = record.size_bytes == 0;
  if (!is_unnamed) {
    types[absl::StrCat("enum ", record.name)] = {RefusalCode::kRecordLayout, record.name,
                                                 absl::StrCat(record.size_bytes)};
  }
  for (const FieldDescription& enumerator : record.fields) {
    const std::string whose =
        is_unnamed ? absl::StrCat("enumerator ", record.name)
                   : absl::StrCat("enumerator ", enumerator.name, " of enum ", record.name);
    types[whose] = {RefusalCode::kEnumValue, record.name, enumerator.type};
  }
}

std::string LayoutOf(const RecordDescription& record) {
  std::string text = absl::StrCat(record.size_bytes, ",", record.alignment_bytes, ";");
  for (const FieldDescription& field : record.fields) {
    absl::StrAppend(&text, field.name, "@", field.offset_bits, ":", field.size_bits, "=",
                    field.meaning, ";");
  }
  return text;
}

TypesByName TypesOf(const ObjectDescription& unit) {
  TypesByName types;
  for (const RecordDescription& record : unit.records) {
    if (record.kind == "enum") {
      AddEnumerators(record, types);
      continue;
    }
    if (record.kind != "struct" && record.kind != "class" && record.kind != "union") continue;
    const std::string shown = absl::StrCat(record.kind, " ", record.name);
    // Several of one name are told apart by their order.
    Type& type = types[shown];
    type = {RefusalCode::kRecordLayout, record.name, absl::StrCat(type.text, LayoutOf(record))};
    if (record.vtable.empty()) continue;
    Type& functions = types[absl::StrCat("the virtual functions of ", shown)];
    functions.refusal = RefusalCode::kVtable;
    functions.allowed_by = record.name;
    for (const std::string& function : record.vtable) {
      absl::StrAppend(&functions.text, function, ";");
    }
  }
  return types;
}

}  // namespace

std::vector<AddedType> AddedTypes(const ObjectDescription& base, const ObjectDescription& edited,
                                  const std::set<std::string>& allowed) {
  const TypesByName known = TypesOf(base);
  std::vector<AddedType> added;
  for (const auto& [name, type] : TypesOf(edited)) {
    if (known.contains(name)) continue;
    added.push_back(
        {name, HashHex(type.text), RefusalId(type.refusal), allowed.contains(type.allowed_by)});
  }
  std::set<std::string> variables;
  for (const RecordDescription& variable : base.variables) variables.insert(variable.name);
  for (const RecordDescription& variable : edited.variables) {
    if (variables.contains(variable.name)) continue;
    added.push_back(
        {absl::StrCat(kVariableType, variable.name), HashHex(LayoutOf(variable)), "", false});
  }
  return added;
}

}  // namespace mend::patchc
