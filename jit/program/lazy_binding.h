// LazyBindings: functions that a guest module calls, that nobody defined when it was opened with
// RTLD_LAZY, and that are looked for when they are called (the lazy binding of ELF's procedure
// linkage tables). What is not there then ends the process, as natively.
//
//   stub:  jmp *target(%rip)        the function, once it is bound
//   bind:  movabs $binding,%r11
//          jmp *resolver(%rip)      mend_bind_lazily
//
// Thread safety: Stub is called by the link, under the session's lock; Find is const afterwards.
// Stubs may be called by any number of threads: each binds to the same function.
#ifndef MEND_JIT_PROGRAM_LAZY_BINDING_H_
#define MEND_JIT_PROGRAM_LAZY_BINDING_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/code_address.h"

namespace mend::jit {

struct HostedProgram;
class ModuleArena;

class LazyBindings {
 public:
  // `file`: what the module is called when a function is missing.
  LazyBindings(ModuleArena* arena, std::string file) : arena_(arena), file_(std::move(file)) {}
  // REQUIRES: no thread can reach the stubs any more.
  ~LazyBindings();
  LazyBindings(const LazyBindings&) = delete;
  LazyBindings& operator=(const LazyBindings&) = delete;

  // The stub of the function, for `object`, which must outlive the bindings. Errors of the arena.
  absl::StatusOr<uintptr_t> Stub(const HostedProgram& object, const std::string& name);
  // The same of one that has a stub already; nullopt for others.
  std::optional<uintptr_t> Find(const std::string& name) const;

  // Binds all functions. FAILED_PRECONDITION names those that are missing.
  absl::Status BindAll() const;

  // For mend_bind_lazily: the function of a Binding; does not return without one. Preserves errno.
  static uintptr_t Bind(void* binding);

 private:
  struct Binding;
  static std::optional<uintptr_t> FindFunction(const Binding& binding);

  // What the stub's code uses, in the module's data.
  struct Words {
    std::atomic<uintptr_t> target;
    uintptr_t resolver;
  };
  struct Binding {
    const LazyBindings* bindings = nullptr;
    const HostedProgram* object = nullptr;
    std::string name;
    Words* words = nullptr;
    CodeRange stub;
  };

  ModuleArena* const arena_;
  const std::string file_;
  std::vector<std::unique_ptr<Binding>> bindings_;
};

}  // namespace mend::jit

#endif  // MEND_JIT_PROGRAM_LAZY_BINDING_H_
