// RedirectionTable: for every function that is or was patched, its stub's state, its slot and its
// func_stack.
//
// Invariants:
//  1. A slot holds the address of code that may run: the original body, a version's body, or a
//     trampoline of the transition that runs. It does so before its entry is opened and after it is
//     closed: a thread may stand at the entry's jump at any time.
//  2. Outside a transition an entry is open iff its func_stack is not empty; or closing it failed,
//     and the slot holds the original body.
//
// Thread safety: none; guarded by the patch registry's mutex.
#ifndef MEND_RUNTIME_PATCH_REDIRECTION_TABLE_H_
#define MEND_RUNTIME_PATCH_REDIRECTION_TABLE_H_

#include <cstdint>
#include <map>
#include <memory>

#include "absl/status/statusor.h"
#include "runtime/base/code_address.h"
#include "runtime/patch/code_host.h"
#include "runtime/patch/func_stack.h"
#include "runtime/patch/patch.h"

namespace mend {

struct Redirection {
  FunctionSite site;
  bool open = false;
  FuncStack versions;

  CodeAddress original_body() const { return site.entry + kEntryStubSize; }
  CodeRange original_text() const {
    return {site.entry, site.entry + static_cast<size_t>(site.size)};
  }
  // Null stands for the original, and so does a nop.
  CodeAddress BodyOf(const PatchFunction* version) const {
    return version == nullptr || version->nop ? original_body() : version->new_body;
  }
  CodeRange TextOf(const PatchFunction* version) const {
    return version == nullptr || version->nop ? original_text() : version->new_text;
  }

  void SetSlot(CodeAddress target) const;
};

// The stub's bytes: the canonical no-op, and the jump through the slot. OUT_OF_RANGE when the slot
// is more than 2 GiB away.
inline constexpr uint64_t kClosedEntry = 0x00000000'00841f0f;
absl::StatusOr<uint64_t> OpenEntry(const FunctionSite& site);

class RedirectionTable {
 public:
  // The redirection of a function, made when it is new. The pointer stays valid.
  Redirection* Of(const FunctionSite& site);
  // Null when the function was never patched.
  const Redirection* Find(CodeAddress entry) const;
  Redirection* Find(CodeAddress entry);
  // The function's text is about to go. REQUIRES: no version is on its func_stack.
  void Forget(CodeAddress entry);

 private:
  std::map<CodeAddress, std::unique_ptr<Redirection>> redirections_;
};

}  // namespace mend

#endif  // MEND_RUNTIME_PATCH_REDIRECTION_TABLE_H_
