// SourcePatch: a source patch as linked. Its units of the program are linked when it is loaded,
// those of a guest module when the module is there (ResolveObject), and once more when it has gone
// and come again.
//
// Thread safety: the session's lock serialises Load and LinkObject, the core's mutex what concerns
// a patch that it knows; a patch may be destroyed by any thread.
#ifndef MEND_JIT_PATCH_SOURCE_PATCH_H_
#define MEND_JIT_PATCH_SOURCE_PATCH_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "jit/patch/linked_patch.h"
#include "jit/patch/patched_object.h"
#include "jit/patch/units_link.h"
#include "jit/program/unit_facts.h"
#include "runtime/format/patch_module.h"
#include "runtime/patch/patch.h"

namespace mend::jit {

class SourcePatch : public LinkedPatch {
 public:
  // Links what is the program's, and fills `patch`, whose module becomes the result. Functions of
  // guest modules have no place and no new side yet. `keep_alive` is held as long as the result:
  // it owns the `program`'s data of patches.
  static absl::Status Load(std::shared_ptr<void> keep_alive,
                           const std::shared_ptr<PatchedObject>& program, UnitFactsCache& facts,
                           const PatchModule& module, Patch& patch);
  ~SourcePatch() override;

  SourcePatch* AsSource() override { return this; }

  // The guest module is there: links the units that are for it, and fills in the functions of
  // `object`. Nothing to do when they are linked. An error leaves `object` as it was.
  absl::Status LinkObject(const std::shared_ptr<PatchedObject>& into, UnitFactsCache& facts,
                          PatchObject& object);
  // The guest module goes; what was linked for it stays until the module's own text is freed.
  void ForgetObject(PatchObject& object);

  // From now on there may be objects of the types that the patch adds.
  void Commit() override;
  uint64_t text_bytes() const override;
  uint64_t data_bytes() const override;

 private:
  struct Linked {
    std::shared_ptr<PatchedObject> object;
    std::unique_ptr<LinkedUnits> text;
    std::map<std::string, uintptr_t> globals;  // that it newly defines
  };

  SourcePatch(std::shared_ptr<void> keep_alive, const HostedProgram* program,
              const PatchModule& module);
  void DescribeObjects(Patch& patch) const;
  void KeepTypes(const std::string& object) const;
  // What the program's units declare by <mend/livepatch.h>.
  absl::Status ReadDeclarations(const UnitsResult& result, Patch& patch) const;
  // What a guest module's units declare: callbacks for that module.
  absl::Status ReadCallbacks(const UnitsResult& result, PatchObject& object) const;

  // Fills in the functions of the module, lists those that earlier patches have added to it, and
  // drops those that are no function of their own.
  static void TakeLinked(std::vector<PatchFunction> linked, PatchObject& object);

  // Whether units of other objects of the patch see what it newly defines in `object`.
  bool ServesOthers(const std::string& object) const;
  // What the patch newly defines in the program, and in those guest modules that serve others and
  // are linked.
  std::map<std::string, uintptr_t> ProgramGlobals() const;
  std::map<std::string, ModuleGlobal> ModuleGlobals() const;

  const std::shared_ptr<void> keep_alive_;
  const HostedProgram* const program_;
  const std::string name_;
  std::vector<PatchUnit> guest_units_;
  std::vector<PatchUnit> own_types_;  // the program's units, their types alone
  bool is_committed_ = false;
  std::map<std::string, Linked> linked_;  // by object; empty name: the program
};

}  // namespace mend::jit

#endif  // MEND_JIT_PATCH_SOURCE_PATCH_H_
