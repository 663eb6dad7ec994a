#include "mend/dynamic_loading.h"

#include <dlfcn.h>
#include <link.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "jit/guest_libc/stand_ins.h"
#include "jit/link/host_symbols.h"
#include "jit/link/imports.h"
#include "mend/guest_file.h"
#include "mend/guest_opening.h"
#include "mend/host.h"
#include "mend/open_libraries.h"
#include "mend/program_exports.h"
#include "runtime/base/own_allocations.h"
#include "runtime/control/refusal.h"

namespace mend {
namespace {

// What dlerror is to say next on this thread; `told` keeps the text that it returned.
struct LoadingError {
  std::optional<std::string> pending;
  std::string told;
};
thread_local LoadingError loading_error;

void SetError(std::string text) { loading_error.pending = std::move(text); }

// Each of these functions forgets what an earlier one had to say, natively too.
void ForgetError() { loading_error.pending.reset(); }

// What the native loader said meanwhile, and before, is not about this answer.
template <typename Answer>
Answer HostedAnswer(Answer answer) {
  dlerror();
  return answer;
}

// As an operator would be told.
void SetError(const absl::Status& status) {
  const Refusal refusal = DescribeRefusal(status);
  SetError(absl::StrCat(refusal.errno_name, ": ", refusal.message));
}

// Nothing when it is the native loader's business.
std::optional<void*> OpenHosted(const char* file, int flags) {
  // Without either flag the native loader opens nothing, and says so.
  if ((flags & (RTLD_LAZY | RTLD_NOW)) == 0) return std::nullopt;
  if (IsPartOfProgram(file)) return dlopen(nullptr, flags);
  const std::optional<GuestFile> guest = FindGuestModule(file);
  if (!guest) return std::nullopt;
  if (IsPartOfProgram(guest->path)) return dlopen(nullptr, flags);
  const absl::StatusOr<GuestModule*> opened = OpenGuest(*guest, flags);
  if (opened.ok()) return *opened;
  SetError(opened.status());
  return nullptr;
}

// The native functions are called in the end position, so that they see the hosted caller's address
// as theirs: which folders dlopen searches depends on it.

void* HostedDlopen(const char* file, int flags) {
  ForgetError();
  if (file != nullptr && *file != '\0') {
    if (const std::optional<void*> handle = OpenHosted(file, flags)) return HostedAnswer(*handle);
  }
  [[clang::musttail]] return dlopen(file, flags);
}

// Null when the native loader should be asked.
void* FindInProgram(const char* name) {
  const absl::StatusOr<CodeAddress> found = Host::Get()->session().LookupReference(name);
  if (found.ok()) return reinterpret_cast<void*>(found->value);
  return Libraries().FindGlobal(name);
}

// The same, as dlsym has it: natively it does not find what the linker has not shown. That is
// shown, too, which a library defines as well.
void* FindShownInProgram(const char* name) {
  void* const found = FindInProgram(name);
  if (found == nullptr || IsShownToLibraries(name) || Libraries().FindGlobal(name) != nullptr) {
    return found;
  }
  static void* const process = dlopen(nullptr, RTLD_LAZY);
  return dlsym(process, name) != nullptr ? found : nullptr;
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
std::optional<void*> FindNext(const char* name, const void* caller) {
  // The executable has a function of that name that stands for the program's.
  const bool has_stand_in = jit::HasStandIn(name);
  void* const behind_program = has_stand_in ? jit::FindBehindProgram(name) : nullptr;
  const CodeAddress code{reinterpret_cast<uintptr_t>(caller)};
  if (const auto next = Host::Get()->session().FindNextFor(code, name, behind_program)) {
    if (*next == nullptr) SetError(absl::StrCat("undefined symbol: ", name));
    return next;
  }
  if (has_stand_in) return behind_program;
  // What the libraries were shown of the program (program_exports.h) is no next one.
  void* const own = FindInProgram(name);
  if (own == nullptr || dlsym(NativeHandle(RTLD_NEXT), name) != own) return std::nullopt;
  SetError(absl::StrCat("undefined symbol: ", name));
  return nullptr;
}

// RTLD_DEFAULT: what all see comes first, then what the caller's module needs. Nothing when the
// native loader should be asked.
std::optional<void*> FindForCaller(const char* name, const void* caller) {
  if (void* const found = FindShownInProgram(name); found != nullptr) return found;
  void* const own =
      Host::Get()->session().FindSymbolFor(CodeAddress{reinterpret_cast<uintptr_t>(caller)}, name);
  if (own == nullptr || dlsym(RTLD_DEFAULT, name) != nullptr) return std::nullopt;
  return own;
}

// Nothing when the native loader should be asked.
std::optional<void*> FindHosted(void* handle, const char* name, const void* caller) {
  // A malloc of the program's may ask for the one behind it.
  const OwnAllocations own;
  if (Libraries().Has(handle)) {
    void* const found = jit::Session::FindSymbol(*static_cast<GuestModule*>(handle), name);
    if (found == nullptr) {
      const std::string& file = jit::Session::FileOf(*static_cast<GuestModule*>(handle));
      SetError(absl::StrCat(file, ": undefined symbol: ", name));
    }
    return found;
  }
  if (handle == RTLD_DEFAULT) return FindForCaller(name, caller);
  if (IsProgramHandle(handle)) {
    if (void* const found = FindShownInProgram(name); found != nullptr) return found;
  } else if (handle == RTLD_NEXT) {
    return FindNext(name, caller);
  }
  return std::nullopt;
}

// What hosted code has in the place of a library's function that the native loader `found` for it;
// null: that function.
void* FindInPlaceOf(void* found, const char* name) {
  if (found == nullptr) return nullptr;
  static const std::map<std::string, void*>& loading =
      *new std::map<std::string, void*>(DynamicLoadingSymbols());
  const auto own = loading.find(name);
  if (own == loading.end()) return jit::FindInFrontOf(found, name);
  return found == dlsym(RTLD_DEFAULT, name) ? own->second : nullptr;
}

void* HostedDlsym(void* handle, const char* name) {
  ForgetError();
  if (const std::optional<void*> found = FindHosted(handle, name, __builtin_return_address(0))) {
    return HostedAnswer(*found);
  }
  if (void* const own = FindInPlaceOf(dlsym(NativeHandle(handle), name), name)) {
    return HostedAnswer(own);
  }
  [[clang::musttail]] return dlsym(NativeHandle(handle), name);
}

// A guest module may have several versions of a symbol. Other hosted symbols have none, and match
// each, as the native loader has it.
void* FindVersion(void* handle, const char* name, const char* version) {
  if (!Libraries().Has(handle)) return nullptr;
  return jit::Session::FindSymbol(*static_cast<GuestModule*>(handle),
                                  absl::StrCat(name, "@", version));
}

void* HostedDlvsym(void* handle, const char* name, const char* version) {
  ForgetError();
  if (void* const found = FindVersion(handle, name, version)) return HostedAnswer(found);
  if (const std::optional<void*> found = FindHosted(handle, name, __builtin_return_address(0))) {
    return HostedAnswer(*found);
  }
  if (void* const own = FindInPlaceOf(dlvsym(NativeHandle(handle), name, version), name)) {
    return HostedAnswer(own);
  }
  [[clang::musttail]] return dlvsym(NativeHandle(handle), name, version);
}

// Libraries ask for guest modules as the program does. What they ask of all libraries, or of those
// behind them, is the native loader's.
bool IsForLoader(void* handle) { return handle == RTLD_DEFAULT || handle == RTLD_NEXT; }

void* LibraryDlsym(void* handle, const char* name) {
  ForgetError();
  if (!IsForLoader(handle)) {
    if (const std::optional<void*> found = FindHosted(handle, name, __builtin_return_address(0))) {
      return HostedAnswer(*found);
    }
  }
  [[clang::musttail]] return dlsym(handle, name);
}

void* LibraryDlvsym(void* handle, const char* name, const char* version) {
  ForgetError();
  if (void* const found = FindVersion(handle, name, version)) return HostedAnswer(found);
  if (!IsForLoader(handle)) {
    if (const std::optional<void*> found = FindHosted(handle, name, __builtin_return_address(0))) {
      return HostedAnswer(*found);
    }
  }
  [[clang::musttail]] return dlvsym(handle, name, version);
}

int HostedDlclose(void* handle) {
  ForgetError();
  if (Host* const host = Libraries().HostOf(handle); host != nullptr) {
    const absl::Status closed = CloseGuest(static_cast<const GuestModule*>(handle), *host);
    if (!closed.ok()) SetError(closed);
    return HostedAnswer(closed.ok() ? 0 : -1);
  }
  const int result = dlclose(handle);
  if (Host::Get()->registry().InCallback()) return result;
  // It may have been the last library that needed a module's symbols.
  for (const auto& [module, host] : Libraries().TakeUnkept()) {
    CloseGuest(module, *host).IgnoreError();
  }
  return result;
}

// In the namespace of the program it is dlopen; another one cannot have hosted code.
void* HostedDlmopen(Lmid_t space, const char* file, int flags) {
  ForgetError();
  if (file != nullptr && *file != '\0') {
    if (space == LM_ID_BASE) {
      if (const std::optional<void*> handle = OpenHosted(file, flags)) return HostedAnswer(*handle);
    } else if (FindGuestModule(file)) {
      SetError(absl::StrCat(file, ": a guest module cannot be opened in a namespace of its own"));
      return nullptr;
    }
  }
  [[clang::musttail]] return dlmopen(space, file, flags);
}

int ShowGuest(link_map* map, int request, void* result) {
  switch (request) {
    case RTLD_DI_LINKMAP:
      *static_cast<link_map**>(result) = map;
      return 0;
    case RTLD_DI_LMID:
      *static_cast<Lmid_t*>(result) = LM_ID_BASE;
      return 0;
    case RTLD_DI_ORIGIN: {
      // As the loader has it: the folder as it was named, behind the current one if that is
      // relative.
      std::error_code error;
      const std::filesystem::path path = std::filesystem::absolute(map->l_name, error);
      strcpy(static_cast<char*>(result), path.parent_path().c_str());
      return 0;
    }
    default:
      SetError("unsupported dlinfo request");
      return -1;
  }
}

int HostedDlinfo(void* handle, int request, void* result) {
  ForgetError();
  if (link_map* const map = Libraries().MapOf(handle)) {
    return HostedAnswer(ShowGuest(map, request, result));
  }
  [[clang::musttail]] return dlinfo(handle, request, result);
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
          {"dlerror", reinterpret_cast<void*>(&HostedDlerror)},
          {"dlinfo", reinterpret_cast<void*>(&HostedDlinfo)},
          {"dlmopen", reinterpret_cast<void*>(&HostedDlmopen)}};
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
