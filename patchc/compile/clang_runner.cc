#include "patchc/compile/clang_runner.h"

#include <clang/Driver/Job.h>
#include <llvm/ADT/SmallString.h>
#include <llvm/ADT/Twine.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/Path.h>
#include <llvm/Support/VirtualFileSystem.h>
#include <llvm/Support/raw_ostream.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "patchc/compile/driver_session.h"
#include "patchc/compile/unit_compiler.h"

namespace mend::patchc {
namespace {

// The disk, with a working directory of its own that need not exist: a source tree may have moved
// since the program was built. The process' own stays as it is.
class DiskFrom : public llvm::vfs::ProxyFileSystem {
 public:
  explicit DiskFrom(std::string directory)
      : ProxyFileSystem(llvm::vfs::getRealFileSystem()), directory_(std::move(directory)) {}

  // Names follow llvm::vfs::FileSystem's.
  llvm::ErrorOr<llvm::vfs::Status> status(const llvm::Twine& path) override {
    llvm::ErrorOr<llvm::vfs::Status> found = ProxyFileSystem::status(Absolute(path));
    // By the name it was asked for.
    return found ? llvm::vfs::Status::copyWithNewName(*found, path) : found;
  }
  llvm::ErrorOr<std::unique_ptr<llvm::vfs::File>> openFileForRead(
      const llvm::Twine& path) override {
    return llvm::vfs::File::getWithPath(ProxyFileSystem::openFileForRead(Absolute(path)), path);
  }
  llvm::vfs::directory_iterator dir_begin(const llvm::Twine& path,
                                          std::error_code& error) override {
    return ProxyFileSystem::dir_begin(Absolute(path), error);
  }
  bool exists(const llvm::Twine& path) override { return ProxyFileSystem::exists(Absolute(path)); }
  std::error_code getRealPath(const llvm::Twine& path, llvm::SmallVectorImpl<char>& real) override {
    return ProxyFileSystem::getRealPath(Absolute(path), real);
  }
  llvm::ErrorOr<std::string> getCurrentWorkingDirectory() const override { return directory_; }
  std::error_code setCurrentWorkingDirectory(const llvm::Twine& path) override {
    directory_ = Absolute(path);
    return {};
  }

 private:
  std::string Absolute(const llvm::Twine& path) const {
    llvm::SmallString<256> absolute;
    path.toVector(absolute);
    llvm::sys::path::make_absolute(directory_, absolute);
    return absolute.str().str();
  }

  std::string directory_;
};

// The disk with the overlay's files in front, seen from the request's directory.
llvm::IntrusiveRefCntPtr<llvm::vfs::FileSystem> FilesOf(const CompileRequest& request) {
  const auto disk = llvm::makeIntrusiveRefCnt<DiskFrom>(request.directory);
  auto files = llvm::makeIntrusiveRefCnt<llvm::vfs::OverlayFileSystem>(disk);
  auto memory = llvm::makeIntrusiveRefCnt<llvm::vfs::InMemoryFileSystem>();
  for (const auto& [path, contents] : request.overlay) {
    memory->addFile(path, /*ModificationTime=*/0, llvm::MemoryBuffer::getMemBuffer(contents, path));
  }
  files->pushOverlay(memory);
  return files;
}

// Whether a source may make errors of warnings by a pragma (clang's or GCC's, in _Pragma too). What
// system headers have is theirs.
bool HasDiagnosticPragma(const CompileRequest& request) {
  return std::any_of(request.overlay.begin(), request.overlay.end(), [](const auto& file) {
    return file.second.find("diagnostic") != std::string::npos;
  });
}

// A request as Clang's driver understands it.
class UnitSession {
 public:
  // `messages` gets what is wrong with the request.
  UnitSession(const CompileRequest& request, llvm::raw_ostream& messages)
      : files_(FilesOf(request)) {
    if (std::error_code error = files_->setCurrentWorkingDirectory(request.directory)) {
      messages << "error: cannot work in " << request.directory << ": " << error.message() << "\n";
      return;
    }
    std::vector<std::string> notes;
    std::vector<std::string> arguments = {"-c", "-o", request.output};
    for (std::string& argument : WithoutDropped(request.arguments, notes)) {
      arguments.push_back(std::move(argument));
    }
    session_ = std::make_unique<DriverSession>(request.language, arguments, files_, &messages);
    if (session_->compilation() == nullptr) return;
    for (const clang::driver::Command& job : session_->compilation()->getJobs()) {
      if (!EmitsObject(job.getArguments())) continue;
      if (compile_ != nullptr) {
        messages << "error: the arguments compile more than one source\n";
        compile_ = nullptr;
        return;
      }
      compile_ = &job;
    }
    if (compile_ == nullptr) messages << "error: the arguments compile no source\n";
  }

  bool ok() const { return compile_ != nullptr; }
  llvm::ArrayRef<const char*> arguments() const {
    return llvm::ArrayRef<const char*>(compile_->getArguments()).drop_front();
  }
  llvm::IntrusiveRefCntPtr<llvm::vfs::FileSystem> files() const { return files_; }
  UnitIdentity IdentityFor(const CompileRequest& request) const {
    UnitIdentity identity = session_->IdentityOf(*compile_);
    identity.arguments.assign(request.arguments.begin(), request.arguments.end());
    identity.output = request.output;
    return identity;
  }

 private:
  llvm::IntrusiveRefCntPtr<llvm::vfs::FileSystem> files_;
  std::unique_ptr<DriverSession> session_;
  const clang::driver::Command* compile_ = nullptr;
};

}  // namespace

CompileResult ClangRunner::Compile(const CompileRequest& request) {
  CompileResult result;
  llvm::raw_string_ostream messages(result.diagnostics);
  const UnitSession session(request, messages);
  if (!session.ok()) return result;
  UnitOptions options;
  options.files = session.files();
  options.diagnostics = &messages;
  options.embedded_sources = embed_sources_ ? EmbeddedSources::kAll : EmbeddedSources::kNone;
  options.side_outputs = false;
  options.known_functions = request.known_functions;
  options.source_date_s = request.source_date_s;
  options.ignore_warnings = request.errors_only && !HasDiagnosticPragma(request);
  if (!request.records.empty()) {
    for (const std::string& record : request.records) result.record_uses[record];
    result.ok = FindRecordUses(session.arguments(), options, &result.record_uses);
    return result;
  }
  if (request.unedited) options.preambles = &preambles_;
  UnitResult unit = CompileUnit(session.arguments(), session.IdentityFor(request), options);
  result.ok = unit.ok;
  result.object = std::move(unit.object);
  result.description = std::move(unit.description);
  result.sources = std::move(unit.sources);
  result.module_sources = std::move(unit.module_sources);
  result.facts = std::move(unit.facts);
  result.left_out = std::move(unit.left_out);
  result.used_preamble = unit.used_preamble;
  return result;
}

void ClangRunner::KeepPreamble(const CompileRequest& edited) {
  if (!edited.unedited.has_value()) return;
  CompileRequest request = edited;
  request.overlay[edited.unedited->path] = edited.unedited->contents;
  llvm::raw_null_ostream nowhere;
  const UnitSession session(request, nowhere);
  if (!session.ok()) return;
  UnitOptions options;
  options.files = session.files();
  options.diagnostics = &nowhere;
  options.side_outputs = false;
  options.source_date_s = request.source_date_s;
  options.preambles = &preambles_;
  mend::patchc::KeepPreamble(session.arguments(), session.IdentityFor(request), options);
}

}  // namespace mend::patchc
