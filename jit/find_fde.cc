// _Unwind_Find_FDE for the whole process: how the C++ exception machinery finds the unwind data of
// hosted text. It takes the place of libgcc's (libmend.so comes first in the search order), asks
// the UnwindTable, and passes everything else on.
//
// Where libmend.so comes last instead, with a library that was opened by dlopen, libgcc calls its
// own, through its table of imported functions; there this one is put in.
//
// Registering hosted text with libgcc instead (__register_frame) would make every throw in the
// process take libgcc's mutex and a linear search, and a throw under a signal handler deadlock.
//
// Thread safety: lock-free, as often as exceptions are thrown, from any thread.
#include <dlfcn.h>

#include <atomic>
#include <cstdint>

#include "jit/imports.h"
#include "runtime/safepoint/unwind_table.h"

// libgcc's (unwind-dw2-fde.h).
struct dwarf_eh_bases {
  void* tbase;
  void* dbase;
  void* func;
};

namespace mend::jit {
namespace {

using FindFde = const void* (*)(void* pc, dwarf_eh_bases* bases);

constinit std::atomic<FindFde> next_find_fde{nullptr};

// libgcc's own, null while no library with one is loaded. Two threads that look it up at the same
// time find the same, so the store needs no order.
FindFde NextFindFde() {
  FindFde next = next_find_fde.load(std::memory_order_relaxed);
  if (next == nullptr) {
    next = reinterpret_cast<FindFde>(dlsym(RTLD_NEXT, "_Unwind_Find_FDE"));
    next_find_fde.store(next, std::memory_order_relaxed);
  }
  return next;
}

const void* Find(void* pc, dwarf_eh_bases* bases) {
  FdeEntry entry;
  const CodeAddress address{reinterpret_cast<uintptr_t>(pc)};
  switch (UnwindTable::Get().Find(address, &entry)) {
    case UnwindTable::Lookup::kFde:
      bases->tbase = nullptr;
      bases->dbase = nullptr;
      bases->func = reinterpret_cast<void*>(entry.function.begin.value);
      return entry.fde;
    case UnwindTable::Lookup::kStub:
    case UnwindTable::Lookup::kNoFde:
      return nullptr;
    case UnwindTable::Lookup::kUnknown:
      break;
  }
  const auto next = NextFindFde();
  return next == nullptr ? nullptr : next(pc, bases);
}

// dlsym takes the loader's lock: done early, so that a throw never waits for a dlopen elsewhere.
__attribute__((constructor)) void LookUpEarly() {
  NextFindFde();
  constexpr const char* kName = "_Unwind_Find_FDE";
  // By that name even this library would find the process's.
  void* const own = reinterpret_cast<void*>(&Find);
  if (ComesLate(kName, own)) RedirectImports(kName, own);
}

}  // namespace
}  // namespace mend::jit

extern "C" __attribute__((visibility("default"))) const void* _Unwind_Find_FDE(
    void* pc, dwarf_eh_bases* bases) {
  return mend::jit::Find(pc, bases);
}
