// LinkedPatch: what PatchLinker makes of a patch module, of the one kind or the other.
#ifndef MEND_JIT_PATCH_LINKED_PATCH_H_
#define MEND_JIT_PATCH_LINKED_PATCH_H_

#include "runtime/patch/patch.h"

namespace mend::jit {

class ExplicitPatch;
class SourcePatch;

class LinkedPatch : public LinkedModule {
 public:
  // Null when it is of the other kind.
  virtual ExplicitPatch* AsExplicit() { return nullptr; }
  virtual SourcePatch* AsSource() { return nullptr; }

  // REQUIRES: a PatchLinker has made the patch.
  static LinkedPatch& Of(const Patch& patch) {
    return *static_cast<LinkedPatch*>(patch.module.get());
  }
};

}  // namespace mend::jit

#endif  // MEND_JIT_PATCH_LINKED_PATCH_H_
