// RequestRunner: carries out requests in threads that share the program's descriptors.
//
// A request may run the program's own code: callbacks of a patch, a module's initialiser. Those
// open, write and close descriptors of the program, which the threads that serve the control socket
// do not have (descriptor_table.h).
//
// Thread safety: Run is thread-safe. Start comes first, from a thread with the program's table.
#ifndef MEND_RUNTIME_CONTROL_REQUEST_RUNNER_H_
#define MEND_RUNTIME_CONTROL_REQUEST_RUNNER_H_

#include <deque>
#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "runtime/base/mutex.h"

namespace mend {

class RequestRunner {
 public:
  // Starts the thread that starts the others: they share its table. RESOURCE_EXHAUSTED.
  absl::Status Start();

  // Returns after `work` has run, as long as that takes: in a thread of its own, or where the
  // system has none to give (RLIMIT_NPROC, to which servers confine themselves) one request after
  // the other.
  void Run(std::function<void()> work);

  // Waits until no thread of it is left. Nothing may be running; Start may follow.
  void Stop();

  // Around fork, like the server's own hooks; the child has a runner that was never started.
  void PrepareFork() ABSL_NO_THREAD_SAFETY_ANALYSIS { mu_.Lock(); }
  void ParentAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS { mu_.Unlock(); }
  void ChildAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS;

 private:
  struct Request {
    std::function<void()> work;
    bool is_done = false;
  };

  void StartRequests();
  void Finish(Request* request);

  Mutex mu_;
  std::deque<Request*> pending_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  bool is_running_ ABSL_GUARDED_BY(mu_) = false;  // the thread that starts the others
};

}  // namespace mend

#endif  // MEND_RUNTIME_CONTROL_REQUEST_RUNNER_H_
