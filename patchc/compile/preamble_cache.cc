#include "patchc/compile/preamble_cache.h"

#include <clang/Basic/DiagnosticIDs.h>
#include <clang/Basic/DiagnosticOptions.h>
#include <clang/Serialization/PCHContainerOperations.h>
#include <llvm/ADT/IntrusiveRefCntPtr.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/VirtualFileSystem.h>

#include <memory>
#include <utility>

namespace mend::patchc {
namespace {

// The unit's main source; nullptr when it is no file, or cannot be read.
std::unique_ptr<llvm::MemoryBuffer> MainSource(clang::CompilerInstance& clang) {
  const auto& inputs = clang.getFrontendOpts().Inputs;
  if (inputs.size() != 1 || !inputs.front().isFile()) return nullptr;
  auto buffer = clang.getVirtualFileSystem().getBufferForFile(inputs.front().getFile());
  return buffer ? std::move(*buffer) : nullptr;
}

}  // namespace

void PreambleCache::Keep(const std::string& unit, clang::CompilerInstance& clang) {
  preambles_.erase(unit);
  const std::unique_ptr<llvm::MemoryBuffer> source = MainSource(clang);
  if (source == nullptr) return;
  const clang::PreambleBounds bounds =
      clang::ComputePreambleBounds(clang.getLangOpts(), *source, /*MaxLines=*/0);
  if (bounds.Size == 0) return;
  // What is wrong with the unit, its compilation says.
  clang::DiagnosticOptions options;
  const auto diagnostics = llvm::makeIntrusiveRefCnt<clang::DiagnosticsEngine>(
      clang::DiagnosticIDs::create(), options, new clang::IgnoringDiagConsumer);
  clang::PreambleCallbacks callbacks;
  llvm::ErrorOr<clang::PrecompiledPreamble> preamble = clang::PrecompiledPreamble::Build(
      clang.getInvocation(), source.get(), bounds, diagnostics, clang.getVirtualFileSystemPtr(),
      std::make_shared<clang::PCHContainerOperations>(), /*StoreInMemory=*/true,
      /*StoragePath=*/"", callbacks);
  if (preamble) preambles_.emplace(unit, std::move(*preamble));
}

bool PreambleCache::Use(const std::string& unit, clang::CompilerInstance& clang) {
  const auto found = preambles_.find(unit);
  if (found == preambles_.end()) return false;
  std::unique_ptr<llvm::MemoryBuffer> source = MainSource(clang);
  if (source == nullptr) return false;
  const clang::PreambleBounds bounds =
      clang::ComputePreambleBounds(clang.getLangOpts(), *source, /*MaxLines=*/0);
  if (!found->second.CanReuse(clang.getInvocation(), *source, bounds,
                              clang.getVirtualFileSystem())) {
    return false;
  }
  llvm::IntrusiveRefCntPtr<llvm::vfs::FileSystem> files = clang.getVirtualFileSystemPtr();
  // The source manager takes the buffer over.
  found->second.AddImplicitPreamble(clang.getInvocation(), files, source.release());
  clang.setVirtualFileSystem(std::move(files));
  return true;
}

}  // namespace mend::patchc
