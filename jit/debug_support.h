// DebugSupport: tells debuggers and profilers what hosted code lies where, if they were asked for.
//
//   gdb    its JIT interface: a copy of each linked object, its sections at the addresses they were
//          linked to, hangs in the list that __jit_debug_descriptor begins
//   perf   its map of generated code, /tmp/perf-PID.map: a line for each function
//
// A function that a patch brought is called NAME@PATCH in symbol tables and maps, so that versions
// are told apart; debug information keeps the source's names, so that a breakpoint by name stops in
// every version.
//
// Thread safety: all methods are thread-safe.
#ifndef MEND_JIT_DEBUG_SUPPORT_H_
#define MEND_JIT_DEBUG_SUPPORT_H_

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/mutex.h"
#include "runtime/base/code_address.h"

namespace mend::jit {

// Where the named functions and data of one object were linked to.
using LinkedAddresses = std::map<std::string, uintptr_t, std::less<>>;

// The object with its sections at those addresses: allocated sections of which a named symbol was
// linked say so, all others say that they occupy no memory. `version` is appended to the names of
// functions, after '@', unless it is empty. INVALID_ARGUMENT when it is no relocatable ELF64 file.
absl::StatusOr<std::string> PlaceObject(std::string_view object, const LinkedAddresses& addresses,
                                        std::string_view version);

class DebugSupport {
 public:
  struct Options {
    bool debugger = false;
    bool perf = false;
  };
  // A linked object that a debugger may know; valid until Remove.
  using Handle = const void*;

  // FAILED_PRECONDITION when perf's map cannot be written.
  static absl::StatusOr<std::unique_ptr<DebugSupport>> Create(const Options& options);
  ~DebugSupport();
  DebugSupport(const DebugSupport&) = delete;
  DebugSupport& operator=(const DebugSupport&) = delete;

  // Whether AddObject has a use for the objects' bytes.
  bool debugger() const { return options_.debugger; }

  // Null without a debugger, or when the object cannot be understood: it is then linked all the
  // same, and the debugger does not know it.
  Handle AddObject(std::string_view object, const LinkedAddresses& addresses,
                   std::string_view version);
  void Remove(Handle handle);

  void AddFunction(CodeRange text, std::string_view name, std::string_view version);

  // Around fork, in the forking thread. The child has a map of its own, which begins as a copy.
  void PrepareFork() ABSL_EXCLUSIVE_LOCK_FUNCTION(mu_) { mu_.Lock(); }
  void ParentAfterFork() ABSL_UNLOCK_FUNCTION(mu_) { mu_.Unlock(); }
  void ChildAfterFork() ABSL_UNLOCK_FUNCTION(mu_);

 private:
  struct Registered;

  explicit DebugSupport(const Options& options) : options_(options) {}
  absl::Status CreateMap() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WriteMap(std::string_view lines) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  Mutex mu_;
  std::list<std::unique_ptr<Registered>> objects_ ABSL_GUARDED_BY(mu_);
  std::string map_lines_ ABSL_GUARDED_BY(mu_);  // all of them, for a child
  std::string map_path_ ABSL_GUARDED_BY(mu_);   // empty: no map
};

}  // namespace mend::jit

#endif  // MEND_JIT_DEBUG_SUPPORT_H_
