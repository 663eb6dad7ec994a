// Import tables of the loaded objects: how a runtime that was opened by dlopen, and is behind libc
// and libgcc in the order of symbols, comes before them where it has to; and how the libraries of a
// hosted program get what it defines, and reach what is for hosted code.
//
// Thread safety: none needed; the loading of the runtime and its first start call it. Threads that
// call an imported function in the meantime reach the one or the other.
#ifndef MEND_JIT_LINK_IMPORTS_H_
#define MEND_JIT_LINK_IMPORTS_H_

namespace mend::jit {

// Whether the process finds another function than that of the object which contains `own` by the
// name.
bool ComesLate(const char* name, const void* own);

// Puts `target` wherever an object loaded so far refers to a symbol of that name. (Those that are
// loaded later find the process's; who may know better gives no sign.)
void RedirectImports(const char* name, void* target);
// The same, in the object that contains `own` only.
void RedirectImportsOf(const void* own, const char* name, void* target);
// The same, in all objects but the one that `target` is in, which goes on calling the process's.
void RedirectOtherImports(const char* name, void* target);

// The executable's symbol of that name has this value from now on: for what is loaded later.
// Nothing where it has none, or where the system does not allow it.
void RedefineExport(const char* name, void* target);

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_IMPORTS_H_
