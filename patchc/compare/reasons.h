// Reasons: why each function is in a patch, in words: the place of its own change, the chain of
// inlined functions that leads to one, or the place outside of functions (a macro, a type, a
// constant) that it follows from. And what people should know of a change's effect.
#ifndef MEND_PATCHC_COMPARE_REASONS_H_
#define MEND_PATCHC_COMPARE_REASONS_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "patchc/codegen/code_facts.h"
#include "patchc/compare/executed_once.h"
#include "patchc/compare/module_diff.h"
#include "patchc/object/base.h"
#include "patchc/sources/source_edits.h"
#include "patchc/sources/source_scan.h"

namespace mend::patchc {

class Reasons {
 public:
  // `edited`: as SourceEdits::Edited.
  explicit Reasons(const std::map<std::string, SourceEdit>& edited);

  // Fills in the reasons of the unit's functions. `files`: what the unit is compiled from.
  void Explain(const std::set<std::string>& files, const CodeFacts& facts, UnitDiff& diff) const;

 private:
  struct TouchedFunction {
    FunctionSpan span;
    std::string place;  // FILE:LINE of the first change
  };

  // Where an edit touches a file.
  struct Places {
    std::vector<TouchedFunction> functions;
    std::string outside;  // FILE:LINE of the first one outside functions

    void Add(const FunctionSpan& span, const std::string& place);
    // Null if no function that is touched may be that one.
    const TouchedFunction* Find(const std::string& symbol) const;
  };

  static void ExplainOne(const Places& touched, const CodeFacts& facts, PatchedFunction& function);

  std::map<std::string, Places> places_;  // by path
};

// Warnings about functions of the unit that may have run for the last time already, or that no
// thread leaves, and about tables of functions that others may have been told of.
absl::StatusOr<std::vector<std::string>> EffectWarnings(Base& base, size_t unit,
                                                        const CodeFacts& facts,
                                                        const UnitDiff& diff, ExecutedOnce& once);

// Warns of variables, by symbol, that a replaced function would initialise otherwise.
void WarnOfInitializers(const std::vector<std::string>& changed, const std::string& source,
                        const ObjectSummary& edited, UnitDiff& diff);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPARE_REASONS_H_
