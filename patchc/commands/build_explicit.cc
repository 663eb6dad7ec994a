#include "patchc/commands/build_explicit.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <set>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "mend/client.h"
#include "mend/json.h"
#include "patchc/compare/patch_builder.h"
#include "patchc/compile/clang_runner.h"
#include "patchc/object/object_view.h"
#include "patchc/object/object_writer.h"
#include "patchc/support/refusals.h"
#include "patchc/support/text.h"
#include "patchc/support/write_file.h"
#include "runtime/format/object_description.h"
#include "runtime/format/patch_module.h"

namespace mend::patchc {
namespace {

namespace fs = std::filesystem;

bool IsObject(const fs::path& file) { return file.extension() == ".o"; }

absl::StatusOr<ExplicitObject> ReadObject(const std::string& file) {
  absl::StatusOr<std::string> bytes = ReadFile(file);
  if (!bytes.ok()) return bytes.status();
  if (absl::Status hostable = CheckHostable(*bytes, file); !hostable.ok()) {
    return RefusalStatus({RefusalCode::kExplicitObject, std::string(Std(hostable.message())), {}});
  }
  return ExplicitObject{file, *std::move(bytes)};
}

absl::StatusOr<ExplicitObject> CompileSource(const std::string& file,
                                             const std::vector<std::string>& flags) {
  CompileRequest request;
  request.directory = fs::current_path().string();
  request.language = fs::path(file).extension() == ".c" ? "c" : "c++";
  // The first of several -O is overruled by the user's.
  request.arguments = {"-O2"};
  request.arguments.insert(request.arguments.end(), flags.begin(), flags.end());
  request.arguments.push_back(file);
  request.output = fs::path(file).stem().string() + ".o";
  CompileResult result = ClangRunner(/*embed_sources=*/false).Compile(request);
  if (!result.ok) {
    return RefusalStatus({RefusalCode::kExplicitCompile, absl::StrCat(file, " does not compile"),
                          result.diagnostics});
  }
  std::fputs(result.diagnostics.c_str(), stderr);
  return ExplicitObject{file, std::move(result.object)};
}

bool HasDescriptor(const ObjectView& view) {
  return std::any_of(view.symbols().begin(), view.symbols().end(), [](const ViewSymbol& s) {
    return s.name == kLivepatchPointer && !s.is_undefined;
  });
}

absl::StatusOr<PatchModule> Build(const PatchOptions& options,
                                  const std::vector<std::string>& flags) {
  PatchModule module;
  module.name = options.name.empty() ? PatchNameOf(options.inputs.front()) : options.name;
  module.replace = !options.no_replace;
  module.replace_set = options.replace_set;
  module.hold = options.hold;
  std::set<std::string> seen;
  bool has_descriptor = false;
  for (const std::string& input : options.inputs) {
    if (!seen.insert(fs::absolute(input).lexically_normal().string()).second) continue;
    absl::StatusOr<ExplicitObject> object =
        IsObject(input) ? ReadObject(input) : CompileSource(input, flags);
    if (!object.ok()) return object.status();
    if (absl::Status aside = SetDebugRelocationsAside(object->bytes); !aside.ok()) return aside;
    const absl::StatusOr<ObjectView> view = ObjectView::Parse(object->bytes);
    if (!view.ok()) return view.status();
    has_descriptor = has_descriptor || HasDescriptor(*view);
    module.objects.push_back(*std::move(object));
  }
  if (!has_descriptor) {
    return RefusalStatus({RefusalCode::kNoDescriptor,
                          absl::StrCat("patch '", module.name, "' has no MEND_LIVEPATCH"),
                          {}});
  }
  return module;
}

}  // namespace

int BuildExplicit(const std::string& base, const PatchOptions& options,
                  const std::vector<std::string>& compiler_flags, const std::string& output) {
  if (options.inputs.empty() || !options.diffs.empty() || !options.allow_layout.empty() ||
      !base.empty()) {
    std::fputs(
        "patchc build: --explicit takes sources and objects that use <mend/livepatch.h>, and "
        "none of --base, --diff, --allow-layout\n",
        stderr);
    return kExitUsage;
  }
  absl::StatusOr<PatchModule> module = Build(options, compiler_flags);
  if (!module.ok()) return ReportError(module.status(), options.json);
  if (absl::Status written = WriteFile(output, SerializePatchModule(*module)); !written.ok()) {
    return ReportError(written, options.json);
  }
  if (!options.json) {
    std::printf("patch '%s': explicit, %zu object(s)\nwritten to %s\n", module->name.c_str(),
                module->objects.size(), output.c_str());
    return kExitOk;
  }
  Json json;
  json["schema"] = 1;
  json["exit_code"] = kExitOk;
  json["patch"] = module->name;
  json["explicit"] = true;
  json["objects"] = Json::array();
  for (const ExplicitObject& object : module->objects) json["objects"].push_back(object.name);
  json["output"] = output;
  PrintJson(json);
  return kExitOk;
}

}  // namespace mend::patchc
