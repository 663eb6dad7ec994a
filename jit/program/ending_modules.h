// EndingModules: the guest modules whose destructor functions are still to run when the process
// ends. Natively they run behind the program's: modules in the order in which they were loaded, but
// users before what they need.
//
// Thread safety: all methods are thread-safe; destructor functions run without the lock.
#ifndef MEND_JIT_PROGRAM_ENDING_MODULES_H_
#define MEND_JIT_PROGRAM_ENDING_MODULES_H_

#include <vector>

#include "absl/base/thread_annotations.h"
#include "runtime/base/mutex.h"

namespace mend::jit {

struct HostedProgram;

class EndingModules {
 public:
  EndingModules() = default;
  ~EndingModules();
  EndingModules(const EndingModules&) = delete;
  EndingModules& operator=(const EndingModules&) = delete;

  // Registers with the process's exit what runs the functions of modules that are here by then.
  // Before the program registers anything, so that it comes behind.
  void RunAtExit();

  // By exit, in the opposite order of their constructors.
  void Add(HostedProgram* module) ABSL_LOCKS_EXCLUDED(mu_);
  // False when it is not here.
  bool Remove(HostedProgram* module) ABSL_LOCKS_EXCLUDED(mu_);

  void PrepareFork() ABSL_EXCLUSIVE_LOCK_FUNCTION(mu_) { mu_.Lock(); }
  void AfterFork() ABSL_UNLOCK_FUNCTION(mu_) { mu_.Unlock(); }

 private:
  void RunAll() ABSL_LOCKS_EXCLUDED(mu_);

  // What the exit handler has, which may come when this is gone; by the thread that starts the
  // program. Null: not registered, or run.
  EndingModules** registered_ = nullptr;
  Mutex mu_;
  std::vector<HostedProgram*> modules_ ABSL_GUARDED_BY(mu_);
};

}  // namespace mend::jit

#endif  // MEND_JIT_PROGRAM_ENDING_MODULES_H_
