#include "runtime/transition/state_changes.h"

#include <cstddef>
#include <map>
#include <utility>

namespace mend {
namespace {

struct Holder {
  const Patch* patch;
  const SystemState* state;
};

// Of each state the record of the newest patch that has it.
std::map<unsigned long, Holder> Newest(const std::vector<Patch*>& patches) {
  std::map<unsigned long, Holder> newest;
  for (const Patch* const patch : patches) {
    for (const SystemState& state : patch->states) newest[state.id] = {patch, &state};
  }
  return newest;
}

}  // namespace

StateChanges::StateChanges(Callbacks* callbacks, const std::vector<Patch*>& before,
                           const std::vector<Patch*>& after)
    : callbacks_(callbacks) {
  const std::map<unsigned long, Holder> old_states = Newest(before);
  const std::map<unsigned long, Holder> new_states = Newest(after);
  for (const auto& [id, holder] : new_states) {
    const auto old_holder = old_states.find(id);
    if (old_holder == old_states.end()) {
      appearing_.push_back({holder.patch, holder.state});
      continue;
    }
    mend_state* const record = holder.state->record;
    const mend_state* const old_record = old_holder->second.state->record;
    if (!holder.state->owner.is_declared() || record == old_record) continue;
    handed_over_.push_back({record, old_record->data});
  }
  for (const auto& [id, holder] : old_states) {
    if (!new_states.contains(id)) vanishing_.push_back({holder.patch, holder.state});
  }
}

absl::Status StateChanges::Begin() {
  for (size_t i = 0; i < appearing_.size(); ++i) {
    const absl::Status set_up = callbacks_->SetUpState(*appearing_[i].patch, *appearing_[i].state);
    if (set_up.ok()) continue;
    // The one that refused has nothing to release.
    appearing_.erase(appearing_.begin() + static_cast<std::ptrdiff_t>(i), appearing_.end());
    vanishing_.clear();
    handed_over_.clear();
    begun_ = true;
    End(/*as_begun=*/false);
    return set_up;
  }
  for (const Change& change : vanishing_) {
    callbacks_->CallOwner(*change.state, change.state->owner.disable);
  }
  for (HandOver& record : handed_over_) std::swap(record.record->data, record.data);
  begun_ = true;
  return absl::OkStatus();
}

void StateChanges::End(bool as_begun) {
  if (!begun_) return;
  begun_ = false;
  for (const Change& change : as_begun ? appearing_ : vanishing_) {
    callbacks_->CallOwner(*change.state, change.state->owner.enable);
  }
  for (const Change& change : as_begun ? vanishing_ : appearing_) {
    callbacks_->CallOwner(*change.state, change.state->owner.release);
    callbacks_->FreeShadows(*change.state);
  }
  if (as_begun) return;
  for (HandOver& record : handed_over_) std::swap(record.record->data, record.data);
}

}  // namespace mend
