// Revert: what was active before the last apply comes back, in one transition.
//
// It is the way back of an atomic replace after that has completed. The patch gets nops for what
// the others have and it does not, the others go below it on the func_stacks, and then it is taken
// off as any patch: its pre_unpatch and post_unpatch run, and find the others' states as previous
// ones. The others' callbacks do not run, as they did not when they were replaced. So one whose
// post_unpatch has run since (it was enabled again meanwhile, and reversed, or disabled) is none
// that could come back. A pre_patch that refused leaves nothing behind, and changes nothing here.
#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "runtime/base/errno_status.h"
#include "runtime/patch/patch_name.h"
#include "runtime/transition/atomic_replace.h"
#include "runtime/transition/registry_state.h"

namespace mend {

// If a callback has undone what the patch set up, it cannot come back without its callbacks; nor
// can one that was linked from the same file before: what callbacks do, they do to the program.
void PatchRegistry::State::NoteUndoneLocked(const Patch* patch) {
  if (std::none_of(patch->objects.begin(), patch->objects.end(),
                   [](const PatchObject& object) { return object.post_unpatch_ran; })) {
    return;
  }
  const auto is_same = [patch](const Patch* other) { return IsSamePatch(*other, *patch); };
  for (Apply& apply : history_) {
    if (std::any_of(apply.replaced.begin(), apply.replaced.end(), is_same)) {
      apply.undone = patch->name;
    }
  }
}

void PatchRegistry::State::KeepHistoryLocked() {
  Patch* const patch = transition_->patch();
  if (!transition_->target_patched()) {
    NoteUndoneLocked(patch);
    std::erase_if(history_, [patch](const Apply& apply) { return apply.patch == patch; });
  } else if (transition_->patching()) {
    history_.push_back(
        {.patch = patch, .replaced = transition_->others(), .removed = "", .undone = ""});
  }
}

const PatchRegistry::State::Apply* PatchRegistry::State::LastApplyLocked() {
  while (!history_.empty() && !history_.back().patch->enabled) history_.pop_back();
  return history_.empty() ? nullptr : &history_.back();
}

absl::Status PatchRegistry::State::PrepareRestoredLocked(Patch* patch) {
  if (patch->forced) {
    // As in EnableAgain: whoever was forced off it, and is in it still, would run it too early.
    if (absl::Status unused = CheckUnusedLocked(*patch); !unused.ok()) return unused;
    patch->forced = false;
  }
  for (PatchObject& object : patch->objects) {
    mend_object* const loaded = LoadedObjectLocked(object.name);
    if (loaded == nullptr || object.loaded != nullptr) continue;
    if (object.callbacks.pre_patch != nullptr || object.callbacks.post_patch != nullptr) {
      return ErrnoStatus(
          EINVAL, absl::StrCat("patch '", patch->name, "' has callbacks for module '", object.name,
                               "', which came after it was replaced; "
                               "apply the patch again"));
    }
    object.post_unpatch_allowed = false;
    if (absl::Status found = ResolveLocked(patch, &object, loaded); !found.ok()) return found;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> PatchRegistry::State::RevertLocked() {
  const Apply* const last = LastApplyLocked();
  if (last == nullptr) return ErrnoStatus(ENOENT, "no patch is applied that could be reverted");
  if (!last->removed.empty()) {
    return ErrnoStatus(ENOENT, absl::StrCat("patch '", last->removed, "', which '",
                                            last->patch->name, "' replaced, was removed"));
  }
  if (!last->undone.empty()) {
    return ErrnoStatus(EINVAL,
                       absl::StrCat("patch '", last->undone, "', which '", last->patch->name,
                                    "' replaced, has been taken off with its callbacks "
                                    "since; apply it again"));
  }
  Patch* const patch = last->patch;
  const std::vector<Patch*> restored = last->replaced;
  for (Patch* const other : restored) {
    if (absl::Status ready = PrepareRestoredLocked(other); !ready.ok()) return ready;
  }
  for (const Patch* const other : restored) {
    // Another set's patch may have taken what was free meanwhile.
    if (absl::Status kept = CheckSetLocked(*other); !kept.ok()) return kept;
  }
  absl::Status started = AddNops(patch, restored);
  if (started.ok()) started = StartLocked(patch, /*patching=*/false, restored);
  if (!started.ok()) {
    DropNops(patch);
    return started;
  }
  return patch->name;
}

}  // namespace mend
