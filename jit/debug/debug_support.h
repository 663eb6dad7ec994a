// DebugSupport: tells debuggers and profilers what hosted code lies where, if they were asked for.
//
//   gdb    its JIT interface: an object file for each linked object (MakeDebugObject) hangs in the
//          list that __jit_debug_descriptor begins
//   perf   its map of generated code, /tmp/perf-PID.map: a line for each function
//
// A function that a patch brought is called NAME@PATCH. Lines of a map are never taken back, since
// samples may be older than the end of what they are of.
//
// Thread safety: all methods are thread-safe.
#ifndef MEND_JIT_DEBUG_DEBUG_SUPPORT_H_
#define MEND_JIT_DEBUG_DEBUG_SUPPORT_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "jit/debug/debug_object.h"
#include "runtime/base/mutex.h"

namespace mend::jit {

class DebugSupport {
 public:
  struct Options {
    bool debugger = false;
    bool perf = false;
    bool operator==(const Options& other) const = default;
  };

  // An object that the debugger knows, until the end of this. Empty: it knows none.
  class Registration {
   public:
    Registration() = default;
    Registration(Registration&& other) noexcept
        : owner_(other.owner_), listed_(std::exchange(other.listed_, nullptr)) {}
    Registration& operator=(Registration&& other) noexcept {
      std::swap(owner_, other.owner_);
      std::swap(listed_, other.listed_);
      return *this;
    }
    ~Registration() {
      if (listed_ != nullptr) owner_->Remove(listed_);
    }

   private:
    friend class DebugSupport;
    Registration(DebugSupport* owner, void* listed) : owner_(owner), listed_(listed) {}

    DebugSupport* owner_ = nullptr;
    void* listed_ = nullptr;
  };

  // FAILED_PRECONDITION when perf's map cannot be written.
  static absl::StatusOr<std::unique_ptr<DebugSupport>> Create(const Options& options);
  // REQUIRES: no registration is left.
  ~DebugSupport();
  DebugSupport(const DebugSupport&) = delete;
  DebugSupport& operator=(const DebugSupport&) = delete;

  // `version`: the patch that brought the object; empty for the program's own. An object that
  // cannot be described to a debugger stays unknown to it.
  Registration Add(const LinkedObject& linked, std::string_view version) ABSL_LOCKS_EXCLUDED(mu_);

  const Options& options() const { return options_; }

  // Around fork, in the forking thread. The child has a map of its own, which begins as a copy.
  void PrepareFork() ABSL_EXCLUSIVE_LOCK_FUNCTION(mu_) { mu_.Lock(); }
  void ParentAfterFork() ABSL_UNLOCK_FUNCTION(mu_) { mu_.Unlock(); }
  void ChildAfterFork() ABSL_UNLOCK_FUNCTION(mu_);

 private:
  struct Listed;

  explicit DebugSupport(const Options& options) : options_(options) {}
  void Remove(void* listed) ABSL_LOCKS_EXCLUDED(mu_);
  void AddToMap(const LinkedObject& linked, std::string_view version) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status CreateMap() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WriteMap(std::string_view lines) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  Mutex mu_;  // the debugger's list, too: there is one in a process, as there is one of these
  size_t listed_count_ ABSL_GUARDED_BY(mu_) = 0;
  std::string map_lines_ ABSL_GUARDED_BY(mu_);  // all of them, for a child
  std::string map_path_ ABSL_GUARDED_BY(mu_);   // empty: no map
};

}  // namespace mend::jit

#endif  // MEND_JIT_DEBUG_DEBUG_SUPPORT_H_
