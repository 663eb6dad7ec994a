// The link step of `patchc cc`: an executable that hosts the objects which an ordinary link of the
// same command line would contain.
//
// First that ordinary link is done, to a scratch file: it gives the linker's own messages and exit
// code, and says which objects, archive members and shared libraries take part, in link order.
// Then the launcher is linked instead: mend's `main`, the objects as data (ProgramImage), libmend
// before all other libraries, and the shared libraries that the scratch file needs.
#ifndef MEND_PATCHC_LINK_LINK_H_
#define MEND_PATCHC_LINK_LINK_H_

#include <llvm/Option/ArgList.h>

#include <map>
#include <string>

namespace mend::patchc {

struct LinkOptions {
  std::string language;
  // What to call objects whose files are temporary.
  std::map<std::string, std::string> names;
};

// `arguments`: what Clang's driver would give to the linker. Returns the exit code; errors are on
// standard error.
int LinkProgram(const LinkOptions& options, const llvm::opt::ArgStringList& arguments);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_LINK_LINK_H_
