// Import tables of the loaded objects: how a runtime that was opened by dlopen, and is behind libc
// and libgcc in the order of symbols, comes before them where it has to; and how the libraries of a
// hosted program reach what is for hosted code.
//
// Thread safety: none needed; the loading of the runtime and its first start call it. Threads that
// call an imported function in the meantime reach the one or the other.
#ifndef MEND_JIT_IMPORTS_H_
#define MEND_JIT_IMPORTS_H_

namespace mend::jit {

// Whether the process finds another function than that of the object which contains `own` by the
// name.
bool ComesLate(const char* name, const void* own);

// Puts `function` into the tables of all objects loaded so far that import one of that name. (Those
// that are loaded later find the process's; who may know better gives no sign.)
void RedirectImports(const char* name, void* function);

// The same for all objects but the one that `function` is in, which goes on calling the process's.
void RedirectOtherImports(const char* name, void* function);

}  // namespace mend::jit

#endif  // MEND_JIT_IMPORTS_H_
