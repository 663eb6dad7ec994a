#include "patchc/compile/precompiled_header.h"

#include <clang/Basic/FileManager.h>
#include <clang/Lex/PreprocessorOptions.h>
#include <clang/Serialization/ASTReader.h>
#include <llvm/ADT/STLExtras.h>

#include <string>

namespace mend::patchc {

void IncludeHeaderSources(clang::CompilerInstance& clang) {
  clang::PreprocessorOptions& options = clang.getPreprocessorOpts();
  if (options.ImplicitPCHInclude.empty()) return;
  clang::FileManager files(clang.getFileSystemOpts(), clang.getVirtualFileSystemPtr());
  const std::string source = clang::ASTReader::getOriginalSourceFile(
      options.ImplicitPCHInclude, files, clang.getPCHContainerReader(), clang.getDiagnostics());
  if (source.empty()) return;
  options.ImplicitPCHInclude.clear();
  if (!llvm::is_contained(options.Includes, source)) {
    options.Includes.insert(options.Includes.begin(), source);
  }
}

}  // namespace mend::patchc
