// LinkUnits: the units of a source patch that are for one object, linked into that object. See
// PatchLinker for the rules.
#ifndef MEND_JIT_PATCH_UNITS_LINK_H_
#define MEND_JIT_PATCH_UNITS_LINK_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "jit/patch/patch_descriptor.h"
#include "jit/patch/patched_object.h"
#include "jit/program/hosted_program.h"
#include "jit/program/linked_data.h"
#include "jit/program/unit_facts.h"
#include "runtime/format/patch_module.h"
#include "runtime/patch/patch.h"

namespace mend::jit {

struct UnitsToLink {
  std::string patch;  // its name
  std::vector<const PatchUnit*> units;
  // Where names are that the patch newly defines in the program; empty for the program's own units.
  std::map<std::string, uintptr_t> program_globals;
  // The same in guest modules that were opened with RTLD_GLOBAL: they stay once a unit refers to
  // it.
  std::map<std::string, ModuleGlobal> module_globals;
  // The patch has units of other objects, linked later, that see what these newly define.
  bool serves_others = false;
};

struct UnitsResult {
  std::unique_ptr<LinkedUnits> text;
  // Those that earlier patches have added; then in the order of the units', by the names that these
  // have, each once.
  std::vector<PatchFunction> functions;
  std::vector<CodeRange> added_text;  // of new functions
  // New functions and data that units of other objects may refer to.
  std::map<std::string, uintptr_t> globals;
  // What the units declare by <mend/livepatch.h>, to be read with the help of `data`.
  PatchDeclarations declared;
  std::vector<std::pair<uintptr_t, size_t>> parameter_tables;
  std::vector<FunctionSite> unit_functions;  // that they mark MEND_UNIT
  std::unique_ptr<LinkedData> data;
};

// Links everything; nothing of it is visible. FAILED_PRECONDITION names what does not match the
// object, or cannot be linked; the object is as before then. `program` is the one that hosts all.
absl::StatusOr<UnitsResult> LinkUnits(const HostedProgram* program, PatchedObject& into,
                                      UnitFactsCache& facts, const UnitsToLink& what);

}  // namespace mend::jit

#endif  // MEND_JIT_PATCH_UNITS_LINK_H_
