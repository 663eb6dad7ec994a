#include "patchc/commands/patch_options.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "mend/client.h"
#include "mend/json.h"
#include "mend/target.h"
#include "patchc/support/text.h"
#include "runtime/format/program_image.h"
#include "runtime/patch/patch_name.h"

namespace mend::patchc {
namespace {

constexpr size_t kJobsMax = 512;
// Compiling says what it does only when it takes long enough to wonder.
constexpr absl::Duration kQuiet = absl::Seconds(1);

absl::Status AddEdits(const PatchOptions& options, SourceEdits& edits) {
  SourceEdits::DiffOptions diff_options;
  diff_options.source_dir = options.source_dir;
  if (options.strip >= 0) diff_options.strip = static_cast<size_t>(options.strip);
  for (const std::string& diff : options.diffs) {
    if (absl::Status added = edits.AddDiff(diff, diff_options); !added.ok()) return added;
  }
  for (const std::string& input : options.inputs) {
    if (absl::Status added = edits.AddFile(input); !added.ok()) return added;
  }
  return edits.Check();
}

// The modules that the target has loaded, as they were loaded: files on the disk may be others.
// UNAVAILABLE: the process does not answer, so what it has loaded is not known.
absl::Status AddLoadedModules(const Client& client, BaseObjects& objects) {
  const absl::StatusOr<Reply> reply = client.Get("/modules");
  if (!reply.ok()) return absl::UnavailableError(reply.status().message());
  // A host without guest modules.
  if (!reply->ok()) return absl::OkStatus();
  const Json list = ParseObject(reply->body);
  for (const Json& module : FieldOf(list, "modules")) {
    const std::string name = StringOf(module, "name");
    if (name.empty()) continue;
    const absl::StatusOr<Reply> file =
        client.Get(absl::StrCat("/modules/", EncodeSegment(name), "/file"));
    if (!file.ok()) return absl::UnavailableError(file.status().message());
    // It has gone meanwhile.
    if (!file->ok()) continue;
    absl::StatusOr<Base> base = Base::FromModule(name, name, file->body);
    if (!base.ok()) return base.status();
    objects.push_back(*std::move(base));
  }
  return absl::OkStatus();
}

absl::Status AddNamedModules(const PatchOptions& options, BaseObjects& objects) {
  for (const std::string& text : options.base_modules) {
    const size_t equals = text.find('=');
    const std::string file = equals == std::string::npos ? text : text.substr(equals + 1);
    const std::string name =
        equals == std::string::npos ? GuestModuleName(file) : text.substr(0, equals);
    if (name.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("--base-module ", text, ": no name"));
    }
    const absl::StatusOr<std::string> bytes = ReadFile(file);
    if (!bytes.ok()) return bytes.status();
    absl::StatusOr<Base> base = Base::FromModule(name, file, *bytes);
    if (!base.ok()) return base.status();
    const auto same = std::find_if(objects.begin(), objects.end(),
                                   [&name](const Base& other) { return other.module() == name; });
    if (same == objects.end()) {
      objects.push_back(*std::move(base));
    } else if (same->ContentHash() != base->ContentHash()) {
      return RefusalStatus({RefusalCode::kBaseMismatch,
                            absl::StrCat(base->Shown(), " is there, and is not ", file),
                            {}});
    }
  }
  return absl::OkStatus();
}

std::string CheckName(const std::string& name) {
  if (name.empty() || IsPatchName(name)) return {};
  return absl::StrCat("'", name, "' is no name for it: up to ", kPatchNameMax,
                      " ASCII characters without blanks and '/', the first one no '.' or '~'");
}

}  // namespace

void AddNameOption(CLI::App& app, std::string& name, const char* help) {
  app.add_option("--name", name, help)->check(CheckName);
}

Compiler ReportingCompiler() {
  return [begin = absl::Now(), runner = std::make_shared<ClangRunner>(/*embed_sources=*/false)](
             const CompileRequest& request) {
    if (absl::Now() - begin > kQuiet && isatty(STDERR_FILENO) != 0) {
      std::fprintf(stderr, "patchc: compiling %s\n", request.output.c_str());
    }
    return runner->Compile(request);
  };
}

void AddPatchOptions(CLI::App& app, PatchOptions& options) {
  app.add_option("INPUT", options.inputs, "edited source files");
  app.add_option("--diff", options.diffs, "unified diffs (diff -u, git, quilt), applied in order");
  app.add_option("--source", options.source_dir, "folder that the diffs' paths are relative to");
  app.add_option("-p", options.strip, "path components of the diff to leave out (default: guessed)")
      ->check(CLI::NonNegativeNumber);
  AddNameOption(app, options.name, "the patch's name (default: the first input's base name)");
  app.add_flag("--no-replace", options.no_replace, "stack upon older patches, do not replace them");
  app.add_option("--set", options.replace_set,
                 "the replace set: older patches of that set alone are replaced")
      ->check(CheckName);
  app.add_option("--hold", options.hold, "[OBJECT:]FUNCTION[,POSITION] to hold as well");
  app.add_option("--allow-layout", options.allow_layout, "record whose layout may change");
  app.add_option("--base-module", options.base_modules,
                 "[NAME=]FILE: a guest module that is not loaded, and that the patch is for, too");
  app.add_option("-j,--jobs", options.jobs,
                 "units to compile at a time (default: as processors and memory allow)")
      ->check(CLI::Range(size_t{1}, kJobsMax));
  app.add_flag("--keep-going,-k", options.keep_going,
               "compile every unit that the edits reach, even when one has them refused");
  app.add_flag("--json", options.json, "report as JSON");
  // A list ends where the next option begins; "-p1" and "--diff a --diff b" both work.
  for (CLI::Option* option : app.get_options()) {
    if (option->get_name() != "INPUT" && option->get_items_expected_max() > 1) {
      option->allow_extra_args(false);
    }
  }
}

int ParseArguments(CLI::App& app, const std::vector<std::string>& arguments) {
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app.parse(std::move(reversed));
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : kExitUsage;
  }
  return -1;
}

absl::StatusOr<BaseObjects> OpenModules(const Target& target, const PatchOptions& options) {
  BaseObjects modules;
  if (absl::Status added = AddLoadedModules(Client(target.socket), modules); !added.ok()) {
    return added;
  }
  if (absl::Status added = AddNamedModules(options, modules); !added.ok()) return added;
  return modules;
}

absl::StatusOr<BaseObjects> WithProgram(const Target& target, BaseObjects modules) {
  absl::StatusOr<Base> program = Base::OpenFile(absl::StrCat("/proc/", target.pid, "/exe"));
  if (!program.ok()) {
    const absl::StatusOr<Reply> reply = Client(target.socket).Get("/program/image");
    if (!reply.ok()) return program.status();
    // Whoever serves a control socket and is no hosted program embeds a runtime.
    if (!reply->ok()) {
      return RefusalStatus({RefusalCode::kNotAProgram,
                            absl::StrCat(target.name, " (", target.pid,
                                         ") embeds a runtime that has loaded no objects so far"),
                            {}});
    }
    program = Base::FromImage(target.name, reply->body);
    if (!program.ok()) return program.status();
  }
  modules.insert(modules.begin(), *std::move(program));
  return modules;
}

absl::StatusOr<BaseObjects> OpenTarget(const Target& target, const PatchOptions& options) {
  absl::StatusOr<BaseObjects> modules = OpenModules(target, options);
  if (!modules.ok()) return modules.status();
  return WithProgram(target, *std::move(modules));
}

// `error`: of the target that is no file either.
absl::Status NobodyAndNoFile(const std::string& base, const absl::Status& error) {
  if (!absl::IsNotFound(error)) return error;
  if (base.find('/') != std::string::npos) {
    return absl::NotFoundError(
        absl::StrCat("there is neither a program nor a control socket '", base, "'"));
  }
  return absl::UnavailableError(
      absl::StrCat(error.message(), ", and there is no file '", base, "'"));
}

absl::StatusOr<BaseObjects> OpenBase(const std::string& base, const PatchOptions& options,
                                     std::optional<Target>* running) {
  std::string file = base;
  std::error_code error;
  if (!std::filesystem::is_regular_file(base, error)) {
    const absl::StatusOr<Target> target = FindTarget(base);
    if (target.ok()) {
      if (running != nullptr) *running = *target;
      return OpenTarget(*target, options);
    }
    // A process without a control socket still is a file.
    const bool is_pid = !base.empty() && base.find_first_not_of("0123456789") == std::string::npos;
    file = absl::StrCat("/proc/", base, "/exe");
    if (!is_pid || !std::filesystem::exists(file, error)) {
      return NobodyAndNoFile(base, target.status());
    }
  }
  absl::StatusOr<Base> program = Base::OpenFile(file);
  if (!program.ok()) return program.status();
  BaseObjects objects;
  objects.push_back(*std::move(program));
  if (absl::Status added = AddNamedModules(options, objects); !added.ok()) return added;
  return objects;
}

absl::StatusOr<BuildReport> BuildPatch(BaseObjects& objects, const PatchOptions& options,
                                       Compiler compiler) {
  SourceEdits edits(objects);
  if (absl::Status added = AddEdits(options, edits); !added.ok()) return added;
  BuildOptions build;
  build.name = options.name;
  if (build.name.empty()) {
    build.name =
        PatchNameOf(options.diffs.empty() ? options.inputs.front() : options.diffs.front());
  }
  build.replace = !options.no_replace;
  build.replace_set = options.replace_set;
  build.hold = options.hold;
  build.allow_layout.insert(options.allow_layout.begin(), options.allow_layout.end());
  build.jobs = options.jobs != 0 ? options.jobs : DefaultCompileJobs();
  build.keep_going = options.keep_going;
  return PatchBuilder(objects, edits, std::move(compiler)).Build(build);
}

int ReportError(const absl::Status& status, bool json) {
  int code = kExitRefused;
  if (status.code() == absl::StatusCode::kInternal) code = kExitInternal;
  if (status.code() == absl::StatusCode::kUnavailable ||
      status.code() == absl::StatusCode::kPermissionDenied) {
    code = kExitUnreachable;
  }
  return ReportErrorAs(code, status, json);
}

int ReportErrorAs(int code, const absl::Status& status, bool json) {
  const std::string message(Std(status.message()));
  if (json) {
    Json report;
    report["schema"] = 1;
    report["exit_code"] = code;
    report["code"] = message.starts_with("MEND-E") ? message.substr(0, message.find(':')) : "";
    report["message"] = message;
    PrintJson(report);
  } else {
    std::fprintf(stderr, "patchc: %s\n", message.c_str());
  }
  return code;
}

}  // namespace mend::patchc
