#include "mend/dynamic_loading.h"

#include <dlfcn.h>

#include <climits>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "jit/guest_libc/stand_ins.h"
#include "jit/imports.h"
#include "mend/host.h"
#include "mend/mapped_file.h"
#include "mend/needed_modules.h"
#include "mend/program_exports.h"
#include "runtime/base/mutex.h"
#include "runtime/control/refusal.h"
#include "runtime/format/program_image.h"
#include "runtime/module/module_registry.h"

namespace mend {
namespace {

// What native libraries see of a guest module that was opened with RTLD_GLOBAL.
struct ShownModule {
  SymbolLibrary library;
  std::string name;
  // The program has closed it, and the native loader has not: a library found a symbol there. Then
  // it stays loaded, as natively.
  Host* kept_by = nullptr;
};

// A guest module that the program has open.
struct OpenLibrary {
  std::string path;
  std::string name;
  unsigned references = 0;
  bool is_global = false;  // RTLD_GLOBAL
  Host* host = nullptr;    // whose module it is
};

// The handle of a guest module is the module's address: the native loader's are others.
class OpenLibraries {
 public:
  // The name under which the file is, or would be, loaded.
  std::string NameFor(const std::string& path) const ABSL_LOCKS_EXCLUDED(mu_) {
    const MutexLock lock(&mu_);
    const std::string base = GuestModuleName(path);
    std::string name = base;
    for (unsigned number = 2; IsTaken(name, path); ++number) name = absl::StrCat(base, "-", number);
    return name;
  }

  void Opened(const GuestModule* module, const std::string& path, const std::string& name,
              bool is_global) ABSL_LOCKS_EXCLUDED(mu_) {
    const MutexLock lock(&mu_);
    OpenLibrary& library = libraries_[module];
    library.host = Host::Get();
    library.path = path;
    library.name = name;
    library.is_global = library.is_global || is_global;
    ++library.references;
  }

  // One reference less; false when it is not the last one.
  bool Close(const void* handle) ABSL_LOCKS_EXCLUDED(mu_) {
    const MutexLock lock(&mu_);
    const auto found = libraries_.find(handle);
    if (found == libraries_.end() || --found->second.references != 0) return false;
    libraries_.erase(found);
    return true;
  }

  // Its symbols join the process's, behind all others.
  void Show(GuestModule* module, const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);
  // The other way round. False: the native loader keeps it, and the module has to stay.
  bool Hide(const GuestModule* module) ABSL_LOCKS_EXCLUDED(mu_);
  void Keep(const GuestModule* module, Host* host) ABSL_LOCKS_EXCLUDED(mu_);
  // The modules that need not be kept any more, and whose they are.
  std::vector<std::pair<const GuestModule*, Host*>> TakeUnkept() ABSL_LOCKS_EXCLUDED(mu_);

  // Null when the handle is none of ours.
  Host* HostOf(const void* handle) const ABSL_LOCKS_EXCLUDED(mu_) {
    const MutexLock lock(&mu_);
    const auto found = libraries_.find(handle);
    return found == libraries_.end() ? nullptr : found->second.host;
  }
  bool Has(const void* handle) const ABSL_LOCKS_EXCLUDED(mu_) {
    const MutexLock lock(&mu_);
    return libraries_.find(handle) != libraries_.end();
  }
  bool HasPath(const std::string& path) const ABSL_LOCKS_EXCLUDED(mu_) {
    const MutexLock lock(&mu_);
    for (const auto& [handle, library] : libraries_) {
      if (library.path == path) return true;
    }
    return false;
  }

  // What a module opened with RTLD_GLOBAL exports; null if none does.
  void* FindGlobal(const std::string& symbol) const ABSL_LOCKS_EXCLUDED(mu_) {
    const MutexLock lock(&mu_);
    for (const auto& [handle, library] : libraries_) {
      if (!library.is_global) continue;
      void* const found =
          jit::Session::FindSymbol(*static_cast<const GuestModule*>(handle), symbol);
      if (found != nullptr) return found;
    }
    return nullptr;
  }

 private:
  bool IsTaken(const std::string& name, const std::string& path) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    for (const auto& [handle, library] : libraries_) {
      if (library.name == name && library.path != path) return true;
    }
    return false;
  }

  mutable Mutex mu_;
  std::map<const void*, OpenLibrary> libraries_ ABSL_GUARDED_BY(mu_);
  std::map<const GuestModule*, ShownModule> shown_ ABSL_GUARDED_BY(mu_);
};

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
  std::erase_if(kept, [](const auto& entry) { return entry.second.library.IsKept(); });
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

// What dlerror is to say next on this thread; `told` keeps the text that it returned.
struct LoadingError {
  std::optional<std::string> pending;
  std::string told;
};
thread_local LoadingError loading_error;

void SetError(std::string text) { loading_error.pending = std::move(text); }

// As an operator would be told.
void SetError(const absl::Status& status) {
  const Refusal refusal = DescribeRefusal(status);
  SetError(absl::StrCat(refusal.errno_name, ": ", refusal.message));
}

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

// A file as the native loader calls it, and by its real path.
struct GuestFile {
  std::string name;
  std::string path;
};

// The guest module that the name means; nothing when it means no such file. `folders`: where to
// look before the executable's.
std::optional<GuestFile> FindGuestModule(const std::string& name,
                                         std::vector<std::string> folders = {}) {
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
    const MappedFile file(candidate);
    if (file.contents().empty()) continue;
    if (!FindElfSection(file.contents(), kModuleSection).ok()) return std::nullopt;
    char* const resolved = realpath(candidate.c_str(), nullptr);
    GuestFile found{candidate, resolved != nullptr ? resolved : candidate};
    free(resolved);
    return found;
  }
  return std::nullopt;
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

bool IsPartOfProgram(std::string_view file) { return LinkedModules().contains(BaseName(file)); }

// The process's own wish comes first, as for the native loader, which reads it when it starts.
bool BindsLazily(int flags) {
  static const bool binds_now = [] {
    const char* const wish = getenv("LD_BIND_NOW");
    return wish != nullptr && *wish != '\0';
  }();
  return (flags & RTLD_NOW) == 0 && !binds_now;
}

void* OpenGuest(const GuestFile& file, int flags, std::set<std::string>& opening);

// The guest modules that `file` was linked with and that the program has not taken in come first,
// as natively. They stay: the module is linked with them. False: one was refused.
bool OpenNeeded(const GuestFile& file, int flags, std::set<std::string>& opening) {
  const NeededModules needed = ReadNeededModules(file.path);
  for (const std::string& name : needed.names) {
    if (IsPartOfProgram(name)) continue;
    const std::optional<GuestFile> found = FindGuestModule(name, needed.folders);
    // Without it, linking says which symbols are missing.
    if (!found || !opening.insert(found->path).second) continue;
    void* const module = OpenGuest(*found, flags & ~RTLD_GLOBAL, opening);
    if (module == nullptr) return false;
    jit::Session::MakeGlobal(*static_cast<GuestModule*>(module));
  }
  return true;
}

// `opening`: the paths of the modules that are being opened, for those that need one another.
void* OpenGuest(const GuestFile& file, int flags, std::set<std::string>& opening) {
  const std::string& path = file.path;
  const bool is_open = Libraries().HasPath(path);
  if ((flags & RTLD_NOLOAD) != 0 && !is_open) return nullptr;
  if (!is_open && !OpenNeeded(file, flags, opening)) return nullptr;
  const std::string name = Libraries().NameFor(path);
  const bool is_global = (flags & RTLD_GLOBAL) != 0;
  GuestModule* shown = nullptr;
  // Its constructors may open libraries that need it.
  const auto show = [&](GuestModule* linked) {
    if (is_global) Libraries().Show(shown = linked, name);
  };
  const absl::StatusOr<GuestModule*> module = Host::Get()->modules().Open(
      name, {.path = path, .bytes = "", .lazy_name = BindsLazily(flags) ? file.name : ""}, show);
  if (!module.ok()) {
    if (shown != nullptr) Libraries().Hide(shown);
    SetError(module.status());
    return nullptr;
  }
  if (is_global) jit::Session::MakeGlobal(**module);
  Libraries().Opened(*module, path, name, is_global);
  show(*module);
  return *module;
}

// Nothing when it is the native loader's business.
std::optional<void*> OpenHosted(const char* file, int flags) {
  if (IsPartOfProgram(file)) return dlopen(nullptr, flags);
  const std::optional<GuestFile> guest = FindGuestModule(file);
  if (!guest) return std::nullopt;
  if (IsPartOfProgram(guest->path)) return dlopen(nullptr, flags);
  std::set<std::string> opening = {guest->path};
  return OpenGuest(*guest, flags, opening);
}

// The native functions are called in the end position, so that they see the hosted caller's address
// as theirs: which folders dlopen searches depends on it.

void* HostedDlopen(const char* file, int flags) {
  if (file != nullptr && *file != '\0') {
    if (const std::optional<void*> handle = OpenHosted(file, flags)) return *handle;
  }
  [[clang::musttail]] return dlopen(file, flags);
}

// Null when the native loader should be asked.
void* FindInProgram(const char* name) {
  const absl::StatusOr<CodeAddress> found = Host::Get()->session().LookupReference(name);
  if (found.ok()) return reinterpret_cast<void*>(found->value);
  return Libraries().FindGlobal(name);
}

bool IsProgramHandle(void* handle) {
  if (handle == RTLD_DEFAULT) return true;
  if (handle == RTLD_NEXT) return false;
  void* const program = dlopen(nullptr, RTLD_LAZY | RTLD_NOLOAD);
  if (program != nullptr) dlclose(program);
  return handle == program;
}

// What the native loader should be asked instead of RTLD_NEXT. The program comes first, then the
// guest modules, then the libraries, which are all that the native loader knows. It cannot take
// RTLD_NEXT, since it knows nothing of the caller.
void* NativeHandle(void* handle) { return handle == RTLD_NEXT ? RTLD_DEFAULT : handle; }

// RTLD_NEXT. Nothing when the native loader should be asked for NativeHandle.
std::optional<void*> FindNext(const char* name) {
  // The executable has a function of that name that stands for the program's.
  if (jit::HasStandIn(name)) return jit::FindBehindProgram(name);
  // What the libraries were shown of the program (program_exports.h) is no next one.
  void* const own = FindInProgram(name);
  if (own == nullptr || dlsym(NativeHandle(RTLD_NEXT), name) != own) return std::nullopt;
  SetError(absl::StrCat("undefined symbol: ", name));
  return nullptr;
}

// Nothing when the native loader should be asked.
std::optional<void*> FindHosted(void* handle, const char* name) {
  // A malloc of the program's may ask for the one behind it.
  const jit::OwnAllocations own;
  if (Libraries().Has(handle)) {
    void* const found = jit::Session::FindSymbol(*static_cast<GuestModule*>(handle), name);
    if (found == nullptr) SetError(absl::StrCat("undefined symbol: ", name));
    return found;
  }
  if (IsProgramHandle(handle)) {
    if (void* const found = FindInProgram(name); found != nullptr) return found;
  } else if (handle == RTLD_NEXT) {
    return FindNext(name);
  }
  return std::nullopt;
}

void* HostedDlsym(void* handle, const char* name) {
  if (const std::optional<void*> found = FindHosted(handle, name)) return *found;
  [[clang::musttail]] return dlsym(NativeHandle(handle), name);
}

// Hosted symbols have no versions, and match each, as the native loader has it.
void* HostedDlvsym(void* handle, const char* name, const char* version) {
  if (const std::optional<void*> found = FindHosted(handle, name)) return *found;
  [[clang::musttail]] return dlvsym(NativeHandle(handle), name, version);
}

// Libraries ask for guest modules as the program does. What they ask of all libraries, or of those
// behind them, is the native loader's.
bool IsForLoader(void* handle) { return handle == RTLD_DEFAULT || handle == RTLD_NEXT; }

void* LibraryDlsym(void* handle, const char* name) {
  if (!IsForLoader(handle)) {
    if (const std::optional<void*> found = FindHosted(handle, name)) return *found;
  }
  [[clang::musttail]] return dlsym(handle, name);
}

void* LibraryDlvsym(void* handle, const char* name, const char* version) {
  if (!IsForLoader(handle)) {
    if (const std::optional<void*> found = FindHosted(handle, name)) return *found;
  }
  [[clang::musttail]] return dlvsym(handle, name, version);
}

int CloseGuest(GuestModule* module, Host& host) {
  // In a livepatch callback it stays open, and may be closed later.
  if (host.registry().InCallback()) {
    SetError(host.modules().Close(module));
    return -1;
  }
  if (Libraries().Close(module) && !Libraries().Hide(module)) {
    Libraries().Keep(module, &host);
    return 0;
  }
  if (const absl::Status closed = host.modules().Close(module); !closed.ok()) {
    SetError(closed);
    return -1;
  }
  return 0;
}

int HostedDlclose(void* handle) {
  if (Host* const host = Libraries().HostOf(handle); host != nullptr) {
    return CloseGuest(static_cast<GuestModule*>(handle), *host);
  }
  const int result = dlclose(handle);
  if (Host::Get()->registry().InCallback()) return result;
  // It may have been the last library that needed a module's symbols.
  for (const auto& [module, host] : Libraries().TakeUnkept()) {
    host->modules().Close(module).IgnoreError();
  }
  return result;
}

char* HostedDlerror() {
  LoadingError& error = loading_error;
  if (!error.pending.has_value()) return dlerror();
  error.told = *std::move(error.pending);
  error.pending.reset();
  // What the native loader has to say is older.
  dlerror();
  return error.told.data();
}

}  // namespace

std::map<std::string, void*> DynamicLoadingSymbols() {
  return {{"dlopen", reinterpret_cast<void*>(&HostedDlopen)},
          {"dlsym", reinterpret_cast<void*>(&HostedDlsym)},
          {"dlvsym", reinterpret_cast<void*>(&HostedDlvsym)},
          {"dlclose", reinterpret_cast<void*>(&HostedDlclose)},
          {"dlerror", reinterpret_cast<void*>(&HostedDlerror)}};
}

void ShowGuestModulesToLibraries() {
  std::map<std::string, void*> functions = DynamicLoadingSymbols();
  functions["dlsym"] = reinterpret_cast<void*>(&LibraryDlsym);
  functions["dlvsym"] = reinterpret_cast<void*>(&LibraryDlvsym);
  for (const auto& [name, function] : functions) {
    jit::RedirectOtherImports(name.c_str(), function);
  }
}

}  // namespace mend
