#include "tests/simulation/registry_inspector.h"

#include <algorithm>

#include "runtime/safepoint/handshake.h"
#include "runtime/safepoint/thread_registry.h"
#include "runtime/transition/registry_state.h"
#include "tests/simulation/hosted_model.h"
#include "tests/simulation/scheduler.h"

// Guarded data is read without the lock: the one thread that runs has seen that it is free.
#pragma clang diagnostic ignored "-Wthread-safety-analysis"

namespace mend::simulation {
namespace {

PatchRegistry* watched = nullptr;

Scheduler& Now() { return *Scheduler::Current(); }

void Require(bool holds, const char* what) {
  if (!holds) Now().Violation("after a critical section: %s", what);
}

template <typename Range, typename Value>
bool Contains(const Range& range, const Value& value) {
  return std::find(range.begin(), range.end(), value) != range.end();
}

}  // namespace

void RegistryInspector::Watch(PatchRegistry* registry) {
  watched = registry;
  was_held_ = false;
}

bool RegistryInspector::was_held_ = false;

PatchRegistry::State& RegistryInspector::state() { return *watched->state_; }

// A mutex begins with its word, which is zero when it is free.
bool RegistryInspector::IsFree() {
  return *reinterpret_cast<const volatile uint32_t*>(&state().mu) == 0;
}

void RegistryInspector::CheckAtPoint() {
  if (watched == nullptr) return;
  if (!IsFree()) {
    was_held_ = true;
    return;
  }
  if (!was_held_) return;
  was_held_ = false;
  CheckFunctions();
  CheckPatches();
  CheckSets();
  CheckStates();
  CheckRequest();
  CheckText();
}

// func_stacks, slots and entries agree; invariants of RedirectionTable.
void RegistryInspector::CheckFunctions() {
  const ModelHost& host = CurrentWorld()->host;
  const Transition* const running = state().transition_.get();
  const bool switching =
      running != nullptr && state().phase_ == PatchRegistry::State::Phase::kSwitching;
  for (const Function function : {kPair, kAlpha, kBeta, kGamma, kDelta, kEpsilon}) {
    const FunctionSite& site = host.Site(function);
    if (site.entry.is_null()) continue;
    const Redirection* const redirection = state().table_.Find(site.entry);
    const bool has_versions = redirection != nullptr && !redirection->versions.empty();
    const CodeAddress slot{*site.slot};
    const CodeAddress settled = redirection == nullptr
                                    ? site.entry + kEntryStubSize
                                    : redirection->BodyOf(redirection->versions.top());
    const bool in_trampoline =
        switching && std::any_of(running->trampolines().begin(), running->trampolines().end(),
                                 [slot](const CodeRange& range) { return range.Contains(slot); });
    Require(slot == settled || in_trampoline, "a slot does not lead to what is on top");
    const bool open = host.EntryBytes(function) != kClosedEntry;
    Require(!open || host.EntryBytes(function) == host.OpenBytes(function),
            "an entry is neither open nor closed");
    Require(open || !has_versions, "a patched function's entry is closed");
    Require(open || !in_trampoline, "an entry is closed, and its slot leads to a trampoline");
    Require(!open || has_versions || switching || CurrentWorld()->entries_may_be_open,
            "nobody patches a function, and its entry is open");
    if (redirection == nullptr) continue;
    Require(redirection->open == open, "the table is wrong about an entry");
    // Versions lie in the order in which their patches do.
    size_t last = 0;
    for (const PatchFunction* const version : redirection->versions.versions()) {
      size_t order = 0;
      for (size_t i = 0; i < state().active_.size(); ++i) {
        for (const PatchObject& object : state().active_[i]->objects) {
          for (const PatchFunction& other : object.functions) {
            if (&other == version) order = i + 1;
          }
        }
      }
      Require(order != 0, "a func_stack has a version of a patch that is not active");
      Require(order > last, "a func_stack is not in the patches' order");
      Require(version->patched, "a version is on its func_stack, and not marked so");
      last = order;
    }
  }
}

// The states of patches and their functions (rules M4).
void RegistryInspector::CheckPatches() {
  const Transition* const running = state().transition_.get();
  const bool switching =
      running != nullptr && state().phase_ == PatchRegistry::State::Phase::kSwitching;
  for (const std::unique_ptr<Patch>& patch : state().patches_) {
    const bool active = Contains(state().active_, patch.get());
    const bool in_transition = switching && running->patch() == patch.get();
    const bool other = switching && Contains(running->others(), patch.get());
    Require(active || !patch->enabled, "a patch is enabled, and not active");
    Require(!active || patch->enabled || in_transition || other,
            "a patch is active, and neither enabled nor in transition");
    Require(!in_transition || active, "a patch is in transition, and not active");
    for (const PatchObject& object : patch->objects) {
      const bool applied = active && object.loaded != nullptr;
      Require(object.patched == applied || object.functions.empty(),
              "an object of a patch is not patched as the patch is");
      Require(!object.dynamic || in_transition, "an object for nops has been left behind");
      for (const PatchFunction& function : object.functions) {
        Require(function.patched == applied,
                "a function of a patch is not patched as the patch is");
        Require(function.transition == in_transition,
                "a function is in another state of transition");
        Require(!function.nop || in_transition, "a nop has been left behind");
      }
    }
  }
}

// Sets share nothing, and a cumulative patch takes with it the older ones of its set, and those
// alone.
void RegistryInspector::CheckSets() {
  const auto shares = [](const Patch& one, const Patch& other) {
    for (const PatchObject& object : one.objects) {
      for (const PatchFunction& function : object.functions) {
        for (const PatchObject& others : other.objects) {
          for (const PatchFunction& its : others.functions) {
            if (object.name == others.name && function.old.name == its.old.name) return true;
          }
        }
      }
    }
    return std::any_of(one.states.begin(), one.states.end(), [&other](const SystemState& state) {
      return std::any_of(other.states.begin(), other.states.end(),
                         [&state](const SystemState& its) { return its.id == state.id; });
    });
  };
  const Transition* const running = state().transition_.get();
  for (const Patch* const patch : state().active_) {
    for (const Patch* const older : state().active_) {
      if (older == patch) break;
      if (older->replace_set != patch->replace_set) {
        Require(!shares(*patch, *older), "patches of two sets share something");
        continue;
      }
      const bool comes_or_goes =
          running != nullptr && (running->patch() == patch || running->patch() == older ||
                                 Contains(running->others(), older));
      Require(!patch->replace || comes_or_goes, "a cumulative patch has left one of its set");
    }
  }
  if (running == nullptr || !running->patching()) return;
  for (const Patch* const other : running->others()) {
    Require(other->replace_set == running->patch()->replace_set,
            "a patch of another set is being replaced");
  }
}

// What a newer patch has of an older one's is as new or newer, and what nobody would take off stays
// with cumulative patches. Between transitions the owned states are those of active patches.
void RegistryInspector::CheckStates() {
  const Transition* const running = state().transition_.get();
  bool has[kStateIds] = {};
  unsigned newest[kStateIds] = {};
  for (const Patch* const patch : state().active_) {
    for (const SystemState& own : patch->states) {
      Require(own.version >= newest[own.id], "a newer patch has an older version of a state");
      newest[own.id] = own.version;
      has[own.id] = true;
    }
  }
  if (running != nullptr && running->patching() && Contains(state().active_, running->patch())) {
    for (const Patch* const other : running->others()) {
      const auto is_plain = [](const SystemState& own) { return own.id == kPlain; };
      const auto& states = running->patch()->states;
      Require(std::none_of(other->states.begin(), other->states.end(), is_plain) ||
                  std::any_of(states.begin(), states.end(), is_plain),
              "a state that cannot vanish is being replaced by nothing");
    }
  }
  if (running != nullptr) return;
  for (unsigned long id = kOwned; id < kStateIds; ++id) {
    if (id == kPlain) continue;
    const OwnedState::Phase phase = CurrentWorld()->owned_states[id].phase;
    Require(phase == (has[id] ? OwnedState::Phase::kThere : OwnedState::Phase::kAbsent),
            "a state is there without a patch that has it, or the other way round");
  }
}

// What threads answer is what the registry waits for.
void RegistryInspector::CheckRequest() {
  const SwitchRequest* const current = Handshake::Get().Current();
  const bool switching =
      state().transition_ != nullptr && state().phase_ == PatchRegistry::State::Phase::kSwitching;
  if (switching) {
    Require(current == &state().transition_->request(), "threads answer another request");
  } else {
    Require(current == state().look_.get(), "threads answer another look");
  }
}

// Trampolines are a transition's, or left over; none is lost.
void RegistryInspector::CheckText() {
  size_t known = state().leftovers_.trampolines.size();
  if (state().transition_ != nullptr) known += state().transition_->trampolines().size();
  Require(known == CurrentWorld()->host.live_trampolines(), "trampolines are lost");
}

void RegistryInspector::CheckNothingLeft() {
  was_held_ = true;
  CheckAtPoint();
  Require(CurrentWorld()->host.live_trampolines() == 0, "trampolines leak");
  // A look that was given up (a patch that could not be removed) is kept until the next one.
  Require(!state().look_answered_ || state().leftovers_.requests.empty(), "requests leak");
  Require(state().active_.empty() && state().modules_.empty(), "a patch or a module is left");
  for (ThreadRecord* record = ThreadRegistry::Get().first(); record != nullptr;
       record = record->next) {
    const Activity activity = record->activity.Get();
    if (record->adopted.load() || activity == Activity::kGone) continue;
    // Forgotten by the next scan.
    if (record->suspended.load() && CurrentWorld()->contexts_abandoned) continue;
    Now().Violation("the record of thread %d is left, with activity %d", record->tid.load(),
                    static_cast<int>(activity));
  }
}

}  // namespace mend::simulation
