#include "patchc/compare/captures.h"

#include <algorithm>
#include <compare>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "patchc/compare/layout.h"
#include "patchc/compare/likeness.h"

namespace mend::patchc {
namespace {

using Lambdas = std::vector<const RecordDescription*>;

std::map<std::string, Lambdas> ByFunction(const ObjectDescription& description,
                                          const std::string& kind) {
  std::map<std::string, Lambdas> lambdas;
  for (const RecordDescription& record : description.records) {
    if (record.kind == kind) lambdas[record.name].push_back(&record);
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

constexpr char kLambdas[] = "";

// What follows a function's name in the demangled names of its lambdas ("f()::$_0",
// "f()::'lambda'(int)"), or of what a class in it has, or is an argument of ("f()::Class::g()",
// "g<f()::Class>()").
std::vector<std::string> MarkersOf(const std::string& local) {
  if (local == kLambdas) return {"::$_", "::'lambda"};
  return {absl::StrCat("::", local)};
}

bool IsWordByte(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Whether a name may begin behind that: of a function, or, outside of functions, of a namespace's
// or class's lambda.
bool IsWhole(const std::string& function, std::string_view before) {
  if (function.empty() && before.ends_with("::")) {
    before.remove_suffix(2);
    return !before.ends_with(")") || before.ends_with("(anonymous namespace)");
  }
  return before.empty() || (!IsWordByte(before.back()) && before.back() != ':');
}

// Whether a demangled name belongs to what is called `local` in the function.
bool MentionsLocal(const std::string& function, const std::string& local, const std::string& name) {
  for (const std::string& marker : MarkersOf(local)) {
    const std::string whole = function.empty() ? marker.substr(2) : absl::StrCat(function, marker);
    for (size_t at = name.find(whole); at != std::string::npos; at = name.find(whole, at + 1)) {
      const size_t end = at + whole.size();
      // Of lambdas there may be more of the name.
      const bool ends = local == kLambdas || end == name.size() || !IsWordByte(name[end]);
      if (ends && IsWhole(function, std::string_view(name).substr(0, at))) return true;
    }
  }
  return false;
}

// The symbols that belong to `local` of `function` and are called by their addresses, or by one
// another from such a one: what a std::function calls may call the lambda's body.
std::set<std::string> CodeOfLiving(const std::string& function, const std::string& local,
                                   const ObjectSummary& base) {
  std::set<std::string> own;
  for (const auto& [symbol, details] : base.details) {
    if (MentionsLocal(function, local, DisplayName(symbol))) own.insert(symbol);
  }
  std::vector<std::string> pending;
  for (const auto& [symbol, details] : base.details) {
    for (const std::string& target : details.addresses) {
      if (own.contains(target)) pending.push_back(target);
    }
  }
  std::set<std::string> living;
  while (!pending.empty()) {
    const std::string symbol = std::move(pending.back());
    pending.pop_back();
    if (!living.insert(symbol).second) continue;
    for (const std::string& target : base.details.at(symbol).references) {
      if (own.contains(target)) pending.push_back(target);
    }
  }
  return living;
}

// A replaced function that is such code, as people see it; empty if there is none.
std::string ReplacedCodeOfLiving(const std::string& function, const std::string& local,
                                 const UnitSides& sides, const UnitDiff& diff) {
  const std::set<std::string> living = CodeOfLiving(function, local, sides.base);
  const auto found = std::find_if(
      diff.functions.begin(), diff.functions.end(),
      [&living](const PatchedFunction& replaced) { return living.contains(replaced.name); });
  return found == diff.functions.end() ? std::string() : DisplayName(found->name);
}

// The lambdas of a function, or its classes of one name.
struct LocalBodies {
  std::string function;  // its symbol
  std::string name;      // of the classes; kLambdas
  auto operator<=>(const LocalBodies&) const = default;
};

// Named by their order.
std::map<LocalBodies, Blocks> Bodies(const std::vector<RecordDescription>& records) {
  std::map<LocalBodies, Blocks> groups;
  for (const RecordDescription& record : records) {
    if (record.kind != "body") continue;
    const FieldDescription& body = record.fields.front();
    Blocks& bodies = groups[{record.name, body.name}];
    bodies[absl::StrCat(bodies.size())] = {"reached", body.type};
  }
  return groups;
}

// Those of which there are as many as before, and one is rather what stands in the place of another
// one.
std::vector<LocalBodies> FindExchangedBodies(const std::vector<RecordDescription>& base,
                                             const std::vector<RecordDescription>& edited) {
  const std::map<LocalBodies, Blocks> before = Bodies(base);
  std::vector<LocalBodies> exchanged;
  for (const auto& [place, bodies] : Bodies(edited)) {
    const auto found = before.find(place);
    const bool may_be_exchanged = found != before.end() && found->second.size() == bodies.size() &&
                                  !AreInPlace(found->second, bodies);
    if (may_be_exchanged) exchanged.push_back(place);
  }
  return exchanged;
}

std::string RecordOf(const std::string& function, const std::string& local) {
  return absl::StrCat(function, "::", local == kLambdas ? "(lambda)" : local);
}

std::string LivesOn(const std::string& record, const std::string& reached) {
  return absl::StrCat("    some may live on: '", reached,
                      "' is called by its address\n    RECORD is '", record, "'");
}

Refusal RefusalFor(const std::string& function, const std::string& reached, const Lambdas& base,
                   const Lambdas& edited) {
  const std::string why = LivesOn(RecordOf(function, kLambdas), reached);
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

// A replaced function that is the code of one of the function's blocks; empty if there is none.
std::string ReplacedBlock(const std::string& function, const UnitDiff& diff) {
  const std::string prefix = absl::StrCat("__", function, "_block_invoke");
  const auto found = std::find_if(
      diff.functions.begin(), diff.functions.end(),
      [&prefix](const PatchedFunction& replaced) { return replaced.name.starts_with(prefix); });
  return found == diff.functions.end() ? std::string() : DisplayName(found->name);
}

// Of one side's blocks of a function, by their order.
Blocks BlockTexts(const Lambdas& blocks, size_t count) {
  Blocks texts;
  for (size_t i = 0; i < count; ++i) {
    texts[absl::StrCat(i)] = {"reached", blocks[i]->initializer};
  }
  return texts;
}

// Blocks that may have been copied, in a function whose blocks are no longer those that they were:
// the code that a copy runs is that of the block which has its number.
void RefuseBlocks(const UnitSides& sides, const ObjectDescription& edited, const UnitDiff& diff,
                  const std::set<std::string>& allowed, std::vector<Refusal>& refusals) {
  const std::map<std::string, Lambdas> after = ByFunction(edited, "block");
  for (const auto& [symbol, base] : ByFunction(sides.description, "block")) {
    const std::string function = DisplayName(symbol);
    const std::string record = absl::StrCat(function, "::(block)");
    const auto found = after.find(symbol);
    if (allowed.contains(record)) continue;
    // None: the edited function has blocks at most that end with its frame.
    const Lambdas blocks = found == after.end() ? Lambdas() : found->second;
    const std::string reached = ReplacedBlock(symbol, diff);
    if (reached.empty()) continue;
    const size_t count = std::min(base.size(), blocks.size());
    const auto [before, now] = std::mismatch(
        base.begin(), base.begin() + static_cast<ptrdiff_t>(count), blocks.begin(), AreAlike);
    const bool are_alike = before == base.begin() + static_cast<ptrdiff_t>(count);
    if (base.size() == blocks.size() && !are_alike) {
      refusals.push_back(
          {RefusalCode::kRecordLayout,
           absl::StrCat("a block of '", function, "': ", LayoutDifference(**before, **now)),
           absl::StrCat(DescribeDifference(**before, **now), LivesOn(record, reached))});
      continue;
    }
    const Blocks old_texts = BlockTexts(base, count);
    const Blocks texts = BlockTexts(blocks, count);
    // Of more or fewer ones than before, none may have changed: nothing else tells which is which.
    const bool are_in_place = base.size() == blocks.size()
                                  ? AreInPlace(old_texts, texts)
                                  : !blocks.empty() && are_alike && old_texts == texts;
    if (are_in_place) continue;
    refusals.push_back({RefusalCode::kFunctionAmbiguous,
                        absl::StrCat("blocks of '", function,
                                     "' may have changed places: they are told apart by their "
                                     "order"),
                        LivesOn(record, reached)});
  }
}

}  // namespace

std::vector<Refusal> RefuseCaptures(const UnitSides& sides, const ObjectDescription& edited,
                                    const UnitDiff& diff, const std::set<std::string>& allowed) {
  const std::map<std::string, Lambdas> old_lambdas = ByFunction(sides.description, "lambda");
  std::vector<Refusal> refusals;
  for (const auto& [symbol, lambdas] : ByFunction(edited, "lambda")) {
    const auto found = old_lambdas.find(symbol);
    if (found == old_lambdas.end() || HasOthersBesides(found->second, lambdas)) continue;
    const std::string function = DisplayName(symbol);
    if (allowed.contains(RecordOf(function, kLambdas))) continue;
    const std::string reached = ReplacedCodeOfLiving(function, kLambdas, sides, diff);
    if (reached.empty()) continue;
    refusals.push_back(RefusalFor(function, reached, found->second, lambdas));
  }
  for (const auto& [symbol, local] :
       FindExchangedBodies(sides.description.records, edited.records)) {
    const std::string function = DisplayName(symbol);
    const std::string record = RecordOf(function, local);
    if (allowed.contains(record)) continue;
    const std::string reached = ReplacedCodeOfLiving(function, local, sides, diff);
    if (reached.empty()) continue;
    const std::string shown = local == kLambdas ? "lambdas" : absl::StrCat("classes '", local, "'");
    refusals.push_back(
        {RefusalCode::kFunctionAmbiguous,
         absl::StrCat(shown,
                      function.empty() ? std::string(" outside of functions")
                                       : absl::StrCat(" of '", function, "'"),
                      " may have changed places: they are told apart by their order"),
         LivesOn(record, reached)});
  }
  RefuseBlocks(sides, edited, diff, allowed, refusals);
  return refusals;
}

}  // namespace mend::patchc
