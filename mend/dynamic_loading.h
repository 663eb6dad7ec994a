// dlopen and its kin, as hosted code sees them: libraries made by `patchc cc -shared` are guest
// modules of the host, everything else is the native loader's business as always.
//
//   dlopen    finds the file as the native loader would; a guest module is loaded, its patches
//             applied, before any of its code runs or its symbols can be seen; with RTLD_GLOBAL,
//             modules that come later are linked with what it exports, and it stays once one is
//   dlsym     of a guest module: what it exports, then what the libraries export that it needs; of
//             the program itself (a null handle, RTLD_DEFAULT): the hosted program's globals before
//             those of libraries
//   dlclose   the last one unloads
//   dlerror   tells a refusal in the words of the patch that refused ("ENODEV: No such device")
//
// A library may do it for the program: httpd opens its modules by apr. So the libraries that are
// there when the program starts get the same functions.
//
// Thread safety: all are thread-safe.
#ifndef MEND_MEND_DYNAMIC_LOADING_H_
#define MEND_MEND_DYNAMIC_LOADING_H_

#include <map>
#include <string>

namespace mend {

// What hosted code gets for these names.
std::map<std::string, void*> DynamicLoadingSymbols();

// Lets the libraries that are loaded so far open guest modules, too. Before any of the program's
// code runs, and once there is a host.
void ShowGuestModulesToLibraries();

}  // namespace mend

#endif  // MEND_MEND_DYNAMIC_LOADING_H_
