#include "mend/compile.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "jit/link/archive.h"
#include "runtime/base/read_file.h"

namespace mend {
namespace {

namespace fs = std::filesystem;

// A directory that goes when the scope ends.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::error_code error;
    std::string pattern = (fs::temp_directory_path(error) / "mend-XXXXXX").string();
    if (mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  const fs::path& path() const { return path_; }  // empty: none could be made

 private:
  fs::path path_;
};

// bin/patchc of the installation that libmend is part of.
fs::path PatchcPath() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&CompileFile), &info) == 0) return {};
  return fs::absolute(info.dli_fname).parent_path().parent_path() / "bin" / "patchc";
}

absl::StatusOr<int> RunToEnd(const std::vector<std::string>& command, const fs::path& output) {
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, output.c_str(), O_WRONLY | O_CREAT,
                                   0600);
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  pid_t child = 0;
  const int error = posix_spawn(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return absl::NotFoundError(
        absl::StrCat("cannot run '", command[0], "': ", std::strerror(error)));
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return absl::UnavailableError("patchc's exit was not to be had");
  }
  return status;
}

absl::StatusOr<std::string> CompileSource(const std::string& file) {
  const ScratchDirectory scratch;
  if (scratch.path().empty()) {
    return absl::UnavailableError(absl::StrCat("no scratch directory: ", std::strerror(errno)));
  }
  const fs::path object = scratch.path() / "unit.o";
  const fs::path diagnostics = scratch.path() / "diagnostics";
  const char* const mode = fs::path(file).extension() == ".c" ? "cc" : "c++";
  const absl::StatusOr<int> status =
      RunToEnd({PatchcPath().string(), mode, "-O2", "-fmend-embed-headers", "-c", file, "-o",
                object.string()},
               diagnostics);
  if (!status.ok()) return status.status();
  if (*status != 0) {
    const absl::StatusOr<std::string> text = ReadFile(diagnostics);
    return absl::InvalidArgumentError(
        absl::StrCat("cannot compile '", file, "':\n", text.ok() ? *text : std::string()));
  }
  return ReadFile(object);
}

}  // namespace

absl::StatusOr<std::vector<CompiledObject>> CompileFile(const std::string& file) {
  const std::string extension = fs::path(file).extension().string();
  if (extension == ".o" || extension == ".a") {
    absl::StatusOr<std::string> bytes = ReadFile(file);
    if (!bytes.ok()) return bytes.status();
    if (extension == ".o") return std::vector<CompiledObject>{{file, *std::move(bytes)}};
    absl::StatusOr<std::vector<jit::ArchiveMember>> members = jit::ReadArchive(file, *bytes);
    if (!members.ok()) return members.status();
    std::vector<CompiledObject> objects;
    for (jit::ArchiveMember& member : *members) {
      objects.push_back({std::move(member.name), std::move(member.bytes)});
    }
    return objects;
  }
  std::error_code error;
  if (!fs::exists(file, error)) {
    return absl::NotFoundError(
        absl::StrCat("no file '", file, "'", error ? ": " : "", error ? error.message() : ""));
  }
  absl::StatusOr<std::string> object = CompileSource(file);
  if (!object.ok()) return object.status();
  return std::vector<CompiledObject>{{file, *std::move(object)}};
}

}  // namespace mend
