#include "mend/dynamic_loading.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "jit/guest_libc/stand_ins.h"
#include "jit/imports.h"
#include "mend/host.h"
#include "mend/mapped_file.h"
#include "mend/needed_modules.h"
#include "mend/open_libraries.h"
#include "runtime/control/refusal.h"
#include "runtime/format/program_image.h"
#include "runtime/module/module_registry.h"

namespace mend {
namespace {

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

// A file as the native loader calls it, and by its real path. It is read once: what is looked at is
// what is loaded.
struct GuestFile {
  std::string name;
  std::string path;
  std::shared_ptr<const MappedFile> file;
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
    const auto file = std::make_shared<const MappedFile>(candidate);
    if (file->contents().empty()) continue;
    if (!FindElfSection(file->contents(), kModuleSection).ok()) return std::nullopt;
    char* const resolved = realpath(candidate.c_str(), nullptr);
    GuestFile found{candidate, resolved != nullptr ? resolved : candidate, file};
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

// A guest module that one dlopen is about.
struct Opening {
  GuestFile file;
  bool is_open = false;  // then what it needs is, too
  bool binds_now = false;
  std::vector<size_t> needed;  // places
  std::string name;            // under which it is loaded
};

// The module and those that it was linked with and that the program has not taken in, breadth
// first.
std::vector<Opening> CollectNeeded(const GuestFile& first) {
  std::vector<Opening> openings = {{.file = first}};
  for (size_t i = 0; i < openings.size(); ++i) {
    openings[i].is_open = Libraries().HasPath(openings[i].file.path);
    if (openings[i].is_open) continue;
    const NeededModules needed =
        ReadNeededModules(openings[i].file.path, openings[i].file.file->contents());
    openings[i].binds_now = needed.binds_now;
    for (const std::string& name : needed.names) {
      if (IsPartOfProgram(name)) continue;
      std::optional<GuestFile> found = FindGuestModule(name, needed.folders);
      // Without it, linking says which symbols are missing.
      if (!found) continue;
      size_t place = 0;
      while (place < openings.size() && openings[place].file.path != found->path) ++place;
      if (place == openings.size()) openings.push_back({.file = *std::move(found)});
      if (place != i) openings[i].needed.push_back(place);
    }
  }
  std::set<std::string> taken;
  for (Opening& opening : openings) {
    opening.name = Libraries().NameFor(opening.file.path, taken);
    taken.insert(opening.name);
  }
  return openings;
}

// The places in the order in which the native loader initialises: from the last one on, each after
// those that it needs, and the module that is opened (the first) at the end.
std::vector<size_t> InitializationOrder(const std::vector<Opening>& openings) {
  std::vector<size_t> order;
  std::vector<bool> seen(openings.size());
  const std::function<void(size_t)> visit = [&](size_t place) {
    if (seen[place]) return;
    seen[place] = true;
    for (const size_t needed : openings[place].needed) visit(needed);
    order.push_back(place);
  };
  for (size_t i = openings.size(); i > 0; --i) visit(i - 1);
  std::erase(order, size_t{0});
  order.push_back(0);
  return order;
}

// Whether it needs, directly or not, one that is linked after it.
bool NeedsLaterOne(const std::vector<Opening>& openings, const std::vector<size_t>& order,
                   size_t place) {
  const auto own = std::find(order.begin(), order.end(), place);
  std::set<size_t> reached;
  const std::function<void(size_t)> visit = [&](size_t at) {
    for (const size_t needed : openings[at].needed) {
      if (reached.insert(needed).second) visit(needed);
    }
  };
  visit(place);
  return std::any_of(own + 1, order.end(), [&](size_t later) { return reached.contains(later); });
}

// What libraries and later modules see of it; before its constructors run, which may open who needs
// it.
void ShowToAll(GuestModule* module, const std::string& name) {
  jit::Session::MakeGlobal(*module);
  Libraries().Show(module, name);
}

std::vector<ModuleRequest> RequestsFor(const std::vector<Opening>& openings,
                                       const std::vector<size_t>& order, int flags) {
  std::vector<size_t> position(openings.size());
  for (size_t i = 0; i < order.size(); ++i) position[order[i]] = i;
  std::vector<ModuleRequest> requests;
  for (const size_t place : order) {
    const Opening& opening = openings[place];
    ModuleRequest request{.name = opening.name, .source = {.path = opening.file.path}};
    request.references = place != 0 ? 0 : (flags & RTLD_NODELETE) != 0 ? 2 : 1;
    request.must_be_open = opening.is_open;
    if (!opening.is_open) {
      request.source.bytes = std::string(opening.file.file->contents());
      const bool lazily = BindsLazily(flags) && !opening.binds_now;
      // Functions alone can wait for those that come later.
      request.bind_now = !lazily && NeedsLaterOne(openings, order, place);
      if (lazily || request.bind_now) request.source.lazy_name = opening.file.name;
    }
    for (const size_t needed : opening.needed) {
      request.source.needed.push_back(openings[needed].name);
      request.needs.push_back(position[needed]);
    }
    if ((flags & RTLD_GLOBAL) != 0) {
      request.linked = [name = opening.name](GuestModule* linked) { ShowToAll(linked, name); };
    }
    request.is_unused = [](const GuestModule* module) { return Libraries().Hide(module); };
    requests.push_back(std::move(request));
  }
  for (const size_t place : order) {
    for (const size_t needed : openings[place].needed) ++requests[position[needed]].references;
  }
  return requests;
}

// How many of the references that a request took are one of the program or of a new module: others
// may have opened a module meanwhile that was to need it.
unsigned ReferencesInUse(const std::vector<ModuleRequest>& requests,
                         const std::vector<OpenedModule>& opened, size_t at) {
  unsigned unused = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    const std::vector<size_t>& needs = requests[i].needs;
    if (!opened[i].is_new) {
      unused += static_cast<unsigned>(std::count(needs.begin(), needs.end(), at));
    }
  }
  return requests[at].references - unused;
}

// One reference. False: why not is the next dlerror.
bool CloseReference(const GuestModule* module, Host& host) {
  if (Libraries().Close(module) && !Libraries().Hide(module)) {
    Libraries().Keep(module, &host);
    return true;
  }
  const absl::Status closed = host.modules().Close(module);
  if (!closed.ok()) SetError(closed);
  return closed.ok();
}

// Closes what modules needed that have gone.
void CloseReleased(Host& host) {
  for (auto released = host.modules().TakeReleased(); !released.empty();
       released = host.modules().TakeReleased()) {
    for (const GuestModule* const module : released) CloseReference(module, host);
  }
}

void* OpenGuest(const GuestFile& file, int flags) {
  const bool is_global = (flags & RTLD_GLOBAL) != 0;
  while ((flags & RTLD_NOLOAD) == 0 || Libraries().HasPath(file.path)) {
    const std::vector<Opening> openings = CollectNeeded(file);
    const std::vector<ModuleRequest> requests =
        RequestsFor(openings, InitializationOrder(openings), flags);
    ModuleRegistry& modules = Host::Get()->modules();
    const absl::StatusOr<std::vector<OpenedModule>> opened = modules.OpenTogether(requests);
    // Another thread has just closed one of those that were open.
    if (absl::IsAborted(opened.status())) continue;
    if (!opened.ok()) {
      CloseReleased(*Host::Get());
      SetError(opened.status());
      return nullptr;
    }
    for (size_t i = 0; i < requests.size(); ++i) {
      const ModuleRequest& request = requests[i];
      const unsigned references = ReferencesInUse(requests, *opened, i);
      GuestModule* const module = (*opened)[i].module;
      if (references != 0) {
        Libraries().Opened(module, request.source.path, request.name, is_global, references);
      }
      if (references != request.references) {
        modules.Close(module, request.references - references).IgnoreError();
      }
    }
    CloseReleased(*Host::Get());
    GuestModule* const module = opened->back().module;
    if (is_global) ShowToAll(module, requests.back().name);
    return module;
  }
  return nullptr;
}

// Nothing when it is the native loader's business.
std::optional<void*> OpenHosted(const char* file, int flags) {
  if (IsPartOfProgram(file)) return dlopen(nullptr, flags);
  const std::optional<GuestFile> guest = FindGuestModule(file);
  if (!guest) return std::nullopt;
  if (IsPartOfProgram(guest->path)) return dlopen(nullptr, flags);
  return OpenGuest(*guest, flags);
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

// RTLD_DEFAULT: what all see comes first, then what the caller's module needs. Nothing when the
// native loader should be asked.
std::optional<void*> FindForCaller(const char* name, const void* caller) {
  if (void* const found = FindInProgram(name); found != nullptr) return found;
  void* const own =
      Host::Get()->session().FindSymbolFor(CodeAddress{reinterpret_cast<uintptr_t>(caller)}, name);
  if (own == nullptr || dlsym(RTLD_DEFAULT, name) != nullptr) return std::nullopt;
  return own;
}

// Nothing when the native loader should be asked.
std::optional<void*> FindHosted(void* handle, const char* name, const void* caller) {
  // A malloc of the program's may ask for the one behind it.
  const jit::OwnAllocations own;
  if (Libraries().Has(handle)) {
    void* const found = jit::Session::FindSymbol(*static_cast<GuestModule*>(handle), name);
    if (found == nullptr) SetError(absl::StrCat("undefined symbol: ", name));
    return found;
  }
  if (handle == RTLD_DEFAULT) return FindForCaller(name, caller);
  if (IsProgramHandle(handle)) {
    if (void* const found = FindInProgram(name); found != nullptr) return found;
  } else if (handle == RTLD_NEXT) {
    return FindNext(name);
  }
  return std::nullopt;
}

void* HostedDlsym(void* handle, const char* name) {
  if (const std::optional<void*> found = FindHosted(handle, name, __builtin_return_address(0))) {
    return *found;
  }
  [[clang::musttail]] return dlsym(NativeHandle(handle), name);
}

// Hosted symbols have no versions, and match each, as the native loader has it.
void* HostedDlvsym(void* handle, const char* name, const char* version) {
  if (const std::optional<void*> found = FindHosted(handle, name, __builtin_return_address(0))) {
    return *found;
  }
  [[clang::musttail]] return dlvsym(NativeHandle(handle), name, version);
}

// Libraries ask for guest modules as the program does. What they ask of all libraries, or of those
// behind them, is the native loader's.
bool IsForLoader(void* handle) { return handle == RTLD_DEFAULT || handle == RTLD_NEXT; }

void* LibraryDlsym(void* handle, const char* name) {
  if (!IsForLoader(handle)) {
    if (const std::optional<void*> found = FindHosted(handle, name, __builtin_return_address(0))) {
      return *found;
    }
  }
  [[clang::musttail]] return dlsym(handle, name);
}

void* LibraryDlvsym(void* handle, const char* name, const char* version) {
  if (!IsForLoader(handle)) {
    if (const std::optional<void*> found = FindHosted(handle, name, __builtin_return_address(0))) {
      return *found;
    }
  }
  [[clang::musttail]] return dlvsym(handle, name, version);
}

int CloseGuest(const GuestModule* module, Host& host) {
  // In a livepatch callback it stays open, and may be closed later.
  if (host.registry().InCallback()) {
    SetError(host.modules().Close(module));
    return -1;
  }
  const bool closed = CloseReference(module, host);
  CloseReleased(host);
  return closed ? 0 : -1;
}

int HostedDlclose(void* handle) {
  if (Host* const host = Libraries().HostOf(handle); host != nullptr) {
    return CloseGuest(static_cast<const GuestModule*>(handle), *host);
  }
  const int result = dlclose(handle);
  if (Host::Get()->registry().InCallback()) return result;
  // It may have been the last library that needed a module's symbols.
  for (const auto& [module, host] : Libraries().TakeUnkept()) {
    CloseGuest(module, *host);
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
