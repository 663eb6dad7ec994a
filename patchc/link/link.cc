#include "patchc/link/link.h"

#include <elf.h>
#include <llvm/ADT/STLExtras.h>
#include <llvm/ADT/SmallString.h>
#include <llvm/ADT/StringExtras.h>
#include <llvm/ADT/StringRef.h>
#include <llvm/Support/FileSystem.h>
#include <llvm/Support/FileUtilities.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/Path.h>
#include <llvm/Support/Program.h>
#include <llvm/Support/raw_ostream.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "patchc/link/header_sources.h"
#include "patchc/link/link_arguments.h"
#include "patchc/link/link_inputs.h"
#include "patchc/link/linked_modules.h"
#include "patchc/link/shell_library.h"
#include "patchc/link/stand_ins.h"
#include "patchc/object/dynamic_symbols.h"
#include "patchc/object/object_writer.h"
#include "patchc/object/stack_switches.h"
#include "patchc/support/toolchain.h"
#include "patchc/support/write_file.h"
#include "runtime/format/object_description.h"
#include "runtime/format/program_image.h"
#include "runtime/format/stack_switch_names.h"

namespace mend::patchc {
namespace {

constexpr uint64_t kImageAlignment = 16;

// A file that goes away with its owner.
class ScratchFile {
 public:
  static absl::StatusOr<ScratchFile> Create(const char* suffix) {
    llvm::SmallString<128> path;
    if (std::error_code error = llvm::sys::fs::createTemporaryFile("patchc", suffix, path)) {
      return absl::InternalError(absl::StrCat("cannot create a temporary file: ", error.message()));
    }
    return ScratchFile(path.str().str());
  }

  const std::string& path() const { return path_; }

 private:
  explicit ScratchFile(const std::string& path)
      : path_(path), remover_(std::make_unique<llvm::FileRemover>(path)) {}

  std::string path_;
  std::unique_ptr<llvm::FileRemover> remover_;
};

std::string Quoted(const std::string& argument) {
  std::string quoted = "\"";
  for (const char c : argument) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

// Runs the linker. Standard output goes to `output` if it is not empty. The exit code; -1 and a
// message when it could not be run.
int RunLinker(const std::vector<std::string>& arguments, const std::string& output) {
  const std::string linker = LinkerPath();
  std::vector<llvm::StringRef> all = {linker};
  all.insert(all.end(), arguments.begin(), arguments.end());
  std::optional<ScratchFile> response;
  std::string at_response;
  if (!llvm::sys::commandLineFitsWithinSystemLimits(linker, all)) {
    absl::StatusOr<ScratchFile> file = ScratchFile::Create("rsp");
    std::string contents;
    for (const std::string& argument : arguments) contents += Quoted(argument) + "\n";
    absl::Status written = file.status();
    if (written.ok()) written = WriteFile(file->path(), contents);
    if (!written.ok()) {
      llvm::errs() << "patchc: error: a response file for the linker: "
                   << std::string(written.message()) << "\n";
      return -1;
    }
    response.emplace(*std::move(file));
    at_response = "@" + response->path();
    all = {linker, at_response};
  }
  std::vector<std::optional<llvm::StringRef>> redirects;
  if (!output.empty()) redirects = {std::nullopt, llvm::StringRef(output), std::nullopt};
  std::string message;
  const int result = llvm::sys::ExecuteAndWait(linker, all, std::nullopt, redirects,
                                               /*SecondsToWait=*/0, /*MemoryLimit=*/0, &message);
  if (!message.empty()) llvm::errs() << "patchc: error: " << message << "\n";
  return result;
}

std::string ReadOrEmpty(const std::string& path) {
  auto file = llvm::MemoryBuffer::getFile(path);
  return file ? (*file)->getBuffer().str() : std::string();
}

// One link: its state between the steps, and its messages.
class ProgramLink {
 public:
  ProgramLink(const LinkOptions& options, LinkArguments arguments)
      : options_(options), arguments_(std::move(arguments)) {}

  int Run() {
    absl::StatusOr<ScratchFile> scratch = ScratchFile::Create("out");
    if (!scratch.ok()) return Fail(scratch.status());
    if (arguments_.is_relocatable) return LinkRelocatable(scratch->path());
    if (const int result = OrdinaryLink(scratch->path()); result != 0 || done_) return result;
    absl::StatusOr<std::vector<std::string>> needed = NeededLibraries(scratch->path());
    if (!needed.ok()) return Fail(needed.status());
    for (const std::string& line : inputs_.other_output) llvm::outs() << line << "\n";
    if (absl::Status taken = TakeModules(*needed); !taken.ok()) return Fail(taken);
    if (absl::Status found = FindSwitches(scratch->path(), *needed); !found.ok()) {
      return Fail(found);
    }
    if (arguments_.is_shared) return LinkShell(scratch->path(), *needed);
    if (absl::Status found = FindExports(scratch->path(), *needed); !found.ok()) return Fail(found);
    return LinkLauncher(scratch->path(), *needed);
  }

 private:
  static int Fail(const absl::Status& status) {
    llvm::errs() << "patchc: error: " << std::string(status.message()) << "\n";
    return 1;
  }

  static int LinkerFailed(int result) {
    llvm::errs() << "patchc: error: linker command failed with exit code " << result
                 << " (use -v to see invocation)\n";
    return 1;
  }

  // One object out of several. What the linker makes of them is no longer compiled code as it was
  // described; so the objects themselves go along, and take its place when a program is linked.
  int LinkRelocatable(const std::string& scratch) {
    absl::StatusOr<ScratchFile> script = ScratchFile::Create("ld");
    if (!script.ok()) return Fail(script.status());
    const std::string discard =
        absl::StrCat("SECTIONS { /DISCARD/ : { *(", kObjectSection, ") *(", kSourcesSection, ") *(",
                     kSwitchesSection, ") *(", kMembersSection, ") } }\n");
    if (absl::Status written = WriteFile(script->path(), discard); !written.ok()) {
      return Fail(written);
    }
    arguments_.ordinary.insert(arguments_.ordinary.end(), {"-T", script->path()});
    if (const int result = TraceLink(scratch, {}); result != 0 || done_) return result;
    const std::string members = SerializeProgramImage(NamedObjects());
    absl::StatusOr<std::string> object = AppendSections(
        ReadOrEmpty(scratch), {{kMembersSection, members, SHF_EXCLUDE, kImageAlignment}});
    if (!object.ok()) return Fail(object.status());
    const absl::Status written = WriteFile(arguments_.output, *object);
    return written.ok() ? 0 : Fail(written);
  }

  // The link that the user asked for, to a scratch file. Sets done_ when that was all.
  int OrdinaryLink(const std::string& scratch) {
    std::set<std::string> asked;
    while (true) {
      if (const int result = TraceLink(scratch, asked); result != 0 || done_) return result;
      // Archive members that define nothing else that is referred to.
      const size_t known = asked.size();
      for (const std::string& name : MissingThreadLocals(inputs_.objects)) {
        asked.insert(kTlsImagePrefix + name);
      }
      if (asked.size() == known) return 0;
    }
  }

  int TraceLink(const std::string& scratch, const std::set<std::string>& asked) {
    // The linker's answer has a line for each file.
    for (const std::string& argument : arguments_.ordinary) {
      if (argument.find('\n') == std::string::npos) continue;
      return Fail(absl::InvalidArgumentError(
          absl::StrCat("'", argument, "': what has a line break in its name cannot be linked")));
    }
    absl::StatusOr<ScratchFile> trace = ScratchFile::Create("trace");
    if (!trace.ok()) return Fail(trace.status());
    // The linker makes it again, if it links anything.
    [[maybe_unused]] const std::error_code removed = llvm::sys::fs::remove(scratch);
    std::vector<std::string> arguments = {"-o", scratch, "--trace"};
    for (const std::string& symbol : asked) {
      arguments.emplace_back("-u");
      arguments.push_back(symbol);
    }
    if (arguments_.is_shared) {
      // Only to see what takes part: what a module does not define, its host does.
      for (const char* option :
           {"-pie", "--export-dynamic", "--unresolved-symbols=ignore-all", "-e", "0"}) {
        arguments.emplace_back(option);
      }
    }
    arguments.insert(arguments.end(), arguments_.ordinary.begin(), arguments_.ordinary.end());
    if (!arguments_.is_relocatable) {
      // The functions of <mend/livepatch.h>, behind everything else.
      arguments.emplace_back("--as-needed");
      arguments.push_back(RuntimeDirectory() + "/libmend.so");
    }
    const int result = RunLinker(arguments, trace->path());
    const std::string said = ReadOrEmpty(trace->path());
    if (result != 0) return LinkerFailed(result);
    // `-Wl,--version` and the like: the linker answered and linked nothing.
    if (!llvm::sys::fs::exists(scratch)) {
      llvm::outs() << said;
      done_ = true;
      return 0;
    }
    absl::StatusOr<LinkInputs> inputs = ReadLinkInputs(said);
    if (!inputs.ok()) return Fail(inputs.status());
    inputs_ = *std::move(inputs);
    return 0;
  }

  // The guest modules among the libraries: the native loader would give the program their shells,
  // whose functions trap. A program takes their objects, and needs what they need; a module only
  // remembers their names, for the program that it will be linked with or loaded into.
  absl::Status TakeModules(std::vector<std::string>& needed) {
    absl::StatusOr<std::vector<LinkedModule>> modules =
        ReadLinkedModules(needed, inputs_.libraries);
    if (!modules.ok()) return modules.status();
    linked_names_ = SectionOfNames(LinkedNames(*modules));
    for (const LinkedModule& module : *modules) module_paths_.push_back(module.path);
    const auto is_module = [&](const std::string& name) {
      return llvm::any_of(*modules, [&](const LinkedModule& m) { return m.soname == name; });
    };
    llvm::erase_if(needed, is_module);
    if (arguments_.is_shared || modules->empty()) return absl::OkStatus();
    for (const LinkedModule& module : *modules) {
      for (const std::string& name : module.libraries) {
        if (!is_module(name) && !llvm::is_contained(needed, name)) needed.push_back(name);
      }
    }
    absl::StatusOr<JoinedObjects> joined =
        JoinObjects(*std::move(modules), std::move(inputs_.objects));
    if (!joined.ok()) return joined.status();
    for (const std::string& note : joined->notes) llvm::errs() << "patchc: note: " << note << "\n";
    inputs_.objects = std::move(joined->objects);
    return absl::OkStatus();
  }

  // The guest module: a shared library that defines what the module exports, and holds its objects.
  int LinkShell(const std::string& linked, const std::vector<std::string>& needed) {
    absl::StatusOr<ScratchFile> shell = ScratchFile::Create("o");
    if (!shell.ok()) return Fail(shell.status());
    if (absl::Status status = WriteShell(linked, needed, shell->path()); !status.ok()) {
      return Fail(status);
    }
    std::vector<std::string> arguments = {"-shared", "--no-as-needed", "--allow-shlib-undefined",
                                          "-o", arguments_.output};
    AddTakenOver(/*is_shared=*/true, arguments);
    arguments.insert(arguments.end(), arguments_.first_start_files.begin(),
                     arguments_.first_start_files.end());
    arguments.push_back(shell->path());
    AddLibraries(needed, arguments);
    arguments.insert(arguments.end(), arguments_.last_start_files.begin(),
                     arguments_.last_start_files.end());
    const int result = RunLinker(arguments, "");
    return result == 0 ? 0 : LinkerFailed(result);
  }

  // Options of the user's link; what only executables take is left out for a library, and the name
  // of a library for an executable.
  void AddTakenOver(bool is_shared, std::vector<std::string>& arguments) const {
    const std::vector<std::string>& given = arguments_.launcher;
    for (size_t i = 0; i < given.size(); ++i) {
      const char* const next = i + 1 < given.size() ? given[i + 1].c_str() : nullptr;
      const LinkerOption option = ParseLinkerOption(given[i], next);
      const bool of_executable = option.name == "dynamic-linker" || option.name == "pie";
      const bool of_library = option.name == "soname" || option.name == "h";
      const bool is_added = is_shared ? !of_executable : !of_library;
      if (is_added) arguments.push_back(given[i]);
      if (!option.is_separate) continue;
      ++i;
      if (is_added) arguments.push_back(given[i]);
    }
  }

  absl::Status WriteShell(const std::string& linked, const std::vector<std::string>& needed,
                          const std::string& path) {
    absl::StatusOr<std::vector<ExportedSymbol>> exports = ReadExports(linked);
    if (!exports.ok()) return exports.status();
    absl::StatusOr<std::string> shell = MakeShellObject(*exports);
    if (!shell.ok()) return shell.status();
    const absl::StatusOr<std::string> image = ImageWithHeaders();
    if (!image.ok()) return image.status();
    const std::string libraries = SectionOfNames(needed);
    std::vector<NewSection> sections = {{kModuleSection, *image, SHF_ALLOC, kImageAlignment},
                                        {kLibrariesSection, libraries, SHF_ALLOC, 1}};
    AddNames(sections);
    absl::StatusOr<std::string> object = AppendSections(*shell, sections);
    if (!object.ok()) return object.status();
    return WriteFile(path, *object);
  }

  // What the linker would show to libraries: everything with -rdynamic, what they refer to without;
  // and what the modules that became part of the program would show. What the libraries of this
  // link themselves would take of it is for the launcher to define.
  absl::Status FindExports(const std::string& linked, const std::vector<std::string>& needed) {
    absl::StatusOr<std::vector<ExportedSymbol>> exports = ReadExports(linked);
    if (!exports.ok()) return exports.status();
    const absl::StatusOr<std::set<std::string>> copies = ReadCopies(linked);
    if (!copies.ok()) return copies.status();
    // A program's copy of a library's datum is that library's.
    llvm::erase_if(*exports, [&](const ExportedSymbol& s) { return copies->contains(s.name); });
    std::set<std::string> names;
    StandInTableBuilder stand_ins;
    for (const ExportedSymbol& symbol : *exports) names.insert(symbol.name);
    stand_ins.AddProgram(*exports);
    for (const std::string& path : module_paths_) {
      exports = ReadExports(path);
      if (!exports.ok()) return exports.status();
      for (const ExportedSymbol& symbol : *exports) names.insert(symbol.name);
      stand_ins.AddProgram(*exports);
    }
    for (const SharedLibrary& library : inputs_.libraries) {
      if (names.empty()) break;
      if (!IsNeeded(library, needed)) continue;
      absl::StatusOr<std::vector<ExportedSymbol>> defined = ReadExports(library.path);
      if (!defined.ok()) return defined.status();
      const absl::StatusOr<std::set<std::string>> undefined = ReadUndefined(library.path);
      if (!undefined.ok()) return undefined.status();
      for (const ExportedSymbol& symbol : *defined) names.erase(symbol.name);
      stand_ins.AddLibrary(*defined, *undefined);
    }
    exported_names_ = SectionOfNames({names.begin(), names.end()});
    stand_ins_ = stand_ins.Finish();
    return absl::OkStatus();
  }

  // What hosted code or one library calls of another library and goes to another stack. Libc's and
  // the compiler's own are known to the host, or unwind.
  absl::Status FindSwitches(const std::string& linked, const std::vector<std::string>& needed) {
    absl::StatusOr<std::set<std::string>> names = ReadUndefined(linked);
    if (!names.ok()) return names.status();
    std::vector<std::string> paths;
    for (const SharedLibrary& library : inputs_.libraries) {
      if (!IsNeeded(library, needed) || IsOfSystem(library)) continue;
      absl::StatusOr<std::set<std::string>> undefined = ReadUndefined(library.path);
      if (!undefined.ok()) return undefined.status();
      names->merge(*undefined);
      paths.push_back(library.path);
    }
    std::set<std::string> found;
    for (const std::string& path : paths) {
      absl::StatusOr<std::vector<std::string>> its = FindSwitchesOfLibrary(path, *names);
      if (!its.ok()) return its.status();
      found.insert(its->begin(), its->end());
    }
    switches_of_libraries_ = SectionOfNames({found.begin(), found.end()});
    return absl::OkStatus();
  }

  static bool IsOfSystem(const SharedLibrary& library) {
    constexpr llvm::StringLiteral kNames[] = {"libc.so",      "libm.so",    "libpthread.so",
                                              "libdl.so",     "librt.so",   "libgcc_s.so",
                                              "libstdc++.so", "libc++.so",  "libc++abi.so",
                                              "libunwind.so", "libmend.so", "ld-linux-x86-64.so"};
    return llvm::any_of(kNames, [&](llvm::StringRef name) {
      return llvm::StringRef(library.soname).starts_with(name);
    });
  }

  static bool IsNeeded(const SharedLibrary& library, const std::vector<std::string>& needed) {
    return llvm::any_of(needed, [&](const std::string& name) { return IsNamed(library, name); });
  }
  static bool IsNamed(const SharedLibrary& library, const std::string& name) {
    return library.soname == name || llvm::sys::path::filename(library.path) == name;
  }

  int LinkLauncher(const std::string& linked, const std::vector<std::string>& needed) {
    absl::StatusOr<ScratchFile> launcher = ScratchFile::Create("o");
    if (!launcher.ok()) return Fail(launcher.status());
    if (absl::Status status = WriteLauncher(launcher->path()); !status.ok()) return Fail(status);
    absl::StatusOr<ScratchFile> stand_ins = ScratchFile::Create("o");
    if (!stand_ins.ok()) return Fail(stand_ins.status());
    const std::string runtime = RuntimeDirectory();
    std::vector<std::string> arguments;
    AddTakenOver(/*is_shared=*/false, arguments);
    // A library may refer to symbols of the program, which only the host knows.
    for (const char* option : {"--allow-shlib-undefined", "--no-as-needed", "-o"}) {
      arguments.emplace_back(option);
    }
    arguments.push_back(arguments_.output);
    arguments.insert(arguments.end(), arguments_.first_start_files.begin(),
                     arguments_.first_start_files.end());
    arguments.push_back(launcher->path());
    arguments.push_back(StaticPoolPath());
    if (!stand_ins_.empty()) {
      const absl::StatusOr<std::string> object = MakeStandIns(stand_ins_, linked);
      if (!object.ok()) return Fail(object.status());
      absl::Status written = WriteFile(stand_ins->path(), *object);
      if (!written.ok()) return Fail(written);
      arguments.push_back(stand_ins->path());
    }
    // First of all libraries: it stands in front of libc's blocking calls.
    arguments.push_back(runtime + "/libmend.so");
    AddLibraries(needed, arguments);
    arguments.insert(arguments.end(), arguments_.last_start_files.begin(),
                     arguments_.last_start_files.end());
    arguments.insert(arguments.end(), {"-rpath", runtime});
    const int result = RunLinker(arguments, "");
    return result == 0 ? 0 : LinkerFailed(result);
  }

  void AddLibraries(const std::vector<std::string>& needed,
                    std::vector<std::string>& arguments) const {
    for (const std::string& name : needed) {
      const size_t before = arguments.size();
      for (const SharedLibrary& library : inputs_.libraries) {
        if (!IsNamed(library, name)) continue;
        const llvm::StringRef file = llvm::sys::path::filename(library.path);
        // A library without a name of its own is needed by the name it was found by.
        if (!library.names_itself && name.find('/') == std::string::npos) {
          arguments.push_back("-L" + llvm::sys::path::parent_path(library.path).str());
          arguments.push_back("-l:" + file.str());
        } else {
          arguments.push_back(library.path);
        }
        break;
      }
      // A library of a linked module's, which this link did not see.
      if (arguments.size() == before) arguments.push_back("-l:" + name);
    }
  }

  std::vector<ProgramObject> NamedObjects() const {
    std::vector<ProgramObject> objects;
    objects.reserve(inputs_.objects.size());
    for (const LinkedObject& object : inputs_.objects) {
      const auto name = options_.names.find(object.name);
      objects.push_back(
          {name != options_.names.end() ? name->second : object.name, object.bytes, object.link});
    }
    return objects;
  }

  // The objects, and the headers that they were compiled from but do not carry.
  absl::StatusOr<std::string> ImageWithHeaders() {
    for (LinkedObject& object : inputs_.objects) {
      if (absl::Status aside = SetDebugRelocationsAside(object.bytes); !aside.ok()) return aside;
    }
    std::vector<ProgramObject> objects = NamedObjects();
    const absl::StatusOr<HeaderSources> headers = CollectHeaders(objects);
    if (!headers.ok()) return headers.status();
    if (!headers->missing.empty()) {
      const MissingHeader& first = headers->missing.front();
      llvm::errs() << "patchc: warning: " << first.path << " is "
                   << (first.is_gone ? "gone" : "no longer what it was") << " when " << first.unit
                   << " was compiled";
      if (headers->missing.size() > 1) {
        llvm::errs() << ", and so are " << headers->missing.size() - 1 << " more headers";
      }
      llvm::errs() << ": the program will not carry it, and patches that need it are refused "
                      "(-fmend-embed-headers puts headers into objects)\n";
    }
    if (!headers->object.empty()) objects.push_back({kHeadersMember, headers->object});
    if (absl::Status told = TellWhatIsEmbedded(objects); !told.ok()) return told;
    return SerializeProgramImage(objects);
  }

  // To people: configure scripts take a word on standard error for a warning.
  static absl::Status TellWhatIsEmbedded(const std::vector<ProgramObject>& objects) {
    if (::isatty(STDERR_FILENO) == 0) return absl::OkStatus();
    EmbeddedTotal total;
    for (const ProgramObject& object : objects) {
      if (absl::Status counted = total.Add(object.bytes); !counted.ok()) return counted;
    }
    if (total.count == 0) return absl::OkStatus();
    llvm::errs() << "patchc: note: " << total.count << " sources are embedded, "
                 << (total.stored + 1023) / 1024 << " KiB (-fno-mend-embed-sources and patchc "
                 << "strip leave them out)\n";
    return absl::OkStatus();
  }

  void AddNames(std::vector<NewSection>& sections) const {
    if (!linked_names_.empty()) sections.push_back({kLinkedSection, linked_names_, SHF_ALLOC, 1});
    if (!switches_of_libraries_.empty()) {
      sections.push_back({kSwitchesOfLibrariesSection, switches_of_libraries_, SHF_ALLOC, 1});
    }
  }

  absl::Status WriteLauncher(const std::string& path) {
    const absl::StatusOr<std::string> image = ImageWithHeaders();
    if (!image.ok()) return image.status();
    auto launcher = llvm::MemoryBuffer::getFile(LauncherPath());
    if (!launcher) {
      return absl::NotFoundError(absl::StrCat("mend's runtime is not where it should be: ",
                                              LauncherPath(), ": ", launcher.getError().message()));
    }
    std::vector<NewSection> sections = {{kProgramSection, *image, SHF_ALLOC, kImageAlignment}};
    AddNames(sections);
    if (!exported_names_.empty()) {
      sections.push_back({kExportsSection, exported_names_, SHF_ALLOC, 1});
    }
    absl::StatusOr<std::string> object =
        AppendSections({(*launcher)->getBufferStart(), (*launcher)->getBufferSize()}, sections);
    if (!object.ok()) return object.status();
    return WriteFile(path, *object);
  }

  const LinkOptions options_;
  LinkArguments arguments_;
  LinkInputs inputs_;
  std::string linked_names_;           // of guest modules, for kLinkedSection
  std::string exported_names_;         // of the program, for kExportsSection
  std::string switches_of_libraries_;  // for kSwitchesOfLibrariesSection
  std::vector<std::string> module_paths_;
  std::map<std::string, StandInKind> stand_ins_;  // of the launcher
  bool done_ = false;
};

}  // namespace

int LinkProgram(const LinkOptions& options, const llvm::opt::ArgStringList& arguments) {
  absl::StatusOr<LinkArguments> taken_apart = TakeApart(arguments);
  if (!taken_apart.ok()) {
    llvm::errs() << "patchc: error: " << std::string(taken_apart.status().message()) << "\n";
    return 1;
  }
  for (const std::string& note : taken_apart->notes) {
    llvm::errs() << "patchc: note: " << note << "\n";
  }
  return ProgramLink(options, *std::move(taken_apart)).Run();
}

}  // namespace mend::patchc
