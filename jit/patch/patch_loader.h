// PatchLinker: links patch modules into the running program. Explicit ones are ExplicitPatch's;
// what follows is about source patches.
//
// The new object of each unit is linked whole in form, but only what the module lists is taken from
// it: in its graph every reference to something that the running program has is bound to the
// running program (functions to their original entries, so that &f is one address; data to the
// original data), and JITLink drops the rest. Units of a guest module are linked into the module in
// the same way, when it is there: what it does not have is the patch's for the program, then the
// program's.
//
//   from the object             becomes
//   replaced function           new text; references to it lead to the original entry
//   new function, new datum     itself; visible to the patch's other units
//   string, switch table, ...   a copy when referenced (constants without a name of their own)
//   everything else             the running program's
//
// A patch's data stays as long as the program or module, since live objects may point to it, and is
// found again when the same thing is linked once more: applying a patch again and again takes no
// memory. Its text is freed with its LinkedModule, unless data that stays leads to it.
//
// Thread safety: all methods are serialised by the session; modules may be destroyed by any thread.
#ifndef MEND_JIT_PATCH_PATCH_LOADER_H_
#define MEND_JIT_PATCH_PATCH_LOADER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "jit/program/hosted_program.h"
#include "jit/program/module_loader.h"
#include "runtime/format/patch_module.h"
#include "runtime/patch/patch.h"

namespace mend::jit {

class PatchLinker : public std::enable_shared_from_this<PatchLinker> {
 public:
  // `program` must outlive the linker and every module it links.
  explicit PatchLinker(HostedProgram* program);
  ~PatchLinker();

  absl::StatusOr<std::unique_ptr<Patch>> Load(const PatchModule& module,
                                              const ProgramArguments& arguments);
  // See the core's PatchLoader; `program_name` is for messages.
  absl::Status ResolveObject(const std::string& program_name, const Patch& patch,
                             PatchObject& object);
  // See the core's PatchLoader.
  void ForgetObject(const Patch& patch, PatchObject& object);
  // A guest module is freed, and what patches have left in it.
  void Forget(const HostedProgram& guest);

  void PrepareFork();
  void AfterFork();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mend::jit

#endif  // MEND_JIT_PATCH_PATCH_LOADER_H_
