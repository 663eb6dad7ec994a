#include "patchc/commands/patch_options.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "mend/client.h"
#include "mend/target.h"
#include "patchc/text.h"

namespace mend::patchc {
namespace {

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

}  // namespace

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
  app.add_option("-p", options.strip,
                 "path components of the diff to leave out (default: guessed)");
  app.add_option("--name", options.name, "the patch's name (default: the first input's base name)");
  app.add_flag("--no-replace", options.no_replace, "stack upon older patches, do not replace them");
  app.add_option("--hold", options.hold, "[OBJECT:]FUNCTION[,POSITION] to hold as well");
  app.add_option("--allow-layout", options.allow_layout, "record whose layout may change");
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

absl::StatusOr<Base> OpenTarget(const Target& target) {
  absl::StatusOr<Base> base = Base::OpenFile(absl::StrCat("/proc/", target.pid, "/exe"));
  if (base.ok()) return base;
  const absl::StatusOr<Reply> reply = Client(target.socket).Get("/program/image");
  // No image over the socket either: what the executable is, says more.
  if (!reply.ok() || !reply->ok()) return base;
  return Base::FromImage(target.name, reply->body);
}

absl::StatusOr<Base> OpenBase(const std::string& base) {
  std::error_code error;
  if (std::filesystem::is_regular_file(base, error)) return Base::OpenFile(base);
  const absl::StatusOr<Target> target = FindTarget(base);
  if (target.ok()) return OpenTarget(*target);
  // A process without a control socket still is a file.
  const bool is_pid = !base.empty() && base.find_first_not_of("0123456789") == std::string::npos;
  if (is_pid) return Base::OpenFile(absl::StrCat("/proc/", base, "/exe"));
  return target.status();
}

absl::StatusOr<BuildReport> BuildPatch(Base& base, const PatchOptions& options, Compiler compiler) {
  SourceEdits edits(base);
  if (absl::Status added = AddEdits(options, edits); !added.ok()) return added;
  BuildOptions build;
  build.name = options.name;
  if (build.name.empty()) {
    build.name =
        PatchNameOf(options.diffs.empty() ? options.inputs.front() : options.diffs.front());
  }
  build.replace = !options.no_replace;
  build.hold = options.hold;
  build.allow_layout.insert(options.allow_layout.begin(), options.allow_layout.end());
  return PatchBuilder(base, edits, std::move(compiler)).Build(build);
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
    nlohmann::ordered_json report;
    report["schema"] = 1;
    report["exit_code"] = code;
    report["code"] = message.starts_with("MEND-E") ? message.substr(0, message.find(':')) : "";
    report["message"] = message;
    std::printf("%s\n",
                report.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  } else {
    std::fprintf(stderr, "patchc: %s\n", message.c_str());
  }
  return code;
}

}  // namespace mend::patchc
