#include "runtime/control/control_thread.h"

#include <memory>
#include <utility>

#include "runtime/safepoint/runtime_thread.h"

namespace mend {
namespace {

// Linking a patch and matching a request's path recurse deeper than the runtime's other threads
// do. Only what is used gets memory.
constexpr size_t kStackBytes = size_t{8} << 20;

void* RunBody(void* argument) {
  const std::unique_ptr<std::function<void()>> body(static_cast<std::function<void()>*>(argument));
  (*body)();
  return nullptr;
}

}  // namespace

absl::Status StartControlThread(const char* name, std::function<void()> body) {
  auto argument = std::make_unique<std::function<void()>>(std::move(body));
  absl::Status started = StartRuntimeThread(name, &RunBody, argument.get(), nullptr, kStackBytes);
  if (!started.ok()) return started;
  (void)argument.release();
  return absl::OkStatus();
}

}  // namespace mend
