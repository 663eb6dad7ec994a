#include "patchc/commands/driver.h"

#include <clang/Driver/Action.h>
#include <clang/Driver/Driver.h>
#include <clang/Driver/Job.h>
#include <clang/Options/Options.h>
#include <llvm/ADT/STLExtras.h>
#include <llvm/ADT/SmallVector.h>
#include <llvm/ADT/StringRef.h>
#include <llvm/Support/Allocator.h>
#include <llvm/Support/StringSaver.h>
#include <llvm/Support/VirtualFileSystem.h>
#include <llvm/Support/raw_ostream.h>

#include <map>
#include <set>
#include <string>
#include <utility>

#include "patchc/compile/driver_session.h"
#include "patchc/compile/unit_compiler.h"
#include "patchc/link/link.h"
#include "patchc/support/write_file.h"

namespace mend::patchc {
namespace {

using clang::driver::Command;
using clang::driver::Compilation;

bool WriteObject(const UnitResult& unit) {
  if (unit.output_file == "-") {
    llvm::outs() << unit.object;
    return true;
  }
  const absl::Status written = WriteFile(unit.output_file, unit.object);
  if (written.ok()) return true;
  llvm::errs() << "patchc: error: " << std::string(written.message()) << "\n";
  return false;
}

// Runs the jobs of one invocation, like Clang's driver: a job whose inputs failed is skipped.
class JobRunner {
 public:
  JobRunner(DriverSession& session, std::string language, EmbeddedSources embedded_sources)
      : session_(session),
        compilation_(*session.compilation()),
        language_(std::move(language)),
        embedded_sources_(embedded_sources) {}

  int RunAll() {
    for (const Command& job : compilation_.getJobs()) {
      if (EmitsObject(job.getArguments())) last_compile_ = &job;
    }
    for (const Command& job : compilation_.getJobs()) {
      if (DependsOnFailed(job.getSource())) continue;
      // One command per step, Clang's: libtool takes what it links by itself from these lines.
      if (compilation_.getArgs().hasArg(clang::options::OPT_v)) {
        job.Print(llvm::errs(), "\n", /*Quote=*/false);
      }
      const int result = Run(job);
      if (result == 0) continue;
      failed_.insert(&job.getSource());
      // The first failure is the exit code, as with Clang.
      if (exit_code_ == 0) exit_code_ = result;
      RemoveResults(job);
    }
    compilation_.CleanupFileList(compilation_.getTempFiles());
    return exit_code_;
  }

 private:
  int Run(const Command& job) {
    if (EmitsObject(job.getArguments())) return RunCompile(job);
    if (llvm::isa<clang::driver::LinkJobAction>(job.getSource())) {
      return LinkProgram({language_, names_}, job.getArguments());
    }
    std::string message;
    bool failed = false;
    const int result = job.Execute({}, &message, &failed);
    if (failed) llvm::errs() << "patchc: error: " << message << "\n";
    // Ended by a signal.
    return result < 0 ? 1 : result;
  }

  int RunCompile(const Command& job) {
    UnitOptions options;
    options.files = llvm::vfs::getRealFileSystem();
    options.embedded_sources = embedded_sources_;
    // Only what is compiled last is followed by the end of the process.
    options.leak = &job == last_compile_;
    const UnitIdentity identity = session_.IdentityOf(job);
    const UnitResult unit = CompileUnit(
        llvm::ArrayRef<const char*>(job.getArguments()).drop_front(), identity, options);
    names_[unit.output_file] = identity.output;
    return unit.ok && WriteObject(unit) ? 0 : 1;
  }

  bool DependsOnFailed(const clang::driver::Action& action) const {
    if (failed_.contains(&action)) return true;
    for (const clang::driver::Action* input : action.getInputs()) {
      if (DependsOnFailed(*input)) return true;
    }
    return false;
  }

  void RemoveResults(const Command& job) {
    const auto* action = llvm::dyn_cast<clang::driver::JobAction>(&job.getSource());
    if (action == nullptr) return;
    compilation_.CleanupFileMap(compilation_.getResultFiles(), action, /*IssueErrors=*/true);
    compilation_.CleanupFileMap(compilation_.getFailureResultFiles(), action,
                                /*IssueErrors=*/true);
  }

  DriverSession& session_;
  Compilation& compilation_;
  const std::string language_;
  const EmbeddedSources embedded_sources_;
  std::set<const clang::driver::Action*> failed_;
  std::map<std::string, std::string> names_;
  const Command* last_compile_ = nullptr;
  int exit_code_ = 0;
};

// The arguments with those of response files in the place of `@FILE`. False after an error.
bool ExpandResponseFiles(std::vector<std::string>& arguments) {
  llvm::BumpPtrAllocator allocator;
  llvm::StringSaver strings(allocator);
  llvm::SmallVector<const char*, 64> all = {"patchc"};
  for (const std::string& argument : arguments) all.push_back(strings.save(argument).data());
  if (llvm::Error error =
          clang::driver::expandResponseFiles(all, /*ClangCLMode=*/false, allocator)) {
    llvm::errs() << "patchc: error: " << llvm::toString(std::move(error)) << "\n";
    return false;
  }
  arguments.assign(all.begin() + 1, all.end());
  return true;
}

// Takes mend's own options out of the arguments: they say nothing of how a unit is compiled. The
// last one counts.
EmbeddedSources TakeEmbeddedSources(std::vector<std::string>& arguments) {
  EmbeddedSources embedded = EmbeddedSources::kMain;
  std::erase_if(arguments, [&](const std::string& argument) {
    if (argument == "-fno-mend-embed-sources") {
      embedded = EmbeddedSources::kNone;
    } else if (argument == "-fmend-embed-sources") {
      embedded = EmbeddedSources::kMain;
    } else if (argument == "-fmend-embed-headers") {
      embedded = EmbeddedSources::kAll;
    } else {
      return false;
    }
    return true;
  });
  return embedded;
}

constexpr char kOwnOptions[] = R"(
OPTIONS OF MEND:
  -fmend-embed-headers    Put the headers of a unit into its object, not only its main source
  -fno-mend-embed-sources No sources in the object, and no headers of it in the program
  -fmend-embed-sources    The main source in the object (the default)
  -fmend-loops            Make functions of the bodies of endless loops, so that these take patches
                          on their next turn
  -fmend-loops=<name>,... The same, and of the outermost loops of the named functions
  -fno-mend-loops         Neither (the default)
)";

}  // namespace

int RunCompilerDriver(const std::string& language, const std::vector<std::string>& given) {
  std::vector<std::string> arguments = given;
  if (!ExpandResponseFiles(arguments)) return 1;
  if (llvm::is_contained(arguments, "-static-pie")) {
    llvm::errs() << "patchc: error: -static-pie: a hosted program shares its libraries with its "
                    "host; link without it\n";
    return 1;
  }
  const EmbeddedSources embedded_sources = TakeEmbeddedSources(arguments);
  std::vector<std::string> notes;
  const std::vector<std::string> kept = WithoutDropped(arguments, notes);
  for (const std::string& note : notes) llvm::errs() << "patchc: note: " << note << "\n";
  DriverSession session(language, kept, llvm::vfs::getRealFileSystem(), nullptr);
  Compilation* compilation = session.compilation();
  if (compilation == nullptr) return 1;
  if (compilation->getArgs().hasArg(clang::options::OPT__HASH_HASH_HASH)) {
    compilation->getJobs().Print(llvm::errs(), "\n", /*Quote=*/true);
    return 0;
  }
  if (compilation->getArgs().hasArg(clang::options::OPT_help)) llvm::outs() << kOwnOptions;
  return JobRunner(session, language, embedded_sources).RunAll();
}

}  // namespace mend::patchc
