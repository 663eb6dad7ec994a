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

#include "jit/link/imports.h"
#include "jit/unwind/fde_cache.h"
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

const void* AskNext(void* pc, dwarf_eh_bases* bases) {
  const auto next = NextFindFde();
  return next == nullptr ? nullptr : next(pc, bases);
}

const void* Give(const FdeCache::Answer& answer, void* pc, dwarf_eh_bases* bases) {
  if (answer.fde == nullptr) return AskNext(pc, bases);
  bases->tbase = nullptr;
  bases->dbase = nullptr;
  bases->func = answer.function;
  return answer.fde;
}

// Of libraries' code it is only remembered that it is not hosted: they may be closed.
const void* Find(void* pc, dwarf_eh_bases* bases) {
  const auto address = reinterpret_cast<uintptr_t>(pc);
  FdeCache& cache = ProcessFdeCache();
  FdeCache::Answer answer;
  if (cache.Find(address, &answer)) return Give(answer, pc, bases);
  const uint64_t epoch = cache.epoch();
  FdeEntry entry;
  switch (UnwindTable::Get().Find(CodeAddress{address}, &entry)) {
    case UnwindTable::Lookup::kFde:
      answer = {entry.fde, reinterpret_cast<void*>(entry.function.begin.value)};
      break;
    case UnwindTable::Lookup::kStub:
    case UnwindTable::Lookup::kNoFde:
      return nullptr;
    case UnwindTable::Lookup::kUnknown:
      answer = {};
      break;
  }
  cache.Put(epoch, address, answer);
  return Give(answer, pc, bases);
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
