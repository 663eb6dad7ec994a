// HostedCall: a scope in which any thread may run hosted code: livepatch callbacks, a guest
// module's constructors and init function. A thread that counts as one of the program's already
// just goes on; another one (a thread of the runtime, a host's own) counts for the time of the
// scope, so that the code it runs is not freed below it, and threads that it creates count too.
#ifndef MEND_RUNTIME_SAFEPOINT_HOSTED_CALL_H_
#define MEND_RUNTIME_SAFEPOINT_HOSTED_CALL_H_

#include <cstdint>
#include <functional>
#include <optional>

#include "runtime/base/uninterrupted.h"
#include "runtime/safepoint/blocked_region.h"

namespace mend {

class HostedCall {
 public:
  // `initialize_thread` gives a thread that is new the initial values of hosted thread-locals; may
  // be null.
  explicit HostedCall(const std::function<void()>& initialize_thread);
  ~HostedCall();
  HostedCall(const HostedCall&) = delete;
  HostedCall& operator=(const HostedCall&) = delete;

 private:
  const Uninterrupted::Pause pause_;      // of a thread that works for the runtime
  bool registered_ = false;               // for the time of the scope
  bool entered_ = false;                  // from outside
  bool runtime_thread_ = false;           // it was one, and will be one again
  uint64_t mask_ = 0;                     // of a thread that was registered
  std::optional<SignalScope> unblocked_;  // taken out of a blocked region, as handlers are
};

}  // namespace mend

#endif  // MEND_RUNTIME_SAFEPOINT_HOSTED_CALL_H_
