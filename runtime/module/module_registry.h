// ModuleRegistry: the guest modules of the process, and their life cycle (rules 1.10), for both the
// operator (`mend load`, `mend unload`) and the program's own dlopen and dlclose.
//
//   state      what happens
//   kComing    linked; parameters set; the patches that name it applied; constructors; init
//   kLive
//   kGoing     exit; destructors; the patches taken off; then the text is freed
//
// Constructors, init, exit and destructors are hosted code: they run on the caller's thread with no
// lock of the core held, and may load and unload other modules. Livepatch callbacks run under the
// core's lock; what they call of this class returns EDEADLK.
//
// Thread safety: all methods are thread-safe; of two callers that want the same module at the same
// time one waits for the other.
#ifndef MEND_RUNTIME_MODULE_MODULE_REGISTRY_H_
#define MEND_RUNTIME_MODULE_MODULE_REGISTRY_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/event_log.h"
#include "runtime/base/mutex.h"
#include "runtime/module/module_loader.h"
#include "runtime/patch/livepatch_abi.h"
#include "runtime/transition/patch_registry.h"

namespace mend {

struct ModuleStatus {
  std::string name;
  mend_module_state state = MEND_MODULE_LIVE;
  unsigned references = 0;  // of the program's dlopen
  std::vector<std::string> parameters;
};

// One of the modules that are opened together.
struct ModuleRequest {
  std::string name;
  ModuleSource source;
  unsigned references = 1;  // to take
  // It is the operator's, as by Load, with these parameters: EEXIST when there is one of the name.
  bool by_operator = false;
  ParameterValues parameters;
  // The caller has left out what it needs, since it was open.
  bool must_be_open = false;
  // What lazy_name left for later is looked for when all are linked.
  bool bind_now = false;
  // Those of the requests that it needs, by their places. A new module has a reference of each,
  // until it goes: see TakeReleased.
  std::vector<size_t> needs;
  // When it is new, before any code of them all runs; a failure may follow.
  std::function<void(GuestModule*)> linked = nullptr;
  // Before its text and data are freed: whether nobody outside of the core refers to them. Asked
  // again later if not.
  std::function<bool(const GuestModule*)> is_unused = nullptr;
};

struct OpenedModule {
  GuestModule* module = nullptr;
  bool is_new = false;
};

class ModuleRegistry {
 public:
  // All must outlive the registry. `initialize_thread` as RegistryOptions has it.
  ModuleRegistry(ModuleLoader* loader, PatchRegistry* patches, EventLog* events,
                 std::function<void()> initialize_thread);
  // Modules that are still loaded stay: their code may run until the process is gone.
  ~ModuleRegistry();

  // `mend load`; true: it was loaded, false: that very module is loaded already. EEXIST when there
  // is another module of that name; EINVAL for a name that is no plain word, for
  // parameters, and as the patches that name it say; the error of a pre_patch callback or of init.
  // Every failure leaves the process as it was.
  absl::StatusOr<bool> Load(const std::string& name, const ModuleSource& source,
                            const ParameterValues& parameters);
  // Whether Load has nothing to do.
  bool HasLoaded(const std::string& name, const ModuleSource& source) const;
  // `mend unload`; false: there is no such module. EBUSY while the program has it open, or it is
  // coming or going.
  absl::StatusOr<bool> Unload(const std::string& name);

  // dlopen of the program: loads a module with those that it needs, which come first, under names
  // that differ, or counts one more reference to a module of that name (and of that path: EEXIST
  // when the program has another file open under the name), which stays until Close. One that its
  // own constructor opens is returned as it is. All new ones are linked before anything of them
  // runs, and then initialised one after the other. All or none, so a failure closes what it has
  // opened. ABORTED when one that had to be open is not.
  absl::StatusOr<std::vector<OpenedModule>> OpenTogether(
      const std::vector<ModuleRequest>& requests);
  // dlclose: the last reference to a module that the operator did not load unloads it; where
  // another one refers to it, as soon as that has gone. ENOENT.
  absl::Status Close(const GuestModule* module, unsigned references = 1);
  // For after each OpenTogether, Unload and Close: unloads what waited for another module to go;
  // and what modules that have gone needed, of which the caller has to close a reference each.
  std::vector<const GuestModule*> TakeReleased();

  std::vector<ModuleStatus> Status() const;
  // The contents of the file that a module was linked from. ENOENT.
  absl::StatusOr<std::string> File(const std::string& name) const;
  // ENOENT for an unknown module or parameter; EINVAL.
  absl::StatusOr<std::string> GetParameter(const std::string& module,
                                           const std::string& parameter) const;
  absl::Status SetParameter(const std::string& module, const std::string& parameter,
                            const std::string& value);

  // Around fork, in the forking thread, outside of PatchRegistry's.
  void PrepareFork() ABSL_NO_THREAD_SAFETY_ANALYSIS;
  void ParentAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS;
  void ChildAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mend

#endif  // MEND_RUNTIME_MODULE_MODULE_REGISTRY_H_
