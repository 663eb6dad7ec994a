#include "jit/host_symbols.h"

#include <dlfcn.h>
#include <elf.h>
#include <sys/auxv.h>

#include <utility>

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

// Static TLS lies below the thread pointer, all of it within this distance.
constexpr intptr_t kStaticTlsMax = intptr_t{4} << 20;

}  // namespace

HostSymbols::HostSymbols(std::map<std::string, void*> overrides, void* dso_handle)
    : overrides_(std::move(overrides)) {
  // emplace: the embedder's win.
  overrides_.emplace("atexit", reinterpret_cast<void*>(&GuestAtExit));
  overrides_.emplace("at_quick_exit", reinterpret_cast<void*>(&GuestAtQuickExit));
  overrides_.emplace("pthread_atfork", reinterpret_cast<void*>(&GuestAtFork));
  // libc knows no object at that address, and takes handlers under it as the executable's.
  overrides_.emplace("__dso_handle", dso_handle);
}

void* HostSymbols::FindExported(const std::string& name) const {
  void* found = dlsym(RTLD_DEFAULT, name.c_str());
  for (auto it = libraries_.begin(); found == nullptr && it != libraries_.end(); ++it) {
    found = dlsym(*it, name.c_str());
  }
  return found;
}

std::optional<uintptr_t> HostSymbols::Find(const std::string& name) const {
  if (const auto it = overrides_.find(name); it != overrides_.end()) {
    return reinterpret_cast<uintptr_t>(it->second);
  }
  void* found = FindExported(name);
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
