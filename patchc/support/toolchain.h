// Where the tools are that patchc works with: Clang's executable (for its headers, its driver's
// defaults, and what patchc does not do itself), the linker, and mend's own runtime.
#ifndef MEND_PATCHC_SUPPORT_TOOLCHAIN_H_
#define MEND_PATCHC_SUPPORT_TOOLCHAIN_H_

#include <string>

namespace mend::patchc {

// `language`: "c" or "c++".
std::string ClangPath(const std::string& language);
std::string LinkerPath();

// The folder of libmend.so, and the launcher's object file: beside patchc's own executable, in the
// build tree as when installed.
std::string RuntimeDirectory();
std::string LauncherPath();
std::string StaticPoolPath();  // jit/program/static_pool.h
// Of <mend/...>.
std::string IncludeDirectory();

// "clang version ...; mend ...": what objects record as their compiler.
std::string CompilerVersion();

// Registers LLVM's x86-64 code generator; cheap when done already.
void InitializeCodeGenerator();

}  // namespace mend::patchc

#endif  // MEND_PATCHC_SUPPORT_TOOLCHAIN_H_
