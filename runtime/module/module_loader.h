// What the core needs of whoever links guest modules. jit/ implements it; tests implement it over
// native functions.
#ifndef MEND_RUNTIME_MODULE_MODULE_LOADER_H_
#define MEND_RUNTIME_MODULE_MODULE_LOADER_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/code_address.h"
#include "runtime/patch/module_parameters.h"

namespace mend {

// Where a module comes from.
struct ModuleSource {
  std::string path;   // for dlopen: the file; otherwise for messages
  std::string bytes;  // the file's contents; empty: read `path`
  std::string file;   // what the native loader would call it; empty: `path`
  // RTLD_LAZY: functions that it calls, and that nobody defines, are looked for when they are
  // called. What messages call the file if one is missing then; empty: everything has to be there.
  std::string lazy_name;
  // The modules that it was linked with, by the names under which they are loaded: they are, or
  // will be together with it. What they and those that they need export serves it alone, in this
  // order.
  std::vector<std::string> needed;
  // The module whose opening brings it, by its name; empty: its own.
  std::string brought_by;
};

// A guest module that is linked. From Link until it is destroyed PatchLoader::ResolveObject finds
// its functions under the module's name.
// The destructor frees text and data. REQUIRES of it: no thread can reach the text any more.
class GuestModule {
 public:
  virtual ~GuestModule() = default;

  virtual std::vector<CodeRange> text() const = 0;
  // The contents of the file that it was linked from.
  virtual std::string_view file() const = 0;
  virtual ModuleParameters& parameters() = 0;
  // Looks now for what lazy_name left for later. FAILED_PRECONDITION names what nobody defines.
  virtual absl::Status BindAll() { return absl::OkStatus(); }
  // Nothing of it will run: what it refers to may go before it does.
  virtual void Abandon() {}
  // Whether it may go: no other module refers to it, nor will from now on. Thread-safe, and takes
  // no lock under which anything of the core is called.
  virtual bool Retire() { return true; }

  // Hosted code; called in this order, on one thread, with no lock of the core held.
  virtual void RunInitializers() = 0;  // constructors, in native order
  virtual int RunInit() = 0;           // MEND_MODULE_INIT: 0, or -errno; 0 without one
  virtual void RunExit() = 0;          // MEND_MODULE_EXIT, if there is one
  virtual void RunFinalizers() = 0;    // atexit handlers of the module, destructors
};

class ModuleLoader {
 public:
  virtual ~ModuleLoader() = default;
  // Links a module: untrusted input. Nothing of it runs, and none of its symbols is handed out.
  // Errors leave nothing behind.
  virtual absl::StatusOr<std::unique_ptr<GuestModule>> Link(const std::string& name,
                                                            const ModuleSource& source) = 0;
};

}  // namespace mend

#endif  // MEND_RUNTIME_MODULE_MODULE_LOADER_H_
