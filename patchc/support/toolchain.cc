#include "patchc/support/toolchain.h"

#include <clang/Basic/Version.h>
#include <llvm/ADT/SmallString.h>
#include <llvm/Support/FileSystem.h>
#include <llvm/Support/Path.h>
#include <llvm/Support/TargetSelect.h>

namespace mend::patchc {

std::string ClangPath(const std::string& language) {
  return language == "c++" ? MEND_CLANG "++" : MEND_CLANG;
}

std::string LinkerPath() { return MEND_LINKER; }

std::string RuntimeDirectory() {
  // By its link in /proc: the name that it was called by may be anything.
  llvm::SmallString<256> directory;
  if (llvm::sys::fs::real_path("/proc/self/exe", directory)) return {};
  llvm::sys::path::remove_filename(directory);
  llvm::sys::path::append(directory, "..", "lib");
  llvm::sys::path::remove_dots(directory, /*remove_dot_dot=*/true);
  return directory.str().str();
}

std::string LauncherPath() { return RuntimeDirectory() + "/mend/launcher.o"; }

std::string StaticPoolPath() { return RuntimeDirectory() + "/mend/static_pool.o"; }

std::string IncludeDirectory() {
  llvm::SmallString<256> directory(RuntimeDirectory());
  llvm::sys::path::remove_filename(directory);
  llvm::sys::path::append(directory, "include");
  return directory.str().str();
}

std::string CompilerVersion() { return clang::getClangFullVersion() + "; mend " MEND_VERSION; }

void InitializeCodeGenerator() {
  static const bool done = [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    llvm::InitializeNativeTargetAsmParser();
    return true;
  }();
  (void)done;
}

}  // namespace mend::patchc
