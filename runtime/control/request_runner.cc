#include "runtime/control/request_runner.h"

#include <utility>

#include "runtime/control/control_thread.h"
#include "runtime/safepoint/single_thread.h"

namespace mend {

absl::Status RequestRunner::Start() {
  {
    const MutexLock lock(&mu_);
    stopping_ = false;
    is_running_ = true;
  }
  absl::Status started = StartControlThread("mend-requests", [this] { StartRequests(); });
  if (!started.ok()) {
    const MutexLock lock(&mu_);
    is_running_ = false;
  }
  return started;
}

void RequestRunner::Run(std::function<void()> work) {
  Request request{.work = std::move(work)};
  const MutexLock lock(&mu_);
  pending_.push_back(&request);
  mu_.Await([&request] { return request.is_done; });
}

void RequestRunner::StartRequests() {
  while (true) {
    Request* request = nullptr;
    {
      const MutexLock lock(&mu_);
      {
        const RuntimeThreadSleep sleep;
        mu_.Await(
            [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || !pending_.empty(); });
      }
      if (pending_.empty()) {
        is_running_ = false;
        return;
      }
      request = pending_.front();
      pending_.pop_front();
    }
    const auto carry_out = [this, request] {
      request->work();
      Finish(request);
    };
    // Those behind it wait then.
    if (!StartControlThread("mend-request", carry_out).ok()) carry_out();
  }
}

void RequestRunner::Finish(Request* request) {
  const MutexLock lock(&mu_);
  request->is_done = true;
}

void RequestRunner::Stop() {
  const MutexLock lock(&mu_);
  stopping_ = true;
  mu_.Await([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !is_running_; });
}

void RequestRunner::ChildAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  mu_.ResetAfterFork();
  pending_.clear();
  stopping_ = is_running_ = false;
}

}  // namespace mend
