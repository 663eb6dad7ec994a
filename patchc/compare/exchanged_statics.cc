#include "patchc/compare/exchanged_statics.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "patchc/compare/likeness.h"
#include "patchc/compare/static_identity.h"

namespace mend::patchc {
namespace {

// What two statics of one name in a function have in common. Descriptions number those of a C
// function with '#'.
std::string GroupOf(std::string_view name) { return StemOfStatic(name.substr(0, name.find('#'))); }

std::map<std::string, Blocks> Groups(const std::vector<RecordDescription>& records) {
  std::map<std::string, Blocks> groups;
  for (const RecordDescription& record : records) {
    if (record.kind != "static" || record.fields.empty()) continue;
    const FieldDescription& block = record.fields.front();
    groups[GroupOf(record.name)][record.name] = {block.name, block.type};
  }
  return groups;
}

// How many of the group the object has.
size_t CountIn(const ObjectSummary& object, const std::string& group) {
  return static_cast<size_t>(
      std::count_if(object.data.begin(), object.data.end(), [&group](const auto& datum) {
        return !datum.is_constant && GroupOf(WithoutImagePrefix(datum.name)) == group;
      }));
}

bool IsUsed(const std::string& group, const UnitSides& sides, const UnitDiff& diff) {
  std::vector<std::string> functions = diff.new_functions;
  for (const PatchedFunction& function : diff.functions) functions.push_back(function.name);
  return std::any_of(functions.begin(), functions.end(), [&](const std::string& function) {
    const std::set<std::string>& references = sides.edited.details.at(function).references;
    return std::any_of(references.begin(), references.end(), [&group](const std::string& target) {
      return GroupOf(WithoutImagePrefix(DatumOf(target))) == group;
    });
  });
}

std::string Shown(const Blocks& blocks) {
  return absl::StrJoin(blocks, ", ", [](std::string* out, const auto& block) {
    absl::StrAppend(out, "'", ShownDatum(block.first), "'");
  });
}

}  // namespace

std::vector<Refusal> RefuseExchangedStatics(const UnitSides& sides, const ObjectDescription& edited,
                                            const UnitDiff& diff) {
  const std::map<std::string, Blocks> before = Groups(sides.description.records);
  std::vector<Refusal> refusals;
  for (const auto& [group, blocks] : Groups(edited.records)) {
    const auto found = before.find(group);
    if (found == before.end()) continue;
    // Of a C function's, code generation numbers only those that it makes.
    const auto reached = static_cast<size_t>(
        std::count_if(found->second.begin(), found->second.end(),
                      [](const auto& block) { return block.second.first == "reached"; }));
    const bool are_all_made = group.starts_with("_Z") || CountIn(sides.base, group) == reached;
    if ((are_all_made && AreInPlace(found->second, blocks)) || !IsUsed(group, sides, diff)) {
      continue;
    }
    refusals.push_back({RefusalCode::kStaticAmbiguous,
                        absl::StrCat(sides.description.source, ": variables ", Shown(blocks),
                                     " may have changed places: the blocks that they stand in "
                                     "changed, and are told apart by their order"),
                        {}});
  }
  return refusals;
}

}  // namespace mend::patchc
