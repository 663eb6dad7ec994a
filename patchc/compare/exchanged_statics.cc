#include "patchc/compare/exchanged_statics.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "patchc/compare/static_identity.h"

namespace mend::patchc {
namespace {

// By the name of the variable: whether code is generated for the block around it, and that block.
using Blocks = std::map<std::string, std::pair<std::string_view, std::string_view>>;

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

using Words = std::map<std::string_view, int>;

Words WordsOf(std::string_view text) {
  const auto is_word = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_';
  };
  Words words;
  for (size_t at = 0; at < text.size();) {
    size_t end = at + 1;
    while (is_word(text[at]) && end < text.size() && is_word(text[end])) ++end;
    if (text[at] != ' ' && text[at] != '\n') ++words[text.substr(at, end - at)];
    at = end;
  }
  return words;
}

// The part of the words that both have, from 0 to 1.
double Likeness(std::string_view a, std::string_view b) {
  const Words of_a = WordsOf(a);
  const Words of_b = WordsOf(b);
  int common = 0;
  int all = 0;
  for (const auto& [word, count] : of_a) {
    const auto found = of_b.find(word);
    if (found != of_b.end()) common += 2 * std::min(count, found->second);
    all += count;
  }
  for (const auto& [word, count] : of_b) all += count;
  return all == 0 ? 1 : static_cast<double>(common) / all;
}

// Whether each variable is the one that has its name after the edit. Where two blocks are alike on
// a side, nothing would tell an exchange from none.
bool AreInPlace(const Blocks& base, const Blocks& edited) {
  if (base.size() != edited.size()) return false;
  for (const auto& [name, block] : base) {
    const auto after = edited.find(name);
    if (after == edited.end() || block.first != after->second.first) return false;
    if (block == after->second) continue;
    const double likeness = Likeness(block.second, after->second.second);
    for (const auto& [other, other_after] : edited) {
      const auto other_before = base.find(other);
      if (other_before == base.end()) return false;
      const bool is_settled = other == name || other_before->second == other_after ||
                              other_before->second == block || other_after == after->second;
      if (is_settled) continue;
      if (Likeness(block.second, other_after.second) >= likeness) return false;
    }
  }
  return true;
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

// By their order, as if each were a variable.
std::map<ExchangedBodies, Blocks> Bodies(const std::vector<RecordDescription>& records) {
  std::map<ExchangedBodies, Blocks> groups;
  for (const RecordDescription& record : records) {
    if (record.kind != "body") continue;
    const FieldDescription& body = record.fields.front();
    Blocks& bodies = groups[{record.name, body.name}];
    bodies[absl::StrCat(bodies.size())] = {"reached", body.type};
  }
  return groups;
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

std::vector<ExchangedBodies> FindExchangedBodies(const std::vector<RecordDescription>& base,
                                                 const std::vector<RecordDescription>& edited) {
  const std::map<ExchangedBodies, Blocks> before = Bodies(base);
  std::vector<ExchangedBodies> exchanged;
  for (const auto& [place, bodies] : Bodies(edited)) {
    const auto found = before.find(place);
    const bool may_be_exchanged = found != before.end() && found->second.size() == bodies.size() &&
                                  !AreInPlace(found->second, bodies);
    if (may_be_exchanged) exchanged.push_back(place);
  }
  return exchanged;
}

}  // namespace mend::patchc
