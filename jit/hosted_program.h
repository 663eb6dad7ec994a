// HostedProgram: what is known of the program once it is linked; the program loader writes it, the
// patch loader and the session read it.
//
// Thread safety: the session's lock serialises loads; what else may be called meanwhile says so.
#ifndef MEND_JIT_HOSTED_PROGRAM_H_
#define MEND_JIT_HOSTED_PROGRAM_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "jit/code_memory.h"
#include "jit/host_symbols.h"
#include "jit/initializers.h"
#include "jit/link_engine.h"
#include "jit/symbol_index.h"
#include "jit/tls_pool.h"
#include "jit/unwind_rows.h"
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
    if (const auto it = global_.find(name); it != global_.end()) return it->second;
    return std::nullopt;
  }

 private:
  std::map<std::string, intptr_t> global_;
  std::map<std::pair<uint32_t, std::string>, intptr_t> local_;
};

struct HostedProgram {
  HostedProgram(CodeMemory* code_memory, LinkEngine* link_engine,
                std::map<std::string, void*> overrides, void* dso_handle)
      : memory(code_memory), engine(link_engine), host(std::move(overrides), dso_handle) {}
  ~HostedProgram() {
    MutexLock lock(&rows_mu_);
    for (const UnwindRows& rows : rows_) rows.Unregister();
  }
  HostedProgram(const HostedProgram&) = delete;
  HostedProgram& operator=(const HostedProgram&) = delete;

  CodeMemory* const memory;
  LinkEngine* const engine;
  const HostSymbols host;
  llvm::orc::JITDylib* dylib = nullptr;
  SymbolIndex index;
  std::vector<std::string_view> objects;  // by unit: the bytes as compiled
  TlsPool tls;
  ThreadLocalTable thread_locals;
  Initializers initializers;

  // Registered text that is there as long as the program, pinned modules' included. Thread-safe:
  // the core destroys modules while the session loads.
  void KeepRegistered(UnwindRows rows) ABSL_LOCKS_EXCLUDED(rows_mu_) {
    rows.ForgetEntries();
    MutexLock lock(&rows_mu_);
    rows_.push_back(std::move(rows));
  }

  void PrepareFork() ABSL_EXCLUSIVE_LOCK_FUNCTION(rows_mu_) { rows_mu_.Lock(); }
  void AfterFork() ABSL_UNLOCK_FUNCTION(rows_mu_) { rows_mu_.Unlock(); }

 private:
  Mutex rows_mu_;
  std::vector<UnwindRows> rows_ ABSL_GUARDED_BY(rows_mu_);
};

// The offset from %fs that `__mend_tlsoff.NAME` stands for in a unit; nullopt when nobody defines
// the thread-local.
std::optional<intptr_t> FindThreadLocal(const HostedProgram& program, uint32_t unit,
                                        const std::string& name);

}  // namespace mend::jit

#endif  // MEND_JIT_HOSTED_PROGRAM_H_
