// What a hosted program shows of itself to the native libraries of its process: plugins that refer
// to functions and data of the program that opens them, and libraries that call back by name.
//
// A native executable's dynamic symbol table does that. The hosted program has none, so it gets a
// shared library made in memory that consists of nothing but one: absolute symbols whose values are
// the addresses that hosted code uses, opened for the whole process before anything of the program
// runs. A function's address is its entry, which goes to its newest version.
//
// It comes behind the libraries that the program was linked with, so what these define as well
// stays theirs.
//
// A guest module that is opened with RTLD_GLOBAL has such a library, too.
#ifndef MEND_MEND_PROGRAM_EXPORTS_H_
#define MEND_MEND_PROGRAM_EXPORTS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "jit/session.h"
#include "runtime/base/code_address.h"
#include "runtime/module/module_loader.h"

namespace mend {

struct AbsoluteSymbol {
  std::string name;
  CodeAddress address;
};

// A shared library (ELF64, x86-64) that defines these symbols and contains nothing else. Names must
// be distinct.
std::string MakeSymbolLibrary(const std::vector<AbsoluteSymbol>& symbols);

// A library of MakeSymbolLibrary that the whole process sees.
class SymbolLibrary {
 public:
  SymbolLibrary() = default;
  // UNAVAILABLE says what the system refused. `stays`: it is never closed.
  static absl::StatusOr<SymbolLibrary> Open(const std::vector<AbsoluteSymbol>& symbols, bool stays);

  bool is_open() const { return handle_ != nullptr; }
  // The process does not see it any more, unless a library that is still loaded has found a symbol
  // in it: then the native loader keeps it until that one goes.
  void Close();
  // Has the process see it again, while the loader keeps it; false when it does not.
  bool Reopen();
  bool IsKept() const;

 private:
  void* handle_ = nullptr;
  std::string path_;
};

// What the guest module's file exports (its dynamic symbols), as the session has linked it.
std::vector<AbsoluteSymbol> ExportsOfModule(const GuestModule& module);

// Shows what the section `mend_exports` (program_image.h) of this process's executable names.
// Called once, when the program is linked, by its only thread. On an error libraries see nothing of
// the program, and nothing else has changed; UNAVAILABLE says what the system refused.
absl::Status ShowProgramToLibraries(const jit::Session& session);
// Whether the linker would have shown the program's symbol of that name. All are where the program
// is not one of the linker's (an embedding host).
bool IsShownToLibraries(const std::string& name);

}  // namespace mend

#endif  // MEND_MEND_PROGRAM_EXPORTS_H_
