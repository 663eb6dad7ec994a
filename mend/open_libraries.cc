#include "mend/open_libraries.h"

#include "absl/status/statusor.h"
#include "runtime/base/event_log.h"

namespace mend {

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
