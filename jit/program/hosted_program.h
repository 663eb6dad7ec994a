// HostedProgram: what is known of the program once it is linked; the program loader writes it, the
// patch loader and the session read it. A guest module is one too, and so is what an explicit patch
// brings: with memory of its own that is freed with it, and a parent, the program, that it looks to
// for what it does not define itself.
//
// Thread safety: the session's lock serialises loads; what else may be called meanwhile says so.
#ifndef MEND_JIT_PROGRAM_HOSTED_PROGRAM_H_
#define MEND_JIT_PROGRAM_HOSTED_PROGRAM_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "jit/debug/debug_support.h"
#include "jit/link/code_memory.h"
#include "jit/link/host_symbols.h"
#include "jit/link/late_symbols.h"
#include "jit/link/link_engine.h"
#include "jit/link/literals.h"
#include "jit/link/symbol_index.h"
#include "jit/program/ending_modules.h"
#include "jit/program/initializers.h"
#include "jit/program/lazy_binding.h"
#include "jit/program/module_arena.h"
#include "jit/program/tls_pool.h"
#include "jit/unwind/unwind_rows.h"
#include "runtime/base/mutex.h"

namespace mend::jit {

// Offsets from %fs of the program's thread-locals.
class ThreadLocalTable {
 public:
  void AddGlobal(std::string name, intptr_t offset) { global_[std::move(name)] = offset; }
  void AddLocal(uint32_t unit, std::string name, intptr_t offset) {
    local_[{unit, std::move(name)}] = offset;
  }
  // The unit's own, else the program's.
  std::optional<intptr_t> Find(uint32_t unit, const std::string& name) const {
    if (const auto it = local_.find({unit, name}); it != local_.end()) return it->second;
    return FindGlobal(name);
  }
  std::optional<intptr_t> FindGlobal(const std::string& name) const {
    if (const auto it = global_.find(name); it != global_.end()) return it->second;
    return std::nullopt;
  }

 private:
  std::map<std::string, intptr_t> global_;
  std::map<std::pair<uint32_t, std::string>, intptr_t> local_;
};

struct HostedProgram;

// What a patch newly defines in a guest module that was opened with RTLD_GLOBAL.
struct ModuleGlobal {
  std::string module;
  uintptr_t address = 0;
};

// The guest modules that are linked, by name.
class GuestTable {
 public:
  void Add(const std::string& name, const HostedProgram* guest) ABSL_LOCKS_EXCLUDED(mu_);
  void Remove(const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);
  // Null without one. The caller sees to it that the module stays.
  const HostedProgram* Find(const std::string& name) const ABSL_LOCKS_EXCLUDED(mu_);
  // The module whose text contains `pc`, a patch's version of it included; null without one.
  const HostedProgram* FindByCode(CodeAddress pc) const ABSL_LOCKS_EXCLUDED(mu_);
  // The file of the module whose text (a patch's version included) or data contains the address,
  // for as long as the module is there; null without one.
  const char* FileAt(uintptr_t address) const ABSL_LOCKS_EXCLUDED(mu_);
  // SymbolIndex::Describe and Functions, of all.
  std::string Describe(CodeAddress pc) const ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<FunctionSite> Functions() const ABSL_LOCKS_EXCLUDED(mu_);

  // What the module and those that it needs export serves all other modules from now on: it was
  // opened with RTLD_GLOBAL.
  void MakeGlobal(const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);
  // What the name means to `user`: what a global module exports, the one that became global first,
  // else what one of those exports that it needs. Null without one.
  const HostedSymbol* FindFor(const HostedProgram& user, std::string_view symbol) const
      ABSL_LOCKS_EXCLUDED(mu_);
  // The same for `user` to keep: the module stays as long as that.
  const HostedSymbol* BindFor(const HostedProgram& user, std::string_view symbol)
      ABSL_LOCKS_EXCLUDED(mu_);
  // `user` keeps nothing any more.
  void ForgetUser(const HostedProgram& user) ABSL_LOCKS_EXCLUDED(mu_);
  // A module and all that it needs, breadth first, which are loaded.
  std::vector<const HostedProgram*> Scope(const HostedProgram& guest) const
      ABSL_LOCKS_EXCLUDED(mu_);
  // The modules that `user` needs or has an address of, apart from itself.
  std::vector<const HostedProgram*> UsedBy(const HostedProgram& user) const
      ABSL_LOCKS_EXCLUDED(mu_);
  // Scope of the module that brought it, or its own if that has gone; it is among them.
  std::vector<const HostedProgram*> ScopeOfBringer(const HostedProgram& guest) const
      ABSL_LOCKS_EXCLUDED(mu_);
  // The modules that serve others, in the order in which they became so.
  std::vector<std::string> Globals() const ABSL_LOCKS_EXCLUDED(mu_);
  // For whoever keeps an address in what a patch has brought there: the module stays. False when it
  // serves nobody.
  bool BindModule(const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);
  // Whether the module may go: nobody was given an address of it by these, nor will be.
  bool Retire(const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);

  void PrepareFork() ABSL_EXCLUSIVE_LOCK_FUNCTION(mu_) { mu_.Lock(); }
  void AfterFork() ABSL_UNLOCK_FUNCTION(mu_) { mu_.Unlock(); }

 private:
  struct Global {
    std::string name;
    bool serves_all = false;                 // else those that need it
    bool is_bound = false;                   // an address was given away for good
    std::set<const HostedProgram*> users{};  // the modules that need it or have an address of it
  };

  // The module of that name that serves others; the end without one.
  std::vector<Global>::iterator FindModuleLocked(std::string_view name)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void MakeOneGlobalLocked(const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Global& AddGlobalLocked(const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // And the name of its module.
  std::pair<const HostedSymbol*, std::string> FindForLocked(const HostedProgram& user,
                                                            std::string_view symbol) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The names of those in Scope.
  std::vector<std::string> ScopeLocked(const std::vector<std::string>& first) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable Mutex mu_;
  std::map<std::string, const HostedProgram*> guests_ ABSL_GUARDED_BY(mu_);
  std::vector<Global> globals_ ABSL_GUARDED_BY(mu_);  // in the order in which they became so
};

struct HostedProgram {
  // The program. `tls_pool` and the others must outlive it.
  HostedProgram(CodeMemory* code_memory, LinkEngine* link_engine, TlsPool* tls_pool,
                std::map<std::string, void*> overrides, void* dso_handle)
      : memory(code_memory),
        engine(link_engine),
        tls(tls_pool),
        handle(dso_handle),
        host(std::move(overrides), dso_handle) {}
  // A guest of `program`, in memory of its own. `overrides`: see GuestLink.
  HostedProgram(const HostedProgram* program, ModuleArena* module_arena,
                std::map<std::string, void*> overrides, void* dso_handle)
      : memory(program->memory),
        engine(program->engine),
        parent(program),
        arena(module_arena),
        tls(program->tls),
        debug(program->debug),
        handle(dso_handle),
        host(std::move(overrides), dso_handle) {}
  ~HostedProgram() {
    MutexLock lock(&rows_mu_);
    for (const UnwindRows& rows : rows_) rows.Unregister();
  }
  HostedProgram(const HostedProgram&) = delete;
  HostedProgram& operator=(const HostedProgram&) = delete;

  absl::StatusOr<uintptr_t> Allocate(MemoryKind kind, size_t size, size_t alignment) {
    if (arena != nullptr) return arena->Allocate(kind, size, alignment);
    return memory->Allocate(kind, size, alignment);
  }
  absl::Status Seal() { return arena != nullptr ? arena->Seal() : memory->Seal(); }

  CodeMemory* const memory;
  LinkEngine* const engine;
  const HostedProgram* const parent = nullptr;  // of a guest: the program
  ModuleArena* const arena = nullptr;           // of a guest: its memory
  TlsPool* const tls;
  DebugSupport* debug = nullptr;  // null: neither debugger nor profiler is to know of hosted code
  std::string version;            // of what a patch brought: the patch
  // Of a guest: for functions that are bound when they are called; null: everything has to be
  // there.
  LazyBindings* lazy = nullptr;
  void* const handle;  // __dso_handle
  HostSymbols host;
  mutable SymbolIndex index;              // versions of functions come and go at any time
  std::vector<std::string_view> objects;  // by unit: the bytes as compiled
  std::map<uint32_t, std::vector<LiteralSection>> literals;  // by unit
  ThreadLocalTable thread_locals;
  std::vector<std::pair<intptr_t, size_t>> tls_ranges;  // offset and size of each
  Initializers initializers;
  // Address and size of each object's table of parameters, of owners of states, and of pointers to
  // functions that are always held (MEND_UNIT).
  std::vector<std::pair<uintptr_t, size_t>> parameter_tables;
  std::vector<std::pair<uintptr_t, size_t>> state_owner_tables;
  std::vector<std::pair<uintptr_t, size_t>> unit_tables;
  // Of a guest: ModuleSource's, constant while it is in the GuestTable; and the handles of the
  // libraries that it needs.
  std::vector<std::string> needed;
  // Of a guest module: which one's opening brought it, by its name (empty: its own); and what its
  // file is called.
  std::string brought_by;
  std::string file;
  // Of a guest: its constants and data, without those of patches.
  std::vector<CodeRange> data;
  std::vector<void*> libraries;
  // Of a guest: its named data that lead to its text.
  std::vector<uintptr_t> text_pointers;
  std::vector<LateWord> late_words;  // of what a patch brought
  mutable GuestTable guests;         // of the program
  mutable EndingModules ending;      // of the program
  bool may_allocate = true;          // malloc and its kin may be defined here
  // Of the program: where hosted code has to call functions of these names instead.
  std::map<std::string, uintptr_t, std::less<>> detours;
  // Of the program: address and size of variables that lie elsewhere.
  std::map<std::string, std::pair<uintptr_t, size_t>> places;

  // Registered text that is there as long as the program, pinned modules' included. Thread-safe:
  // the core destroys modules while the session loads.
  void KeepRegistered(UnwindRows rows, DebugSupport::Registration debugged)
      ABSL_LOCKS_EXCLUDED(rows_mu_) {
    rows.ForgetEntries();
    MutexLock lock(&rows_mu_);
    rows_.push_back(std::move(rows));
    debugged_.push_back(std::move(debugged));
  }

  void PrepareFork() ABSL_EXCLUSIVE_LOCK_FUNCTION(rows_mu_) { rows_mu_.Lock(); }
  void AfterFork() ABSL_UNLOCK_FUNCTION(rows_mu_) { rows_mu_.Unlock(); }

 private:
  Mutex rows_mu_;
  std::vector<UnwindRows> rows_ ABSL_GUARDED_BY(rows_mu_);
  std::vector<DebugSupport::Registration> debugged_ ABSL_GUARDED_BY(rows_mu_);
};

// The global definition that a name means in the object: its own, else the program's; null without
// one.
const HostedSymbol* FindGlobalFor(const HostedProgram& object, std::string_view name);

// The address by which hosted code refers to a global definition that FindGlobalFor found for the
// object: its own, unless it has a detour.
uintptr_t ReferenceAddress(const HostedProgram& object, const HostedSymbol& definition);

// What a name means that neither the object nor the program defines, where libraries have it
// `elsewhere`, or not at all: that, unless it is of a guest module that was opened with
// RTLD_GLOBAL, whose exports libraries see as well. If the object is a guest module (a patch's own
// code is none), such a module stays from then on.
std::optional<uintptr_t> BindToGlobalModule(const HostedProgram& object, std::string_view name,
                                            std::optional<uintptr_t> elsewhere);

// The offset from %fs that `__mend_tlsoff.NAME` stands for in a unit; nullopt when nobody defines
// the thread-local.
std::optional<intptr_t> FindThreadLocal(const HostedProgram& program, uint32_t unit,
                                        const std::string& name);

// PatchLoader::FindFunction: of the program, or of the guest module that the request names.
absl::StatusOr<FunctionSite> FindHostedFunction(const HostedProgram& program,
                                                const std::string& request);

// The functions marked MEND_UNIT.
std::vector<FunctionSite> UnitFunctions(const HostedProgram& program);

}  // namespace mend::jit

#endif  // MEND_JIT_PROGRAM_HOSTED_PROGRAM_H_
