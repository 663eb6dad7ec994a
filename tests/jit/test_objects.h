// Relocatable objects for tests of the loader: compiled by the system's clang with the flags that
// patchc forces, and given a description by hand, so that these tests need nothing of patchc.
#ifndef MEND_TESTS_JIT_TEST_OBJECTS_H_
#define MEND_TESTS_JIT_TEST_OBJECTS_H_

#include <string>
#include <vector>

#include "jit/session.h"
#include "runtime/format/object_description.h"
#include "runtime/format/patch_module.h"

namespace mend::jit {

// The object of C (or, with `cplusplus`, C++) text. `flags`: of the compiler, in addition.
std::string Compile(const std::string& text, bool cplusplus = false, const std::string& flags = "");

// The object of C text as unit "NAME.c|NAME.o", whose description says that each of `functions` has
// the fingerprint "base:FUNCTION".
std::string CompileUnit(const std::string& name, const std::string& text,
                        const std::vector<std::string>& functions);
// With a description of one's own; source and output become NAME.c and NAME.o.
std::string CompileDescribed(const std::string& name, const std::string& text,
                             ObjectDescription description);
// The file of a guest module made of these objects, as `patchc cc -shared` would write it.
std::string GuestModuleFile(const std::vector<std::string>& objects);
std::string UnitOf(const std::string& name);
// The patch "fix".
PatchModule Module(std::vector<PatchUnit> units);
PatchedFunction Replaces(const std::string& function, Binding binding = Binding::kGlobal);
// Of unit NAME (as CompileUnit has it).
PatchUnit Unit(const std::string& name, std::string object, std::vector<PatchedFunction> functions);

// Has the program's functions lead to the patch's, or back to themselves. The core is not here.
void Activate(Session& session, const Patch& patch);
void Deactivate(Session& session, const Patch& patch);

// A session that hosts the objects, named 0.o, 1.o, ...; its constructors have run. The strings
// must outlive it.
std::unique_ptr<Session> Host(const std::vector<std::string>& objects);

template <typename Function>
Function* Find(const Session& session, const std::string& name) {
  auto found = session.Lookup(name);
  return found.ok() ? reinterpret_cast<Function*>(found->value) : nullptr;
}

}  // namespace mend::jit

#endif  // MEND_TESTS_JIT_TEST_OBJECTS_H_
