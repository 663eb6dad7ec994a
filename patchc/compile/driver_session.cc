#include "patchc/compile/driver_session.h"

#include <clang/Basic/DiagnosticIDs.h>
#include <clang/Driver/Action.h>
#include <clang/Driver/Job.h>
#include <clang/Driver/ToolChain.h>
#include <clang/Frontend/CompilerInvocation.h>
#include <clang/Frontend/TextDiagnosticPrinter.h>
#include <clang/Options/Options.h>
#include <llvm/ADT/STLExtras.h>
#include <llvm/ADT/SmallString.h>
#include <llvm/Option/Arg.h>
#include <llvm/Support/Path.h>
#include <llvm/Support/Program.h>
#include <llvm/TargetParser/Host.h>

#include <cstdlib>
#include <utility>

#include "patchc/support/toolchain.h"

namespace mend::patchc {
namespace {

// Options that say where results go or what to link, not how the unit is compiled.
bool IsOfTheUnit(const llvm::opt::Arg& argument) {
  namespace options = clang::options;
  if (argument.getOption().hasFlag(options::LinkerInput) ||
      argument.getOption().hasFlag(options::LinkOption)) {
    return false;
  }
  switch (argument.getOption().getID()) {
    case options::OPT_o:
    case options::OPT_c:
    case options::OPT_l:
    case options::OPT_L:
    case options::OPT_Wl_COMMA:
    case options::OPT_Xlinker:
    case options::OPT_M:
    case options::OPT_MM:
    case options::OPT_MD:
    case options::OPT_MMD:
    case options::OPT_MF:
    case options::OPT_MT:
    case options::OPT_MQ:
    case options::OPT_MP:
    case options::OPT_MG:
    case options::OPT_MJ:
      return false;
    default:
      return true;
  }
}

// The driver's arguments for what kIncludeVariables say.
std::vector<std::string> EnvironmentArguments() {
  std::vector<std::string> arguments;
  for (const auto& [variable, option] : kIncludeVariables) {
    const char* const folders = std::getenv(variable);
    if (folders == nullptr || *folders == '\0') continue;
    llvm::SmallVector<llvm::StringRef, 4> names;
    llvm::StringRef(folders).split(names, llvm::sys::EnvPathSeparator);
    for (const llvm::StringRef name : names) {
      // An empty one is the working directory, as for the driver.
      arguments.insert(arguments.end(),
                       {"-Xclang", option, "-Xclang", name.empty() ? "." : name.str()});
    }
  }
  return arguments;
}

// The source that a chain of actions begins with.
const clang::driver::InputAction* InputOf(const clang::driver::Action& action) {
  const clang::driver::Action* at = &action;
  while (!llvm::isa<clang::driver::InputAction>(at)) {
    if (at->getInputs().empty()) return nullptr;
    at = at->getInputs().front();
  }
  return llvm::cast<clang::driver::InputAction>(at);
}

// Why an option is not passed on to Clang, or nullptr.
const char* WhyDropped(llvm::StringRef option) {
  if (option == "-flto" || option.starts_with("-flto=") || option.starts_with("-flto-jobs=") ||
      option == "-ffat-lto-objects" || option == "-funified-lto" || option == "-fsplit-lto-unit" ||
      option == "-fwhole-program-vtables" || option == "-fvirtual-function-elimination") {
    return "patchable units are compiled one by one";
  }
  if (option == "-static" || option == "-static-libgcc" || option == "-static-libstdc++") {
    return "a hosted program shares its libraries with its host";
  }
  if (option == "-save-temps" || option.starts_with("-save-temps=") ||
      option == "-fno-integrated-as") {
    return "patchable objects are made in one step";
  }
  if (option == "-gz" || (option.starts_with("-gz=") && option != "-gz=none")) {
    return "the host and its debugger interface read debug information as it is";
  }
  if (option == "-ftime-trace" || option.starts_with("-ftime-trace=")) {
    return "it is Clang's own command that writes a trace";
  }
  if (option.starts_with("-fpatchable-function-entry=")) {
    return "the entries of patchable functions are mend's";
  }
  if (option == "-pg") return "gprof knows no hosted code; perf does (mend run --perf)";
  return nullptr;
}

}  // namespace

DriverSession::DriverSession(const std::string& language, const std::vector<std::string>& arguments,
                             llvm::IntrusiveRefCntPtr<llvm::vfs::FileSystem> files,
                             llvm::raw_ostream* messages)
    : language_(language), files_(std::move(files)) {
  InitializeCodeGenerator();
  const std::string clang_path = ClangPath(language);
  llvm::SmallVector<const char*, 64> all = {strings_.save(clang_path).data()};
  std::vector<std::string> of_clang = arguments;
  loops_ = TakeLoopFlags(of_clang);
  for (const std::string& argument : of_clang) all.push_back(strings_.save(argument).data());
  diagnostic_options_ = clang::CreateAndPopulateDiagOpts(all);
  auto* printer = new clang::TextDiagnosticPrinter(messages != nullptr ? *messages : llvm::errs(),
                                                   *diagnostic_options_);
  printer->setPrefix("patchc");
  diagnostics_ = std::make_unique<clang::DiagnosticsEngine>(clang::DiagnosticIDs::create(),
                                                            *diagnostic_options_, printer);
  clang::ProcessWarningOptions(*diagnostics_, *diagnostic_options_, *files_,
                               /*ReportDiags=*/false);
  driver_ = std::make_unique<clang::driver::Driver>(clang_path, llvm::sys::getDefaultTargetTriple(),
                                                    *diagnostics_, "clang LLVM compiler", files_);
  driver_->setTargetAndMode(clang::driver::ToolChain::getTargetAndModeFromProgramName(clang_path));
  compilation_.reset(driver_->BuildCompilation(all));
  if (compilation_ != nullptr &&
      (compilation_->containsError() || diagnostics_->hasErrorOccurred())) {
    compilation_.reset();
  }
}

UnitIdentity DriverSession::IdentityOf(const clang::driver::Command& job) const {
  UnitIdentity identity;
  identity.language = language_;
  if (llvm::ErrorOr<std::string> directory = files_->getCurrentWorkingDirectory()) {
    identity.directory = *directory;
  }
  if (const clang::driver::InputAction* input = InputOf(job.getSource())) {
    identity.source = input->getInputArg().getValue();
  }
  identity.arguments = UnitArguments(identity.source);
  identity.loops = loops_;
  if (!job.getOutputFilenames().empty()) identity.output = job.getOutputFilenames().front();
  // The name of a temporary file says nothing, and would be another one at the next build.
  if (llvm::is_contained(compilation_->getTempFiles(), identity.output)) {
    llvm::SmallString<128> name(llvm::sys::path::filename(identity.source));
    llvm::sys::path::replace_extension(name, "o");
    identity.output = name.str().str();
  }
  return identity;
}

std::vector<std::string> DriverSession::UnitArguments(const std::string& source) const {
  llvm::opt::ArgStringList rendered;
  const llvm::opt::InputArgList& arguments = compilation_->getInputArgs();
  for (const llvm::opt::Arg* argument : arguments) {
    if (argument->getOption().getKind() == llvm::opt::Option::InputClass) {
      if (argument->getValue() == source) argument->render(arguments, rendered);
      continue;
    }
    if (IsOfTheUnit(*argument)) argument->render(arguments, rendered);
  }
  std::vector<std::string> result = LoopArguments(loops_);
  result.insert(result.end(), rendered.begin(), rendered.end());
  const std::vector<std::string> environment = EnvironmentArguments();
  result.insert(result.end(), environment.begin(), environment.end());
  return result;
}

std::vector<std::string> WithoutDropped(const std::vector<std::string>& arguments,
                                        std::vector<std::string>& notes) {
  std::vector<std::string> kept;
  for (const std::string& argument : arguments) {
    const char* reason = WhyDropped(argument);
    if (reason == nullptr) {
      kept.push_back(argument);
      continue;
    }
    std::string note = argument + " is dropped: " + reason;
    if (!llvm::is_contained(notes, note)) notes.push_back(std::move(note));
  }
  return kept;
}

}  // namespace mend::patchc
