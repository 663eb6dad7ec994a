// ExecutedOnce: functions that a program runs on its way through main alone, each as often as its
// callers' code says and not again: main calls them outside of its loops, or such a function does,
// and nobody else can. A change of one has no effect once main has come past it.
//
// Told from the machine code of the program as it was built, so that inlining has happened and the
// commands that built it need not be repeated. What cannot be told counts as executed again: an
// address that somebody has, a jump behind the call that may lead anywhere, a name that a guest
// module or nobody at all refers to. Exceptions are no way back into a loop.
#ifndef MEND_PATCHC_COMPARE_EXECUTED_ONCE_H_
#define MEND_PATCHC_COMPARE_EXECUTED_ONCE_H_

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "patchc/object/base.h"
#include "patchc/object/disassembler.h"

namespace mend::patchc {

class ExecutedOnce {
 public:
  // `objects`: the program first. They must outlive this.
  explicit ExecutedOnce(BaseObjects* objects) : objects_(*objects) {}

  // The functions from main (or an initialiser) to the one that calls this function of the
  // program, if it is executed once; empty otherwise, and for main. INVALID_ARGUMENT: an object is
  // damaged.
  absl::StatusOr<std::vector<std::string>> CallersOf(size_t unit, const std::string& function,
                                                     Binding binding);

 private:
  using Place = std::pair<size_t, std::string>;  // unit and symbol

  // The chain to the function, itself included; empty: executed again.
  absl::StatusOr<std::vector<std::string>> ChainTo(size_t unit, const std::string& function);
  // Adds those of a unit; false: there is one in a loop, or somebody has the address.
  absl::StatusOr<bool> AddCallers(size_t unit, const std::string& function, bool is_local,
                                  std::vector<Place>& callers);
  absl::StatusOr<bool> IsUsedByModules(const std::string& function);
  // Whether the caller may come by a call of the function more than once, in one activation.
  absl::StatusOr<bool> CallsInLoop(const Place& caller, const std::string& function);

  Base& program() { return objects_.front(); }

  BaseObjects& objects_;
  std::map<Place, std::vector<std::string>> chains_;  // an empty one also while it is looked for
  std::optional<Disassembler> disassembler_;
};

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPARE_EXECUTED_ONCE_H_
