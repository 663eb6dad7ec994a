#include "patchc/clang_runner.h"

#include <clang/Driver/Job.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/VirtualFileSystem.h>
#include <llvm/Support/raw_ostream.h>

#include <utility>

#include "patchc/driver_session.h"
#include "patchc/unit_compiler.h"

namespace mend::patchc {
namespace {

// The disk with the overlay's files in front, seen from `directory`.
llvm::IntrusiveRefCntPtr<llvm::vfs::FileSystem> FilesOf(const CompileRequest& request) {
  // A file system with a working directory of its own: the process' stays as it is.
  llvm::IntrusiveRefCntPtr<llvm::vfs::FileSystem> disk(
      llvm::vfs::createPhysicalFileSystem().release());
  auto files = llvm::makeIntrusiveRefCnt<llvm::vfs::OverlayFileSystem>(disk);
  auto memory = llvm::makeIntrusiveRefCnt<llvm::vfs::InMemoryFileSystem>();
  for (const auto& [path, contents] : request.overlay) {
    memory->addFile(path, /*ModificationTime=*/0,
                    llvm::MemoryBuffer::getMemBuffer(contents, path));
  }
  files->pushOverlay(memory);
  return files;
}

}  // namespace

CompileResult ClangRunner::Compile(const CompileRequest& request) {
  CompileResult result;
  llvm::raw_string_ostream messages(result.diagnostics);
  const llvm::IntrusiveRefCntPtr<llvm::vfs::FileSystem> files = FilesOf(request);
  if (std::error_code error = files->setCurrentWorkingDirectory(request.directory)) {
    messages << "error: cannot work in " << request.directory << ": " << error.message() << "\n";
    return result;
  }
  std::vector<std::string> notes;
  std::vector<std::string> arguments = {"-c", "-o", request.output};
  for (std::string& argument : WithoutDropped(request.arguments, notes)) {
    arguments.push_back(std::move(argument));
  }
  DriverSession session(request.language, arguments, files, &messages);
  if (session.compilation() == nullptr) return result;

  const clang::driver::Command* compile = nullptr;
  for (const clang::driver::Command& job : session.compilation()->getJobs()) {
    if (!EmitsObject(job.getArguments())) continue;
    if (compile != nullptr) {
      messages << "error: the arguments compile more than one source\n";
      return result;
    }
    compile = &job;
  }
  if (compile == nullptr) {
    messages << "error: the arguments compile no source\n";
    return result;
  }
  UnitIdentity identity = session.IdentityOf(*compile);
  identity.arguments.assign(request.arguments.begin(), request.arguments.end());
  identity.output = request.output;
  UnitOptions options;
  options.files = files;
  options.diagnostics = &messages;
  options.embed_sources = embed_sources_;
  options.write_dependency_file = false;
  UnitResult unit = CompileUnit(
      llvm::ArrayRef<const char*>(compile->getArguments()).drop_front(), identity, options);
  result.ok = unit.ok;
  result.object = std::move(unit.object);
  result.description = std::move(unit.description);
  result.sources = std::move(unit.sources);
  return result;
}

}  // namespace mend::patchc
