// ExplicitPatch: the objects of an explicit patch, linked as new code, and the patch that their
// descriptor (struct mend_patch of <mend/livepatch.h>) says they are.
//
// The descriptor is the author's data, and an untrusted input: it is read once, after linking, and
// every pointer in it has to lie where such a thing can lie.
//
// Its data stays for good, since live objects may point to it, and serves the next link of the same
// module, which begins with fresh data: unless that link fails, then it is as it was. Its text is
// freed with it, unless data that stays leads to it (a virtual table).
//
// Thread safety: the session serialises links; a patch may be destroyed by any thread.
#ifndef MEND_JIT_EXPLICIT_PATCH_H_
#define MEND_JIT_EXPLICIT_PATCH_H_

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "jit/guest_link.h"
#include "jit/late_symbols.h"
#include "jit/module_arena.h"
#include "jit/module_loader.h"
#include "jit/unit_facts.h"
#include "runtime/base/mutex.h"
#include "runtime/format/patch_module.h"
#include "runtime/patch/patch.h"

namespace mend::jit {

// The data of explicit patches that are gone, by the content of their modules. Thread-safe.
class ParkedArenas {
 public:
  std::unique_ptr<ModuleArena> Take(const std::string& content_hash) ABSL_LOCKS_EXCLUDED(mu_);
  void Park(const std::string& content_hash, std::unique_ptr<ModuleArena> arena)
      ABSL_LOCKS_EXCLUDED(mu_);

  void PrepareFork() ABSL_EXCLUSIVE_LOCK_FUNCTION(mu_) { mu_.Lock(); }
  void AfterFork() ABSL_UNLOCK_FUNCTION(mu_) { mu_.Unlock(); }

 private:
  Mutex mu_;
  std::multimap<std::string, std::unique_ptr<ModuleArena>> arenas_ ABSL_GUARDED_BY(mu_);
};

class ExplicitPatch : public LinkedModule {
 public:
  // Links `module` and fills `patch`, whose module becomes the result. Nothing of it has run.
  // INVALID_ARGUMENT ("EINVAL: ...") for a descriptor that is wrong; else as PatchLoader::Load.
  static absl::Status Load(const HostedProgram* program, ParkedArenas* parked,
                           const PatchModule& module, const ProgramArguments& arguments,
                           Patch& patch);
  ~ExplicitPatch() override;

  // The patch's own constructors; hosted code.
  void RunInitializers();

  // What a comparison would have caught of a replacement: INVALID_ARGUMENT ("EINVAL: ...") when the
  // old function cannot be patched, has inlined copies that would keep the old code, or was
  // compiled into its callers as one that does not throw. `object` holds the function `old`.
  absl::Status CheckReplacement(UnitFactsCache& facts, const HostedProgram& object,
                                const HostedSymbol& old, const PatchFunction& function,
                                const std::set<std::string>& replaced) const;

  // The object is there: binds what the patch refers to in it. INVALID_ARGUMENT ("EINVAL: ...")
  // when it has no such symbol, or several; nothing is bound then.
  absl::Status BindLateSymbols(const HostedProgram& object, const std::string& name) const;
  // It goes.
  void ReleaseLateSymbols(const std::string& name) const;

  uint64_t text_bytes() const override { return link_->arena().bytes(MemoryKind::kText); }
  uint64_t data_bytes() const override {
    return link_->arena().bytes(MemoryKind::kConstant) + link_->arena().bytes(MemoryKind::kData);
  }

 private:
  ExplicitPatch(const HostedProgram* program, ParkedArenas* parked, const PatchModule& module);
  absl::Status Link();
  absl::Status Fill(const PatchModule& module, Patch& patch);
  absl::Status ReadLateSymbols(const Patch& patch);
  void NameFunctions(Patch& patch);

  const HostedProgram* const program_;
  ParkedArenas* const parked_;
  const std::vector<ExplicitObject> objects_;
  const std::string name_;
  const std::string content_hash_;
  const bool allow_inlined_;
  ProgramArguments arguments_;
  std::unique_ptr<GuestLink> link_;
  // Of the data that is reused, until the patch is complete.
  std::optional<ModuleArena::Contents> kept_;
  // References to guest modules that may not be there, by module.
  struct LateReference {
    LateSymbol symbol;
    LateWord word;
  };
  std::map<std::string, std::vector<LateReference>> late_;
  std::vector<CodeRange> named_;   // what the program's index describes for us
  std::set<uintptr_t> may_throw_;  // bodies of replacements that are not known not to
  bool is_pinned_ = false;
};

}  // namespace mend::jit

#endif  // MEND_JIT_EXPLICIT_PATCH_H_
