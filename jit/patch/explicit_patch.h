// ExplicitPatch: the objects of an explicit patch, linked as new code, and the patch that their
// descriptor (struct mend_patch of <mend/livepatch.h>) says they are.
//
// The descriptor is the author's data, and an untrusted input: it is read once, after linking, and
// every pointer in it has to lie where such a thing can lie.
//
// Its data stays for good, since live objects may point to it, and serves the next patch of the
// same module, which begins with fresh data: unless that patch is refused, then it is as it was.
// Its text is freed with it, unless data that stays leads to it (a virtual table): then all that
// was linked stays as it is, and is that next patch.
//
// Thread safety: the session serialises links; a patch may be destroyed by any thread.
#ifndef MEND_JIT_PATCH_EXPLICIT_PATCH_H_
#define MEND_JIT_PATCH_EXPLICIT_PATCH_H_

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "jit/link/late_symbols.h"
#include "jit/patch/linked_patch.h"
#include "jit/program/guest_link.h"
#include "jit/program/module_arena.h"
#include "jit/program/module_loader.h"
#include "jit/program/unit_facts.h"
#include "runtime/base/mutex.h"
#include "runtime/format/patch_module.h"
#include "runtime/patch/patch.h"

namespace mend::jit {

// What explicit patches that are gone have left, by the content of their modules. Thread-safe.
class ParkedPatches {
 public:
  struct Parked {
    std::unique_ptr<ModuleArena> arena;  // the data of one whose text is freed
    // Of one whose text stays: its link, the objects that this refers to, and the data as the link
    // made it.
    std::unique_ptr<GuestLink> link;
    std::vector<ExplicitObject> objects;
    ModuleArena::Contents linked_data;
  };

  // Empty when there is nothing.
  Parked Take(const std::string& content_hash) ABSL_LOCKS_EXCLUDED(mu_);
  void Park(const std::string& content_hash, Parked parked) ABSL_LOCKS_EXCLUDED(mu_);

  void PrepareFork() ABSL_EXCLUSIVE_LOCK_FUNCTION(mu_) { mu_.Lock(); }
  void AfterFork() ABSL_UNLOCK_FUNCTION(mu_) { mu_.Unlock(); }

 private:
  Mutex mu_;
  std::multimap<std::string, Parked> parked_ ABSL_GUARDED_BY(mu_);
};

class ExplicitPatch : public LinkedPatch {
 public:
  // Links `module` and fills `patch`, whose module becomes the result. Nothing of it has run.
  // INVALID_ARGUMENT ("EINVAL: ...") for a descriptor that is wrong; else as PatchLoader::Load.
  static absl::Status Load(const HostedProgram* program, ParkedPatches* parked,
                           const PatchModule& module, const ProgramArguments& arguments,
                           Patch& patch);
  ~ExplicitPatch() override;

  ExplicitPatch* AsExplicit() override { return this; }
  void Commit() override { kept_.reset(); }

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
  ExplicitPatch(const HostedProgram* program, ParkedPatches* parked, const PatchModule& module);
  absl::Status Link();
  // A patch of the same module, whose text is still there, comes back.
  absl::Status Revive(ParkedPatches::Parked parked);
  absl::Status Fill(const PatchModule& module, Patch& patch);
  absl::Status ReadLateSymbols(const Patch& patch);
  void NameFunctions(Patch& patch);

  const HostedProgram* const program_;
  ParkedPatches* const parked_;
  std::vector<ExplicitObject> objects_;
  const std::string name_;
  const std::string content_hash_;
  const bool allow_inlined_;
  ProgramArguments arguments_;
  std::unique_ptr<GuestLink> link_;
  // Of the data that is reused, until the patch is enabled.
  std::optional<ModuleArena::Contents> kept_;
  // The data before any code of the patch has run; when its text stays.
  ModuleArena::Contents linked_data_;
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

#endif  // MEND_JIT_PATCH_EXPLICIT_PATCH_H_
