// patchc strip: removes the embedded sources from an object or a program. Patches for it can still
// be built where the sources are at hand.
#include <llvm/Support/FileSystem.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "absl/status/statusor.h"
#include "mend/client.h"
#include "patchc/commands/command.h"
#include "patchc/commands/patch_options.h"
#include "patchc/object/object_writer.h"
#include "patchc/support/write_file.h"
#include "runtime/base/read_file.h"
#include "runtime/format/object_description.h"
#include "runtime/format/program_image.h"

namespace mend::patchc {
namespace {

constexpr char kExamples[] =
    "\nexamples:\n"
    "  patchc strip ./server\n";

// The image lies in the middle of the executable's addresses, so it keeps its place: the stripped
// objects, then zeros.
absl::StatusOr<std::string> StripProgram(const std::string& file, std::string_view image) {
  absl::StatusOr<std::vector<ProgramObject>> objects = ParseProgramImage(image);
  if (!objects.ok()) return objects.status();
  std::vector<std::string> stripped;
  stripped.reserve(objects->size());
  for (ProgramObject& object : *objects) {
    absl::StatusOr<std::string> bytes = RemoveSection(object.bytes, kSourcesSection);
    if (!bytes.ok()) return bytes.status();
    stripped.push_back(*std::move(bytes));
    object.bytes = stripped.back();
  }
  std::string replacement = SerializeProgramImage(*objects);
  if (replacement.size() > image.size()) {
    return absl::InternalError("the stripped program is larger than the program");
  }
  replacement.resize(image.size(), '\0');
  std::string result = file;
  result.replace(static_cast<size_t>(image.data() - file.data()), image.size(), replacement);
  return result;
}

absl::StatusOr<std::string> Strip(const std::string& file) {
  if (absl::StatusOr<std::string_view> image = FindProgramImage(file); image.ok()) {
    return StripProgram(file, *image);
  }
  if (!FindElfSection(file, kObjectSection).ok()) {
    return absl::InvalidArgumentError("neither a program nor an object compiled by patchc");
  }
  return RemoveSection(file, kSourcesSection);
}

// A new file in the place of the old one: that one may be running.
absl::Status Replace(const std::string& path, const std::string& contents) {
  const std::string scratch = path + ".strip";
  if (absl::Status written = WriteFile(scratch, contents); !written.ok()) return written;
  llvm::ErrorOr<llvm::sys::fs::perms> permissions = llvm::sys::fs::getPermissions(path);
  std::error_code error = permissions.getError();
  if (!error) error = llvm::sys::fs::setPermissions(scratch, *permissions);
  if (!error) error = llvm::sys::fs::rename(scratch, path);
  if (!error) return absl::OkStatus();
  (void)llvm::sys::fs::remove(scratch);
  return absl::InternalError("cannot replace the file: " + error.message());
}

absl::Status StripFile(const std::string& path) {
  const absl::StatusOr<std::string> file = mend::ReadFile(path);
  if (!file.ok()) return file.status();
  absl::StatusOr<std::string> stripped = Strip(*file);
  if (!stripped.ok()) return stripped.status();
  return *stripped == *file ? absl::OkStatus() : Replace(path, *stripped);
}

}  // namespace

int RunStrip(const CommandArguments& arguments) {
  CLI::App app(
      "Removes the embedded sources from objects and programs. Patches for them can still be "
      "built\n"
      "where the sources are at hand.",
      "patchc strip");
  app.footer(kExamples);
  std::vector<std::string> paths;
  app.add_option("FILE", paths, "made by patchc")->required();
  if (const int code = ParseArguments(app, arguments); code >= 0) return code;
  for (const std::string& path : paths) {
    const absl::Status status = StripFile(path);
    if (status.ok()) continue;
    std::fprintf(stderr, "patchc: strip: %s: %s\n", path.c_str(),
                 std::string(status.message()).c_str());
    return kExitRefused;
  }
  return kExitOk;
}

}  // namespace mend::patchc
