#include "jit/link/host_symbols.h"

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <sys/auxv.h>

#include <utility>

#include "jit/link/imports.h"

// What libc_nonshared.a's functions call. The handle says which object a handler belongs to; with
// the executable's, it runs at exit and never at a dlclose.
extern "C" {
int __cxa_atexit(void (*function)(void*), void* argument, void* dso) noexcept;
int __cxa_at_quick_exit(void (*function)(void*), void* dso) noexcept;
int __register_atfork(void (*prepare)(), void (*parent)(), void (*child)(), void* dso) noexcept;
}

namespace mend::jit {
namespace {

// An address within the executable: stands for the hosted program's own handle.
void* ExecutableHandle() { return reinterpret_cast<void*>(getauxval(AT_PHDR)); }

int GuestAtExit(void (*function)()) {
  return __cxa_atexit(reinterpret_cast<void (*)(void*)>(function), nullptr, ExecutableHandle());
}

int GuestAtQuickExit(void (*function)()) {
  return __cxa_at_quick_exit(reinterpret_cast<void (*)(void*)>(function), ExecutableHandle());
}

int GuestAtFork(void (*prepare)(), void (*parent)(), void (*child)()) {
  return __register_atfork(prepare, parent, child, ExecutableHandle());
}

// The beginning of the loaded object that the address is in; null: in none.
const void* ObjectOf(const void* address) {
  Dl_info info;
  return address != nullptr && dladdr(address, &info) != 0 ? info.dli_fbase : nullptr;
}

constexpr const char* kThreadCreation = "pthread_create";

// A handle of this library, which nobody closes; null: the loader does not find it by its name.
void* OpenOwnLibrary() {
  Dl_info own;
  if (dladdr(reinterpret_cast<void*>(&GuestAtExit), &own) == 0) return nullptr;
  return dlopen(own.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
}

// Whether libc lies before this library in the process, as when that was opened by dlopen.
bool ComesBehindLibc() {
  Dl_info info;
  link_map* own = nullptr;
  link_map* libc = nullptr;
  const auto find = [&info](auto* function, link_map** map) {
    return dladdr1(reinterpret_cast<void*>(function), &info, reinterpret_cast<void**>(map),
                   RTLD_DL_LINKMAP) != 0;
  };
  if (!find(&GuestAtExit, &own) || !find(&gnu_get_libc_version, &libc)) return false;
  const link_map* map = libc;
  while (map != nullptr && map != own) map = map->l_next;
  return map == own;
}

// A handle of this library, if libc's functions come before those that it has in front of them.
// What others have in front of both, as what is preloaded, counts for hosted code, too.
void* OwnLibraryIfLate() { return ComesBehindLibc() ? OpenOwnLibrary() : nullptr; }

// What the process sees under the name.
void* FindInProcess(const char* name) {
  // Asked for by RTLD_DEFAULT, the loader keeps whose it is for as long as this library. For
  // hosted code (mend/program_exports.h) others see to that.
  static void* const process = dlopen(nullptr, RTLD_LAZY);
  void* const found = dlsym(process, name);
  dl_find_object object;
  if (found != nullptr && _dl_find_object(found, &object) != 0) return found;
  return dlsym(RTLD_DEFAULT, name);
}

// Static TLS lies below the thread pointer, all of it within this distance.
constexpr intptr_t kStaticTlsMax = intptr_t{4} << 20;

}  // namespace

void* FindInFrontOf(void* found, const char* name) {
  const void* const here = ObjectOf(reinterpret_cast<void*>(&GuestAtExit));
  static void* const own = OpenOwnLibrary();
  void* const front = own != nullptr ? dlsym(own, name) : nullptr;
  if (front == nullptr || front == found || ObjectOf(front) != here) return nullptr;
  void* const behind = dlsym(RTLD_NEXT, name);
  return behind != nullptr && ObjectOf(found) == ObjectOf(behind) ? front : nullptr;
}

HostSymbols::HostSymbols(std::map<std::string, void*> overrides, void* dso_handle)
    : own_(OwnLibraryIfLate()), overrides_(std::move(overrides)) {
  // Threads that a library starts for hosted code, as the C++ library does, have to get hosted
  // thread-locals.
  if (own_ != nullptr) RedirectImports(kThreadCreation, dlsym(own_, kThreadCreation));
  // emplace: the embedder's win.
  overrides_.emplace("atexit", reinterpret_cast<void*>(&GuestAtExit));
  overrides_.emplace("at_quick_exit", reinterpret_cast<void*>(&GuestAtQuickExit));
  overrides_.emplace("pthread_atfork", reinterpret_cast<void*>(&GuestAtFork));
  // libc knows no object at that address, and takes handlers under it as the executable's.
  overrides_.emplace("__dso_handle", dso_handle);
}

void* HostSymbols::FindOwn(const std::string& name, void* found) const {
  void* const own = dlsym(own_, name.c_str());
  const void* const here = ObjectOf(reinterpret_cast<void*>(&GuestAtExit));
  // The executable comes before every library.
  return ObjectOf(own) == here && ObjectOf(found) != ObjectOf(ExecutableHandle()) ? own : found;
}

void* HostSymbols::FindExported(const std::string& name) const {
  void* found = FindInProcess(name.c_str());
  if (own_ != nullptr) found = FindOwn(name, found);
  for (auto it = libraries_.begin(); found == nullptr && it != libraries_.end(); ++it) {
    found = dlsym(*it, name.c_str());
  }
  return found;
}

void* HostSymbols::FindVersion(const std::string& name, const std::string& version) const {
  if (const auto it = overrides_.find(name); it != overrides_.end()) return it->second;
  // What this library stands in front of has no versions.
  void* const any = FindExported(name);
  if (ObjectOf(any) == ObjectOf(reinterpret_cast<void*>(&GuestAtExit))) return any;
  void* found = dlvsym(RTLD_DEFAULT, name.c_str(), version.c_str());
  for (auto it = libraries_.begin(); found == nullptr && it != libraries_.end(); ++it) {
    found = dlvsym(*it, name.c_str(), version.c_str());
  }
  return found;
}

std::optional<uintptr_t> HostSymbols::Find(const std::string& name) const {
  if (const auto it = overrides_.find(name); it != overrides_.end()) {
    return reinterpret_cast<uintptr_t>(it->second);
  }
  const size_t at = name.find('@');
  void* const found = at == std::string::npos || at == 0
                          ? FindExported(name)
                          : FindVersion(name.substr(0, at), name.substr(at + 1));
  if (found == nullptr) return std::nullopt;
  return reinterpret_cast<uintptr_t>(found);
}

std::optional<uintptr_t> HostSymbols::FindInLibraries(const std::string& name) const {
  void* found = FindExported(name);
  Dl_info where, own;
  if (found == nullptr || dladdr(found, &where) == 0) return std::nullopt;
  const auto* here = reinterpret_cast<const void*>(&GuestAtExit);
  if (dladdr(here, &own) != 0 && own.dli_fbase == where.dli_fbase) return std::nullopt;
  return reinterpret_cast<uintptr_t>(found);
}

std::optional<intptr_t> HostSymbols::FindThreadLocal(const std::string& name) const {
  void* found = FindExported(name);
  if (found == nullptr) return std::nullopt;
  const intptr_t offset =
      reinterpret_cast<intptr_t>(found) - reinterpret_cast<intptr_t>(__builtin_thread_pointer());
  if (offset >= 0 || offset < -kStaticTlsMax) return std::nullopt;
  return offset;
}

}  // namespace mend::jit
