#include "runtime/control/socket_place.h"

#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace mend {
namespace {

// The value of an environment variable that names a directory; "" unless it is an absolute path.
std::string DirectoryVariable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || value[0] != '/') return {};
  std::string directory = value;
  while (directory.size() > 1 && directory.back() == '/') directory.pop_back();
  return directory;
}

// The XDG specification wants $XDG_RUNTIME_DIR to be the user's own. After `su` or `sudo` it is
// often another one's, where root would leave a directory that keeps the user's own programs out.
bool IsOwnDirectory(const std::string& directory) {
  struct stat status = {};
  return ::stat(directory.c_str(), &status) == 0 && S_ISDIR(status.st_mode) &&
         status.st_uid == ::geteuid();
}

std::string TemporaryPlace(const std::string& base) {
  return absl::StrCat(base, "/mend-", ::geteuid());
}

void AddGlob(const char* pattern, std::vector<std::string>* directories) {
  glob_t found = {};
  if (::glob(pattern, GLOB_NOSORT, nullptr, &found) == 0) {
    for (size_t i = 0; i < found.gl_pathc; ++i) directories->emplace_back(found.gl_pathv[i]);
  }
  ::globfree(&found);
}

absl::Status CheckDirectory(const std::string& directory, bool any_owner) {
  struct stat status = {};
  if (::lstat(directory.c_str(), &status) != 0) {
    const int error = errno;
    const std::string message = absl::StrCat("directory '", directory, "': ", std::strerror(error));
    return error == ENOENT ? absl::NotFoundError(message) : absl::PermissionDeniedError(message);
  }
  if (!S_ISDIR(status.st_mode)) {
    return absl::PermissionDeniedError(
        absl::StrCat("'", directory,
                     "' is a link or a file, not a directory: not trusted with control sockets"));
  }
  if (status.st_uid != ::geteuid() && !any_owner) {
    return absl::PermissionDeniedError(absl::StrCat(
        "directory '", directory, "' belongs to another user (uid ", status.st_uid, ")"));
  }
  if ((status.st_mode & 077) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("directory '", directory, "' is open to other users: make it mode 0700"));
  }
  return absl::OkStatus();
}

}  // namespace

std::string DefaultSocketDirectory() {
  const std::string runtime = DirectoryVariable("XDG_RUNTIME_DIR");
  if (!runtime.empty() && IsOwnDirectory(runtime)) return runtime + "/mend";
  if (::geteuid() == 0) return "/run/mend";
  const std::string temporary = DirectoryVariable("TMPDIR");
  return TemporaryPlace(temporary.empty() ? "/tmp" : temporary);
}

std::string DefaultSocketPath(pid_t pid) {
  return absl::StrCat(DefaultSocketDirectory(), "/", pid, ".sock");
}

std::string TemporarySocketDirectory() { return TemporaryPlace("/tmp"); }

std::vector<std::string> SocketDirectories() {
  std::vector<std::string> directories = {DefaultSocketDirectory()};
  const std::string runtime = DirectoryVariable("XDG_RUNTIME_DIR");
  if (!runtime.empty()) directories.push_back(runtime + "/mend");
  directories.push_back(absl::StrCat("/run/user/", ::geteuid(), "/mend"));
  const std::string temporary = DirectoryVariable("TMPDIR");
  if (!temporary.empty()) directories.push_back(TemporaryPlace(temporary));
  directories.push_back(TemporaryPlace("/tmp"));
  if (::geteuid() == 0) {
    directories.push_back("/run/mend");
    AddGlob("/run/user/*/mend", &directories);
    AddGlob("/tmp/mend-*", &directories);
  }
  std::vector<std::string> distinct;
  for (std::string& directory : directories) {
    if (std::find(distinct.begin(), distinct.end(), directory) == distinct.end()) {
      distinct.push_back(std::move(directory));
    }
  }
  return distinct;
}

absl::Status PrepareSocketDirectory(const std::string& directory) {
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::UnavailableError(
        absl::StrCat("cannot make directory '", directory, "': ", std::strerror(errno)));
  }
  return CheckDirectory(directory, /*any_owner=*/false);
}

absl::Status CheckSocketDirectory(const std::string& directory) {
  return CheckDirectory(directory, /*any_owner=*/::geteuid() == 0);
}

}  // namespace mend
