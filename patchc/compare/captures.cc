#include "patchc/compare/captures.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "patchc/compare/layout.h"

namespace mend::patchc {
namespace {

using Lambdas = std::vector<const RecordDescription*>;

std::map<std::string, Lambdas> LambdasByFunction(const ObjectDescription& description) {
  std::map<std::string, Lambdas> lambdas;
  for (const RecordDescription& record : description.records) {
    if (record.kind == "lambda") lambdas[record.name].push_back(&record);
  }
  return lambdas;
}

bool AreAlike(const RecordDescription* base, const RecordDescription* edited) {
  return LayoutDifference(*base, *edited).empty();
}

// Whether one side has the other's lambdas in their order, and perhaps more.
bool HasOthersBesides(const Lambdas& base, const Lambdas& edited) {
  const bool grows = edited.size() >= base.size();
  const Lambdas& few = grows ? base : edited;
  const Lambdas& many = grows ? edited : base;
  size_t found = 0;
  for (size_t i = 0; i < many.size() && found < few.size(); ++i) {
    const bool is_alike = grows ? AreAlike(few[found], many[i]) : AreAlike(many[i], few[found]);
    if (is_alike) ++found;
  }
  return found == few.size();
}

// Whether a demangled name has a lambda of the function in it: "f()::$_0", "f()::'lambda'(int)".
bool MentionsLambdaOf(const std::string& function, const std::string& name) {
  for (const char* marker : {"::$_", "::'lambda"}) {
    const std::string lambda = absl::StrCat(function, marker);
    for (size_t at = name.find(lambda); at != std::string::npos; at = name.find(lambda, at + 1)) {
      const bool is_whole =
          at == 0 || (!absl::ascii_isalnum(static_cast<unsigned char>(name[at - 1])) &&
                      name[at - 1] != '_' && name[at - 1] != ':');
      if (is_whole) return true;
    }
  }
  return false;
}

// A replaced function that belongs to a lambda of `function` and is called by its address; empty
// if there is none.
std::string ReplacedCodeOfLiving(const std::string& function, const UnitSides& sides,
                                 const UnitDiff& diff) {
  for (const PatchedFunction& replaced : diff.functions) {
    const std::string name = DisplayName(replaced.name);
    if (!MentionsLambdaOf(function, name)) continue;
    const auto& details = sides.base.details;
    const bool is_address_taken = std::any_of(
        details.begin(), details.end(),
        [&](const auto& symbol) { return symbol.second.addresses.contains(replaced.name); });
    if (is_address_taken) return name;
  }
  return {};
}

Refusal RefusalFor(const std::string& function, const std::string& reached, const Lambdas& base,
                   const Lambdas& edited) {
  const std::string why =
      absl::StrCat("    some may live on: '", reached,
                   "' is called by its address\n    RECORD is '", function, "::(lambda)'");
  if (base.size() != edited.size()) {
    return {RefusalCode::kFunctionAmbiguous,
            absl::StrCat("the number of lambdas of '", function, "' and their captures changed"),
            why};
  }
  const auto [before, after] = std::mismatch(base.begin(), base.end(), edited.begin(), AreAlike);
  return {RefusalCode::kRecordLayout,
          absl::StrCat("a lambda of '", function, "': ", LayoutDifference(**before, **after)),
          absl::StrCat(DescribeDifference(**before, **after), why)};
}

}  // namespace

std::vector<Refusal> RefuseCaptures(const UnitSides& sides, const ObjectDescription& edited,
                                    const UnitDiff& diff, const std::set<std::string>& allowed) {
  const std::map<std::string, Lambdas> old_lambdas = LambdasByFunction(sides.description);
  std::vector<Refusal> refusals;
  for (const auto& [symbol, lambdas] : LambdasByFunction(edited)) {
    const auto found = old_lambdas.find(symbol);
    if (found == old_lambdas.end() || HasOthersBesides(found->second, lambdas)) continue;
    const std::string function = DisplayName(symbol);
    if (allowed.contains(absl::StrCat(function, "::(lambda)"))) continue;
    const std::string reached = ReplacedCodeOfLiving(function, sides, diff);
    if (reached.empty()) continue;
    refusals.push_back(RefusalFor(function, reached, found->second, lambdas));
  }
  return refusals;
}

}  // namespace mend::patchc
