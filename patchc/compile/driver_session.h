// DriverSession: Clang's driver, in this process: from a user's arguments to the jobs that Clang
// would run. What becomes of the jobs is the caller's business.
#ifndef MEND_PATCHC_COMPILE_DRIVER_SESSION_H_
#define MEND_PATCHC_COMPILE_DRIVER_SESSION_H_

#include <clang/Basic/Diagnostic.h>
#include <clang/Basic/DiagnosticOptions.h>
#include <clang/Driver/Compilation.h>
#include <clang/Driver/Driver.h>
#include <llvm/Support/Allocator.h>
#include <llvm/Support/StringSaver.h>
#include <llvm/Support/VirtualFileSystem.h>
#include <llvm/Support/raw_ostream.h>

#include <memory>
#include <string>
#include <vector>

#include "patchc/compile/unit_compiler.h"

namespace mend::patchc {

// A variable of the environment that names folders of headers to Clang's driver, which passes each
// to the compiler by the option. A unit's arguments have what they said when it was compiled.
struct IncludeVariable {
  const char* name;
  const char* option;
};
inline constexpr IncludeVariable kIncludeVariables[] = {
    {"CPATH", "-I"}, {"C_INCLUDE_PATH", "-c-isystem"}, {"CPLUS_INCLUDE_PATH", "-cxx-isystem"}};

class DriverSession {
 public:
  // `language`: "c" or "c++". `messages`: nullptr is standard error.
  DriverSession(const std::string& language, const std::vector<std::string>& arguments,
                llvm::IntrusiveRefCntPtr<llvm::vfs::FileSystem> files, llvm::raw_ostream* messages);

  // nullptr when the driver has reported errors.
  clang::driver::Compilation* compilation() const { return compilation_.get(); }
  clang::driver::Driver& driver() { return *driver_; }

  // What the object that `job` compiles records about itself.
  UnitIdentity IdentityOf(const clang::driver::Command& job) const;

 private:
  std::vector<std::string> UnitArguments(const std::string& source) const;

  const std::string language_;
  LoopFlags loops_;
  llvm::IntrusiveRefCntPtr<llvm::vfs::FileSystem> files_;
  llvm::BumpPtrAllocator allocator_;
  llvm::StringSaver strings_{allocator_};
  std::unique_ptr<clang::DiagnosticOptions> diagnostic_options_;
  std::unique_ptr<clang::DiagnosticsEngine> diagnostics_;
  std::unique_ptr<clang::driver::Driver> driver_;
  std::unique_ptr<clang::driver::Compilation> compilation_;
};

// The arguments without what makes no sense for hosted programs (-flto, -static, ...). `notes`
// gets a line for each of those, for people.
std::vector<std::string> WithoutDropped(const std::vector<std::string>& arguments,
                                        std::vector<std::string>& notes);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPILE_DRIVER_SESSION_H_
