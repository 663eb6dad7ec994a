// Functions of shared libraries that go to another stack by assembler (`jump_fcontext` of the
// system's libboost_context.so). They are nobody's to change, so whoever refers to one gets an
// entry in front of it, which notes that it runs (runtime/safepoint/stack_switches.h) and goes on
// to the function. patchc says which they are, when a program is linked
// (patchc/object/stack_switches.h).
//
// Thread safety: the program's start calls it, and whoever links a module, under the session's
// lock.
#ifndef MEND_JIT_LINK_LIBRARY_SWITCHES_H_
#define MEND_JIT_LINK_LIBRARY_SWITCHES_H_

#include <string>

namespace mend::jit {

// The entry in front of that function of a library, to which the libraries that are loaded lead
// from now on, too. The function itself when there are too many.
void* EntryOfSwitch(const std::string& name, void* function);

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_LIBRARY_SWITCHES_H_
