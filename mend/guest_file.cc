#include "mend/guest_file.h"

#include <dlfcn.h>

#include <cstdlib>
#include <functional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/format/program_image.h"

namespace mend {
namespace {

// The folders in which the native loader looks for what the executable needs.
std::vector<std::string> SearchFolders() {
  std::vector<std::string> folders;
  void* const program = dlopen(nullptr, RTLD_LAZY);
  Dl_serinfo size;
  if (program == nullptr || dlinfo(program, RTLD_DI_SERINFOSIZE, &size) != 0) return folders;
  const std::unique_ptr<void, decltype(&free)> memory(malloc(size.dls_size), &free);
  auto* const found = static_cast<Dl_serinfo*>(memory.get());
  if (found == nullptr) return folders;
  *found = size;
  if (dlinfo(program, RTLD_DI_SERINFO, found) != 0) return folders;
  for (unsigned i = 0; i < found->dls_cnt; ++i) {
    folders.emplace_back(found->dls_serpath[i].dls_name);
  }
  dlclose(program);
  return folders;
}

std::string_view BaseName(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// The base names of the guest modules that are part of the executable, as it was linked: their
// sonames, and what their files were called.
const std::set<std::string, std::less<>>& LinkedModules() {
  static const auto* const names = [] {
    auto* const linked = new std::set<std::string, std::less<>>;
    for (const std::string& name : NamesInExecutable(kLinkedSection)) {
      linked->emplace(BaseName(name));
    }
    return linked;
  }();
  return *names;
}

}  // namespace

std::optional<GuestFile> FindGuestModule(const std::string& name,
                                         std::vector<std::string> folders) {
  std::vector<std::string> candidates;
  if (name.find('/') != std::string::npos) {
    candidates.push_back(name);
  } else {
    for (std::string& folder : SearchFolders()) folders.push_back(std::move(folder));
    for (const std::string& folder : folders) {
      candidates.push_back(absl::StrCat(folder, "/", name));
    }
  }
  for (const std::string& candidate : candidates) {
    const auto file = std::make_shared<const MappedFile>(candidate);
    if (file->contents().empty()) continue;
    if (!FindElfSection(file->contents(), kModuleSection).ok()) return std::nullopt;
    return GuestFile{candidate, RealPath(candidate), file->contents(), file};
  }
  return std::nullopt;
}

bool IsPartOfProgram(std::string_view file) { return LinkedModules().contains(BaseName(file)); }

std::string RealPath(const std::string& path) {
  char* const resolved = realpath(path.c_str(), nullptr);
  std::string real = resolved != nullptr ? resolved : path;
  free(resolved);
  return real;
}

}  // namespace mend
