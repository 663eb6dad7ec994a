// OpenLibraries: the guest modules that the program has open by dlopen, and those that they brought
// along; and what native libraries see of them.
//
// Thread safety: all methods are thread-safe.
#ifndef MEND_MEND_OPEN_LIBRARIES_H_
#define MEND_MEND_OPEN_LIBRARIES_H_

#include <link.h>

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "mend/host.h"
#include "mend/program_exports.h"
#include "runtime/base/mutex.h"
#include "runtime/module/module_loader.h"

namespace mend {

// What native libraries see of a guest module that was opened with RTLD_GLOBAL.
struct ShownModule {
  SymbolLibrary library;
  std::string name;
  // The program has closed it, and the native loader has not, since a library found a symbol there,
  // or a thread has destructors of its thread-locals to run. Then it stays loaded, as natively.
  Host* kept_by = nullptr;
};

// A guest module that the program has open.
struct OpenLibrary {
  std::string path;
  std::string name;
  unsigned references = 0;
  unsigned global_place = 0;  // among those opened with RTLD_GLOBAL, in their order; 0: it was not
  Host* host = nullptr;       // whose module it is
  link_map map = {};          // what dlinfo shows of it
};

// The handle of a guest module is the module's address: the native loader's are others.
class OpenLibraries {
 public:
  // The name under which the file is, or would be, loaded; not one of `taken`.
  std::string NameFor(const std::string& path, const std::set<std::string>& taken) const
      ABSL_LOCKS_EXCLUDED(mu_);

  void Opened(const GuestModule* module, const std::string& path, const std::string& name,
              bool is_global, unsigned references) ABSL_LOCKS_EXCLUDED(mu_);
  // One reference less; false when it is not the last one.
  bool Close(const void* handle) ABSL_LOCKS_EXCLUDED(mu_);

  // Its symbols join the process's, behind all others.
  void Show(GuestModule* module, const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);
  // Takes them away again. False: the native loader keeps them, and the module has to stay.
  bool Hide(const GuestModule* module) ABSL_LOCKS_EXCLUDED(mu_);
  void Keep(const GuestModule* module, Host* host) ABSL_LOCKS_EXCLUDED(mu_);
  // The modules that need not be kept any more, and whose they are.
  std::vector<std::pair<const GuestModule*, Host*>> TakeUnkept() ABSL_LOCKS_EXCLUDED(mu_);

  bool Has(const void* handle) const ABSL_LOCKS_EXCLUDED(mu_);
  bool HasPath(const std::string& path) const ABSL_LOCKS_EXCLUDED(mu_);
  // Null when the handle is none of ours.
  Host* HostOf(const void* handle) const ABSL_LOCKS_EXCLUDED(mu_);
  // What dlinfo has of the module, until it is closed; null when the handle is none of ours.
  link_map* MapOf(void* handle) ABSL_LOCKS_EXCLUDED(mu_);
  // What the first module opened with RTLD_GLOBAL that exports it has; null if none does.
  void* FindGlobal(const std::string& symbol) const ABSL_LOCKS_EXCLUDED(mu_);

  // Around fork, in the forking thread.
  void PrepareFork() ABSL_EXCLUSIVE_LOCK_FUNCTION(mu_) { mu_.Lock(); }
  void AfterFork() ABSL_UNLOCK_FUNCTION(mu_) { mu_.Unlock(); }

 private:
  bool IsTaken(const std::string& name, const std::string& path) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable Mutex mu_;
  std::map<const void*, OpenLibrary> libraries_ ABSL_GUARDED_BY(mu_);
  unsigned global_places_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<const GuestModule*, ShownModule> shown_ ABSL_GUARDED_BY(mu_);
};

// The process's.
OpenLibraries& Libraries();

}  // namespace mend

#endif  // MEND_MEND_OPEN_LIBRARIES_H_
