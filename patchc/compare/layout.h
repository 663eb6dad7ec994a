// Comparing record layouts: what live objects of the running program look like must still be true
// for the new code.
#ifndef MEND_PATCHC_COMPARE_LAYOUT_H_
#define MEND_PATCHC_COMPARE_LAYOUT_H_

#include <set>
#include <string>
#include <vector>

#include "patchc/support/refusals.h"
#include "runtime/format/object_description.h"

namespace mend::patchc {

// How the two sides of a record differ.
struct LayoutChange {
  std::string record;
  std::string kind;
  Refusal refusal;
};

// A change for each record, enumeration or virtual table that both sides know and that differs
// in size, alignment, members or their places, enumerators' values, or virtual functions. A member
// of equal place and size may be renamed, or have another type of the same meaning, but not both at
// once: that is another member, in whose place live objects have the old one. Enumerators at new
// values are fine. So is a record by another name, unless it seems to be one that is gone and has
// another layout than that.
// `allowed`: names that the author answers for.
std::vector<LayoutChange> CompareRecords(const std::vector<RecordDescription>& base,
                                         const std::vector<RecordDescription>& edited,
                                         const std::set<std::string>& allowed);

// A refusal for each variable that both sides have and that keeps its size, but would be taken for
// something else by new code.
std::vector<Refusal> CompareVariables(const std::vector<RecordDescription>& base,
                                      const std::vector<RecordDescription>& edited);

// An enumerator that has a value of its own in an unnamed enumeration: what a macro is, too.
struct ChangedConstant {
  std::string name;
  std::string old_value;
  std::string new_value;
};

std::vector<ChangedConstant> ChangedConstants(const std::vector<RecordDescription>& base,
                                              const std::vector<RecordDescription>& edited);

// Whether the edited side has assembler outside of functions that the other one does not have.
bool HasNewAssembler(const std::vector<RecordDescription>& base,
                     const std::vector<RecordDescription>& edited);

// The variables that both sides initialise when they are first reached, but not by the same
// expression: in a program that has been there the new one is never evaluated.
std::vector<std::string> ChangedInitializers(const std::vector<RecordDescription>& base,
                                             const std::vector<RecordDescription>& edited);

// What a live object of the one is not as the other, in words; empty if there is nothing.
std::string LayoutDifference(const RecordDescription& base, const RecordDescription& edited);

// For people: the members that differ, old and new side by side, with what stands before them.
std::string DescribeDifference(const RecordDescription& base, const RecordDescription& edited);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPARE_LAYOUT_H_
