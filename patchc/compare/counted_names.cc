#include "patchc/compare/counted_names.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "patchc/compare/static_identity.h"
#include "patchc/sources/build_inputs.h"

namespace mend::patchc {
namespace {

bool MayBeCounted(const std::string& symbol, const std::set<std::string>& spelled) {
  const std::string name = InnerName(symbol);
  return !name.empty() && absl::ascii_isdigit(static_cast<unsigned char>(name.back())) &&
         !spelled.contains(name);
}

std::set<std::string> CountedStatics(const ObjectSummary& side,
                                     const std::set<std::string>& spelled) {
  std::set<std::string> names;
  for (const DataDescription& datum : side.data) {
    // A copy of a constant is as good as the constant.
    if (datum.binding == Binding::kLocal && !datum.is_constant &&
        MayBeCounted(datum.name, spelled)) {
      names.insert(datum.name);
    }
  }
  return names;
}

// By what stands in front of the number: the code of each by its name.
using Functions = std::map<std::string, std::map<std::string, std::string>>;

Functions CountedFunctions(const ObjectSummary& side, const std::set<std::string>& spelled) {
  Functions functions;
  for (const FunctionDescription& function : side.functions) {
    if (!MayBeCounted(function.name, spelled)) continue;
    functions[StemOfCounted(PlainName(function.name))][function.name] =
        side.details.at(function.name).own_fingerprint;
  }
  return functions;
}

// One of a group that the patch replaces, and may be another one's new name; empty: none.
std::string Renumbered(const Functions::mapped_type& before, const Functions::mapped_type& after,
                       const UnitDiff& diff) {
  const bool are_same = std::equal(before.begin(), before.end(), after.begin(), after.end(),
                                   [](const auto& a, const auto& b) { return a.first == b.first; });
  for (const PatchedFunction& function : diff.functions) {
    const auto found = after.find(function.name);
    if (found == after.end()) continue;
    const bool was_anothers =
        std::any_of(before.begin(), before.end(), [&found](const auto& other) {
          return other.first != found->first && other.second == found->second;
        });
    if (!are_same || was_anothers) return function.name;
  }
  return {};
}

std::string Quoted(const std::vector<std::string>& names) {
  return absl::StrJoin(names, ", ", [](std::string* out, const std::string& name) {
    absl::StrAppend(out, "'", DisplayName(name), "'");
  });
}

}  // namespace

std::optional<std::set<std::string>> IdentifiersBesideCounter(
    const std::map<std::string, std::string>& sources) {
  const bool names_counter = std::any_of(sources.begin(), sources.end(), [](const auto& source) {
    return absl::StrContains(source.second, "__COUNTER__");
  });
  if (!names_counter) return std::nullopt;
  std::set<std::string> identifiers;
  for (const auto& [path, text] : sources) identifiers.merge(IdentifiersIn(text));
  return identifiers;
}

std::vector<Refusal> RefuseCountedNames(const UnitSides& sides, const UnitDiff& diff) {
  std::vector<Refusal> refusals;
  if (!sides.spelled) return refusals;
  const std::string& source = sides.description.source;
  for (const NameGroup& group :
       ChangedGroups(CountedStatics(sides.base, *sides.spelled),
                     CountedStatics(sides.edited, *sides.spelled), StemOfCounted)) {
    refusals.push_back({RefusalCode::kStaticAmbiguous,
                        absl::StrCat(source, ": variables ", Quoted(group.base), " became ",
                                     Quoted(group.edited), ", and may be numbered by __COUNTER__"),
                        {}});
  }
  const Functions before = CountedFunctions(sides.base, *sides.spelled);
  for (const auto& [stem, functions] : CountedFunctions(sides.edited, *sides.spelled)) {
    const auto known = before.find(stem);
    if (known == before.end()) continue;
    const std::string function = Renumbered(known->second, functions, diff);
    if (function.empty()) continue;
    refusals.push_back({RefusalCode::kFunctionAmbiguous,
                        absl::StrCat(source, ": function '", DisplayName(function),
                                     "' may be another one than before, numbered by __COUNTER__"),
                        {}});
  }
  return refusals;
}

}  // namespace mend::patchc
