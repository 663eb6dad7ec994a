// FuncStack: the versions of one function that patches brought, the newest on top (rules M5, R1).
// Below the lowest is always the original.
//
// Thread safety: none; guarded by the patch registry's mutex. Stubs never look at it: they read the
// slot.
#ifndef MEND_RUNTIME_PATCH_FUNC_STACK_H_
#define MEND_RUNTIME_PATCH_FUNC_STACK_H_

#include <algorithm>
#include <vector>

#include "runtime/base/check.h"
#include "runtime/patch/patch.h"

namespace mend {

class FuncStack {
 public:
  bool empty() const { return versions_.empty(); }
  // Null: the original.
  const PatchFunction* top() const { return versions_.empty() ? nullptr : versions_.back(); }
  // What is right below `version`; null: the original. REQUIRES: `version` is on the stack.
  const PatchFunction* Below(const PatchFunction* version) const {
    const auto at = std::find(versions_.begin(), versions_.end(), version);
    MEND_CHECK(at != versions_.end(), "a version is not on its func_stack");
    return at == versions_.begin() ? nullptr : *(at - 1);
  }
  const std::vector<const PatchFunction*>& versions() const { return versions_; }

  // REQUIRES: `above` is on the stack.
  void InsertBelow(const PatchFunction* above, const PatchFunction* version) {
    const auto at = std::find(versions_.begin(), versions_.end(), above);
    MEND_CHECK(at != versions_.end(), "a version is not on its func_stack");
    versions_.insert(at, version);
  }
  void Push(const PatchFunction* version) { versions_.push_back(version); }
  void Remove(const PatchFunction* version) {
    const auto at = std::find(versions_.begin(), versions_.end(), version);
    MEND_CHECK(at != versions_.end(), "a version is not on its func_stack");
    versions_.erase(at);
  }

 private:
  std::vector<const PatchFunction*> versions_;
};

}  // namespace mend

#endif  // MEND_RUNTIME_PATCH_FUNC_STACK_H_
