#include "mend/open_libraries.h"

#include <algorithm>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "jit/session.h"
#include "runtime/base/event_log.h"
#include "runtime/format/program_image.h"

namespace mend {

bool OpenLibraries::IsTaken(const std::string& name, const std::string& path) const {
  for (const auto& [handle, library] : libraries_) {
    if (library.name == name && library.path != path) return true;
  }
  return false;
}

std::string OpenLibraries::NameFor(const std::string& path,
                                   const std::set<std::string>& taken) const {
  const MutexLock lock(&mu_);
  const std::string base = GuestModuleName(path);
  std::string name = base;
  for (unsigned number = 2; taken.contains(name) || IsTaken(name, path); ++number) {
    name = absl::StrCat(base, "-", number);
  }
  return name;
}

void OpenLibraries::Opened(const GuestModule* module, const std::string& path,
                           const std::string& name, bool is_global, unsigned references) {
  const MutexLock lock(&mu_);
  OpenLibrary& library = libraries_[module];
  library.host = Host::Get();
  library.path = path;
  library.name = name;
  if (is_global && library.global_place == 0) library.global_place = ++global_places_;
  library.references += references;
}

bool OpenLibraries::Close(const void* handle) {
  const MutexLock lock(&mu_);
  const auto found = libraries_.find(handle);
  if (found == libraries_.end() || --found->second.references != 0) return false;
  libraries_.erase(found);
  return true;
}

bool OpenLibraries::Has(const void* handle) const {
  const MutexLock lock(&mu_);
  return libraries_.find(handle) != libraries_.end();
}

bool OpenLibraries::HasPath(const std::string& path) const {
  const MutexLock lock(&mu_);
  return std::any_of(libraries_.begin(), libraries_.end(), [&path](const auto& entry) {
    return entry.second.path == path && entry.second.host == Host::Get();
  });
}

Host* OpenLibraries::HostOf(const void* handle) const {
  const MutexLock lock(&mu_);
  const auto found = libraries_.find(handle);
  return found == libraries_.end() ? nullptr : found->second.host;
}

link_map* OpenLibraries::MapOf(void* handle) {
  const MutexLock lock(&mu_);
  const auto found = libraries_.find(handle);
  if (found == libraries_.end()) return nullptr;
  const std::string& file = jit::Session::FileOf(*static_cast<const GuestModule*>(handle));
  found->second.map.l_name = const_cast<char*>(file.c_str());
  return &found->second.map;
}

void* OpenLibraries::FindGlobal(const std::string& symbol) const {
  const MutexLock lock(&mu_);
  void* first = nullptr;
  unsigned place = 0;
  for (const auto& [handle, library] : libraries_) {
    if (library.global_place == 0 || (place != 0 && library.global_place > place)) continue;
    void* const found = jit::Session::FindSymbol(*static_cast<const GuestModule*>(handle), symbol);
    if (found == nullptr) continue;
    first = found;
    place = library.global_place;
  }
  return first;
}

void OpenLibraries::Show(GuestModule* module, const std::string& name) {
  // The loader's locks are never taken under mu_.
  ShownModule shown;
  {
    const MutexLock lock(&mu_);
    const auto found = shown_.find(module);
    if (found != shown_.end() && found->second.library.is_open()) return;
    if (found != shown_.end()) shown = found->second;
  }
  Host* const kept_by = std::exchange(shown.kept_by, nullptr);
  if (kept_by == nullptr || !shown.library.Reopen()) {
    absl::StatusOr<SymbolLibrary> library =
        SymbolLibrary::Open(ExportsOfModule(*module), /*stays=*/false);
    if (!library.ok()) {
      Host::Get()->events().Append(
          MendEvent("exports_unavailable", "",
                    absl::StrCat("libraries do not see the symbols of module '", name,
                                 "': ", library.status().message())));
      return;
    }
    shown.library = *std::move(library);
    shown.name = name;
  }
  {
    const MutexLock lock(&mu_);
    shown_[module] = shown;
  }
  // The program has opened it once more: this reference is of no more use.
  if (kept_by != nullptr) kept_by->modules().Close(module).IgnoreError();
}

bool OpenLibraries::Hide(const GuestModule* module) {
  ShownModule shown;
  {
    const MutexLock lock(&mu_);
    const auto found = shown_.find(module);
    if (found == shown_.end()) return true;
    shown = found->second;
  }
  shown.library.Close();
  const bool is_kept = shown.library.IsKept();
  const MutexLock lock(&mu_);
  if (is_kept) {
    shown_[module] = shown;
  } else {
    shown_.erase(module);
  }
  return !is_kept;
}

void OpenLibraries::Keep(const GuestModule* module, Host* host) {
  const MutexLock lock(&mu_);
  shown_[module].kept_by = host;
}

std::vector<std::pair<const GuestModule*, Host*>> OpenLibraries::TakeUnkept() {
  std::vector<std::pair<const GuestModule*, ShownModule>> kept;
  {
    const MutexLock lock(&mu_);
    for (const auto& [module, shown] : shown_) {
      if (shown.kept_by != nullptr) kept.emplace_back(module, shown);
    }
  }
  std::erase_if(kept, [](const auto& entry) {
    return entry.second.library.IsKept() || jit::Session::HasThreadEnds(*entry.first);
  });
  std::vector<std::pair<const GuestModule*, Host*>> unkept;
  const MutexLock lock(&mu_);
  for (const auto& [module, shown] : kept) {
    const auto found = shown_.find(module);
    if (found == shown_.end() || found->second.kept_by == nullptr) continue;
    shown_.erase(found);
    unkept.emplace_back(module, shown.kept_by);
  }
  return unkept;
}

OpenLibraries& Libraries() {
  // Never destroyed: exit handlers of the program may still open and close.
  static auto* const libraries = new OpenLibraries;
  return *libraries;
}

}  // namespace mend
