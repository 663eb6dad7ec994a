#include "runtime/transition/callbacks.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "runtime/base/errno_status.h"
#include "runtime/base/raw_syscall.h"
#include "runtime/safepoint/hosted_call.h"
#include "runtime/shadow/shadow_variable.h"

namespace mend {
namespace {

pid_t ThreadId() { return static_cast<pid_t>(RawSyscall(SYS_gettid)); }

// A callback reports -errno; what is none counts as EINVAL.
int ErrnoOfResult(int result) {
  const bool known = result < 0 && ::strerrorname_np(-result) != nullptr;
  return known ? -result : EINVAL;
}

}  // namespace

class Callbacks::Scope {
 public:
  explicit Scope(Callbacks* callbacks) : mark_(callbacks), call_(callbacks->initialize_thread_) {}

 private:
  class Mark {
   public:
    explicit Mark(Callbacks* callbacks) : callbacks_(callbacks) {
      callbacks_->thread_.store(ThreadId(), std::memory_order_relaxed);
    }
    ~Mark() { callbacks_->thread_.store(0, std::memory_order_relaxed); }

   private:
    Callbacks* const callbacks_;
  };

  // Around the call, which lets signals through: whose handler forks is in the callback already.
  const Mark mark_;
  const HostedCall call_;
};

absl::Status Callbacks::PrePatch(const Patch& patch, PatchObject* object) {
  int result = 0;
  if (object->callbacks.pre_patch != nullptr) {
    const Scope scope(this);
    result = object->callbacks.pre_patch(object->loaded);
  }
  object->post_unpatch_allowed = result == 0;
  if (result == 0) return absl::OkStatus();
  const std::string text =
      absl::StrCat("pre-patch callback failed for object '", NameOf(*object), "'");
  Event event = LivepatchEvent("pre_patch_failed", patch.name, text);
  event.object = NameOf(*object);
  events_->Append(std::move(event));
  return ErrnoStatus(ErrnoOfResult(result), text);
}

void Callbacks::PostPatch(PatchObject* object) {
  if (object->callbacks.post_patch == nullptr) return;
  const Scope scope(this);
  object->callbacks.post_patch(object->loaded);
}

void Callbacks::PreUnpatch(PatchObject* object) {
  if (object->callbacks.pre_unpatch == nullptr) return;
  const Scope scope(this);
  object->callbacks.pre_unpatch(object->loaded);
}

void Callbacks::PostUnpatch(PatchObject* object) {
  if (object->post_unpatch_allowed && object->callbacks.post_unpatch != nullptr) {
    const Scope scope(this);
    object->callbacks.post_unpatch(object->loaded);
    object->post_unpatch_ran = true;
  }
  object->post_unpatch_allowed = false;
}

absl::Status Callbacks::SetUpState(const Patch& patch, const SystemState& state) {
  if (state.owner.setup == nullptr) return absl::OkStatus();
  int result;
  {
    const Scope scope(this);
    result = state.owner.setup(state.record);
  }
  if (result == 0) return absl::OkStatus();
  const std::string text =
      absl::StrCat("setup of state ", state.id, " failed for patch '", patch.name, "'");
  events_->Append(MendEvent("state_setup_failed", patch.name, text));
  return ErrnoStatus(ErrnoOfResult(result), text);
}

void Callbacks::CallOwner(const SystemState& state, void (*function)(mend_state*)) {
  if (function == nullptr) return;
  const Scope scope(this);
  function(state.record);
}

void Callbacks::FreeShadows(const SystemState& state) {
  if (!state.owner.owns_shadow) return;
  // The destructor is hosted code.
  const Scope scope(this);
  ShadowTable::Get().FreeAll(state.id, state.owner.shadow_dtor);
}

bool Callbacks::InCallback() const {
  const pid_t thread = thread_.load(std::memory_order_relaxed);
  return thread != 0 && thread == ThreadId();
}

bool Callbacks::InForkedCallback() {
  // Whoever forks outside of a callback holds the mutex, so nobody else was in one.
  if (!forking_) return false;
  thread_.store(ThreadId(), std::memory_order_relaxed);
  return true;
}

}  // namespace mend
