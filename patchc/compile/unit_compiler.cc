#include "patchc/compile/unit_compiler.h"

#include <clang/AST/GlobalDecl.h>
#include <clang/Basic/DiagnosticIDs.h>
#include <clang/Basic/DiagnosticOptions.h>
#include <clang/CodeGen/CodeGenAction.h>
#include <clang/CodeGen/ModuleBuilder.h>
#include <clang/Frontend/ASTUnit.h>
#include <clang/Frontend/CompilerInstance.h>
#include <clang/Frontend/CompilerInvocation.h>
#include <clang/Frontend/MultiplexConsumer.h>
#include <clang/Frontend/TextDiagnosticBuffer.h>
#include <clang/Frontend/TextDiagnosticPrinter.h>
#include <clang/Frontend/Utils.h>
#include <clang/Lex/PPCallbacks.h>
#include <clang/Lex/Preprocessor.h>
#include <clang/Lex/PreprocessorOptions.h>
#include <clang/Serialization/ASTReader.h>
#include <elf.h>
#include <llvm/ADT/STLExtras.h>
#include <llvm/ADT/SmallString.h>
#include <llvm/ADT/StringRef.h>
#include <llvm/Support/BuryPointer.h>
#include <llvm/Support/CommandLine.h>
#include <llvm/Support/FileSystem.h>
#include <llvm/Support/FileUtilities.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/TargetParser/Triple.h>
#include <time.h>

#include <map>
#include <memory>
#include <set>
#include <shared_mutex>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "patchc/codegen/codegen_passes.h"
#include "patchc/compile/frame_records.h"
#include "patchc/compile/precompiled_header.h"
#include "patchc/compile/records.h"
#include "patchc/compile/unit_sources.h"
#include "patchc/object/fingerprint.h"
#include "patchc/object/object_writer.h"
#include "patchc/object/stack_switches.h"
#include "patchc/support/toolchain.h"

namespace mend::patchc {
namespace {

// Notes what __DATE__ and __TIME__ are made of, if the unit asks for them.
class DateCollector : public clang::PPCallbacks {
 public:
  DateCollector(const clang::PreprocessorOptions& options, uint64_t& source_date_s)
      : options_(options), source_date_s_(source_date_s) {}

  void MacroExpands(const clang::Token& name, const clang::MacroDefinition& /*definition*/,
                    clang::SourceRange /*range*/, const clang::MacroArgs* /*arguments*/) override {
    const clang::IdentifierInfo* const identifier = name.getIdentifierInfo();
    if (source_date_s_ != 0 || identifier == nullptr ||
        (!identifier->isStr("__DATE__") && !identifier->isStr("__TIME__"))) {
      return;
    }
    if (options_.SourceDateEpoch) {
      source_date_s_ = *options_.SourceDateEpoch;
      return;
    }
    // Clang asks the clock right after this, and takes the local time.
    const time_t now = time(nullptr);
    tm local = {};
    localtime_r(&now, &local);
    source_date_s_ = static_cast<uint64_t>(timegm(&local));
  }

 private:
  const clang::PreprocessorOptions& options_;
  uint64_t& source_date_s_;
};

// Keeps the syntax tree while machine code is made, if somebody asks it afterwards.
class TreeKeeper : public clang::ASTConsumer {
 public:
  TreeKeeper(const LocalBodies& bodies, clang::CodeGenOptions& options)
      : bodies_(bodies), options_(options) {}

  void HandleTranslationUnit(clang::ASTContext& /*context*/) override {
    if (bodies_.AreSeveral()) options_.ClearASTBeforeBackend = false;
  }

 private:
  const LocalBodies& bodies_;
  clang::CodeGenOptions& options_;
};

// Emits an object; collects what its description needs while the syntax tree exists.
class DescribingAction : public clang::EmitObjAction {
 public:
  explicit DescribingAction(UnitResult& result) : result_(result) {}

 protected:
  std::unique_ptr<clang::ASTConsumer> CreateASTConsumer(clang::CompilerInstance& clang,
                                                        llvm::StringRef file) override {
    std::unique_ptr<clang::ASTConsumer> emitter =
        clang::EmitObjAction::CreateASTConsumer(clang, file);
    if (emitter == nullptr) return nullptr;
    clang.getPreprocessor().addPPCallbacks(CollectIncludeNames(include_names_));
    clang.getPreprocessor().addPPCallbacks(std::make_unique<DateCollector>(
        clang.getPreprocessorOpts(), result_.description.source_date_s));
    std::vector<std::unique_ptr<clang::ASTConsumer>> consumers;
    // First: code generation may reuse what the syntax tree holds.
    consumers.push_back(CreateRecordCollector(
        &result_.description, &bodies_,
        [this](clang::GlobalDecl declaration) { return MangledName(declaration); }));
    consumers.push_back(std::make_unique<TreeKeeper>(bodies_, clang.getCodeGenOpts()));
    consumers.push_back(std::move(emitter));
    return std::make_unique<clang::MultiplexConsumer>(std::move(consumers));
  }

  void EndSourceFileAction() override {
    // A preamble's sources are read when they are asked for, which changes the table of files.
    if (!result_.used_preamble) CollectSources(getCompilerInstance(), include_names_, result_);
    if (bodies_.AreSeveral()) {
      bodies_.Describe(
          getCompilerInstance().getASTContext(),
          [this](clang::GlobalDecl declaration) { return MangledName(declaration); },
          result_.description.records);
    }
    const auto reader = isCurrentFileAST() ? getCurrentASTUnit().getASTReader()
                                           : getCompilerInstance().getASTReader();
    if (reader != nullptr) CollectModules(getCompilerInstance(), *reader, result_);
    clang::EmitObjAction::EndSourceFileAction();
  }

 private:
  std::string MangledName(clang::GlobalDecl declaration) {
    return getCodeGenerator()->GetMangledName(declaration).str();
  }

  UnitResult& result_;
  LocalBodies bodies_;
  IncludeNames include_names_;
};

// Sets what hosted code needs, whatever the user's flags say. At this level, and not as driver
// flags, so that their order does not matter and nothing is reported as unused.
void ForceOptions(clang::CompilerInvocation& invocation) {
  clang::CodeGenOptions& codegen = invocation.getCodeGenOpts();
  clang::LangOptions& language = invocation.getLangOpts();
  // A hosted program's own definitions win, as in an executable; so PIE, not PIC, for all objects.
  codegen.RelocationModel = llvm::Reloc::PIC_;
  language.PICLevel = 2;
  language.PIE = 1;
  language.SemanticInterposition = 0;
  codegen.CodeModel = "small";
  codegen.EmulatedTLS = false;
  // Each function in a section of its own: every reference between functions is a relocation.
  codegen.FunctionSections = true;
  codegen.DataSections = true;
  // Nobody looks for a function by its section's name, and each is a text of its own.
  codegen.UniqueSectionNames = false;
  codegen.UnwindTables = 2;
  // The stub is the first instruction of the entry. Hosted code runs without branch tracking.
  codegen.CFProtectionBranch = false;
  codegen.CFProtectionReturn = false;
  codegen.PatchableFunctionEntryCount = 0;
  codegen.PatchableFunctionEntryOffset = 0;
  codegen.NoPLT = false;
  codegen.Addrsig = false;
  // A destructor that only calls its base's would be that one, and could not change by itself.
  // Without optimisation only variants are one, which change together.
  if (codegen.OptimizationLevel > 0) codegen.CXXCtorDtorAliases = false;
  // Headers are read, as those of a precompiled one are: Clang would make modules of those that a
  // patch edits, and keep them in the build's cache.
  invocation.getHeaderSearchOpts().ImplicitModuleMaps = false;
  invocation.getFrontendOpts().ModuleMapFiles.clear();
  // <mend/livepatch.h>: after all others, so that a project's own folder of that name wins.
  invocation.getHeaderSearchOpts().AddPath(IncludeDirectory(), clang::frontend::After,
                                           /*IsFramework=*/false, /*IgnoreSysRoot=*/true);
}

// UnitOptions::side_outputs. None of it changes the code.
void DropSideOutputs(clang::CompilerInvocation& invocation) {
  invocation.getDependencyOutputOpts() = clang::DependencyOutputOptions();
  clang::FrontendOptions& frontend = invocation.getFrontendOpts();
  frontend.ModuleOutputPath.clear();
  frontend.StatsFile.clear();
  clang::DiagnosticOptions& diagnostics = invocation.getDiagnosticOpts();
  diagnostics.DiagnosticSerializationFile.clear();
  diagnostics.DiagnosticLogFile.clear();
  // Messages are text, for a report; Clang takes a printer for SARIF's by this.
  diagnostics.setFormat(clang::DiagnosticOptions::Clang);
  clang::CodeGenOptions& codegen = invocation.getCodeGenOpts();
  codegen.CoverageNotesFile.clear();
  codegen.OptRecordFile.clear();
  codegen.SplitDwarfFile.clear();
  codegen.SplitDwarfOutput.clear();
  codegen.StackUsageOutput.clear();
  codegen.TimePasses = false;
}

// LoopBodiesPass works on variables as the source has them: it needs to know which those are, what
// they are called, and where each begins and ends to live.
void DescribeVariables(clang::CompilerInvocation& invocation, LoopOptions& loops) {
  clang::CodeGenOptions& codegen = invocation.getCodeGenOpts();
  const llvm::codegenoptions::DebugInfoKind asked = codegen.getDebugInfo();
  loops.forget_lines = asked < llvm::codegenoptions::DebugLineTablesOnly;
  loops.forget_variables = asked < llvm::codegenoptions::DebugInfoConstructor;
  if (loops.forget_variables) codegen.setDebugInfo(llvm::codegenoptions::FullDebugInfo);
  loops.forget_lifetimes = codegen.OptimizationLevel == 0 || codegen.DisableLifetimeMarkers;
  codegen.DisableLifetimeMarkers = false;
  // Has lifetimes marked at -O0, too; nothing else without AddressSanitizer.
  codegen.SanitizeAddressUseAfterScope = true;
  codegen.DiscardValueNames = false;
  // Would run before the pass and take declarations apart.
  codegen.setAssignmentTrackingMode(clang::CodeGenOptions::AssignmentTrackingOpts::Disabled);
}

// Of what would be compiled in: what cannot be hosted, or nothing.
std::string InstrumentationRefusal(const clang::CodeGenOptions& codegen) {
  const auto refused = [](const char* option) {
    return std::string(option) + " cannot be hosted: its runtime is for native code";
  };
  if (codegen.EnableSegmentedStacks) return refused("-fsplit-stack");
  if (codegen.XRayInstrumentFunctions) return refused("-fxray-instrument");
  if (!codegen.MemoryProfileOutput.empty()) return refused("-fmemory-profile");
  if (codegen.hasSanitizeCoverage()) return refused("-fsanitize-coverage");
  if (!codegen.PassPlugins.empty()) {
    return "-fpass-plugin cannot be hosted: patchc compares what its own passes make of the code";
  }
  return {};
}

// What cannot be hosted, or nothing.
std::string Refusal(const clang::CompilerInvocation& invocation) {
  const llvm::Triple triple(invocation.getTargetOpts().Triple);
  if (!triple.isOSLinux() || triple.getArch() != llvm::Triple::x86_64 || triple.isX32()) {
    return "target '" + triple.str() + "' cannot be hosted: mend hosts x86-64 Linux programs";
  }
  clang::SanitizerMask sanitizers = invocation.getLangOpts().Sanitize.Mask;
  sanitizers &= ~invocation.getCodeGenOpts().SanitizeTrap.Mask;
  if (sanitizers) {
    return "sanitizers that need their runtime cannot be hosted; remove -fsanitize=, or add "
           "-fsanitize-trap=";
  }
  if (invocation.getCodeGenOpts().getProfileInstr() !=
      llvm::driver::ProfileInstrKind::ProfileNone) {
    return "instrumentation for profiles (-fprofile-generate, -fprofile-instr-generate) cannot be "
           "hosted: its runtime looks for the executable's layout; perf sees hosted code (mend run "
           "--perf)";
  }
  if (std::string refusal = InstrumentationRefusal(invocation.getCodeGenOpts()); !refusal.empty()) {
    return refusal;
  }
  if (invocation.getCodeGenOpts().DisableLLVMPasses) {
    return "-disable-llvm-passes would leave out the passes that make code patchable";
  }
  return {};
}

void ParseBackendOptions(const std::vector<std::string>& options) {
  if (options.empty()) return;
  std::vector<const char*> arguments = {"clang (LLVM option parsing)"};
  for (const std::string& option : options) arguments.push_back(option.c_str());
  llvm::cl::ParseCommandLineOptions(static_cast<int>(arguments.size()), arguments.data());
}

void ReportError(clang::DiagnosticsEngine& diagnostics, llvm::StringRef message) {
  const unsigned id = diagnostics.getCustomDiagID(clang::DiagnosticsEngine::Error, "%0");
  diagnostics.Report(id) << message;
}

// The functions that code was generated for, with the hashes of their IR.
std::vector<FunctionDescription> GeneratedFunctions(std::vector<FunctionDescription> functions,
                                                    const FunctionHashes& hashes) {
  llvm::erase_if(functions, [&](const FunctionDescription& function) {
    return hashes.left_out.contains(function.name);
  });
  for (FunctionDescription& function : functions) {
    const auto found = hashes.found.find(function.name);
    if (found != hashes.found.end()) function.ir_hash = found->second;
  }
  return functions;
}

std::string SourcesToEmbed(EmbeddedSources embedded, const UnitResult& result,
                           const std::string& description) {
  if (embedded == EmbeddedSources::kAll) return SerializeSources(result.sources, description);
  std::vector<SourceText> main;
  for (const SourceText& source : result.sources) {
    if (source.path == result.main_source) main.push_back(source);
  }
  return SerializeSources(main, description);
}

// Fills the rest of the description from the object itself and puts it into the object.
absl::Status DescribeObject(const UnitIdentity& identity, EmbeddedSources embedded,
                            const FunctionHashes& hashes, UnitResult& result) {
  if (absl::Status resolved = ResolveThreadOffsets(result.object); !resolved.ok()) return resolved;
  if (absl::Status hostable = CheckHostable(result.object, identity.source); !hostable.ok()) {
    return hostable;
  }
  absl::StatusOr<ObjectSummary> summary = SummarizeObject(result.object);
  if (!summary.ok()) return summary.status();
  ObjectDescription& description = result.description;
  description.compiler = CompilerVersion();
  description.directory = identity.directory;
  description.source = identity.source;
  description.output = identity.output;
  description.arguments = identity.arguments;
  description.language = identity.language;
  description.functions = GeneratedFunctions(std::move(summary->functions), hashes);
  description.input_hashes = hashes.input;
  description.data = std::move(summary->data);
  std::set<std::string> known;
  for (const FunctionDescription& function : description.functions) known.insert(function.name);
  for (FunctionDescription& function : description.functions) {
    function.nounwind = result.facts.nounwind.contains(function.name);
    const std::set<std::string> copies = result.facts.InlinedInto(function.name, known);
    function.inlined.assign(copies.begin(), copies.end());
  }

  // The description has it by now.
  absl::StatusOr<std::string> object = RemoveEntryLists(result.object);
  if (!object.ok()) return object.status();
  // Naked functions, and what stands outside of functions; of the others the passes have seen to
  // it.
  std::set<std::string> compiled;
  for (const FunctionDescription& function : description.functions) {
    if (function.patchable) compiled.insert(function.name);
  }
  object = WithStackSwitches(*std::move(object), [&compiled](std::string_view function) {
    return compiled.contains(std::string(function));
  });
  if (!object.ok()) return object.status();
  const std::string serialized = SerializeObjectDescription(description);
  std::string sources;
  std::vector<NewSection> sections;
  sections.push_back({kObjectSection, serialized, SHF_EXCLUDE, 1});
  if (embedded != EmbeddedSources::kNone) {
    sources = SourcesToEmbed(embedded, result, serialized);
    sections.push_back({kSourcesSection, sources, SHF_EXCLUDE, 1});
  }
  absl::StatusOr<std::string> described = AppendSections(*object, sections);
  if (!described.ok()) return described.status();
  result.object = *std::move(described);
  return absl::OkStatus();
}

// Only reads a unit.
class RecordUseAction : public clang::ASTFrontendAction {
 public:
  explicit RecordUseAction(RecordUses* uses) : uses_(uses) {}

 protected:
  std::unique_ptr<clang::ASTConsumer> CreateASTConsumer(clang::CompilerInstance& /*clang*/,
                                                        llvm::StringRef /*file*/) override {
    return CreateFrameRecordCollector(uses_);
  }

 private:
  RecordUses* const uses_;
};

bool IsIrInput(const clang::CompilerInstance& clang) {
  const auto& inputs = clang.getFrontendOpts().Inputs;
  return !inputs.empty() && inputs.front().getKind().getLanguage() == clang::Language::LLVM_IR;
}

bool EmitToMemory(clang::CompilerInstance& clang, DescribingAction& action, UnitResult& result) {
  llvm::SmallVector<char, 0> object;
  clang.setOutputStream(std::make_unique<llvm::raw_svector_ostream>(object));
  if (!clang.ExecuteAction(action)) return false;
  result.object.assign(object.data(), object.size());
  return true;
}

// Clang takes no output stream when its input is LLVM IR.
bool EmitThroughFile(clang::CompilerInstance& clang, DescribingAction& action, UnitResult& result) {
  llvm::SmallString<128> path;
  if (llvm::sys::fs::createTemporaryFile("patchc", "o", path)) return false;
  const llvm::FileRemover remover(path);
  clang.getFrontendOpts().OutputFile = path.str().str();
  if (!clang.ExecuteAction(action)) return false;
  auto file = llvm::MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!file) return false;
  result.object = (*file)->getBuffer().str();
  return true;
}

// Clang does not compare all arguments itself.
std::string PreambleName(const UnitIdentity& identity) {
  std::string name = identity.directory + '\0' + identity.output;
  for (const std::string& argument : identity.arguments) name += '\0' + argument;
  return name;
}

void SetUpFrontEnd(clang::CompilerInstance& clang) {
  ForceOptions(clang.getInvocation());
  IncludeHeaderSources(clang);
}

bool Execute(clang::CompilerInstance& clang, const UnitIdentity& identity,
             const UnitOptions& options, UnitResult& result) {
  if (const std::string refusal = Refusal(clang.getInvocation()); !refusal.empty()) {
    ReportError(clang.getDiagnostics(), refusal);
    return false;
  }
  FunctionHashes hashes;
  hashes.known = options.known_functions;
  LoopOptions loops{.flags = identity.loops};
  if (loops.flags.enabled) DescribeVariables(clang.getInvocation(), loops);
  std::vector<std::string> notes;
  clang.getCodeGenOpts().PassBuilderCallbacks.push_back(
      [results = CodegenResults{&result.facts, &hashes, &notes},
       &loops](llvm::PassBuilder& builder) { RegisterCodegenPasses(builder, &loops, results); });
  SetUpFrontEnd(clang);
  result.used_preamble =
      options.preambles != nullptr && options.preambles->Use(PreambleName(identity), clang);
  result.output_file = clang.getFrontendOpts().OutputFile;
  ParseBackendOptions(clang.getFrontendOpts().LLVMArgs);

  DescribingAction action(result);
  const bool emitted = IsIrInput(clang) ? EmitThroughFile(clang, action, result)
                                        : EmitToMemory(clang, action, result);
  llvm::raw_ostream& messages =
      options.diagnostics != nullptr ? *options.diagnostics : llvm::errs();
  for (const std::string& note : notes) messages << "patchc: note: " << note << "\n";
  if (!emitted) return false;
  if (absl::Status status = DescribeObject(identity, options.embedded_sources, hashes, result);
      !status.ok()) {
    ReportError(clang.getDiagnostics(), std::string(status.message()));
    return false;
  }
  result.left_out = std::move(hashes.left_out);
  return true;
}

// -w would take those errors away, too.
bool MakesErrorsOfWarnings(const clang::DiagnosticOptions& options) {
  return options.PedanticErrors || llvm::any_of(options.Warnings, [](llvm::StringRef warning) {
           return warning.starts_with("error");
         });
}

// False: the arguments are wrong, which has been reported.
bool MakeInstance(llvm::ArrayRef<const char*> arguments, const UnitOptions& options,
                  std::unique_ptr<clang::CompilerInstance>* clang) {
  InitializeCodeGenerator();
  auto invocation = std::make_shared<clang::CompilerInvocation>();
  clang::DiagnosticOptions parse_options;
  auto* parse_messages = new clang::TextDiagnosticBuffer;
  clang::DiagnosticsEngine parse_diagnostics(clang::DiagnosticIDs::create(), parse_options,
                                             parse_messages);
  const bool parsed =
      clang::CompilerInvocation::CreateFromArgs(*invocation, arguments, parse_diagnostics);
  if (options.source_date_s != 0) {
    invocation->getPreprocessorOpts().SourceDateEpoch = options.source_date_s;
  }
  invocation->getFrontendOpts().DisableFree = options.leak;
  // The code generator has a copy of its own; it would leave the target machine behind.
  invocation->getCodeGenOpts().DisableFree = options.leak;
  if (!options.side_outputs) DropSideOutputs(*invocation);
  clang::DiagnosticOptions& diagnostics = invocation->getDiagnosticOpts();
  if (options.ignore_warnings && !MakesErrorsOfWarnings(diagnostics)) {
    diagnostics.IgnoreWarnings = true;
  }

  *clang = std::make_unique<clang::CompilerInstance>(std::move(invocation));
  clang::DiagnosticConsumer* printer = nullptr;
  if (options.diagnostics != nullptr) {
    printer = new clang::TextDiagnosticPrinter(*options.diagnostics, (*clang)->getDiagnosticOpts());
    (*clang)->setVerboseOutputStream(*options.diagnostics);
  }
  (*clang)->createVirtualFileSystem(options.files);
  (*clang)->createDiagnostics(printer, /*ShouldOwnClient=*/true);
  if ((*clang)->getCodeGenOpts().TimePasses) (*clang)->createFrontendTimer();
  parse_messages->FlushDiagnostics((*clang)->getDiagnostics());
  return parsed;
}

// LLVM keeps what -mllvm says in variables of the process, which every compilation reads.
class BackendOptionsLock {
 public:
  explicit BackendOptionsLock(bool sets_options) : sets_options_(sets_options) {
    if (sets_options_) {
      Mutex().lock();
    } else {
      Mutex().lock_shared();
    }
  }
  BackendOptionsLock(const BackendOptionsLock&) = delete;
  BackendOptionsLock& operator=(const BackendOptionsLock&) = delete;
  ~BackendOptionsLock() {
    if (sets_options_) {
      Mutex().unlock();
    } else {
      Mutex().unlock_shared();
    }
  }

 private:
  static std::shared_mutex& Mutex() {
    static std::shared_mutex& mutex = *new std::shared_mutex;
    return mutex;
  }

  const bool sets_options_;
};

}  // namespace

bool EmitsObject(const llvm::opt::ArgStringList& arguments) {
  const auto has = [&arguments](llvm::StringRef flag) {
    return llvm::any_of(arguments, [flag](const char* argument) { return flag == argument; });
  };
  // Plug-ins and the static analyser are Clang's own business.
  return !arguments.empty() && llvm::StringRef(arguments[0]) == "-cc1" && has("-emit-obj") &&
         !has("-load");
}

UnitResult CompileUnit(llvm::ArrayRef<const char*> arguments, const UnitIdentity& identity,
                       const UnitOptions& options) {
  UnitResult result;
  std::unique_ptr<clang::CompilerInstance> clang;
  const bool parsed = MakeInstance(arguments, options, &clang);
  const BackendOptionsLock lock(!clang->getFrontendOpts().LLVMArgs.empty());
  result.ok = parsed && Execute(*clang, identity, options, result);
  if (options.leak) llvm::BuryPointer(std::move(clang));
  return result;
}

bool FindRecordUses(llvm::ArrayRef<const char*> arguments, const UnitOptions& options,
                    RecordUses* uses) {
  std::unique_ptr<clang::CompilerInstance> clang;
  if (!MakeInstance(arguments, options, &clang) || IsIrInput(*clang)) return false;
  const BackendOptionsLock lock(!clang->getFrontendOpts().LLVMArgs.empty());
  SetUpFrontEnd(*clang);
  RecordUseAction action(uses);
  return clang->ExecuteAction(action);
}

void KeepPreamble(llvm::ArrayRef<const char*> arguments, const UnitIdentity& identity,
                  const UnitOptions& options) {
  std::unique_ptr<clang::CompilerInstance> clang;
  if (!MakeInstance(arguments, options, &clang)) return;
  SetUpFrontEnd(*clang);
  options.preambles->Keep(PreambleName(identity), *clang);
}

}  // namespace mend::patchc
